//! `pty`: both ends of a pseudo terminal, and a session that has it as its controlling terminal.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::AsFd;
use std::process::Stdio;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{self, LocalModes, OptionalActions, OutputModes, Winsize};
use serde::{Deserialize, Serialize};

use super::{Acts, Entry, Play, Scenario, Variant, same};
use crate::process;
use crate::smoke::stage::{Stage, needs};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "pty",
    about: "both ends of a pseudo terminal that is a session's controlling terminal",
    options: &["UNIX98_PTYS", "TTY"],
    families: &[],
    variants: &[Variant::PLAIN],
    entry: Entry::Plain,
    acts: Acts::of::<Terminal>(),
};

const SESSION: &str = "session";
const COLUMNS: u16 = 77;

struct Terminal {
    master: BufReader<File>,
    cycle: u64,
}

#[derive(Serialize, Deserialize)]
struct State {
    cycle: u64,
    window: (u16, u16),
    session: Session,
}

/// A session as it describes itself, over its terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Session {
    pid: i32,
    /// The session and the foreground group, as the terminal knows them.
    session: i32,
    foreground: i32,
    terminal: String,
    /// Local modes, `ECHO` off among them.
    modes: u32,
    /// Whether `/dev/tty` leads to the terminal.
    controls: bool,
    asked: u64,
}

impl Play for Terminal {
    type State = State;

    fn set(stage: &Stage) -> io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = needs("UNIX98_PTYS", openpt(flags))?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        // Not our own terminal: that would end us with it.
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = File::from(rustix::fs::open(name, flags, Mode::empty())?);
        quieten(&slave)?;
        stage
            .child(SESSION)?
            .stdin(Stdio::from(slave.try_clone()?))
            .stdout(Stdio::from(slave.try_clone()?))
            .stderr(Stdio::from(slave))
            .spawn()?;
        Ok(Self {
            master: BufReader::new(master.into()),
            cycle: 0,
        })
    }

    fn role(_: &Stage) -> io::Result<u8> {
        rustix::process::setsid()?;
        rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
        let mut out = process::stdout();
        let mut asked = 0;
        for line in process::stdin().lines() {
            line?;
            asked += 1;
            writeln!(out, "{}", serde_json::to_string(&Session::own(asked)?)?)?;
            out.flush()?;
        }
        Ok(0)
    }

    fn prepare(&mut self) -> io::Result<State> {
        self.cycle += 1;
        let rows = u16::try_from(self.cycle).unwrap_or(u16::MAX);
        self.resize(rows)?;
        self.check()
    }

    fn check(&mut self) -> io::Result<State> {
        let window = termios::tcgetwinsize(self.master.get_ref())?;
        self.master.get_mut().write_all(b"who are you\n")?;
        let mut line = String::new();
        self.master.read_line(&mut line)?;
        Ok(State {
            cycle: self.cycle,
            window: (window.ws_row, window.ws_col),
            session: serde_json::from_str(&line)?,
        })
    }

    fn tamper(&mut self) -> io::Result<()> {
        self.resize(999)
    }

    fn judge(before: &State, after: &State) -> Vec<String> {
        let expected = Session {
            asked: before.session.asked + 1,
            ..before.session.clone()
        };
        let faults = [
            same("the cycle", &before.cycle, &after.cycle),
            same("the window size", &before.window, &after.window),
            same("the session", &expected, &after.session),
            (!before.session.controls).then(|| "the terminal controlled no session".to_owned()),
        ];
        faults.into_iter().flatten().collect()
    }
}

impl Terminal {
    fn resize(&self, rows: u16) -> io::Result<()> {
        let size = Winsize {
            ws_row: rows,
            ws_col: COLUMNS,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        Ok(termios::tcsetwinsize(self.master.get_ref(), size)?)
    }
}

impl Session {
    fn own(asked: u64) -> io::Result<Self> {
        let raw = |pid: rustix::process::Pid| pid.as_raw_nonzero().get();
        let terminal = File::open("/dev/tty");
        let through = |file: &File| termios::tcgetsid(file).map(raw).ok();
        let pid = raw(rustix::process::getpid());
        let stdin = rustix::stdio::stdin();
        Ok(Self {
            pid,
            session: raw(termios::tcgetsid(stdin)?),
            foreground: raw(termios::tcgetpgrp(stdin)?),
            terminal: termios::ttyname(stdin, Vec::new())?.to_string_lossy().into_owned(),
            modes: termios::tcgetattr(stdin)?.local_modes.bits(),
            controls: terminal.is_ok_and(|file| through(&file) == Some(pid)),
            asked,
        })
    }
}

/// Answers come back alone and as they were written.
fn quieten(terminal: impl AsFd) -> io::Result<()> {
    let mut modes = termios::tcgetattr(&terminal)?;
    modes.local_modes -= LocalModes::ECHO;
    modes.output_modes -= OutputModes::ONLCR;
    Ok(termios::tcsetattr(&terminal, OptionalActions::Now, &modes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(rows: u16, change: impl FnOnce(&mut Session)) -> State {
        let mut session = Session {
            pid: 7,
            session: 7,
            foreground: 7,
            terminal: "/dev/pts/0".into(),
            modes: 3,
            controls: true,
            asked: 2,
        };
        change(&mut session);
        State {
            cycle: 1,
            window: (rows, COLUMNS),
            session,
        }
    }

    #[test]
    fn each_fault_is_told() {
        let before = state(1, |session| session.asked = 1);
        for (after, fault) in [
            (state(1, |_| {}), None),
            (state(24, |_| {}), Some("the window size")),
            (state(1, |session| session.asked = 1), Some("the session")),
            (state(1, |session| session.session = 1), Some("the session")),
            (state(1, |session| session.modes = 7), Some("the session")),
            (state(1, |session| session.controls = false), Some("the session")),
        ] {
            let faults = Terminal::judge(&before, &after).join("; ");
            assert_eq!(faults.is_empty(), fault.is_none(), "{faults}");
            assert!(faults.contains(fault.unwrap_or_default()), "{faults}");
        }
    }
}
