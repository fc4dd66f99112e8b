//! Running other programs: a command is data until the moment it runs.
//!
//! In: a [`Cmd`]. Out: its [`Output`], or an [`ExecError`] that says how it ended. [`Runner`] is the
//! port: [`Duct`] really runs things, [`Script`] plays a prepared part in tests. Must not know what
//! any program is for; must not write to the user.

mod cmd;
mod duct;
mod script;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use self::cmd::{Cmd, Stdin, Stdout};
pub use self::duct::Duct;
pub use self::script::Script;

/// Something that runs commands.
pub trait Runner: Send + Sync + fmt::Debug {
    /// Runs to the end and returns what came out, whatever the exit status.
    ///
    /// Streams: standard output goes where [`Cmd::stdout`] says; standard error is captured, or
    /// joined to the lines. Each line of either is handed to `on_line` as it comes when the command
    /// asks for [`Stdout::Lines`].
    fn run_with(&self, cmd: &Cmd, on_line: &mut dyn FnMut(&str)) -> Result<Output, ExecError>;

    /// Runs to the end; any exit status but 0 is an error.
    fn run(&self, cmd: &Cmd) -> Result<Output, ExecError> {
        self.run_with(cmd, &mut |_| {})?.success(cmd)
    }
}

/// How a program ended, and what it said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Exit status; `None` when a signal ended it.
    pub status: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Standard output, where it was captured.
    pub stdout: Vec<u8>,
    /// Standard error, where it was captured; with [`Stdout::Lines`] the last lines of both streams.
    pub stderr: String,
}

impl Output {
    /// Standard output as text; bytes that are no UTF-8 are replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Passes an output with exit status 0 and makes an error of any other.
    pub fn success(self, cmd: &Cmd) -> Result<Self, ExecError> {
        match self.status {
            Some(0) => Ok(self),
            _ => Err(ExecError::Failed {
                command: cmd.to_string(),
                output: Box::new(self),
            }),
        }
    }

    /// "exit status 2" or "signal 9".
    #[must_use]
    pub fn ending(&self) -> String {
        match (self.status, self.signal) {
            (Some(status), _) => format!("exit status {status}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "an unknown end".to_owned(),
        }
    }
}

/// Why a command gave no good answer.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The program is not installed.
    #[error("{program} is not installed")]
    NotFound {
        /// Its name as we called it.
        program: String,
    },
    /// The system refused to start or to watch it.
    #[error("cannot run `{command}`")]
    Start {
        /// The command line.
        command: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It ended with a status other than 0.
    #[error("`{command}` ended with {}{}", output.ending(), last_words(&output.stderr))]
    Failed {
        /// The command line.
        command: String,
        /// All that it said.
        output: Box<Output>,
    },
    /// It took longer than its total time.
    #[error("`{command}` did not end within {} s", limit.as_secs())]
    TimedOut {
        /// The command line.
        command: String,
        /// The total time allowed.
        limit: Duration,
    },
    /// It said nothing for too long.
    #[error("no output for {} s from `{command}`", limit.as_secs())]
    Silent {
        /// The command line.
        command: String,
        /// The silence allowed.
        limit: Duration,
    },
    /// The user asked us to stop.
    #[error("interrupted while running `{command}`")]
    Interrupted {
        /// The command line.
        command: String,
    },
    /// The file that takes its standard output cannot be made.
    #[error("cannot write {}", path.display())]
    Sink {
        /// That file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

fn last_words(stderr: &str) -> String {
    let tail: Vec<&str> = stderr.trim_end().lines().rev().take(8).collect();
    if tail.is_empty() {
        return String::new();
    }
    let lines: Vec<&str> = tail.into_iter().rev().collect();
    format!(":\n{}", lines.join("\n"))
}
