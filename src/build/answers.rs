//! What a tree's Kconfig has answered before, so that it need not be built and asked again.
//!
//! In: a folder for one tree, image and architecture, and a question: make's target and the configuration it began
//! with. Out: the text it made of that, if it was asked before. Answers are kept only once somebody says that the tree
//! was what it must be when they were given; until then they are in memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::digest::{Hasher, Sha256};
use crate::files::{self, FileError};

/// The answers of one tree's Kconfig.
#[derive(Debug)]
pub(super) struct Answers {
    /// Nothing where nobody knows whose tools answer.
    folder: Option<PathBuf>,
    fresh: Mutex<BTreeMap<Sha256, String>>,
}

impl Answers {
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        Self {
            folder,
            fresh: Mutex::default(),
        }
    }

    /// The answer to a question. What cannot be read is asked again.
    pub(super) fn find(&self, question: Sha256) -> Option<String> {
        files::read_if_there(&self.path(question)?).ok().flatten()
    }

    /// Takes a new answer, for [`Answers::keep`].
    pub(super) fn learn(&self, question: Sha256, answer: &str) {
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.insert(question, answer.to_owned());
    }

    /// Keeps what was learned.
    pub(super) fn keep(&self) -> Result<(), FileError> {
        let fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answers = fresh.iter();
        answers.try_for_each(|(question, answer)| match self.path(*question) {
            Some(path) => files::replace(&path, answer),
            None => Ok(()),
        })
    }

    fn path(&self, question: Sha256) -> Option<PathBuf> {
        let name = format!("{}.config", question.short(32));
        Some(self.folder.as_ref()?.join(name))
    }
}

/// A target and what it begins with.
pub(super) fn question(target: &str, config: &str) -> Sha256 {
    let mut hasher = Hasher::default();
    hasher.update(format!("{target}\n").as_bytes());
    hasher.update(config.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_once_it_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let answers = || Answers::new(Some(folder.path().join("answers")));
        let asked = question("olddefconfig", "CONFIG_A=y\n");
        let first = answers();
        assert_eq!(first.find(asked), None);
        first.learn(asked, "CONFIG_A=y\nCONFIG_B=y\n");
        assert_eq!(answers().find(asked), None, "not yet");
        first.keep().expect("kept");
        assert_eq!(
            answers().find(asked).as_deref(),
            Some("CONFIG_A=y\nCONFIG_B=y\n")
        );
        for other in [
            question("tinyconfig", "CONFIG_A=y\n"),
            question("olddefconfig", "CONFIG_A=n\n"),
        ] {
            assert_eq!(answers().find(other), None);
        }
    }
}
