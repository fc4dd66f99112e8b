//! `user-namespace`: the tree of `namespaces` in a user namespace with id maps, as a rootless container is; on
//! the network of the machine, since to bring back a network of its own takes longer than all the rest.

use rustix::thread::UnshareFlags;

use super::namespaces::{CONTAINER, Namespaces};
use super::{Acts, Entry, Scenario, Variant};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "user-namespace",
    about: "a process tree in a user namespace with id maps, and other namespaces in that one",
    options: &["USER_NS", "PID_NS", "UTS_NS", "IPC_NS"],
    families: &[],
    variants: &[Variant::PLAIN],
    entry: Entry::Namespaces(
        CONTAINER
            .difference(UnshareFlags::NEWNET)
            .union(UnshareFlags::NEWUSER),
    ),
    acts: Acts::of::<Namespaces>(),
};
