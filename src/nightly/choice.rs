//! Which tags there is something to do about tonight.
//!
//! In: what the upstream has, what the ledger knows, what is wanted. Out: the tags, oldest first, so that each
//! is compared with the one before it. Must not ask anybody.

use super::ledger::{Blame, Ledger};
use crate::source::{RemoteTag, Wanted};

/// What there is to do, oldest version first.
#[must_use]
pub fn choose(
    remote: &[RemoteTag],
    ledger: &Ledger,
    wanted: &Wanted,
    profile: &str,
    judged_by: &str,
) -> Vec<RemoteTag> {
    let named = !wanted.only.is_empty();
    let open = |tag: &&RemoteTag| named || is_open(tag, ledger, profile, judged_by);
    let mut todo: Vec<RemoteTag> = remote
        .iter()
        .filter(|tag| wanted.covers(tag.tag))
        .filter(open)
        .cloned()
        .collect();
    todo.sort_by_key(|tag| tag.tag);
    todo.dedup_by_key(|tag| tag.tag);
    // Who names tags wants them all.
    let max = wanted.max.filter(|_| !named).unwrap_or(usize::MAX);
    let spare = todo.len().saturating_sub(max);
    todo.split_off(spare)
}

/// Whether there is something to do about a tag: it is not settled, or only for another profile, or it was moved and
/// nobody has said so yet.
fn is_open(tag: &RemoteTag, ledger: &Ledger, profile: &str, judged_by: &str) -> bool {
    let Some(entry) = ledger.find(tag.tag) else {
        return true;
    };
    let blamed = entry.failure.as_ref().map(|failure| failure.blame);
    let moved = entry.commit != tag.commit.to_string() && blamed != Some(Blame::Source);
    let other = entry.profile != profile && blamed != Some(Blame::Source);
    moved || other || !entry.is_settled(judged_by)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nightly::ledger::{Entry, Failure, Stage};
    use crate::source::Series;

    const RULES: &str = "rules";

    fn remote(version: &str, commit: char) -> RemoteTag {
        RemoteTag {
            tag: version.parse().expect("a tag"),
            name: version.to_owned(),
            commit: String::from(commit).repeat(40).parse().expect("an id"),
        }
    }

    fn known(version: &str, commit: char, stage: Stage, blame: Option<Blame>) -> Entry {
        let tag = version.parse().expect("a tag");
        let commit = String::from(commit).repeat(40);
        let failure = blame.map(|blame| Failure {
            blame,
            stage,
            code: 6,
            reason: "no".into(),
            hint: None,
        });
        Entry {
            stage,
            failure,
            ..Entry::seen(tag, commit, "tiny".into(), RULES.into(), 0)
        }
    }

    fn chosen(ledger: &Ledger, wanted: &Wanted) -> Vec<String> {
        let remote: Vec<_> = ["6.6.87.2", "6.1.21.2", "6.1.21.1", "5.15.90.1"]
            .map(|version| remote(version, 'a'))
            .into();
        let todo = choose(&remote, ledger, wanted, "tiny", RULES);
        todo.iter().map(|tag| tag.tag.version()).collect()
    }

    #[test]
    fn what_is_wanted_and_not_settled_oldest_first() {
        let all = Wanted::default();
        let empty = Ledger::default();
        let everything = ["5.15.90.1", "6.1.21.1", "6.1.21.2", "6.6.87.2"];
        assert_eq!(chosen(&empty, &all), everything);
        let newest_two = Wanted {
            max: Some(2),
            ..Wanted::default()
        };
        assert_eq!(chosen(&empty, &newest_two), ["6.1.21.2", "6.6.87.2"]);
        let series = Wanted {
            series: vec![Series::new(6, 1)],
            ..Wanted::default()
        };
        assert_eq!(chosen(&empty, &series), ["6.1.21.1", "6.1.21.2"]);
        let since = Wanted {
            since: "6.1.21.2".parse().ok(),
            ..Wanted::default()
        };
        assert_eq!(chosen(&empty, &since), ["6.1.21.2", "6.6.87.2"]);
        assert!(
            chosen(
                &empty,
                &Wanted {
                    max: Some(0),
                    ..all
                }
            )
            .is_empty()
        );
    }

    #[test]
    fn settled_tags_are_left_alone_until_they_move_or_are_named() {
        let mut ledger = Ledger::default();
        ledger.keep(known("6.6.87.2", 'a', Stage::Published, None));
        ledger.keep(known("6.1.21.2", 'a', Stage::Seen, Some(Blame::Kernel)));
        ledger.keep(known("6.1.21.1", 'a', Stage::Built, Some(Blame::Harness)));
        ledger.keep(known("5.15.90.1", 'b', Stage::Published, None));
        assert_eq!(
            chosen(&ledger, &Wanted::default()),
            ["5.15.90.1", "6.1.21.1"]
        );
        let named = Wanted {
            only: vec!["6.6.87.2".parse().expect("a tag")],
            ..Wanted::default()
        };
        assert_eq!(chosen(&ledger, &named), ["6.6.87.2"]);
        ledger.keep(known(
            "5.15.90.1",
            'b',
            Stage::Published,
            Some(Blame::Source),
        ));
        assert_eq!(chosen(&ledger, &Wanted::default()), ["6.1.21.1"]);
    }

    #[test]
    fn named_tags_are_all_taken_and_a_profile_is_no_other() {
        let mut ledger = Ledger::default();
        ledger.keep(known("6.6.87.2", 'a', Stage::Published, None));
        let named = Wanted {
            only: ["6.1.21.1", "6.6.87.2"]
                .map(|v| v.parse().expect("a tag"))
                .into(),
            max: Some(1),
            ..Wanted::default()
        };
        assert_eq!(chosen(&ledger, &named), ["6.1.21.1", "6.6.87.2"]);
        let all = [remote("6.6.87.2", 'a')];
        let todo = |profile| choose(&all, &ledger, &Wanted::default(), profile, RULES).len();
        assert_eq!((todo("tiny"), todo("criu")), (0, 1));
    }
}
