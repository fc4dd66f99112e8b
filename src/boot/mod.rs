//! Boots a built kernel in QEMU and lets it prove that it can checkpoint and restore processes.
//!
//! In: a [`Subject`] (kernel, final config, modules disk), [`BootOptions`], and a [`Stand`] to test on (the
//! guest's tools, a folder for the evidence). Out: a [`BootReport`], bound to the digests of what was tested,
//! beside the console log and the agent's events.
//!
//! ```text
//! accel: which accelerator works here        plan: QEMU's arguments as data
//! tools: CRIU and its libraries ─▶ initramfs: /init is this very program, run as the [`agent`]
//! run: QEMU under a deadline ─▶ console: what the serial text says ─▶ verdict
//! ```
//!
//! A kernel that fails is a [`Verdict::Failed`] in a report. A test that could not be made is a [`BootError`]:
//! never a pass, and never the kernel's fault. Must not build, install or publish anything.

mod accel;
pub mod agent;
mod cases;
mod console;
mod cpio;
mod elf;
mod error;
mod initramfs;
mod judge;
mod outcome;
mod plan;
mod run;
mod tools;

use std::path::PathBuf;
use std::time::Duration;

pub use self::accel::prove_kvm;
pub use self::error::BootError;
pub use self::outcome::{
    Accel, BootReport, Failure, FailureKind, LayoutReport, ModulesReport, Phase, SCHEMA, Verdict,
};
pub use self::plan::Plan;
pub use self::run::{JUNIT, REPORT, Stand, TAP, plan, read_report, test};
pub use self::tools::{GuestTools, ToolSource};

/// What is tested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The bzImage.
    pub kernel: PathBuf,
    /// The final `.config` it was built from.
    pub config: PathBuf,
    /// The modules disk: a fixed VHD, or a bare file system image, that holds an ext4 without a partition table.
    pub modules: Option<PathBuf>,
    /// What `uname -r` has to say.
    pub release: String,
}

/// Which accelerator QEMU may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccelChoice {
    /// KVM where it was seen to work within a deadline, else TCG.
    #[default]
    Auto,
    /// KVM or nothing.
    Kvm,
    /// QEMU's own emulation: slow, and works everywhere.
    Tcg,
}

impl std::str::FromStr for AccelChoice {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "auto" => Ok(Self::Auto),
            "kvm" => Ok(Self::Kvm),
            "tcg" => Ok(Self::Tcg),
            _ => Err(format!(
                "`{word}` is no accelerator; it is auto, kvm or tcg"
            )),
        }
    }
}

/// How the test is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootOptions {
    /// QEMU's program.
    pub qemu: PathBuf,
    /// Which accelerator to use.
    pub accel: AccelChoice,
    /// The guest's memory in MiB.
    pub memory_mib: u32,
    /// The guest's processors.
    pub cpus: u32,
    /// The whole time from QEMU's start to its end; what takes longer hangs.
    pub deadline: Duration,
    /// The longest silence on the console; the agent says something more often than that.
    pub silence: Duration,
    /// The scenarios to run, by name; all of them when empty.
    pub scenarios: Vec<String>,
    /// How often each scenario is dumped and restored.
    pub cycles: u32,
    /// Every victim's data is tampered with before its check, so that none may pass.
    pub tamper: bool,
}

impl Default for BootOptions {
    fn default() -> Self {
        Self {
            qemu: "qemu-system-x86_64".into(),
            accel: AccelChoice::Auto,
            memory_mib: 1024,
            cpus: 2,
            deadline: Duration::from_secs(600),
            silence: Duration::from_secs(120),
            scenarios: Vec::new(),
            cycles: 2,
            tamper: false,
        }
    }
}
