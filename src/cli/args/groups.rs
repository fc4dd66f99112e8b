//! Groups of flags that several verbs take, and how they become overrides of the settings.

use std::path::PathBuf;

use clap::Args;

use crate::settings::Overrides;

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
    /// Compile without ccache, and neither take nor keep a finished kernel.
    #[arg(long)]
    pub no_ccache: bool,
    /// Server whose object files are taken, and ours left there, instead of those of the settings; may be repeated.
    #[arg(
        long = "shared-cache",
        value_name = "URL",
        conflicts_with = "no_ccache"
    )]
    pub shared_cache: Vec<String>,
    /// Machine that compiles for this one, instead of those of the settings; may be repeated.
    #[arg(long = "compile-host", value_name = "HOST[:PORT][/FILES]")]
    pub compile_hosts: Vec<String>,
    /// Processors that the container may use.
    #[arg(long, value_name = "N")]
    pub cpus: Option<f64>,
    /// Memory that the container may use, in MiB.
    #[arg(long, value_name = "MIB")]
    pub memory: Option<u64>,
}

/// Which kernel, and how it is made.
#[derive(Debug, Args)]
pub struct KernelArgs {
    /// Where to look.
    #[command(flatten)]
    pub source: SourceArgs,
    /// What goes in.
    #[command(flatten)]
    pub kconfig: KconfigArgs,
    /// How containers are run.
    #[command(flatten)]
    pub engine: EngineArgs,
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

impl SourceArgs {
    pub(in crate::cli) fn add_to(self, overrides: &mut Overrides) {
        overrides.source = self.source;
        overrides.transport = self.transport;
        overrides.offline = self.offline;
    }
}

impl KconfigArgs {
    pub(in crate::cli) fn add_to(self, overrides: &mut Overrides) {
        overrides.profile = self.profile;
        overrides.fragments = self.fragments;
        overrides.base = self.base_config;
        overrides.patches = self.patches;
    }
}

impl EngineArgs {
    pub(in crate::cli) fn add_to(self, overrides: &mut Overrides) {
        overrides.engine = self.engine;
        overrides.jobs = self.jobs;
        overrides.ccache = self.no_ccache.then_some(false);
        overrides.shared_cache = self.shared_cache;
        overrides.compile_hosts = self.compile_hosts;
        overrides.cpus = self.cpus;
        overrides.memory = self.memory;
    }
}

impl KernelArgs {
    pub(in crate::cli) fn add_to(self, overrides: &mut Overrides) {
        self.source.add_to(overrides);
        self.kconfig.add_to(overrides);
        self.engine.add_to(overrides);
    }
}

impl GuestArgs {
    pub(in crate::cli) fn add_to(self, overrides: &mut Overrides) {
        overrides.accel = self.accel;
        overrides.deadline = self.deadline;
        overrides.cycles = self.cycles;
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

pub(in crate::cli) use overrides;
