//! A child that answers lines with lines, over pipes that are dumped with it.
//!
//! In: a command. Out: its answers. It ends with its parent, whose end of the pipe closes.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use serde::de::DeserializeOwned;

use crate::process;

/// The parent's side.
pub(super) struct Talk {
    pid: u32,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Talk {
    /// Starts the child with a pipe each way.
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let no_pipe = || io::Error::other("a child without pipes");
        Ok(Self {
            pid: child.id(),
            to: child.stdin.take().ok_or_else(no_pipe)?,
            from: BufReader::new(child.stdout.take().ok_or_else(no_pipe)?),
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Asks over one pipe, hears over the other.
    pub(super) fn ask<T: DeserializeOwned>(&mut self, question: &str) -> io::Result<T> {
        writeln!(self.to, "{question}")?;
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }

    /// Both pipes as they are, for a child that does not talk in lines.
    pub(super) fn pipes(&mut self) -> (&mut ChildStdin, &mut BufReader<ChildStdout>) {
        (&mut self.to, &mut self.from)
    }
}

/// The child's side: answers every line, blocked in a read but for the moments of an answer.
pub(super) fn answer_lines<T: serde::Serialize>(
    mut answer: impl FnMut(&str) -> io::Result<T>,
) -> io::Result<()> {
    let mut out = process::stdout();
    for line in process::stdin().lines() {
        let text = serde_json::to_string(&answer(&line?)?)?;
        writeln!(out, "{text}")?;
        out.flush()?;
    }
    Ok(())
}
