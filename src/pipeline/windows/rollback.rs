//! The verb `rollback`: it goes to stock whatever is damaged.
//!
//! In: where to. Out: [`RolledBack`]. Must not need what an installation needs: no build, no answer of Windows.

use super::WindowsSide;
use super::host::Host;
use crate::error::Error;
use crate::install::journal::Journal;
use crate::install::rollback::{self, Target};
use crate::install::{InstallError, Plan, Site};
use crate::pipeline::Context;

/// What a rollback did, or would do.
#[derive(Debug)]
pub struct RolledBack {
    /// What is configured now.
    pub to: String,
    /// Whether anything had to be done.
    pub changed: bool,
    /// What was done, step by step.
    pub steps: Vec<String>,
}

/// Goes back. To stock it goes whatever is damaged, and without a name it goes at least there.
pub fn rollback(
    context: &Context,
    side: &WindowsSide,
    target: &Target,
) -> Result<RolledBack, Error> {
    let _lock = side.lock(context)?;
    let host = Host::known(context, side)?;
    let hold = host.hold(context, side)?;
    let site = host
        .recover(hold.as_ref(), context)
        .and_then(|()| Ok(host.site()?));
    let (plan, site) = match site {
        Ok(site) => (rollback::plan(&site, target, &host.moment())?, site),
        Err(error) if goes_to_stock(target, &error) => {
            let (plan, site) = plan_anyhow(context, side, &host, target, &error)?;
            (Some(plan), site)
        }
        Err(error) => return Err(error),
    };
    if let Some(plan) = plan.as_ref().filter(|_| !side.only_look) {
        host.carry_out(context, &site, plan, hold.as_ref())?;
    }
    let to = match &plan {
        Some(plan) => plan.about.clone(),
        None => site.known.name(site.actual()),
    };
    Ok(RolledBack {
        to,
        changed: plan.is_some(),
        steps: plan.map_or_else(Vec::new, |plan| plan.describe(&site.layout)),
    })
}

/// The way to stock from what is there, whatever came in the way of knowing more.
fn plan_anyhow(
    context: &Context,
    side: &WindowsSide,
    host: &Host<'_>,
    target: &Target,
    error: &Error,
) -> Result<(Plan, Site), Error> {
    context.reporter.warn(error.chain());
    if *target == Target::Previous {
        let note = "what worked before is not known any more: back to the stock kernel instead";
        context.reporter.warn(note);
    }
    let site = Site::read_anyhow(host.layout.clone())?;
    let plan = rollback::plan_anyhow(&site)?;
    if !side.only_look && is_damaged(error, &site)? {
        rollback::set_aside(&site)?;
    }
    Ok((plan, site))
}

/// Whether the way back is to stock, though it cannot be planned from what is there.
fn goes_to_stock(target: &Target, error: &Error) -> bool {
    let forgotten = || {
        matches!(
            error,
            Error::Install(InstallError::Generations { .. } | InstallError::Journal { .. })
        )
    };
    match target {
        Target::Stock => true,
        Target::Previous => forgotten(),
        Target::Build(_) => false,
    }
}

/// Whether the journal itself is at fault: a sound one is needed to settle what it tells of.
fn is_damaged(error: &Error, site: &Site) -> Result<bool, InstallError> {
    let history = Journal::new(site.layout.journal()).read()?;
    let told = matches!(error, Error::Install(InstallError::Journal { .. }));
    Ok(told || !history.damaged.is_empty())
}
