//! The source stage: from a tag, a tarball or a folder to a kernel tree whose identity is known.
//!
//! In: a [`FetchRequest`]. Out: a [`SourceTree`] on disk, named by the git tree id of what lies there.
//! Must not know what the tree is used for, and never hands out a tree that differs from its pin.

mod error;
mod version;

pub mod tag;
pub mod tree;

use std::path::PathBuf;

pub use self::error::{Fault, SourceError};
pub use self::tag::{Series, Tag, TagQuery};
pub use self::tree::{CommitId, TreeId};
pub use self::version::KernelVersion;
use crate::digest::Sha256;

/// A kernel tree on disk, without `.git`, that nobody may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceTree {
    /// The top folder: the one with the `Makefile`.
    pub root: PathBuf,
    /// Git's id of everything below [`SourceTree::root`].
    pub tree: TreeId,
    /// The release, where the tree is one of Microsoft's.
    pub tag: Option<Tag>,
    /// The commit that the tree belongs to, where it is known.
    pub commit: Option<CommitId>,
    /// The digest of the tarball that the tree came in, if it came in one.
    pub tarball: Option<Sha256>,
    /// Where the tree came from, for people: a URL and tag, or a path.
    pub origin: String,
    /// The version in its Makefile.
    pub version: KernelVersion,
}

impl SourceTree {
    /// Compares every file on disk with [`SourceTree::tree`]; takes about a second for a kernel.
    ///
    /// # Errors
    /// [`SourceError::Changed`] when the tree is no longer what was fetched.
    pub fn verify(&self) -> Result<(), SourceError> {
        let found = TreeId::of_dir(&self.root)?;
        if found == self.tree {
            return Ok(());
        }
        Err(SourceError::Changed {
            root: self.root.clone(),
            expected: self.tree,
            found,
        })
    }

    /// The series of the kernel, which patches and fragments are chosen by.
    #[must_use]
    pub fn series(&self) -> Series {
        self.version.series()
    }
}
