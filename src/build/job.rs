//! The one door to the builder image's tools: a [`Job`] is data until a [`Builder`] runs it.
//!
//! In: a job with its mounts. Out: its output, or the error that says how it ended; never a container
//! that is still there. Without a container the same job runs with the mounts' real paths.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::digest::Sha256;
use crate::exec::{Cmd, ExecError, Output, Stdin, Stdout};
use crate::files::{self, FileError};
use crate::home::Home;
use crate::process;
use crate::report::Reporter;

use super::image::Image;
use super::{BuildError, Engine, EngineKind};

/// Ends the job when wslk dies.
const WATCH: &str = include_str!("watch.sh");
/// Prints the tools' versions.
const TOOLS: &str = include_str!("tools.sh");
/// Who a job is when the caller is root: nobody, so that a break-out owns nothing.
const NOBODY: u32 = 65534;

/// What a job may do with a mounted folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read it.
    Read,
    /// Read and write it.
    Write,
}

/// A folder or file of this machine that a job sees at a place of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Its real, absolute path.
    pub host: PathBuf,
    /// Where the job sees it; also what the job's arguments call it.
    pub inside: String,
    /// What the job may do with it.
    pub access: Access,
}

impl Mount {
    /// A folder that the job can only read.
    #[must_use]
    pub fn read(host: impl Into<PathBuf>, inside: &str) -> Self {
        Self {
            host: host.into(),
            inside: inside.to_owned(),
            access: Access::Read,
        }
    }

    /// A folder that the job may write to. Where the caller is root the folder is handed to the
    /// ordinary user that the job runs as; what is in it already keeps its owner.
    #[must_use]
    pub fn write(host: impl Into<PathBuf>, inside: &str) -> Self {
        Self {
            host: host.into(),
            inside: inside.to_owned(),
            access: Access::Write,
        }
    }

    /// The value of `--mount`, in the CSV that both engines read: a field with a comma is quoted.
    fn option(&self) -> String {
        let source = format!("src={}", self.host.display());
        let source = match source.contains([',', '"']) {
            true => format!("\"{}\"", source.replace('"', "\"\"")),
            false => source,
        };
        let access = match self.access {
            Access::Read => ",readonly",
            Access::Write => "",
        };
        format!("type=bind,{source},dst={}{access}", self.inside)
    }
}

/// What a job may use of the machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Processors, in units of one; `None` for all.
    pub cpus: Option<f64>,
    /// Memory in bytes; `None` for all.
    pub memory: Option<u64>,
    /// Processes and threads.
    pub pids: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpus: None,
            memory: None,
            pids: 8192,
        }
    }
}

/// One run of a program of the builder image. Arguments, environment and working folder name mounted
/// folders by their inside paths, whatever the engine. Default limits: 120 s in all, any silence.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    label: String,
    argv: Vec<String>,
    mounts: Vec<Mount>,
    env: BTreeMap<String, String>,
    dir: Option<String>,
    stdout: Stdout,
    total: Option<Duration>,
    silence: Option<Duration>,
}

impl Job {
    /// A job that runs `program`; `label` names it for people and in the container's name, so it is
    /// one short word: "make", "mke2fs".
    #[must_use]
    pub fn new(label: &str, program: &str) -> Self {
        Self {
            label: label.to_owned(),
            argv: vec![program.to_owned()],
            mounts: Vec::new(),
            env: BTreeMap::new(),
            dir: None,
            stdout: Stdout::Capture,
            total: Some(Duration::from_secs(120)),
            silence: None,
        }
    }

    /// A job that runs a POSIX shell script; further arguments are its `$1`, `$2` … Mounted folders
    /// belong there and not in the text: without a container their real paths may hold spaces.
    #[must_use]
    pub fn script(label: &str, text: &str) -> Self {
        Self::new(label, "sh").args(["-c", text, label])
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.argv.push(arg.into());
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.argv.extend(args.into_iter().map(Into::into));
        self
    }

    /// Mounts a folder.
    #[must_use]
    pub fn mount(mut self, mount: Mount) -> Self {
        self.mounts.push(mount);
        self
    }

    /// Sets an environment variable. No secrets: a container's environment is on its command line.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.insert(name.to_owned(), value.into());
        self
    }

    /// The working folder, an inside path; default is `/tmp`.
    #[must_use]
    pub fn dir(mut self, inside: &str) -> Self {
        self.dir = Some(inside.to_owned());
        self
    }

    /// Where standard output goes. [`Stdout::File`] names a real path.
    #[must_use]
    pub fn stdout(mut self, stdout: Stdout) -> Self {
        self.stdout = stdout;
        self
    }

    /// The time in all.
    #[must_use]
    pub fn total(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.total = limit.into();
        self
    }

    /// The longest silence; only watched with [`Stdout::Lines`].
    #[must_use]
    pub fn silence(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.silence = limit.into();
        self
    }

    /// `text` with inside paths turned into real ones, for a job without a container.
    fn real(&self, text: &str) -> String {
        self.mounts.iter().fold(text.to_owned(), |text, mount| {
            replace_path(&text, &mount.inside, &mount.host.to_string_lossy())
        })
    }
}

/// Replaces the path `from` where it stands as a path of its own: not within a longer name.
fn replace_path(text: &str, from: &str, to: &str) -> String {
    let of_a_name = |c: char| c.is_alphanumeric() || "-_./".contains(c);
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(from) {
        let (before, after) = (&rest[..at], &rest[at + from.len()..]);
        result.push_str(before);
        let starts = !result.chars().next_back().is_some_and(of_a_name);
        let ends = !after
            .chars()
            .next()
            .is_some_and(|c| c != '/' && of_a_name(c));
        result.push_str(if starts && ends { to } else { from });
        rest = after;
    }
    result + rest
}

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

    /// Runs a job and hands on its lines (see [`Stdout::Lines`]), whatever the exit status.
    ///
    /// However it ends, its container is gone when this returns, or the error is
    /// [`BuildError::Left`].
    pub fn job_with(&self, job: &Job, on_line: &mut dyn FnMut(&str)) -> Result<Output, BuildError> {
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
            let dir = job.dir.as_deref().unwrap_or("/tmp");
            let argv: Vec<String> = job.argv.iter().map(|arg| job.real(arg)).collect();
            return format!(
                "cd {} && {}",
                job.real(dir),
                Cmd::new(&argv[0]).args(&argv[1..])
            );
        };
        let cmd =
            Cmd::new(self.engine.kind().name()).args(["run", "--rm", "--tty", "--interactive"]);
        self.confined(cmd, job)
            .arg(&image.reference)
            .args(&job.argv)
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
        let Some(image) = &self.image else {
            return self.ask_tools();
        };
        let path = self
            .home
            .cache()
            .join("images")
            .join(format!("{}.json", image.digest()));
        let known = files::read_if_there(&path)?.and_then(|text| serde_json::from_str(&text).ok());
        if let Some(tools) = known {
            return Ok(tools);
        }
        let tools = self.ask_tools()?;
        let text = serde_json::to_string_pretty(&tools).unwrap_or_default();
        files::replace(&path, text)?;
        Ok(tools)
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
        // Labels are words for people; engines take letters, digits, `-`, `_` and `.`.
        let label = job.label.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let owner = self.label().replace('=', "-");
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
            .arg("--log-driver=none");
        self.confined(cmd, job)
            .args(["--entrypoint=sh", &image.id, "-c", WATCH, "container"])
            .args(&job.argv)
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
            .args(self.limits.cpus.map(|cpus| format!("--cpus={cpus}")))
            .args(self.limits.memory.map(|bytes| format!("--memory={bytes}")))
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
            .arg(format!(
                "--workdir={}",
                job.dir.as_deref().unwrap_or("/tmp")
            ))
    }

    /// The same job on this machine, in a process group of its own.
    fn on_host(&self, job: &Job) -> Cmd {
        let cmd = Cmd::new("sh")
            .args(["-c", WATCH, "host"])
            .args(job.argv.iter().map(|arg| job.real(arg)));
        let cmd = job
            .env
            .iter()
            .fold(cmd, |cmd, (name, value)| cmd.env(name, job.real(value)));
        cmd.dir(job.real(job.dir.as_deref().unwrap_or("/tmp")))
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
