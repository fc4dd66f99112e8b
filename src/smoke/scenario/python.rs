//! `python`: a Python interpreter with threads, the kind of process that people dump most.

use std::io;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Acts, Entry, Play, Scenario, Variant, same};
use crate::smoke::criu;
use crate::smoke::stage::{Stage, TICK, absent};
use crate::smoke::talk::Talk;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "python",
    about: "a Python process with threads",
    options: &["FUTEX"],
    families: &[],
    variants: &[Variant {
        tools: &[PYTHON],
        extra: true,
        ..Variant::PLAIN
    }],
    entry: Entry::Plain,
    acts: Acts::of::<Python>(),
};

pub(super) const PYTHON: &str = "python3";
const SCRIPT: &str = include_str!("python.py");
/// A thread that does not count on within this time is dead.
const PATIENCE: Duration = Duration::from_secs(5);

struct Python {
    child: Talk,
    cycle: u64,
}

#[derive(Serialize, Deserialize)]
struct State {
    cycle: u64,
    own: Own,
    /// Whether every thread counted on while it was watched; only after a check.
    moving: bool,
}

/// What the interpreter says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Own {
    threads: u64,
    counts: Vec<u64>,
    words: Vec<String>,
}

impl Play for Python {
    type State = State;

    fn set(stage: &Stage) -> io::Result<Self> {
        let child = Talk::start(&mut interpreter(stage, SCRIPT)?)?;
        Ok(Self { child, cycle: 0 })
    }

    fn prepare(&mut self) -> io::Result<State> {
        self.cycle += 1;
        let began = Instant::now();
        // The interpreter counts a thread once it runs.
        while self.child.ask::<Own>("tell")?.counts.contains(&0) && began.elapsed() < PATIENCE {
            std::thread::sleep(TICK);
        }
        let own = self.child.ask(&format!("add word-{}", self.cycle))?;
        Ok(State {
            cycle: self.cycle,
            own,
            moving: true,
        })
    }

    fn check(&mut self) -> io::Result<State> {
        let own: Own = self.child.ask("tell")?;
        let began = Instant::now();
        let mut moving = false;
        while !moving && began.elapsed() < PATIENCE {
            std::thread::sleep(TICK);
            let later: Own = self.child.ask("tell")?;
            moving = later.counts.iter().zip(&own.counts).all(|(now, then)| now > then);
        }
        Ok(State {
            cycle: self.cycle,
            own,
            moving,
        })
    }

    fn tamper(&mut self) -> io::Result<()> {
        self.child.ask::<Own>("add another").map(drop)
    }

    fn judge(before: &State, after: &State) -> Vec<String> {
        let counts = before.own.counts.iter().zip(&after.own.counts);
        let back = counts.clone().any(|(before, after)| after < before);
        let faults = [
            same("the cycle", &before.cycle, &after.cycle),
            same("the list of words", &before.own.words, &after.own.words),
            same("the number of threads", &before.own.threads, &after.own.threads),
            back.then(|| {
                let (before, after) = (&before.own.counts, &after.own.counts);
                format!("a thread's counter went back: {before:?}, {after:?}")
            }),
            (!after.moving).then(|| "a thread does not run any more".to_owned()),
        ];
        faults.into_iter().flatten().collect()
    }
}

/// An interpreter that reads nothing of the user's: no site, no environment.
pub(super) fn interpreter(stage: &Stage, script: &str) -> io::Result<Command> {
    let program = criu::find_tool(PYTHON).ok_or_else(|| absent("there is no python3"))?;
    let output = std::fs::File::create(stage.dir().join("output-python"))?;
    let mut command = Command::new(program);
    command
        .args(["-I", "-S", "-B", "-c", script])
        .current_dir(stage.dir())
        .env_clear()
        .stderr(Stdio::from(output));
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(threads: u64, counts: &[u64], word: &str, moving: bool) -> State {
        State {
            cycle: 1,
            own: Own {
                threads,
                counts: counts.to_vec(),
                words: vec![word.into()],
            },
            moving,
        }
    }

    #[test]
    fn each_fault_is_told() {
        let before = state(3, &[5, 5], "word", true);
        for (after, fault) in [
            (state(3, &[5, 6], "word", true), None),
            (state(2, &[5, 6], "word", true), Some("the number of threads")),
            (state(3, &[5, 4], "word", true), Some("counter went back")),
            (state(3, &[5, 6], "sword", true), Some("the list of words")),
            (state(3, &[5, 6], "word", false), Some("does not run")),
        ] {
            let faults = Python::judge(&before, &after).join("; ");
            assert_eq!(faults.is_empty(), fault.is_none(), "{faults}");
            assert!(faults.contains(fault.unwrap_or_default()), "{faults}");
        }
    }
}
