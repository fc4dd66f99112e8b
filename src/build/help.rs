//! What other machines do for a compilation: objects out of a shared cache, and compilers of their own.
//!
//! In: a plan. Out: the plan's job with the ways to both, while [`Help`] lives; then what came of it. A build that
//! cannot have help goes on without, and says so. Must not change what comes out.

use std::io;
use std::sync::Arc;

use super::hosts::{HostStats, Hosts};
use super::plan::BuildPlan;
use super::remote::Door;
use super::{BuildError, Builder, EngineKind, Job, Shelves};
use crate::report::Reporter;

/// distcc sends preprocessed text, in which macros are expanded. What GCC 14 makes of that is the same, byte for byte,
/// unless columns of the source get into the object: of 15 object files of 6.1 all were the same without `-g` and none
/// with it, also preprocessed with `-fdirectives-only`; a trial file with `-fsanitize=shift` or `kernel-address` was not.
const COLUMNS: [&str; 4] = ["DEBUG_INFO", "UBSAN", "KASAN", "GCOV_KERNEL"];

/// The help for one build.
#[derive(Debug)]
pub(super) struct Help {
    door: Option<Door>,
    hosts: Option<Hosts>,
}

impl Help {
    /// Opens the ways that the plan names, and has each host prove itself.
    ///
    /// # Errors
    /// Only what would end the build anyway: no engine, or the user.
    pub(super) fn open(
        plan: &BuildPlan,
        builder: &Builder,
        shelves: &Arc<Shelves>,
        reporter: &Reporter,
    ) -> Result<Self, BuildError> {
        Ok(Self {
            door: open_door(plan, builder, shelves, reporter),
            hosts: open_hosts(plan, builder, reporter)?,
        })
    }

    /// The plan's job, with the help.
    pub(super) fn job(&self, plan: &BuildPlan, builder: &Builder) -> Job {
        let job = plan.job(builder, self.hosts.as_ref());
        match &self.door {
            Some(door) => door.given_to(job),
            None => job,
        }
    }

    /// What became of each compile host.
    pub(super) fn hosts(&self) -> Vec<HostStats> {
        self.hosts.as_ref().map_or_else(Vec::new, Hosts::stats)
    }
}

fn open_door(
    plan: &BuildPlan,
    builder: &Builder,
    shelves: &Arc<Shelves>,
    reporter: &Reporter,
) -> Option<Door> {
    if plan.ccache.is_none() || shelves.is_empty() {
        return None;
    }
    let shelves = Arc::clone(shelves);
    let opened = match builder.engine().kind() {
        EngineKind::Host if !can_ask(builder) => Err(io::Error::other(
            "this machine's ccache has no redis+unix-storage",
        )),
        EngineKind::Host => Door::open(shelves, None),
        EngineKind::Docker | EngineKind::Podman => Door::open(shelves, Some(&plan.work)),
    };
    let without = |error| reporter.warn(format!("building without the shared cache: {error}"));
    opened.map_err(without).ok()
}

/// Whether ccache knows the kind of socket that it is to ask at; where it does not, it fails every compilation. The
/// builder image's does.
fn can_ask(builder: &Builder) -> bool {
    let told = builder.job(&Job::new("ccache", "ccache").arg("--version"));
    told.is_ok_and(|told| told.text().contains("redis+unix-storage"))
}

fn open_hosts(
    plan: &BuildPlan,
    builder: &Builder,
    reporter: &Reporter,
) -> Result<Option<Hosts>, BuildError> {
    if plan.hosts.is_empty() {
        return Ok(None);
    }
    let with_columns = |line: &&str| {
        COLUMNS
            .iter()
            .any(|option| *line == format!("CONFIG_{option}=y"))
    };
    if let Some(option) = plan.config.lines().find(with_columns) {
        reporter.warn(format!(
            "compiling here alone: with {option}, what other machines compile is not the same, byte for byte"
        ));
        return Ok(None);
    }
    let Some(toolchain) = builder.toolchain()? else {
        reporter.warn(
            "compiling here alone: without a container nobody knows whose tools are the same",
        );
        return Ok(None);
    };
    let mut hosts = match Hosts::open(&plan.hosts, &toolchain, &plan.work) {
        Ok(hosts) => hosts,
        Err(error) => {
            reporter.warn(format!("compiling here alone: {error}"));
            return Ok(None);
        }
    };
    let news = match hosts.prove(builder) {
        Ok(news) => news,
        Err(error @ BuildError::Interrupted { .. }) => return Err(error),
        Err(error) => {
            reporter.warn(format!("compiling here alone: {error}"));
            return Ok(None);
        }
    };
    news.into_iter().for_each(|text| reporter.warn(text));
    Ok((hosts.slots() > 0).then_some(hosts))
}
