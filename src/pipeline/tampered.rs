//! The boot test of a build once more, with every victim tampered with: whether its checks can fail.
//!
//! In: a finished build. Out: what each check noticed. A build without evidence of today's suite is tested first, as it
//! is; what the tampered test finds is no evidence. Must not judge the kernel.

use super::control::known_report;
use super::{Context, boot_test_into, builder};
use crate::artefact::{Build, BuildRef, Store};
use crate::boot::{BootOptions, BootReport};
use crate::error::Error;
use crate::files;
use crate::settings::Settings;
use crate::smoke::Tampered;

/// Boots the build with tampered victims, beside what its suite says without.
///
/// # Errors
/// The test could not be made. That a check is blind is an answer, not an error.
pub fn boot_tampered(
    context: &Context,
    settings: &Settings,
    name: &BuildRef,
) -> Result<(Build, Tampered), Error> {
    let _locks = context.locks()?;
    let build = Store::new(&context.home).find(name)?;
    let builder = builder(context, settings)?;
    let alone = known_report(context, settings, &builder, &build)?;
    let settings = Settings {
        boot: BootOptions {
            tamper: true,
            ..settings.boot.clone()
        },
        ..settings.clone()
    };
    let scratch = files::only_scratch(context.home.cache(), "tampered-")?;
    let tampered = boot_test_into(scratch.path(), context, &settings, &builder, &build)?;
    let smoke = |report: BootReport| report.smoke.unwrap_or_default();
    Ok((build, Tampered::new(&smoke(alone), &smoke(tampered))))
}
