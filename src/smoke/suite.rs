//! The suite.
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::{ScenarioReport, SmokeReport};
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
    /// Names of the scenarios to run; empty for all.
    pub only: Vec<String>,
    /// Dump and restore cycles of each scenario.
    pub cycles: u32,
    /// How many scenarios run at the same time.
    pub parallel: usize,
    /// Time for one scenario in all.
    pub deadline: Duration,
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
        }
    }
}

/// What the suite has to say while it works.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Progress {
    /// So many scenarios will run.
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
pub fn run(options: &SuiteOptions, runner: &dyn Runner, progress: &mut dyn FnMut(Progress)) -> SmokeReport {
    let _ = (options, runner, progress);
    SmokeReport::default()
}
