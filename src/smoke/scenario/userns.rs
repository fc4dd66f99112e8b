//! `user-namespace`: the tree of `namespaces` in a user namespace with id maps, as a rootless container is.

use rustix::thread::UnshareFlags;

use super::namespaces::{CONTAINER, Namespaces};
use super::{Acts, Entry, Scenario, Variant};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "user-namespace",
    about: "a process tree in a user namespace with id maps, and all other namespaces in that one",
    options: &["USER_NS", "PID_NS", "UTS_NS", "IPC_NS", "NET_NS", "NF_CT_NETLINK"],
    families: &["netlink"],
    variants: &[Variant {
        tools: &["ip"],
        ..Variant::PLAIN
    }],
    entry: Entry::Namespaces(CONTAINER.union(UnshareFlags::NEWUSER)),
    acts: Acts::of::<Namespaces>(),
};
