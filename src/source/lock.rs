//! `wslk.lock`: what each release was when it was first fetched.
//!
//! In: the file's text. Out: [`Pin`]s, looked up by upstream and tag. Changed only by adding at the end,
//! so that comments and order stay as they are. Must not decide what a difference means.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::tag::Tag;
use super::tree::{CommitId, TreeId};
use crate::digest::Sha256;
use crate::files::{self, FileError};

const SCHEMA: u32 = 1;
const HEADER: &str = "\
# Written by wslk: what each source was when it was first fetched. Keep this file with your project.
# wslk refuses a source that differs from its pin; to accept a change, remove the pin.
schema = 1
";

/// One source and what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Pin {
    /// The git URL, or the tarball's URL or path.
    pub upstream: String,
    /// The release, of a git upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// The commit that the tag named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<CommitId>,
    /// The id of the tree on disk.
    pub tree: TreeId,
    /// The digest of a tarball that is an upstream of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tarball: Option<Sha256>,
}

/// Why the lock file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum LockFileError {
    /// It is not what we write.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// It is of a later wslk.
    #[error("{} has schema {found}, this wslk knows {SCHEMA}", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: u32,
    },
    /// The disk refused.
    #[error(transparent)]
    File(#[from] FileError),
}

#[derive(Debug, Deserialize)]
struct Raw {
    schema: u32,
    #[serde(default)]
    pin: Vec<Pin>,
}

/// The pins of one lock file.
#[derive(Debug)]
pub struct LockFile {
    path: PathBuf,
    text: String,
    pins: Vec<Pin>,
}

impl LockFile {
    /// Reads the file; one that is not there yet has no pins.
    pub fn read(path: &Path) -> Result<Self, LockFileError> {
        let text = files::read_if_there(path)?.unwrap_or_default();
        let pins = parse(path, &text)?;
        Ok(Self {
            path: path.to_owned(),
            text,
            pins,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All pins, oldest first.
    #[must_use]
    pub fn pins(&self) -> &[Pin] {
        &self.pins
    }

    /// What `upstream` and `tag` were, if they were ever fetched.
    #[must_use]
    pub fn find(&self, upstream: &str, tag: Option<Tag>) -> Option<&Pin> {
        self.pins
            .iter()
            .find(|pin| pin.upstream == upstream && pin.tag == tag)
    }

    /// Adds a pin at the end; one that is there already stays as it is.
    pub fn add(&mut self, pin: Pin) -> Result<(), LockFileError> {
        if self.find(&pin.upstream, pin.tag).is_some() {
            return Ok(());
        }
        let mut text = if self.text.trim().is_empty() {
            HEADER.to_owned()
        } else {
            self.text.clone()
        };
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&table(&pin));
        files::replace(&self.path, &text)?;
        self.text = text;
        self.pins.push(pin);
        Ok(())
    }
}

fn parse(path: &Path, text: &str) -> Result<Vec<Pin>, LockFileError> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let raw: Raw = toml::from_str(text).map_err(|source| LockFileError::Damaged {
        path: path.to_owned(),
        source: Box::new(source),
    })?;
    match raw.schema {
        SCHEMA => Ok(raw.pin),
        found => Err(LockFileError::Schema {
            path: path.to_owned(),
            found,
        }),
    }
}

fn table(pin: &Pin) -> String {
    let mut text = String::from("\n[[pin]]\n");
    let mut line = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            text.push_str(&format!("{key} = {}\n", toml::Value::String(value)));
        }
    };
    line("upstream", Some(pin.upstream.clone()));
    line("tag", pin.tag.map(|tag| tag.to_string()));
    line("commit", pin.commit.map(|commit| commit.to_string()));
    line("tree", Some(pin.tree.to_string()));
    line("tarball", pin.tarball.map(|digest| digest.to_string()));
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pin(upstream: &str, tag: Option<&str>) -> Pin {
        Pin {
            upstream: upstream.to_owned(),
            tag: tag.map(|text| text.parse().unwrap()),
            commit: tag.map(|_| CommitId::new([1; 20])),
            tree: TreeId::new([2; 20]),
            tarball: tag.is_none().then(|| Sha256::of("tarball")),
        }
    }

    #[test]
    fn pins_are_only_added() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wslk.lock");
        let mut lock = LockFile::read(&path).unwrap();
        lock.add(pin("https://example.org/linux.git", Some("6.6.87.2")))
            .unwrap();
        let first = files::read(&path).unwrap();
        files::replace(&path, format!("{first}# mine, without a line's end")).unwrap();

        let mut lock = LockFile::read(&path).unwrap();
        lock.add(pin("/tmp/a \"quoted\" name.tar.gz", None))
            .unwrap();
        lock.add(Pin {
            tree: TreeId::new([9; 20]),
            ..pin("/tmp/a \"quoted\" name.tar.gz", None)
        })
        .unwrap();
        let text = files::read(&path).unwrap();
        assert!(text.starts_with(&format!("{first}# mine")), "{text}");

        let lock = LockFile::read(&path).unwrap();
        assert_eq!(lock.pins().len(), 2, "{text}");
        let tag = "6.6.87.2".parse().ok();
        assert_eq!(
            lock.find("https://example.org/linux.git", tag),
            Some(&lock.pins()[0])
        );
        assert_eq!(lock.find("https://example.org/linux.git", None), None);
    }

    #[test]
    fn a_damaged_file_is_told_with_its_line() {
        let path = Path::new("wslk.lock");
        let error = parse(path, "schema = 1\n[[pin]]\nupstream = 3\n").unwrap_err();
        let LockFileError::Damaged { source, .. } = error else {
            panic!("{error:?}")
        };
        assert!(source.to_string().contains("line 3"), "{source}");
        assert!(matches!(
            parse(path, "schema = 2\n"),
            Err(LockFileError::Schema { found: 2, .. })
        ));
    }

    proptest! {
        #[test]
        fn any_upstream_comes_back(upstream in ".{0,40}") {
            let pin = pin(&upstream, Some("6.1.21.2"));
            let text = format!("{HEADER}{}", table(&pin));
            prop_assert_eq!(parse(Path::new("wslk.lock"), &text).unwrap(), vec![pin]);
        }
    }
}
