//! `sysv`: System V shared memory, semaphores and a message queue, in an IPC namespace of their own:
//! outside of one CRIU leaves them alone by design.

use std::io;

use rustix::thread::UnshareFlags;
use serde::{Deserialize, Serialize};

use super::python::{PYTHON, interpreter};
use super::{Acts, Entry, Play, Scenario, Variant, same};
use crate::smoke::stage::{Stage, is_missing_feature, lacking};
use crate::smoke::talk::Talk;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "sysv",
    about: "System V shared memory, semaphores and message queues",
    options: &["SYSVIPC", "IPC_NS"],
    families: &[],
    variants: &[Variant {
        tools: &[PYTHON],
        extra: true,
        ..Variant::PLAIN
    }],
    entry: Entry::Namespaces(UnshareFlags::NEWIPC),
    acts: Acts::of::<Objects>(),
};

const SCRIPT: &str = include_str!("sysv.py");

struct Objects {
    child: Talk,
    cycle: u64,
}

#[derive(Serialize, Deserialize)]
struct State {
    cycle: u64,
    /// What the kernel calls the objects.
    names: Vec<i64>,
    /// What is in them; only after a check.
    content: Option<Content>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    memory: bool,
    values: Vec<u64>,
    messages: Vec<String>,
}

/// What the script answers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    errno: Option<i32>,
    names: Vec<i64>,
    memory: bool,
    values: Vec<u64>,
    messages: Vec<String>,
}

impl Content {
    /// What a `prepare` put in; messages are taken by their kinds, the last first.
    fn expected(cycle: u64) -> Self {
        Self {
            memory: true,
            values: (0..3).map(|number| cycle * 10 + number).collect(),
            messages: [1, 0].map(|number| format!("message {number} of {cycle}")).into(),
        }
    }
}

impl Play for Objects {
    type State = State;

    fn set(stage: &Stage) -> io::Result<Self> {
        let child = Talk::start(&mut interpreter(stage, SCRIPT)?)?;
        Ok(Self { child, cycle: 0 })
    }

    fn prepare(&mut self) -> io::Result<State> {
        self.cycle += 1;
        let answer = self.ask("prepare")?;
        Ok(State {
            cycle: self.cycle,
            names: answer.names,
            content: None,
        })
    }

    fn check(&mut self) -> io::Result<State> {
        let answer = self.ask("check")?;
        Ok(State {
            cycle: self.cycle,
            names: answer.names,
            content: Some(Content {
                memory: answer.memory,
                values: answer.values,
                messages: answer.messages,
            }),
        })
    }

    fn tamper(&mut self) -> io::Result<()> {
        self.ask("tamper").map(drop)
    }

    fn judge(before: &State, after: &State) -> Vec<String> {
        let expected = Some(Content::expected(before.cycle));
        let faults = [
            same("the cycle", &before.cycle, &after.cycle),
            same("the objects' numbers", &before.names, &after.names),
            same("the objects' content", &expected, &after.content),
        ];
        faults.into_iter().flatten().collect()
    }
}

impl Objects {
    fn ask(&mut self, verb: &str) -> io::Result<Answer> {
        let answer: Answer = self.child.ask(&format!("{verb} {}", self.cycle))?;
        let Some(errno) = answer.errno else {
            return Ok(answer);
        };
        let error = io::Error::from_raw_os_error(errno);
        if is_missing_feature(Some(errno)) {
            Err(lacking("SYSVIPC", error))
        } else {
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_told() {
        let state = |names: &[i64], change: fn(&mut Content)| {
            let mut content = Content::expected(1);
            change(&mut content);
            State {
                cycle: 1,
                names: names.to_vec(),
                content: Some(content),
            }
        };
        let before = State {
            content: None,
            ..state(&[0, 1], |_| {})
        };
        for (after, fault) in [
            (state(&[0, 1], |_| {}), None),
            (state(&[0, 2], |_| {}), Some("the objects' numbers")),
            (state(&[0, 1], |content| content.memory = false), Some("content")),
            (state(&[0, 1], |content| content.values[2] = 0), Some("content")),
            (state(&[0, 1], |content| content.messages.clear()), Some("content")),
        ] {
            let faults = Objects::judge(&before, &after).join("; ");
            assert_eq!(faults.is_empty(), fault.is_none(), "{faults}");
            assert!(faults.contains(fault.unwrap_or_default()), "{faults}");
        }
    }
}
