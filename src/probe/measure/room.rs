//! How much of the host's memory may be used here.
//!
//! In: `/proc/meminfo`, and the limits of the control groups that we are in. Out: bytes. In a container the machine's
//! own figure says nothing: who takes more than the container's limit is killed, and others with it.

use std::fs;
use std::path::Path;

const GROUPS: &str = "/sys/fs/cgroup";

/// Bytes that can be had without swapping and without reaching a limit.
pub(super) fn available() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    within_groups(&own, &|path| fs::read_to_string(path).ok())
        .into_iter()
        .fold(of_machine(&text), u64::min)
}

fn of_machine(meminfo: &str) -> u64 {
    let value = |line: &str| {
        let rest = line.strip_prefix("MemAvailable:")?;
        rest.split_whitespace().next()?.parse::<u64>().ok()
    };
    meminfo.lines().find_map(value).unwrap_or(0) * 1024
}

/// What is left in each group from ours up to the root, of either version of control groups.
fn within_groups(own: &str, read: &dyn Fn(&Path) -> Option<String>) -> Vec<u64> {
    let mut left = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (root, most, used) = match controllers {
            "" => (GROUPS.to_owned(), "memory.max", "memory.current"),
            "memory" => (
                format!("{GROUPS}/memory"),
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
            ),
            _ => continue,
        };
        let number = |file: &Path| read(file)?.trim().parse::<u64>().ok();
        // In a namespace of its own a group calls itself `/`, whatever it is outside.
        for group in Path::new(path.trim_start_matches('/')).ancestors() {
            let folder = Path::new(&root).join(group);
            let Some(most) = number(&folder.join(most)) else {
                continue;
            };
            let used = number(&folder.join(used)).unwrap_or(0);
            // What was read from files and not looked at since is given up when others need the room.
            let stat = read(&folder.join("memory.stat")).unwrap_or_default();
            let idle = stat.lines().find_map(idle_files).unwrap_or(0);
            left.push(most.saturating_sub(used.saturating_sub(idle)));
        }
    }
    left
}

/// The value of `inactive_file N`, which version 1 calls `total_inactive_file`.
fn idle_files(line: &str) -> Option<u64> {
    let (name, value) = line.split_once(' ')?;
    let known = ["inactive_file", "total_inactive_file"].contains(&name);
    known.then(|| value.trim().parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_memory() {
        assert!(available() > 1 << 20);
        assert_eq!(
            of_machine("MemFree: 1 kB\nMemAvailable:   7 kB\n"),
            7 * 1024
        );
        assert_eq!(of_machine(""), 0);
    }

    #[test]
    fn the_narrowest_group_counts() {
        let files = |path: &Path| {
            let text = match path.to_str()? {
                "/sys/fs/cgroup/a/b/memory.max" => "max\n",
                "/sys/fs/cgroup/a/memory.max" => "1000\n",
                "/sys/fs/cgroup/a/memory.current" => "300\n",
                "/sys/fs/cgroup/a/memory.stat" => "anon 1\ninactive_file 50\n",
                "/sys/fs/cgroup/memory/x/memory.limit_in_bytes" => "500\n",
                "/sys/fs/cgroup/memory.max" => "2000\n",
                _ => return None,
            };
            Some(text.to_owned())
        };
        let table: &[(&str, &[u64])] = &[
            ("0::/a/b\n", &[750, 2000]),
            ("0::/\n", &[2000]),
            ("4:memory:/x\n1:cpu,cpuacct:/y\n", &[500]),
            ("", &[]),
            ("garbage", &[]),
        ];
        for (own, left) in table {
            assert_eq!(within_groups(own, &files), *left, "{own}");
        }
    }
}
