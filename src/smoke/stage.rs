//! What a victim's processes are started with, and start each other with.
//!
//! In: a scenario's name, a folder, a role. Out: a [`Stage`] for the scenario, and commands that start this
//! same program as another of its processes. Must not know the scenarios.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::process;

/// The hidden verb of the command line.
pub const VERB: &str = "victim";
/// The role of the process that the judge starts; its children have other ones.
pub(super) const MAIN: &str = "main";
/// The role of the victim's first process where that is not the one that the judge starts.
pub(super) const INNER: &str = "inner";
/// The role on the way there.
pub(super) const SETTLER: &str = "settler";
/// Not a process of the victim, but CRIU itself, started where the victim's root can be seen.
pub(super) const BESIDE: &str = "beside";
/// One step of the victim's life. Short enough for quick answers, long enough to leave a slow
/// emulated processor to others.
pub(super) const TICK: Duration = Duration::from_millis(4);

/// What a scenario finds set up for its victim.
#[derive(Debug)]
pub struct Stage {
    scenario: &'static str,
    dir: PathBuf,
    role: String,
}

impl Stage {
    pub(super) fn new(scenario: &'static str, dir: PathBuf, role: String) -> Self {
        Self {
            scenario,
            dir,
            role,
        }
    }

    /// The scenario's name.
    #[must_use]
    pub fn scenario(&self) -> &'static str {
        self.scenario
    }

    /// The victim's folder, its own for files and sockets.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Which of the scenario's processes this is.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.role
    }

    /// A stage without a scenario.
    #[cfg(test)]
    pub(super) fn for_test(dir: &Path) -> Self {
        Self::new("test", dir.to_owned(), MAIN.to_owned())
    }

    /// The same stage for another process.
    pub(super) fn as_role(&self, role: &str) -> Self {
        Self::new(self.scenario, self.dir.clone(), role.to_owned())
    }

    /// A name for things that live outside of the folder, such as control groups: nobody else's.
    #[must_use]
    pub fn own_name(&self) -> String {
        let name = self.dir.file_name().unwrap_or_default();
        format!("wslk-smoke-{}", name.to_string_lossy())
    }

    /// This program in another role, not yet started: no input, output into a file of its own.
    pub fn child(&self, role: &str) -> io::Result<Command> {
        self.as_role(role).command(&process::program()?)
    }

    /// `program` in this scenario and role, not yet started.
    pub(super) fn command(&self, program: &Path) -> io::Result<Command> {
        let output = File::create(self.dir.join(format!("output-{}", self.role)))?;
        let mut command = Command::new(program);
        command
            .args([
                OsStr::new(VERB),
                self.scenario.as_ref(),
                self.dir.as_ref(),
                self.role.as_ref(),
            ])
            .current_dir(&self.dir)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        Ok(command)
    }
}

/// Something that a victim needs and that is not there.
#[derive(Debug, thiserror::Error)]
pub(super) enum Absent {
    /// A part of the kernel.
    #[error("the kernel lacks it: {source}")]
    Option {
        option: &'static str,
        source: io::Error,
    },
    /// A part of the surroundings: nothing follows about the kernel.
    #[error("{0}")]
    Surroundings(String),
}

/// The kernel's refusal, read as the lack of an option.
pub(super) fn lacking(option: &'static str, source: io::Error) -> io::Error {
    io::Error::other(Absent::Option { option, source })
}

/// What the surroundings do not have.
pub(super) fn absent(what: impl Into<String>) -> io::Error {
    io::Error::other(Absent::Surroundings(what.into()))
}

/// Reads a refusal as the lack of an option where the kernel says it by its error number.
pub(super) fn needs<T, E: Into<io::Error>>(
    option: &'static str,
    result: Result<T, E>,
) -> io::Result<T> {
    result.map_err(|error| {
        let error = error.into();
        if is_missing_feature(error.raw_os_error()) {
            lacking(option, error)
        } else {
            error
        }
    })
}

/// Whether this is an error by which a kernel says that something was not built into it.
pub(super) fn is_missing_feature(errno: Option<i32>) -> bool {
    use rustix::io::Errno;
    let lacking = [
        Errno::AFNOSUPPORT,
        Errno::PROTONOSUPPORT,
        Errno::NOSYS,
        Errno::PROTOTYPE,
        Errno::OPNOTSUPP,
    ];
    errno.is_some_and(|errno| lacking.iter().any(|known| known.raw_os_error() == errno))
}
