//! What a tree's Kconfig has answered before, so that it need not be built and asked again.
//!
//! In: a folder for one tree, toolchain and architecture, a shared cache, and a question: make's target and the configuration
//! it began with. Out: the text it made of that, if it was asked before, here or by others. Answers are kept, and left for
//! others, only once somebody says that the tree was what it must be when they were given; until then they are in memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::remote::{Shelves, locked};
use crate::digest::{Hasher, Sha256};
use crate::files::{self, FileError};

/// The answers of one tree's Kconfig.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Nothing where nobody knows whose tools answer.
    folder: Option<PathBuf>,
    shelves: Arc<Shelves>,
    fresh: Mutex<BTreeMap<Sha256, Fresh>>,
}

/// An answer that is not kept yet.
#[derive(Debug)]
struct Fresh {
    text: String,
    /// Others have it already.
    is_borrowed: bool,
}

impl Answers {
    /// Answers in `folder`, whose name tells whose they are.
    pub(super) fn new(folder: PathBuf, shelves: Arc<Shelves>) -> Self {
        Self {
            folder: Some(folder),
            shelves,
            fresh: Mutex::default(),
        }
    }

    /// No answers, neither known nor kept.
    pub(super) fn none() -> Self {
        Self::default()
    }

    /// The answer to a question. What cannot be read is asked again.
    pub(super) fn find(&self, question: Sha256) -> Option<String> {
        let kept = files::read_if_there(&self.path(question)?).ok().flatten();
        kept.or_else(|| self.borrow(question))
    }

    fn borrow(&self, question: Sha256) -> Option<String> {
        let key = self.key(question)?;
        let found = self.shelves.get(&key)?;
        let text = String::from_utf8(found).ok()?;
        let fresh = Fresh {
            text: text.clone(),
            is_borrowed: true,
        };
        locked(&self.fresh).insert(question, fresh);
        Some(text)
    }

    /// Takes a new answer, for [`Answers::keep`].
    pub(super) fn learn(&self, question: Sha256, answer: &str) {
        let fresh = Fresh {
            text: answer.to_owned(),
            is_borrowed: false,
        };
        locked(&self.fresh).insert(question, fresh);
    }

    /// Keeps what was learned, and leaves it for others.
    pub(super) fn keep(&self) -> Result<(), FileError> {
        for (question, fresh) in &*locked(&self.fresh) {
            let (Some(path), Some(key)) = (self.path(*question), self.key(*question)) else {
                continue;
            };
            if !fresh.is_borrowed {
                self.shelves.put(&key, fresh.text.as_bytes());
            }
            files::replace(&path, &fresh.text)?;
        }
        Ok(())
    }

    fn path(&self, question: Sha256) -> Option<PathBuf> {
        let name = format!("{}.config", question.short(32));
        Some(self.folder.as_ref()?.join(name))
    }

    /// No key of ccache: what a job may leave on a shelf is never taken for an answer.
    fn key(&self, question: Sha256) -> Option<String> {
        let whose = self.folder.as_ref()?.file_name()?.to_str()?;
        let mut hasher = Hasher::default();
        hasher.update(format!("{whose}\n{question}").as_bytes());
        Some(format!("kconfig-{}", hasher.finish()))
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
    use std::fs;

    use super::super::SharedCache;
    use super::super::remote::fake::{Conduct, Fake, cache};
    use super::*;

    #[test]
    fn an_answer_counts_once_it_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let answers = || Answers::new(folder.path().join("x86_64-1"), Arc::default());
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

    #[test]
    fn what_others_asked_is_not_asked_again() {
        let server = Fake::start(Conduct::Good);
        let asked = question("olddefconfig", "CONFIG_A=y\n");
        let machine = |name: &str, cache: &SharedCache| {
            let folder = tempfile::tempdir().expect("a folder");
            let shelves = Arc::new(Shelves::new(cache));
            (Answers::new(folder.path().join(name), shelves), folder)
        };
        let (first, _folder) = machine("x86_64-1", &server.cache());
        first.learn(asked, "CONFIG_A=y\n");
        assert_eq!(
            machine("x86_64-1", &server.cache()).0.find(asked),
            None,
            "not yet"
        );
        first.keep().expect("kept");
        let (second, folder) = machine("x86_64-1", &server.cache());
        assert_eq!(second.find(asked).as_deref(), Some("CONFIG_A=y\n"));
        second.keep().expect("kept");
        assert_eq!(
            fs::read_dir(folder.path().join("x86_64-1"))
                .expect("a folder")
                .count(),
            1
        );
        assert_eq!(
            machine("x86_64-2", &server.cache()).0.find(asked),
            None,
            "another tree's"
        );
        let (alone, _folder) = machine("x86_64-1", &cache("redis://127.0.0.1:1"));
        assert_eq!(alone.find(asked), None);
    }

    #[test]
    fn a_job_can_leave_no_answer() {
        let answers = Answers::new("/answers/x86_64-1".into(), Arc::default());
        let key = answers.key(question("tinyconfig", "")).expect("a key");
        assert!(key.contains('-'), "{key}: ccache's are letters and digits");
    }
}
