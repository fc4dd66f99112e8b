//! `container`: a container of runc, checkpointed and restored by the engine itself.

use std::io;

use serde::{Deserialize, Serialize};

use super::{Acts, Entry, Play, Scenario, Variant, Way, same, same_heap};
use crate::smoke::container::{self, RUNC};
use crate::smoke::payload::{Heap, HeapState};
use crate::smoke::stage::Stage;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "container",
    about: "a container of runc, by runc checkpoint and runc restore",
    options: &["CGROUPS", "CGROUP_BPF", "PID_NS", "UTS_NS", "IPC_NS", "NET_NS", "NF_CT_NETLINK"],
    families: &["netlink"],
    variants: &[Variant {
        // CRIU packs what is in the container's /dev with the latter two.
        tools: &[RUNC, "tar", "gzip"],
        way: Way::Engine,
        extra: true,
        ..Variant::PLAIN
    }],
    entry: Entry::Container,
    acts: Acts::of::<Contained>(),
};

const HEAP: usize = 256 << 10;

struct Contained {
    heap: Heap,
}

#[derive(Serialize, Deserialize)]
struct State {
    #[serde(flatten)]
    heap: HeapState,
    host_name: String,
    group: String,
}

impl Play for Contained {
    type State = State;

    fn set(_: &Stage) -> io::Result<Self> {
        Ok(Self {
            heap: Heap::new(vec![0; HEAP]),
        })
    }

    fn prepare(&mut self) -> io::Result<State> {
        self.heap.renew();
        self.check()
    }

    fn check(&mut self) -> io::Result<State> {
        Ok(State {
            heap: self.heap.state(),
            host_name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            group: std::fs::read_to_string("/proc/self/cgroup")?,
        })
    }

    fn tamper(&mut self) -> io::Result<()> {
        self.heap.harm(0);
        Ok(())
    }

    fn clear(stage: &Stage) {
        container::remove(stage.dir());
    }

    fn judge(before: &State, after: &State) -> Vec<String> {
        let own = [
            same("the host name", &before.host_name, &after.host_name),
            same("the control groups", &before.group, &after.group),
        ];
        let faults = same_heap(&before.heap, &after.heap).into_iter().chain(own);
        faults.flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;

    #[test]
    fn each_fault_is_told() {
        let state = |heap, host_name: &str, group: &str| State {
            heap: HeapState {
                cycle: 1,
                heap: Sha256::of(heap),
            },
            host_name: host_name.into(),
            group: group.into(),
        };
        let before = state("heap", "wslk-smoke", "0::/smoke");
        for (after, fault) in [
            (state("heap", "wslk-smoke", "0::/smoke"), None),
            (state("hoop", "wslk-smoke", "0::/smoke"), Some("the digest of the heap")),
            (state("heap", "host", "0::/smoke"), Some("the host name")),
            (state("heap", "wslk-smoke", "0::/"), Some("the control groups")),
        ] {
            let faults = Contained::judge(&before, &after).join("; ");
            assert_eq!(faults.is_empty(), fault.is_none(), "{faults}");
            assert!(faults.contains(fault.unwrap_or_default()), "{faults}");
        }
    }
}
