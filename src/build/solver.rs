//! The tree's own Kconfig, run in the builder: default configurations and `olddefconfig`.
//!
//! In: the text of a `.config` or the name of a default one. Out: the text that Kconfig makes of it.
//! Writes only to folders of its own, since the tree is read-only; the tools built there on the
//! first call are used again by the next, and a question that was asked before is not asked again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::files::{self, FileError};
use crate::kconfig::Arch;

use super::answers::{self, Answers};
use super::plan::{self, BUILD, SOURCE, common_args};
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
            answers: Answers::none(),
            arch,
        }
    }

    /// Asks nothing that was answered before: for this `tree`, by its id, by the same tools, here or by others. Answers
    /// are kept in `folder` and left on the `shelves`.
    ///
    /// # Errors
    /// When nobody can say what the builder's tools are.
    pub fn with_answers(
        self,
        tree: &str,
        folder: &Path,
        shelves: Arc<Shelves>,
    ) -> Result<Self, BuildError> {
        // The host's tools change, and its answers with them.
        let answers = match self.builder.toolchain()? {
            Some(tools) => {
                let whose = plan::key(tree, &tools.to_string(), self.arch);
                Answers::new(folder.join(whose), shelves)
            }
            None => Answers::none(),
        };
        Ok(Self { answers, ..self })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::{Engine, EngineChoice, Image, Limits};
    use crate::exec::Script;
    use crate::home::Home;
    use crate::report::Reporter;

    /// A builder whose image has this id and one package.
    fn builder(folder: &Path, id: &str, package: &str) -> Builder {
        let script = Script::default()
            .says("docker info", "[\"name=seccomp\"]")
            .says("docker run", package);
        let engine = Engine::find(EngineChoice::Auto, Arc::new(script), &Reporter::silent());
        let image = Image {
            reference: "wslk-builder:1".to_owned(),
            id: format!("sha256:{id}"),
        };
        let home = Home::new(folder.join("home"), folder.join(id));
        Builder::new(
            engine.expect("an engine"),
            Some(image),
            Limits::default(),
            &home,
        )
    }

    #[test]
    fn the_same_tools_in_another_image_are_not_asked_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let asked = answers::question("olddefconfig", "");
        let solver = |image: &str, package: &str| {
            let answers = folder.path().join("answers");
            let builder = builder(folder.path(), image, package);
            KconfigSolver::new(&builder, "/src", "/work", Arch::X86)
                .with_answers("tree", &answers, Arc::default())
                .expect("tools")
                .answers
        };
        const GCC: &str = "gcc\t14.2\tamd64\tgcc\t14.2\n";
        let first = solver("1", GCC);
        first.learn(asked, "CONFIG_A=y\n");
        first.keep().expect("kept");
        let known = solver("2", GCC).find(asked);
        assert_eq!(known.as_deref(), Some("CONFIG_A=y\n"));
        let other = solver("3", "gcc\t15.1\tamd64\tgcc\t15.1\n");
        assert_eq!(other.find(asked), None, "other tools");
    }
}
