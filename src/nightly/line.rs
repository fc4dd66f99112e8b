//! What a night needs of the stages: the tags that there are, and a [`Job`] per tag.
//!
//! Two traits with two implementers: [`super::works`] calls the pipeline, and the tests of the night's own
//! conduct play a script.

use std::path::Path;

use super::ledger::{DriftFacts, Entry, Failure, Row};
use crate::artefact::BuildId;
use crate::error::Error;
use crate::smoke::Verdict;
use crate::source::{RemoteTag, Tag};

/// Where tags come from and jobs are begun.
pub trait Line {
    /// The tags of the upstream.
    fn tags(&self) -> Result<Vec<RemoteTag>, Error>;
    /// Digest of what kernels are judged by beside their source.
    fn judged_by(&self) -> Result<String, Error>;
    /// Begins with a tag; everything said from now on about it is kept in `log` too.
    fn begin(&self, tag: Tag, log: &Path) -> Result<Box<dyn Job + '_>, Error>;
    /// Whether the user wants to stop.
    fn stopped(&self) -> bool;
}

/// The stages of one tag. Each can be called again, and then finds its work done.
pub trait Job {
    /// Source here and pinned.
    fn fetch(&self) -> Result<(), Error>;
    /// Configuration audited, and compared with that of the tag before, if there is one.
    fn configure(&self, before: Option<Tag>) -> Result<Option<DriftFacts>, Error>;
    /// Compiled and packed.
    fn build(&self) -> Result<Made, Error>;
    /// Boot-tested, and its control with it.
    fn boot(&self, build: &BuildId) -> Result<Booted, Error>;
    /// One scenario on the kernel of this tag, built for it if need be.
    fn retry(&self, scenario: &str) -> Result<Verdict, Error>;
    /// Laid where users find it; the folder below the site's root.
    fn publish(&self, entry: &Entry) -> Result<String, Error>;
}

/// A build, for the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The build.
    pub build: BuildId,
    /// What `uname -r` says in it.
    pub release: String,
    /// The bzImage, in bytes.
    pub kernel_bytes: Option<u64>,
    /// The modules disk, in bytes.
    pub modules_bytes: Option<u64>,
}

/// A boot test, for the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booted {
    /// Why it is not a pass, if it is none.
    pub failure: Option<Failure>,
    /// The control's build, if there was one.
    pub control: Option<BuildId>,
    /// The scenarios in the order of the suite.
    pub scenarios: Vec<Row>,
    /// What the comparison with the control says.
    pub conclusion: Option<String>,
}
