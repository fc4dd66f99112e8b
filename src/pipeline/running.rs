//! The running machine: what the doctor and the suite are told of it.
//!
//! In: the context and what the user asks. Out: a diagnosis. Must not judge, and must not draw.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Context;
use super::windows::surroundings;
use crate::boot::{self, BootOptions};
use crate::doctor::{self, Diagnosis, Place, Senses};
use crate::process;
use crate::smoke::diag;

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
