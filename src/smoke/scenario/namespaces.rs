//! `namespaces`: a process tree in process, mount, host name, IPC and network namespaces of its own, as a
//! container is.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use rustix::thread::UnshareFlags;
use serde::{Deserialize, Serialize};

use super::{Acts, Entry, Play, Scenario, Variant, same};
use crate::smoke::entry::{self, Outside};
use crate::smoke::stage::Stage;
use crate::smoke::talk::{self, Talk};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "namespaces",
    about: "a process tree in namespaces of its own: process, mount, host name, IPC, network",
    options: &["PID_NS", "UTS_NS", "IPC_NS", "NET_NS", "NF_CT_NETLINK"],
    families: &["netlink"],
    variants: &[Variant {
        tools: &["ip"],
        ..Variant::PLAIN
    }],
    entry: Entry::Namespaces(CONTAINER),
    acts: Acts::of::<Namespaces>(),
};

/// What a container has of its own.
pub(super) const CONTAINER: UnshareFlags = UnshareFlags::NEWPID
    .union(UnshareFlags::NEWNS)
    .union(UnshareFlags::NEWUTS)
    .union(UnshareFlags::NEWIPC)
    .union(UnshareFlags::NEWNET);

/// Settings that belong to a namespace, and to which; each is given a value that is nobody's default, where
/// the namespace is its own and lets it.
const SETTINGS: &[(&str, &str)] = &[
    ("ipc", "/proc/sys/kernel/msgmax"),
    ("net", "/proc/sys/net/ipv4/conf/all/arp_announce"),
];
const VALUE: &str = "2";
const CHILD: &str = "child";

pub(super) struct Namespaces {
    outside: Outside,
    child: Talk,
    cycle: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    cycle: u64,
    /// Which namespaces are others than outside.
    own: BTreeMap<String, bool>,
    host_name: String,
    settings: Vec<String>,
    mounts: Vec<String>,
    /// Interfaces of the network namespace.
    interfaces: Vec<String>,
    /// Id maps and the user that the process is.
    users: Vec<String>,
    /// The child's number and its parent's, as it sees them.
    child: (u32, u32),
}

impl Play for Namespaces {
    type State = State;

    fn set(stage: &Stage) -> io::Result<Self> {
        let text = fs::read(entry::outside_file(stage.dir()))?;
        let outside: Outside = serde_json::from_slice(&text)?;
        let own = own(&outside);
        for (kind, setting) in SETTINGS {
            if own.get(*kind) == Some(&true) {
                let _may_be_read_only = fs::write(setting, VALUE);
            }
        }
        Ok(Self {
            outside,
            child: Talk::start(&mut stage.child(CHILD)?)?,
            cycle: 0,
        })
    }

    fn role(_: &Stage) -> io::Result<u8> {
        let parent = || rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
        talk::answer_lines(|_| Ok((std::process::id(), parent())))?;
        Ok(0)
    }

    fn prepare(&mut self) -> io::Result<State> {
        self.cycle += 1;
        rustix::system::sethostname(format!("smoke-{}", self.cycle).as_bytes())?;
        self.check()
    }

    fn check(&mut self) -> io::Result<State> {
        let read = |(_, path): &(&str, &str)| {
            fs::read_to_string(path).map(|text| text.trim().to_owned())
        };
        Ok(State {
            cycle: self.cycle,
            own: own(&self.outside),
            host_name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            settings: SETTINGS.iter().map(read).collect::<io::Result<_>>()?,
            mounts: mounts(&fs::read_to_string("/proc/self/mountinfo")?),
            interfaces: interfaces(&fs::read_to_string("/proc/self/net/dev")?),
            users: vec![
                fs::read_to_string("/proc/self/uid_map")?,
                fs::read_to_string("/proc/self/gid_map")?,
                rustix::process::getuid().as_raw().to_string(),
            ],
            child: self.child.ask("who are you")?,
        })
    }

    fn tamper(&mut self) -> io::Result<()> {
        Ok(rustix::system::sethostname(b"smoke-tampered")?)
    }

    fn judge(before: &State, after: &State) -> Vec<String> {
        let faults = [
            same("the cycle", &before.cycle, &after.cycle),
            // CRIU may add a time namespace, to keep the clocks going where they stopped.
            left(&before.own, &after.own),
            same("the host name", &before.host_name, &after.host_name),
            same("the list of settings", &before.settings, &after.settings),
            same("the list of mounts", &before.mounts, &after.mounts),
            same("the list of interfaces", &before.interfaces, &after.interfaces),
            same("the users", &before.users, &after.users),
            same("the child", &before.child, &after.child),
            (!before.own.values().any(|own| *own)).then(|| "no namespace was its own".to_owned()),
        ];
        faults.into_iter().flatten().collect()
    }
}

/// Which namespaces are others than outside.
fn own(outside: &Outside) -> BTreeMap<String, bool> {
    let differs = |(outside, inside): (&(String, String), (String, String))| {
        (inside.0, outside.1 != inside.1)
    };
    let pairs = outside.namespaces.iter().zip(entry::namespaces());
    pairs.map(differs).collect()
}

/// Namespaces that were its own and are not any more.
fn left(before: &BTreeMap<String, bool>, after: &BTreeMap<String, bool>) -> Option<String> {
    let own = |(kind, own): (&String, &bool)| *own && after.get(kind) != Some(&true);
    let lost = before.iter().find(|&(kind, flag)| own((kind, flag)))?;
    Some(format!("the {} namespace is not its own any more", lost.0))
}

/// Mount points with the kinds of their file systems; the numbers in the list differ after a restore.
fn mounts(text: &str) -> Vec<String> {
    let point = |line: &str| {
        let (mount, kind) = line.split_once(" - ")?;
        let point = mount.split(' ').nth(4)?;
        Some(format!("{point} {}", kind.split(' ').next()?))
    };
    let mut mounts: Vec<String> = text.lines().filter_map(point).collect();
    mounts.sort();
    mounts
}

fn interfaces(text: &str) -> Vec<String> {
    let name = |line: &str| Some(line.split_once(':')?.0.trim().to_owned());
    let mut names: Vec<String> = text.lines().filter_map(name).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(change: impl FnOnce(&mut State)) -> State {
        let mut state = State {
            cycle: 1,
            own: [("pid".to_owned(), true)].into(),
            host_name: "smoke-1".into(),
            settings: vec![VALUE.into()],
            mounts: vec!["/ ext4".into(), "/proc proc".into()],
            interfaces: vec!["lo".into()],
            users: vec!["0".into()],
            child: (2, 1),
        };
        change(&mut state);
        state
    }

    #[test]
    fn each_fault_is_told() {
        type Change = fn(&mut State);
        let before = state(|_| {});
        let cases: &[(Change, &str)] = &[
            (|_| {}, ""),
            (|state| *state.own.get_mut("pid").unwrap() = false, "not its own any more"),
            (|state| state.host_name = "host".into(), "the host name"),
            (|state| state.settings[0] = "0".into(), "the list of settings"),
            (|state| state.mounts.truncate(1), "the list of mounts"),
            (|state| state.interfaces.clear(), "the list of interfaces"),
            (|state| state.users[0] = "1".into(), "the users"),
            (|state| state.child = (3, 1), "the child"),
        ];
        for (change, fault) in cases {
            let faults = Namespaces::judge(&before, &state(change)).join("; ");
            assert_eq!(faults.is_empty(), fault.is_empty(), "{faults}");
            assert!(faults.contains(fault), "{faults}");
        }
        let outside = state(|state| state.own.clear());
        assert_eq!(Namespaces::judge(&outside, &outside), ["no namespace was its own"]);
    }

    #[test]
    fn lists_are_read() {
        let line = "29 22 0:26 / /proc rw,relatime shared:9 - proc proc rw\n";
        assert_eq!(mounts(line), ["/proc proc"]);
        let text = "Inter-|   Receive\n face |bytes\n    lo: 0 0\n  eth0: 1 2\n";
        assert_eq!(interfaces(text), ["eth0", "lo"]);
    }
}
