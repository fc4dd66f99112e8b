//! What a user writes for a machine that compiles for us.

use std::fmt;
use std::str::FromStr;

use crate::build::address::Address;

/// The port of distccd.
const PORT: u16 = 3632;
/// Files at a time where nothing is said.
const SLOTS: usize = 4;

/// A machine on which `ci/compile-host` runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileHost {
    pub(super) address: Address,
    slots: usize,
}

/// The text names no host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{expected}; a compile host is HOST, HOST:PORT or HOST:PORT/FILES-AT-A-TIME")]
pub struct NotAHost {
    expected: &'static str,
}

impl CompileHost {
    /// Files that it compiles at a time.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots
    }
}

impl FromStr for CompileHost {
    type Err = NotAHost;

    fn from_str(text: &str) -> Result<Self, NotAHost> {
        let error = |expected| NotAHost { expected };
        let (address, slots) = match text.split_once('/') {
            Some((address, slots)) => (address, Some(slots)),
            None => (text, None),
        };
        let slots = slots.map_or(Some(SLOTS), |n| {
            let is_number = n.bytes().all(|b| b.is_ascii_digit());
            let n = is_number.then(|| n.parse().ok()).flatten();
            n.filter(|n| (1..=512).contains(n))
        });
        Ok(Self {
            address: Address::parse(address, PORT).map_err(error)?,
            slots: slots.ok_or_else(|| error("between 1 and 512 files at a time expected"))?,
        })
    }
}

impl fmt::Display for CompileHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_its_port_and_how_much_it_takes() {
        let table = [
            ("big", Ok(("big:3632", 4))),
            ("10.0.0.2:4000", Ok(("10.0.0.2:4000", 4))),
            ("big/16", Ok(("big:3632", 16))),
            ("[fe80::1]:99/2", Ok(("[fe80::1]:99", 2))),
            ("[::1]", Ok(("[::1]:3632", 4))),
            ("", Err("a host's name")),
            ("/4", Err("a host's name")),
            ("fe80::1", Err("[ ]")),
            ("big:0", Err("a port")),
            ("big/0", Err("at a time")),
            ("big/lots", Err("at a time")),
            ("big/+4", Err("at a time")),
        ];
        for (text, expected) in table {
            match (text.parse::<CompileHost>(), expected) {
                (Ok(host), Ok((shown, slots))) => {
                    assert_eq!((host.to_string().as_str(), host.slots()), (shown, slots));
                }
                (Err(error), Err(word)) => assert!(error.to_string().contains(word), "{error}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
}
