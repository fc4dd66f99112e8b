//! The doors between stages: what the boot and kconfig stages need done in the builder image,
//! as the ports that those stages define, each opened by [`Builder::job`].

use std::error::Error;
use std::path::{Path, PathBuf};

use crate::boot::ToolSource;
use crate::build::{Builder, Job, KconfigSolver};
use crate::exec::Stdout;
use crate::kconfig::{Solver, SolverError};

/// CRIU and its libraries for the guest.
#[derive(Debug)]
pub(super) struct GuestToolsDoor<'a>(pub(super) &'a Builder);

impl ToolSource for GuestToolsDoor<'_> {
    fn id(&self) -> String {
        self.0
            .image()
            .map_or_else(|| "this machine".to_owned(), |image| image.id.clone())
    }

    fn export(&self, script: &str, tar: &Path) -> Result<(), Box<dyn Error + Send + Sync>> {
        let job = Job::script("export of the guest's tools", script)
            .stdout(Stdout::File(PathBuf::from(tar)));
        self.0.job(&job)?;
        Ok(())
    }
}

/// The tree's own Kconfig.
#[derive(Debug)]
pub(super) struct KconfigDoor<'a>(pub(super) KconfigSolver<'a>);

impl Solver for KconfigDoor<'_> {
    fn base(&self, target: &str) -> Result<String, SolverError> {
        self.0
            .base(target)
            .map_err(|error| SolverError(Box::new(error)))
    }

    fn olddefconfig(&self, merged: &str) -> Result<String, SolverError> {
        self.0
            .olddefconfig(merged)
            .map_err(|error| SolverError(Box::new(error)))
    }
}
