//! Where a server listens, as a user writes it.
//!
//! In: `host`, `host:port`, `[IPv6]` or `[IPv6]:port`. Out: an [`Address`], or what was expected
//! instead; and a connection there.

use std::fmt;
use std::io;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// A name, an IPv4 address, or an IPv6 address without its brackets.
    host: String,
    port: u16,
}

impl Address {
    /// What `text` names; at `port` where it does not say.
    pub(super) fn parse(text: &str, port: u16) -> Result<Self, &'static str> {
        let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (host, rest) = match bracketed {
            Some((host, rest)) => (host, rest),
            None => text.split_at(text.rfind(':').unwrap_or(text.len())),
        };
        if bracketed.is_none() && host.contains(['[', ':']) {
            return Err("an IPv6 address is written in [ ]");
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        if host.is_empty() || host.starts_with('-') || !host.chars().all(fits) {
            return Err("a host's name or address expected");
        }
        let port = match rest {
            "" => Some(port),
            _ => rest.strip_prefix(':').and_then(number),
        };
        Ok(Self {
            host: host.to_owned(),
            port: port.ok_or("a port between 1 and 65535 expected after the host")?,
        })
    }

    /// Connects to the first of its addresses that answers; `patience` tells how long to wait for the next one.
    pub(super) fn connect(
        &self,
        patience: impl Fn() -> io::Result<Duration>,
    ) -> io::Result<TcpStream> {
        let mut failed = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, patience()?) {
                Ok(stream) => {
                    // Questions are small pieces, each waited for.
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

fn number(text: &str) -> Option<u16> {
    let is_plain = text.chars().all(|c| c.is_ascii_digit());
    text.parse().ok().filter(|port| is_plain && *port != 0)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        let table = [
            ("big", Ok("big:7")),
            ("10.0.0.2:4000", Ok("10.0.0.2:4000")),
            ("[fe80::1]:99", Ok("[fe80::1]:99")),
            ("[::1]", Ok("[::1]:7")),
            ("", Err("a host's name")),
            (":80", Err("a host's name")),
            ("[]:80", Err("a host's name")),
            ("-x", Err("a host's name")),
            ("a b", Err("a host's name")),
            ("user@big", Err("a host's name")),
            ("$HOME", Err("a host's name")),
            ("fe80::1", Err("[ ]")),
            ("big:80:80", Err("[ ]")),
            ("[::1", Err("[ ]")),
            ("big:", Err("a port")),
            ("big:0", Err("a port")),
            ("big:+1", Err("a port")),
            ("big:x", Err("a port")),
            ("big:70000", Err("a port")),
            ("[::1]80", Err("a port")),
        ];
        for (text, expected) in table {
            match (Address::parse(text, 7), expected) {
                (Ok(address), Ok(shown)) => assert_eq!(address.to_string(), shown),
                (Err(said), Err(word)) => assert!(said.contains(word), "{text}: {said}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
}
