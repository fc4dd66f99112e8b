//! What the verbs of the Windows side take.

use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::PublishedArgs;
use crate::artefact::BuildRef;
use crate::install::check;

/// Where the Windows side is.
#[derive(Debug, Args)]
pub struct WindowsArgs {
    /// The Windows profile, which holds .wslconfig [default: the one of whoever runs WSL].
    #[arg(long, value_name = "DIR")]
    pub windows_home: Option<PathBuf>,
    /// The folder for kernels and scripts [default: wslk in %LOCALAPPDATA%].
    #[arg(long, value_name = "DIR")]
    pub windows_dir: Option<PathBuf>,
}

/// `wslk install`
#[derive(Debug, Args)]
pub struct InstallArgs {
    /// A build id, a unique part of it, or latest; with --from also a tag or a series.
    #[arg(value_name = "BUILD|TAG", default_value = "latest")]
    pub build: BuildRef,
    /// Where it is published, and what counts there.
    #[command(flatten)]
    pub published: PublishedArgs,
    /// Restart WSL into it at once; a script in Windows keeps it or takes it back.
    #[arg(long)]
    pub restart: bool,
    /// Install a build without a boot test that counts. The reason is shown for ever.
    #[arg(long, value_name = "REASON")]
    pub untested: Option<String>,
    /// The distribution that the trial starts [default: this one].
    #[arg(long, value_name = "NAME")]
    pub distro: Option<String>,
    /// Where the Windows side is.
    #[command(flatten)]
    pub windows: WindowsArgs,
}

/// `wslk rollback`
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// previous, stock, or an installed build's id or a part that begins it.
    #[arg(value_name = "stock|previous|BUILD", default_value = "previous")]
    pub target: String,
    /// Where the Windows side is.
    #[command(flatten)]
    pub windows: WindowsArgs,
}

/// `wslk status`
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Where the Windows side is.
    #[command(flatten)]
    pub windows: WindowsArgs,
}

/// `wslk clean`
#[derive(Debug, Args)]
pub struct CleanArgs {
    /// Installed builds; all that can go where none is named.
    #[arg(value_name = "BUILD")]
    pub builds: Vec<String>,
    /// Also the backups of the newest changes, as far as no way back needs them.
    #[arg(long, conflicts_with = "builds")]
    pub all: bool,
    /// Where the Windows side is.
    #[command(flatten)]
    pub windows: WindowsArgs,
}

/// `wslk trial-check`
#[derive(Debug, Args)]
pub struct TrialCheckArgs {
    /// The GPU was there before.
    #[arg(long)]
    pub gpu: bool,
    /// This was missing before; may be repeated.
    #[arg(long, value_name = "CHECK", value_parser = PossibleValuesParser::new(check::MAY_BE_MISSING))]
    pub without: Vec<String>,
}
