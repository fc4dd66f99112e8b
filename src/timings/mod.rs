//! Where the time of a build went: its stages, what make did, how much of it at once, how the compiler cache did.
//!
//! In: the [`Span`]s that a [`Stopwatch`] noted and the [`Trace`] of make. Out: [`Timings`], and from it two files in
//! the build's folder, a page for people and a document for programs. They are reports beside the build and no part
//! of it: no manifest names them, no sum covers them, and they are not published. Must not measure anything by
//! itself, and must not change what is built.

mod kind;
mod page;
mod stopwatch;
mod sweep;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub use self::kind::Kind;
pub use self::page::page;
pub use self::stopwatch::{Span, Stopwatch};
pub use self::sweep::Moment;
use crate::build::{Asked, Phase, Step, Trace};
use crate::error::Error;
use crate::files;

/// The page's name in a build's folder.
pub const PAGE: &str = "timings.html";
/// The document's name in a build's folder.
pub const DATA: &str = "timings.json";
/// The stage that is a test of the build and no part of it.
pub const BOOT_TEST: &str = "boot test";
/// The stage of make itself.
pub const MAKE: &str = "make";
/// What no stage accounts for.
const BETWEEN: &str = "between stages";
/// The slowest steps that are told.
const SLOWEST: usize = 20;

/// What a build is and was made with.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Subject {
    /// The build's name.
    pub build: String,
    /// What `uname -r` says under it.
    pub release: String,
    /// Where it was compiled: `docker`, `podman` or `host`.
    pub engine: String,
}

/// Where the time of a build went. All times are in seconds since its beginning.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timings {
    /// `wslk/timings/1`.
    pub schema: &'static str,
    /// What was built.
    #[serde(flatten)]
    pub subject: Subject,
    /// From the beginning to the end of all stages.
    pub seconds: f64,
    /// Everything in a few numbers.
    pub totals: Totals,
    /// The stages, in the order in which they began. Some go side by side.
    pub stages: Vec<Stage>,
    /// What make did.
    pub make: Make,
}

/// A build's time in a few numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Totals {
    /// Seconds of make.
    pub make: f64,
    /// The share of the wall time that is not make, from 0 to 1; a boot test is no part of either.
    pub not_make: f64,
    /// Compilers allowed at a time.
    pub jobs: usize,
    /// Steps of make that ran at the same time, in the mean over its compiling run.
    pub concurrency: f64,
    /// Files compiled or found in the compiler cache.
    pub units: u64,
    /// Those that the compiler cache had.
    pub found: u64,
    /// Those that it had not.
    pub missed: u64,
    /// Object files of an earlier run, which this one did not have to make.
    pub kept: u64,
}

/// A stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// How long it took.
    pub seconds: f64,
    /// The share of the wall time, from 0 to 1.
    pub share: f64,
    /// When it was done: beginnings and ends.
    pub spans: Vec<(f64, f64)>,
}

/// What make did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Make {
    /// When it began.
    pub start: f64,
    /// When it was over.
    pub end: f64,
    /// Its runs.
    pub phases: Vec<Phase>,
    /// What its time went into.
    pub kinds: Vec<KindTimes>,
    /// How much ran at the same time, and how the compiler cache did, from moment to moment.
    pub moments: Vec<Moment>,
    /// Every step.
    pub steps: Vec<Timed>,
}

/// What went into one kind of step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KindTimes {
    /// Which.
    pub kind: Kind,
    /// How many steps.
    pub steps: u64,
    /// Wall time that counts for it: no kind that takes precedence ran. Those of all kinds add up to make's.
    pub seconds: f64,
    /// The share of make's time, from 0 to 1.
    pub share: f64,
    /// The steps' own times, added up.
    pub work: f64,
    /// When any ran: beginnings and ends.
    pub spans: Vec<(f64, f64)>,
}

/// A step and its kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timed {
    /// What it is good for.
    pub kind: Kind,
    /// The step.
    #[serde(flatten)]
    pub step: Step,
}

/// Where the two files are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Written {
    /// The page.
    pub page: PathBuf,
    /// The document.
    pub data: PathBuf,
}

impl Written {
    /// Where they are, or would be, in a build's folder.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            page: folder.join(PAGE),
            data: folder.join(DATA),
        }
    }
}

impl Timings {
    /// Puts together what was measured: `spans` and `seconds` of a clock, and the trace that began at `offset` by it.
    #[must_use]
    pub fn new(subject: Subject, spans: &[Span], seconds: f64, trace: &Trace, offset: f64) -> Self {
        let make = make(trace, offset);
        let stages = stages(spans, seconds, trace, offset);
        let timings = Self {
            schema: "wslk/timings/1",
            subject,
            seconds: round(seconds),
            totals: totals(&stages, seconds, trace, &make),
            stages,
            make,
        };
        timings.rounded()
    }

    /// The steps that took longest, those first.
    #[must_use]
    pub fn slowest(&self) -> Vec<&Timed> {
        let mut steps: Vec<&Timed> = self.make.steps.iter().collect();
        let took = |timed: &Timed| timed.step.seconds().unwrap_or_default();
        steps.retain(|timed| took(timed) > 0.0);
        steps.sort_by(|a, b| took(b).total_cmp(&took(a)));
        steps.truncate(SLOWEST);
        steps
    }

    /// Whether make was called; not where the kernel was there from an earlier build.
    #[must_use]
    pub fn has_make(&self) -> bool {
        self.make.end > self.make.start
    }

    /// The document for programs.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Numbers and strings only: that cannot fail.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    /// Milliseconds are all that files and lines can tell.
    fn rounded(mut self) -> Self {
        let both = |(start, end): &mut (f64, f64)| {
            (*start, *end) = (round(*start), round(*end));
        };
        for stage in &mut self.stages {
            stage.seconds = round(stage.seconds);
            stage.spans.iter_mut().for_each(both);
        }
        for kind in &mut self.make.kinds {
            kind.seconds = round(kind.seconds);
            kind.work = round(kind.work);
            kind.spans.iter_mut().for_each(both);
        }
        for Timed { step, .. } in &mut self.make.steps {
            step.start = round(step.start);
            step.end = step.end.map(round);
        }
        for phase in &mut self.make.phases {
            (phase.start, phase.end) = (round(phase.start), round(phase.end));
        }
        (self.make.start, self.make.end) = (round(self.make.start), round(self.make.end));
        self.totals.make = round(self.totals.make);
        self
    }
}

/// Writes the two files into a build's folder; those of an earlier time are replaced.
///
/// # Errors
/// For a folder that cannot be written to.
pub fn write(folder: &Path, timings: &Timings) -> Result<Written, Error> {
    let written = Written::in_folder(folder);
    files::replace(&written.data, timings.to_json())?;
    files::replace(&written.page, page(timings)?)?;
    Ok(written)
}

fn round(seconds: f64) -> f64 {
    // The sum of nothing is a nought with a sign.
    (seconds * 1000.0).round() / 1000.0 + 0.0
}

fn share(part: f64, whole: f64) -> f64 {
    match whole > 0.0 {
        true => (part / whole * 10000.0).round() / 10000.0,
        false => 0.0,
    }
}

/// The spans, what make's job consists of, and what lies between them, by name.
fn stages(spans: &[Span], seconds: f64, trace: &Trace, offset: f64) -> Vec<Stage> {
    let (first, last) = trace.make();
    let job = [
        ("job start", 0.0, first),
        (MAKE, first, last),
        ("job end", last, trace.seconds),
    ];
    let job = job.map(|(name, start, end)| (name, offset + start, offset + end));
    let job = job.into_iter().filter(|_| trace.seconds > 0.0);
    let spans = spans.iter().map(|span| (span.name, span.start, span.end));
    let mut named: Vec<(&str, Vec<(f64, f64)>)> = Vec::new();
    for (name, start, end) in spans.chain(job) {
        match named.iter_mut().find(|(known, _)| *known == name) {
            Some((_, spans)) => spans.push((start, end)),
            None => named.push((name, vec![(start, end)])),
        }
    }
    let all = named.iter().flat_map(|(_, spans)| spans).copied().collect();
    named.push((BETWEEN, sweep::gaps(&sweep::union(all, 0.0), seconds)));
    let stage = |(name, spans): (&str, Vec<(f64, f64)>)| {
        let spans = sweep::union(spans, 0.0);
        let own = sweep::length(&spans);
        Stage {
            name: name.to_owned(),
            seconds: own,
            share: share(own, seconds),
            spans,
        }
    };
    let mut stages: Vec<Stage> = named.into_iter().map(stage).collect();
    let began = |stage: &Stage| stage.spans.first().map_or(seconds, |span| span.0);
    stages.sort_by(|a, b| {
        let last = |stage: &Stage| stage.name == BETWEEN;
        last(a).cmp(&last(b)).then(began(a).total_cmp(&began(b)))
    });
    stages
}

fn make(trace: &Trace, offset: f64) -> Make {
    let (first, last) = trace.make();
    let steps: Vec<Timed> = trace
        .steps
        .iter()
        .map(|step| Timed {
            kind: Kind::of(step),
            step: Step {
                start: offset + step.start,
                end: step.end.map(|end| offset + end),
                ..step.clone()
            },
        })
        .collect();
    let phases: Vec<Phase> = trace
        .phases
        .iter()
        .map(|phase| Phase {
            name: phase.name.clone(),
            start: offset + phase.start,
            end: offset + phase.end,
        })
        .collect();
    let (start, end) = (offset + first, offset + last);
    Make {
        kinds: sweep::kinds(&steps, &phases, start, end),
        moments: sweep::moments(&steps, start, end),
        phases,
        steps,
        start,
        end,
    }
}

fn totals(stages: &[Stage], seconds: f64, trace: &Trace, make: &Make) -> Totals {
    let of = |name: &str| {
        let stage = stages.iter().find(|stage| stage.name == name);
        stage.map_or(0.0, |stage| stage.seconds)
    };
    let units = || make.steps.iter().filter(|timed| compiles(&timed.step));
    let asked = |answer: Asked| {
        units()
            .filter(|timed| timed.step.cache == Some(answer))
            .count() as u64
    };
    let compiling = make.phases.iter().find(|phase| phase.name == "compile");
    let (from, to) = compiling.map_or((make.start, make.end), |phase| (phase.start, phase.end));
    let within = |timed: &&Timed| timed.step.start >= from && timed.step.start <= to;
    let work: f64 = make
        .steps
        .iter()
        .filter(within)
        .filter_map(|timed| timed.step.seconds())
        .sum();
    let built = seconds - of(BOOT_TEST);
    Totals {
        make: of(MAKE),
        not_make: match of(MAKE) > 0.0 {
            true => share(built - of(MAKE), built),
            false => 1.0,
        },
        jobs: trace.jobs,
        concurrency: share(work, to - from),
        units: units().count() as u64,
        found: asked(Asked::Found),
        missed: asked(Asked::Missed),
        kept: trace.kept,
    }
}

/// Whether a compiler, or the compiler cache in its place, is at work.
fn compiles(step: &Step) -> bool {
    matches!(step.verb.as_str(), "CC" | "AS" | "HOSTCC")
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    pub(super) fn step(verb: &str, target: &str, start: f64, end: impl Into<Option<f64>>) -> Step {
        Step {
            verb: verb.to_owned(),
            module: target.ends_with(".ko"),
            target: target.to_owned(),
            start,
            end: end.into(),
            cache: None,
        }
    }

    fn asked(step: Step, answer: Asked) -> Step {
        Step {
            cache: Some(answer),
            ..step
        }
    }

    fn phase(name: &str, start: f64, end: f64) -> Phase {
        Phase {
            name: name.to_owned(),
            start,
            end,
        }
    }

    /// A build of two processors in 30 seconds.
    pub(super) fn trace() -> Trace {
        Trace {
            started: Instant::now(),
            seconds: 21.0,
            jobs: 2,
            kept: 0,
            phases: vec![
                phase("syncconfig", 0.5, 2.0),
                phase("compile", 2.0, 18.0),
                phase("modules_install", 18.0, 20.5),
            ],
            steps: vec![
                step("HOSTCC", "scripts/kconfig/conf.o", 0.6, 1.0),
                step("HOSTCC", "scripts/basic/fixdep", 2.1, 3.0),
                asked(step("CC", "init/main.o", 3.0, 9.0), Asked::Missed),
                asked(step("CC", "kernel/fork.o", 4.0, 5.0), Asked::Found),
                step("AR", "init/built-in.a", 9.0, 9.5),
                step("CALL", "scripts/check.sh", 3.0, None),
                step("LD", "vmlinux", 10.0, 13.0),
                step("LD", "net/x.ko", 11.0, 14.0),
                step("CC", "arch/x86/boot/main.o", 14.0, 15.0),
                step("INSTALL", "lib/modules/6.1/x.ko", 18.5, 19.0),
                step("DEPMOD", "lib/modules/6.1", 19.0, 20.0),
            ],
        }
    }

    fn span(name: &'static str, start: f64, end: f64) -> Span {
        Span { name, start, end }
    }

    pub(super) fn timings() -> Timings {
        let subject = Subject {
            build: "6.1.21.2-tiny-0123456789".to_owned(),
            release: "6.1.21.2-microsoft-standard-WSL2-wslk-0123456789".to_owned(),
            engine: "docker".to_owned(),
        };
        let spans = [
            span("fetch", 0.0, 1.0),
            span("patch", 1.0, 1.25),
            span("check of the tree", 1.0, 3.0),
            span("config", 1.25, 2.0),
            span("patch", 2.5, 2.75),
            span("publish", 25.0, 26.0),
            span(BOOT_TEST, 30.0, 50.0),
        ];
        Timings::new(subject, &spans, 50.0, &trace(), 3.0)
    }

    #[test]
    fn stages_stand_in_order_and_nothing_is_left_out() {
        let timings = timings();
        let found: Vec<(&str, f64)> = timings
            .stages
            .iter()
            .map(|stage| (stage.name.as_str(), stage.seconds))
            .collect();
        let expected = [
            ("fetch", 1.0),
            ("patch", 0.5),
            ("check of the tree", 2.0),
            ("config", 0.75),
            ("job start", 0.5),
            (MAKE, 20.0),
            ("job end", 0.5),
            ("publish", 1.0),
            (BOOT_TEST, 20.0),
            (BETWEEN, 5.0),
        ];
        assert_eq!(found, expected);
        assert_eq!(timings.stages[9].spans, [(24.0, 25.0), (26.0, 30.0)]);
        assert!((timings.stages[5].share - 0.4).abs() < 1e-9);
    }

    #[test]
    fn the_boot_test_is_no_part_of_what_is_not_make() {
        let totals = timings().totals;
        assert!((totals.not_make - (1.0 - 20.0 / 30.0)).abs() < 1e-3);
        assert!((totals.make - 20.0).abs() < 1e-9);
    }

    #[test]
    fn totals_count_what_compiles() {
        let totals = timings().totals;
        let counted = (totals.units, totals.found, totals.missed, totals.jobs);
        assert_eq!(counted, (5, 1, 1, 2));
        // 0.9 + 6 + 1 + 0.5 + 3 + 3 + 1 seconds in a run of 16.
        assert!((totals.concurrency - 15.4 / 16.0).abs() < 1e-3);
    }

    #[test]
    fn the_slowest_come_first() {
        let timings = timings();
        let slowest = timings.slowest();
        let names: Vec<&str> = slowest
            .iter()
            .map(|timed| timed.step.target.as_str())
            .collect();
        assert_eq!(names[..3], ["init/main.o", "vmlinux", "net/x.ko"]);
        assert_eq!(names.len(), 10, "one has no known end");
    }

    #[test]
    fn the_document_has_it_all() {
        let document: serde_json::Value = serde_json::from_str(&timings().to_json()).unwrap();
        assert_eq!(document["schema"], "wslk/timings/1");
        assert_eq!(document["build"], "6.1.21.2-tiny-0123456789");
        let step = &document["make"]["steps"][3];
        assert_eq!(
            (&step["kind"], &step["cache"]),
            (&"compile".into(), &"found".into())
        );
        assert_eq!((&step["start"], &step["end"]), (&7.0.into(), &8.0.into()));
        assert_eq!(document["make"]["kinds"][0]["kind"], "kconfig");
    }

    #[test]
    fn a_build_of_nothing_is_timed_too() {
        let subject = timings().subject;
        let trace = Trace {
            started: Instant::now(),
            seconds: 0.0,
            jobs: 1,
            kept: 9,
            phases: Vec::new(),
            steps: Vec::new(),
        };
        let timings = Timings::new(subject, &[], 0.0, &trace, 0.0);
        assert_eq!(timings.totals.kept, 9);
        assert!(timings.totals.concurrency.abs() < 1e-9);
        let text = page(&timings).unwrap();
        assert!(text.contains("Nothing was compiled") && !text.contains("Inside make"));
        assert!(!timings.stages.iter().any(|stage| stage.name == MAKE));
    }

    #[test]
    fn both_files_are_written_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(DATA), "old").unwrap();
        let written = write(folder.path(), &timings()).unwrap();
        assert_eq!(written, Written::in_folder(folder.path()));
        assert!(files::read(&written.data).unwrap().starts_with('{'));
        assert!(
            files::read(&written.page)
                .unwrap()
                .starts_with("<!DOCTYPE html>")
        );
    }
}
