//! `time-namespace`: clocks that are ahead of those outside, and go on where they stopped.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::thread::UnshareFlags;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::{Acts, Entry, Play, Scenario, Variant, same};
use crate::smoke::entry::{self, AHEAD, Outside};
use crate::smoke::stage::Stage;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "time-namespace",
    about: "monotonic and boot time that go on where they stopped",
    options: &["TIME_NS"],
    families: &[],
    variants: &[Variant::PLAIN],
    entry: Entry::Namespaces(UnshareFlags::NEWTIME),
    acts: Acts::of::<Clocks>(),
};

/// Between the reading of two clocks, on a busy machine.
const SLACK: Duration = Duration::from_millis(500);

struct Clocks {
    outside: Outside,
    /// The latest time that the victim has seen, by the monotonic clock.
    seen: Duration,
    cycle: u64,
}

#[derive(Serialize, Deserialize)]
struct State {
    cycle: u64,
    own: bool,
    monotonic: Duration,
    boottime: Duration,
    realtime: Duration,
    seen: Duration,
}

impl Play for Clocks {
    type State = State;

    fn set(stage: &Stage) -> io::Result<Self> {
        let text = fs::read(entry::outside_file(stage.dir()))?;
        Ok(Self {
            outside: serde_json::from_slice(&text)?,
            seen: Duration::ZERO,
            cycle: 0,
        })
    }

    fn prepare(&mut self) -> io::Result<State> {
        self.cycle += 1;
        let state = self.check()?;
        self.seen = state.monotonic;
        Ok(state)
    }

    fn check(&mut self) -> io::Result<State> {
        let differs = |(outside, inside): (&(String, String), &(String, String))| {
            outside.0 == "time" && outside.1 != inside.1
        };
        let inside = entry::namespaces();
        Ok(State {
            cycle: self.cycle,
            own: self.outside.namespaces.iter().zip(&inside).any(differs),
            monotonic: now(ClockId::Monotonic),
            boottime: now(ClockId::Boottime),
            realtime: now(ClockId::Realtime),
            seen: self.seen,
        })
    }

    fn tamper(&mut self) -> io::Result<()> {
        self.seen += Duration::from_secs(3600);
        Ok(())
    }

    fn judge(before: &State, after: &State) -> Vec<String> {
        let mut faults: Vec<String> = same("the cycle", &before.cycle, &after.cycle)
            .into_iter()
            .collect();
        let ahead = Duration::from_secs(AHEAD.unsigned_abs());
        let passed = after.realtime.saturating_sub(before.realtime) + SLACK;
        for (clock, before, after, seen) in [
            ("monotonic", before.monotonic, after.monotonic, after.seen),
            ("boot time", before.boottime, after.boottime, Duration::ZERO),
        ] {
            if before < ahead {
                faults.push(format!("the {clock} clock was not ahead"));
            }
            if after < before || after < seen {
                faults.push(format!("the {clock} clock went back from {before:?} to {after:?}"));
            }
            if after > before + passed {
                faults.push(format!("the {clock} clock leapt from {before:?} to {after:?}"));
            }
        }
        if !before.own || !after.own {
            faults.push("the time namespace is not its own".to_owned());
        }
        faults
    }
}

fn now(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(time.tv_sec.unsigned_abs(), nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(clock: u64, realtime: u64, seen: u64, own: bool) -> State {
        let ahead = |seconds| Duration::from_secs(AHEAD.unsigned_abs() + seconds);
        State {
            cycle: 1,
            own,
            monotonic: ahead(clock),
            boottime: ahead(clock),
            realtime: Duration::from_secs(realtime),
            seen: ahead(seen),
        }
    }

    #[test]
    fn each_fault_is_told() {
        let before = state(10, 100, 0, true);
        for (after, fault) in [
            (state(12, 103, 10, true), None),
            (state(9, 103, 0, true), Some("clock went back")),
            (state(12, 103, 13, true), Some("monotonic clock went back")),
            (state(20, 103, 10, true), Some("clock leapt")),
            (state(12, 103, 10, false), Some("not its own")),
        ] {
            let faults = Clocks::judge(&before, &after).join("; ");
            assert_eq!(faults.is_empty(), fault.is_none(), "{faults}");
            assert!(faults.contains(fault.unwrap_or_default()), "{faults}");
        }
    }
}
