//! The process that touches the driver: this same program, started again with the hidden verb `probe-part`.
//!
//! In: a row's name and its orders. Out: words on standard output, each written at once. A part tries
//! one thing and ends; what it left behind in the driver goes with it. Must not outlive its judge.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::account::{Finding, Told, Word};
use super::driver::Refusal;
use super::{holder, measure};
use crate::exec::Cmd;
use crate::process;

/// The hidden verb of the command line.
pub const VERB: &str = "probe-part";

/// What a part is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Orders {
    /// The folder of the driver's libraries; where the system has them if `None`.
    pub library: Option<PathBuf>,
    /// A folder of this part alone.
    pub work: PathBuf,
    /// Bytes of device memory to work with, and the largest copy.
    pub hold: Option<u64>,
    /// The most to pin at once, in bytes.
    pub pin: Option<u64>,
    /// Time for the part in all; what it waits for has half of it.
    pub seconds: f64,
    /// CRIU, by name or path.
    pub criu: PathBuf,
    /// Variables for the programs that a part starts.
    pub environment: Vec<(String, String)>,
    /// What an opener opens, in hexadecimal digits.
    pub shared: Option<String>,
}

impl Orders {
    /// How long to wait for something that the part itself has started.
    pub(super) fn patience(&self) -> Duration {
        Duration::from_secs_f64(self.seconds / 2.0)
    }

    /// The driver's folder.
    pub(super) fn library(&self) -> Option<&Path> {
        self.library.as_deref()
    }

    /// `cmd` with the variables that all parts have.
    pub(super) fn surround(&self, cmd: Cmd) -> Cmd {
        let add = |cmd: Cmd, (name, value): &(String, String)| cmd.env(name, value);
        self.environment.iter().fold(cmd, add)
    }

    /// The arguments that start a part for this.
    pub(super) fn arguments(&self, name: &str) -> io::Result<[OsString; 3]> {
        let orders = serde_json::to_string(self)?;
        Ok([VERB.into(), name.into(), orders.into()])
    }
}

/// Why a part could not go on.
#[derive(Debug)]
pub(super) enum Setback {
    /// The driver declined.
    Refused(Refusal),
    /// Something said that it was done, and it was not; or it broke.
    Broken(String),
    /// Our own surroundings: nothing follows about the machine.
    Here(String),
}

impl From<Refusal> for Setback {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<io::Error> for Setback {
    fn from(error: io::Error) -> Self {
        Self::Here(error.to_string())
    }
}

impl From<Setback> for Finding {
    fn from(setback: Setback) -> Self {
        match setback {
            Setback::Refused(refusal) => refusal.into(),
            Setback::Broken(why) => Self::failed(why),
            Setback::Here(why) => Self::not_testable(why),
        }
    }
}

/// Runs `probe-part NAME ORDERS`; returns the exit code.
#[must_use]
pub fn run(args: &[OsString]) -> u8 {
    let [name, orders] = args else {
        return 2;
    };
    let Ok(orders) = serde_json::from_slice::<Orders>(orders.as_encoded_bytes()) else {
        return 2;
    };
    let name = name.to_string_lossy();
    if name == holder::ROLE {
        return holder::run(&orders);
    }
    // A judge that was killed cannot end us any more; the kernel can.
    let _as_it_was = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    // What our caller left open must not reach the process that CRIU dumps: it may lie where CRIU cannot see it.
    close_fds::set_fds_cloexec_threadsafe(3, &[]);
    let mut teller = Teller(process::stdout());
    let finding = measure::run(&name, &orders, &mut teller).unwrap_or_else(Finding::from);
    teller.say(Word::Finding(finding));
    0
}

/// Writes words where the judge reads them.
struct Teller<W>(W);

impl<W: Write> Told for Teller<W> {
    fn say(&mut self, word: Word) {
        if let Ok(line) = serde_json::to_string(&word) {
            // A judge that is gone needs no more words.
            let _gone = writeln!(self.0, "{line}").and_then(|()| self.0.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn bad_arguments_are_bad_usage() {
        assert_eq!(run(&[]), 2);
        assert_eq!(run(&["gpu".into()]), 2);
        assert_eq!(run(&["gpu".into(), "{}".into()]), 2);
    }

    #[test]
    fn words_go_out_as_lines() {
        let mut out = Vec::new();
        Teller(&mut out).stage("cuInit");
        Teller(&mut out).figure("x", 1.0, "s");
        let text = String::from_utf8(out).expect("text");
        assert_eq!(text.lines().count(), 2);
        assert!(
            text.starts_with(r#"{"word":"stage","stage":"cuInit"}"#),
            "{text}"
        );
    }

    #[test]
    fn setbacks_have_verdicts() {
        let table = [
            (Setback::Broken("x".to_owned()), Verdict::Failed),
            (Setback::Here("x".to_owned()), Verdict::NotTestable),
            (Refusal::Absent("cuX").into(), Verdict::NotTestable),
        ];
        for (setback, verdict) in table {
            assert_eq!(Finding::from(setback).verdict, verdict);
        }
    }
}
