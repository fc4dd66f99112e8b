//! How, where and when a build was made: all that may differ between two builds that come out the same.
//!
//! In: what the pipeline knows when it is done. Out: `run.json` beside the manifest, which holds none of it, so that
//! equal inputs give an equal manifest. The sums do not cover it: nothing follows from it about the files.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::ArtefactError;
use crate::build::{CacheStats, HostStats, ServerStats, Taken};
use crate::files;

/// Its name in a build's folder.
pub const RUN: &str = "run.json";

/// The circumstances of one build.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunDetails {
    /// The repository, tarball or folder that the source came from, as a URL or path.
    pub origin: String,
    /// `docker`, `podman` or `host`.
    pub engine: String,
    /// The builder image's id; nothing on the host. It is another for each engine, and each time the same packages
    /// are put together.
    pub image: Option<String>,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// When it was published, in seconds since 1970; filled in when the build is published.
    #[serde(default)]
    pub finished: u64,
    /// How the compiler cache did. Nothing where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheStats>,
    /// What became of each server of the shared cache.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<ServerStats>,
    /// What became of each machine that compiled for the one that built it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostStats>,
    /// Where the kernel was, if it was not compiled in this build but in an earlier one of the same inputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<Taken>,
}

impl RunDetails {
    /// Those of the build in `folder`.
    pub(super) fn read(folder: &Path) -> Result<Self, ArtefactError> {
        let file = folder.join(RUN);
        let text = files::read_if_there(&file)?
            .ok_or_else(|| ArtefactError::Missing { file: file.clone() })?;
        serde_json::from_str(&text).map_err(|error| ArtefactError::Damaged {
            file,
            reason: error.to_string(),
        })
    }

    /// Without the names of machines and servers that helped: they are nobody else's business. A
    /// night's log may still name one that failed.
    #[must_use]
    pub fn for_everybody(&self) -> Self {
        Self {
            servers: Vec::new(),
            hosts: Vec::new(),
            ..self.clone()
        }
    }

    /// The text of `run.json`.
    #[must_use]
    pub fn render(&self) -> String {
        // Every field is a string, a number or made of those: that cannot fail.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}
