//! What a kernel is compared with, as a user says it.

use crate::artefact::{BadBuildId, BuildRef};

/// The profile whose configuration is the base as it is.
pub const STOCK: &str = "stock";

/// What a kernel is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// The configuration that the build was based on, as it is, on the same tree; built if need be.
    Stock,
    /// Another finished build.
    Build(BuildRef),
}

impl std::str::FromStr for Control {
    type Err = BadBuildId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            STOCK => Ok(Self::Stock),
            build => build.parse().map(Self::Build),
        }
    }
}
