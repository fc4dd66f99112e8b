//! From kbuild's lines to progress: how many compiled units of how many, and which one.
//!
//! In: lines as make says them. Out: movements of a [`Task`]. One unit is one object file, which is
//! also what lies on disk when a build goes on from what is done. Must not judge failures.

use std::collections::HashSet;
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
        let there = ["fs/fuse/dev.o", "main.o"].map(str::to_owned);
        let mut progress = Progress::start(&Reporter::silent(), 1, HashSet::from(there));
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
