//! Container engines: which one answers, and in what docker and podman differ.
//!
//! In: the user's choice. Out: an [`Engine`]. Each difference is a method of [`EngineKind`] with the
//! reason in its doc, so that nobody else compares kinds.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::exec::{Cmd, ExecError, Runner};
use crate::process;
use crate::report::Reporter;

use super::BuildError;

/// A daemon that does not answer a question within this time is taken for a hanging one.
const ANSWER: Duration = Duration::from_secs(15);

/// How long an engine may take to remove a container that it was told to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the user asked for (`--engine`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EngineChoice {
    /// The first engine that answers; the host itself when no engine is installed.
    #[default]
    Auto,
    /// Docker or nothing.
    Docker,
    /// Podman or nothing.
    Podman,
    /// No container: the tools of this machine.
    Host,
}

impl EngineChoice {
    /// The words that a user may write, in the order of [`EngineChoice`].
    pub const WORDS: [&'static str; 4] = ["auto", "docker", "podman", "host"];
}

impl std::str::FromStr for EngineChoice {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "auto" => Ok(Self::Auto),
            "docker" => Ok(Self::Docker),
            "podman" => Ok(Self::Podman),
            "host" => Ok(Self::Host),
            _ => Err(format!(
                "`{word}` is no engine; it is one of {}",
                Self::WORDS.join(", ")
            )),
        }
    }
}

/// What jobs run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// Docker: a client that talks to a daemon.
    Docker,
    /// Podman: no daemon, the client itself starts the container.
    Podman,
    /// No container at all.
    Host,
}

impl EngineKind {
    /// The program's name, also the word in manifests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Host => "host",
        }
    }

    /// The cheapest question that only a working engine answers. Docker's client answers most for
    /// itself even without a daemon, so it is asked about the daemon's security options. Podman is
    /// its own engine, and `podman info` costs it ten times a `podman version`.
    fn question(self) -> Cmd {
        let words = match self {
            Self::Docker => ["info", "--format", "{{json .SecurityOptions}}"],
            _ => ["version", "--format", "{{.Client.Version}}"],
        };
        Cmd::new(self.name()).args(words).total(ANSWER)
    }

    /// Whether the engine runs without root: docker's daemon tells so in its answer to
    /// [`EngineKind::question`], podman runs as whoever calls it.
    fn rootless(self, answer: &str) -> bool {
        match self {
            Self::Docker => answer.contains("name=rootless"),
            Self::Podman => process::user().0 != 0,
            Self::Host => false,
        }
    }

    /// The exit status of the client when the engine itself failed, not the program inside.
    #[must_use]
    pub(super) fn own_failure(self) -> Option<i32> {
        match self {
            Self::Docker | Self::Podman => Some(125),
            Self::Host => None,
        }
    }

    /// How a running container is ended at once.
    ///
    /// Podman's `kill` leaves the removal to a cleanup process that dies with the client's process
    /// group; `rm --force` does both. Docker's daemon removes it by itself, and `rm --force` agrees.
    fn end(self, name: &str) -> Cmd {
        let cmd = Cmd::new(self.name()).args(["rm", "--force"]);
        let cmd = match self {
            // Ten seconds of SIGTERM first is podman's default.
            Self::Podman => cmd.args(["--time", "0"]),
            _ => cmd,
        };
        cmd.arg(name)
            .total(Duration::from_secs(60))
            .despite_interrupt()
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An engine that answered.
#[derive(Debug, Clone)]
pub struct Engine {
    kind: EngineKind,
    rootless: bool,
    runner: Arc<dyn Runner>,
}

impl Engine {
    /// Asks the engines that `choice` allows, each with a deadline, and takes the first that answers.
    ///
    /// [`EngineChoice::Auto`] ends at the host only where neither engine is installed: an installed
    /// one that does not answer is a fault to mend, and must not silently change what builds.
    pub fn find(
        choice: EngineChoice,
        runner: Arc<dyn Runner>,
        reporter: &Reporter,
    ) -> Result<Self, BuildError> {
        let candidates: &[EngineKind] = match choice {
            EngineChoice::Host => return Ok(Self::host(runner)),
            EngineChoice::Auto => &[EngineKind::Docker, EngineKind::Podman],
            EngineChoice::Docker => &[EngineKind::Docker],
            EngineChoice::Podman => &[EngineKind::Podman],
        };
        let mut tried = Vec::new();
        for &kind in candidates {
            match runner.run(&kind.question()) {
                Ok(answer) => {
                    return Ok(Self {
                        kind,
                        rootless: kind.rootless(&answer.text()),
                        runner,
                    });
                }
                Err(error @ ExecError::Interrupted { .. }) => return Err(error.into()),
                Err(error) => tried.push((kind, error)),
            }
        }
        let none_installed = tried
            .iter()
            .all(|(_, error)| matches!(error, ExecError::NotFound { .. }));
        if choice == EngineChoice::Auto && none_installed {
            reporter.warn(
                "neither docker nor podman is installed: building with the tools of this machine",
            );
            return Ok(Self::host(runner));
        }
        let tried = tried
            .into_iter()
            .map(|(kind, error)| (kind.name(), answer(&error)))
            .collect();
        Err(BuildError::NoEngine { tried })
    }

    /// No container: jobs run as they are, on this machine.
    #[must_use]
    pub fn host(runner: Arc<dyn Runner>) -> Self {
        Self {
            kind: EngineKind::Host,
            rootless: false,
            runner,
        }
    }

    /// Docker, podman or the host.
    #[must_use]
    pub fn kind(&self) -> EngineKind {
        self.kind
    }

    /// What starts programs.
    #[must_use]
    pub fn runner(&self) -> &dyn Runner {
        self.runner.as_ref()
    }

    /// Arguments that make files written by a job belong to `uid`:`gid` outside.
    ///
    /// Rootless docker maps root inside to the caller outside, so the ordinary user to be is 0, with
    /// neither capabilities nor power over anything but the caller's own files. Rootless podman can
    /// keep the caller's own number instead.
    pub(super) fn user(&self, uid: u32, gid: u32) -> Vec<String> {
        match (self.kind, self.rootless) {
            (EngineKind::Docker, true) => vec!["--user=0:0".to_owned()],
            (EngineKind::Podman, true) => {
                vec!["--userns=keep-id".to_owned(), format!("--user={uid}:{gid}")]
            }
            _ => vec![format!("--user={uid}:{gid}")],
        }
    }

    /// Arguments that only one engine needs.
    ///
    /// Podman with SELinux would refuse the mounted folders; relabelling the user's files for our
    /// sake is worse than no label for one container without network and capabilities.
    pub(super) fn extras(&self) -> &'static [&'static str] {
        match self.kind {
            EngineKind::Podman => &["--security-opt=label=disable"],
            EngineKind::Docker | EngineKind::Host => &[],
        }
    }

    /// Names of the containers, running or not, that carry `label` (`key=value`).
    pub(super) fn labelled(&self, label: &str) -> Result<Vec<String>, BuildError> {
        let filter = format!("label={label}");
        self.names(&["--all", "--filter", &filter])
    }

    /// Ends and removes a container and makes sure that it is gone.
    pub(super) fn end(&self, name: &str) -> Result<(), BuildError> {
        self.end_within(name, PATIENCE)
    }

    fn end_within(&self, name: &str, patience: Duration) -> Result<(), BuildError> {
        // A container that is gone already is what we want, so only the look afterwards counts; and
        // where our watchdog was first, the engine is still removing it.
        let said = self.runner.run(&self.kind.end(name)).err();
        let filter = format!("name=^{name}$");
        let started = Instant::now();
        while !self.names(&["--all", "--filter", &filter])?.is_empty() {
            if started.elapsed() >= patience {
                let said = said.map_or_else(|| "it is still there".to_owned(), |e| answer(&e));
                let name = name.to_owned();
                return Err(BuildError::Left {
                    name,
                    engine: self.kind,
                    said,
                });
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn names(&self, filters: &[&str]) -> Result<Vec<String>, BuildError> {
        if self.kind == EngineKind::Host {
            return Ok(Vec::new());
        }
        let cmd = Cmd::new(self.kind.name())
            .arg("ps")
            .args(filters)
            .args(["--format", "{{.Names}}"])
            .total(ANSWER)
            .despite_interrupt();
        let output = self.runner.run(&cmd).map_err(|error| self.gone(&error))?;
        Ok(output.text().lines().map(str::to_owned).collect())
    }

    /// The engine no longer answers.
    #[must_use]
    pub(super) fn gone(&self, error: &ExecError) -> BuildError {
        BuildError::EngineGone {
            engine: self.kind,
            said: answer(error),
        }
    }
}

/// What an engine answered, in one line and without the command line that every reader can guess.
fn answer(error: &ExecError) -> String {
    match error {
        ExecError::NotFound { .. } => "not installed".to_owned(),
        ExecError::TimedOut { limit, .. } => format!("no answer within {} s", limit.as_secs_f32()),
        ExecError::Failed { output, .. } => {
            let mut lines = output
                .stderr
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty());
            lines
                .next_back()
                .map_or_else(|| output.ending(), str::to_owned)
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::{Duct, Output, Script};

    fn missing(program: &str) -> ExecError {
        ExecError::NotFound {
            program: program.to_owned(),
        }
    }

    fn refused(words: &str) -> ExecError {
        let output = Output {
            status: Some(1),
            stderr: words.to_owned(),
            ..Output::default()
        };
        ExecError::Failed {
            command: "docker info".to_owned(),
            output: Box::new(output),
        }
    }

    fn find(choice: EngineChoice, script: Script) -> Result<Engine, BuildError> {
        Engine::find(choice, Arc::new(script), &Reporter::silent())
    }

    #[test]
    fn takes_the_first_that_answers() {
        let script = Script::default().says("docker info", "[\"name=seccomp\"]");
        assert_eq!(
            find(EngineChoice::Auto, script).unwrap().kind(),
            EngineKind::Docker
        );

        let script = Script::default()
            .fails("docker info", refused("no daemon"))
            .says("podman version", "4.3.1\n");
        let engine = find(EngineChoice::Auto, script).unwrap();
        assert_eq!(engine.kind(), EngineKind::Podman);
        let engine = Engine {
            rootless: true,
            ..engine
        };
        assert_eq!(engine.user(7, 8), ["--userns=keep-id", "--user=7:8"]);

        let script = Script::default().says("docker info", "[\"name=seccomp\",\"name=rootless\"]");
        assert_eq!(
            find(EngineChoice::Docker, script).unwrap().user(7, 8),
            ["--user=0:0"]
        );
    }

    #[test]
    fn the_host_only_when_nothing_else_can_be() {
        let none = || {
            Script::default()
                .fails("docker", missing("docker"))
                .fails("podman", missing("podman"))
        };
        assert_eq!(
            find(EngineChoice::Auto, none()).unwrap().kind(),
            EngineKind::Host
        );
        assert_eq!(
            find(EngineChoice::Host, Script::default()).unwrap().kind(),
            EngineKind::Host
        );

        let broken = Script::default()
            .fails("docker", refused("x\nno daemon\n"))
            .fails("podman", missing("podman"));
        match find(EngineChoice::Auto, broken) {
            Err(BuildError::NoEngine { tried }) => {
                let expected = [
                    ("docker", "no daemon".to_owned()),
                    ("podman", "not installed".to_owned()),
                ];
                assert_eq!(tried, expected);
            }
            other => panic!("{other:?}"),
        }
        let only = Script::default().fails("docker", missing("docker"));
        assert!(matches!(
            find(EngineChoice::Docker, only),
            Err(BuildError::NoEngine { .. })
        ));
    }

    #[test]
    fn a_hanging_daemon_does_not_hang_us() {
        let asked = EngineKind::Docker.question();
        let hanging = Cmd::new("sleep")
            .arg("60")
            .total(Duration::from_millis(100));
        let error = Duct::default().run(&hanging).expect_err("times out");
        assert!(answer(&error).starts_with("no answer within"));
        assert!(format!("{asked}").contains("SecurityOptions"));
    }

    #[test]
    fn an_ended_container_must_be_gone() {
        let engine = |script| Engine {
            kind: EngineKind::Docker,
            rootless: false,
            runner: Arc::new(script),
        };
        let gone = Script::default()
            .fails("rm --force wslk-x", refused("No such container"))
            .says("ps --all", "");
        assert!(engine(gone).end("wslk-x").is_ok());
        let stuck = Script::default()
            .says("rm --force wslk-x", "")
            .says("ps --all", "wslk-x\n");
        assert!(matches!(
            engine(stuck).end_within("wslk-x", Duration::ZERO),
            Err(BuildError::Left { .. })
        ));
    }
}
