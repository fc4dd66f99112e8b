//! A kernel beside its control: the same suite on both, and what the difference is.
//!
//! In: a finished build and which [`Control`] it is compared with. Out: both reports, compared. The control
//! is the stock configuration of the same tree unless another build is named; a control that fails at
//! something is a result, not an error. Must not judge scenarios.

use super::prepared::Prepared;
use super::{Context, boot_test_of, builder};
use crate::artefact::{self, Build, BuildRef, Store};
use crate::boot::{self, BootReport};
use crate::build::Builder;
use crate::error::Error;
use crate::kconfig::Base;
use crate::settings::{Control, STOCK, Settings};
use crate::smoke::{Comparison, SmokeReport};
use crate::source;

/// A kernel and its control, both boot-tested.
#[derive(Debug)]
pub struct Controlled {
    /// The build in question.
    pub build: Build,
    /// Its report; it need not have passed.
    pub report: BootReport,
    /// The control.
    pub control: Build,
    /// Its report.
    pub control_report: BootReport,
    /// The difference.
    pub comparison: Comparison,
}

/// Boot-tests a build and its control, one after the other.
pub fn boot_with_control(
    context: &Context,
    settings: &Settings,
    name: &BuildRef,
    control: &Control,
) -> Result<Controlled, Error> {
    let _locks = context.locks()?;
    let build = Store::new(&context.home).find(name)?;
    let builder = builder(context, settings)?;
    let report = boot_test_of(context, settings, &builder, &build)?;
    let control = match control {
        Control::Build(name) => Store::new(&context.home).find(name)?,
        Control::Stock => stock_of(context, settings, builder.clone(), &build)?,
    };
    let control_report = known_report(context, settings, &builder, &control)?;
    Ok(Controlled {
        comparison: compared(&report, &control_report),
        build,
        report,
        control,
        control_report,
    })
}

/// What the suite says of a kernel and of its control. A boot that got to no suite has shown nothing.
pub(super) fn compared(report: &BootReport, control: &BootReport) -> Comparison {
    let smoke = |report: &BootReport| report.smoke.clone().unwrap_or_default();
    Comparison::new(&smoke(report), &smoke(control))
}

/// What the boot test of a build finds, or found if an earlier one tried all of today's suite.
pub fn boot_report(
    context: &Context,
    settings: &Settings,
    name: &BuildRef,
) -> Result<(Build, BootReport), Error> {
    let _locks = context.locks()?;
    let build = Store::new(&context.home).find(name)?;
    let builder = builder(context, settings)?;
    let report = known_report(context, settings, &builder, &build)?;
    Ok((build, report))
}

/// What an earlier test of the same suite found, if it tested these very bytes; else a new test.
pub(super) fn known_report(
    context: &Context,
    settings: &Settings,
    builder: &Builder,
    build: &Build,
) -> Result<BootReport, Error> {
    if let Some(evidence) = build.evidence()?
        && evidence.is_about(build.manifest())
    {
        let report = boot::read_report(&build.boot_folder())?;
        if report
            .smoke
            .as_ref()
            .is_some_and(|smoke| covers(smoke, settings))
        {
            return Ok(report);
        }
    }
    boot_test_of(context, settings, builder, build)
}

/// Whether every scenario of today's suite was tried, as often as today.
fn covers(smoke: &SmokeReport, settings: &Settings) -> bool {
    crate::smoke::suite::names().all(|name| {
        let found = smoke.scenarios.iter().find(|found| found.name == name);
        found.is_some_and(|found| {
            found.verdict != crate::smoke::Verdict::Works || found.cycles >= settings.boot.cycles
        })
    })
}

/// The build of the stock configuration of the tree that `build` was made from.
fn stock_of(
    context: &Context,
    settings: &Settings,
    builder: Builder,
    build: &Build,
) -> Result<Build, Error> {
    let tree = &build.manifest().source.tree;
    let tree = source::stored(&context.home, tree, &build.run().origin)?;
    let base = build.folder().join(artefact::BASE_CONFIG);
    let settings = Settings {
        profile: STOCK.to_owned(),
        fragments: Vec::new(),
        base: base.exists().then_some(Base::File(base)),
        ..settings.clone()
    };
    let prepared = Prepared::of(&settings, tree, builder)?;
    let store = Store::new(&context.home);
    match prepared.known(context, &store)? {
        Some(build) => Ok(build),
        None => Ok(prepared.make(context, &settings, &store)?.build),
    }
}
