//! From kbuild's lines to progress: how many compiled units of how many, and which one.
//!
//! In: lines as make says them. Out: movements of a [`Task`]. One unit is one object file, which is
//! also what lies on disk when a build goes on from what is done. Must not judge failures.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::report::{Reporter, Task, Unit};

/// The reporter hears of movements no more often than this; make says thousands of lines.
const EVERY: Duration = Duration::from_millis(100);

/// The object file that a line of kbuild announces: `  CC [M]  fs/fuse/dev.o`.
#[must_use]
pub(super) fn unit(line: &str) -> Option<&str> {
    let (verb, rest) = line.strip_prefix("  ")?.split_once(' ')?;
    let is_verb = !verb.is_empty() && verb.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    let name = rest.trim_start().trim_start_matches("[M] ").trim_start();
    (is_verb && name.ends_with(".o") && !name.contains(' ')).then_some(name)
}

/// The object files that are in a build tree already, by the command files that kbuild keeps beside them. A folder that
/// cannot be read counts as empty: this is for a bar, no more.
#[must_use]
pub(super) fn units_on_disk(tree: &Path) -> HashSet<String> {
    let mut units = HashSet::new();
    collect(tree, "", &mut units);
    units
}

fn collect(folder: &Path, below: &str, units: &mut HashSet<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), &format!("{below}{name}/"), units);
        } else if let Some(unit) = object_of(name) {
            units.insert(format!("{below}{unit}"));
        }
    }
}

/// `main.o` for its command file `.main.o.cmd`.
fn object_of(name: &str) -> Option<&str> {
    let unit = name.strip_prefix('.')?.strip_suffix(".cmd")?;
    unit.ends_with(".o").then_some(unit)
}

/// Progress of one compilation.
#[derive(Debug)]
pub(super) struct Progress {
    task: Task,
    /// Counted before they are made again, if they are.
    there: HashSet<String>,
    done: u64,
    unsaid: u64,
    said: Instant,
}

impl Progress {
    /// Starts a bar of about `expected` units; `there` are there already.
    pub(super) fn start(reporter: &Reporter, expected: u64, there: HashSet<String>) -> Self {
        let counted = there.len() as u64;
        let expected = Some(expected.max(counted));
        let task = reporter.task("compiling", Unit::Objects, expected);
        Self {
            task,
            there,
            done: 0,
            unsaid: counted,
            said: Instant::now(),
        }
    }

    /// Takes a line; true if it was a unit.
    pub(super) fn take(&mut self, line: &str) -> bool {
        let Some(name) = unit(line) else { return false };
        self.done += 1;
        self.unsaid += u64::from(!self.there.remove(name));
        if self.said.elapsed() >= EVERY {
            self.task.advance_to(std::mem::take(&mut self.unsaid), name);
            self.said = Instant::now();
        }
        true
    }

    /// Ends the bar and tells how many units were made.
    pub(super) fn finish(self) -> u64 {
        self.task.advance(self.unsaid);
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_and_made_again_counts_once() {
        let tree = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(tree.path().join("fs/fuse")).expect("folders");
        for name in ["fs/fuse/.dev.o.cmd", ".main.o.cmd", "main.o", ".x.cmd"] {
            std::fs::write(tree.path().join(name), "").expect("written");
        }
        let there = units_on_disk(tree.path());
        assert_eq!(there.len(), 2);
        let mut progress = Progress::start(&Reporter::silent(), 1, there);
        assert_eq!(progress.unsaid, 2);
        for line in [
            "  CC [M]  fs/fuse/dev.o",
            "  CC      new.o",
            "  AR      x.a",
        ] {
            progress.take(line);
        }
        assert_eq!((progress.unsaid, progress.done), (3, 2));
        assert_eq!(progress.finish(), 2);
    }

    #[test]
    fn reads_units() {
        let table = [
            ("  CC      init/main.o", Some("init/main.o")),
            ("  CC [M]  fs/fuse/dev.o", Some("fs/fuse/dev.o")),
            (
                "  AS      arch/x86/entry/entry_64.o",
                Some("arch/x86/entry/entry_64.o"),
            ),
            (
                "  HOSTCC  scripts/kconfig/conf.o",
                Some("scripts/kconfig/conf.o"),
            ),
            ("  LD [M]  fs/fuse/fuse.o", Some("fs/fuse/fuse.o")),
            ("  LD [M]  fs/fuse/fuse.ko", None),
            ("  AR      init/built-in.a", None),
            ("  HOSTCC  scripts/basic/fixdep", None),
            ("make[1]: Entering directory '/build'", None),
            ("  in file included from x.o", None),
            ("    16 |   foo.o", None),
            ("", None),
        ];
        for (line, expected) in table {
            assert_eq!(unit(line), expected, "{line}");
        }
    }
}
