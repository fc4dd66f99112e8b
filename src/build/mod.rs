//! From a source tree and its final configuration to a compiled kernel, in a container.
//!
//! In: a read-only tree, the text of a `.config`, a [`Builder`] (engine, image, limits). Out:
//! [`Compiled`] (`bzImage`, `System.map`, staged modules, the release string) in a build tree that
//! stays for the next run to go on from, or a [`BuildError`].
//!
//! Everything that uses the tools of the builder image, here and in later stages, goes through one
//! door: [`Builder::job`]. Must not fetch or change sources, decide on configuration, or name and
//! keep builds; nothing of the host is writable in a job but what the job mounts so.

mod address;
mod answers;
mod builder;
mod cache_record;
mod ccache;
mod ccache_log;
mod engine;
mod failure;
mod help;
mod hosts;
mod image;
mod job;
mod kbuild_cmd;
mod kernels;
mod objects;
mod packages;
mod plan;
mod progress;
mod reasons;
mod remote;
mod run;
mod socket;
mod solver;
mod trace;
mod turned;
mod underway;
mod units;

use std::path::PathBuf;
use std::time::Duration;

use crate::exec::ExecError;
use crate::files::FileError;

pub use self::builder::Builder;
pub use self::ccache::CompilerCache;
pub use self::ccache_log::CacheStats;
pub use self::engine::{Engine, EngineChoice, EngineKind};
pub use self::hosts::{CompileHost, HostStats};
pub use self::image::{Image, Recipe};
pub use self::job::{Access, Job, Limits, Mount};
pub use self::kernels::{Kernels, Taken};
pub use self::packages::Package;
pub use self::plan::BuildPlan;
pub use self::reasons::{MissKind, MissReason};
pub use self::remote::{CacheServer, ServerStats, SharedCache, Shelves};
pub use self::run::{Compiled, Stats, forget, run};
pub use self::solver::KconfigSolver;
pub use self::trace::{Asked, Phase, Step, Trace};

/// Why there is no kernel.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No container engine answers.
    #[error("no container engine answers ({})", said_by(tried))]
    NoEngine {
        /// Each engine asked, and what it answered.
        tried: Vec<(&'static str, String)>,
    },
    /// The engine stopped answering.
    #[error("{engine} does not answer any more: {said}")]
    EngineGone {
        /// Which one.
        engine: EngineKind,
        /// Its last words.
        said: String,
    },
    /// The engine could not start the container.
    #[error("{engine} could not start the container: {said}")]
    EngineRefused {
        /// Which one.
        engine: EngineKind,
        /// What it said.
        said: String,
    },
    /// A container of ours could not be ended.
    #[error("container {name} could not be ended: {said}")]
    Left {
        /// The container's name.
        name: String,
        /// The engine that runs it.
        engine: EngineKind,
        /// What the engine said.
        said: String,
    },
    /// The builder image is not there and cannot be made here.
    #[error("the builder image {reference} is missing, and could not be made: {said}")]
    NoImage {
        /// Its name and tag.
        reference: String,
        /// Why it could not be made.
        said: String,
    },
    /// The user asked us to stop.
    #[error("interrupted during {label}")]
    Interrupted {
        /// What was being done.
        label: String,
    },
    /// A job said nothing for too long.
    #[error("no output from {label} for {} s; it was stopped", limit.as_secs())]
    Silent {
        /// What was being done.
        label: String,
        /// The silence allowed.
        limit: Duration,
        /// All that it had said, where that was kept.
        log: Option<PathBuf>,
    },
    /// A job took longer than its time in all.
    #[error("{label} did not end within {} s; it was stopped", limit.as_secs())]
    TimedOut {
        /// What was being done.
        label: String,
        /// The time allowed.
        limit: Duration,
    },
    /// A job ended with a status other than 0.
    #[error("{label} failed:\n{said}")]
    Failed {
        /// What was being done.
        label: String,
        /// Its last words.
        said: String,
    },
    /// A program that the job needs is not there.
    #[error("{label} needs a program that is missing: {said}")]
    NoTool {
        /// What was being done.
        label: String,
        /// The shell's words.
        said: String,
    },
    /// The kernel does not compile.
    #[error("the kernel does not compile:\n{}", errors.join("\n"))]
    Compile {
        /// The compiler's own error lines, in order.
        errors: Vec<String>,
        /// Everything that make said.
        log: PathBuf,
        /// A command that shows the failure again.
        reproduce: String,
    },
    /// The compiler, the linker or the job itself was killed for memory.
    #[error("{victim} was killed: out of memory")]
    OutOfMemory {
        /// The program that was killed.
        victim: String,
        /// Everything that was said until then.
        log: PathBuf,
    },
    /// The whole job was killed, and not by us.
    #[error("{label} was killed from outside")]
    Killed {
        /// What was being done.
        label: String,
        /// Everything that was said until then.
        log: PathBuf,
    },
    /// No space left.
    #[error("the disk is full below {}", path.display())]
    DiskFull {
        /// The folder that was written to.
        path: PathBuf,
    },
    /// make was content, and yet a product is missing.
    #[error("the build ended well but {} is missing", path.display())]
    NoProduct {
        /// The file that should be there.
        path: PathBuf,
    },
    /// kbuild changed the configuration, so what was audited is not what was built.
    #[error("kbuild changed the configuration while building: {line}")]
    ConfigChanged {
        /// The first setting that only one of the two has.
        line: String,
    },
    /// A program could not be run.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl BuildError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoEngine { tried } => no_engine_hint(tried),
            Self::EngineGone { engine, .. } => format!("look at `{engine} info`; what was compiled is kept"),
            Self::EngineRefused { .. } => "the limits asked for may be more than this machine has".to_owned(),
            Self::Left { name, engine, .. } => format!("end it with `{engine} rm --force {name}`"),
            Self::NoImage { .. } => {
                "with a registry out of reach, install mmdebstrap and run `ci/builder/bootstrap` in a clone of wslk"
                    .to_owned()
            }
            Self::Interrupted { .. } => "what was compiled is kept: the same command goes on from it".to_owned(),
            Self::Silent { log: Some(log), .. } => format!("the last lines of {} say what hung", log.display()),
            Self::Compile { log, reproduce, .. } => {
                format!("everything make said: {}\nto see it again: {reproduce}", log.display())
            }
            Self::OutOfMemory { log, .. } => {
                format!("allow more memory or fewer jobs; what was compiled is kept; log: {}", log.display())
            }
            Self::Killed { log, .. } => format!(
                "by somebody, or for memory; what was compiled is kept; log: {}",
                log.display()
            ),
            Self::DiskFull { .. } => "free some space there; what was compiled is kept".to_owned(),
            Self::ConfigChanged { .. } => "was it made with other tools than these? run the config stage again".to_owned(),
            Self::NoTool { .. } => "install it, or let docker or podman bring the tools".to_owned(),
            Self::File(error) => return error.hint().map(str::to_owned),
            _ => return None,
        })
    }
}

fn no_engine_hint(tried: &[(&str, String)]) -> String {
    let names: Vec<&str> = tried.iter().map(|(name, _)| *name).collect();
    format!(
        "start {}, or build without a container: --engine host",
        names.join(" or ")
    )
}

fn said_by(tried: &[(&'static str, String)]) -> String {
    let each: Vec<String> = tried
        .iter()
        .map(|(name, said)| format!("{name}: {said}"))
        .collect();
    each.join("; ")
}
