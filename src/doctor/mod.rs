//! Doctor: where a user stands, on one screen, before an hour is spent on a kernel.
//!
//! In: a [`Place`] to look at: the running machine, or files and answers that stand for one. Out: a
//! [`Diagnosis`]: one [`Check`] per question with its evidence and what to do next, and the answer to "do I need
//! a kernel of my own?". Must not change anything, and must not wait: programs get short deadlines and are
//! asked at the same time.
//!
//! ```text
//! Place ─▶ gather ─▶ Machine (facts) ─▶ system, wslconfig, kernel, criu, build, devices ─▶ Check ─▶ screen
//! ```
//!
//! Everything behind [`Machine`] is a pure function of it.

mod build;
mod contract;
mod criu;
mod devices;
mod files;
mod gather;
mod hurry;
mod kernel;
mod machine;
mod screen;
mod system;
mod traces;
mod wslconfig;

use serde::Serialize;

pub use self::contract::Stand;
pub use self::gather::gather;
pub use self::machine::{Machine, Place, Senses};
pub use self::traces::soft_dirty_is_tracked;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Something works less well than it could.
    Warn,
    /// Something that is required here is not there.
    Fail,
    /// It could not be found out. Never a pass, never a failure.
    Unknown,
    /// The question makes no sense here.
    NotApplicable,
}

impl Status {
    /// The word used on the screen and in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
            Self::NotApplicable => "not-applicable",
        }
    }
}

/// One question and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What is checked, in one word.
    pub id: &'static str,
    /// How it came out.
    pub status: Status,
    /// One clause.
    pub summary: String,
    /// Where it was seen.
    pub evidence: String,
    /// What the user can do about it.
    pub hint: Option<String>,
}

impl Check {
    fn new(id: &'static str, status: Status, summary: impl Into<String>) -> Self {
        Self {
            id,
            status,
            summary: summary.into(),
            evidence: String::new(),
            hint: None,
        }
    }

    fn ok(id: &'static str, summary: impl Into<String>) -> Self {
        Self::new(id, Status::Ok, summary)
    }

    fn warn(id: &'static str, summary: impl Into<String>) -> Self {
        Self::new(id, Status::Warn, summary)
    }

    fn fail(id: &'static str, summary: impl Into<String>) -> Self {
        Self::new(id, Status::Fail, summary)
    }

    fn unknown(id: &'static str, summary: impl Into<String>) -> Self {
        Self::new(id, Status::Unknown, summary)
    }

    fn not_applicable(id: &'static str, summary: impl Into<String>) -> Self {
        Self::new(id, Status::NotApplicable, summary)
    }

    fn seen(mut self, evidence: impl Into<String>) -> Self {
        self.evidence = evidence.into();
        self
    }

    fn next(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// All checks, and what they come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// The checks, in the order of the screen.
    pub checks: Vec<Check>,
    /// How the running kernel stands to what CRIU needs.
    pub kernel: Stand,
    /// What follows, in one or two sentences.
    pub conclusion: String,
}

impl Diagnosis {
    /// Judges what was found.
    #[must_use]
    pub fn of(machine: &Machine) -> Self {
        let contract = contract::Contract::of(machine);
        let mut checks = system::checks(machine, &contract);
        checks.extend(wslconfig::checks(machine));
        checks.extend(kernel::checks(machine, &contract));
        checks.extend(criu::checks(machine));
        checks.extend(build::checks(machine, &contract));
        checks.extend(devices::checks(machine));
        let mut conclusion = kernel::conclusion(machine, &contract);
        let stand = contract.stand();
        let enough = matches!(stand, Stand::Enough | Stand::EnoughForMost);
        if enough && checks.iter().any(|check| check.status == Status::Fail) {
            conclusion.push_str(" What failed above comes first.");
        }
        Self {
            checks,
            kernel: stand,
            conclusion,
        }
    }

    /// The names of the checks that failed.
    #[must_use]
    pub fn failed(&self) -> Vec<&'static str> {
        let failed = self.checks.iter().filter(|c| c.status == Status::Fail);
        failed.map(|check| check.id).collect()
    }
}
