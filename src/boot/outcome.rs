//! What a boot test found out: plain data, kept as `boot/report.json` beside the build.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::smoke::SmokeReport;

/// The number in [`BootReport::schema`].
pub const SCHEMA: u32 = 1;

/// The evidence of one boot test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BootReport {
    /// Format of this document: [`SCHEMA`].
    pub schema: u32,
    /// The verdict; anything but [`Verdict::Passed`] has its reasons below.
    pub verdict: Verdict,
    /// What the kernel did wrong; empty unless it failed.
    pub failures: Vec<Failure>,
    /// What could not be tested, and why; empty when it passed.
    pub untested: Vec<String>,
    /// What deserves a look though it decides nothing: a stall of a busy machine, an old CRIU.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// What QEMU ran on.
    pub accel: Accel,
    /// SHA-256 of the kernel that was booted: another kernel needs another test.
    pub kernel: Sha256,
    /// SHA-256 of the modules disk that was attached.
    pub modules_disk: Option<Sha256>,
    /// What the guest's `uname -r` said, once it spoke.
    pub kernel_release: Option<String>,
    /// Whether `/proc/config.gz` is the config that was built; unknown where the kernel does not carry it.
    pub config_matches: Option<bool>,
    /// What the modules disk was found to do.
    pub modules: Option<ModulesReport>,
    /// What the scenarios found.
    pub smoke: Option<SmokeReport>,
    /// From QEMU's start to its end.
    pub seconds: f64,
    /// From QEMU's start to the agent's first word.
    pub userspace_seconds: Option<f64>,
    /// Where the time went, in order.
    pub phases: Vec<Phase>,
}

impl BootReport {
    /// What people call the kernel that was tested.
    #[must_use]
    pub fn release(&self) -> &str {
        self.kernel_release.as_deref().unwrap_or("the kernel")
    }

    /// Why it failed, a sentence each.
    #[must_use]
    pub fn reasons(&self) -> Vec<&str> {
        self.failures
            .iter()
            .map(|failure| failure.reason.as_str())
            .collect()
    }

    /// What to look at after a failure.
    #[must_use]
    pub fn hint(&self) -> String {
        let mut options: Vec<&str> = self
            .failures
            .iter()
            .flat_map(|failure| &failure.options)
            .map(String::as_str)
            .collect();
        options.sort_unstable();
        options.dedup();
        match options.as_slice() {
            [] => "console.log and agent.jsonl in the build's boot folder say more".to_owned(),
            options => format!("kernel options to look at: {}", options.join(", ")),
        }
    }

    /// Whether the kernel passed everything.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.verdict == Verdict::Passed
    }
}

/// The answer in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Everything was tested and works.
    Passed,
    /// The kernel failed at something.
    Failed,
    /// Nothing failed, but not everything could be tested.
    NotTestable,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::NotTestable => "not testable",
        })
    }
}

/// One thing that the kernel did wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure it is.
    pub kind: FailureKind,
    /// One sentence for people.
    pub reason: String,
    /// The scenario that failed, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// Kernel options to look at, without `CONFIG_`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// The console's own words, where they say it best.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excerpt: Vec<String>,
}

/// The kinds of failure, told apart because each is looked for somewhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The kernel panicked.
    Panic,
    /// The kernel oopsed or hit a BUG, whether or not it went on.
    Oops,
    /// It warned of a stall, a lockup or a hung task, or stopped saying anything.
    Hang,
    /// QEMU ended before the test did, and the console does not say why.
    EarlyExit,
    /// The console is alive, the agent never said a word.
    AgentSilent,
    /// Not a single byte came from the kernel.
    Mute,
    /// The running kernel is not the one that was built: release or config differ.
    Identity,
    /// Something that WSL's init mounts could not be mounted.
    Setup,
    /// The modules disk or its modules do not work.
    Modules,
    /// A scenario failed.
    Scenario,
}

/// What QEMU ran on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accel {
    /// The processor itself.
    Kvm,
    /// QEMU's emulation.
    Tcg,
}

impl fmt::Display for Accel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "KVM",
            Self::Tcg => "TCG",
        })
    }
}

/// What the modules disk was found to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModulesReport {
    /// Modules the disk's own `modules.dep` knows.
    pub count: usize,
    /// The disk's root as `/lib/modules/<release>`, which every released WSL does.
    pub flat: LayoutReport,
    /// `<release>/modules` as `/lib/modules/<release>`, which coming ones do.
    pub nested: LayoutReport,
}

/// One layout, overlaid and used as WSL does it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LayoutReport {
    /// Whether everything below went well.
    pub works: bool,
    /// Modules that were loaded and unloaded again with the real `modprobe`.
    pub loaded: Vec<String>,
    /// Whether the real `depmod`, run on the overlay, finds the same modules and dependencies.
    pub depmod_agrees: bool,
    /// Whether it finds them at the same paths, and not in the other layout. Nothing breaks where it does not.
    pub paths_kept: bool,
    /// What went wrong, in the tools' own words.
    pub problems: Vec<String>,
}

/// A part of the time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Its name: "firmware and kernel", "modules", a scenario …
    pub name: String,
    /// How long it took.
    pub seconds: f64,
}
