//! A line that plays a script, and the night's conduct on it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::books::Books;
use super::ledger::{Blame, DriftFacts, Entry, Failure, Row, Stage};
use super::line::{Booted, Job, Line, Made};
use super::night::{Night, Tonight};
use super::summary;
use crate::build::BuildError;
use crate::error::Error;
use crate::exit::Exit;
use crate::smoke::Verdict;
use crate::source::{RemoteTag, SourceError, Tag, Wanted};

/// What an upstream and its kernels are like.
#[derive(Default)]
struct Script {
    tags: RefCell<Vec<(&'static str, char)>>,
    does_not_compile: BTreeSet<&'static str>,
    /// Where `unix` fails.
    loses_unix: BTreeSet<&'static str>,
    unreviewed: BTreeSet<&'static str>,
    unreachable: RefCell<BTreeSet<&'static str>>,
    rules: Cell<u32>,
    /// The user stops, or the machine dies, at this call.
    dies_at: Cell<Option<usize>>,
    calls: RefCell<Vec<String>>,
}

struct Scene<'a> {
    script: &'a Script,
    tag: Tag,
}

impl Script {
    fn with(versions: &[&'static str]) -> Self {
        let script = Self::default();
        script
            .tags
            .borrow_mut()
            .extend(versions.iter().map(|&version| (version, 'a')));
        script
    }

    fn done(&self, what: &str) -> Vec<String> {
        let calls = self.calls.take();
        let suffix = format!(" {what}");
        calls
            .iter()
            .filter_map(|call| call.strip_suffix(&suffix))
            .map(str::to_owned)
            .collect()
    }
}

impl Line for Script {
    fn tags(&self) -> Result<Vec<RemoteTag>, Error> {
        let remote = |&(version, commit): &(&str, char)| RemoteTag {
            tag: version.parse().expect("a tag"),
            name: version.to_owned(),
            commit: String::from(commit).repeat(40).parse().expect("an id"),
        };
        Ok(self.tags.borrow().iter().map(remote).collect())
    }

    fn judged_by(&self) -> Result<String, Error> {
        Ok(format!("rules {}", self.rules.get()))
    }

    fn begin(&self, tag: Tag, _log: &Path) -> Result<Box<dyn Job + '_>, Error> {
        Ok(Box::new(Scene { script: self, tag }))
    }

    fn stopped(&self) -> bool {
        false
    }
}

impl Scene<'_> {
    fn call(&self, what: &str) -> Result<String, Error> {
        let mut calls = self.script.calls.borrow_mut();
        if self.script.dies_at.get() == Some(calls.len()) {
            return Err(SourceError::Interrupted.into());
        }
        calls.push(format!("{} {what}", self.tag.version()));
        Ok(self.tag.version())
    }

    fn unix(&self) -> Verdict {
        match self.script.loses_unix.contains(self.tag.version().as_str()) {
            true => Verdict::Fails,
            false => Verdict::Works,
        }
    }
}

impl Job for Scene<'_> {
    fn fetch(&self) -> Result<(), Error> {
        let tag = self.call("fetch")?;
        match self.script.unreachable.borrow().contains(tag.as_str()) {
            true => Err(SourceError::Offline { what: tag }.into()),
            false => Ok(()),
        }
    }

    fn configure(&self, before: Option<Tag>) -> Result<Option<DriftFacts>, Error> {
        let tag = self.call("config")?;
        let unreviewed = self.script.unreviewed.contains(tag.as_str());
        Ok(before.map(|since| DriftFacts {
            since,
            new: 3,
            gone: 0,
            changed: 1,
            unreviewed: unreviewed
                .then(|| "UNIX_DIAG: y -> n".to_owned())
                .into_iter()
                .collect(),
        }))
    }

    fn build(&self) -> Result<Made, Error> {
        let tag = self.call("build")?;
        if self.script.does_not_compile.contains(tag.as_str()) {
            let (label, said) = ("make".into(), "error: no".into());
            return Err(BuildError::Failed { label, said }.into());
        }
        Ok(Made {
            build: format!("{tag}-tiny-0123456789").parse().expect("an id"),
            release: format!("{tag}-microsoft-standard-WSL2-wslk-0123456789"),
            kernel_bytes: Some(3 << 20),
            modules_bytes: None,
        })
    }

    fn boot(&self, _build: &crate::artefact::BuildId) -> Result<Booted, Error> {
        self.call("boot")?;
        let row = Row {
            name: "unix".into(),
            verdict: self.unix(),
            control: Some(Verdict::Works),
            reason: None,
        };
        let failure = (row.verdict == Verdict::Fails).then(|| Failure {
            blame: Blame::Kernel,
            stage: Stage::Booted,
            code: 6,
            reason: "unix fails".into(),
            hint: Some("UNIX_DIAG".into()),
        });
        Ok(Booted {
            failure,
            control: None,
            scenarios: vec![row],
            conclusion: None,
        })
    }

    fn retry(&self, scenario: &str) -> Result<Verdict, Error> {
        assert_eq!(scenario, "unix");
        self.build()?;
        self.call("retry")?;
        Ok(self.unix())
    }

    fn publish(&self, entry: &Entry) -> Result<String, Error> {
        assert_eq!(
            entry.stage,
            Stage::Booted,
            "only what was booted is published"
        );
        Ok(format!("{}/here", self.call("publish")?))
    }
}

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder }
    }

    fn books(&self) -> Books {
        let at = |name| self.folder.path().join(name);
        Books::new(at("nightly.json"), at("site"))
    }

    fn try_night(&self, script: &Script, wanted: &Wanted) -> Result<Tonight, Error> {
        Night::begin(script, &self.books(), "tiny")?.run(wanted)
    }

    fn night(&self, script: &Script) -> Tonight {
        self.try_night(script, &Wanted::default())
            .expect("a whole night")
    }

    /// Each tag with how far it came and who is to blame.
    fn ledger(&self) -> BTreeMap<String, (Stage, Option<Blame>)> {
        let ledger = self.books().read().expect("a ledger");
        let fact = |entry: &Entry| {
            let blame = entry.failure.as_ref().map(|failure| failure.blame);
            (entry.tag.version(), (entry.stage, blame))
        };
        ledger.entries().iter().map(fact).collect()
    }
}

const PUBLISHED: (Stage, Option<Blame>) = (Stage::Published, None);

#[test]
fn a_second_night_finds_nothing_to_do_and_a_new_tag_is_all_that_is_built() {
    let (bench, script) = (
        Bench::new(),
        Script::with(&["6.1.1.1", "6.1.2.1", "6.1.3.1"]),
    );
    assert_eq!(bench.night(&script).exit(), Exit::Done);
    assert_eq!(script.done("publish"), ["6.1.1.1", "6.1.2.1", "6.1.3.1"]);

    let second = bench.night(&script);
    assert!(second.entries.is_empty() && script.calls.borrow().is_empty());
    assert!(summary::markdown(&second).contains("nothing to do"));

    script.tags.borrow_mut().push(("6.1.4.1", 'b'));
    bench.night(&script);
    assert_eq!(script.done("build"), ["6.1.4.1"]);
    let ledger = bench.books().read().expect("a ledger");
    let entry = ledger
        .find("6.1.4.1".parse().expect("a tag"))
        .expect("judged");
    let since = entry
        .judged
        .drift
        .as_ref()
        .map(|drift| drift.since.version());
    assert_eq!(since.as_deref(), Some("6.1.3.1"));
}

#[test]
fn one_failure_of_each_kind_and_the_night_goes_on() {
    let script = Script {
        does_not_compile: ["6.1.2.1"].into(),
        loses_unix: ["6.1.3.1"].into(),
        unreviewed: ["6.1.4.1"].into(),
        unreachable: RefCell::new(["6.1.5.1"].into()),
        ..Script::with(&[
            "6.1.1.1", "6.1.2.1", "6.1.3.1", "6.1.4.1", "6.1.5.1", "6.1.6.1",
        ])
    };
    let bench = Bench::new();
    let tonight = bench.night(&script);
    assert_eq!(tonight.exit(), Exit::KernelFailed);
    let expected = [
        ("6.1.1.1", PUBLISHED),
        ("6.1.2.1", (Stage::Configured, Some(Blame::Kernel))),
        ("6.1.3.1", (Stage::Built, Some(Blame::Kernel))),
        ("6.1.4.1", (Stage::Fetched, Some(Blame::Kernel))),
        ("6.1.5.1", (Stage::Seen, Some(Blame::Harness))),
        ("6.1.6.1", PUBLISHED),
    ];
    let expected = expected.map(|(tag, fact)| (tag.to_owned(), fact));
    assert_eq!(bench.ledger(), expected.into());
    let text = summary::markdown(&tonight);
    for said in [
        "2 good, 4 failed",
        "unix: fails",
        "UNIX_DIAG: y -> n",
        "reviews.toml",
    ] {
        assert!(text.contains(said), "{said}:\n{text}");
    }
    script.calls.take();

    // Only what was ours is tried again.
    script.unreachable.borrow_mut().clear();
    assert_eq!(bench.night(&script).exit(), Exit::Done);
    assert_eq!(script.done("fetch"), ["6.1.5.1"]);

    // Other rules: what failed by the old ones gets another chance, what passed does not.
    script.rules.set(1);
    bench.night(&script);
    assert_eq!(script.done("fetch"), ["6.1.2.1", "6.1.3.1", "6.1.4.1"]);
}

#[test]
fn a_change_nobody_reviewed_is_not_forgiven_by_the_next_tag() {
    let script = Script {
        unreviewed: ["6.1.2.1"].into(),
        ..Script::with(&["6.1.1.1", "6.1.2.1", "6.1.3.1"])
    };
    let bench = Bench::new();
    let tonight = bench.night(&script);
    let since = tonight.entries[2]
        .judged
        .drift
        .as_ref()
        .map(|drift| drift.since.version());
    assert_eq!(
        since.as_deref(),
        Some("6.1.1.1"),
        "what failed its review is no measure"
    );
}

#[test]
fn a_moved_tag_is_said_once_and_judged_when_named() {
    let (bench, script) = (Bench::new(), Script::with(&["6.1.1.1"]));
    bench.night(&script);
    script.calls.take();
    script.tags.replace(vec![("6.1.1.1", 'b')]);
    let tonight = bench.night(&script);
    assert_eq!(tonight.exit(), Exit::Upstream);
    assert!(script.calls.borrow().is_empty(), "nothing of it is fetched");
    assert_eq!(
        bench.ledger()["6.1.1.1"],
        (Stage::Published, Some(Blame::Source))
    );
    assert!(bench.night(&script).entries.is_empty());
    let named = Wanted {
        only: vec!["6.1.1.1".parse().expect("a tag")],
        ..Wanted::default()
    };
    bench.try_night(&script, &named).expect("judged afresh");
    assert_eq!(bench.ledger()["6.1.1.1"], PUBLISHED);
}

#[test]
fn a_lost_scenario_is_bisected_over_the_tags_between() {
    let script = Script {
        loses_unix: ["6.1.5.1", "6.1.6.1", "6.1.7.1"].into(),
        does_not_compile: ["6.1.4.1"].into(),
        ..Script::with(&[
            "6.1.1.1", "6.1.2.1", "6.1.3.1", "6.1.4.1", "6.1.5.1", "6.1.6.1", "6.1.7.1",
        ])
    };
    let bench = Bench::new();
    let only = |versions: &[&str]| Wanted {
        only: versions.iter().map(|v| v.parse().expect("a tag")).collect(),
        ..Wanted::default()
    };
    let tonight = bench
        .try_night(&script, &only(&["6.1.1.1", "6.1.7.1"]))
        .expect("a night");
    let regression = &tonight.entries[1].judged.regressions[0];
    assert_eq!(
        (regression.good.version(), regression.bad.version()),
        ("6.1.3.1".into(), "6.1.5.1".into())
    );
    assert_eq!(regression.untried, ["6.1.4.1".parse().expect("a tag")]);
    let text = summary::markdown(&tonight);
    let said =
        "`unix` works in 6.1.3.1 and not in 6.1.5.1; between them could not be tried: 6.1.4.1.";
    assert!(text.contains(said), "{text}");
}

#[test]
fn cut_off_at_any_call_the_next_night_ends_where_one_whole_night_would() {
    let script = || Script {
        does_not_compile: ["6.1.2.1"].into(),
        loses_unix: ["6.1.4.1"].into(),
        ..Script::with(&["6.1.1.1", "6.1.2.1", "6.1.3.1", "6.1.4.1"])
    };
    let whole = Bench::new();
    let uncut = script();
    whole.night(&uncut);
    let calls = uncut.calls.borrow().len();
    assert!(calls > 10);
    for cut in 0..calls {
        let (bench, script) = (Bench::new(), script());
        script.dies_at.set(Some(cut));
        let error = bench
            .try_night(&script, &Wanted::default())
            .expect_err("it was cut off");
        assert_eq!(error.exit(), Exit::Interrupted);
        script.dies_at.set(None);
        bench.night(&script);
        assert_eq!(bench.ledger(), whole.ledger(), "cut off at call {cut}");
        let boots = script.done("boot");
        assert!(
            boots.len() <= 4,
            "what was booted is not booted again: {boots:?}"
        );
    }
}
