//! The one door to the builder image's tools: a [`Builder`] runs [`Job`]s.
//!
//! In: a job. Out: its output, or the error that says how it ended; never a container that is still
//! there. The engine's socket and the caller's rights never reach a job.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::digest::Sha256;
use crate::exec::{Cmd, ExecError, Output, Stdin};
use crate::files::{self, FileError};
use crate::home::Home;
use crate::process;
use crate::report::Reporter;

use super::image::Image;
use super::job::{Access, Job, Limits};
use super::{BuildError, Engine, EngineKind};

/// Ends the job when wslk dies.
const WATCH: &str = include_str!("watch.sh");
/// Prints the tools' versions.
const TOOLS: &str = include_str!("tools.sh");
/// Who a job is when the caller is root: nobody, so that a break-out owns nothing.
const NOBODY: u32 = 65534;

/// An engine, the image it runs, and what a job may use of the machine.
#[derive(Debug, Clone)]
pub struct Builder {
    engine: Engine,
    image: Option<Image>,
    limits: Limits,
    home: Home,
}

impl Builder {
    /// `image` is `None` for the host engine only. Containers are labelled as this `home`'s.
    #[must_use]
    pub fn new(engine: Engine, image: Option<Image>, limits: Limits, home: &Home) -> Self {
        Self {
            engine,
            image,
            limits,
            home: home.clone(),
        }
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The image; `None` with the host engine.
    #[must_use]
    pub fn image(&self) -> Option<&Image> {
        self.image.as_ref()
    }

    /// What jobs may use.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Processors that a job really gets, for `make -j`.
    #[must_use]
    pub fn cpus(&self) -> usize {
        let all = process::cpus();
        // A share of a processor still deserves a job, and one and a half deserve two.
        let wanted = |share: f64| (1..=all).find(|&n| share <= n as f64).unwrap_or(all);
        self.limits.cpus.map_or(all, wanted)
    }

    /// Runs a job; any exit status but 0 is an error with the job's last words.
    pub fn job(&self, job: &Job) -> Result<Output, BuildError> {
        let output = self.job_with(job, &mut |_| {})?;
        match output.status {
            Some(0) => Ok(output),
            _ => Err(failed(job, &output)),
        }
    }

    /// Runs a job and hands on its lines (see [`crate::exec::Stdout::Lines`]), whatever the exit status.
    ///
    /// However it ends, its container is gone when this returns, or the error is
    /// [`BuildError::Left`].
    pub fn job_with(&self, job: &Job, on_line: &mut dyn FnMut(&str)) -> Result<Output, BuildError> {
        files::create_dir(self.home.cache())?;
        self.hand_over(job)?;
        let name = self.container_name(job);
        let (cmd, container) = match &self.image {
            Some(image) => (self.container(job, image, &name), Some(name.as_str())),
            None => (self.on_host(job), None),
        };
        match self.engine.runner().run_with(&cmd, on_line) {
            Ok(output)
                if output.status.is_some() && output.status == self.engine.kind().own_failure() =>
            {
                Err(self.refused(container, &output))
            }
            Ok(output) => Ok(output),
            Err(error) => {
                // The client is gone; the container is not its child.
                container.map_or(Ok(()), |name| self.engine.end(name))?;
                Err(stopped(job, error))
            }
        }
    }

    /// The command line that does what `job` does, for people: without the watchdog and the name.
    #[must_use]
    pub fn reproduce(&self, job: &Job) -> String {
        let Some(image) = &self.image else {
            let argv = job.argv(|arg| job.real(arg));
            return format!(
                "cd {} && {}",
                job.real(job.folder()),
                Cmd::new(&argv[0]).args(&argv[1..])
            );
        };
        let cmd =
            Cmd::new(self.engine.kind().name()).args(["run", "--rm", "--tty", "--interactive"]);
        self.confined(cmd, job)
            .arg(&image.reference)
            .args(job.argv(str::to_owned))
            .to_string()
    }

    /// Ends containers that an earlier wslk of this home left behind; only to be called by who holds
    /// the home's lock, since they would be a running wslk's otherwise.
    pub fn remove_leftovers(&self, reporter: &Reporter) -> Result<(), BuildError> {
        for name in self.engine.labelled(&self.label())? {
            self.engine.end(&name)?;
            reporter.warn(format!(
                "removed container {name}, which an earlier run left behind"
            ));
        }
        Ok(())
    }

    /// The versions of the tools that jobs use, by name. Known from an earlier run for an image.
    pub fn tools(&self) -> Result<BTreeMap<String, String>, BuildError> {
        self.remembered("", || self.ask_tools())
    }

    /// What an image once answered stays true: its id is the digest of its content. `kind` names the answer.
    pub(super) fn remembered<T: Serialize + DeserializeOwned>(
        &self,
        kind: &str,
        ask: impl FnOnce() -> Result<T, BuildError>,
    ) -> Result<T, BuildError> {
        let Some(image) = &self.image else {
            return ask();
        };
        let folder = self.home.cache().join("images");
        let path = folder.join(format!("{}{kind}.json", image.digest()));
        let known = files::read_if_there(&path)?.and_then(|text| serde_json::from_str(&text).ok());
        if let Some(answer) = known {
            return Ok(answer);
        }
        let answer = ask()?;
        files::replace(
            &path,
            serde_json::to_string_pretty(&answer).unwrap_or_default(),
        )?;
        Ok(answer)
    }

    fn ask_tools(&self) -> Result<BTreeMap<String, String>, BuildError> {
        let output = self.job(&Job::script("tools", TOOLS))?;
        let pair = |line: &str| {
            line.split_once('\t')
                .map(|(name, said)| (name.to_owned(), said.trim().to_owned()))
        };
        Ok(output.text().lines().filter_map(pair).collect())
    }

    fn label(&self) -> String {
        let owner = Sha256::of(self.home.root().as_os_str().as_encoded_bytes()).short(12);
        format!("wslk={owner}")
    }

    fn container_name(&self, job: &Job) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let owner = self.label().replace('=', "-");
        // Labels are words for people; engines take letters, digits, `-`, `_` and `.`.
        let label = job.label.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        format!("{owner}-{label}-{}-{n}", std::process::id())
    }

    /// The container's whole command line.
    fn container(&self, job: &Job, image: &Image, name: &str) -> Cmd {
        let cmd = Cmd::new(self.engine.kind().name())
            // Interactive without a terminal: standard input reaches the watchdog.
            .args([
                "run",
                "--rm",
                "--interactive",
                "--name",
                name,
                "--label",
                &self.label(),
            ])
            // What it says comes to us; the engine's own copy would only grow.
            .arg("--log-driver=none")
            // Podman's monitor writes a file `oom` where it was started.
            .dir(self.home.cache());
        self.confined(cmd, job)
            .args(["--entrypoint=sh", &image.id, "-c", WATCH, "container"])
            .args(job.argv(str::to_owned))
            .stdin(Stdin::Lifeline)
            .stdout(job.stdout.clone())
            .total(job.total)
            .silence(job.silence)
    }

    /// What confines a job: no network, no capabilities, no way to gain any, an ordinary user, a
    /// read-only root, limits; and what it sees of this machine.
    fn confined(&self, cmd: Cmd, job: &Job) -> Cmd {
        let (uid, gid) = self.user();
        let cmd = cmd
            .args([
                "--pull=never",
                "--network=none",
                "--cap-drop=ALL",
                "--security-opt=no-new-privileges",
            ])
            .args(self.engine.extras())
            .args(self.engine.user(uid, gid))
            .args([
                "--read-only",
                "--tmpfs=/tmp:rw,exec,nosuid,nodev,size=2g",
                "--hostname=wslk",
            ])
            .arg(format!("--pids-limit={}", self.limits.pids))
            .args(self.cpu_share())
            .args(self.memory())
            .args(
                job.mounts
                    .iter()
                    .map(|mount| format!("--mount={}", mount.option())),
            );
        cmd.arg("--env=HOME=/tmp")
            .args(
                job.env
                    .iter()
                    .map(|(name, value)| format!("--env={name}={value}")),
            )
            .arg(format!("--workdir={}", job.folder()))
    }

    /// Memory without swap beside it, so that too little of it is an error and not a crawl.
    fn memory(&self) -> Vec<String> {
        let options = |bytes| {
            vec![
                format!("--memory={bytes}"),
                format!("--memory-swap={bytes}"),
            ]
        };
        self.limits.memory.map(options).unwrap_or_default()
    }

    /// Docker refuses more processors than there are.
    fn cpu_share(&self) -> Option<String> {
        let all = process::cpus() as f64;
        self.limits
            .cpus
            .map(|cpus| format!("--cpus={}", cpus.min(all)))
    }

    /// The same job on this machine, in a process group of its own.
    fn on_host(&self, job: &Job) -> Cmd {
        let cmd = Cmd::new("sh")
            .args(["-c", WATCH, "host"])
            .args(job.argv(|arg| job.real(arg)));
        let cmd = job
            .env
            .iter()
            .fold(cmd, |cmd, (name, value)| cmd.env(name, job.real(value)));
        cmd.dir(job.real(job.folder()))
            .stdin(Stdin::Lifeline)
            .stdout(job.stdout.clone())
            .total(job.total)
            .silence(job.silence)
    }

    /// Who a job is.
    fn user(&self) -> (u32, u32) {
        match process::user() {
            (0, _) => (NOBODY, NOBODY),
            ordinary => ordinary,
        }
    }

    /// Hands writable folders to the user that the job runs as. Only root has to, and only root can.
    fn hand_over(&self, job: &Job) -> Result<(), BuildError> {
        if self.engine.kind() == EngineKind::Host || process::user().0 != 0 {
            return Ok(());
        }
        let (uid, gid) = self.user();
        for mount in job
            .mounts
            .iter()
            .filter(|mount| mount.access == Access::Write)
        {
            hand_over(&mount.host, uid, gid)?;
        }
        Ok(())
    }

    fn refused(&self, container: Option<&str>, output: &Output) -> BuildError {
        let engine = self.engine.kind();
        // A container that was made but not started is in the way of nothing but a clean list.
        if let Some(Err(left)) = container.map(|name| self.engine.end(name)) {
            return left;
        }
        let said = output
            .stderr
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("nothing")
            .to_owned();
        BuildError::EngineRefused { engine, said }
    }
}

fn hand_over(path: &Path, uid: u32, gid: u32) -> Result<(), FileError> {
    std::os::unix::fs::chown(path, Some(uid), Some(gid))
        .map_err(|e| FileError::new("hand over", path, e))
}

/// A job that did not end by itself.
fn stopped(job: &Job, error: ExecError) -> BuildError {
    let label = job.label.clone();
    match error {
        ExecError::Interrupted { .. } => BuildError::Interrupted { label },
        ExecError::Silent { limit, .. } => BuildError::Silent {
            label,
            limit,
            log: None,
        },
        ExecError::TimedOut { limit, .. } => BuildError::TimedOut { label, limit },
        other => other.into(),
    }
}

/// A job that ended badly by itself.
fn failed(job: &Job, output: &Output) -> BuildError {
    let label = job.label.clone();
    let lines: Vec<&str> = output.stderr.trim_end().lines().collect();
    let said = lines[lines.len().saturating_sub(12)..].join("\n");
    match output.status {
        Some(126 | 127) => BuildError::NoTool { label, said },
        _ if said.is_empty() => BuildError::Failed {
            label,
            said: output.ending(),
        },
        _ => BuildError::Failed { label, said },
    }
}
