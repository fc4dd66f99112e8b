//! What is known of one publication: everything that an index or a page shows of it.
//!
//! In: the build, its boot report and its files. Out: an [`Entry`], `entry.json`. Must not say anything that the
//! files beside it do not.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Control;
use crate::artefact::{Build, BuildId, Output};
use crate::boot::{Accel, BootReport};
use crate::smoke::Verdict;
use crate::source::Tag;

/// The form of `entry.json`.
pub(super) const SCHEMA: &str = "wslk/entry/1";

/// One publication.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// `wslk/entry/1`.
    pub schema: String,
    /// The tag that it was built from.
    pub tag: Tag,
    /// The build.
    pub build: BuildId,
    /// The profile that picked its fragments.
    pub profile: String,
    /// What `uname -r` says under it.
    pub release: String,
    /// The commit that the tag named.
    pub commit: Option<String>,
    /// Git's id of the source tree.
    pub tree: String,
    /// When it was built, in seconds since 1970.
    pub finished: u64,
    /// When it was published, in seconds since 1970.
    pub published: u64,
    /// Duration of the build, in seconds.
    pub build_seconds: f64,
    /// How its boot test went, which it passed.
    pub boot: Booted,
    /// What it dumps and restores.
    pub scenarios: Vec<Scenario>,
    /// How it stands beside its control, where it was compared with one.
    pub control: Option<Beside>,
    /// Every file of the entry but this one, `SHA256SUMS` and its signature.
    pub files: BTreeMap<String, Output>,
}

/// A boot test that was passed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Booted {
    /// What QEMU ran on.
    pub accel: Accel,
    /// From QEMU's start to its end.
    pub seconds: f64,
    /// From QEMU's start to the first word from userspace.
    pub userspace_seconds: Option<f64>,
    /// CRIU's version.
    pub criu: Option<String>,
}

/// What became of one scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What became of it.
    pub verdict: Verdict,
    /// How many whole cycles passed.
    pub cycles: u32,
    /// Wall time in seconds.
    pub seconds: f64,
    /// Why it does not work, or was not tested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A kernel beside its control.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Beside {
    /// The build that was the control.
    pub build: BuildId,
    /// What works here and not there.
    pub adds: Vec<String>,
    /// What works there and not here.
    pub loses: Vec<String>,
    /// All of it in one sentence.
    pub conclusion: String,
}

impl Entry {
    /// Gathers the facts; `files` are those that are there by now.
    pub(super) fn new(
        tag: Tag,
        build: &Build,
        report: &BootReport,
        control: Option<&Control>,
        files: BTreeMap<String, Output>,
    ) -> Self {
        let (manifest, run) = (build.manifest(), build.run());
        let smoke = report.smoke.as_ref();
        Self {
            schema: SCHEMA.to_owned(),
            tag,
            build: manifest.id.clone(),
            profile: manifest.profile.clone(),
            release: manifest.release.clone(),
            commit: manifest.source.commit.clone(),
            tree: manifest.source.tree.clone(),
            finished: run.finished,
            published: 0,
            build_seconds: run.seconds,
            boot: Booted {
                accel: report.accel,
                seconds: report.seconds,
                userspace_seconds: report.userspace_seconds,
                criu: smoke.and_then(|smoke| smoke.criu_version.clone()),
            },
            scenarios: smoke.map_or_else(Vec::new, |smoke| {
                smoke.scenarios.iter().map(Scenario::from).collect()
            }),
            control: control.map(Beside::from),
            files,
        }
    }

    /// Its folder, below the outlet's root, with `/` on every system.
    #[must_use]
    pub fn path(&self) -> String {
        path(&self.tag, &self.build)
    }
}

/// Where the entry of a build is, below the outlet's root.
pub(super) fn path(tag: &Tag, build: &BuildId) -> String {
    format!("{tag}/{build}")
}

impl From<&crate::smoke::ScenarioReport> for Scenario {
    fn from(report: &crate::smoke::ScenarioReport) -> Self {
        Self {
            name: report.name.clone(),
            verdict: report.verdict,
            cycles: report.cycles,
            seconds: report.seconds,
            reason: report.reason.clone(),
        }
    }
}

impl From<&Control> for Beside {
    fn from(control: &Control) -> Self {
        Self {
            build: control.build.clone(),
            adds: control.comparison.adds.clone(),
            loses: control.comparison.loses.clone(),
            conclusion: control.comparison.conclusion.clone(),
        }
    }
}
