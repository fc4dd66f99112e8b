//! The source stage: from a tag, a tarball or a folder to a kernel tree whose identity is known.
//!
//! In: a [`FetchRequest`]. Out: a [`SourceTree`] on disk, named by the git tree id of what lies there.
//! Must not know what the tree is used for, and never hands out a tree that differs from its pin.

mod error;
mod fetch;
mod import;
mod plant;
mod store;
mod transport;
mod unpack;
mod upstream;
mod version;
mod wanted;

pub mod lock;
pub mod patches;
pub mod remote;
pub mod tag;
pub mod tree;

use std::path::PathBuf;

pub use self::error::{Fault, SourceError};
pub use self::fetch::SourceOutlook;
pub use self::lock::LockFileError;
pub use self::patches::{PatchError, PatchSet, PatchedTree, apply as apply_patches};
pub use self::plant::PlantError;
pub use self::remote::{RemoteError, RemoteTag};
pub use self::tag::{Series, Tag, TagQuery};
pub use self::tree::{CommitId, TreeId};
pub use self::unpack::UnpackError;
pub use self::upstream::{Location, MICROSOFT, Upstream};
pub use self::version::KernelVersion;
pub use self::wanted::Wanted;
use crate::digest::Sha256;
pub use crate::download::{DownloadError, Patience};
use crate::home::Home;
use crate::process::Interrupt;
use crate::report::Reporter;

/// What to fetch, and how.
#[derive(Debug, Clone)]
pub struct FetchRequest {
    /// Where from.
    pub upstream: Upstream,
    /// Which release; the newest of a git upstream when `None`. A tarball or folder has but one, which
    /// must then fit.
    pub want: Option<TagQuery>,
    /// How to bring a release of a git upstream here.
    pub transport: Transport,
    /// Use only what is here.
    pub offline: bool,
    /// Ask the upstream again although the answer is here, so that a moved tag shows.
    pub refresh: bool,
}

/// How to bring a release of a git upstream here. The tree is the same in each case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// Tarball where the upstream is known to offer one, else git.
    #[default]
    Auto,
    /// A shallow fetch.
    Git,
    /// The tarball of the tag.
    Tarball,
}

impl std::str::FromStr for Transport {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "auto" => Ok(Self::Auto),
            "git" => Ok(Self::Git),
            "tarball" => Ok(Self::Tarball),
            _ => Err(format!(
                "`{word}` is no transport; it is auto, git or tarball"
            )),
        }
    }
}

/// What a fetch works with. The caller holds the lock of the home.
#[derive(Debug, Clone)]
pub struct Sources<'a> {
    /// Where trees are kept, and the cache.
    pub home: &'a Home,
    /// The `wslk.lock` to obey and to add to.
    pub lock_file: PathBuf,
    /// Told what is going on.
    pub reporter: Reporter,
    /// Stops everything.
    pub interrupt: Interrupt,
    /// For servers.
    pub patience: Patience,
}

/// The releases that an upstream offers, newest first, without cloning it.
///
/// # Errors
/// A tarball or a folder is one tree, and has no list.
pub fn list_tags(
    upstream: &Upstream,
    interrupt: &Interrupt,
) -> Result<Vec<RemoteTag>, SourceError> {
    match upstream {
        Upstream::Git(url) => Ok(remote::list(url, interrupt)?),
        Upstream::Tarball(_) | Upstream::Directory(_) => Err(SourceError::Upstream {
            text: upstream.to_string(),
            problem: "it holds one kernel tree; tags are listed from a git repository",
        }),
    }
}

/// Brings the wanted tree here, unless it is here already, and pins it.
///
/// # Errors
/// Nothing is kept of a tree that is damaged or not what was pinned or announced.
pub fn fetch(request: &FetchRequest, sources: &Sources<'_>) -> Result<SourceTree, SourceError> {
    fetch::Fetching::new(request, sources)?.run()
}

/// Whether the wanted tree is here, and what [`fetch`] would do if not. Changes nothing; may ask a remote
/// for its tags.
pub fn look(request: &FetchRequest, sources: &Sources<'_>) -> Result<SourceOutlook, SourceError> {
    fetch::Fetching::new(request, sources)?.look()
}

/// A tree that was fetched before, by its id; `origin` is what people call it.
///
/// # Errors
/// [`SourceError::Offline`] where it is not here any more.
pub fn stored(home: &Home, tree: &str, origin: &str) -> Result<SourceTree, SourceError> {
    let store = store::Store::new(home);
    let gone = || SourceError::Offline {
        what: format!("the source tree {tree} ({origin})"),
    };
    let record = tree.parse().ok().and_then(|id| store.find(id));
    let record = record.ok_or_else(gone)?;
    Ok(SourceTree {
        root: store.root(record.tree),
        tree: record.tree,
        tag: None,
        commit: record.commits.first().copied(),
        tarball: None,
        origin: origin.to_owned(),
        version: record.version,
    })
}

/// A kernel tree on disk, without `.git`, that nobody may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceTree {
    /// The top folder: the one with the `Makefile`.
    pub root: PathBuf,
    /// Git's id of everything below [`SourceTree::root`].
    pub tree: TreeId,
    /// The release, where the tree is one of Microsoft's or says so in its Makefile.
    pub tag: Option<Tag>,
    /// The commit that the tree belongs to, where it is known; of a tarball, what `git archive` noted in it.
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
