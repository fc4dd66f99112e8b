//! The checks of a trial: what the running system must be, and what it lacked before.
//!
//! In: where this process runs, and a trial. Out: what is wrong, or missing; the command by which the script on
//! the Windows side asks. Must not judge what follows from it.

use std::path::Path;

use super::Context;
use crate::error::Error;
use crate::exec::Cmd;
use crate::files;
use crate::install::check::{self, Check, Expected, Eyes};
use crate::install::{InstallError, Site, Trial};
use crate::process;
use crate::smoke;

/// What of the checks' subjects is missing now, before anything is installed.
pub(super) fn missing(context: &Context) -> Vec<String> {
    check::missing(&eyes(context))
}

/// What is wrong with the running system for the generation that is tried.
pub(super) fn failures(context: &Context, site: &Site, trial: &Trial) -> Vec<String> {
    let Some(generation) = site.known.get(trial.generation) else {
        return Vec::new();
    };
    let had = |missing: &Vec<String>| !missing.iter().any(|id| id == "gpu");
    let expected = Expected {
        release: generation.release.clone(),
        modules: generation.modules.is_some(),
        gpu: trial.missing.as_ref().is_some_and(had),
        missing: trial.missing.clone().unwrap_or_default(),
    };
    check::failures(&check::run(&expected, &eyes(context)))
}

/// The trial's script runs this in the distribution. A path that two shells might read otherwise is not used.
pub(super) fn command(context: &Context, missing: Option<&[String]>) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    let path = context.program.to_str();
    let Some(path) = path.filter(|path| path.chars().all(plain)) else {
        return String::new();
    };
    let gone = |id: &&&str| missing.is_some_and(|missing| missing.iter().any(|gone| gone == *id));
    let missed: Vec<&str> = check::MAY_BE_MISSING.iter().filter(gone).copied().collect();
    let mut command = format!("{path} trial-check");
    if missing.is_some() && !missed.contains(&"gpu") {
        command.push_str(" --gpu");
    }
    for id in missed.iter().filter(|id| **id != "gpu") {
        command.push_str(&format!(" --without {id}"));
    }
    command
}

/// Checks the running system for the script that tries a kernel.
pub fn check(context: &Context, gpu: bool, missing: Vec<String>) -> Result<Vec<Check>, Error> {
    let surroundings = super::windows::surroundings();
    let modules = Path::new("/lib/modules").join(&surroundings.release);
    let expected = Expected {
        release: surroundings.release,
        modules: modules.exists(),
        gpu,
        missing,
    };
    let mut checks = check::run(&expected, &eyes(context));
    checks.extend(memory_scenario(context));
    match check::failures(&checks) {
        failed if failed.is_empty() => Ok(checks),
        failed => Err(InstallError::Checks(failed).into()),
    }
}

/// One real process dumped and restored, where CRIU is there and may.
fn memory_scenario(context: &Context) -> Option<Check> {
    let criu = Cmd::new("criu").arg("--version");
    context
        .runner
        .run(&criu)
        .ok()
        .filter(|_| process::user().0 == 0)?;
    let work = context.home.cache().join("trial");
    let mut options = smoke::SuiteOptions::new(&context.program, &work);
    options.only = vec!["memory".to_owned()];
    options.cycles = 1;
    let report = smoke::run(&options, context.runner.as_ref(), &mut |_| {});
    let (status, summary) = match report.verdict() {
        smoke::Verdict::Works => {
            // Only a failure leaves something to look at.
            let _stays = files::remove_dir(&work);
            let summary = "a process was dumped and restored".to_owned();
            (check::Status::Ok, summary)
        }
        smoke::Verdict::NotTestable => (
            check::Status::Unknown,
            "CRIU cannot be tried here".to_owned(),
        ),
        smoke::Verdict::Fails | smoke::Verdict::Refused => {
            let reasons: Vec<String> = report
                .scenarios
                .into_iter()
                .filter_map(|s| s.reason)
                .collect();
            (check::Status::Fail, format!("CRIU: {}", reasons.join("; ")))
        }
    };
    Some(Check {
        id: "criu",
        status,
        summary,
    })
}

fn eyes(context: &Context) -> Eyes<'_> {
    Eyes {
        root: check::real_root(),
        release: process::kernel_release(),
        root_user: process::user().0 == 0,
        runner: context.runner.as_ref(),
    }
}
