//! What the verbs take that go from a tag to a kernel.

use std::path::PathBuf;

use clap::Args;

use super::{EngineArgs, GuestArgs, KernelArgs, SourceArgs};
use crate::artefact::BuildRef;
use crate::kconfig::Symbol;
use crate::settings::Control;
use crate::source::{Series, TagQuery};

/// `wslk tags`
#[derive(Debug, Args)]
pub struct TagsArgs {
    /// Where to look.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Only this series, such as 6.6.
    #[arg(long, value_name = "A.B")]
    pub series: Option<Series>,
}

/// `wslk fetch`
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// linux-msft-wsl-A.B.C.D, A.B.C.D, a series A.B, or latest.
    #[arg(value_name = "TAG")]
    pub tag: Option<TagQuery>,
    /// Where to look.
    #[command(flatten)]
    pub source: SourceArgs,
}

/// `wslk config`
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// linux-msft-wsl-A.B.C.D, A.B.C.D, a series A.B, or latest.
    #[arg(value_name = "TAG")]
    pub tag: Option<TagQuery>,
    /// Which kernel, and how it is made.
    #[command(flatten)]
    pub kernel: KernelArgs,
    /// Write the final configuration here.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `wslk explain`
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The option, with or without CONFIG_.
    pub symbol: Symbol,
    /// linux-msft-wsl-A.B.C.D, A.B.C.D, a series A.B, or latest.
    #[arg(value_name = "TAG")]
    pub tag: Option<TagQuery>,
    /// Which kernel, and how it is made.
    #[command(flatten)]
    pub kernel: KernelArgs,
}

/// `wslk build`
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// linux-msft-wsl-A.B.C.D, A.B.C.D, a series A.B, or latest.
    #[arg(value_name = "TAG")]
    pub tag: Option<TagQuery>,
    /// Which kernel, and how it is made.
    #[command(flatten)]
    pub kernel: KernelArgs,
    /// How to boot.
    #[command(flatten)]
    pub guest: GuestArgs,
    /// Do not boot-test what was built.
    #[arg(long)]
    pub no_boot: bool,
    /// Write where the time went into the build's folder: timings.html and timings.json.
    #[arg(long)]
    pub timings: bool,
}

/// `wslk boot`
#[derive(Debug, Args)]
pub struct BootArgs {
    /// A build id, a unique part of it, or latest.
    #[arg(value_name = "BUILD", default_value = "latest")]
    pub build: BuildRef,
    /// Boot a control beside it and compare: stock (the configuration it was based on, built if need be), or a build.
    #[arg(long, value_name = "BUILD", num_args = 0..=1, require_equals = true, default_missing_value = "stock")]
    pub control: Option<Control>,
    /// Tamper with every victim's data: each check must notice, or its verdicts are worth nothing. What it
    /// finds is no evidence of the build.
    #[arg(long, conflicts_with = "control")]
    pub tamper: bool,
    /// Where CRIU for the guest comes from.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// How to boot.
    #[command(flatten)]
    pub guest: GuestArgs,
}

/// `wslk drift`
#[derive(Debug, Args)]
pub struct DriftArgs {
    /// The kernel before: a tag or series, a build id, or a configuration file.
    #[arg(value_name = "OLD")]
    pub old: String,
    /// The kernel after, likewise.
    #[arg(value_name = "NEW")]
    pub new: String,
    /// Which kernel, and how it is made.
    #[command(flatten)]
    pub kernel: KernelArgs,
    /// Write it as Markdown, whole.
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// The file with the accepted changes [default: kernel-configs/reviews.toml].
    #[arg(long, value_name = "FILE")]
    pub reviews: Option<PathBuf>,
}
