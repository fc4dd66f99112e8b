//! Everything that can go wrong, one variant per stage; the hint is beside the message, not in it.

use std::io;

use crate::artefact::{ArtefactError, BadBuildId};
use crate::boot::{BootError, BootReport};
use crate::build::BuildError;
use crate::files::{FileError, LockError};
use crate::install::InstallError;
use crate::kconfig::KconfigError;
use crate::nightly::BooksError;
use crate::nightly::notice::NoticeError;
use crate::pipeline::verify::VerifyError;
use crate::probe::ProbeError;
use crate::publish::PublishError;
use crate::settings::SettingsError;
use crate::smoke::SuiteError;
use crate::source::SourceError;

/// Why wslk did not do what it was asked to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings make no sense.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The source could not be had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The configuration is not what it must be.
    #[error(transparent)]
    Kconfig(#[from] KconfigError),
    /// The kernel was not built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The products could not be made or found.
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
    /// The boot test could not be made.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The boot test was made and the kernel failed it.
    #[error("{} failed its boot test: {}", .0.release(), .0.reasons().join("; "))]
    KernelFailed(Box<BootReport>),
    /// The installation or the way back was refused, or a check of the running system failed.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// Nothing was published, or what is published was not taken.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A build cannot be made again here.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The suite was not run on this machine.
    #[error(transparent)]
    Suite(#[from] SuiteError),
    /// The probe was stopped, or its report could not be written.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The ledger of nights could not be read or written.
    #[error(transparent)]
    Books(#[from] BooksError),
    /// Nobody can be told what a night did.
    #[error(transparent)]
    Notice(#[from] NoticeError),
    /// Somebody else is at work.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A file of ours could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// No kernel can be built for such a machine.
    #[error("{0}")]
    Architecture(String),
    /// A version or a profile cannot be part of a build's name.
    #[error(transparent)]
    BuildName(#[from] BadBuildId),
    /// The page for people cannot be drawn.
    #[error("cannot draw the page: {0}")]
    Page(String),
    /// The system refused what every process may do.
    #[error("cannot start")]
    Start(#[source] io::Error),
}

impl Error {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Settings(error) => error.hint(),
            Self::Source(error) => error.hint(),
            Self::Kconfig(error) => error.hint(),
            Self::Build(error) => error.hint(),
            Self::Artefact(error) => error.hint(),
            Self::Boot(error) => error.hint(),
            Self::KernelFailed(report) => Some(report.hint()),
            Self::Install(error) => error.hint(),
            Self::Publish(error) => error.hint(),
            Self::Verify(error) => error.hint(),
            Self::Suite(error) => error.hint(),
            Self::Probe(error) => error.hint(),
            Self::Books(error) => error.hint(),
            Self::Lock(LockError::Held(_)) => Some("wait for it, or use another --home".to_owned()),
            Self::Lock(LockError::File(error)) | Self::File(error) => {
                error.hint().map(str::to_owned)
            }
            Self::Notice(_) => {
                Some("--webhook takes it, or [nightly] webhook in the settings".to_owned())
            }
            Self::Architecture(_) | Self::BuildName(_) | Self::Page(_) | Self::Start(_) => None,
        }
    }

    /// The stage that failed, in one word, for programs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Settings(_) => "settings",
            Self::Source(_) => "source",
            Self::Kconfig(_) => "config",
            Self::Build(_) => "build",
            Self::Artefact(_) | Self::BuildName(_) => "artefact",
            Self::Boot(_) => "boot",
            Self::KernelFailed(_) => "kernel-failed",
            Self::Install(InstallError::Checks(_)) => "check",
            Self::Install(InstallError::Busy(_) | InstallError::Overtaken(_)) => "lock",
            Self::Install(_) => "install",
            Self::Publish(PublishError::Lock(_)) => "lock",
            Self::Publish(_) => "publish",
            Self::Verify(_) => "verify",
            Self::Suite(_) => "smoke",
            Self::Probe(_) => "probe",
            Self::Books(_) | Self::Page(_) | Self::Notice(_) => "nightly",
            Self::Lock(_) => "lock",
            Self::File(_) => "file",
            Self::Architecture(_) => "architecture",
            Self::Start(_) => "start",
        }
    }

    /// The message and everything behind it, in one line per cause.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let said = error.to_string();
            if !text.contains(&said) {
                text.push_str(&format!(": {said}"));
            }
            cause = error.source();
        }
        text
    }

    /// The file and line at fault, drawn for people, where the error has one.
    #[must_use]
    pub fn diagnostic(&self) -> Option<&dyn miette::Diagnostic> {
        match self {
            Self::Settings(error) => Some(error),
            Self::Kconfig(KconfigError::Input(error)) => Some(error.as_ref()),
            _ => None,
        }
    }
}
