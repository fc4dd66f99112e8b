//! `cgroup`: two processes in two control groups of the unified hierarchy.
//!
//! CRIU starts the restored processes in its own group; that they are found in theirs is its doing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Acts, Entry, Play, Scenario, Variant, same};
use crate::smoke::stage::{Stage, absent, lacking};
use crate::smoke::talk::{self, Talk};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "cgroup",
    about: "membership in control groups (version 2)",
    options: &["CGROUPS"],
    families: &[],
    variants: &[Variant::PLAIN],
    entry: Entry::Plain,
    acts: Acts::of::<Groups>(),
};

const CHILD: &str = "child";
/// A group is not empty for a moment after its last process has died.
const EMPTYING: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(5);

struct Groups {
    hierarchy: PathBuf,
    inner: PathBuf,
    child: Talk,
    cycle: u64,
}

#[derive(Serialize, Deserialize)]
struct State {
    cycle: u64,
    /// The groups of the parent and of the child, as each of them sees it.
    parent: String,
    child: String,
    /// Whether the group lists the child.
    listed: bool,
}

impl Play for Groups {
    type State = State;

    fn set(stage: &Stage) -> io::Result<Self> {
        let hierarchy = hierarchy()?;
        let outer = hierarchy.join(stage.own_name());
        let inner = outer.join(CHILD);
        fs::create_dir_all(&inner).map_err(not_ours)?;
        let child = Talk::start(&mut stage.child(CHILD)?)?;
        fs::write(outer.join("cgroup.procs"), "0").map_err(not_ours)?;
        fs::write(inner.join("cgroup.procs"), child.pid().to_string()).map_err(not_ours)?;
        Ok(Self {
            hierarchy,
            inner,
            child,
            cycle: 0,
        })
    }

    fn role(_: &Stage) -> io::Result<u8> {
        talk::answer_lines(|_| own_group())?;
        Ok(0)
    }

    fn prepare(&mut self) -> io::Result<State> {
        self.cycle += 1;
        self.check()
    }

    fn check(&mut self) -> io::Result<State> {
        let members = fs::read_to_string(self.inner.join("cgroup.procs"))?;
        let pid = self.child.pid().to_string();
        Ok(State {
            cycle: self.cycle,
            parent: own_group()?,
            child: self.child.ask("where are you")?,
            listed: members.lines().any(|line| line == pid),
        })
    }

    fn tamper(&mut self) -> io::Result<()> {
        fs::write(self.hierarchy.join("cgroup.procs"), "0")
    }

    fn clear(stage: &Stage) {
        let Ok(hierarchy) = hierarchy() else { return };
        let outer = hierarchy.join(stage.own_name());
        let began = Instant::now();
        for group in [outer.join(CHILD), outer] {
            while group.exists() && fs::remove_dir(&group).is_err() && began.elapsed() < EMPTYING {
                std::thread::sleep(POLL);
            }
        }
    }

    fn judge(before: &State, after: &State) -> Vec<String> {
        let faults = [
            same("the cycle", &before.cycle, &after.cycle),
            same("the parent's group", &before.parent, &after.parent),
            same("the child's group", &before.child, &after.child),
            same("the group's list of members", &before.listed, &after.listed),
            (before.parent == before.child || !before.listed)
                .then(|| "the two were not in groups of their own".to_owned()),
        ];
        faults.into_iter().flatten().collect()
    }
}

/// Where the unified hierarchy is mounted.
fn hierarchy() -> io::Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    if let Some(at) = mounted(&mounts) {
        return Ok(at.to_owned());
    }
    if fs::read_to_string("/proc/filesystems")?.contains("cgroup2") {
        Err(absent("no control groups of version 2 are mounted"))
    } else {
        Err(lacking("CGROUPS", io::ErrorKind::NotFound.into()))
    }
}

fn mounted(mounts: &str) -> Option<&Path> {
    let words = |line: &'_ str| line.split(' ').nth(2) == Some("cgroup2");
    let line = mounts.lines().find(|line| words(line))?;
    line.split(' ').nth(1).map(Path::new)
}

/// Groups that we may not change are somebody's decision, not the kernel's lack.
fn not_ours(error: io::Error) -> io::Error {
    absent(format!("control groups cannot be made here: {error}"))
}

/// Of the unified hierarchy.
fn own_group() -> io::Result<String> {
    let text = fs::read_to_string("/proc/self/cgroup")?;
    let unified = text.lines().find_map(|line| line.strip_prefix("0::"));
    Ok(unified.unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(parent: &str, child: &str, listed: bool) -> State {
        State {
            cycle: 1,
            parent: parent.into(),
            child: child.into(),
            listed,
        }
    }

    #[test]
    fn each_fault_is_told() {
        let before = state("/smoke", "/smoke/child", true);
        for (after, fault) in [
            (state("/smoke", "/smoke/child", true), None),
            (state("/", "/smoke/child", true), Some("the parent's group")),
            (state("/smoke", "/", true), Some("the child's group")),
            (state("/smoke", "/smoke/child", false), Some("list of members")),
        ] {
            let faults = Groups::judge(&before, &after).join("; ");
            assert_eq!(faults.is_empty(), fault.is_none(), "{faults}");
            assert!(faults.contains(fault.unwrap_or_default()), "{faults}");
        }
        let outside = state("/", "/", false);
        assert!(Groups::judge(&outside, &outside)[0].contains("groups of their own"));
    }

    #[test]
    fn finds_the_unified_hierarchy() {
        let hybrid = "cgroup /sys/fs/cgroup/pids cgroup rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(mounted(hybrid), Some(Path::new("/sys/fs/cgroup/unified")));
        assert_eq!(mounted("proc /proc proc rw 0 0\n"), None);
    }
}
