//! Machines that lend their processors to a compilation, through distcc.
//!
//! In: the hosts of a user, the toolchain of the image. Out: [`Hosts`] for one build: sockets for distcc inside a
//! container that has no network, and behind each the host.
//!
//! ```text
//! ccache ─▶ distcc ─ connect.sh ─▶ Unix socket ─▶ Relay ─▶ host:3632, ci/compile-host
//!            └─ local, whatever a host does wrong
//! ```
//!
//! A compiler is asked for by a name that holds the digest of its image's packages, so a host with other tools knows
//! no such program; and before a job goes there, a host has to make the very bytes that are made here ([`Hosts::prove`]).
//! distcc's protocol has neither a password nor a seal: a host is trusted as the compiler is. What `verify --rebuild`
//! makes, it makes here.

mod host;
mod relay;

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::host::CompileHost;
use self::relay::Relay;
use super::socket::{self, allow};
use super::{BuildError, Builder, Job, Mount};
use crate::digest::Sha256;
use crate::files::FileError;

/// Where a job sees sockets and scripts.
const FOLDER: &str = "/hosts";
/// Connects distcc with a host's socket.
const CONNECT: &str = include_str!("connect.sh");
/// Compiles by the compiler's own name, where there is room.
const PREFIX: &str = include_str!("prefix.sh");
/// The image's compiler, under the name that tells its toolchain.
const COMPILER: &str = "#!/bin/sh\nexec /usr/bin/gcc \"$@\"\n";
/// Has each host compile what is compiled here, and compares.
const PROVE: &str = include_str!("prove.sh");
/// How the folder is called on this machine.
const LITTER: &str = "wslk-hosts-";
/// For the proof of all hosts; a host that takes longer is no help.
const PROOF: Duration = Duration::from_secs(60);

/// What became of a host in a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostStats {
    /// The host.
    pub host: String,
    /// Files that it was asked to compile.
    pub asked: u64,
    /// Those of them that it answered.
    pub answered: u64,
}

impl std::fmt::Display for HostStats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            host,
            asked,
            answered,
        } = self;
        write!(
            f,
            "{host} compiled {answered} of {asked} files it was asked for"
        )
    }
}

/// The hosts of one build; nothing leads to them any more when it is dropped.
#[derive(Debug)]
pub(super) struct Hosts {
    folder: tempfile::TempDir,
    compiler: String,
    lent: Vec<(CompileHost, Relay)>,
}

impl Hosts {
    /// What stands before a compiler's name to spread what it does.
    pub(super) const PREFIX: &str = "/hosts/prefix";

    /// Listens for a job's connections in a new folder below `parent`.
    pub(super) fn open(
        hosts: &[CompileHost],
        toolchain: &Sha256,
        parent: &Path,
    ) -> Result<Self, FileError> {
        let failed = |source| FileError::new("open a way out of a job below", parent, source);
        let folder = socket::folder(Some(parent), LITTER).map_err(failed)?;
        let inner = folder.path().join("job");
        let compiler = format!("wslk-{}-gcc", toolchain.short(12));
        fs::create_dir(&inner).map_err(failed)?;
        allow(&inner, 0o755).map_err(failed)?;
        let prefix = PREFIX.replace("@COMPILER@", &compiler);
        let scripts = [
            ("connect", CONNECT),
            ("prefix", &prefix),
            (&compiler, COMPILER),
        ];
        for (name, text) in scripts {
            let path = inner.join(name);
            fs::write(&path, text).map_err(failed)?;
            allow(&path, 0o755).map_err(failed)?;
        }
        let mut lent = Vec::new();
        for (n, host) in hosts.iter().enumerate() {
            let relay = Relay::open(host, &inner, &socket(n)).map_err(failed)?;
            lent.push((host.clone(), relay));
        }
        Ok(Self {
            folder,
            compiler,
            lent,
        })
    }

    /// Keeps only hosts that make the same bytes as the image's own compiler. Returns what is wrong with the others.
    pub(super) fn prove(&mut self, builder: &Builder) -> Result<Vec<String>, BuildError> {
        let names: Vec<String> = (0..self.lent.len()).map(socket).collect();
        let job = Job::script("compile hosts", PROVE)
            .args(names)
            .total(PROOF * 2);
        let output = builder.job(&self.equip(job))?;
        let text = output.text();
        let said: Vec<(&str, &str)> = text
            .lines()
            .filter_map(|line| line.split_once(' '))
            .collect();
        let mut news = Vec::new();
        let mut n = 0;
        self.lent.retain(|(host, relay)| {
            let name = socket(n);
            n += 1;
            let verdict = said.iter().find(|(who, _)| *who == name);
            match verdict.map(|(_, verdict)| *verdict) {
                Some("same") => {
                    relay.begin();
                    true
                }
                other => {
                    let why = other.unwrap_or("it did not answer");
                    news.push(format!("{host} compiles nothing: {why}"));
                    false
                }
            }
        });
        Ok(news)
    }

    /// Files that the hosts compile at a time.
    pub(super) fn slots(&self) -> usize {
        self.lent.iter().map(|(host, _)| host.slots()).sum()
    }

    /// `job` with its compilers spread; `jobs` of them stay here.
    pub(super) fn given_to(&self, job: Job, jobs: usize) -> Job {
        let hosts = self
            .lent
            .iter()
            .map(|(host, relay)| format!("@{}/{}", relay.name(), host.slots()));
        let all: Vec<String> = std::iter::once(format!("localhost/{jobs}"))
            .chain(hosts)
            .collect();
        self.equip(job)
            .env("DISTCC_HOSTS", all.join(" "))
            .env("CCACHE_PREFIX", Self::PREFIX)
    }

    /// What became of each host since it was proved.
    pub(super) fn stats(&self) -> Vec<HostStats> {
        self.lent
            .iter()
            .map(|(host, relay)| relay.stats(host))
            .collect()
    }

    fn equip(&self, job: Job) -> Job {
        job.mount(Mount::read(self.folder.path().join("job"), FOLDER))
            .env("DISTCC_SSH", format!("{FOLDER}/connect"))
            .env("DISTCC_DIR", "/tmp")
            // What a host does wrong is made good here; nobody wants to read it among make's words.
            .env("DISTCC_LOG", "/tmp/distcc.log")
            .env("DISTCC_IO_TIMEOUT", relay::PATIENCE.as_secs().to_string())
            .env("WSLK_COMPILER", format!("{FOLDER}/{}", self.compiler))
    }
}

/// What a host is called inside.
fn socket(n: usize) -> String {
    format!("h{n}")
}
