//! Between which two tags a scenario stopped working.
//!
//! In: the tags from the last good one to the first bad one, and one finding at a time. Out: which tag to try
//! next, and in the end a [`Regression`]. A tag that cannot be tried is neither good nor bad: the answer then
//! names it among those that it may as well be. Must not try anything.

use super::ledger::Regression;
use crate::source::Tag;

/// What a tag showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// The scenario works.
    Good,
    /// It does not.
    Bad,
    /// It could not be tried: the tag does not build, or not here.
    Untried,
}

/// A search in progress.
#[derive(Debug)]
pub struct Bisection {
    scenario: String,
    good: Tag,
    bad: Tag,
    /// Tags between the two that may still be asked about, ascending.
    open: Vec<Tag>,
    untried: Vec<Tag>,
}

impl Bisection {
    /// `scenario` works on `good` and not on `bad`; `tags` are all there are, in any order.
    #[must_use]
    pub fn new(scenario: &str, good: Tag, bad: Tag, tags: &[Tag]) -> Self {
        let between = |tag: &&Tag| good < **tag && **tag < bad && tag.series() == bad.series();
        let mut open: Vec<Tag> = tags.iter().filter(between).copied().collect();
        open.sort_unstable();
        open.dedup();
        Self {
            scenario: scenario.to_owned(),
            good,
            bad,
            open,
            untried: Vec::new(),
        }
    }

    /// The tag to try next: the one in the middle of what is left. Nothing when there is nothing left to learn.
    #[must_use]
    pub fn next(&self) -> Option<Tag> {
        self.open.get(self.open.len() / 2).copied()
    }

    /// Takes what `tag` showed.
    pub fn learn(&mut self, tag: Tag, finding: Finding) {
        match finding {
            Finding::Good => self.good = self.good.max(tag),
            Finding::Bad => self.bad = self.bad.min(tag),
            Finding::Untried => self.untried.push(tag),
        }
        let (good, bad) = (self.good, self.bad);
        self.open
            .retain(|&open| good < open && open < bad && open != tag);
        self.untried
            .retain(|&untried| good < untried && untried < bad);
    }

    /// What is known by now.
    #[must_use]
    pub fn verdict(mut self) -> Regression {
        self.untried.sort_unstable();
        Regression {
            scenario: self.scenario,
            good: self.good,
            bad: self.bad,
            untried: self.untried,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tags(count: u16) -> Vec<Tag> {
        let tag = |n| format!("6.1.{n}.1").parse().expect("a tag");
        (0..count).map(tag).collect()
    }

    /// Searches, where tags from `first_bad` on are bad and those in `broken` cannot be tried.
    fn search(count: usize, first_bad: usize, broken: &[usize]) -> (Regression, usize) {
        let tags = tags(u16::try_from(count).expect("few"));
        let mut search = Bisection::new("unix", tags[0], tags[count - 1], &tags);
        let mut tries = 0;
        while let Some(tag) = search.next() {
            let at = tags.iter().position(|t| *t == tag).expect("one of them");
            search.learn(
                tag,
                match () {
                    () if broken.contains(&at) => Finding::Untried,
                    () if at >= first_bad => Finding::Bad,
                    () => Finding::Good,
                },
            );
            tries += 1;
        }
        (search.verdict(), tries)
    }

    #[test]
    fn neighbours_need_no_try() {
        let (found, tries) = search(2, 1, &[]);
        assert_eq!((found.good, found.bad, tries), (tags(2)[0], tags(2)[1], 0));
    }

    #[test]
    fn another_series_is_not_asked() {
        let mut all = tags(3);
        all.push("6.6.1.1".parse().expect("a tag"));
        all.push("5.15.1.1".parse().expect("a tag"));
        let search = Bisection::new("unix", all[0], all[2], &all);
        assert_eq!(search.next(), Some(all[1]));
    }

    #[test]
    fn what_cannot_be_tried_stays_in_doubt() {
        let (found, _) = search(8, 4, &[3, 6]);
        assert_eq!(
            found.untried,
            [tags(8)[3]],
            "6 lies after the first bad one"
        );
        assert_eq!((found.good, found.bad), (tags(8)[2], tags(8)[4]));
    }

    proptest! {
        #[test]
        fn the_edge_is_found_in_logarithmic_time(count in 2usize..200, at in 0usize..1000) {
            let first_bad = 1 + at % (count - 1);
            let (found, tries) = search(count, first_bad, &[]);
            let tags = tags(u16::try_from(count).expect("few"));
            prop_assert_eq!((found.good, found.bad), (tags[first_bad - 1], tags[first_bad]));
            prop_assert!(tries <= count.ilog2() as usize + 1, "{} tries for {}", tries, count);
        }

        #[test]
        fn broken_tags_never_make_it_wrong(
            count in 3usize..60,
            at in 0usize..1000,
            broken in proptest::collection::vec(1usize..58, 0..20),
        ) {
            let first_bad = 1 + at % (count - 1);
            let (found, _) = search(count, first_bad, &broken);
            let tags = tags(u16::try_from(count).expect("few"));
            prop_assert!(found.good < tags[first_bad] && tags[first_bad] <= found.bad);
            let between: Vec<_> = tags.iter().filter(|t| found.good < **t && **t < found.bad).copied().collect();
            prop_assert_eq!(found.untried, between, "what lies between could not be tried");
        }
    }
}
