//! Probe: what this machine can do for CRIU and CUDA, found out by doing it.
//!
//! In: [`Options`] and whatever driver there is. Out: a [`CapabilityReport`] with one [`Row`] per capability:
//! what was measured, the evidence, and what is documented beside it. Must not believe what the driver says
//! about itself, and must not fall with it: a driver call may hang, crash or lie.
//!
//! ```text
//! judge:  for each row  start ─▶ read words until the end, a crash or the deadline ─▶ verdict
//! part:   this same program, hidden verb `probe-part`: loads the driver, tries, says each word at once
//! holder: a process with device memory, which a part checkpoints from outside
//! ```
//!
//! So a hang, a crash or a lie of the driver becomes a verdict with the evidence that came before it, and
//! never ours. What is there and what was not tried are told apart: `not-testable` is neither good nor bad.

mod account;
mod catalogue;
mod criu;
mod driver;
mod holder;
mod judge;
mod machine;
mod measure;
mod page;
pub mod part;
mod vllm;
mod windows;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::account::{Curve, Figure, Point};
pub use self::catalogue::{known, names};
pub use self::judge::run;
pub use self::machine::Machine;
pub use self::page::page;
use crate::files::FileError;
use crate::wsl::host::Surroundings;

/// What became of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Done, and the result is right.
    Works,
    /// The driver or the system declined, with a code or in words.
    Refused,
    /// It broke, hung, or said that it had worked when it had not.
    Failed,
    /// Nothing here to try it on, or nothing to try it with.
    NotTestable,
}

impl Verdict {
    /// The word used in JSON and in tables.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::NotTestable => "not-testable",
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word())
    }
}

/// One capability, judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its name, for example `cuda-checkpoint`.
    pub row: String,
    /// The same for people.
    pub title: String,
    /// What became of it.
    pub verdict: Verdict,
    /// The driver's code where it refused or broke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// One sentence: why, or what was proved.
    pub summary: String,
    /// The last step that was begun, where it did not end well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// What was seen, in order.
    pub evidence: Vec<String>,
    /// What was measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub figures: Vec<Figure>,
    /// Bandwidth by size.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curves: Vec<Curve>,
    /// What vendors document or users report about it, to be held against what was measured.
    pub documented: String,
    /// Wall time in seconds.
    pub seconds: f64,
}

impl Row {
    /// The verdict with its code: `refused (801)`.
    #[must_use]
    pub fn verdict_and_code(&self) -> String {
        match self.code {
            Some(code) if self.verdict != Verdict::Works => format!("{} ({code})", self.verdict),
            _ => self.verdict.to_string(),
        }
    }
}

/// Everything that was found out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CapabilityReport {
    /// What was measured on.
    pub machine: Machine,
    /// The rows in the order of the list.
    pub rows: Vec<Row>,
    /// Wall time in seconds.
    pub seconds: f64,
}

impl CapabilityReport {
    /// The report as `--json` prints it.
    ///
    /// # Errors
    /// [`ProbeError::Page`] if it has no form as JSON, which no report should cause.
    pub fn document(&self) -> Result<String, ProbeError> {
        #[derive(Serialize)]
        struct Document<'a> {
            schema: &'static str,
            #[serde(flatten)]
            report: &'a CapabilityReport,
        }
        let document = Document {
            schema: "wslk/probe/1",
            report: self,
        };
        let text = serde_json::to_string_pretty(&document);
        text.map(|text| text + "\n")
            .map_err(|error| ProbeError::Page(error.to_string()))
    }

    /// Those of the rows of `required` that do not work here.
    #[must_use]
    pub fn unmet(&self, required: &[String]) -> Vec<&Row> {
        let unmet = |row: &&Row| row.verdict != Verdict::Works && required.contains(&row.row);
        self.rows.iter().filter(unmet).collect()
    }
}

/// What to probe, and with what.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program that knows the hidden verbs: normally the running one.
    pub program: PathBuf,
    /// A folder of our own on a file system that CRIU can dump; made if missing.
    pub work: PathBuf,
    /// Names of the rows to probe; empty for all.
    pub only: Vec<String>,
    /// The folder of `libcuda.so.1` and `libnvidia-ml.so.1`; where the system has them if `None`.
    pub library: Option<PathBuf>,
    /// Device memory that the checkpointed process holds, in bytes; by what is free if `None`.
    pub hold: Option<u64>,
    /// The most that is pinned at once, in bytes; 60 % of the memory that is available if `None`.
    pub pin: Option<u64>,
    /// Time for each row instead of its own; a driver that hangs costs that much.
    pub deadline: Option<Duration>,
    /// CRIU, by name or path.
    pub criu: PathBuf,
    /// Python, by name or path: the one that may have vLLM.
    pub python: PathBuf,
    /// Where we run.
    pub surroundings: Surroundings,
    /// Variables that change what the driver shows, such as `CUDA_VISIBLE_DEVICES`, handed on to the parts.
    pub environment: Vec<(String, String)>,
}

impl Options {
    /// The rows that would be probed, and the most time that each may take.
    pub fn plan(&self) -> impl Iterator<Item = (&'static str, Duration)> {
        let entries = catalogue::ALL.iter().filter(|entry| self.wants(entry.name));
        entries.map(|entry| (entry.name, entry.deadline(self.deadline)))
    }

    fn wants(&self, row: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == row)
    }

    #[cfg(test)]
    fn for_test() -> Self {
        Self {
            program: "wslk".into(),
            work: "/nowhere".into(),
            only: Vec::new(),
            library: None,
            hold: None,
            pin: None,
            deadline: None,
            criu: "criu".into(),
            python: "python3".into(),
            surroundings: Surroundings::default(),
            environment: Vec::new(),
        }
    }
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The user asked us to stop.
    #[error("interrupted while probing")]
    Interrupted,
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The page could not be made.
    #[error("cannot draw the report: {0}")]
    Page(String),
}

impl ProbeError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint().map(str::to_owned),
            Self::Interrupted | Self::Page(_) => None,
        }
    }
}
