//! What the verbs of publications take.

use std::path::PathBuf;

use clap::Args;

use super::KernelArgs;
use crate::artefact::BuildRef;

/// `wslk verify`
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// A build id, a unique part of it, or latest.
    #[arg(value_name = "BUILD", default_value = "latest")]
    pub build: BuildRef,
    /// Build it again from its pinned inputs, in a fresh folder, and compare bit by bit.
    #[arg(long)]
    pub rebuild: bool,
    /// A public key of minisign that counts, RW…; may be repeated.
    #[arg(long, value_name = "KEY")]
    pub trust: Vec<String>,
    /// Which kernel, and how it is made.
    #[command(flatten)]
    pub kernel: KernelArgs,
}

/// `wslk publish`
#[derive(Debug, Args)]
pub struct PublishArgs {
    /// A build id, a unique part of it, or latest.
    #[arg(value_name = "BUILD", default_value = "latest")]
    pub build: BuildRef,
    /// The folder that a web server hands out.
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// A secret key of minisign; the password of a locked one is read from WSLK_SIGN_PASSWORD.
    #[arg(long, value_name = "FILE")]
    pub sign_key: Option<PathBuf>,
    /// A file to publish beside it; may be repeated.
    #[arg(long = "document", value_name = "FILE")]
    pub documents: Vec<PathBuf>,
    /// The engine that is asked what its image holds, if the build does not say.
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<String>,
}

/// Where a publication is, and what counts there.
#[derive(Debug, Args)]
pub struct PublishedArgs {
    /// Fetch it from where it is published, check it, and only then install it.
    #[arg(long, value_name = "URL|DIR")]
    pub from: Option<String>,
    /// A public key of minisign whose publications count, RW…; may be repeated.
    #[arg(long, value_name = "KEY", requires = "from")]
    pub trust: Vec<String>,
    /// Take a publication that nobody trusted signed.
    #[arg(long, requires = "from")]
    pub unsigned: bool,
    /// Take a publication that is older than what is installed.
    #[arg(long, requires = "from")]
    pub downgrade: bool,
    /// Which profile's kernels to look for.
    #[arg(long, value_name = "NAME", requires = "from")]
    pub profile: Option<String>,
}
