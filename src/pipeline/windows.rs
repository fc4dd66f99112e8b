//! The Windows side as the verbs see it: install, rollback, status, clean, and what every command does first.
//!
//! Each verb has a file of its own; `host` is what they share.
//!
//! In: what the user wants and where this process runs. Out: the outcome of one verb. Must not do the work of
//! `install`, and must not draw.

mod clean;
mod host;
mod install;
mod rollback;
mod status;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

pub use self::clean::clean;
use self::host::{Host, put_in_order, remembered};
pub use self::install::{InstallOptions, Installed, install};
pub use self::rollback::{RolledBack, rollback};
pub use self::status::status;
use super::Context;
use crate::artefact::BuildId;
use crate::error::Error;
use crate::files::{self, Lock};
use crate::install::{Choice, Hold};
use crate::process;
use crate::source::Tag;
use crate::wsl::host::Surroundings;

/// Where the Windows side is, and whether anything may be changed there.
#[derive(Debug, Clone, Default)]
pub struct WindowsSide {
    /// `--windows-home`: the profile.
    pub home: Option<PathBuf>,
    /// `--windows-dir`: our folder.
    pub folder: Option<PathBuf>,
    /// `--dry-run`: only look.
    pub only_look: bool,
}

impl WindowsSide {
    /// The lock of the home, for who changes something.
    fn lock(&self, context: &Context) -> Result<Option<Lock>, Error> {
        let wanted = (!self.only_look).then(|| context.lock());
        Ok(wanted.transpose()?)
    }
}

/// What a command that has nothing to do with the Windows side does first: what was cut off is finished or
/// undone, and a trial that can be judged is. Never in the way of that command.
pub fn tidy(context: &Context) {
    let Some(layout) = remembered(context) else {
        return;
    };
    // Whoever holds the lock has done the same.
    let (Ok(_lock), Ok(hold)) = (Lock::take(&context.home.lock()), Hold::take(&layout)) else {
        return;
    };
    if let Err(error) = put_in_order(context, &layout, &surroundings(), &hold) {
        context.reporter.warn(error.chain());
    }
}

/// The tag of the kernel of ours that is configured, if one is.
pub(super) fn installed(context: &Context, side: &WindowsSide) -> Result<Option<Tag>, Error> {
    let site = Host::find(context, side)?.site()?;
    let Choice::Generation(number) = site.actual() else {
        return Ok(None);
    };
    let build = site.known.get(number).map(|generation| &generation.build);
    let id: Option<BuildId> = build.and_then(|build| build.parse().ok());
    Ok(id.and_then(|id| id.version().parse().ok()))
}

/// What this process knows of where it runs.
pub(super) fn surroundings() -> Surroundings {
    let text = |name: &str| process::env_var(name)?.into_string().ok();
    let boot = files::read_if_there(Path::new("/proc/sys/kernel/random/boot_id"));
    Surroundings {
        release: process::kernel_release(),
        distro: text("WSL_DISTRO_NAME"),
        boot: boot.ok().flatten().unwrap_or_default().trim().to_owned(),
    }
}

pub(super) fn absolute(path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}
