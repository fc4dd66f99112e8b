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

    /// This program in another role, not yet started: no input, output into a file of its own.
    pub fn child(&self, role: &str) -> io::Result<Command> {
        Self::new(self.scenario, self.dir.clone(), role.to_owned()).command(&process::program()?)
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
