//! `memory`: one process with a heap that changes every cycle and a file read at an offset.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};

use serde::{Deserialize, Serialize};

use super::{Acts, Entry, Play, Scenario, Variant, same, same_heap};
use crate::digest::Sha256;
use crate::smoke::payload::{Heap, HeapState, Pattern};
use crate::smoke::stage::Stage;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "memory",
    about: "private memory, a counter and the offset of an open file",
    options: &["PROC_CHILDREN", "KCMP"],
    families: &[],
    variants: &[Variant::PLAIN],
    entry: Entry::Plain,
    acts: Acts::of::<Memory>(),
};

const HEAP: usize = 1 << 20;
const FILE: usize = 64 << 10;
/// No multiple of anything, so that a rounded offset shows.
const STRIDE: i64 = 1237;
const SAMPLE: usize = 512;

struct Memory {
    heap: Heap,
    file: File,
}

#[derive(Serialize, Deserialize)]
struct State {
    #[serde(flatten)]
    heap: HeapState,
    offset: u64,
    flags: u32,
    /// What can be read from the offset on.
    next: Sha256,
}

impl Play for Memory {
    type State = State;

    fn set(stage: &Stage) -> io::Result<Self> {
        let path = stage.dir().join("data");
        fs::write(&path, Pattern::new(1).take(FILE))?;
        let file = File::options().read(true).append(true).open(path)?;
        Ok(Self {
            heap: Heap::new(Pattern::new(2).take(HEAP)),
            file,
        })
    }

    fn prepare(&mut self) -> io::Result<State> {
        self.heap.renew_some(7);
        self.file.seek(SeekFrom::Current(STRIDE))?;
        self.check()
    }

    fn check(&mut self) -> io::Result<State> {
        let offset = self.file.stream_position()?;
        let mut sample = [0; SAMPLE];
        self.file.read_exact(&mut sample)?;
        self.file.seek(SeekFrom::Start(offset))?;
        Ok(State {
            heap: self.heap.state(),
            offset,
            flags: rustix::fs::fcntl_getfl(&self.file)?.bits(),
            next: Sha256::of(sample),
        })
    }

    fn tamper(&mut self) -> io::Result<()> {
        self.heap.harm(0);
        Ok(())
    }

    fn judge(before: &State, after: &State) -> Vec<String> {
        let own = [
            same("the file offset", &before.offset, &after.offset),
            same("the file flags", &before.flags, &after.flags),
            same(
                "the digest of the file's next bytes",
                &before.next,
                &after.next,
            ),
        ];
        let faults = same_heap(&before.heap, &after.heap).into_iter().chain(own);
        faults.flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(cycle: u64, heap: &str, offset: u64, flags: u32, next: &str) -> State {
        State {
            heap: HeapState {
                cycle,
                heap: Sha256::of(heap),
            },
            offset,
            flags,
            next: Sha256::of(next),
        }
    }

    #[test]
    fn each_fault_is_told() {
        let before = state(1, "heap", 1237, 2, "next");
        for (after, fault) in [
            (state(1, "heap", 1237, 2, "next"), None),
            (state(0, "heap", 1237, 2, "next"), Some("the cycle")),
            (state(1, "hoop", 1237, 2, "next"), Some("heap")),
            (
                state(1, "heap", 0, 2, "next"),
                Some("the file offset was 1237 and is 0"),
            ),
            (state(1, "heap", 1237, 0, "next"), Some("flags")),
            (state(1, "heap", 1237, 2, "text"), Some("next bytes")),
        ] {
            let faults = Memory::judge(&before, &after).join("; ");
            assert_eq!(faults.is_empty(), fault.is_none(), "{faults}");
            assert!(faults.contains(fault.unwrap_or_default()), "{faults}");
        }
    }
}
