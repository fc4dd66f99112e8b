//! What can go wrong with sources, in the user's words.

use std::path::PathBuf;

use super::KernelVersion;
use super::lock::LockFileError;
use super::patches::PatchError;
use super::plant::PlantError;
use super::remote::RemoteError;
use super::tag::{Tag, TagError, TagQuery};
use super::tree::TreeId;
use super::unpack::UnpackError;
use crate::download::DownloadError;
use crate::files::FileError;

/// Whose fault a failure is; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Of the command line, the settings or a file that the user gave.
    Input,
    /// Of the upstream: not there, or not what was pinned.
    Upstream,
    /// Of a patch that does not fit.
    Patch,
    /// Of the disk under `WSLK_HOME`.
    Disk,
    /// Nobody's: the user asked us to stop.
    Interrupted,
}

/// Why there is no source tree.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Text that names no release.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// Text that names no source.
    #[error("`{text}` is no source: {problem}")]
    Upstream {
        /// What was given.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A release that the remote does not have.
    #[error("{url} has no release {query}")]
    NoSuchTag {
        /// The remote.
        url: String,
        /// What was asked for.
        query: TagQuery,
        /// The newest that it has.
        newest: Vec<Tag>,
    },
    /// A folder or tarball without what every kernel tree has.
    #[error("{} is no kernel source tree: it has no {missing}", path.display())]
    NotAKernel {
        /// The folder or tarball.
        path: PathBuf,
        /// What is not there.
        missing: &'static str,
    },
    /// A tree that was built in.
    #[error("{} is not clean: it has {product} from an earlier build", path.display())]
    NotClean {
        /// The tree.
        path: PathBuf,
        /// What the build has left.
        product: &'static str,
    },
    /// A tarball or folder of another release than the one asked for.
    #[error("{origin} is Linux {found}, not {wanted}")]
    OtherRelease {
        /// The tarball or folder.
        origin: String,
        /// What its Makefile says.
        found: KernelVersion,
        /// What was asked for.
        wanted: TagQuery,
    },
    /// A folder that changed under our hands.
    #[error("{} changed while it was copied", .0.display())]
    Unsteady(PathBuf),
    /// Something is not here, and `--offline` forbids to get it.
    #[error("{what} is not here, and --offline forbids to fetch it")]
    Offline {
        /// What is needed.
        what: String,
    },
    /// A source that is no longer what its pin says.
    #[error("{origin} is not what it was: its {part} is {found}, {} says {pinned}", lock_file.display())]
    Moved {
        /// The source.
        origin: String,
        /// "commit", "tree id" or "SHA-256".
        part: &'static str,
        /// What the lock file says.
        pinned: String,
        /// What came.
        found: String,
        /// The lock file.
        lock_file: PathBuf,
    },
    /// A transport brought something else than the remote announced.
    #[error("{origin} brought another {part} than announced: {found} instead of {announced}")]
    Differs {
        /// The source.
        origin: String,
        /// "commit" or "tree id".
        part: &'static str,
        /// What git said.
        announced: String,
        /// What came.
        found: String,
    },
    /// A tree on disk that is no longer what was fetched.
    #[error("the sources in {} have changed: their tree id is {found}, {expected} was fetched", root.display())]
    Changed {
        /// The tree.
        root: PathBuf,
        /// Its id when it was fetched.
        expected: TreeId,
        /// Its id now.
        found: TreeId,
    },
    /// A tarball that cannot be used.
    #[error("cannot unpack {archive}")]
    Archive {
        /// Its path or URL.
        archive: String,
        /// Whether it came over the network.
        remote: bool,
        /// What is wrong with it.
        source: UnpackError,
    },
    /// A folder that cannot be a source tree.
    #[error(transparent)]
    Plant(#[from] PlantError),
    /// A git remote failed.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// A download failed.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// A patch does not fit.
    #[error(transparent)]
    Patch(#[from] PatchError),
    /// The lock file cannot be used.
    #[error(transparent)]
    LockFile(#[from] LockFileError),
    /// The disk refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The user asked us to stop.
    #[error("interrupted while fetching sources")]
    Interrupted,
}

impl SourceError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Tag(_)
            | Self::Upstream { .. }
            | Self::NoSuchTag { .. }
            | Self::NotAKernel { .. }
            | Self::NotClean { .. }
            | Self::OtherRelease { .. }
            | Self::Unsteady(_) => Fault::Input,
            Self::Patch(PatchError::Order { .. } | PatchError::Unnamed(_)) => Fault::Input,
            Self::Patch(_) => Fault::Patch,
            Self::Offline { .. }
            | Self::Moved { .. }
            | Self::Differs { .. }
            | Self::Changed { .. } => Fault::Upstream,
            Self::Archive {
                source: UnpackError::Plant(PlantError::File(_)),
                ..
            } => Fault::Disk,
            Self::Archive {
                source: UnpackError::Interrupted,
                ..
            }
            | Self::Interrupted => Fault::Interrupted,
            Self::Archive { remote, .. } => {
                if *remote {
                    Fault::Upstream
                } else {
                    Fault::Input
                }
            }
            Self::Plant(PlantError::Member { .. }) => Fault::Input,
            Self::Remote(RemoteError::Interrupted) | Self::Download(DownloadError::Interrupted) => {
                Fault::Interrupted
            }
            Self::LockFile(LockFileError::Damaged { .. } | LockFileError::Schema { .. }) => {
                Fault::Input
            }
            Self::Plant(PlantError::File(_))
            | Self::Remote(RemoteError::File(_))
            | Self::Download(DownloadError::File(_))
            | Self::LockFile(LockFileError::File(_))
            | Self::File(_) => Fault::Disk,
            Self::Download(DownloadError::Url(_)) => Fault::Input,
            Self::Remote(_) | Self::Download(_) => Fault::Upstream,
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Tag(_) => "`wslk tags` lists what there is".to_owned(),
            Self::Upstream { .. } => {
                "--source takes a git URL or repository, a .tar.gz, .tar.xz or .tar.zst (path or URL), or a kernel folder".to_owned()
            }
            Self::NoSuchTag { newest, .. } => no_such_tag(newest),
            Self::NotAKernel { .. } => "give the top folder of a kernel, the one with Makefile, Kconfig and arch/".to_owned(),
            Self::NotClean { path, .. } => format!("run `make -C {} mrproper` (it also removes .config)", path.display()),
            Self::OtherRelease { .. } => "leave the release out, or give the source that belongs to it".to_owned(),
            Self::Unsteady(_) => "wait until nothing writes there, and run again".to_owned(),
            Self::Offline { .. } => "run once without --offline; after that it is kept".to_owned(),
            Self::Moved { lock_file, .. } => format!(
                "find out why it changed; if the change is right, remove its [[pin]] from {} and run again",
                lock_file.display()
            ),
            Self::Differs { .. } => "run again; if it stays so, try --transport git".to_owned(),
            Self::Changed { root, .. } => {
                format!("remove {} and fetch again; changes of yours belong in patches/", root.display())
            }
            Self::Archive { source, remote, .. } => return archive(source, *remote),
            Self::Plant(PlantError::File(error)) | Self::File(error) => error.hint()?.to_owned(),
            Self::Plant(_) => "remove it from the folder".to_owned(),
            Self::Remote(error) => return error.hint(),
            Self::Download(error) => return error.hint(),
            Self::Patch(error) => error.hint(),
            Self::LockFile(LockFileError::File(error)) => error.hint()?.to_owned(),
            Self::LockFile(_) => "restore the file from version control, or remove it to pin everything afresh".to_owned(),
            Self::Interrupted => return None,
        };
        Some(text)
    }
}

fn no_such_tag(newest: &[Tag]) -> String {
    if newest.is_empty() {
        return "it has no tag of the form linux-msft-wsl-A.B.C.D at all".to_owned();
    }
    let names: Vec<String> = newest.iter().map(Tag::version).collect();
    format!(
        "the newest there are {}; `wslk tags` lists all",
        names.join(", ")
    )
}

fn archive(error: &UnpackError, remote: bool) -> Option<String> {
    let text = match error {
        UnpackError::Damaged(_) | UnpackError::Format(_) if remote => {
            "what came was removed; run again, or try another source"
        }
        UnpackError::Damaged(_) | UnpackError::Format(_) => {
            "get the file again and compare its checksum"
        }
        UnpackError::Bomb(_) | UnpackError::Plant(PlantError::Member { .. }) => {
            "nothing of it was kept; do not trust where it came from"
        }
        UnpackError::Plant(PlantError::File(error)) => error.hint()?,
        UnpackError::Interrupted => return None,
    };
    Some(text.to_owned())
}
