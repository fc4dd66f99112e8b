//! Smoke: real processes dumped and restored by CRIU, judged by their own data.
//!
//! In: [`SuiteOptions`] and the running kernel. Out: a [`SmokeReport`] with one verdict per scenario,
//! each `fails` naming what was lost and the kernel option that is missing. Works as root in the test
//! guest and on any machine with CRIU; never touches a process that it did not start, never reads
//! settings, never knows who booted the kernel.
//!
//! A scenario is one file under `scenario/` and one line in its list. It holds both sides: the
//! *victim*, which is this same program started again with the hidden verb `victim`, and the *rules*
//! by which its answers before the dump are compared with those after the restore.
//!
//! ```text
//! judge:  start ─▶ ask "prepare" ─▶ criu dump ─▶ really gone? ─▶ criu restore ─▶ ask "check" ─▶ compare
//! victim: ready    answers state     killed        (pulse still)     restored        answers state
//!                     └──────────────────────── once per cycle ─────────────────────────────┘
//! ```
//!
//! What makes a scenario other than that is data: [`plan::Entry`] says where its first process lives (namespaces
//! of its own, a container), [`plan::Way`] by which calls it goes down and comes back (dumps in rounds, memory
//! that follows page by page, a container engine).
//!
//! Every scenario can harm its own victim (`Play::tamper`); [`SuiteOptions::tamper`] has all of them do so
//! between restore and check, and then none may pass: [`tampered`] says which noticed.
//!
//! Exit codes of CRIU decide only whether there is anything to judge. `criu check` decides nothing:
//! it is blind to missing socket diagnosis, which [`diag`] therefore probes by itself.

pub mod catalogue;
pub mod compare;
pub mod criu;
pub mod diag;
pub mod plan;
pub mod precheck;
pub mod scenario;
pub mod stage;
pub mod suite;
pub mod tampered;
pub mod victim;

mod body;
mod container;
mod cycle;
mod entry;
mod payload;
mod render;
mod setback;
mod stats;
mod talk;
mod way;

use serde::{Deserialize, Serialize};

pub use self::compare::{Compared, Comparison};
pub use self::diag::DiagProbe;
pub use self::precheck::Blocked;
pub use self::suite::{Progress, SuiteError, SuiteOptions, run};
pub use self::tampered::{Notice, Tampered, TamperedRow, Worth};

/// What became of one scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every cycle gave back a process whose data were whole.
    Works,
    /// Dump or restore failed, or the restored process had lost or changed something.
    Fails,
    /// CRIU declined by design: it says that this kernel or this CRIU does not offer the feature.
    Refused,
    /// The surroundings do not allow a statement about the kernel. Never a pass, never a failure.
    NotTestable,
}

impl Verdict {
    /// The word used in JSON and in tables.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Fails => "fails",
            Self::Refused => "refused",
            Self::NotTestable => "not-testable",
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word())
    }
}

/// One scenario, judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScenarioReport {
    /// Its name, for example `unix` or `tcp-nftables`.
    pub name: String,
    /// What became of it.
    pub verdict: Verdict,
    /// How many whole cycles passed.
    pub cycles: u32,
    /// Why it did not work; one sentence that names the missing kernel options where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the user can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The kernel options that it depends on, without the `CONFIG_` prefix.
    pub options: Vec<String>,
    /// Those of them that are known to be missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// CRIU's own error lines, without times and line numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// Whether it is about a program that people may well not have, such as a container engine: that it
    /// cannot be tested then leaves the verdict over all alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub extra: bool,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// What the whole suite found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SmokeReport {
    /// `uname -r` of the kernel under test.
    pub kernel_release: String,
    /// CRIU's own version, where it could be asked.
    pub criu_version: Option<String>,
    /// Why nothing could be tested here, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<Blocked>,
    /// What the user should know though the suite ran, for example a CRIU older than advised.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Socket diagnosis per family.
    pub diag: Vec<DiagProbe>,
    /// The scenarios in the order of the list.
    pub scenarios: Vec<ScenarioReport>,
    /// Wall time in seconds.
    pub seconds: f64,
}

impl SmokeReport {
    /// The verdict over all: works only if every scenario works; a failure outweighs what could not
    /// be tested. A suite without scenarios has tested nothing, nor has one of extras alone that are
    /// not here.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let has = |verdict| {
            self.scenarios
                .iter()
                .any(|scenario| scenario.verdict == verdict)
        };
        let untested = |scenario: &&ScenarioReport| scenario.is_untested();
        match () {
            () if has(Verdict::Fails) => Verdict::Fails,
            () if has(Verdict::Refused) => Verdict::Refused,
            () if self.scenarios.iter().find(untested).is_some() => Verdict::NotTestable,
            () if has(Verdict::Works) => Verdict::Works,
            () => Verdict::NotTestable,
        }
    }
}

impl ScenarioReport {
    /// Whether the kernel is left untested by it: what needs a program that people may not have does
    /// not count, and what was not dumped once has shown nothing.
    #[must_use]
    pub fn is_untested(&self) -> bool {
        let nothing_done = self.verdict == Verdict::Works && self.cycles == 0;
        nothing_done || (self.verdict == Verdict::NotTestable && !self.extra)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(scenarios: &[(Verdict, bool)]) -> SmokeReport {
        let scenario = |&(verdict, extra): &(Verdict, bool)| ScenarioReport {
            name: "a".into(),
            verdict,
            cycles: 2,
            reason: None,
            hint: None,
            options: Vec::new(),
            missing: Vec::new(),
            errors: Vec::new(),
            extra,
            seconds: 1.0,
        };
        SmokeReport {
            scenarios: scenarios.iter().map(scenario).collect(),
            ..SmokeReport::default()
        }
    }

    #[test]
    fn only_what_people_may_not_have_can_be_left_out() {
        use Verdict::{Fails, NotTestable, Works};
        for (scenarios, verdict) in [
            (&[][..], NotTestable),
            (&[(Works, false)], Works),
            (&[(Works, false), (NotTestable, true)], Works),
            (&[(Works, false), (NotTestable, false)], NotTestable),
            (&[(Works, false), (NotTestable, true), (Fails, true)], Fails),
            (&[(NotTestable, true)], NotTestable),
        ] {
            assert_eq!(report(scenarios).verdict(), verdict, "{scenarios:?}");
        }
    }
}
