//! `mqueue`: an open POSIX message queue. The queue itself is an object of the IPC namespace and stays where
//! it is; what is restored is the descriptor, which must lead to the same messages.
//!
//! The queue is opened by its path below `/dev/mqueue`: CRIU 4.2 cannot find one that was opened by its
//! name alone, on any kernel.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use nix::mqueue::{MQ_OFlag, MqAttr, MqdT, mq_close, mq_open, mq_receive, mq_send, mq_unlink};
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};

use super::{Acts, Entry, Play, Scenario, Variant, same};
use crate::smoke::stage::{Stage, absent, needs};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "mqueue",
    about: "an open POSIX message queue",
    options: &["POSIX_MQUEUE"],
    families: &[],
    variants: &[Variant::PLAIN],
    entry: Entry::Plain,
    acts: Acts::of::<Queue>(),
};

const FOLDER: &str = "/dev/mqueue";
const MESSAGES: usize = 3;
const LENGTH: usize = 64;

struct Queue {
    name: PathBuf,
    file: File,
    cycle: u64,
}

#[derive(Serialize, Deserialize)]
struct State {
    cycle: u64,
    /// What the kernel says of the queue through the descriptor: bytes in it, and who waits.
    status: String,
    /// Messages with their priorities; only after a check.
    messages: Vec<(String, u32)>,
}

impl Play for Queue {
    type State = State;

    fn set(stage: &Stage) -> io::Result<Self> {
        let name = name(stage);
        let flags = MQ_OFlag::O_CREAT | MQ_OFlag::O_EXCL | MQ_OFlag::O_RDWR;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let sizes = MqAttr::new(0, 10, LENGTH as i64, 0);
        let queue = mq_open(&name, flags, mode, Some(&sizes));
        mq_close(needs("POSIX_MQUEUE", queue)?)?;
        let path = Path::new(FOLDER).join(stage.own_name());
        let file = File::options().read(true).write(true).open(path);
        Ok(Self {
            name,
            file: file.map_err(|_| absent("no mqueue is mounted at /dev/mqueue"))?,
            cycle: 0,
        })
    }

    fn prepare(&mut self) -> io::Result<State> {
        self.cycle += 1;
        let queue = self.open()?;
        for (text, priority) in sent(self.cycle) {
            mq_send(&queue, text.as_bytes(), priority)?;
        }
        mq_close(queue)?;
        self.state(Vec::new())
    }

    fn check(&mut self) -> io::Result<State> {
        let before = self.state(Vec::new())?;
        let queue = self.open()?;
        let mut messages = Vec::new();
        let mut buffer = [0; LENGTH];
        let mut priority = 0;
        while let Ok(length) = mq_receive(&queue, &mut buffer, &mut priority) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            messages.push((text, priority));
        }
        mq_close(queue)?;
        Ok(State { messages, ..before })
    }

    fn tamper(&mut self) -> io::Result<()> {
        let queue = self.open()?;
        mq_send(&queue, b"tampered", 9)?;
        Ok(mq_close(queue)?)
    }

    fn clear(stage: &Stage) {
        let _never_made = mq_unlink(&name(stage));
    }

    fn judge(before: &State, after: &State) -> Vec<String> {
        let mut expected = sent(before.cycle);
        expected.reverse();
        let faults = [
            same("the cycle", &before.cycle, &after.cycle),
            same("the queue's status", &before.status, &after.status),
            same("the messages", &expected, &after.messages),
            before.status.is_empty().then(|| "the descriptor is no queue's".to_owned()),
        ];
        faults.into_iter().flatten().collect()
    }
}

impl Queue {
    fn open(&self) -> io::Result<MqdT> {
        let flags = MQ_OFlag::O_RDWR | MQ_OFlag::O_NONBLOCK;
        Ok(mq_open(&self.name, flags, Mode::empty(), None)?)
    }

    fn state(&mut self, messages: Vec<(String, u32)>) -> io::Result<State> {
        let mut status = String::new();
        self.file.rewind()?;
        self.file.read_to_string(&mut status)?;
        Ok(State {
            cycle: self.cycle,
            status: status.split_whitespace().collect::<Vec<_>>().join(" "),
            messages,
        })
    }
}

fn name(stage: &Stage) -> PathBuf {
    Path::new("/").join(stage.own_name())
}

/// In the order of their priorities, the least first; they come out the other way round.
fn sent(cycle: u64) -> Vec<(String, u32)> {
    let message = |number| (format!("message {number} of {cycle}"), number);
    (1..).take(MESSAGES).map(message).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_told() {
        let state = |status: &str, change: fn(&mut Vec<(String, u32)>)| {
            let mut messages = sent(1);
            messages.reverse();
            change(&mut messages);
            State {
                cycle: 1,
                status: status.into(),
                messages,
            }
        };
        let before = state("QSIZE:48", |messages| messages.clear());
        for (after, fault) in [
            (state("QSIZE:48", |_| {}), None),
            (state("QSIZE:0", |_| {}), Some("the queue's status")),
            (state("QSIZE:48", |messages| messages.reverse()), Some("the messages")),
            (state("QSIZE:48", |messages| messages.truncate(1)), Some("the messages")),
        ] {
            let faults = Queue::judge(&before, &after).join("; ");
            assert_eq!(faults.is_empty(), fault.is_none(), "{faults}");
            assert!(faults.contains(fault.unwrap_or_default()), "{faults}");
        }
    }
}
