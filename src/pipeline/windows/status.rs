//! The verb `status`: what is installed, configured and running.
//!
//! In: the Windows side. Out: a [`Status`]. Must not make anybody wait: a lock that is held is left alone.

use super::host::Host;
use super::{WindowsSide, now};
use crate::error::Error;
use crate::files::Lock;
use crate::install::Hold;
use crate::install::trial::{Standing, standing};
use crate::pipeline::Context;
use crate::status::{Seen, Status};
use crate::wsl::version::WslVersion;

/// What is installed, configured and running.
pub fn status(context: &Context, side: &WindowsSide) -> Result<Status, Error> {
    let host = Host::known(context, side)?;
    // Whoever holds a lock does the same; to look, nobody has to wait.
    let wanted = !side.only_look && host.layout.folder().linux.exists();
    let lock = wanted
        .then(|| Lock::take(&context.home.lock()).ok())
        .flatten();
    let hold = lock.as_ref().and_then(|_| Hold::take(&host.layout).ok());
    host.recover(hold.as_ref(), context)?;
    let site = host.site()?;
    let release = host.release();
    let standing = match (&site.known.trial, &release) {
        (Some(trial), Some(release)) => Some(standing(
            &site,
            trial,
            release,
            &host.surroundings.boot,
            now(),
        )?),
        (Some(_), None) => Some(Standing::Waiting),
        (None, _) => None,
    };
    let seen = Seen {
        running: release,
        wsl: wsl_version(&host),
        standing,
    };
    Ok(Status::new(&site, &seen))
}

/// Only a comparison depends on it: a Windows that does not answer is no reason to show nothing.
fn wsl_version(host: &Host<'_>) -> Option<WslVersion> {
    host.windows.as_ref()?.version().ok().flatten()
}
