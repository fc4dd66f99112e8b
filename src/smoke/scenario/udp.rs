//! `udp`: bound and connected UDP sockets that must still reach each other.
//!
//! Nothing is in flight here: CRIU drops unread datagrams of the internet families by design, as any
//! network may.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::tcp::own_address;
use super::{Acts, Entry, Play, Scenario, Variant, same};
use crate::smoke::payload::Pattern;
use crate::smoke::stage::Stage;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "udp",
    about: "connected and unconnected UDP sockets with their addresses and options",
    options: &["INET", "INET_DIAG", "INET_UDP_DIAG"],
    families: &["inet-udp"],
    variants: &[Variant::PLAIN],
    entry: Entry::Plain,
    acts: Acts::of::<Udp>(),
};

const PATIENCE: Duration = Duration::from_secs(4);
const TTL: u32 = 42;
const DATAGRAM: usize = 900;

struct Udp {
    left: UdpSocket,
    right: UdpSocket,
    /// Bound, but connected to nobody.
    open: UdpSocket,
    cycle: u64,
}

#[derive(Serialize, Deserialize)]
struct State {
    cycle: u64,
    /// Addresses of the two ends, of their peers, and of the open socket.
    names: Vec<SocketAddr>,
    ttl: u32,
    broadcast: bool,
    /// Ways between the sockets, and whether a datagram sent on each arrived whole.
    ways: Vec<(String, bool)>,
}

impl Play for Udp {
    type State = State;

    fn set(_: &Stage) -> io::Result<Self> {
        let bind = || {
            let socket = UdpSocket::bind((own_address(), 0))?;
            socket.set_read_timeout(Some(PATIENCE))?;
            io::Result::Ok(socket)
        };
        let (left, right, open) = (bind()?, bind()?, bind()?);
        left.connect(right.local_addr()?)?;
        right.connect(left.local_addr()?)?;
        open.set_ttl(TTL)?;
        open.set_broadcast(true)?;
        Ok(Self {
            left,
            right,
            open,
            cycle: 0,
        })
    }

    fn prepare(&mut self) -> io::Result<State> {
        self.cycle += 1;
        self.state()
    }

    fn check(&mut self) -> io::Result<State> {
        self.state()
    }

    fn tamper(&mut self) -> io::Result<()> {
        self.open.set_ttl(TTL + 1)
    }

    fn judge(before: &State, after: &State) -> Vec<String> {
        let faults = [
            same("the cycle", &before.cycle, &after.cycle),
            same("the list of addresses", &before.names, &after.names),
            same("the time to live", &before.ttl, &after.ttl),
            same("the broadcast option", &before.broadcast, &after.broadcast),
        ];
        let dead =
            |(way, works): &(String, bool)| (!works).then(|| format!("no datagram passes {way}"));
        faults
            .into_iter()
            .flatten()
            .chain(after.ways.iter().filter_map(dead))
            .collect()
    }
}

impl Udp {
    fn state(&self) -> io::Result<State> {
        let (left, right, open) = (&self.left, &self.right, &self.open);
        let names = [
            left.local_addr(),
            left.peer_addr(),
            right.local_addr(),
            right.peer_addr(),
            open.local_addr(),
        ];
        let message = Pattern::new(self.cycle).take(DATAGRAM);
        left.send(&message)?;
        let there = arrives(right, &message);
        right.send(&message)?;
        let back = arrives(left, &message);
        let stranger = UdpSocket::bind((own_address(), 0))?;
        stranger.send_to(&message, open.local_addr()?)?;
        let from_stranger = arrives(open, &message);
        Ok(State {
            cycle: self.cycle,
            names: names.into_iter().collect::<io::Result<_>>()?,
            ttl: open.ttl()?,
            broadcast: open.broadcast()?,
            ways: vec![
                ("between connected sockets".to_owned(), there),
                ("back between connected sockets".to_owned(), back),
                ("to an open socket".to_owned(), from_stranger),
            ],
        })
    }
}

fn arrives(socket: &UdpSocket, message: &[u8]) -> bool {
    let mut buffer = vec![0; DATAGRAM + 1];
    socket
        .recv(&mut buffer)
        .is_ok_and(|length| &buffer[..length] == message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(port: u16, ttl: u32, broadcast: bool, works: bool) -> State {
        let names = vec![SocketAddr::from(([127, 0, 0, 1], port))];
        State {
            cycle: 1,
            names,
            ttl,
            broadcast,
            ways: vec![("there".into(), works)],
        }
    }

    #[test]
    fn each_fault_is_told() {
        let before = state(80, TTL, true, true);
        for (after, fault) in [
            (state(80, TTL, true, true), None),
            (state(81, TTL, true, true), Some("list of addresses")),
            (
                state(80, 64, true, true),
                Some("time to live was 42 and is 64"),
            ),
            (state(80, TTL, false, true), Some("broadcast")),
            (
                state(80, TTL, true, false),
                Some("no datagram passes there"),
            ),
        ] {
            let faults = Udp::judge(&before, &after).join("; ");
            assert_eq!(faults.is_empty(), fault.is_none(), "{faults}");
            assert!(faults.contains(fault.unwrap_or_default()), "{faults}");
        }
    }

    #[test]
    fn a_victim_that_was_never_down_passes() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let mut udp = Udp::set(&Stage::for_test(folder.path()))?;
        let before = Play::prepare(&mut udp)?;
        let after = Play::check(&mut udp)?;
        assert_eq!(Udp::judge(&before, &after), Vec::<String>::new());
        Ok(())
    }
}
