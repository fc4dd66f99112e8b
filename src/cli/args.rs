//! The command line as types; the only file that knows clap.
//!
//! In: arguments. Out: a [`Cli`] whose flags become [`Overrides`]. Must not do anything.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::drift::DriftArgs;
use crate::artefact::BuildRef;
use crate::install::check;
use crate::kconfig::Symbol;
use crate::probe;
use crate::settings::Control;
use crate::settings::{NightlyOverrides, Overrides};
use crate::source::{Series, Tag, TagQuery};

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
    pub(super) fn sees_windows(&self) -> bool {
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

/// Where the source comes from.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// Git URL or path, tarball path or URL, or an unpacked tree [default: Microsoft's repository].
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<String>,
    /// How to get a tag: auto, git or tarball.
    #[arg(long, value_name = "HOW")]
    pub transport: Option<String>,
    /// Use only what is cached.
    #[arg(long)]
    pub offline: bool,
}

/// What goes into the configuration.
#[derive(Debug, Args)]
pub struct KconfigArgs {
    /// Set of fragments: criu, tiny (a small kernel for tests) or stock (none).
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// One more kbuild fragment; may be repeated.
    #[arg(long = "fragment", value_name = "FILE")]
    pub fragments: Vec<PathBuf>,
    /// Start from this file, or from `defconfig` or `tinyconfig`, instead of the tree's config-wsl.
    #[arg(long, value_name = "FILE|TARGET")]
    pub base_config: Option<String>,
    /// Folder of kernel patches, `<series>/order` naming them.
    #[arg(long, value_name = "DIR")]
    pub patches: Option<PathBuf>,
}

/// How containers are run.
#[derive(Debug, Args)]
pub struct EngineArgs {
    /// auto, docker, podman or host.
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<String>,
    /// Compilers at once [default: one per processor].
    #[arg(short, long, value_name = "N")]
    pub jobs: Option<u32>,
    /// Compile everything, whatever ccache has, and keep nothing in it.
    #[arg(long)]
    pub no_ccache: bool,
    /// Processors that the container may use.
    #[arg(long, value_name = "N")]
    pub cpus: Option<f64>,
    /// Memory that the container may use, in MiB.
    #[arg(long, value_name = "MIB")]
    pub memory: Option<u64>,
}

/// How the guest is run.
#[derive(Debug, Args)]
pub struct GuestArgs {
    /// auto (KVM where it proves to work), kvm or tcg.
    #[arg(long, value_name = "ACCEL")]
    pub accel: Option<String>,
    /// Give up on the guest after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub deadline: Option<u64>,
    /// Dump and restore each scenario so many times.
    #[arg(long, value_name = "N")]
    pub cycles: Option<u32>,
}

/// `wslk doctor`
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Take the time for slow questions: whether KVM really works, what the graphics driver says.
    #[arg(long)]
    pub deep: bool,
    /// The Windows profile, which holds .wslconfig [default: the one of whoever runs WSL].
    #[arg(long, value_name = "DIR")]
    pub windows_home: Option<PathBuf>,
}

/// `wslk smoke`
#[derive(Debug, Args)]
pub struct SmokeArgs {
    /// Only this scenario; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// Dump and restore each scenario so many times.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub cycles: Option<u32>,
    /// How to write the report [default: table; with --output by the file's name].
    #[arg(long, value_enum, value_name = "FORM")]
    pub format: Option<SmokeFormat>,
    /// Write the report into this file, and the table to standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// The forms of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SmokeFormat {
    /// A table for people.
    Table,
    /// The document `wslk/smoke/1`.
    Json,
    /// JUnit XML, for continuous integration.
    Junit,
    /// TAP 14.
    Tap,
}

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
    /// Where to look.
    #[command(flatten)]
    pub source: SourceArgs,
    /// What goes in.
    #[command(flatten)]
    pub kconfig: KconfigArgs,
    /// Where `olddefconfig` runs.
    #[command(flatten)]
    pub engine: EngineArgs,
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
    /// Where to look.
    #[command(flatten)]
    pub source: SourceArgs,
    /// What goes in.
    #[command(flatten)]
    pub kconfig: KconfigArgs,
    /// Where `olddefconfig` runs.
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// `wslk build`
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// linux-msft-wsl-A.B.C.D, A.B.C.D, a series A.B, or latest.
    #[arg(value_name = "TAG")]
    pub tag: Option<TagQuery>,
    /// Where to look.
    #[command(flatten)]
    pub source: SourceArgs,
    /// What goes in.
    #[command(flatten)]
    pub kconfig: KconfigArgs,
    /// How to compile.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// How to boot.
    #[command(flatten)]
    pub guest: GuestArgs,
    /// Do not boot-test what was built.
    #[arg(long)]
    pub no_boot: bool,
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
    /// Where CRIU for the guest comes from.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// How to boot.
    #[command(flatten)]
    pub guest: GuestArgs,
}

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
    /// Where to look, if the source is not here any more.
    #[command(flatten)]
    pub source: SourceArgs,
    /// What the build was given beside its profile.
    #[command(flatten)]
    pub kconfig: KconfigArgs,
    /// How to compile.
    #[command(flatten)]
    pub engine: EngineArgs,
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

/// `wslk probe`
#[derive(Debug, Args)]
pub struct ProbeArgs {
    /// Probe only this; may be repeated.
    #[arg(long, value_name = "ROW", value_parser = PossibleValuesParser::new(probe::names()))]
    pub only: Vec<String>,
    /// Fail unless this works here; may be repeated.
    #[arg(long, value_name = "ROW", value_parser = PossibleValuesParser::new(probe::names()))]
    pub require: Vec<String>,
    /// Write the report as a page, and as JSON beside it.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Device memory of the process that is checkpointed, and the largest copy, in MiB.
    #[arg(long, value_name = "MIB")]
    pub device_memory: Option<u64>,
    /// Pin at most so much at once, in MiB [default: 60 % of what is available].
    #[arg(long, value_name = "MIB")]
    pub pin_limit: Option<u64>,
    /// Give up on a row after so many seconds [default: each row's own].
    #[arg(long, value_name = "SECONDS")]
    pub deadline: Option<u64>,
    /// Folder of libcuda.so.1 and libnvidia-ml.so.1 [default: WSL's, then the loader's].
    #[arg(long, value_name = "DIR")]
    pub cuda_dir: Option<PathBuf>,
    /// The Python that has vLLM.
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    pub python: PathBuf,
}

/// `wslk nightly`
#[derive(Debug, Args)]
pub struct NightlyArgs {
    /// Judge this tag, judged already or not; may be repeated.
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<Tag>,
    /// Print what there is to do as the matrix of a CI engine, a line of JSON, and do nothing.
    #[arg(long)]
    pub plan: bool,
    /// Judge nothing; take over what nights on other machines have left in these folders.
    #[arg(long, value_name = "DIR", num_args = 1.., conflicts_with_all = ["plan", "tags"])]
    pub collect: Vec<PathBuf>,
    /// Write what was done into this file, as Markdown.
    #[arg(long, value_name = "FILE")]
    pub summary: Option<PathBuf>,
    /// What a night does.
    #[command(flatten)]
    pub night: NightArgs,
    /// Where the tags are.
    #[command(flatten)]
    pub source: SourceArgs,
    /// What goes in.
    #[command(flatten)]
    pub kconfig: KconfigArgs,
    /// How to compile.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// How to boot.
    #[command(flatten)]
    pub guest: GuestArgs,
}

/// What a night does.
#[derive(Debug, Args)]
pub struct NightArgs {
    /// Only this series, such as 6.6; may be repeated.
    #[arg(long, value_name = "A.B")]
    pub series: Vec<Series>,
    /// Only this tag and later ones.
    #[arg(long, value_name = "TAG")]
    pub since: Option<Tag>,
    /// At most so many tags, the newest; 0 is no limit [default: 10].
    #[arg(long, value_name = "N")]
    pub max: Option<u32>,
    /// What each kernel is compared with: stock, a build, or none [default: stock].
    #[arg(long, value_name = "BUILD")]
    pub control: Option<String>,
    /// Where kernels are published, a folder for any web server [default: site in the home].
    #[arg(long, value_name = "DIR")]
    pub site: Option<PathBuf>,
    /// The minisign key that signs what is published.
    #[arg(long, value_name = "FILE")]
    pub sign_key: Option<PathBuf>,
    /// A URL that gets what the night did, as JSON, by POST.
    #[arg(long, value_name = "URL")]
    pub webhook: Option<String>,
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

impl SourceArgs {
    pub(super) fn add_to(self, overrides: &mut Overrides) {
        overrides.source = self.source;
        overrides.transport = self.transport;
        overrides.offline = self.offline;
    }
}

impl KconfigArgs {
    pub(super) fn add_to(self, overrides: &mut Overrides) {
        overrides.profile = self.profile;
        overrides.fragments = self.fragments;
        overrides.base = self.base_config;
        overrides.patches = self.patches;
    }
}

impl EngineArgs {
    pub(super) fn add_to(self, overrides: &mut Overrides) {
        overrides.engine = self.engine;
        overrides.jobs = self.jobs;
        overrides.ccache = self.no_ccache.then_some(false);
        overrides.cpus = self.cpus;
        overrides.memory = self.memory;
    }
}

impl GuestArgs {
    pub(super) fn add_to(self, overrides: &mut Overrides) {
        overrides.accel = self.accel;
        overrides.deadline = self.deadline;
        overrides.cycles = self.cycles;
    }
}

impl NightArgs {
    pub(super) fn add_to(self, overrides: &mut Overrides) {
        let series: Vec<String> = self.series.iter().map(ToString::to_string).collect();
        overrides.nightly = NightlyOverrides {
            series: (!series.is_empty()).then_some(series),
            since: self.since.map(|tag| tag.to_string()),
            max: self.max,
            control: self.control,
            site: self.site,
            sign_key: self.sign_key,
            webhook: self.webhook,
        };
    }
}

/// Collects the overrides out of the groups of flags that a verb has.
macro_rules! overrides {
    ($($group:expr),*) => {{
        let mut overrides = Overrides::default();
        $($group.add_to(&mut overrides);)*
        overrides
    }};
}
pub(super) use overrides;
