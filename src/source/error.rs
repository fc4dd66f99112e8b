//! What can go wrong with sources, in the user's words.

use std::path::PathBuf;

use super::tag::TagError;
use super::tree::TreeId;
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
    /// A folder or tarball without what every kernel tree has.
    #[error("{} is no kernel source tree: it has no {missing}", path.display())]
    NotAKernel {
        /// The folder looked at.
        path: PathBuf,
        /// What is not there.
        missing: &'static str,
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
    /// The disk refused.
    #[error(transparent)]
    File(#[from] FileError),
}

impl SourceError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Tag(_) | Self::NotAKernel { .. } => Fault::Input,
            Self::Changed { .. } => Fault::Upstream,
            Self::File(_) => Fault::Disk,
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Tag(_) => Some("`wslk tags` lists what there is".to_owned()),
            Self::NotAKernel { .. } => Some(
                "give the top folder of the kernel, the one with Makefile, Kconfig and arch/"
                    .to_owned(),
            ),
            Self::Changed { root, .. } => Some(format!(
                "remove {} and fetch again; patches belong in patches/<series>/",
                root.display()
            )),
            Self::File(error) => error.hint().map(str::to_owned),
        }
    }
}
