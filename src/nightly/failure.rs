//! Whose fault an error is, as the ledger keeps it.

use super::ledger::{Blame, Failure, Stage};
use crate::build::BuildError;
use crate::error::Error;
use crate::kconfig::KconfigError;
use crate::source::{Fault, SourceError};

impl Failure {
    /// The failure that `error` is, on the way to `stage`.
    #[must_use]
    pub fn of(error: &Error, stage: Stage) -> Self {
        Self {
            blame: blame(error),
            stage,
            code: error.exit() as u8,
            reason: error.chain(),
            hint: error.hint(),
        }
    }
}

/// When in doubt it is ours: a kernel is only blamed for what another machine would find too.
fn blame(error: &Error) -> Blame {
    match error {
        Error::KernelFailed(_) => Blame::Kernel,
        Error::Kconfig(KconfigError::Contract(_) | KconfigError::NoOwnConfig(_)) => Blame::Kernel,
        Error::Kconfig(KconfigError::Solver(solver)) => {
            solver.0.downcast_ref().map_or(Blame::Kernel, build)
        }
        Error::Build(error) => build(error),
        Error::Source(error) => source(error),
        _ => Blame::Harness,
    }
}

fn build(error: &BuildError) -> Blame {
    match error {
        // What asks the builder itself knows nothing of the kernel, and what was killed did not get to say anything.
        BuildError::Failed { label, said } if is_ours(label) || was_killed(said) => Blame::Harness,
        BuildError::Compile { .. }
        | BuildError::Failed { .. }
        | BuildError::NoProduct { .. }
        | BuildError::ConfigChanged { .. } => Blame::Kernel,
        _ => Blame::Harness,
    }
}

/// Jobs in which no file of the kernel is read.
fn is_ours(label: &str) -> bool {
    matches!(label, "tools" | "packages")
}

fn was_killed(said: &str) -> bool {
    let last = said.lines().next_back().unwrap_or_default().trim_end();
    let ends = ["Killed", "Terminated", "Error 137", "Error 143"];
    ends.iter().any(|end| last.ends_with(end))
}

fn source(error: &SourceError) -> Blame {
    match error {
        SourceError::Moved { .. } => Blame::Source,
        SourceError::NotAKernel { .. }
        | SourceError::NotClean { .. }
        | SourceError::OtherRelease { .. } => Blame::Kernel,
        _ if error.fault() == Fault::Patch => Blame::Kernel,
        _ => Blame::Harness,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::FileError;

    #[test]
    fn a_kernel_is_blamed_only_for_what_it_does_everywhere() {
        let compile = BuildError::Failed {
            label: "make".into(),
            said: "error".into(),
        };
        let failed = |label: &str, said: &str| BuildError::Failed {
            label: label.into(),
            said: said.into(),
        };
        let silent = BuildError::Silent {
            label: "make".into(),
            limit: std::time::Duration::from_secs(1),
            log: None,
        };
        let full = FileError::new(
            "write",
            "a".as_ref(),
            std::io::ErrorKind::StorageFull.into(),
        );
        let moved = SourceError::Moved {
            origin: "here".into(),
            part: "commit",
            pinned: "a".into(),
            found: "b".into(),
            lock_file: "wslk.lock".into(),
        };
        let offline = SourceError::Offline { what: "it".into() };
        let table: [(Error, Blame); 7] = [
            (failed("tools", "gcc: error").into(), Blame::Harness),
            (
                failed("tinyconfig", "HOSTCC\nKilled").into(),
                Blame::Harness,
            ),
            (compile.into(), Blame::Kernel),
            (silent.into(), Blame::Harness),
            (full.into(), Blame::Harness),
            (moved.into(), Blame::Source),
            (offline.into(), Blame::Harness),
        ];
        for (error, expected) in table {
            let failure = Failure::of(&error, Stage::Built);
            assert_eq!(failure.blame, expected, "{failure:?}");
            assert_eq!(failure.code, error.exit() as u8);
        }
    }
}
