//! Why nothing was published, or why nothing of a publication was kept; each by its own name.

use std::io::ErrorKind;
use std::path::PathBuf;

use crate::artefact::{ArtefactError, BuildId};
use crate::boot::BootError;
use crate::digest::Sha256;
use crate::download::DownloadError;
use crate::files::{FileError, LockError};
use crate::source::Tag;

/// Why there is no entry, or no build from one.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Only what passed its boot test is published.
    #[error("build {build} has no boot test that counts: {reason}")]
    Unproven {
        /// The build.
        build: BuildId,
        /// What is missing.
        reason: String,
    },
    /// Entries are named by tags.
    #[error("build {0} comes from no tag, and publications are named by tags")]
    NoTag(BuildId),
    /// The build is not of that tag.
    #[error("build {build} was built from {found}, not from {tag}")]
    OtherTag {
        /// The build.
        build: BuildId,
        /// What it is to be published as.
        tag: Tag,
        /// What its manifest says.
        found: String,
    },
    /// A document cannot have this name.
    #[error("`{0}` cannot be the name of a document in a publication")]
    BadName(String),
    /// What is published stays as it is.
    #[error("this build is published already, and {} is not what would be published now", file.display())]
    Immutable {
        /// The file in the entry.
        file: PathBuf,
    },
    /// The file is no secret key, or its password is wrong.
    #[error("{} is of no use as a key: {reason}", file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// Why not.
        reason: String,
    },
    /// minisign failed.
    #[error("cannot sign: {0}")]
    Signing(String),
    /// The text names no place.
    #[error("`{text}` is no place of publications: {problem}")]
    NoPlace {
        /// What was given.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The index is not what we read.
    #[error("{place} is no index of publications: {reason}")]
    Index {
        /// Where it is.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing there fits.
    #[error("{place} has no publication that fits `{wanted}`")]
    NoEntry {
        /// Where we looked.
        place: String,
        /// What was asked for.
        wanted: String,
        /// What there is, newest first.
        known: Vec<String>,
    },
    /// Nobody signed it.
    #[error("{entry} is not signed")]
    Unsigned {
        /// The entry.
        entry: String,
    },
    /// Somebody signed it whom nobody trusts.
    #[error("{entry} is signed by the key {id}, which is not one of those trusted here")]
    UnknownKey {
        /// The entry.
        entry: String,
        /// The key's id.
        id: String,
    },
    /// The signature is not of what came.
    #[error("the signature of {entry} is wrong: {reason}")]
    WrongSignature {
        /// The entry.
        entry: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The signature is good, and belongs elsewhere.
    #[error("what came as {entry} was signed as something else: {found}")]
    OtherEntry {
        /// The entry that was asked for.
        entry: String,
        /// What the signature is about.
        found: String,
    },
    /// The entry does not agree with itself.
    #[error("{entry} contradicts itself: {what}")]
    Inconsistent {
        /// The entry.
        entry: String,
        /// What does not fit.
        what: String,
    },
    /// A file that the entry lists is not there.
    #[error("{file} is not there, though the publication lists it")]
    Missing {
        /// Where it should be.
        file: String,
    },
    /// A file ends too early.
    #[error("{file} is cut off: {found} of {expected} bytes came")]
    Truncated {
        /// The file.
        file: String,
        /// Its size, as published.
        expected: u64,
        /// The bytes that came.
        found: u64,
    },
    /// A file does not end where it should.
    #[error("{file} is larger than the {expected} bytes that it may have")]
    TooLarge {
        /// The file.
        file: String,
        /// The bytes that it may have.
        expected: u64,
    },
    /// A file is another one.
    #[error("{file} was swapped: its SHA-256 is {found}, and {expected} was published")]
    Swapped {
        /// The file.
        file: String,
        /// The digest in `SHA256SUMS`.
        expected: Sha256,
        /// The digest of what came.
        found: Sha256,
    },
    /// There is no evidence in it.
    #[error("{entry} comes without evidence of a boot test")]
    NoEvidence {
        /// The entry.
        entry: String,
    },
    /// The evidence is about other files, or of a failure.
    #[error("the evidence in {entry} does not count: {reason}")]
    OtherEvidence {
        /// The entry.
        entry: String,
        /// Why not.
        reason: String,
    },
    /// It is older than what is installed.
    #[error("{wanted} is older than {installed}, which is installed")]
    Downgrade {
        /// The tag that was asked for, or is the newest there.
        wanted: Tag,
        /// The tag of the kernel that is configured.
        installed: Tag,
    },
    /// A build of this name is here and is another.
    #[error("build {build} is here already, and its {file} differs from the published one")]
    Occupied {
        /// The build.
        build: BuildId,
        /// The first file that differs.
        file: String,
    },
    /// A file did not come.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// The build is damaged.
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
    /// Its boot report cannot be read.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// Another publisher is at work.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The disk refused.
    #[error(transparent)]
    File(#[from] FileError),
}

impl PublishError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Unproven { .. } => "`wslk boot BUILD` tests it; nothing untested is published",
            Self::NoTag(_) => "build it by tag from a git repository",
            Self::OtherTag { .. } => "publish it as what it is",
            Self::BadName(_) => {
                "letters, digits, `.`, `_` and `-`, and none of the names of a build's own files"
            }
            Self::Immutable { .. } => {
                "what is published stays; if it must go, remove the whole folder of the entry by hand"
            }
            Self::Key { .. } => {
                "a secret key is what `minisign -G` writes; the password of a locked one goes into WSLK_SIGN_PASSWORD"
            }
            Self::NoPlace { .. } => "give an http(s) address or a folder that holds an index.json",
            Self::Index { .. } => "the address must be that of the folder with index.json in it",
            Self::NoEntry { known, .. } => return Some(there_are(known)),
            Self::Unsigned { .. } => {
                "ask whoever publishes it for a signature; --unsigned takes it as it is, from anybody who can answer there"
            }
            Self::UnknownKey { .. } => {
                "get the key from whoever publishes, by another way than this server, and name it: --trust KEY, or [trust] keys in the settings"
            }
            Self::WrongSignature { .. }
            | Self::OtherEntry { .. }
            | Self::Inconsistent { .. }
            | Self::Swapped { .. } => {
                "nothing of it was kept; tell whoever publishes it, and do not use what is there"
            }
            Self::Missing { .. } | Self::Truncated { .. } | Self::TooLarge { .. } => {
                "nothing of it was kept; run again, and if it stays so tell whoever publishes it"
            }
            Self::NoEvidence { .. } | Self::OtherEvidence { .. } => {
                "nothing of it was kept; nobody has shown that this kernel works"
            }
            Self::Downgrade { .. } => "--downgrade installs it nevertheless",
            Self::Occupied { .. } => {
                "`wslk verify BUILD` says what is known of the one here; remove its folder to take the published one"
            }
            Self::Download(error) => return download_hint(error),
            Self::Artefact(error) => return error.hint(),
            Self::Boot(error) => return error.hint(),
            Self::Lock(LockError::Held(_)) => "wait for it: one publishes at a time",
            Self::Lock(LockError::File(error)) | Self::File(error) => file_hint(error.kind())?,
            Self::Signing(_) => return None,
        };
        Some(text.to_owned())
    }
}

/// It may be the outlet's disk as well as that of the home.
fn file_hint(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Some("free some space there; what was published before is untouched")
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            Some("see who may read and write there")
        }
        _ => None,
    }
}

fn there_are(known: &[String]) -> String {
    const SHOWN: usize = 6;
    if known.is_empty() {
        return "nothing is published there for this profile; --profile names another".to_owned();
    }
    let shown = known.iter().take(SHOWN).cloned().collect::<Vec<_>>();
    format!("there are: {}", shown.join(", "))
}

/// The download's own hints are about sources.
fn download_hint(error: &DownloadError) -> Option<String> {
    let text = match error {
        DownloadError::Status { .. } | DownloadError::Redirect { .. } => {
            "open the address in a browser to see what it is"
        }
        DownloadError::Unreachable { .. } => {
            "check the connection and run again: it goes on where it broke off"
        }
        other => return other.hint(),
    };
    Some(text.to_owned())
}
