//! The kconfig stage: a base configuration, the fragments over it, and whether the result is what was
//! wanted.
//!
//! ```text
//! base + fragments ─▶ merge ─▶ the tree's own olddefconfig ─▶ audit ─▶ KernelConfig
//! [parse] [fragment]  [merge]  [Solver], done by the builder   [audit], reasons by [explain]
//!                                                              from the tree's symbols [index]
//! two of those, and their trees' symbols ─▶ what changed [drift]
//! ```
//!
//! In: a [`ConfigRequest`] and a [`Solver`]. Out: a [`KernelConfig`]: the final text and its
//! [`Audit`], or a [`KconfigError`] that says which promise is broken and why. Must not write into the
//! source tree, and must not decide values by itself: the tree's own tool does, we check it.

pub mod audit;
mod blame;
pub mod card;
pub mod drift;
pub mod explain;
pub mod fault;
pub mod fragment;
pub mod index;
pub mod merge;
pub mod parse;
pub mod profile;
pub mod release;
mod render;
pub mod resolve;
pub mod symbol;
pub mod tree;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::digest::Sha256;
use crate::files::{self, FileError};

pub use self::audit::{Audit, Finding, Verdict};
pub use self::card::Card;
pub use self::drift::{Drift, Reviews};
pub use self::explain::Explanation;
pub use self::fault::InputError;
pub use self::fragment::{Fragment, Request};
pub use self::index::SymbolIndex;
pub use self::merge::{Conflict, MergeError};
pub use self::parse::{ConfigFile, Origin};
pub use self::profile::{Profile, Profiles};
pub use self::resolve::{Configured, configure, resolve};
pub use self::symbol::{Symbol, SymbolType, Value};
pub use self::tree::{Arch, NotAnArch, TreeFacts};

/// The tree's own configuration tool, run by whoever can run programs of the tree.
pub trait Solver: Sync {
    /// A configuration made by one of the tree's targets: `defconfig`, `tinyconfig`.
    fn base(&self, target: &str) -> Result<String, SolverError>;

    /// The configuration that `make olddefconfig` makes of `merged`.
    fn olddefconfig(&self, merged: &str) -> Result<String, SolverError>;
}

/// The tree's own configuration tool failed.
#[derive(Debug)]
pub struct SolverError(pub Box<dyn std::error::Error + Send + Sync>);

impl fmt::Display for SolverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the tree's own configuration tool failed")
    }
}

impl std::error::Error for SolverError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.0.as_ref())
    }
}

/// Where the base configuration comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// The tree's own WSL configuration: `arch/<arch>/configs/config-wsl`, or `Microsoft/config-wsl`.
    Own,
    /// A file of the user's.
    File(PathBuf),
    /// One of the tree's targets: `defconfig`, `tinyconfig`.
    Target(String),
}

/// What to configure, and how.
#[derive(Debug, Clone)]
pub struct ConfigRequest {
    /// The kernel tree.
    pub tree: TreeFacts,
    /// The base configuration.
    pub base: Base,
    /// Whether every option of the base must still be there at the end.
    pub keep_base: bool,
    /// What goes over the base.
    pub fragments: Vec<Fragment>,
    /// What must be built in at the end; requests nothing.
    pub guards: Vec<Fragment>,
    /// The folder for indices of the options of trees.
    pub index_cache: PathBuf,
}

/// A configuration that keeps its contract.
#[derive(Debug, Clone)]
pub struct KernelConfig {
    /// The `.config`, as the tree's own tool wrote it.
    pub text: String,
    /// Its digest.
    pub digest: Sha256,
    /// The base, as it was before anything went over it.
    pub base: String,
    /// What was checked.
    pub audit: Audit,
    /// Where each value that was given was written; the others are defaults of the tree.
    pub origins: BTreeMap<Symbol, Origin>,
}

/// Why there is no configuration that keeps its contract.
#[derive(Debug, thiserror::Error)]
pub enum KconfigError {
    /// A fragment or configuration has faults.
    #[error(transparent)]
    Input(Box<InputError>),
    /// Fragments disagree; never empty.
    #[error("two fragments disagree: {}", list(.0))]
    Conflict(Vec<Conflict>),
    /// The base was made for another architecture.
    #[error("{file} is a configuration for {found}, and the kernel is for {wanted}")]
    OtherArch {
        /// The base.
        file: String,
        /// What it is for.
        found: Arch,
        /// What was asked for.
        wanted: Arch,
    },
    /// The tree has no WSL configuration of its own.
    #[error("the kernel tree has no WSL configuration of its own (looked for {})", .0.join(", "))]
    NoOwnConfig(Vec<String>),
    /// The text of `CONFIG_LOCALVERSION` cannot be part of a release.
    #[error("`{0}` cannot be part of a kernel release")]
    Release(String),
    /// The profile is not known.
    #[error("there is no profile `{name}`")]
    NoProfile {
        /// What was asked for.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The tree has no such option.
    #[error("this kernel tree has no CONFIG_{symbol}")]
    NoSymbol {
        /// What was asked for.
        symbol: Symbol,
        /// Options with a similar name.
        nearest: Vec<Symbol>,
    },
    /// The final configuration breaks a promise.
    #[error("the final configuration is not what was asked for\n{}", .0.broken().trim_end())]
    Contract(Box<Audit>),
    /// Changes of the contract that nobody accepted.
    #[error(transparent)]
    Unreviewed(Box<drift::Unreviewed>),
    /// A kept audit cannot be read.
    #[error("{} is no audit", path.display())]
    BadAudit {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The tree's own tool failed.
    #[error(transparent)]
    Solver(#[from] SolverError),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl KconfigError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Input(error) => Some(error.hint()),
            Self::Conflict(_) => {
                Some("keep one of the two lines, or leave one of the fragments out".to_owned())
            }
            Self::OtherArch { wanted, .. } => Some(format!(
                "give a configuration for {wanted}, or leave --base-config out"
            )),
            Self::NoOwnConfig(_) => {
                Some("name a base with --base-config FILE, defconfig or tinyconfig".to_owned())
            }
            Self::Release(_) => Some(
                "use letters, digits, `.`, `_`, `+`, `~` and `-`, 36 characters in all".to_owned(),
            ),
            Self::NoProfile { known, .. } => Some(format!("there are: {}", known.join(", "))),
            Self::NoSymbol { nearest, .. } if nearest.is_empty() => None,
            Self::NoSymbol { nearest, .. } => Some(format!("similar: {}", names(nearest))),
            Self::Contract(audit) => audit.advice(),
            Self::Unreviewed(changes) => Some(changes.hint()),
            Self::BadAudit { .. } => {
                Some("the build was made by another version: build again".to_owned())
            }
            Self::Solver(_) => None,
            Self::File(error) => error.hint().map(str::to_owned),
        }
    }
}

impl From<MergeError> for KconfigError {
    fn from(error: MergeError) -> Self {
        match error {
            MergeError::Input(error) => Self::Input(error),
            MergeError::Conflicts(conflicts) => Self::Conflict(conflicts),
        }
    }
}

fn list(conflicts: &[Conflict]) -> String {
    let lines: Vec<String> = conflicts.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

fn names(symbols: &[Symbol]) -> String {
    symbols
        .iter()
        .map(Symbol::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Reads a user's fragment.
pub fn read_fragment(path: &Path) -> Result<Fragment, KconfigError> {
    let text = files::read(path)?;
    Fragment::parse(&path.display().to_string(), &text)
        .map_err(|error| KconfigError::Input(Box::new(error)))
}
