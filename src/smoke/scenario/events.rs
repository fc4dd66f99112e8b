//! `events`: what a program waits on: epoll, event counters, signals and file changes as descriptors.
//!
//! Left out because CRIU 4.2 does not keep them on any kernel: that a counter is a semaphore, and changes
//! of files that nobody had read yet.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::path::PathBuf;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::inotify;
use serde::{Deserialize, Serialize};

use super::{Acts, Entry, Play, Scenario, Variant, same};
use crate::smoke::stage::{Stage, needs};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "events",
    about: "an epoll set with its members, event counters, waiting signals, a watched folder",
    options: &["EPOLL", "EVENTFD", "SIGNALFD", "INOTIFY_USER", "FHANDLE"],
    families: &[],
    variants: &[Variant::PLAIN],
    entry: Entry::Plain,
    acts: Acts::of::<Events>(),
};

/// What the members of the epoll set are known by.
const COUNTER: u64 = 11;
const PIPE: u64 = 33;
const SIGNALS: u64 = 44;
const WATCH: u64 = 55;

struct Events {
    set: OwnedFd,
    counter: OwnedFd,
    reader: PipeReader,
    writer: PipeWriter,
    signals: SignalFd,
    watch: OwnedFd,
    watched: PathBuf,
    cycle: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    cycle: u64,
    /// Who of the epoll set is ready, each with its events.
    ready: Vec<(u64, u32)>,
    /// What came out of it all; only after a check.
    taken: Option<Taken>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Taken {
    counter: u64,
    byte: u8,
    signals: Vec<u32>,
    /// Names of changed files.
    changes: Vec<String>,
}

impl Taken {
    /// What was put in by a `prepare`.
    fn expected(cycle: u64) -> Self {
        Self {
            counter: 40 + cycle,
            byte: byte(cycle),
            signals: vec![Signal::SIGUSR2 as u32],
            changes: vec![format!("file-{cycle}")],
        }
    }
}

impl Play for Events {
    type State = State;

    fn set(stage: &Stage) -> io::Result<Self> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGUSR2);
        mask.thread_block()?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let signals = needs("SIGNALFD", SignalFd::with_flags(&mask, flags))?;
        let own = EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
        let counter = needs("EVENTFD", eventfd(0, own))?;
        let watched = stage.dir().join("watched");
        fs::create_dir_all(&watched)?;
        let watch = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
        let watch = needs("INOTIFY_USER", inotify::init(watch))?;
        inotify::add_watch(&watch, &watched, inotify::WatchFlags::CREATE)?;
        let (reader, writer) = io::pipe()?;
        let set = needs("EPOLL", epoll::create(epoll::CreateFlags::CLOEXEC))?;
        join(&set, &counter, COUNTER)?;
        join(&set, &reader, PIPE)?;
        join(&set, &signals, SIGNALS)?;
        join(&set, &watch, WATCH)?;
        Ok(Self {
            set,
            counter,
            reader,
            writer,
            signals,
            watch,
            watched,
            cycle: 0,
        })
    }

    fn prepare(&mut self) -> io::Result<State> {
        self.cycle += 1;
        let expected = Taken::expected(self.cycle);
        rustix::io::write(&self.counter, &expected.counter.to_ne_bytes())?;
        self.writer.write_all(&[expected.byte])?;
        let own = rustix::process::getpid();
        rustix::process::kill_process(own, rustix::process::Signal::USR2)?;
        Ok(State {
            cycle: self.cycle,
            ready: self.ready()?,
            taken: None,
        })
    }

    fn check(&mut self) -> io::Result<State> {
        let ready = self.ready()?;
        File::create(self.watched.join(format!("file-{}", self.cycle)))?;
        let told = self.ready()?.iter().any(|(member, _)| *member == WATCH);
        let mut byte = [0];
        self.reader.read_exact(&mut byte)?;
        let taken = Taken {
            counter: count(&self.counter)?,
            byte: byte[0],
            signals: self.signals()?,
            changes: if told { self.changes()? } else { Vec::new() },
        };
        Ok(State {
            cycle: self.cycle,
            ready,
            taken: Some(taken),
        })
    }

    fn tamper(&mut self) -> io::Result<()> {
        rustix::io::write(&self.counter, &1_u64.to_ne_bytes())?;
        Ok(())
    }

    fn judge(before: &State, after: &State) -> Vec<String> {
        let expected = Some(Taken::expected(before.cycle));
        let faults = [
            same("the cycle", &before.cycle, &after.cycle),
            same("what is ready", &before.ready, &after.ready),
            same("what came out", &expected, &after.taken),
            before.ready.is_empty().then(|| "nothing was ready".to_owned()),
        ];
        faults.into_iter().flatten().collect()
    }
}

impl Events {
    fn ready(&self) -> io::Result<Vec<(u64, u32)>> {
        let mut events = Vec::with_capacity(8);
        let at_once = Timespec::default();
        let buffer = rustix::buffer::spare_capacity(&mut events);
        epoll::wait(&self.set, buffer, Some(&at_once))?;
        let mut ready: Vec<(u64, u32)> = events
            .iter()
            .map(|event: &epoll::Event| ({ event.data }.u64(), { event.flags }.bits()))
            .collect();
        ready.sort_unstable();
        Ok(ready)
    }

    fn signals(&self) -> io::Result<Vec<u32>> {
        let mut numbers = Vec::new();
        while let Some(signal) = self.signals.read_signal()? {
            numbers.push(signal.ssi_signo);
        }
        Ok(numbers)
    }

    fn changes(&self) -> io::Result<Vec<String>> {
        let mut buffer = [MaybeUninit::uninit(); 1024];
        let mut reader = inotify::Reader::new(&self.watch, &mut buffer);
        let mut names = Vec::new();
        loop {
            match reader.next() {
                Ok(event) => names.extend(event.file_name().map(text)),
                Err(rustix::io::Errno::AGAIN) => return Ok(names),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn text(name: &CStr) -> String {
    name.to_string_lossy().into_owned()
}

fn byte(cycle: u64) -> u8 {
    cycle.to_le_bytes()[0] ^ 0x5a
}

fn join(set: &OwnedFd, member: impl AsFd, known_by: u64) -> io::Result<()> {
    let data = epoll::EventData::new_u64(known_by);
    Ok(epoll::add(set, member, data, epoll::EventFlags::IN)?)
}

/// What is in an event counter, which is empty then.
fn count(counter: &OwnedFd) -> io::Result<u64> {
    let mut number = [0; 8];
    match rustix::io::read(counter, &mut number) {
        Err(rustix::io::Errno::AGAIN) => Ok(0),
        answer => Ok(answer.map(|_| u64::from_ne_bytes(number))?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(ready: &[(u64, u32)], change: impl FnOnce(&mut Taken)) -> State {
        let mut taken = Taken::expected(1);
        change(&mut taken);
        State {
            cycle: 1,
            ready: ready.to_vec(),
            taken: Some(taken),
        }
    }

    #[test]
    fn each_fault_is_told() {
        let ready = [(COUNTER, 1), (PIPE, 1)];
        let before = State {
            taken: None,
            ..state(&ready, |_| {})
        };
        for (after, fault) in [
            (state(&ready, |_| {}), None),
            (state(&ready[..1], |_| {}), Some("what is ready")),
            (state(&[], |_| {}), Some("what is ready")),
            (state(&ready, |taken| taken.counter = 1), Some("what came out")),
            (state(&ready, |taken| taken.byte = 0), Some("what came out")),
            (state(&ready, |taken| taken.signals.clear()), Some("what came out")),
            (state(&ready, |taken| taken.changes.clear()), Some("what came out")),
        ] {
            let faults = Events::judge(&before, &after).join("; ");
            assert_eq!(faults.is_empty(), fault.is_none(), "{faults}");
            assert!(faults.contains(fault.unwrap_or_default()), "{faults}");
        }
    }
}
