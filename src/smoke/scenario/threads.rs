//! `threads`: several threads that count, and one that waits on a futex through every dump.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Acts, Entry, Play, Scenario, Variant, same, spawn};
use crate::smoke::stage::{Stage, TICK};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "threads",
    about: "threads with counters of their own, one of them in a futex wait",
    options: &["FUTEX", "PROC_CHILDREN"],
    families: &[],
    variants: &[Variant::PLAIN],
    entry: Entry::Plain,
    acts: Acts::of::<Threads>(),
};

const COUNTERS: usize = 4;
/// A thread that does not move for so long is dead.
const PATIENCE: Duration = Duration::from_secs(5);

struct Threads {
    counters: Vec<Arc<AtomicU64>>,
    sleeper: Arc<Sleeper>,
}

/// A thread that sleeps until its turn comes, takes it, and sleeps again.
#[derive(Default)]
struct Sleeper {
    bed: Mutex<Bed>,
    changed: Condvar,
}

#[derive(Default)]
struct Bed {
    /// Set by the main thread: turns given.
    given: u64,
    /// Set by the sleeper: turns taken.
    taken: u64,
    /// True from before the first wait until the turn is taken, read under the lock only: whoever
    /// sees it true knows that the sleeper has let go of the lock and is in the wait.
    asleep: bool,
}

#[derive(Serialize, Deserialize)]
struct State {
    tids: Vec<i32>,
    counters: Vec<u64>,
    /// Whether every counter moved on while the question was answered.
    moving: bool,
    asleep: bool,
    turns: u64,
}

impl Play for Threads {
    type State = State;

    fn set(_: &Stage) -> io::Result<Self> {
        let counters: Vec<Arc<AtomicU64>> = (0..COUNTERS).map(|_| Arc::default()).collect();
        for counter in &counters {
            let counter = Arc::clone(counter);
            spawn("counter", move || {
                loop {
                    counter.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(TICK);
                }
            })?;
        }
        let sleeper = Arc::<Sleeper>::default();
        let sleeping = Arc::clone(&sleeper);
        spawn("sleeper", move || sleeping.sleep())?;
        Ok(Self { counters, sleeper })
    }

    fn prepare(&mut self) -> io::Result<State> {
        self.sleeper.wait_until(|bed| bed.asleep);
        self.state()
    }

    fn check(&mut self) -> io::Result<State> {
        self.sleeper.give_turn();
        self.sleeper
            .wait_until(|bed| bed.taken == bed.given && bed.asleep);
        self.state()
    }

    fn tamper(&mut self) -> io::Result<()> {
        self.sleeper.give_turn();
        self.sleeper
            .wait_until(|bed| bed.taken == bed.given && bed.asleep);
        Ok(())
    }

    fn judge(before: &State, after: &State) -> Vec<String> {
        let back = |(thread, (before, after)): (usize, (&u64, &u64))| {
            (after < before).then(|| {
                format!("the counter of thread {thread} went back from {before} to {after}")
            })
        };
        let mut faults: Vec<String> = before
            .counters
            .iter()
            .zip(&after.counters)
            .enumerate()
            .filter_map(back)
            .collect();
        faults.extend(same("the list of threads", &before.tids, &after.tids));
        faults.extend(same(
            "the number of woken waits",
            &(before.turns + 1),
            &after.turns,
        ));
        if !before.asleep {
            faults.push("no thread was in a futex wait".to_owned());
        }
        if !after.moving {
            faults.push("a thread does not run any more".to_owned());
        }
        faults
    }
}

impl Threads {
    fn state(&self) -> io::Result<State> {
        let counters = self.read();
        let moving = self.all_pass(&counters);
        let (asleep, turns) = {
            let bed = self.sleeper.lock();
            (bed.asleep, bed.taken)
        };
        Ok(State {
            tids: threads()?,
            counters: self.read(),
            moving,
            asleep,
            turns,
        })
    }

    fn read(&self) -> Vec<u64> {
        self.counters
            .iter()
            .map(|counter| counter.load(Ordering::Relaxed))
            .collect()
    }

    fn all_pass(&self, start: &[u64]) -> bool {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if self
                .read()
                .iter()
                .zip(start)
                .all(|(now, start)| now > start)
            {
                return true;
            }
            std::thread::sleep(TICK);
        }
        false
    }
}

impl Sleeper {
    fn sleep(&self) {
        let mut bed = self.lock();
        loop {
            bed.asleep = true;
            self.changed.notify_all();
            while bed.taken == bed.given {
                bed = self
                    .changed
                    .wait(bed)
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
            }
            bed.asleep = false;
            bed.taken += 1;
        }
    }

    fn give_turn(&self) {
        self.lock().given += 1;
        self.changed.notify_all();
    }

    /// Waits for a state of the bed, though not for ever: a lost wake-up must be told, not waited for.
    fn wait_until(&self, wanted: impl Fn(&Bed) -> bool) {
        let _either_way = self
            .changed
            .wait_timeout_while(self.lock(), PATIENCE, |bed| !wanted(bed));
    }

    fn lock(&self) -> MutexGuard<'_, Bed> {
        self.bed
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The numbers of all threads of this process.
fn threads() -> io::Result<Vec<i32>> {
    let names = std::fs::read_dir("/proc/self/task")?;
    let mut tids: Vec<i32> = names
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    tids.sort_unstable();
    Ok(tids)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(tids: &[i32], counters: &[u64], moving: bool, asleep: bool, turns: u64) -> State {
        State {
            tids: tids.to_vec(),
            counters: counters.to_vec(),
            moving,
            asleep,
            turns,
        }
    }

    #[test]
    fn each_fault_is_told() {
        let before = state(&[7, 8], &[5, 5], true, true, 0);
        for (after, fault) in [
            (state(&[7, 8], &[5, 6], true, true, 1), None),
            (
                state(&[7, 8], &[5, 4], true, true, 1),
                Some("thread 1 went back from 5 to 4"),
            ),
            (
                state(&[7, 9], &[5, 5], true, true, 1),
                Some("list of threads"),
            ),
            (state(&[7], &[5, 5], true, true, 1), Some("list of threads")),
            (
                state(&[7, 8], &[5, 5], false, true, 1),
                Some("does not run"),
            ),
            (
                state(&[7, 8], &[5, 5], true, true, 0),
                Some("woken waits was 1 and is 0"),
            ),
            (state(&[7, 8], &[5, 5], true, true, 2), Some("woken waits")),
        ] {
            let faults = Threads::judge(&before, &after).join("; ");
            assert_eq!(faults.is_empty(), fault.is_none(), "{faults}");
            assert!(faults.contains(fault.unwrap_or_default()), "{faults}");
        }
    }

    #[test]
    fn the_sleeper_takes_each_turn_once() {
        let sleeper = Arc::<Sleeper>::default();
        let sleeping = Arc::clone(&sleeper);
        spawn("sleeper", move || sleeping.sleep()).unwrap();
        for turn in 1..4 {
            sleeper.wait_until(|bed| bed.asleep);
            sleeper.give_turn();
            sleeper.wait_until(|bed| bed.taken == turn && bed.asleep);
            assert_eq!(sleeper.lock().taken, turn);
        }
    }
}
