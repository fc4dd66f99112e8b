//! What a build leaves behind: the modules disk, the manifest, and the store of finished builds.
//!
//! In: what the compiler made, and the facts about how it was made. Out: a [`Build`], a folder that is
//! there whole or not at all, whose [`Manifest`] names every input and the SHA-256 of every output.
//! Must not compile anything, and must not judge whether a kernel works: the boot test only leaves its
//! [`Evidence`] here, bound to the bytes that it tested.

mod evidence;
mod ext4;
mod finished;
mod manifest;
mod modules_disk;
mod modules_tree;
mod run_details;
mod store;
mod vhd;

pub mod sums;

use std::error::Error;
use std::path::PathBuf;

pub use self::evidence::{Evidence, Proven, Unproven};
pub use self::finished::Build;
pub use self::manifest::{
    BadBuildId, BuildId, BuildRef, Change, Inputs, Manifest, Output, SCHEMA, SourceFacts,
};
pub use self::modules_disk::{
    DiskRequest, ModulesDisk, ToolCall, Toolbox, ToolboxError, write_modules_disk,
};
pub use self::run_details::{RUN, RunDetails};
pub use self::store::{Draft, Listing, Lookup, MANIFEST, Store};
use crate::digest::Sha256;
use crate::files::FileError;

/// The kernel image's name in a build's folder.
pub const KERNEL: &str = "bzImage";
/// The symbol table's name in a build's folder.
pub const SYSTEM_MAP: &str = "System.map";
/// The final configuration's name in a build's folder.
pub const CONFIG: &str = "config";
/// The name of the configuration that the fragments went over, as it was, in a build's folder.
pub const BASE_CONFIG: &str = "base.config";
/// The name of the configuration's audit in a build's folder.
pub const AUDIT: &str = "audit.json";
/// The name of the list of the builder image's packages in a build's folder.
pub const PACKAGES: &str = "packages.json";
/// The modules disk's name in a build's folder.
pub const MODULES_DISK: &str = "modules.vhd";

/// Why an artefact could not be made, found or trusted.
#[derive(Debug, thiserror::Error)]
pub enum ArtefactError {
    /// The disk refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// No build has this id, or an id that begins like this.
    #[error("no build matches `{wanted}`")]
    NoSuchBuild {
        /// What was asked for.
        wanted: String,
        /// The ids that there are, newest first.
        known: Vec<BuildId>,
    },
    /// More than one build begins like this.
    #[error("`{wanted}` fits {} builds", matches.len())]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// The ids that it fits, newest first.
        matches: Vec<BuildId>,
    },
    /// A file that wslk wrote cannot be understood.
    #[error("{} is damaged: {reason}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file was written by another wslk.
    #[error("{} has schema {found}, and this wslk knows schema {known}", file.display())]
    Schema {
        /// The file.
        file: PathBuf,
        /// The schema number in it.
        found: u32,
        /// The one that we read.
        known: u32,
    },
    /// A file of a build is gone.
    #[error("{} is missing from its build", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// A file of a build is not what it was when the build was published.
    #[error("{} was changed after the build: {what} {found} instead of {expected}", file.display())]
    Altered {
        /// The file.
        file: PathBuf,
        /// What differs: "size" or "SHA-256".
        what: &'static str,
        /// The value in the manifest.
        expected: String,
        /// The value now.
        found: String,
    },
    /// The modules folder is not what `modules_install` leaves.
    #[error("{} cannot go on a modules disk: {reason}", path.display())]
    Modules {
        /// The folder or the file in it.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The file system tools failed.
    #[error("cannot make the file system of the modules disk")]
    Toolbox(#[source] ToolboxError),
    /// The tools claim success, and the image is not the one that was asked for.
    #[error("mke2fs left an image of {found} bytes instead of {expected} in {}", path.display())]
    WrongImage {
        /// The image.
        path: PathBuf,
        /// Bytes asked for.
        expected: u64,
        /// Bytes found.
        found: u64,
    },
}

impl ArtefactError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint().map(str::to_owned),
            Self::NoSuchBuild { known, .. } if known.is_empty() => {
                Some("there are no builds yet; `wslk build` makes one".to_owned())
            }
            Self::NoSuchBuild { known, .. } => Some(format!("there are: {}", names(known))),
            Self::Ambiguous { matches, .. } => {
                Some(format!("give more of the id; it fits {}", names(matches)))
            }
            Self::Damaged { file, .. } | Self::Missing { file } | Self::Altered { file, .. } => {
                let folder = file.parent().unwrap_or(file);
                Some(format!(
                    "remove {} and build again; the source and the compiler cache are kept",
                    folder.display()
                ))
            }
            Self::Schema { found, known, .. } if found < known => {
                Some("an earlier wslk made that build: build it again".to_owned())
            }
            Self::Schema { .. } => {
                Some("a newer wslk wrote it: use that one, or another --home".to_owned())
            }
            Self::Modules { .. } => {
                Some("`make modules_install` must have run to its end, depmod included".to_owned())
            }
            Self::Toolbox(error) => toolbox_hint(error.as_ref()),
            Self::WrongImage { .. } => None,
        }
    }
}

/// mke2fs learned to read a tar file in 1.47.1 and opens libarchive only at run time; without either
/// it takes the tar file for a folder or says that it needs the library.
fn toolbox_hint(error: &(dyn Error + Send + Sync + 'static)) -> Option<String> {
    let text = chain(error).to_lowercase();
    let old = ["libarchive", "not a directory", "is not installed"]
        .iter()
        .any(|sign| text.contains(sign));
    old.then(|| {
        "this needs e2fsprogs 1.47.1 or later and libarchive13; the builder image has both, and Debian 13 packages them"
            .to_owned()
    })
}

fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

fn names(ids: &[BuildId]) -> String {
    const SHOWN: usize = 6;
    let mut text = ids
        .iter()
        .take(SHOWN)
        .map(BuildId::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    if ids.len() > SHOWN {
        text.push_str(&format!(" and {} more", ids.len() - SHOWN));
    }
    text
}

/// A file's recorded and its present digest differ.
fn altered(file: PathBuf, expected: Sha256, found: Sha256) -> ArtefactError {
    ArtefactError::Altered {
        file,
        what: "SHA-256",
        expected: expected.to_string(),
        found: found.to_string(),
    }
}
