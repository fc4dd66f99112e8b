//! What the configuration stage must know about a kernel tree besides its Kconfig files.
//!
//! In: the product of the source stage. Out: [`TreeFacts`]. Must not read the tree.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::source::Series;

/// An architecture that WSL2 runs on.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Arch {
    /// 64-bit PCs; `arch/x86`.
    #[default]
    X86,
    /// 64-bit ARM; `arch/arm64`.
    Arm64,
}

impl Arch {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::X86, Self::Arm64];

    /// The folder below `arch/`, kbuild's `SRCARCH`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::X86 => "x86",
            Self::Arm64 => "arm64",
        }
    }

    /// kbuild's `ARCH`.
    #[must_use]
    pub fn kbuild(self) -> &'static str {
        match self {
            Self::X86 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }

    /// The option that only a configuration of this architecture has.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::X86 => "X86",
            Self::Arm64 => "ARM64",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no architecture of WSL2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no architecture of WSL2: x86 or arm64 expected")]
pub struct NotAnArch(String);

/// Also takes the names that `uname -m` uses.
impl FromStr for Arch {
    type Err = NotAnArch;

    fn from_str(text: &str) -> Result<Self, NotAnArch> {
        match text {
            "x86" | "x86_64" | "amd64" => Ok(Self::X86),
            "arm64" | "aarch64" => Ok(Self::Arm64),
            _ => Err(NotAnArch(text.to_owned())),
        }
    }
}

/// A kernel tree as this stage sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeFacts {
    /// Its folder; only read.
    pub root: PathBuf,
    /// What identifies its content, for the name of the cached index: the git tree id.
    pub id: String,
    /// Its series.
    pub series: Series,
    /// The architecture to configure for.
    pub arch: Arch,
}

impl TreeFacts {
    /// A tree at `root` whose content is identified by `id`.
    pub fn new(
        root: impl Into<PathBuf>,
        id: impl Into<String>,
        series: Series,
        arch: Arch,
    ) -> Self {
        Self {
            root: root.into(),
            id: id.into(),
            series,
            arch,
        }
    }
}
