//! `unix`: unix sockets in pairs, under names, and listening, with data in flight.
//!
//! The name of an accepted stream end is not compared: it borrows the listener's, and CRIU brings such
//! a connection back as a nameless pair by design. Named datagram sockets must keep their names, since
//! others reach them by these.

use std::io::{self, Write as _};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Acts, Entry, Play, Scenario, Variant, same};
use crate::smoke::payload::{self, Bulk, Pattern, Queue, Tally};
use crate::smoke::stage::Stage;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "unix",
    about: "unix sockets: stream and datagram pairs, named ones with their peers, a listening one",
    options: &["UNIX", "UNIX_DIAG"],
    families: &["unix"],
    variants: &[Variant::PLAIN],
    entry: Entry::Plain,
    acts: Acts::of::<Unix>(),
};

const IN_FLIGHT: u64 = 24_000;
/// Lengths of the datagrams in flight: borders must survive.
const DATAGRAMS: &[usize] = &[1, 700, 33, 4000];

struct Unix {
    path: PathBuf,
    listener: UnixListener,
    /// Names of the ends with the ends themselves.
    streams: Vec<(&'static str, UnixStream, UnixStream)>,
    /// Two pairs: one without names, one bound to names where the first end is connected to the second.
    datagrams: Vec<(&'static str, UnixDatagram, UnixDatagram)>,
    sent: Vec<Bulk>,
    cycle: u64,
}

#[derive(Serialize, Deserialize)]
struct State {
    queues: Vec<Queue>,
    /// Names of the listener and of the named datagram sockets, and of the peer as one of them sees it.
    names: Vec<Option<PathBuf>>,
    /// Whether a word passed each way over every pair of ends, and over a new connection.
    talks: bool,
    accepts: bool,
}

impl Play for Unix {
    type State = State;

    fn set(stage: &Stage) -> io::Result<Self> {
        let path = stage.dir().join("socket");
        let listener = UnixListener::bind(&path)?;
        let client = UnixStream::connect(&path)?;
        let (server, _) = listener.accept()?;
        let (left, right) = UnixStream::pair()?;
        let streams = vec![
            ("a stream pair", left, right),
            ("an accepted stream", client, server),
        ];
        for (_, left, right) in &streams {
            left.set_nonblocking(true)?;
            right.set_nonblocking(true)?;
        }
        let (left, right) = UnixDatagram::pair()?;
        let datagrams = vec![
            ("a datagram pair", left, right),
            named_datagrams(stage.dir())?,
        ];
        for (_, left, right) in &datagrams {
            left.set_nonblocking(true)?;
            right.set_nonblocking(true)?;
        }
        Ok(Self {
            path,
            listener,
            streams,
            datagrams,
            sent: Vec::new(),
            cycle: 0,
        })
    }

    fn prepare(&mut self) -> io::Result<State> {
        self.cycle += 1;
        self.sent.clear();
        for (number, (_, left, right)) in (0..).zip(&mut self.streams) {
            let seed = self.cycle * 100 + number * 2;
            self.sent
                .push(payload::fill(left, seed, IN_FLIGHT, Duration::ZERO)?);
            self.sent
                .push(payload::fill(right, seed + 1, IN_FLIGHT, Duration::ZERO)?);
        }
        for (_, left, _) in &self.datagrams {
            self.sent.push(send_datagrams(left, self.cycle)?);
        }
        self.state(false)
    }

    fn check(&mut self) -> io::Result<State> {
        self.state(true)
    }

    fn tamper(&mut self) -> io::Result<()> {
        self.streams[0].1.write_all(b"x")
    }

    fn judge(before: &State, after: &State) -> Vec<String> {
        let mut faults = payload::judge(&before.queues, &after.queues);
        faults.extend(same("the list of names", &before.names, &after.names));
        if !after.talks {
            faults.push("a connection carries nothing any more".to_owned());
        }
        if !after.accepts {
            faults.push("the listening socket takes no connection any more".to_owned());
        }
        faults
    }
}

impl Unix {
    fn state(&mut self, read_back: bool) -> io::Result<State> {
        let names = self.names()?;
        let mut queues = Vec::new();
        let mut sent = self.sent.iter().cloned();
        let mut next = || {
            sent.next()
                .ok_or_else(|| io::Error::other("checked before prepared"))
        };
        for (name, left, right) in &mut self.streams {
            queues.push(stream_queue(
                format!("{name}, there"),
                next()?,
                right,
                read_back,
            )?);
            queues.push(stream_queue(
                format!("{name}, back"),
                next()?,
                left,
                read_back,
            )?);
        }
        for (name, _, right) in &self.datagrams {
            queues.push(datagram_queue(
                (*name).to_owned(),
                next()?,
                right,
                read_back,
            )?);
        }
        let talks = read_back && self.talks()?;
        let accepts = read_back && accepts(&self.listener, &self.path)?;
        Ok(State {
            queues,
            names,
            talks,
            accepts,
        })
    }

    fn names(&self) -> io::Result<Vec<Option<PathBuf>>> {
        let mut names = vec![self.listener.local_addr()?];
        for (_, left, right) in &self.datagrams {
            names.extend([left.local_addr()?, left.peer_addr()?, right.local_addr()?]);
        }
        Ok(names
            .iter()
            .map(|name| name.as_pathname().map(Path::to_owned))
            .collect())
    }

    fn talks(&mut self) -> io::Result<bool> {
        let mut all = true;
        for (_, left, right) in &mut self.streams {
            all &= payload::passes(left, right, "there")? && payload::passes(right, left, "back")?;
        }
        for (_, left, right) in &self.datagrams {
            left.send(b"there")?;
            // A peer with a name is found by it; one without is the other end of the pair.
            match left.local_addr()?.as_pathname() {
                Some(name) => right.send_to(b"back", name)?,
                None => right.send(b"back")?,
            };
            all &= receives(right, b"there")? && receives(left, b"back")?;
        }
        Ok(all)
    }
}

fn stream_queue(
    name: String,
    sent: Bulk,
    end: &mut UnixStream,
    read_back: bool,
) -> io::Result<Queue> {
    let waiting = rustix::io::ioctl_fionread(&*end)?;
    let got = if read_back {
        Some(payload::drain(end, sent.bytes)?)
    } else {
        None
    };
    Ok(Queue {
        name,
        sent,
        waiting,
        got,
    })
}

fn named_datagrams(dir: &Path) -> io::Result<(&'static str, UnixDatagram, UnixDatagram)> {
    let right = UnixDatagram::bind(dir.join("right"))?;
    let left = UnixDatagram::bind(dir.join("left"))?;
    left.connect(dir.join("right"))?;
    Ok(("named datagrams", left, right))
}

fn receives(end: &UnixDatagram, word: &[u8]) -> io::Result<bool> {
    let mut buffer = [0; 16];
    let length = end.recv(&mut buffer)?;
    Ok(&buffer[..length] == word)
}

fn datagram_queue(
    name: String,
    sent: Bulk,
    end: &UnixDatagram,
    read_back: bool,
) -> io::Result<Queue> {
    let waiting = rustix::io::ioctl_fionread(end)?;
    let got = if read_back {
        Some(receive_datagrams(end)?)
    } else {
        None
    };
    Ok(Queue {
        name,
        sent,
        waiting,
        got,
    })
}

fn send_datagrams(from: &UnixDatagram, seed: u64) -> io::Result<Bulk> {
    let mut pattern = Pattern::new(seed);
    let mut tally = Tally::default();
    for length in DATAGRAMS {
        let message = pattern.take(*length);
        from.send(&message)?;
        tally.message(&message);
    }
    Ok(tally.done())
}

fn receive_datagrams(end: &UnixDatagram) -> io::Result<Bulk> {
    let mut tally = Tally::default();
    let mut buffer = vec![0; 8192];
    loop {
        match end.recv(&mut buffer) {
            Ok(length) => tally.message(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(tally.done()),
            Err(error) => return Err(error),
        }
    }
}

fn accepts(listener: &UnixListener, path: &Path) -> io::Result<bool> {
    let mut client = UnixStream::connect(path)?;
    let (mut server, _) = listener.accept()?;
    server.set_nonblocking(true)?;
    payload::passes(&mut client, &mut server, "a new one")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(got: Option<&[u8]>, name: &str, talks: bool, accepts: bool) -> State {
        let bulk = |bytes: &[u8]| {
            let mut tally = Tally::default();
            tally.message(bytes);
            tally.done()
        };
        let queue = Queue {
            name: "a socket pair".into(),
            sent: bulk(b"abc"),
            waiting: 3,
            got: got.map(bulk),
        };
        State {
            queues: vec![queue],
            names: vec![Some(name.into())],
            talks,
            accepts,
        }
    }

    #[test]
    fn each_fault_is_told() {
        let before = state(None, "/s", false, false);
        let whole = Some(&b"abc"[..]);
        for (after, fault) in [
            (state(whole, "/s", true, true), None),
            (
                state(Some(b"ab"), "/s", true, true),
                Some("1 of 3 bytes were lost"),
            ),
            (
                state(Some(b"abcc"), "/s", true, true),
                Some("1 bytes too many"),
            ),
            (state(whole, "/t", true, true), Some("list of names")),
            (state(whole, "/s", false, true), Some("carries nothing")),
            (state(whole, "/s", true, false), Some("takes no connection")),
        ] {
            let faults = Unix::judge(&before, &after).join("; ");
            assert_eq!(faults.is_empty(), fault.is_none(), "{faults}");
            assert!(faults.contains(fault.unwrap_or_default()), "{faults}");
        }
    }

    #[test]
    fn a_victim_that_was_never_down_passes() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let mut unix = Unix::set(&Stage::for_test(folder.path()))?;
        for _ in 0..2 {
            let before = Play::prepare(&mut unix)?;
            let after = Play::check(&mut unix)?;
            assert_eq!(Unix::judge(&before, &after), Vec::<String>::new());
        }
        Ok(())
    }
}
