//! The process that is dumped: this same program, started again with the hidden verb `victim`.
//!
//! In: a scenario, a folder, a role. Out: `ready` once the scene is set, then one `answer-N` for each
//! `ask-N` that appears in the folder. All state that is judged lives in this process and its
//! children, never in the judge, so that an answer after a restore proves what was restored; even the
//! number of the next question does. Must not write to the standard streams, keep descriptors that
//! its scenario does not need, or outlive its folder.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::entry::{self, Outside};
use super::scenario::{self, Scenario};
use super::stage::{Absent, BESIDE, INNER, MAIN, SETTLER, Stage, TICK};
use crate::files::hand_over;

/// A victim that nobody ended ends itself.
const LIFE: Duration = Duration::from_secs(900);

/// What the judge may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// Change your state, put data in flight, and tell what you hold: the dump comes next.
    Prepare,
    /// Read everything back, prove that you can go on, and tell what you hold.
    Check,
    /// Harm your own data first, then do as for a check: the answer must not pass.
    TamperedCheck,
}

/// All that the victim says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The question's number, counted by the victim from 1.
    pub number: u64,
    /// Its process.
    pub pid: i32,
    /// Its session.
    pub sid: i32,
    /// Its process group.
    pub pgid: i32,
    /// How many ticks it has lived.
    pub counter: u64,
    /// The scenario's own state.
    pub state: Value,
}

/// The error a victim leaves behind for the judge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LastWords {
    pub message: String,
    /// The kernel's error number, where it was the kernel that refused.
    pub errno: Option<i32>,
    /// The option that the kernel lacks, where the victim knows.
    #[serde(default)]
    pub option: Option<String>,
    /// Whether it is the surroundings that lack something.
    #[serde(default)]
    pub surroundings: bool,
}

impl From<io::Error> for LastWords {
    fn from(error: io::Error) -> Self {
        let absent = error.get_ref().and_then(|inner| inner.downcast_ref());
        let (option, surroundings) = match absent {
            Some(Absent::Option { option, .. }) => (Some((*option).to_owned()), false),
            Some(Absent::Surroundings(_)) => (None, true),
            None => (None, false),
        };
        Self {
            message: error.to_string(),
            errno: error.raw_os_error(),
            option,
            surroundings,
        }
    }
}

/// Runs `victim NAME DIR [ROLE]`; returns the exit code.
///
/// What goes wrong is left in the folder: this process has nobody to talk to.
#[must_use]
pub fn run(args: &[OsString]) -> u8 {
    let [name, dir, rest @ ..] = args else {
        return 2;
    };
    let role = rest
        .first()
        .map_or(MAIN.into(), |role| role.to_string_lossy().into_owned());
    let Some(scenario) = scenario::find(&name.to_string_lossy()) else {
        return 2;
    };
    let stage = Stage::new(scenario.name, dir.into(), role);
    let outcome = if stage.role() == BESIDE {
        entry::beside_root(&stage, rest.get(1..).unwrap_or_default())
    } else {
        live(scenario, &stage)
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            let words = LastWords::from(error);
            let _nobody_to_tell = hand_over(&stage.dir().join(error_file(stage.role())), &words);
            1
        }
    }
}

/// The judge's side of the start: the main process of a scenario's victim.
pub(super) fn start(program: &Path, scenario: &Scenario, dir: &Path) -> io::Result<Pid> {
    let child = Stage::new(scenario.name, dir.to_owned(), MAIN.to_owned())
        .command(program)?
        .spawn()?;
    // Not waited for through the handle: after a restore the process is nobody's `Child`.
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| io::Error::other("a process without a number"))
}

/// Where the main process leaves its last words.
pub(super) fn last_words(dir: &Path) -> Option<LastWords> {
    let text = [SETTLER, INNER, MAIN]
        .iter()
        .find_map(|role| fs::read(dir.join(error_file(role))).ok())?;
    serde_json::from_slice(&text).ok()
}

/// The victim's first process, where it is not the one that was started and has come that far.
pub(super) fn moved_to(dir: &Path) -> Option<Pid> {
    let text = fs::read(entry::outside_file(dir)).ok()?;
    let outside: Outside = serde_json::from_slice(&text).ok()?;
    i32::try_from(outside.pid).ok().and_then(Pid::from_raw)
}

/// The heart beat that the victim last wrote. It stands still while the victim is down.
pub(super) fn pulse(dir: &Path) -> io::Result<u64> {
    let bytes = fs::read(dir.join("pulse"))?;
    let number = bytes
        .try_into()
        .map_err(|_| io::Error::other("the pulse is no number"))?;
    Ok(u64::from_le_bytes(number))
}

pub(super) fn ready_file(dir: &Path) -> PathBuf {
    dir.join("ready")
}

pub(super) fn answer_file(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("answer-{number}"))
}

/// Puts question `number` to the victim in `dir`.
pub(super) fn ask(dir: &Path, number: u64, question: Question) -> io::Result<()> {
    hand_over(&dir.join(format!("ask-{number}")), &question)
}

fn error_file(role: &str) -> String {
    format!("error-{role}")
}

fn live(scenario: &Scenario, stage: &Stage) -> io::Result<u8> {
    match stage.role() {
        MAIN if scenario.entry.is_elsewhere() => return entry::enter(scenario.entry, stage),
        SETTLER => return entry::settle(scenario.entry, stage),
        MAIN | INNER => {}
        _ => return scenario.play_role(stage),
    }
    // A session leader whose session lies in the dumped tree: CRIU wants nothing from outside.
    match rustix::process::setsid() {
        // The first process of a container is one already.
        Err(rustix::io::Errno::PERM) if rustix::process::getpid().is_init() => {}
        answer => drop(answer?),
    }
    let mut scene = scenario.set(stage)?;
    let mut life = Life::begin(stage.dir())?;
    hand_over(&ready_file(stage.dir()), &life.counter)?;
    while life.tick()? {
        if let Some(question) = life.question()? {
            let state = match question {
                Question::Prepare => scene.prepare()?,
                Question::Check => scene.check()?,
                Question::TamperedCheck => {
                    scene.tamper()?;
                    scene.check()?
                }
            };
            life.answer(state)?;
        }
    }
    Ok(0)
}

/// The main process between questions.
struct Life<'a> {
    dir: &'a Path,
    pulse: File,
    counter: u64,
    next: u64,
    born: Instant,
}

impl<'a> Life<'a> {
    fn begin(dir: &'a Path) -> io::Result<Self> {
        let pulse = File::create(dir.join("pulse"))?;
        let life = Self {
            dir,
            pulse,
            counter: 0,
            next: 1,
            born: Instant::now(),
        };
        life.pulse.write_all_at(&life.counter.to_le_bytes(), 0)?;
        Ok(life)
    }

    /// Lives for a tick; false when it is time to end.
    fn tick(&mut self) -> io::Result<bool> {
        std::thread::sleep(TICK);
        self.counter += 1;
        self.pulse.write_all_at(&self.counter.to_le_bytes(), 0)?;
        let look = self.counter.is_multiple_of(64);
        Ok(!look || (self.dir.exists() && self.born.elapsed() < LIFE))
    }

    fn question(&self) -> io::Result<Option<Question>> {
        match fs::read(self.dir.join(format!("ask-{}", self.next))) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn answer(&mut self, state: Value) -> io::Result<()> {
        let answer = Answer {
            number: self.next,
            pid: raw(rustix::process::getpid()),
            sid: raw(rustix::process::getsid(None)?),
            pgid: raw(rustix::process::getpgrp()),
            counter: self.counter,
            state,
        };
        hand_over(&answer_file(self.dir, self.next), &answer)?;
        self.next += 1;
        Ok(())
    }
}

fn raw(pid: Pid) -> i32 {
    pid.as_raw_nonzero().get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_survive_json() {
        let answer = Answer {
            number: 2,
            pid: 7,
            sid: 7,
            pgid: 7,
            counter: 9,
            state: serde_json::json!({"a": 1}),
        };
        let text = serde_json::to_string(&answer).unwrap();
        assert_eq!(
            text,
            r#"{"number":2,"pid":7,"sid":7,"pgid":7,"counter":9,"state":{"a":1}}"#
        );
        assert_eq!(serde_json::from_str::<Answer>(&text).unwrap(), answer);
        assert_eq!(
            serde_json::to_string(&Question::Prepare).unwrap(),
            r#""prepare""#
        );
    }

    #[test]
    fn the_pulse_is_read_as_written() {
        let folder = tempfile::tempdir().unwrap();
        let life = Life::begin(folder.path()).unwrap();
        life.pulse.write_all_at(&77_u64.to_le_bytes(), 0).unwrap();
        assert_eq!(pulse(folder.path()).unwrap(), 77);
    }

    #[test]
    fn bad_arguments_are_bad_usage() {
        assert_eq!(run(&[]), 2);
        assert_eq!(run(&["no-such-scenario".into(), "/tmp".into()]), 2);
    }
}
