//! The verb `clean`: what nothing needs any more is removed.
//!
//! In: names, or how many changes are kept. Out: a [`Cleaning`]. Must not judge what is needed: that is
//! `install`'s.

use super::WindowsSide;
use super::host::Host;
use crate::error::Error;
use crate::install::InstallError;
use crate::install::clean::{self, Cleaning};
use crate::install::journal::Journal;
use crate::pipeline::Context;

/// Removes kernels that nothing needs any more, and the small files and journal lines of all but the `newest`
/// changes.
pub fn clean(
    context: &Context,
    side: &WindowsSide,
    names: &[String],
    newest: usize,
) -> Result<Cleaning, Error> {
    let _lock = side.lock(context)?;
    let host = Host::known(context, side)?;
    let hold = host.hold(context, side)?;
    host.recover(hold.as_ref(), context)?;
    let site = host.site()?;
    let cleaning = clean::plan(&site, names, newest, &host.surroundings.release)?;
    if side.only_look {
        return Ok(cleaning);
    }
    if let Some(plan) = &cleaning.plan {
        host.carry_out(context, &site, plan, hold.as_ref())?;
    }
    if names.is_empty() && hold.is_some() {
        Journal::new(site.layout.journal())
            .shorten(newest)
            .map_err(InstallError::from)?;
    }
    Ok(cleaning)
}
