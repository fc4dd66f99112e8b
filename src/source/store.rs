//! The source trees under `WSLK_HOME`, and the memory of what led to them.
//!
//! In: a tree under construction, or an id. Out: a published tree with its record (`source.json`), and an
//! index of files, folders and remotes seen before, which saves reading them again. Must not reach for
//! the network; the index may be lost at any time.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::remote::RemoteTag;
use super::tree::{CommitId, TreeId};
use super::version::KernelVersion;
use crate::digest::Sha256;
use crate::files::{self, FileError, Staging};
use crate::home::Home;

/// The tree inside its folder.
pub(super) const TREE: &str = "tree";
/// Where a tarball is unpacked inside a staging folder, with or without a folder around the tree.
pub(super) const UNPACKED: &str = "unpacked";
const RECORD: &str = "source.json";
/// How long a list of tags is good for, unless a fresh one is asked for.
const TAGS_AGE: Duration = Duration::from_secs(24 * 3600);

/// What is known of a tree, beside it on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) schema: u32,
    pub(super) tree: TreeId,
    pub(super) version: KernelVersion,
    /// Commits that are known to have this tree.
    pub(super) commits: Vec<CommitId>,
}

/// The trees that are here.
#[derive(Debug, Clone)]
pub(super) struct Store {
    sources: PathBuf,
}

impl Store {
    pub(super) fn new(home: &Home) -> Self {
        Self {
            sources: home.sources(),
        }
    }

    /// A folder in which to build a tree that is to be published.
    pub(super) fn staging(&self) -> Result<Staging, FileError> {
        Staging::beside(&self.sources.join("unnamed"))
    }

    /// The record of a tree that is here, whole.
    pub(super) fn find(&self, tree: TreeId) -> Option<Record> {
        let text = fs::read_to_string(self.folder(tree).join(RECORD)).ok()?;
        let record: Record = serde_json::from_str(&text).ok()?;
        (record.tree == tree && self.root(tree).join("Makefile").exists()).then_some(record)
    }

    /// The tree of a commit, if it is here.
    pub(super) fn find_commit(&self, commit: CommitId) -> Option<Record> {
        let folders = fs::read_dir(&self.sources).ok()?.flatten();
        let trees = folders.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        trees
            .filter_map(|tree| self.find(tree))
            .find(|record| record.commits.contains(&commit))
    }

    /// The top folder of a tree.
    pub(super) fn root(&self, tree: TreeId) -> PathBuf {
        self.folder(tree).join(TREE)
    }

    fn folder(&self, tree: TreeId) -> PathBuf {
        self.sources.join(tree.to_string())
    }

    /// Moves the tree at `top`, inside of `staging`, to its place. One that is here already stays.
    pub(super) fn publish(
        &self,
        staging: Staging,
        top: &Path,
        record: &Record,
    ) -> Result<(), FileError> {
        let target = self.folder(record.tree);
        if self.find(record.tree).is_some() {
            return self.add_commits(record);
        }
        // Whatever is there is no whole tree.
        files::remove_dir(&target)?;
        let wanted = staging.path().join(TREE);
        if top != wanted {
            fs::rename(top, &wanted).map_err(|source| FileError::new("rename", top, source))?;
        }
        files::remove_dir(&staging.path().join(UNPACKED))?;
        write_record(&staging.path().join(RECORD), record)?;
        publish_readable(staging.named(&target))
    }

    fn add_commits(&self, record: &Record) -> Result<(), FileError> {
        let Some(mut known) = self.find(record.tree) else {
            return Ok(());
        };
        let new: Vec<CommitId> = record
            .commits
            .iter()
            .copied()
            .filter(|c| !known.commits.contains(c))
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        known.commits.extend(new);
        write_record(&self.folder(record.tree).join(RECORD), &known)
    }
}

fn write_record(path: &Path, record: &Record) -> Result<(), FileError> {
    let text = serde_json::to_string_pretty(record)
        .map_err(|error| FileError::new("write", path, error.into()))?;
    files::replace(path, text + "\n")
}

/// A staging folder is private; a builder that is another user has to read what comes of it.
fn publish_readable(staging: Staging) -> Result<(), FileError> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(staging.path(), fs::Permissions::from_mode(0o755))
        .map_err(|source| FileError::new("make readable", staging.path(), source))?;
    staging.publish().map(drop)
}

/// What a file or folder was when it was last looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// Sizes, times and inode numbers; any change of content changes one of them.
    pub(super) stamp: Sha256,
    pub(super) tree: TreeId,
    pub(super) tarball: Option<Sha256>,
    pub(super) commit: Option<CommitId>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Listed {
    /// Seconds since 1970.
    at: u64,
    tags: Vec<RemoteTag>,
}

/// What was seen before. A cache: damaged or lost, it is made again.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Index {
    #[serde(default)]
    seen: BTreeMap<PathBuf, Seen>,
    #[serde(default)]
    tags: BTreeMap<String, Listed>,
    #[serde(default)]
    patched: BTreeMap<String, TreeId>,
}

impl Index {
    pub(super) fn read(home: &Home) -> Self {
        let text = fs::read_to_string(home.source_index()).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub(super) fn write(&self, home: &Home) -> Result<(), FileError> {
        let path = home.source_index();
        let text = serde_json::to_string(self)
            .map_err(|error| FileError::new("write", &path, error.into()))?;
        files::replace(&path, text)
    }

    /// What the file or folder at `path` was, if it still has this stamp.
    pub(super) fn seen(&self, path: &Path, stamp: Sha256) -> Option<&Seen> {
        self.seen.get(path).filter(|seen| seen.stamp == stamp)
    }

    pub(super) fn remember(&mut self, path: &Path, seen: Seen) {
        self.seen.insert(path.to_owned(), seen);
    }

    /// The tags of a remote, if they were listed within [`TAGS_AGE`].
    pub(super) fn tags(&self, url: &str) -> Option<&[RemoteTag]> {
        let listed = self.tags.get(url)?;
        let age = now().checked_sub(listed.at)?;
        (age < TAGS_AGE.as_secs()).then_some(&listed.tags)
    }

    pub(super) fn remember_tags(&mut self, url: &str, tags: &[RemoteTag]) {
        self.tags.insert(
            url.to_owned(),
            Listed {
                at: now(),
                tags: tags.to_owned(),
            },
        );
    }

    /// The tree that came of patches, by a key of base and patches.
    pub(super) fn patched(&self, key: &str) -> Option<TreeId> {
        self.patched.get(key).copied()
    }

    pub(super) fn remember_patched(&mut self, key: String, tree: TreeId) {
        self.patched.insert(key, tree);
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
