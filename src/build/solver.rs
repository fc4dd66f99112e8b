//! The tree's own Kconfig, run in the builder: default configurations and `olddefconfig`.
//!
//! In: the text of a `.config` or the name of a default one. Out: the text that Kconfig makes of it.
//! Writes only to a folder of its own, since the tree is read-only; the tools built there on the
//! first call are used again by the next.

use std::path::PathBuf;

use crate::files;
use crate::kconfig::Arch;

use super::plan::{BUILD, SOURCE, common_args};
use super::{BuildError, Builder, Job, Mount};

/// Runs the Kconfig of one source tree.
#[derive(Debug)]
pub struct KconfigSolver<'a> {
    builder: &'a Builder,
    source: PathBuf,
    work: PathBuf,
    arch: Arch,
}

impl<'a> KconfigSolver<'a> {
    /// `source` is the tree's root; `work` is a folder for this tree, image and architecture alone.
    #[must_use]
    pub fn new(
        builder: &'a Builder,
        source: impl Into<PathBuf>,
        work: impl Into<PathBuf>,
        arch: Arch,
    ) -> Self {
        Self {
            builder,
            source: source.into(),
            work: work.into(),
            arch,
        }
    }

    /// The configuration that a target like `defconfig` or `tinyconfig` makes.
    pub fn base(&self, name: &str) -> Result<String, BuildError> {
        self.make(name)
    }

    /// What `olddefconfig` makes of a configuration: every choice left open gets its default, every
    /// choice that cannot be is dropped.
    pub fn olddefconfig(&self, config: &str) -> Result<String, BuildError> {
        files::create_dir(&self.work)?;
        files::replace(&self.work.join(".config"), config)?;
        self.make("olddefconfig")
    }

    fn make(&self, name: &str) -> Result<String, BuildError> {
        files::create_dir(&self.work)?;
        let job = Job::new(name, "make")
            .arg("-s")
            .args(common_args(self.arch))
            .arg(name)
            .mount(Mount::read(&self.source, SOURCE))
            .mount(Mount::write(&self.work, BUILD))
            .dir(BUILD);
        self.builder.job(&job)?;
        Ok(files::read(&self.work.join(".config"))?)
    }
}
