//! The suite: which scenarios, in which order, how many at a time.
//!
//! In: [`SuiteOptions`]. Out: a [`SmokeReport`], and [`Progress`] on the way. Must not fail: whatever
//! goes wrong is a verdict. Danger: it makes this process the one that inherits orphans, and takes the
//! victims' deaths by their numbers; nobody else in this process may wait for "any child" meanwhile.

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::criu::{self, Criu};
use super::cycle::Case;
use super::diag::{self, DiagProbe};
use super::precheck::{self, Blocked};
use super::scenario::{self, Scenario, Variant};
use super::{ScenarioReport, SmokeReport, Verdict};
use crate::exec::Runner;

/// What to run, and with what.
#[derive(Debug, Clone)]
pub struct SuiteOptions {
    /// The program that knows the hidden verb `victim`: normally the running one.
    pub program: PathBuf,
    /// CRIU, by name or path.
    pub criu: PathBuf,
    /// A folder of our own on a file system that CRIU can dump (not 9p); made if missing.
    pub work: PathBuf,
    /// Names of the scenarios or variants to run; empty for all.
    pub only: Vec<String>,
    /// Dump and restore cycles of each scenario.
    pub cycles: u32,
    /// How many scenarios run at the same time.
    pub parallel: usize,
    /// Time for one scenario in all.
    pub deadline: Duration,
    /// Whether every restored victim harms its own data before it is checked, so that every scenario
    /// must fail: the proof that its check can. Never a statement about a kernel.
    pub tamper: bool,
}

impl SuiteOptions {
    /// All scenarios, two cycles each, two at a time, 60 s for each.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>, work: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            criu: "criu".into(),
            work: work.into(),
            only: Vec::new(),
            cycles: 2,
            parallel: 2,
            deadline: Duration::from_secs(60),
            tamper: false,
        }
    }
}

/// Why the suite was not run, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// No scenario has that name.
    #[error("there is no scenario `{name}`")]
    NoScenario {
        /// What was asked for.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The user has seen enough.
    #[error("interrupted: the suite was not finished")]
    Interrupted,
}

impl SuiteError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoScenario { known, .. } => Some(format!("there are: {}", known.join(", "))),
            Self::Interrupted => None,
        }
    }
}

/// What the suite has to say while it works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Progress {
    /// These scenarios will run.
    Planned {
        /// Their names in the order of the list.
        names: Vec<String>,
    },
    /// A scenario begins.
    Started {
        /// Its name.
        name: String,
    },
    /// A cycle of a scenario passed.
    Cycle {
        /// Its name.
        name: String,
        /// The cycle's number, from 1.
        cycle: u32,
    },
    /// A scenario has been judged.
    Judged {
        /// The verdict and all that belongs to it.
        report: ScenarioReport,
    },
}

/// Runs the suite. Whatever goes wrong is a verdict in the report.
pub fn run(
    options: &SuiteOptions,
    runner: &dyn Runner,
    progress: &mut dyn FnMut(Progress),
) -> SmokeReport {
    let began = Instant::now();
    let chosen = choose(&options.only);
    progress(Progress::Planned {
        names: chosen
            .iter()
            .map(|(scenario, variant)| scenario.title(variant))
            .collect(),
    });
    let release = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let criu = Criu::new(&options.criu, runner);
    let (ground, blocked) = precheck::check(&criu, &release, &status);
    let blocked = blocked.or_else(|| make_ready(options).err());
    let diag = diag::probe();
    let scenarios = match &blocked {
        Some(blocked) => chosen
            .iter()
            .map(|(scenario, variant)| not_tested(scenario, variant, blocked))
            .collect(),
        None => {
            let cases = chosen
                .iter()
                .map(|(scenario, variant)| case(scenario, variant, options, &criu, &diag));
            run_all(&cases.collect::<Vec<_>>(), options.parallel, progress)
        }
    };
    SmokeReport {
        kernel_release: release,
        criu_version: ground.version.map(|version| version.to_string()),
        blocked,
        warnings: ground.warnings,
        diag,
        scenarios,
        seconds: began.elapsed().as_secs_f64(),
    }
}

/// The names of everything that can be asked for.
pub fn names() -> impl Iterator<Item = String> {
    let of = |scenario: &'static Scenario| {
        scenario
            .variants
            .iter()
            .map(|variant| scenario.title(variant))
    };
    scenario::ALL.iter().flat_map(of)
}

fn choose(only: &[String]) -> Vec<(&'static Scenario, &'static Variant)> {
    let wanted = |scenario: &Scenario, variant: &Variant| {
        only.is_empty()
            || only
                .iter()
                .any(|name| *name == scenario.name || *name == scenario.title(variant))
    };
    let pairs = scenario::ALL.iter().flat_map(|scenario| {
        scenario
            .variants
            .iter()
            .map(move |variant| (scenario, variant))
    });
    pairs
        .filter(|(scenario, variant)| wanted(scenario, variant))
        .collect()
}

fn make_ready(options: &SuiteOptions) -> Result<(), Blocked> {
    let blocked = |what: &str, error: &dyn std::fmt::Display| Blocked {
        reason: format!("cannot {what}: {error}"),
        hint: "run it as root, with a work folder that can be written to".to_owned(),
    };
    crate::files::create_dir(&options.work)
        .map_err(|error| blocked("make the work folder", &error))?;
    // What CRIU learned about another kernel, or about this one before modules were loaded.
    criu::forget_kernel().map_err(|error| blocked("remove CRIU's kernel cache", &error))?;
    // What our caller left open must not reach the victims: it may lie where CRIU cannot see it.
    close_fds::set_fds_cloexec_threadsafe(3, &[]);
    // Restored processes and orphans of killed ones become our children: only so can their numbers
    // be freed for the next restore wherever nobody else waits for them.
    let own = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(own))
        .map_err(|error| blocked("take care of orphans", &error))
}

fn not_tested(scenario: &Scenario, variant: &Variant, blocked: &Blocked) -> ScenarioReport {
    ScenarioReport {
        name: scenario.title(variant),
        verdict: Verdict::NotTestable,
        cycles: 0,
        reason: Some(blocked.reason.clone()),
        hint: Some(blocked.hint.clone()),
        options: scenario.depends_on(variant),
        missing: Vec::new(),
        errors: Vec::new(),
        extra: variant.extra,
        seconds: 0.0,
    }
}

fn case<'a>(
    scenario: &'static Scenario,
    variant: &'static Variant,
    options: &'a SuiteOptions,
    criu: &'a Criu<'a>,
    diag: &'a [DiagProbe],
) -> Case<'a> {
    // A number of our own: what an earlier run left behind must not answer for this one.
    let own = rustix::process::getpid().as_raw_nonzero();
    Case {
        scenario,
        variant,
        program: &options.program,
        criu,
        diag,
        dir: options
            .work
            .join(format!("{}-{own}", scenario.title(variant))),
        cycles: options.cycles,
        limit: options.deadline,
        tamper: options.tamper,
    }
}

fn run_all(
    cases: &[Case<'_>],
    parallel: usize,
    progress: &mut dyn FnMut(Progress),
) -> Vec<ScenarioReport> {
    let waiting = Mutex::new(cases.iter().enumerate());
    let (sender, receiver) = mpsc::channel();
    let mut done: Vec<(usize, ScenarioReport)> = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..parallel.clamp(1, cases.len().max(1)) {
            let sender = sender.clone();
            scope.spawn(|| work(&waiting, sender));
        }
        drop(sender);
        for (place, news) in receiver {
            if let Progress::Judged { report } = &news {
                done.push((place, report.clone()));
            }
            progress(news);
        }
    });
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, report)| report).collect()
}

type Cases<'a> = std::iter::Enumerate<std::slice::Iter<'a, Case<'a>>>;

/// Takes one case after the other. A receiver that is gone wants no more news; nothing else follows.
fn work(waiting: &Mutex<Cases<'_>>, sender: Sender<(usize, Progress)>) {
    let next = || waiting.lock().ok().and_then(|mut cases| cases.next());
    while let Some((place, case)) = next() {
        let name = case.title();
        let _deaf = sender.send((place, Progress::Started { name: name.clone() }));
        let report = case.run(&mut |cycle| {
            let _deaf = sender.send((
                place,
                Progress::Cycle {
                    name: name.clone(),
                    cycle,
                },
            ));
        });
        let _deaf = sender.send((place, Progress::Judged { report }));
    }
}
