//! The tree's own Kconfig, run in the builder: default configurations and `olddefconfig`.
//!
//! In: the text of a `.config` or the name of a default one. Out: the text that Kconfig makes of it.
//! Writes only to folders of its own, since the tree is read-only; the tools built there on the
//! first call are used again by the next, and a question that was asked before is not asked again.

use std::path::PathBuf;
use std::sync::Arc;

use crate::files::{self, FileError};
use crate::kconfig::Arch;

use super::answers::{self, Answers};
use super::plan::{BUILD, SOURCE, common_args};
use super::underway::Underway;
use super::{BuildError, Builder, Job, Mount, Shelves};

/// Runs the Kconfig of one source tree.
#[derive(Debug)]
pub struct KconfigSolver<'a> {
    builder: &'a Builder,
    source: PathBuf,
    work: PathBuf,
    answers: Answers,
    arch: Arch,
}

impl<'a> KconfigSolver<'a> {
    /// `source` is the tree's root; `work` and `answers` are folders for this tree, image and architecture alone, and so
    /// is the name of the latter. What others have asked and left on the `shelves` is not asked again either.
    #[must_use]
    pub fn new(
        builder: &'a Builder,
        source: impl Into<PathBuf>,
        work: impl Into<PathBuf>,
        answers: impl Into<PathBuf>,
        shelves: Arc<Shelves>,
        arch: Arch,
    ) -> Self {
        Self {
            builder,
            source: source.into(),
            work: work.into(),
            // The host's tools change, and its answers with them.
            answers: match builder.image() {
                Some(_) => Answers::new(answers.into(), shelves),
                None => Answers::none(),
            },
            arch,
        }
    }

    /// The configuration that a target like `defconfig` or `tinyconfig` makes.
    pub fn base(&self, name: &str) -> Result<String, BuildError> {
        self.ask(name, "")
    }

    /// What `olddefconfig` makes of a configuration: every choice left open gets its default, every
    /// choice that cannot be is dropped.
    pub fn olddefconfig(&self, config: &str) -> Result<String, BuildError> {
        self.ask("olddefconfig", config)
    }

    /// Keeps the answers for the next time: the tree was what it must be when they were given.
    pub fn keep_answers(&self) -> Result<(), FileError> {
        self.answers.keep()
    }

    fn ask(&self, target: &str, config: &str) -> Result<String, BuildError> {
        let question = answers::question(target, config);
        if let Some(known) = self.answers.find(question) {
            return Ok(known);
        }
        if !config.is_empty() {
            files::replace(&self.work.join(".config"), config)?;
        }
        let answer = self.make(target)?;
        self.answers.learn(question, &answer);
        Ok(answer)
    }

    fn make(&self, name: &str) -> Result<String, BuildError> {
        files::create_dir(&self.work)?;
        let (underway, _) = Underway::begin(&self.work, &self.work)?;
        let job = Job::new(name, "make")
            .arg("-s")
            .args(common_args(self.arch))
            .arg(name)
            .mount(Mount::read(&self.source, SOURCE))
            .mount(Mount::write(&self.work, BUILD))
            .dir(BUILD);
        let output = self.builder.job(&job)?;
        underway.settle(output.status)?;
        Ok(files::read(&self.work.join(".config"))?)
    }
}
