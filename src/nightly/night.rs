//! A night: each open tag through its stages, the ledger kept after every step.
//!
//! In: a [`Line`], the [`Books`], which tags are [`Wanted`]. Out: a [`Tonight`]. A tag that fails does not stop
//! the others; only the user does, or another wslk that holds the lock. Killed anywhere, the next night goes on
//! from the last step that the ledger has.

use std::time::Instant;

use super::bisect::{Bisection, Finding};
use super::books::Books;
use super::choice::choose;
use super::ledger::{Blame, Entry, Failure, Ledger, Regression, Row, Stage};
use super::line::{Booted, Job, Line};
use crate::error::Error;
use crate::exit::Exit;
use crate::smoke::Verdict;
use crate::source::{RemoteTag, Tag, TagQuery, Wanted};

/// How many tags are named to somebody who asked for one that there is not.
const NEWEST: usize = 5;

/// What a night did.
#[derive(Debug, Default)]
pub struct Tonight {
    /// The tags that were worked on, in order, as they stand now.
    pub entries: Vec<Entry>,
    /// How many wanted tags the upstream has in all.
    pub known: usize,
    /// Whether it was stopped before its end.
    pub stopped: bool,
}

impl Tonight {
    /// How the night ended, the gravest first: a kernel failed, a source is not what it was, something here failed.
    #[must_use]
    pub fn exit(&self) -> Exit {
        let blamed = |blame| {
            let mut failures = self
                .entries
                .iter()
                .filter_map(|entry| entry.failure.as_ref());
            failures.any(|failure| failure.blame == blame)
        };
        match () {
            () if self.stopped => Exit::Interrupted,
            () if blamed(Blame::Kernel) => Exit::KernelFailed,
            () if blamed(Blame::Source) => Exit::Upstream,
            () if blamed(Blame::Harness) => Exit::CannotTest,
            () => Exit::Done,
        }
    }
}

/// A night in progress.
#[derive(Debug)]
pub struct Night<'a, L: Line> {
    line: &'a L,
    books: &'a Books,
    ledger: Ledger,
    profile: &'a str,
    judged_by: String,
    tags: Vec<RemoteTag>,
}

impl<'a, L: Line> Night<'a, L> {
    /// Asks the upstream what it has, and reads the ledger.
    pub fn begin(line: &'a L, books: &'a Books, profile: &'a str) -> Result<Self, Error> {
        Ok(Self {
            tags: line.tags()?,
            judged_by: line.judged_by()?,
            ledger: books.read()?,
            line,
            books,
            profile,
        })
    }

    /// What there is to do, oldest first.
    #[must_use]
    pub fn todo(&self, wanted: &Wanted) -> Vec<RemoteTag> {
        choose(
            &self.tags,
            &self.ledger,
            wanted,
            self.profile,
            &self.judged_by,
        )
    }

    /// What is wanted and the upstream does not have at all; whoever asks knows how grave that is.
    #[must_use]
    pub fn missing(&self, wanted: &Wanted) -> Vec<TagQuery> {
        wanted.missing(&self.all())
    }

    /// The tags that there are.
    fn all(&self) -> Vec<Tag> {
        self.tags.iter().map(|tag| tag.tag).collect()
    }

    /// The newest of them.
    #[must_use]
    pub fn newest(&self) -> Vec<Tag> {
        let mut tags = self.all();
        tags.sort_unstable_by(|a, b| b.cmp(a));
        tags.truncate(NEWEST);
        tags
    }

    /// The ledger as it stands.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Does it.
    pub fn run(&mut self, wanted: &Wanted) -> Result<Tonight, Error> {
        let mut tonight = Tonight {
            known: self
                .tags
                .iter()
                .filter(|tag| wanted.covers(tag.tag))
                .count(),
            ..Tonight::default()
        };
        for tag in self.todo(wanted) {
            if self.line.stopped() {
                tonight.stopped = true;
                break;
            }
            let entry = self.opened(&tag, wanted.only.contains(&tag.tag));
            tonight.entries.push(self.judge(&tag, entry)?);
        }
        Ok(tonight)
    }

    /// One tag, as far as it gets.
    fn judge(&mut self, tag: &RemoteTag, mut entry: Entry) -> Result<Entry, Error> {
        if entry.commit != tag.commit.to_string() {
            entry.failure = Some(moved(&entry, tag));
            self.keep(&mut entry)?;
            return Ok(entry);
        }
        self.keep(&mut entry)?;
        let log = self.books.log(tag.tag);
        entry.log = Some(self.books.log_name(tag.tag));
        let outcome = match self.line.begin(tag.tag, &log) {
            Ok(job) => self.advance(&mut entry, job.as_ref()),
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            if ends_the_night(&error) {
                return Err(error);
            }
            entry.failure = Some(Failure::of(&error, reached(&entry)));
        }
        self.keep(&mut entry)?;
        Ok(entry)
    }

    /// The entry to go on with: what another night left, unless that was judged by other rules, or the user
    /// wants the tag judged afresh.
    fn opened(&self, tag: &RemoteTag, afresh: bool) -> Entry {
        let commit = tag.commit.to_string();
        let fresh = Entry::seen(
            tag.tag,
            commit,
            self.profile.to_owned(),
            self.judged_by.clone(),
            0,
        );
        let Some(known) = self.ledger.find(tag.tag) else {
            return fresh;
        };
        let same = known.judged_by == self.judged_by && known.profile == self.profile;
        let unfinished = known.stage < Stage::Published
            && known
                .failure
                .as_ref()
                .is_none_or(|f| f.blame == Blame::Harness);
        let moved = known.commit != fresh.commit;
        match () {
            () if moved && !afresh => known.clone(),
            () if same && unfinished && !moved => Entry {
                failure: None,
                ..known.clone()
            },
            () => fresh,
        }
    }

    fn advance(&mut self, entry: &mut Entry, job: &dyn Job) -> Result<(), Error> {
        let started = Instant::now();
        job.fetch()?;
        entry.seconds.fetch += started.elapsed().as_secs_f64();
        self.reach(entry, Stage::Fetched)?;

        let started = Instant::now();
        let before = self
            .ledger
            .configured_before(entry.tag)
            .map(|before| before.tag);
        entry.judged.drift = job.configure(before)?;
        entry.seconds.config += started.elapsed().as_secs_f64();
        if let Some(failure) = unreviewed(entry) {
            entry.failure = Some(failure);
            return Ok(());
        }
        self.reach(entry, Stage::Configured)?;

        let started = Instant::now();
        let made = job.build()?;
        entry.seconds.build += started.elapsed().as_secs_f64();
        let stale = entry.judged.build.as_ref() != Some(&made.build);
        if stale {
            entry.stage = Stage::Configured;
        }
        entry.judged.build = Some(made.build.clone());
        entry.judged.release = Some(made.release);
        entry.judged.kernel_bytes = made.kernel_bytes;
        entry.judged.modules_bytes = made.modules_bytes;
        self.reach(entry, Stage::Built)?;

        if entry.stage < Stage::Booted {
            let started = Instant::now();
            let booted = job.boot(&made.build)?;
            self.compare(entry, booted)?;
            entry.seconds.boot += started.elapsed().as_secs_f64();
            if entry.failure.is_some() {
                return Ok(());
            }
            self.reach(entry, Stage::Booted)?;
        }

        let started = Instant::now();
        entry.judged.path = Some(job.publish(entry)?);
        entry.seconds.publish += started.elapsed().as_secs_f64();
        self.reach(entry, Stage::Published)
    }

    /// Takes over what the boot test found, and looks where that became worse.
    fn compare(&mut self, entry: &mut Entry, booted: Booted) -> Result<(), Error> {
        entry.judged.control = booted.control;
        entry.judged.scenarios = booted.scenarios;
        entry.judged.conclusion = booted.conclusion;
        let lost: Vec<String> = match self.ledger.good_before(entry.tag) {
            Some(before) => lost(&before.judged.scenarios, &entry.judged.scenarios),
            None => Vec::new(),
        };
        entry.failure = booted.failure;
        // What was found so far outlives a kill during the search.
        self.keep(entry)?;
        let mut regressions = Vec::new();
        for scenario in &lost {
            regressions.extend(self.bisect(entry.tag, scenario)?);
        }
        entry.judged.regressions = regressions;
        Ok(())
    }

    /// Between which tags `scenario`, which fails on `bad`, stopped working.
    fn bisect(&self, bad: Tag, scenario: &str) -> Result<Option<Regression>, Error> {
        let Some(good) = self.ledger.good_before(bad).map(|entry| entry.tag) else {
            return Ok(None);
        };
        let mut search = Bisection::new(scenario, good, bad, &self.all());
        while let Some(tag) = search.next() {
            search.learn(tag, self.finding(tag, scenario)?);
        }
        Ok(Some(search.verdict()))
    }

    fn finding(&self, tag: Tag, scenario: &str) -> Result<Finding, Error> {
        let job = self.line.begin(tag, &self.books.log(tag));
        match job.and_then(|job| job.retry(scenario)) {
            Ok(Verdict::Works) => Ok(Finding::Good),
            Ok(Verdict::Fails | Verdict::Refused) => Ok(Finding::Bad),
            Ok(Verdict::NotTestable) => Ok(Finding::Untried),
            Err(error) if ends_the_night(&error) => Err(error),
            Err(_) => Ok(Finding::Untried),
        }
    }

    fn reach(&mut self, entry: &mut Entry, stage: Stage) -> Result<(), Error> {
        entry.stage = entry.stage.max(stage);
        self.keep(entry)
    }

    fn keep(&mut self, entry: &mut Entry) -> Result<(), Error> {
        entry.time = self.books.now();
        self.ledger.keep(entry.clone());
        Ok(self.books.write(&self.ledger)?)
    }
}

/// Whether it is about no tag: the user stops, or another wslk is at work.
fn ends_the_night(error: &Error) -> bool {
    matches!(error.exit(), Exit::Interrupted | Exit::Locked)
}

/// The stage that comes after what the tag has reached.
fn reached(entry: &Entry) -> Stage {
    match entry.stage {
        Stage::Seen => Stage::Fetched,
        Stage::Fetched => Stage::Configured,
        Stage::Configured => Stage::Built,
        Stage::Built => Stage::Booted,
        Stage::Booted | Stage::Published => Stage::Published,
    }
}

fn moved(entry: &Entry, tag: &RemoteTag) -> Failure {
    Failure {
        blame: Blame::Source,
        stage: Stage::Fetched,
        code: Exit::Upstream as u8,
        reason: format!(
            "the tag was moved: it named {} when it was first seen, and names {} now",
            entry.commit, tag.commit
        ),
        hint: Some(format!(
            "find out why; if it is right, take its [[pin]] out of wslk.lock and run `wslk nightly --tag {}`",
            tag.tag.version()
        )),
    }
}

/// Nobody looked yet at what changed in options that matter.
fn unreviewed(entry: &Entry) -> Option<Failure> {
    let drift = entry.judged.drift.as_ref()?;
    let options = match drift.unreviewed.as_slice() {
        [] => return None,
        options => options.join(", "),
    };
    let (before, tag) = (drift.since.version(), entry.tag.version());
    Some(Failure {
        blame: Blame::Kernel,
        stage: Stage::Configured,
        code: Exit::Contract as u8,
        reason: format!(
            "options that matter changed since {before}, and nobody has reviewed it: {options}"
        ),
        hint: Some(format!(
            "`wslk drift {before} {tag}` shows what changed, and what to write into kernel-configs/reviews.toml"
        )),
    })
}

/// The scenarios that worked and do not any more.
fn lost(before: &[Row], now: &[Row]) -> Vec<String> {
    let worked = |name: &str| {
        let mut rows = before.iter();
        rows.any(|row| row.name == name && row.verdict == Verdict::Works)
    };
    let broken = |row: &&Row| matches!(row.verdict, Verdict::Fails | Verdict::Refused);
    let lost = now.iter().filter(broken).filter(|row| worked(&row.name));
    lost.map(|row| row.name.clone()).collect()
}
