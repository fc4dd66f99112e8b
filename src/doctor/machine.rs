//! What a machine is to the doctor: facts, before anybody judges them.
//!
//! In: nothing. Out: [`Place`], where to look, and [`Machine`], what was seen there. Must not look by itself.

use std::path::PathBuf;
use std::sync::Arc;

use crate::exec::Runner;
use crate::smoke::DiagProbe;
use crate::smoke::criu::{CriuError, Version};
use crate::wsl::host::{Distro, Surroundings, Wsl};
use crate::wsl::policy::Policy;
use crate::wsl::version::WslVersion;
use crate::wsl::wslconfig::{Finding, Reading, WslConfig};

/// Where to look. Tests put a folder, prepared answers and made-up senses in the place of a machine.
#[derive(Debug, Clone)]
pub struct Place {
    /// `/`.
    pub root: PathBuf,
    /// What runs programs.
    pub runner: Arc<dyn Runner>,
    /// Which Linux this is.
    pub surroundings: Surroundings,
    /// What only system calls tell.
    pub senses: Senses,
    /// The Windows profile, where the user names it.
    pub windows_home: Option<PathBuf>,
    /// Whether to take the time that slow questions need.
    pub deep: bool,
}

/// What no file and no program tells.
#[derive(Debug, Clone, Default)]
pub struct Senses {
    /// The name that `uname -m` uses.
    pub arch: String,
    /// Whether we are root.
    pub root_user: bool,
    /// Processors that we may use.
    pub cpus: usize,
    /// The folder that builds go to, and its free bytes.
    pub home: PathBuf,
    /// Free bytes there, where the file system says so.
    pub space: Option<u64>,
    /// Socket diagnosis, family by family.
    pub diag: Vec<DiagProbe>,
    /// Whether a page that was written to is marked so; `None` where the mark cannot be read.
    pub soft_dirty: Option<bool>,
    /// Whether a tiny guest ran under KVM, or why not; only where there was time to try.
    pub kvm: Option<Result<(), String>>,
}

/// The answer of a program: nothing where it was not asked, else what it said or why it did not.
pub(super) type Answer<T> = Option<Result<T, String>>;

/// Facts about a machine.
#[derive(Debug)]
pub struct Machine {
    pub(super) wsl: Wsl,
    pub(super) release: String,
    pub(super) distro: Option<String>,
    pub(super) senses: Senses,
    /// `PRETTY_NAME` of the distribution.
    pub(super) system: String,
    /// What kind of container this is.
    pub(super) container: Option<String>,
    /// Whether the processor says that somebody emulates it.
    pub(super) virtual_machine: bool,
    pub(super) windows: WindowsSide,
    pub(super) config: KernelConfig,
    /// Options whose traces were looked for: name, whether there was one, where.
    pub(super) traces: Vec<Trace>,
    /// Modules that can be loaded.
    pub(super) modules: Modules,
    /// Whether each new network namespace gets a `tunl0`; nothing where that is not known.
    pub(super) tunnels: Option<bool>,
    /// `/proc/self/status`.
    pub(super) status: String,
    pub(super) criu: Result<Version, CriuError>,
    pub(super) engine: Result<String, String>,
    /// Where QEMU is.
    pub(super) qemu: Option<String>,
    /// Whether `/dev/kvm` is there, and whether we may open it.
    pub(super) kvm: Option<Result<(), String>>,
    /// The type of the file system under the folder for builds.
    pub(super) home_fs: Option<String>,
    /// Bytes of memory that we may use, and of swap.
    pub(super) memory: Option<(u64, u64)>,
    pub(super) running: Vec<crate::install::check::Check>,
    pub(super) gpu: Gpu,
}

impl Machine {
    /// WSL2 itself, no container in it: where a kernel of ours would run.
    pub(super) fn is_wsl2(&self) -> bool {
        self.wsl == Wsl::Two && self.container.is_none()
    }

    /// The kernel that `.wslconfig` names, as WSL reads it.
    pub(super) fn configured_kernel(&self) -> Option<String> {
        match &self.windows.config {
            Some(Ok(facts)) => facts.file.kernel().kernel,
            _ => None,
        }
    }

    /// Whether an option left any trace.
    pub(super) fn has_trace(&self, option: &str) -> bool {
        let mut traces = self.traces.iter();
        traces.any(|trace| trace.option == option && trace.there)
    }

    /// `fail` where CRIU is to work in the end, `warn` where kernels are only made.
    pub(super) fn required(&self) -> super::Status {
        match self.is_wsl2() {
            true => super::Status::Fail,
            false => super::Status::Warn,
        }
    }
}

/// What Windows says.
#[derive(Debug, Default)]
pub(super) struct WindowsSide {
    /// The version of WSL; nothing in it for the one that came with Windows.
    pub version: Answer<Option<WslVersion>>,
    pub policy: Answer<Policy>,
    pub distros: Answer<Vec<Distro>>,
    /// The networking mode that is in force.
    pub networking: Answer<String>,
    pub config: Answer<ConfigFacts>,
}

/// `.wslconfig`, read and linted.
#[derive(Debug)]
pub(super) struct ConfigFacts {
    /// As Windows names it.
    pub name: String,
    pub file: WslConfig,
    pub findings: Vec<Finding>,
    pub account: Vec<Reading>,
    /// Files beside it that were meant to be it.
    pub misnamed: Vec<String>,
}

/// The running kernel's configuration.
#[derive(Debug)]
pub(super) enum KernelConfig {
    /// Its text, and where it was.
    Known { from: String, text: String },
    /// Nobody tells; the places that were looked at.
    Hidden(Vec<String>),
}

/// What an option leaves behind in a running kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trace {
    pub option: String,
    pub there: bool,
    /// The file or the question.
    pub by: String,
}

/// The folder of modules of the running kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Modules {
    /// Whether there is one with an index.
    pub listed: bool,
    /// Names of all modules in the index.
    pub loadable: Vec<String>,
    /// Names of all that are built in, where the kernel's build says so.
    pub built_in: Vec<String>,
}

/// A graphics processor, by its traces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Gpu {
    /// `/dev/dxg`: Windows' graphics.
    pub dxg: bool,
    /// Where libcuda.so.1 of Windows' driver is.
    pub library: Option<String>,
    /// `/proc/driver/nvidia/version`: NVIDIA's own driver for Linux.
    pub native: Option<String>,
    /// A device of that driver.
    pub device: bool,
    /// Where nvidia-smi is.
    pub smi: Option<String>,
    /// What it says; only where there was time to ask.
    pub said: Answer<String>,
}
