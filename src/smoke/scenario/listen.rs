//! `listen`: a TCP socket that listens and has no connection, as an idle server's: no network lock is
//! needed for it.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};

use serde::{Deserialize, Serialize};

use super::tcp::own_address;
use super::{Acts, Entry, Play, Scenario, Variant, same};
use crate::smoke::payload;
use crate::smoke::stage::Stage;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "listen",
    about: "a TCP socket that listens, without connections",
    options: &["INET", "INET_DIAG", "INET_TCP_DIAG"],
    families: &["inet-tcp"],
    variants: &[Variant::PLAIN],
    entry: Entry::Plain,
    acts: Acts::of::<Listen>(),
};

struct Listen {
    listener: TcpListener,
    cycle: u64,
}

#[derive(Serialize, Deserialize)]
struct State {
    cycle: u64,
    address: SocketAddr,
    /// Whether somebody came in, and was heard.
    accepts: bool,
}

impl Play for Listen {
    type State = State;

    fn set(_: &Stage) -> io::Result<Self> {
        let listener = TcpListener::bind((own_address(), 0))?;
        Ok(Self { listener, cycle: 0 })
    }

    fn prepare(&mut self) -> io::Result<State> {
        self.cycle += 1;
        self.state(true)
    }

    fn check(&mut self) -> io::Result<State> {
        let accepts = self.accepts()?;
        self.state(accepts)
    }

    fn tamper(&mut self) -> io::Result<()> {
        self.listener = TcpListener::bind((own_address(), 0))?;
        Ok(())
    }

    fn judge(before: &State, after: &State) -> Vec<String> {
        let faults = [
            same("the cycle", &before.cycle, &after.cycle),
            same("the address", &before.address, &after.address),
            (!after.accepts).then(|| "it takes no connection any more".to_owned()),
        ];
        faults.into_iter().flatten().collect()
    }
}

impl Listen {
    fn state(&self, accepts: bool) -> io::Result<State> {
        Ok(State {
            cycle: self.cycle,
            address: self.listener.local_addr()?,
            accepts,
        })
    }

    /// Lets somebody in. The connection is reset at once, or its remains would be dumped next time.
    fn accepts(&self) -> io::Result<bool> {
        let mut client = TcpStream::connect(self.listener.local_addr()?)?;
        let (mut server, _) = self.listener.accept()?;
        server.set_nonblocking(true)?;
        let heard = payload::passes(&mut client, &mut server, "a new one")?;
        rustix::net::sockopt::set_socket_linger(&client, Some(std::time::Duration::ZERO))?;
        Ok(heard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(port: u16, accepts: bool) -> State {
        State {
            cycle: 1,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            accepts,
        }
    }

    #[test]
    fn each_fault_is_told() {
        let before = state(80, true);
        for (after, fault) in [
            (state(80, true), None),
            (state(81, true), Some("the address")),
            (state(80, false), Some("takes no connection")),
        ] {
            let faults = Listen::judge(&before, &after).join("; ");
            assert_eq!(faults.is_empty(), fault.is_none(), "{faults}");
            assert!(faults.contains(fault.unwrap_or_default()), "{faults}");
        }
    }
}
