//! Why a kernel could not be tested here. None of these is the kernel's fault.

use std::path::PathBuf;

use crate::exec::ExecError;
use crate::files::FileError;

/// The test could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// QEMU is not installed.
    #[error("QEMU is missing: {0} is not installed")]
    NoQemu(String),
    /// KVM was asked for, and does not work here.
    #[error("KVM cannot be used here: {0}")]
    NoKvm(String),
    /// QEMU itself failed: no memory, an option it does not know, a kill from outside.
    #[error("QEMU failed: {0}")]
    Qemu(String),
    /// The guest's tools could not be had from the builder image.
    #[error("the guest's tools cannot be had from {origin}")]
    Tools {
        /// The image they should come from.
        origin: String,
        /// What went wrong there.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The image lacks something that the guest needs.
    #[error("{origin} lacks {what}")]
    ToolMissing {
        /// The image.
        origin: String,
        /// The program or library.
        what: String,
    },
    /// This program cannot serve as the guest's init.
    #[error("{} cannot run in the guest: {reason}", program.display())]
    Program {
        /// The program.
        program: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The file is no kernel that QEMU or Hyper-V boots directly.
    #[error("{} is no bzImage: {reason}", path.display())]
    NotAKernel {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The kernel came up, but something on our side kept the test from its end.
    #[error("the kernel came up, but not everything could be tested: {}", .0.join("; "))]
    Untested(Vec<String>),
    /// The user asked us to stop.
    #[error("interrupted during the boot test")]
    Interrupted,
    /// A program could not be run.
    #[error(transparent)]
    Exec(ExecError),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl From<ExecError> for BootError {
    fn from(error: ExecError) -> Self {
        match error {
            ExecError::Interrupted { .. } => Self::Interrupted,
            error => Self::Exec(error),
        }
    }
}

impl BootError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoQemu(_) => "install qemu-system-x86 (Debian, Ubuntu) or qemu-kvm (Fedora)",
            Self::NoKvm(_) => "leave the accelerator on auto: QEMU's own emulation needs no KVM",
            Self::Qemu(_) => {
                "see console.log in the boot folder; less memory for the guest may help"
            }
            Self::Tools { .. } => {
                "make the builder image again, or choose another engine with --engine"
            }
            Self::ToolMissing { .. } => {
                "make the builder image again from the recipe in ci/builder"
            }
            Self::Program { .. } => {
                "build wslk on the oldest system that it has to run on; its libc must not be newer than the builder image's"
            }
            Self::NotAKernel { .. } => "give the bzImage from arch/x86/boot, not vmlinux",
            Self::Untested(_) => "see agent.jsonl and console.log in the boot folder",
            Self::File(error) => return error.hint().map(str::to_owned),
            Self::Interrupted | Self::Exec(_) => return None,
        };
        Some(hint.to_owned())
    }
}
