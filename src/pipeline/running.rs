//! The running machine: what the doctor and the suite are told of it.
//!
//! In: the context and what the user asks. Out: a diagnosis, or the suite's report. Must not judge, and must not
//! draw.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::windows::surroundings;
use super::{Context, Step};
use crate::boot::{self, BootOptions};
use crate::doctor::{self, Diagnosis, Place, Senses};
use crate::error::Error;
use crate::files::{self, FileError};
use crate::process;
use crate::report::Unit;
use crate::smoke::{
    self, Progress, SmokeReport, SuiteError, SuiteOptions, Verdict, diag, scenario, suite,
};
use crate::wsl::mounts;

/// What is asked of the doctor.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// The Windows profile, where the user names it.
    pub windows_home: Option<PathBuf>,
    /// Whether to take the time that slow questions need.
    pub deep: bool,
}

/// Where the user stands.
#[must_use]
pub fn diagnose(context: &Context, question: Question) -> Diagnosis {
    let home = context.home.root();
    let senses = Senses {
        arch: process::ARCH.to_owned(),
        root_user: process::user().0 == 0,
        cpus: process::cpus(),
        home: home.to_owned(),
        space: free_space(home),
        diag: diag::probe(),
        soft_dirty: doctor::soft_dirty_is_tracked(),
        kvm: question.deep.then(|| tiny_guest(context)),
    };
    let place = Place {
        root: PathBuf::from("/"),
        runner: Arc::clone(&context.runner),
        surroundings: surroundings(),
        senses,
        windows_home: question.windows_home.map(super::windows::absolute),
        deep: question.deep,
    };
    Diagnosis::of(&doctor::gather(&place))
}

/// Bytes free for us where a folder is or will be.
fn free_space(folder: &Path) -> Option<u64> {
    let there = folder.ancestors().find(|folder| folder.exists())?;
    let system = rustix::fs::statvfs(there).ok()?;
    Some(system.f_bavail.saturating_mul(system.f_frsize))
}

/// Whether KVM takes a tiny guest through its firmware in time.
fn tiny_guest(context: &Context) -> Result<(), String> {
    let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
    boot::prove_kvm(
        &BootOptions::default(),
        context.runner.as_ref(),
        scratch.path(),
    )
    .unwrap_or_else(|error| Err(error.to_string()))
}

/// What the suite is to try.
#[derive(Debug, Clone)]
pub struct Trial {
    /// Names of scenarios or of their variants; empty for all.
    pub only: Vec<String>,
    /// Dump and restore cycles of each.
    pub cycles: u32,
}

impl Trial {
    fn checked(self) -> Result<Self, SuiteError> {
        let known = |name: &String| {
            scenario::find(name).is_some() || suite::names().any(|title| title == *name)
        };
        match self.only.iter().find(|name| !known(name)) {
            Some(name) => Err(SuiteError::NoScenario {
                name: name.clone(),
                known: suite::names().collect(),
            }),
            None => Ok(self),
        }
    }

    /// Whether a scenario, or only a variant of it, is asked for.
    fn wants(&self, scenario: &str, title: &str) -> bool {
        let asked = |only: &String| only == scenario || only == title;
        self.only.is_empty() || self.only.iter().any(asked)
    }
}

/// What [`smoke()`] would do.
pub fn smoke_outlook(trial: Trial) -> Result<Vec<Step>, Error> {
    let trial = trial.checked()?;
    let titles = scenario::ALL.iter().flat_map(|scenario| {
        let variants = scenario.variants.iter();
        variants.map(|variant| (scenario.name, scenario.title(variant)))
    });
    let chosen = titles.filter(|(name, title)| trial.wants(name, title));
    let steps = chosen
        .map(|(_, title)| format!("dump and restore {title}, {} times", trial.cycles))
        .collect();
    Ok(vec![Step::planned("smoke", steps)])
}

/// Dumps and restores real processes on the running kernel.
///
/// # Errors
/// For what the user asked wrongly; whatever goes wrong with CRIU is a verdict in the report.
pub fn smoke(context: &Context, trial: Trial) -> Result<SmokeReport, Error> {
    let Trial { only, cycles } = trial.checked()?;
    let work = work_folder(context)?;
    let mut options = SuiteOptions::new(&context.program, work.path());
    options.only = only;
    options.cycles = cycles;
    let mut task = None;
    let mut report = smoke::run(&options, context.runner.as_ref(), &mut |news| match news {
        Progress::Planned { names } => {
            let total = names.len() as u64;
            let label = "dumping and restoring";
            task = Some(context.reporter.task(label, Unit::Steps, Some(total)));
        }
        Progress::Judged { report } => {
            if let Some(task) = &task {
                task.advance_to(1, &format!("{}: {}", report.name, report.verdict));
            }
        }
        Progress::Started { name } => context.reporter.detail(format!("{name} begins")),
        Progress::Cycle { name, cycle } => {
            context
                .reporter
                .detail(format!("{name}: cycle {cycle} passed"));
        }
    });
    drop(task);
    if context.interrupt.is_set() {
        return Err(SuiteError::Interrupted.into());
    }
    if let Some(blocked) = report.blocked.as_mut().filter(|_| process::user().0 != 0) {
        "sudo wslk smoke".clone_into(&mut blocked.hint);
    }
    if matches!(report.verdict(), Verdict::Fails | Verdict::Refused) {
        let kept = work.keep();
        let note = format!("CRIU's logs and images are in {}", kept.display());
        context.reporter.note(note);
    }
    Ok(report)
}

/// A new folder where CRIU can dump what lies in it: not on a disk of Windows.
fn work_folder(context: &Context) -> Result<tempfile::TempDir, FileError> {
    let table = files::read(Path::new("/proc/mounts")).unwrap_or_default();
    let cache = context.home.cache();
    let native = |folder: &&Path| {
        let kind = mounts::file_system(&table, folder);
        folder.is_dir() && !kind.is_some_and(|kind| mounts::is_foreign(&kind))
    };
    let candidates = [Path::new("/var/tmp"), Path::new("/tmp")];
    let parent = candidates.into_iter().find(native).unwrap_or(cache);
    files::scratch(parent, "wslk-smoke-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(only: &[&str]) -> Trial {
        Trial {
            only: only.iter().map(|name| (*name).to_owned()).collect(),
            cycles: 3,
        }
    }

    #[test]
    fn a_wrong_name_is_told_the_right_ones() {
        let error = trial(&["memory", "nosuch"]).checked().expect_err("unknown");
        let hint = error.hint().expect("a hint");
        assert!(hint.contains("memory") && error.to_string().contains("`nosuch`"));
    }

    #[test]
    fn a_scenario_stands_for_its_variants() {
        let steps = smoke_outlook(trial(&["memory"])).expect("there");
        assert_eq!(steps[0].what, ["dump and restore memory, 3 times"]);
        let all = smoke_outlook(trial(&[])).expect("there");
        assert!(all[0].what.len() > steps[0].what.len());
    }
}
