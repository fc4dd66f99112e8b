//! Exit codes: the documented table, reached by one exhaustive match over every error.

use crate::artefact::ArtefactError;
use crate::boot::BootError;
use crate::build::BuildError;
use crate::download::DownloadError;
use crate::error::Error;
use crate::exec::ExecError;
use crate::files::LockError;
use crate::install::InstallError;
use crate::kconfig::{KconfigError, SolverError};
use crate::pipeline::verify::VerifyError;
use crate::probe::ProbeError;
use crate::publish::PublishError;
use crate::smoke::SuiteError;
use crate::source::{Fault, SourceError};

/// How wslk ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// A bug in wslk.
    Bug = 1,
    /// Bad usage, settings or input file.
    Usage = 2,
    /// Upstream unreachable, or what came is not what was pinned.
    Upstream = 3,
    /// Configuration contract not met.
    Contract = 4,
    /// Patch, compile or packaging failed.
    Build = 5,
    /// The kernel failed its boot test.
    KernelFailed = 6,
    /// Could not be tried here: never a pass, never a kernel failure.
    CannotTest = 7,
    /// Install or rollback refused: precondition, policy, version of WSL, untested build.
    Refused = 8,
    /// A check of the running system failed.
    CheckFailed = 9,
    /// Another wslk holds the lock.
    Locked = 10,
    /// Stopped by the user, as shells say it.
    Interrupted = 130,
}

impl Error {
    /// The exit code that says so to programs.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Settings(_) => Exit::Usage,
            Self::Source(error) => source(error),
            Self::Kconfig(error) => kconfig(error),
            Self::Build(error) => build(error),
            Self::Artefact(error) => artefact(error),
            Self::Boot(error) => boot(error),
            Self::KernelFailed(_) => Exit::KernelFailed,
            Self::Install(error) => install(error),
            Self::Publish(error) => publish(error),
            Self::Verify(error) => verify(error),
            Self::Suite(SuiteError::NoScenario { .. }) => Exit::Usage,
            Self::Suite(SuiteError::Interrupted) => Exit::Interrupted,
            Self::Probe(error) => probe(error),
            Self::Lock(LockError::Held(_)) => Exit::Locked,
            Self::Lock(LockError::File(_)) | Self::File(_) | Self::Books(_) | Self::Notice(_) => {
                Exit::Usage
            }
            Self::Architecture(_) => Exit::CannotTest,
            Self::BuildName(_) => Exit::Usage,
            Self::Page(_) | Self::Start(_) => Exit::Bug,
        }
    }
}

fn source(error: &SourceError) -> Exit {
    match error.fault() {
        Fault::Input | Fault::Disk => Exit::Usage,
        Fault::Upstream => Exit::Upstream,
        Fault::Patch => Exit::Build,
        Fault::Interrupted => Exit::Interrupted,
    }
}

fn kconfig(error: &KconfigError) -> Exit {
    match error {
        KconfigError::Conflict(_) | KconfigError::Contract(_) | KconfigError::Unreviewed(_) => {
            Exit::Contract
        }
        KconfigError::Input(_)
        | KconfigError::OtherArch { .. }
        | KconfigError::NoOwnConfig(_)
        | KconfigError::Release(_)
        | KconfigError::NoProfile { .. }
        | KconfigError::NoSymbol { .. }
        | KconfigError::BadAudit { .. }
        | KconfigError::File(_) => Exit::Usage,
        KconfigError::Solver(error) => solver(error),
    }
}

/// The tree's own tool runs in the builder, so its failures are the builder's.
fn solver(error: &SolverError) -> Exit {
    error
        .0
        .downcast_ref::<BuildError>()
        .map_or(Exit::Build, build)
}

fn build(error: &BuildError) -> Exit {
    match error {
        BuildError::NoEngine { .. }
        | BuildError::EngineGone { .. }
        | BuildError::EngineRefused { .. }
        | BuildError::NoImage { .. }
        | BuildError::NoTool { .. } => Exit::CannotTest,
        BuildError::Interrupted { .. } | BuildError::Exec(ExecError::Interrupted { .. }) => {
            Exit::Interrupted
        }
        BuildError::Left { .. }
        | BuildError::Silent { .. }
        | BuildError::TimedOut { .. }
        | BuildError::Failed { .. }
        | BuildError::Compile { .. }
        | BuildError::OutOfMemory { .. }
        | BuildError::Killed { .. }
        | BuildError::DiskFull { .. }
        | BuildError::NoProduct { .. }
        | BuildError::ConfigChanged { .. }
        | BuildError::Exec(_)
        | BuildError::File(_) => Exit::Build,
    }
}

fn artefact(error: &ArtefactError) -> Exit {
    match error {
        ArtefactError::NoSuchBuild { .. } | ArtefactError::Ambiguous { .. } => Exit::Usage,
        ArtefactError::Toolbox(error) => error
            .downcast_ref::<BuildError>()
            .map_or(Exit::Build, build),
        ArtefactError::File(_)
        | ArtefactError::Damaged { .. }
        | ArtefactError::Schema { .. }
        | ArtefactError::Missing { .. }
        | ArtefactError::Altered { .. }
        | ArtefactError::Modules { .. }
        | ArtefactError::WrongImage { .. } => Exit::Build,
    }
}

fn boot(error: &BootError) -> Exit {
    match error {
        BootError::Interrupted => Exit::Interrupted,
        BootError::NotAKernel { .. } => Exit::Usage,
        BootError::NoQemu(_)
        | BootError::NoKvm(_)
        | BootError::Qemu(_)
        | BootError::Tools { .. }
        | BootError::ToolMissing { .. }
        | BootError::Program { .. }
        | BootError::Untested(_)
        | BootError::Exec(_)
        | BootError::File(_) => Exit::CannotTest,
    }
}

fn probe(error: &ProbeError) -> Exit {
    match error {
        ProbeError::Interrupted => Exit::Interrupted,
        ProbeError::File(_) => Exit::Usage,
        ProbeError::Page(_) => Exit::Bug,
    }
}

fn publish(error: &PublishError) -> Exit {
    match error {
        PublishError::BadName(_)
        | PublishError::OtherTag { .. }
        | PublishError::Key { .. }
        | PublishError::NoPlace { .. }
        | PublishError::NoEntry { .. }
        | PublishError::File(_)
        | PublishError::Lock(LockError::File(_))
        | PublishError::Download(DownloadError::File(_) | DownloadError::Url(_)) => Exit::Usage,
        PublishError::Index { .. }
        | PublishError::WrongSignature { .. }
        | PublishError::OtherEntry { .. }
        | PublishError::Inconsistent { .. }
        | PublishError::Missing { .. }
        | PublishError::Truncated { .. }
        | PublishError::TooLarge { .. }
        | PublishError::Swapped { .. } => Exit::Upstream,
        PublishError::Download(DownloadError::Interrupted) => Exit::Interrupted,
        PublishError::Download(_) => Exit::Upstream,
        PublishError::Unproven { .. }
        | PublishError::NoTag(_)
        | PublishError::Immutable { .. }
        | PublishError::Unsigned { .. }
        | PublishError::UnknownKey { .. }
        | PublishError::NoEvidence { .. }
        | PublishError::OtherEvidence { .. }
        | PublishError::Downgrade { .. }
        | PublishError::Occupied { .. } => Exit::Refused,
        PublishError::Signing(_) => Exit::Bug,
        PublishError::Artefact(error) => artefact(error),
        PublishError::Boot(error) => boot(error),
        PublishError::Lock(LockError::Held(_)) => Exit::Locked,
    }
}

fn verify(error: &VerifyError) -> Exit {
    match error {
        VerifyError::OtherInputs { .. } => Exit::CannotTest,
    }
}

fn install(error: &InstallError) -> Exit {
    match error {
        InstallError::Interrupted
        | InstallError::NotRestarted(_)
        | InstallError::Windows(ExecError::Interrupted { .. }) => Exit::Interrupted,
        InstallError::Undone(error) | InstallError::NotUndone { source: error, .. } => {
            install(error)
        }
        InstallError::NoReason => Exit::Usage,
        InstallError::Busy(_) | InstallError::Overtaken(_) => Exit::Locked,
        InstallError::Checks(_) => Exit::CheckFailed,
        InstallError::File(_)
        | InstallError::Host(_)
        | InstallError::Windows(_)
        | InstallError::Policy { .. }
        | InstallError::OldWsl(_)
        | InstallError::HiddenDisk(_)
        | InstallError::Distro(_)
        | InstallError::NotAscii(_)
        | InstallError::NoWindowsName(_)
        | InstallError::NoSpace { .. }
        | InstallError::Unproven { .. }
        | InstallError::NotAnImage(_)
        | InstallError::Lacks(_)
        | InstallError::Release(_)
        | InstallError::WslConfig { .. }
        | InstallError::Misread { .. }
        | InstallError::Differs { .. }
        | InstallError::Taken(_)
        | InstallError::Gone(_)
        | InstallError::Journal { .. }
        | InstallError::Generations { .. }
        | InstallError::NoSuchGeneration(_)
        | InstallError::Ambiguous { .. }
        | InstallError::NoPrevious
        | InstallError::NotAgreed(_)
        | InstallError::NothingToRestart => Exit::Refused,
    }
}
