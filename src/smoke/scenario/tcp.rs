//! `tcp`: an established connection with data queued in both directions, and a listening socket.
//!
//! Both ends live in the victim, on the loopback interface. The queues are filled until nothing more
//! fits: part of the data then lies unsent at one end, part unread at the other, and CRIU must save
//! both. It is run under each of CRIU's network locks, which need different parts of the kernel.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Acts, Entry, Play, Scenario, Variant, same};
use crate::smoke::payload::{self, Bulk, Queue};
use crate::smoke::stage::Stage;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "tcp",
    about: "an established TCP connection with data queued in both directions, and a listening socket",
    options: &["INET", "INET_DIAG", "INET_TCP_DIAG"],
    families: &["inet-tcp"],
    variants: &[
        Variant {
            suffix: "-iptables",
            arguments: &["--tcp-established", "--network-lock", "iptables"],
            options: &[
                "NETFILTER_XTABLES",
                "NETFILTER_XT_MARK",
                "IP_NF_IPTABLES",
                "IP_NF_FILTER",
            ],
            tools: &["iptables"],
            ..Variant::PLAIN
        },
        Variant {
            suffix: "-nftables",
            arguments: &["--tcp-established", "--network-lock", "nftables"],
            options: &["NF_TABLES", "NF_TABLES_INET"],
            feature: Some("nftables"),
            ..Variant::PLAIN
        },
    ],
    entry: Entry::Plain,
    acts: Acts::of::<Tcp>(),
};

/// Small enough to fill, large enough for whole segments of the loopback interface: with smaller ones
/// the ends wait for each other by timers.
const BUFFER: usize = 64 << 10;
const MOST: u64 = 512 << 10;
/// A connection that took nothing for so long is full: what it holds is no longer on the move.
const SETTLED: Duration = Duration::from_millis(20);

struct Tcp {
    listener: TcpListener,
    client: TcpStream,
    server: TcpStream,
    sent: Vec<Bulk>,
    cycle: u64,
}

#[derive(Serialize, Deserialize)]
struct State {
    queues: Vec<Queue>,
    /// Addresses of the listener, then of each end and its peer.
    names: Vec<SocketAddr>,
    /// Whether `TCP_NODELAY`, set at one end only, is set at each.
    nodelay: Vec<bool>,
    talks: bool,
    accepts: bool,
}

impl Play for Tcp {
    type State = State;

    fn set(_: &Stage) -> io::Result<Self> {
        let listener = TcpListener::bind((own_address(), 0))?;
        rustix::net::sockopt::set_socket_recv_buffer_size(&listener, BUFFER)?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        for end in [&client, &server] {
            end.set_nonblocking(true)?;
            rustix::net::sockopt::set_socket_send_buffer_size(end, BUFFER)?;
            rustix::net::sockopt::set_socket_recv_buffer_size(end, BUFFER)?;
        }
        client.set_nodelay(true)?;
        Ok(Self {
            listener,
            client,
            server,
            sent: Vec::new(),
            cycle: 0,
        })
    }

    fn prepare(&mut self) -> io::Result<State> {
        self.cycle += 1;
        let there = payload::fill(&mut self.client, self.cycle * 2, MOST, SETTLED)?;
        let back = payload::fill(&mut self.server, self.cycle * 2 + 1, MOST, SETTLED)?;
        self.sent = vec![there, back];
        self.state(false)
    }

    fn check(&mut self) -> io::Result<State> {
        self.state(true)
    }

    fn tamper(&mut self) -> io::Result<()> {
        self.client.set_nodelay(false)
    }

    fn judge(before: &State, after: &State) -> Vec<String> {
        let mut faults = payload::judge(&before.queues, &after.queues);
        faults.extend(same("the list of addresses", &before.names, &after.names));
        faults.extend(same("TCP_NODELAY", &before.nodelay, &after.nodelay));
        if !after.talks {
            faults.push("the connection carries nothing any more".to_owned());
        }
        if !after.accepts {
            faults.push("the listening socket takes no connection any more".to_owned());
        }
        faults
    }
}

impl Tcp {
    fn state(&mut self, read_back: bool) -> io::Result<State> {
        let names = self.names()?;
        let nodelay = vec![self.client.nodelay()?, self.server.nodelay()?];
        let [there, back] = &self.sent[..] else {
            return Err(io::Error::other("checked before prepared"));
        };
        let queues = vec![
            queue(
                "a TCP connection, there",
                there,
                &mut self.server,
                read_back,
            )?,
            queue("a TCP connection, back", back, &mut self.client, read_back)?,
        ];
        let talks = read_back
            && payload::passes(&mut self.client, &mut self.server, "there")?
            && payload::passes(&mut self.server, &mut self.client, "back")?;
        let accepts = read_back && self.accepts()?;
        Ok(State {
            queues,
            names,
            nodelay,
            talks,
            accepts,
        })
    }

    fn names(&self) -> io::Result<Vec<SocketAddr>> {
        let mut names = vec![self.listener.local_addr()?];
        for end in [&self.client, &self.server] {
            names.extend([end.local_addr()?, end.peer_addr()?]);
        }
        Ok(names)
    }

    fn accepts(&self) -> io::Result<bool> {
        let mut client = TcpStream::connect(self.listener.local_addr()?)?;
        let (mut server, _) = self.listener.accept()?;
        server.set_nonblocking(true)?;
        payload::passes(&mut client, &mut server, "a new one")
    }
}

/// An address of this process alone, so that no other socket takes its ports while it is down.
pub(super) fn own_address() -> Ipv4Addr {
    let [.., high, low] = rustix::process::getpid()
        .as_raw_nonzero()
        .get()
        .to_be_bytes();
    Ipv4Addr::new(127, 77, high, low)
}

fn queue(name: &str, sent: &Bulk, end: &mut TcpStream, read_back: bool) -> io::Result<Queue> {
    let waiting = rustix::io::ioctl_fionread(&*end)?;
    let got = if read_back {
        Some(payload::drain(end, sent.bytes)?)
    } else {
        None
    };
    Ok(Queue {
        name: name.to_owned(),
        sent: sent.clone(),
        waiting,
        got,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smoke::payload::Tally;

    fn state(got: Option<&[u8]>, port: u16, nodelay: bool, talks: bool, accepts: bool) -> State {
        let bulk = |bytes: &[u8]| {
            let mut tally = Tally::default();
            tally.bytes(bytes);
            tally.done()
        };
        let queue = Queue {
            name: "there".into(),
            sent: bulk(b"abc"),
            waiting: 3,
            got: got.map(bulk),
        };
        let names = vec![SocketAddr::from(([127, 0, 0, 1], port))];
        State {
            queues: vec![queue],
            names,
            nodelay: vec![nodelay],
            talks,
            accepts,
        }
    }

    #[test]
    fn each_fault_is_told() {
        let before = state(None, 80, true, false, false);
        let whole = Some(&b"abc"[..]);
        for (after, fault) in [
            (state(whole, 80, true, true, true), None),
            (
                state(Some(b"ab"), 80, true, true, true),
                Some("1 of 3 bytes were lost"),
            ),
            (
                state(Some(b"abcabc"), 80, true, true, true),
                Some("3 bytes too many"),
            ),
            (state(Some(b"abx"), 80, true, true, true), Some("changed")),
            (
                state(whole, 81, true, true, true),
                Some("list of addresses"),
            ),
            (state(whole, 80, false, true, true), Some("TCP_NODELAY")),
            (state(whole, 80, true, false, true), Some("carries nothing")),
            (
                state(whole, 80, true, true, false),
                Some("takes no connection"),
            ),
        ] {
            let faults = Tcp::judge(&before, &after).join("; ");
            assert_eq!(faults.is_empty(), fault.is_none(), "{faults}");
            assert!(faults.contains(fault.unwrap_or_default()), "{faults}");
        }
    }

    #[test]
    fn a_victim_that_was_never_down_passes() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let mut tcp = Tcp::set(&Stage::for_test(folder.path()))?;
        for _ in 0..2 {
            let before = Play::prepare(&mut tcp)?;
            assert!(
                before
                    .queues
                    .iter()
                    .any(|queue| queue.waiting < queue.sent.bytes)
            );
            let after = Play::check(&mut tcp)?;
            assert_eq!(Tcp::judge(&before, &after), Vec::<String>::new());
        }
        Ok(())
    }
}
