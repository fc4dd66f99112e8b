//! `files`: locks of both kinds, a file without a name, offsets that are shared, and a file to append to.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;

use rustix::fs::{FlockOperation, fcntl_lock, flock};
use serde::{Deserialize, Serialize};

use super::{Acts, Entry, Play, Scenario, Variant, same};
use crate::digest::Sha256;
use crate::smoke::payload::Pattern;
use crate::smoke::stage::{Stage, needs};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "files",
    about: "file locks, an open file that was deleted, shared offsets, a file open for appending",
    options: &["FILE_LOCKING", "FHANDLE"],
    families: &[],
    variants: &[Variant {
        arguments: &["--file-locks"],
        ..Variant::PLAIN
    }],
    entry: Entry::Plain,
    acts: Acts::of::<Files>(),
};

const GHOST: usize = 20_000;
const STEP: i64 = 313;
const LINE: &[u8] = b"one more line\n";

struct Files {
    locked: PathBuf,
    /// Holds an exclusive lock of the open file (flock).
    whole: File,
    /// Holds a shared lock of the process (fcntl).
    record: File,
    /// Deleted.
    ghost: File,
    /// Two descriptors of one open file.
    first: File,
    second: File,
    appended: File,
    appended_path: PathBuf,
    cycle: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    cycle: u64,
    /// As `/proc/locks` lists them: kind, mode, file and range.
    locks: Vec<String>,
    /// Whether somebody else is kept from the lock.
    keeps_out: bool,
    ghost: Sha256,
    ghost_links: u64,
    /// Both descriptors' positions, after one of them was moved.
    offsets: Vec<u64>,
    append_flags: u32,
    appended: u64,
}

impl Play for Files {
    type State = State;

    fn set(stage: &Stage) -> io::Result<Self> {
        let path = |name: &str| stage.dir().join(name);
        let create = |name: &str| {
            let mut options = File::options();
            options.read(true).write(true).create(true).truncate(true);
            options.open(path(name))
        };
        let (whole, record) = (create("locked")?, create("record")?);
        needs("FILE_LOCKING", flock(&whole, FlockOperation::LockExclusive))?;
        needs("FILE_LOCKING", fcntl_lock(&record, FlockOperation::LockShared))?;
        let ghost = create("ghost")?;
        fs::remove_file(path("ghost"))?;
        let mut first = create("offset")?;
        first.write_all(&Pattern::new(3).take(GHOST))?;
        first.rewind()?;
        let appended_path = path("appended");
        let appended = File::options()
            .append(true)
            .create(true)
            .open(&appended_path)?;
        Ok(Self {
            locked: path("locked"),
            whole,
            record,
            ghost,
            second: first.try_clone()?,
            first,
            appended,
            appended_path,
            cycle: 0,
        })
    }

    fn prepare(&mut self) -> io::Result<State> {
        self.cycle += 1;
        let content = Pattern::new(self.cycle).take(GHOST);
        self.ghost.write_all_at(&content, 0)?;
        self.first.seek(SeekFrom::Current(STEP))?;
        self.appended.write_all(LINE)?;
        self.state()
    }

    fn check(&mut self) -> io::Result<State> {
        let state = self.state()?;
        // An append goes to the end wherever the offset is.
        self.appended.write_all(LINE)?;
        let length = fs::metadata(&self.appended_path)?.len();
        self.first.seek(SeekFrom::Current(STEP))?;
        let moved = self.second.stream_position()?;
        self.first.seek(SeekFrom::Current(-STEP))?;
        Ok(State {
            appended: length,
            offsets: [&state.offsets[..], &[moved]].concat(),
            ..state
        })
    }

    fn tamper(&mut self) -> io::Result<()> {
        Ok(flock(&self.whole, FlockOperation::Unlock)?)
    }

    fn judge(before: &State, after: &State) -> Vec<String> {
        let mut expected = before.clone();
        expected.appended += LINE.len() as u64;
        let step = STEP.unsigned_abs();
        expected.offsets.extend(before.offsets.last().map(|at| at + step));
        let faults = [
            same("the cycle", &expected.cycle, &after.cycle),
            same("the list of locks", &expected.locks, &after.locks),
            same("the lock's power", &expected.keeps_out, &after.keeps_out),
            same("the deleted file", &expected.ghost, &after.ghost),
            same("its number of names", &expected.ghost_links, &after.ghost_links),
            same("the list of offsets", &expected.offsets, &after.offsets),
            same("the flags for appending", &expected.append_flags, &after.append_flags),
            same("the appended length", &expected.appended, &after.appended),
            (before.locks.len() != 2).then(|| format!("{} locks were held", before.locks.len())),
            (!before.keeps_out).then(|| "the lock kept nobody out".to_owned()),
        ];
        faults.into_iter().flatten().collect()
    }
}

impl Files {
    fn state(&mut self) -> io::Result<State> {
        let mut content = vec![0; GHOST];
        self.ghost.rewind()?;
        self.ghost.read_exact(&mut content)?;
        let other = File::open(&self.locked)?;
        let try_it = FlockOperation::NonBlockingLockExclusive;
        let keeps_out = flock(&other, try_it) == Err(rustix::io::Errno::WOULDBLOCK);
        Ok(State {
            cycle: self.cycle,
            locks: self.locks()?,
            keeps_out,
            ghost: Sha256::of(content),
            ghost_links: self.ghost.metadata()?.nlink(),
            offsets: vec![self.first.stream_position()?, self.second.stream_position()?],
            append_flags: rustix::fs::fcntl_getfl(&self.appended)?.bits(),
            appended: self.appended.metadata()?.len(),
        })
    }

    /// The locks on our two files, without their numbers in the list and the process that took them.
    fn locks(&self) -> io::Result<Vec<String>> {
        let mut own = Vec::new();
        for file in [&self.whole, &self.record] {
            own.push(format!(":{}", file.metadata()?.ino()));
        }
        let text = fs::read_to_string("/proc/locks")?;
        let mut locks: Vec<String> = text.lines().filter_map(|line| lock(line, &own)).collect();
        locks.sort();
        Ok(locks)
    }
}

/// A line such as `1: FLOCK  ADVISORY  WRITE 702 fe:00:1234 0 EOF`, if it speaks of one of these files.
fn lock(line: &str, files: &[String]) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, kind, _, mode, _, file, from, to] = words[..] else {
        return None;
    };
    files
        .iter()
        .any(|own| file.ends_with(own.as_str()))
        .then(|| format!("{kind} {mode} {file} {from} {to}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(change: impl FnOnce(&mut State)) -> State {
        let mut state = State {
            cycle: 1,
            locks: vec!["FLOCK WRITE a".into(), "POSIX READ b".into()],
            keeps_out: true,
            ghost: Sha256::of("ghost"),
            ghost_links: 0,
            offsets: vec![313, 313],
            append_flags: 0o2001,
            appended: 14,
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
            (|state| state.locks.truncate(1), "the list of locks"),
            (|state| state.keeps_out = false, "the lock's power"),
            (|state| state.ghost = Sha256::of("host"), "the deleted file"),
            (|state| state.ghost_links = 1, "number of names"),
            (|state| state.offsets[2] = 313, "the list of offsets"),
            (|state| state.append_flags = 1, "flags for appending"),
            (|state| state.appended = 14, "the appended length"),
        ];
        for (change, fault) in cases {
            let mut after = state(|state| {
                state.offsets.push(626);
                state.appended = 28;
            });
            change(&mut after);
            let faults = Files::judge(&before, &after).join("; ");
            assert_eq!(faults.is_empty(), fault.is_empty(), "{faults}");
            assert!(faults.contains(fault), "{faults}");
        }
    }

    #[test]
    fn only_our_own_locks_are_listed() {
        let own = [":1234".to_owned()];
        let line = "7: FLOCK  ADVISORY  WRITE 702 fe:00:1234 0 EOF";
        assert_eq!(lock(line, &own).as_deref(), Some("FLOCK WRITE fe:00:1234 0 EOF"));
        assert_eq!(lock(&line.replace("1234", "91"), &own), None);
        assert_eq!(lock("7: -> FLOCK  ADVISORY  WRITE 702 fe:00:1234 0 EOF", &own), None);
    }
}
