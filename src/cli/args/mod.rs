//! The command line as types; the only files that know clap.
//!
//! In: arguments. Out: a [`Cli`] whose flags become [`Overrides`]. Must not do anything.
//!
//! [`Overrides`]: crate::settings::Overrides

mod groups;
mod kernel;
mod machine;
mod nightly;
mod publication;
mod windows;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(in crate::cli) use self::groups::overrides;
pub use self::groups::{EngineArgs, GuestArgs, KernelArgs, SourceArgs};
pub use self::kernel::{
    BootArgs, BuildArgs, ConfigArgs, DriftArgs, ExplainArgs, FetchArgs, TagsArgs,
};
pub use self::machine::{DoctorArgs, ProbeArgs, SmokeArgs, SmokeFormat};
pub use self::nightly::NightlyArgs;
pub use self::publication::{PublishArgs, PublishedArgs, VerifyArgs};
pub use self::windows::{
    CleanArgs, InstallArgs, RollbackArgs, StatusArgs, TrialCheckArgs, WindowsArgs,
};

/// A WSL2 kernel that can checkpoint and restore processes: fetched by tag, audited, compiled in a
/// container, boot-tested with CRIU.
#[derive(Debug, Parser)]
#[command(
    name = "wslk",
    version,
    max_term_width = 100,
    arg_required_else_help = true
)]
pub struct Cli {
    /// Flags that every verb takes.
    #[command(flatten)]
    pub global: Global,
    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Flags that every verb takes.
#[derive(Debug, Args)]
pub struct Global {
    /// Folder of all state [default: $WSLK_HOME, else $XDG_DATA_HOME/wslk].
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Settings file [default: ./wslk.toml, then $XDG_CONFIG_HOME/wslk/config.toml].
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Put one JSON document on standard output.
    #[arg(long, global = true)]
    pub json: bool,
    /// Say what would be done, and do nothing.
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Say nothing but results and errors.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more: command lines and the tools' own words.
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// When to use colour.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: Color,
    /// Agree in advance to what would be asked.
    #[arg(short, long, global = true)]
    pub yes: bool,
}

/// When to use colour. It never carries meaning alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Say where this machine stands before an hour is spent on a kernel.
    Doctor(DoctorArgs),
    /// List the kernel tags of a repository, newest first, without cloning it.
    Tags(TagsArgs),
    /// Fetch and pin a source tree.
    Fetch(FetchArgs),
    /// Merge and audit the kernel configuration.
    Config(ConfigArgs),
    /// Say what changed between the configurations of two kernels, and fail on what nobody has accepted.
    Drift(DriftArgs),
    /// Say what a kernel option is, what it will be and why.
    Explain(ExplainArgs),
    /// Build a kernel and its modules disk, and boot-test them.
    Build(BuildArgs),
    /// Boot-test a finished build again.
    Boot(BootArgs),
    /// Install a boot-tested kernel on the Windows side and configure it.
    Install(InstallArgs),
    /// Go back: to what was configured before, to stock, or to another installed build.
    Rollback(RollbackArgs),
    /// Say what is installed, configured and running, and what to type next.
    Status(StatusArgs),
    /// Remove installed kernels that nothing needs any more.
    Clean(CleanArgs),
    /// Say what is proved of a build, from its bytes on; or make it again and compare.
    Verify(VerifyArgs),
    /// Put a boot-tested build where any web server can hand it out, signed.
    Publish(PublishArgs),
    /// Dump and restore real processes on this machine with CRIU, and judge them by their data.
    Smoke(SmokeArgs),
    /// Find out by trying what this machine and its GPU can do.
    Probe(ProbeArgs),
    /// Take every new tag through the whole pipeline, judge it, compare it and publish it.
    Nightly(NightlyArgs),
    /// Print a completion script for a shell.
    Completions(CompletionsArgs),
    /// Check the running system; what tries a new kernel from Windows runs this.
    #[command(hide = true)]
    TrialCheck(TrialCheckArgs),
    /// Be the process that is dumped and restored; used by the boot test itself.
    #[command(hide = true)]
    Victim(VictimArgs),
    /// Try one thing with the driver; used by the probe itself.
    #[command(hide = true)]
    ProbePart(VictimArgs),
}

impl Verb {
    /// Whether the verb looks after the Windows side by itself, or must not touch it.
    pub(in crate::cli) fn sees_windows(&self) -> bool {
        matches!(
            self,
            Self::Install(_)
                | Self::Rollback(_)
                | Self::Status(_)
                | Self::Clean(_)
                | Self::TrialCheck(_)
                | Self::Doctor(_)
                | Self::Smoke(_)
                | Self::Nightly(_)
                | Self::Completions(_)
                | Self::Probe(_)
                | Self::ProbePart(_)
                | Self::Victim(_)
        )
    }
}

/// `wslk completions`
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// `wslk victim`
#[derive(Debug, Args)]
pub struct VictimArgs {
    /// Scenario, folder and role, as the suite passes them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub rest: Vec<OsString>,
}
