//! `pre-dump`: memory that is written while it is dumped round by round.
//!
//! Most of the memory stands still, and a thread keeps writing to the rest. The last of three dumps may then
//! hold the rest only, and what comes back must be the sum of all three.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::{Acts, Entry, Play, Scenario, Variant, Way, same, spawn};
use crate::digest::Sha256;
use crate::smoke::payload::Pattern;
use crate::smoke::stage::{Stage, TICK};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "pre-dump",
    about: "memory dumped in rounds, each with what changed since the one before",
    options: &["MEM_SOFT_DIRTY"],
    families: &[],
    variants: &[Variant {
        way: Way::PreDump(2),
        ..Variant::PLAIN
    }],
    entry: Entry::Plain,
    acts: Acts::of::<Rounds>(),
};

const PAGE: usize = 4096;
const STILL: usize = 256 * PAGE;
const BUSY: usize = 24;

struct Rounds {
    still: Vec<u8>,
    busy: Arc<Mutex<Busy>>,
    cycle: u64,
}

/// Pages of which one is written in every tick.
struct Busy {
    /// Each page's number of writes is at its start.
    pages: Vec<u8>,
    /// All writes.
    writes: u64,
}

#[derive(Serialize, Deserialize)]
struct State {
    cycle: u64,
    still: Sha256,
    writes: u64,
    /// The sum of the writes that the pages themselves know of.
    found: u64,
}

impl Play for Rounds {
    type State = State;

    fn set(_: &Stage) -> io::Result<Self> {
        let busy = Arc::new(Mutex::new(Busy {
            pages: vec![0; BUSY * PAGE],
            writes: 0,
        }));
        let writing = Arc::clone(&busy);
        spawn("writer", move || {
            loop {
                lock(&writing).write();
                std::thread::sleep(TICK);
            }
        })?;
        Ok(Self {
            still: Pattern::new(5).take(STILL),
            busy,
            cycle: 0,
        })
    }

    fn prepare(&mut self) -> io::Result<State> {
        self.cycle += 1;
        // All of it is new, so that the first dump of a cycle has it all to write.
        Pattern::new(self.cycle).fill(&mut self.still);
        self.check()
    }

    fn check(&mut self) -> io::Result<State> {
        let busy = lock(&self.busy);
        Ok(State {
            cycle: self.cycle,
            still: Sha256::of(&self.still),
            writes: busy.writes,
            found: busy.pages.chunks(PAGE).map(count).sum(),
        })
    }

    fn tamper(&mut self) -> io::Result<()> {
        self.still[STILL / 2] ^= 1;
        Ok(())
    }

    fn judge(before: &State, after: &State) -> Vec<String> {
        let faults = [
            same("the cycle", &before.cycle, &after.cycle),
            same("the memory that stood still", &before.still, &after.still),
            same("the sum over the busy pages", &after.writes, &after.found),
            (after.writes < before.writes)
                .then(|| format!("{} writes were lost", before.writes - after.writes)),
        ];
        faults.into_iter().flatten().collect()
    }
}

impl Busy {
    fn write(&mut self) {
        let at = usize::try_from(self.writes).unwrap_or(0) % BUSY * PAGE;
        let count = count(&self.pages[at..]) + 1;
        self.pages[at..at + 8].copy_from_slice(&count.to_le_bytes());
        self.writes += 1;
    }
}

fn count(page: &[u8]) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&page[..8]);
    u64::from_le_bytes(number)
}

fn lock(busy: &Mutex<Busy>) -> MutexGuard<'_, Busy> {
    busy.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(still: &str, writes: u64, found: u64) -> State {
        State {
            cycle: 1,
            still: Sha256::of(still),
            writes,
            found,
        }
    }

    #[test]
    fn each_fault_is_told() {
        let before = state("still", 50, 50);
        for (after, fault) in [
            (state("still", 60, 60), None),
            (state("stool", 60, 60), Some("stood still")),
            (state("still", 60, 59), Some("sum over the busy pages was 60 and is 59")),
            (state("still", 40, 40), Some("10 writes were lost")),
        ] {
            let faults = Rounds::judge(&before, &after).join("; ");
            assert_eq!(faults.is_empty(), fault.is_none(), "{faults}");
            assert!(faults.contains(fault.unwrap_or_default()), "{faults}");
        }
    }

    #[test]
    fn the_pages_know_of_every_write() {
        let mut busy = Busy {
            pages: vec![0; BUSY * PAGE],
            writes: 0,
        };
        (0..100).for_each(|_| busy.write());
        assert_eq!(busy.pages.chunks(PAGE).map(count).sum::<u64>(), 100);
    }
}
