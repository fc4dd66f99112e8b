//! `lazy-pages`: a process that runs before its memory is there. All of it is touched by the check, page
//! by page, and each first touch is a fault that a daemon must answer.

use std::io;

use super::{Acts, Entry, Play, Scenario, Variant, Way, same_heap};
use crate::smoke::payload::{Heap, HeapState};
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
    heap: Heap,
}

impl Play for Lazy {
    type State = HeapState;

    fn set(_: &Stage) -> io::Result<Self> {
        Ok(Self {
            heap: Heap::new(vec![0; HEAP]),
        })
    }

    fn prepare(&mut self) -> io::Result<HeapState> {
        self.heap.renew();
        self.check()
    }

    fn check(&mut self) -> io::Result<HeapState> {
        Ok(self.heap.state())
    }

    fn tamper(&mut self) -> io::Result<()> {
        self.heap.harm(HEAP - 1);
        Ok(())
    }

    fn judge(before: &HeapState, after: &HeapState) -> Vec<String> {
        same_heap(before, after).into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;

    #[test]
    fn each_fault_is_told() {
        let state = |cycle, heap| HeapState {
            cycle,
            heap: Sha256::of(heap),
        };
        let before = state(1, "heap");
        assert!(Lazy::judge(&before, &state(1, "heap")).is_empty());
        assert!(Lazy::judge(&before, &state(1, "hoop"))[0].contains("heap"));
        assert!(Lazy::judge(&before, &state(2, "heap"))[0].contains("the cycle"));
    }
}
