//! Git remotes: which releases there are, and the tree of one of them.
//!
//! In: a URL or the path of a repository. Out: [`RemoteTag`]s, or a tree's files below a staging folder.
//! Must not leave a `.git` anywhere near the tree, nor wait for ever: the library has no deadlines of its
//! own, so it works on a thread that we stop waiting for. The only user of git2.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use git2::{
    AutotagOption, Direction, FetchOptions, ObjectType, ProxyOptions, Remote, RemoteCallbacks,
    Repository,
};
use serde::{Deserialize, Serialize};

use super::plant::{self, Name, PlantError, Planter};
use super::tag::Tag;
use super::tree::{CommitId, TreeId};
use crate::files::{self, FileError};
use crate::process::Interrupt;
use crate::report::{Reporter, Task, Unit};

/// How long a remote may say nothing at all.
const SILENCE: Duration = Duration::from_secs(60);
/// How often we look at the interrupt while git2 works.
const TICK: Duration = Duration::from_millis(50);

/// A release that a remote has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteTag {
    /// Its version.
    pub tag: Tag,
    /// Its name there, as spelled there.
    pub name: String,
    /// The commit that it names; an annotated tag is followed to its commit.
    pub commit: CommitId,
}

/// Why git gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// git2 said no.
    #[error("cannot {action} {url}")]
    Git {
        /// What was tried, as a verb.
        action: &'static str,
        /// The remote.
        url: String,
        /// What git2 said.
        source: git2::Error,
    },
    /// Nothing came for `SILENCE`.
    #[error("{url} said nothing for {} s", SILENCE.as_secs())]
    Silent {
        /// The remote.
        url: String,
    },
    /// The tree holds something that we cannot keep.
    #[error("cannot take the tree from {url}")]
    Tree {
        /// The remote.
        url: String,
        /// What is wrong.
        source: PlantError,
    },
    /// The disk refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The user asked us to stop.
    #[error("interrupted")]
    Interrupted,
}

impl RemoteError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        use git2::ErrorClass::{Net, Os, Repository, Ssh, Ssl};
        let text = match self {
            Self::Git { source, .. } => match source.class() {
                Ssl => {
                    "the certificate was not accepted: is the clock right, is there a proxy that opens TLS?"
                }
                Ssh => "give the https:// address: ssh is not built in",
                Net | Os => {
                    "check the connection; --source takes a tarball or a folder instead, --offline uses what is here"
                }
                Repository => {
                    "if the folder belongs to somebody else, add it to git's safe.directory"
                }
                _ => return None,
            },
            Self::Silent { .. } => "try again later; what has come so far is kept",
            Self::Tree {
                source: PlantError::File(error),
                ..
            }
            | Self::File(error) => error.hint()?,
            Self::Tree { .. } | Self::Interrupted => return None,
        };
        Some(text.to_owned())
    }
}

/// The releases of a remote, newest first by version; other tags are left out.
///
/// Nothing is cloned: this asks for names only.
///
/// # Errors
/// The remote cannot be reached or is no git repository.
pub fn list(url: &str, interrupt: &Interrupt) -> Result<Vec<RemoteTag>, RemoteError> {
    let heads = watched(url, interrupt, |_| {}, {
        let url = url.to_owned();
        move |_: &Progress| {
            heads(&url).map_err(|source| RemoteError::Git {
                action: "list the tags of",
                url,
                source,
            })
        }
    })?;
    Ok(releases(&heads))
}

/// Names and ids as the remote lists them.
fn heads(url: &str) -> Result<Vec<(String, CommitId)>, git2::Error> {
    let mut remote = Remote::create_detached(url)?;
    let connection = remote.connect_auth(Direction::Fetch, None, Some(proxy()))?;
    let heads = connection.list()?;
    Ok(heads
        .iter()
        .map(|head| (head.name().to_owned(), commit_id(head.oid())))
        .collect())
}

fn proxy() -> ProxyOptions<'static> {
    let mut proxy = ProxyOptions::new();
    proxy.auto();
    proxy
}

fn commit_id(id: git2::Oid) -> CommitId {
    CommitId::new(bytes_of(id))
}

fn bytes_of(id: git2::Oid) -> [u8; 20] {
    let mut bytes = [0; 20];
    for (to, from) in bytes.iter_mut().zip(id.as_bytes()) {
        *to = *from;
    }
    bytes
}

/// Picks the releases out of a remote's list, in which `name^{}` is what the annotated tag `name` is of.
fn releases(heads: &[(String, CommitId)]) -> Vec<RemoteTag> {
    let mut found: BTreeMap<Tag, RemoteTag> = BTreeMap::new();
    for (reference, commit) in heads {
        let Some(name) = reference.strip_prefix("refs/tags/") else {
            continue;
        };
        let (name, peeled) = name
            .strip_suffix("^{}")
            .map_or((name, false), |name| (name, true));
        let Ok(tag) = name.parse::<Tag>() else {
            continue;
        };
        let better = |old: &RemoteTag| {
            let full_name = name == tag.to_string();
            (peeled && old.name == name) || (full_name && old.name != name)
        };
        if found.get(&tag).is_none_or(better) {
            found.insert(
                tag,
                RemoteTag {
                    tag,
                    name: name.to_owned(),
                    commit: *commit,
                },
            );
        }
    }
    found.into_values().rev().collect()
}

/// What git itself says a release is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) commit: CommitId,
    pub(super) tree: TreeId,
}

/// Brings one tag, without its history, into the bare repository `cache`, which is made if missing.
pub(super) fn fetch(
    url: &str,
    name: &str,
    cache: &Path,
    reporter: &Reporter,
    interrupt: &Interrupt,
) -> Result<(), RemoteError> {
    files::create_dir(cache)?;
    let task = reporter.task("fetching git objects", Unit::Bytes, None);
    let (url_there, name, cache) = (url.to_owned(), name.to_owned(), cache.to_owned());
    watched(url, interrupt, report_bytes(&task), move |progress| {
        fetch_tag(&url_there, &name, &cache, progress).map_err(|source| RemoteError::Git {
            action: "fetch from",
            url: url_there,
            source,
        })
    })
}

fn report_bytes(task: &Task) -> impl FnMut(u64) + '_ {
    let mut last = 0;
    move |bytes| {
        task.advance(bytes.saturating_sub(last));
        last = bytes;
    }
}

fn fetch_tag(url: &str, name: &str, cache: &Path, progress: &Progress) -> Result<(), git2::Error> {
    let repository = Repository::open_bare(cache).or_else(|_| Repository::init_bare(cache))?;
    let mut callbacks = RemoteCallbacks::new();
    callbacks.transfer_progress(|stats| {
        let steps = stats.indexed_deltas() + stats.indexed_objects();
        progress.set(stats.received_bytes() as u64, steps as u64);
        !progress.cancelled()
    });
    let mut options = FetchOptions::new();
    options
        .remote_callbacks(callbacks)
        .proxy_options(proxy())
        .download_tags(AutotagOption::None)
        .depth(1);
    let refspec = format!("+refs/tags/{name}:refs/tags/{name}");
    repository
        .remote_anonymous(url)?
        .fetch(&[refspec], Some(&mut options), None)
}

/// Writes the tree of tag `name` of the repository at `path` below `into`. No network.
pub(super) fn plant_tag(
    path: &Path,
    name: &str,
    into: &Path,
    reporter: &Reporter,
    interrupt: &Interrupt,
) -> Result<Named, RemoteError> {
    let error = |source| RemoteError::Git {
        action: "read",
        url: path.display().to_string(),
        source,
    };
    let repository = Repository::open(path).map_err(error)?;
    let commit = repository
        .find_reference(&format!("refs/tags/{name}"))
        .and_then(|reference| reference.peel_to_commit())
        .map_err(error)?;
    let tree = commit.tree().map_err(error)?;
    let files = reporter.task("writing files", Unit::Files, None);
    plant::plant(into, &files, |planter| {
        Objects {
            repository: &repository,
            planter,
            interrupt,
        }
        .folder(&tree, Path::new(""))
    })
    .map_err(|walk| walk.told(path))?;
    Ok(Named {
        commit: commit_id(commit.id()),
        tree: TreeId::new(bytes_of(tree.id())),
    })
}

/// What can go wrong on the way through a tree.
#[derive(Debug)]
enum WalkError {
    Git(git2::Error),
    Plant(PlantError),
    Interrupted,
}

impl From<PlantError> for WalkError {
    fn from(error: PlantError) -> Self {
        Self::Plant(error)
    }
}

impl From<git2::Error> for WalkError {
    fn from(error: git2::Error) -> Self {
        Self::Git(error)
    }
}

impl WalkError {
    fn told(self, path: &Path) -> RemoteError {
        let url = path.display().to_string();
        match self {
            Self::Git(source) => RemoteError::Git {
                action: "read the objects of",
                url,
                source,
            },
            Self::Plant(PlantError::File(error)) => RemoteError::File(error),
            Self::Plant(source) => RemoteError::Tree { url, source },
            Self::Interrupted => RemoteError::Interrupted,
        }
    }
}

/// Hands the objects of a tree to the planter.
struct Objects<'o, 'p, 'r> {
    repository: &'o Repository,
    planter: &'p mut Planter<'r>,
    interrupt: &'o Interrupt,
}

impl Objects<'_, '_, '_> {
    fn folder(&mut self, tree: &git2::Tree<'_>, at: &Path) -> Result<(), WalkError> {
        for entry in tree {
            let path = at.join(std::ffi::OsStr::from_bytes(entry.name_bytes()));
            let Some(name) = Name::new(&path)? else {
                continue;
            };
            match (entry.kind(), entry.filemode()) {
                (Some(ObjectType::Tree), _) => {
                    let inner = self.repository.find_tree(entry.id())?;
                    self.folder(&inner, &path)?;
                }
                (Some(ObjectType::Blob), mode) => {
                    let blob = self.repository.find_blob(entry.id())?;
                    if mode == 0o120_000 {
                        let target = PathBuf::from(std::ffi::OsStr::from_bytes(blob.content()));
                        self.planter.link(&name, &target)?;
                    } else {
                        self.planter
                            .file(&name, mode & 0o100 != 0, blob.content().to_vec())?;
                    }
                }
                _ => return Err(PlantError::member(&path, "is a submodule").into()),
            }
            if self.interrupt.is_set() {
                return Err(WalkError::Interrupted);
            }
        }
        Ok(())
    }
}

/// What a working thread shows to the one that waits for it.
#[derive(Debug, Default)]
struct Progress {
    bytes: AtomicU64,
    steps: AtomicU64,
    cancelled: AtomicBool,
}

impl Progress {
    fn set(&self, bytes: u64, steps: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
        self.steps.store(steps, Ordering::Relaxed);
    }

    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    fn seen(&self) -> (u64, u64) {
        (
            self.bytes.load(Ordering::Relaxed),
            self.steps.load(Ordering::Relaxed),
        )
    }
}

/// Runs `work` on a thread of its own and waits for it, but neither past an interrupt nor past
/// `SILENCE` without progress. The thread is then told to stop, and left behind if it cannot hear.
fn watched<T: Send + 'static>(
    url: &str,
    interrupt: &Interrupt,
    mut on_bytes: impl FnMut(u64),
    work: impl FnOnce(&Progress) -> Result<T, RemoteError> + Send + 'static,
) -> Result<T, RemoteError> {
    let progress = Arc::new(Progress::default());
    let (sender, receiver) = sync_channel(1);
    let shared = Arc::clone(&progress);
    thread::spawn(move || {
        let result = work(&shared);
        // Nobody listens any more after an interrupt.
        let _gone = sender.send(result);
    });
    let (mut seen, mut since) = (progress.seen(), Instant::now());
    loop {
        match receiver.recv_timeout(TICK) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(RemoteError::Silent {
                    url: url.to_owned(),
                });
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if progress.seen() != seen {
            (seen, since) = (progress.seen(), Instant::now());
            on_bytes(seen.0);
        }
        let silent = since.elapsed() > SILENCE;
        if silent || interrupt.is_set() {
            progress.cancelled.store(true, Ordering::Relaxed);
            return Err(if silent {
                RemoteError::Silent {
                    url: url.to_owned(),
                }
            } else {
                RemoteError::Interrupted
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(name: &str, digit: u8) -> (String, CommitId) {
        (name.to_owned(), CommitId::new([digit; 20]))
    }

    #[test]
    fn releases_are_sorted_and_peeled() {
        let heads = [
            head("HEAD", 1),
            head("refs/heads/linux-msft-wsl-6.6.y", 1),
            head("refs/tags/linux-msft-5.4.72", 2),
            head("refs/tags/linux-msft-wsl-6.18.20.1", 3),
            head("refs/tags/linux-msft-wsl-6.6.87.2", 4),
            head("refs/tags/linux-msft-wsl-6.6.87.2^{}", 5),
            head("refs/tags/6.6.9.1", 6),
            head("refs/tags/linux-msft-wsl-6.6.9.1", 7),
            head("refs/tags/v6.6", 8),
        ];
        let found: Vec<_> = releases(&heads)
            .into_iter()
            .map(|tag| (tag.name, tag.commit))
            .collect();
        let expected = [
            (
                "linux-msft-wsl-6.18.20.1".to_owned(),
                CommitId::new([3; 20]),
            ),
            ("linux-msft-wsl-6.6.87.2".to_owned(), CommitId::new([5; 20])),
            ("linux-msft-wsl-6.6.9.1".to_owned(), CommitId::new([7; 20])),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_folder_without_repository_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let error = list(&folder.path().display().to_string(), &Interrupt::default()).unwrap_err();
        assert!(matches!(error, RemoteError::Git { .. }), "{error:?}");
    }
}
