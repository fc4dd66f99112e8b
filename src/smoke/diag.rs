//! Socket diagnosis (`NETLINK_SOCK_DIAG`), probed per family.
//!
//! In: the running kernel. Out: one [`DiagProbe`] per family. CRIU learns about every socket through
//! this interface, `criu check` only logs when a family is missing, and the dump fails later; so we
//! ask the kernel ourselves, by the same request. Danger: like CRIU's, a probe makes the kernel load
//! the family's module where it can.

use std::io;

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};

const AF_UNIX: u8 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const AF_NETLINK: u8 = 16;
const AF_PACKET: u8 = 17;
const IPPROTO_TCP: u8 = 6;
const IPPROTO_UDP: u8 = 17;
const IPPROTO_RAW: u8 = 255;

/// `SOCK_DIAG_BY_FAMILY` of `linux/sock_diag.h`.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_DUMP` of `linux/netlink.h`.
const REQUEST_DUMP: u16 = 0x301;
/// `NLMSG_ERROR` and `NLMSG_DONE` of `linux/netlink.h`.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// Length of `struct nlmsghdr`.
const HEADER: usize = 16;

/// Whether the kernel answers socket diagnosis for one family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiagProbe {
    /// The family as the project names it: `unix`, `inet-tcp`, `inet-udp`, `inet-raw`, `inet6-tcp` …
    pub family: String,
    /// The kernel option that provides it, without the `CONFIG_` prefix.
    pub option: String,
    /// Whether the kernel answered.
    pub available: bool,
    /// What the kernel said instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A family of sockets and what gives the kernel the power to describe it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// The project's name for it.
    pub name: &'static str,
    /// The kernel option behind it.
    pub option: &'static str,
    family: u8,
    protocol: u8,
}

/// Every family that CRIU can ask for.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "unix",
        option: "UNIX_DIAG",
        family: AF_UNIX,
        protocol: 0,
    },
    Family {
        name: "inet-tcp",
        option: "INET_TCP_DIAG",
        family: AF_INET,
        protocol: IPPROTO_TCP,
    },
    Family {
        name: "inet-udp",
        option: "INET_UDP_DIAG",
        family: AF_INET,
        protocol: IPPROTO_UDP,
    },
    Family {
        name: "inet-raw",
        option: "INET_RAW_DIAG",
        family: AF_INET,
        protocol: IPPROTO_RAW,
    },
    Family {
        name: "inet6-tcp",
        option: "INET_TCP_DIAG",
        family: AF_INET6,
        protocol: IPPROTO_TCP,
    },
    Family {
        name: "inet6-udp",
        option: "INET_UDP_DIAG",
        family: AF_INET6,
        protocol: IPPROTO_UDP,
    },
    Family {
        name: "inet6-raw",
        option: "INET_RAW_DIAG",
        family: AF_INET6,
        protocol: IPPROTO_RAW,
    },
    Family {
        name: "packet",
        option: "PACKET_DIAG",
        family: AF_PACKET,
        protocol: 0,
    },
    Family {
        name: "netlink",
        option: "NETLINK_DIAG",
        family: AF_NETLINK,
        protocol: 0,
    },
];

/// The family with these numbers, as CRIU writes them in its log. Any protocol of an address family
/// that has no entry of its own is a raw one.
#[must_use]
pub fn family(number: u8, protocol: u8) -> Option<&'static Family> {
    let mut same = FAMILIES.iter().filter(|family| family.family == number);
    let exact = same.clone().find(|family| family.protocol == protocol);
    exact.or_else(|| same.find(|family| matches!(family.protocol, 0 | IPPROTO_RAW)))
}

/// Asks the kernel about every family.
#[must_use]
pub fn probe() -> Vec<DiagProbe> {
    FAMILIES
        .iter()
        .map(|family| report(family, ask(family)))
        .collect()
}

fn report(family: &Family, answer: io::Result<()>) -> DiagProbe {
    DiagProbe {
        family: family.name.to_owned(),
        option: family.option.to_owned(),
        available: answer.is_ok(),
        error: answer.err().map(|error| error.to_string()),
    }
}

fn ask(family: &Family) -> io::Result<()> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    let kernel = SocketAddrNetlink::new(0, 0);
    rustix::net::sendto(&socket, &request(family), SendFlags::empty(), &kernel)?;
    let mut answer = vec![0; 32 * 1024];
    let (length, _) = rustix::net::recv(&socket, &mut answer[..], RecvFlags::empty())?;
    understand(&answer[..length])
}

/// A dump request for the family that matches as few sockets as its request form allows.
fn request(family: &Family) -> Vec<u8> {
    // Lengths of unix_diag_req, packet_diag_req / netlink_diag_req and inet_diag_req_v2; all begin
    // with family and protocol, and zeroes in the rest mean "no states, no details".
    let length = match family.family {
        AF_UNIX => 24,
        AF_INET | AF_INET6 => 56,
        _ => 20,
    };
    let total = u32::try_from(HEADER + length).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEADER + length);
    bytes.extend(total.to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(REQUEST_DUMP.to_ne_bytes());
    bytes.extend([0; 8]); // sequence number and port
    bytes.extend([family.family, family.protocol]);
    bytes.resize(HEADER + length, 0);
    bytes
}

/// The kernel reports a missing family in an error message, or as the status that ends the dump.
fn understand(answer: &[u8]) -> io::Result<()> {
    let short = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "the kernel's answer is cut short",
        )
    };
    let kind = answer
        .get(4..6)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u16::from_ne_bytes);
    let status = answer
        .get(HEADER..HEADER + 4)
        .and_then(|bytes| bytes.try_into().ok())
        .map(i32::from_ne_bytes);
    match (kind.ok_or_else(short)?, status) {
        (ERROR | DONE, Some(status)) if status < 0 => Err(io::Error::from_raw_os_error(-status)),
        (ERROR, None) => Err(short()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, status: i32) -> Vec<u8> {
        let mut bytes = 20_u32.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(status.to_ne_bytes());
        bytes
    }

    #[test]
    fn understands_each_form_of_answer() {
        let cases = [
            (message(DONE, 0), None),
            (message(SOCK_DIAG_BY_FAMILY, -5), None),
            (message(ERROR, -2), Some(2)),
            (message(DONE, -22), Some(22)),
        ];
        for (answer, errno) in cases {
            let error = understand(&answer)
                .err()
                .and_then(|error| error.raw_os_error());
            assert_eq!(error, errno, "{answer:?}");
        }
        assert!(understand(&[0; 3]).is_err());
    }

    #[test]
    fn requests_have_the_length_they_claim() {
        for family in FAMILIES {
            let bytes = request(family);
            let claimed = u32::from_ne_bytes(bytes[..4].try_into().unwrap());
            assert_eq!(bytes.len(), claimed as usize, "{}", family.name);
            assert_eq!(bytes[16..18], [family.family, family.protocol]);
        }
    }

    #[test]
    fn finds_the_family_that_criu_names() {
        for (number, protocol, option) in [
            (1, 0, Some("UNIX_DIAG")),
            (2, 6, Some("INET_TCP_DIAG")),
            (10, 17, Some("INET_UDP_DIAG")),
            (2, 1, Some("INET_RAW_DIAG")),
            (16, 15, Some("NETLINK_DIAG")),
            (17, 3, Some("PACKET_DIAG")),
            (40, 0, None),
        ] {
            assert_eq!(
                family(number, protocol).map(|family| family.option),
                option,
                "{number} {protocol}"
            );
        }
    }

    #[test]
    fn the_probe_has_a_word_on_every_family() {
        let probes = probe();
        assert_eq!(probes.len(), FAMILIES.len());
        assert!(
            probes
                .iter()
                .all(|probe| probe.available == probe.error.is_none())
        );
    }
}
