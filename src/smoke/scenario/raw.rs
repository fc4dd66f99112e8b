//! `raw`: a raw IP socket, as ping, traceroute and routing daemons hold one.
//!
//! It is connected to nobody: where the kernel has `INET_RAW_DIAG`, CRIU 4.2.1 takes a connected one for a TCP
//! connection and wants `--tcp-established`; where it has not, it dumps both. Seen on Microsoft's 6.6.36.3, which has
//! not, and with that option added. Nothing is in flight, for the reason that `udp` has.

use std::io;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::num::NonZeroU32;
use std::time::Duration;

use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, bind, socket_with};
use serde::{Deserialize, Serialize};

use super::tcp::own_address;
use super::{Acts, Entry, Play, Scenario, Variant, same};
use crate::smoke::payload::Pattern;
use crate::smoke::stage::Stage;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "raw",
    about: "a raw IP socket with its protocol, address and options",
    options: &["INET", "INET_DIAG"],
    families: &[],
    variants: &[Variant::PLAIN],
    entry: Entry::Plain,
    acts: Acts::of::<Raw>(),
};

const PATIENCE: Duration = Duration::from_secs(4);
const TTL: u32 = 42;
const PACKET: usize = 900;
/// Of an IP header without options, which a raw socket hands out too.
const HEADER: usize = 20;
/// A protocol number for experiments (RFC 3692), so that nobody else's packets come.
const PROTOCOL: u16 = 253;

struct Raw {
    socket: UdpSocket,
    cycle: u64,
}

#[derive(Serialize, Deserialize)]
struct State {
    cycle: u64,
    /// The protocol stands for the port.
    name: SocketAddr,
    ttl: u32,
    /// Whether a packet of somebody else's arrived whole.
    hears: bool,
    /// Whether somebody else got a packet whole.
    is_heard: bool,
}

impl Play for Raw {
    type State = State;

    fn set(_: &Stage) -> io::Result<Self> {
        let socket = socket()?;
        socket.set_ttl(TTL)?;
        Ok(Self { socket, cycle: 0 })
    }

    fn prepare(&mut self) -> io::Result<State> {
        self.cycle += 1;
        self.state()
    }

    fn check(&mut self) -> io::Result<State> {
        self.state()
    }

    fn tamper(&mut self) -> io::Result<()> {
        self.socket.set_ttl(TTL + 1)
    }

    fn judge(before: &State, after: &State) -> Vec<String> {
        let faults = [
            same("the cycle", &before.cycle, &after.cycle),
            same("the address", &before.name, &after.name),
            same("the time to live", &before.ttl, &after.ttl),
            (!after.hears).then(|| "it hears no packet".to_owned()),
            (!after.is_heard).then(|| "nobody hears its packets".to_owned()),
        ];
        faults.into_iter().flatten().collect()
    }
}

impl Raw {
    fn state(&self) -> io::Result<State> {
        let other = socket()?;
        let (asked, answered) = (
            Pattern::new(self.cycle).take(PACKET),
            Pattern::new(self.cycle + 1).take(PACKET),
        );
        // Each packet goes to both, who have the same address and protocol.
        other.send_to(&asked, address())?;
        let hears = arrives(&self.socket, &asked) && arrives(&other, &asked);
        self.socket.send_to(&answered, address())?;
        let is_heard = arrives(&other, &answered) && arrives(&self.socket, &answered);
        Ok(State {
            cycle: self.cycle,
            name: self.socket.local_addr()?,
            ttl: self.socket.ttl()?,
            hears,
            is_heard,
        })
    }
}

fn address() -> SocketAddrV4 {
    SocketAddrV4::new(own_address(), PROTOCOL)
}

/// A raw socket in the type of the standard library that makes the same system calls.
fn socket() -> io::Result<UdpSocket> {
    let protocol = NonZeroU32::new(PROTOCOL.into()).map(Protocol::from_raw);
    let (family, kind) = (AddressFamily::INET, SocketType::RAW);
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, protocol)?;
    bind(&socket, &address())?;
    let socket = UdpSocket::from(socket);
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

fn arrives(socket: &UdpSocket, packet: &[u8]) -> bool {
    let mut buffer = vec![0; HEADER + PACKET + 1];
    let heard = socket.recv(&mut buffer);
    heard.is_ok_and(|length| buffer.get(HEADER..length) == Some(packet))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(protocol: u16, ttl: u32, hears: bool, is_heard: bool) -> State {
        State {
            cycle: 1,
            name: SocketAddr::from(([127, 0, 0, 1], protocol)),
            ttl,
            hears,
            is_heard,
        }
    }

    #[test]
    fn each_fault_is_told() {
        let before = state(253, TTL, true, true);
        for (after, fault) in [
            (state(253, TTL, true, true), None),
            (state(254, TTL, true, true), Some("the address")),
            (
                state(253, 64, true, true),
                Some("time to live was 42 and is 64"),
            ),
            (state(253, TTL, false, true), Some("it hears no packet")),
            (
                state(253, TTL, true, false),
                Some("nobody hears its packets"),
            ),
        ] {
            let faults = Raw::judge(&before, &after).join("; ");
            assert_eq!(faults.is_empty(), fault.is_none(), "{faults}");
            assert!(faults.contains(fault.unwrap_or_default()), "{faults}");
        }
    }
}
