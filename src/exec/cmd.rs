//! A command as data.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a program reads from its standard input.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Stdin {
    /// Nothing: end of file at once.
    #[default]
    Null,
    /// These bytes.
    Bytes(Vec<u8>),
    /// A pipe that stays open, and empty, for as long as we live: a watchdog at the other end sees
    /// our death as end of file, even after SIGKILL.
    Lifeline,
}

/// Where a program's standard output goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Stdout {
    /// Into [`super::Output::stdout`]; standard error is captured beside it.
    #[default]
    Capture,
    /// Line by line, joined with standard error in the order written, to the caller.
    Lines,
    /// Into a file, replaced; standard error is captured.
    File(PathBuf),
}

/// A program, its arguments and its surroundings. Nothing happens until a [`super::Runner`] gets it.
///
/// The environment is small and known: `PATH`, `HOME`, a fixed locale, and what [`Cmd::env`] adds.
#[derive(Clone, PartialEq, Eq)]
pub struct Cmd {
    pub(super) program: OsString,
    pub(super) args: Vec<OsString>,
    pub(super) env: BTreeMap<OsString, OsString>,
    pub(super) dir: Option<PathBuf>,
    pub(super) stdin: Stdin,
    pub(super) stdout: Stdout,
    pub(super) total: Option<Duration>,
    pub(super) silence: Option<Duration>,
    pub(super) dies_with_us: bool,
    pub(super) despite_interrupt: bool,
}

impl Cmd {
    /// A command without arguments. Default limits: 60 s in all, any silence.
    #[must_use]
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: BTreeMap::new(),
            dir: None,
            stdin: Stdin::Null,
            stdout: Stdout::Capture,
            total: Some(Duration::from_secs(60)),
            silence: None,
            dies_with_us: false,
            despite_interrupt: false,
        }
    }

    /// The same command by another name, such as a full path.
    #[must_use]
    pub fn named(mut self, program: impl AsRef<OsStr>) -> Self {
        self.program = program.as_ref().to_owned();
        self
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets one environment variable. Its value is never printed.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .insert(name.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// The folder to run in.
    #[must_use]
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.dir = Some(dir.as_ref().to_owned());
        self
    }

    /// What it reads.
    #[must_use]
    pub fn stdin(mut self, stdin: Stdin) -> Self {
        self.stdin = stdin;
        self
    }

    /// Where its output goes.
    #[must_use]
    pub fn stdout(mut self, stdout: Stdout) -> Self {
        self.stdout = stdout;
        self
    }

    /// Its time in all; `None` for no limit.
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

    /// Has the kernel kill the program when we die, however we die (through `setpriv --pdeathsig`).
    #[must_use]
    pub fn dies_with_us(mut self) -> Self {
        self.dies_with_us = true;
        self
    }

    /// Runs to its end also when the user asked us to stop: for what cleans up after a stopped program.
    #[must_use]
    pub fn despite_interrupt(mut self) -> Self {
        self.despite_interrupt = true;
        self
    }

    /// The program's name as given.
    #[must_use]
    pub fn program(&self) -> &OsStr {
        &self.program
    }

    /// The arguments as text, for tests and manifests.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        self.args
            .iter()
            .map(|arg| arg.to_string_lossy().into_owned())
            .collect()
    }
}

/// A line that can be pasted into a shell; environment values are left out.
impl fmt::Display for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", quoted(&self.program))?;
        self.args
            .iter()
            .try_for_each(|arg| write!(f, " {}", quoted(arg)))
    }
}

impl fmt::Debug for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cmd({self})")
    }
}

fn quoted(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+,./:@%^".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_a_line_for_a_shell_without_secrets() {
        let cmd = Cmd::new("make")
            .arg("-j2")
            .arg("A=b c")
            .arg("it's")
            .arg("")
            .env("TOKEN", "secret");
        assert_eq!(cmd.to_string(), r"make -j2 'A=b c' 'it'\''s' ''");
        assert_eq!(format!("{cmd:?}"), format!("Cmd({cmd})"));
    }
}
