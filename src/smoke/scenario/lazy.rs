//! `lazy-pages`: a process that runs before its memory is there. All of it is touched by the check, page
//! by page, and each first touch is a fault that a daemon must answer.

use std::io;

use serde::{Deserialize, Serialize};

use super::{Acts, Entry, Play, Scenario, Variant, Way, same};
use crate::digest::Sha256;
use crate::smoke::payload::Pattern;
use crate::smoke::stage::Stage;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "lazy-pages",
    about: "memory that follows page by page after the restore",
    options: &["USERFAULTFD"],
    families: &[],
    variants: &[Variant {
        way: Way::LazyPages,
        ..Variant::PLAIN
    }],
    entry: Entry::Plain,
    acts: Acts::of::<Lazy>(),
};

const HEAP: usize = 1 << 20;

struct Lazy {
    heap: Vec<u8>,
    cycle: u64,
}

#[derive(Serialize, Deserialize)]
struct State {
    cycle: u64,
    heap: Sha256,
}

impl Play for Lazy {
    type State = State;

    fn set(_: &Stage) -> io::Result<Self> {
        Ok(Self {
            heap: vec![0; HEAP],
            cycle: 0,
        })
    }

    fn prepare(&mut self) -> io::Result<State> {
        self.cycle += 1;
        Pattern::new(self.cycle).fill(&mut self.heap);
        self.check()
    }

    fn check(&mut self) -> io::Result<State> {
        Ok(State {
            cycle: self.cycle,
            heap: Sha256::of(&self.heap),
        })
    }

    fn tamper(&mut self) -> io::Result<()> {
        self.heap[HEAP - 1] ^= 1;
        Ok(())
    }

    fn judge(before: &State, after: &State) -> Vec<String> {
        let faults = [
            same("the cycle", &before.cycle, &after.cycle),
            same("the digest of the heap", &before.heap, &after.heap),
        ];
        faults.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_told() {
        let state = |cycle, heap| State {
            cycle,
            heap: Sha256::of(heap),
        };
        let before = state(1, "heap");
        assert!(Lazy::judge(&before, &state(1, "heap")).is_empty());
        assert!(Lazy::judge(&before, &state(1, "hoop"))[0].contains("heap"));
        assert!(Lazy::judge(&before, &state(2, "heap"))[0].contains("the cycle"));
    }
}
