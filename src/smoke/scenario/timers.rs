//! `timers`: every kind of timer, one that goes on and one that runs down, and a sleep in progress.
//!
//! What is left on a timer that runs down must not grow, and must not shrink by more than the time that
//! passed; a periodic one must tick on though nobody arms it again. Left out because CRIU 4.2 does not keep
//! it on any kernel: a periodic descriptor goes on only where no tick waits to be read.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigEvent, SigSet, SigevNotify, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::{TimeSpec, TimeValLike as _};
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::unistd::alarm;
use rustix::fd::OwnedFd;
use rustix::thread::NanosleepRelativeResult;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_gettime, timerfd_settime,
};
use serde::{Deserialize, Serialize};

use super::{Acts, Entry, Play, Scenario, Variant, same};
use crate::smoke::stage::{Stage, TICK, needs};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "timers",
    about: "an interval timer, POSIX timers, timer descriptors and a sleep in progress",
    options: &["POSIX_TIMERS", "TIMERFD", "SIGNALFD"],
    families: &[],
    variants: &[Variant::PLAIN],
    entry: Entry::Plain,
    acts: Acts::of::<Timers>(),
};

/// What a timer that runs down has to run at first, and the sleeper to sleep.
const LONG: Duration = Duration::from_secs(3000);
const PERIOD: Duration = Duration::from_millis(20);
/// A timer that does not tick for so long is dead.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between reading a timer and reading the clock, on a busy machine.
const SLACK: Duration = Duration::from_millis(500);
/// The interval timer is read in whole seconds.
const SECOND: Duration = Duration::from_secs(1);

struct Timers {
    ticking: Timer,
    running: Timer,
    running_fd: OwnedFd,
    /// Has run down; its one tick is read by a check.
    expired_fd: OwnedFd,
    signals: SignalFd,
    ticks: u64,
    sleeper: Arc<Mutex<Sleeper>>,
    cycle: u64,
}

/// A thread in one long sleep. When a restore wakes it, it tells how much was left, and sleeps on.
#[derive(Debug, Clone, Copy, Default)]
struct Sleeper {
    tid: i32,
    left: Duration,
}

#[derive(Serialize, Deserialize)]
struct State {
    cycle: u64,
    monotonic: Duration,
    boottime: Duration,
    /// What is left on each timer that runs down.
    left: Vec<(String, Duration)>,
    /// How often the periodic timer has ticked.
    ticks: u64,
    /// What comes after the running descriptor's first tick.
    period: Duration,
    /// Ticks that waited to be read from an expired descriptor; only after a check.
    expired: Option<u64>,
    /// What the sleeper still had to sleep when it was last woken, and whether it sleeps now.
    sleep_left: Duration,
    asleep: bool,
}

impl Play for Timers {
    type State = State;

    fn set(_: &Stage) -> io::Result<Self> {
        // Before there is another thread, so that none of them takes the signals.
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGALRM);
        mask.add(Signal::SIGUSR1);
        mask.thread_block()?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let signals = needs("SIGNALFD", SignalFd::with_flags(&mask, flags))?;
        let every = Expiration::Interval(TimeSpec::from_duration(PERIOD));
        let after = Expiration::OneShot(TimeSpec::from_duration(LONG));
        let sleeper = Arc::<Mutex<Sleeper>>::default();
        let sleeping = Arc::clone(&sleeper);
        super::spawn("sleeper", move || sleep(&sleeping))?;
        alarm::set(u32::try_from(LONG.as_secs()).unwrap_or(u32::MAX));
        Ok(Self {
            ticking: timer(Signal::SIGUSR1, every)?,
            running: timer(Signal::SIGALRM, after)?,
            running_fd: timer_fd(LONG, LONG * 2)?,
            expired_fd: timer_fd(LONG, Duration::ZERO)?,
            signals,
            ticks: 0,
            sleeper,
            cycle: 0,
        })
    }

    fn prepare(&mut self) -> io::Result<State> {
        self.cycle += 1;
        arm(&self.expired_fd, Duration::from_nanos(1), Duration::ZERO)?;
        let began = Instant::now();
        while self.sleeper().tid == 0 && began.elapsed() < PATIENCE {
            std::thread::sleep(TICK);
        }
        self.state()
    }

    fn check(&mut self) -> io::Result<State> {
        let start = self.ticks;
        let began = Instant::now();
        // Ticks from before the dump may have waited in the queue; two more cannot.
        while self.ticks <= start + 2 && began.elapsed() < PATIENCE {
            std::thread::sleep(PERIOD);
            self.count()?;
        }
        let mut expired = [0; 8];
        let expired = match rustix::io::read(&self.expired_fd, &mut expired) {
            Err(rustix::io::Errno::AGAIN) => 0,
            answer => answer.map(|_| u64::from_ne_bytes(expired))?,
        };
        Ok(State {
            expired: Some(expired),
            ..self.state()?
        })
    }

    fn tamper(&mut self) -> io::Result<()> {
        let never = Expiration::OneShot(TimeSpec::zero());
        Ok(self.running.set(never, TimerSetTimeFlags::empty())?)
    }

    fn judge(before: &State, after: &State) -> Vec<String> {
        let passed = after.monotonic.saturating_sub(before.monotonic);
        let mut faults: Vec<String> = before
            .left
            .iter()
            .zip(&after.left)
            .filter_map(|(before, after)| ran(before, after, passed))
            .collect();
        if after.ticks <= before.ticks {
            faults.push("the periodic POSIX timer does not tick any more".to_owned());
        }
        for (clock, before, after) in [
            ("monotonic", before.monotonic, after.monotonic),
            ("boot time", before.boottime, after.boottime),
        ] {
            if after < before {
                faults.push(format!("the {clock} clock went back from {before:?} to {after:?}"));
            }
        }
        let sleep = |state: &State| ("the sleep".to_owned(), state.sleep_left);
        faults.extend(ran(&sleep(before), &sleep(after), passed));
        if !after.asleep {
            faults.push("the sleeper does not sleep any more".to_owned());
        }
        faults.extend(same("the cycle", &before.cycle, &after.cycle));
        faults.extend(same("the period", &before.period, &after.period));
        faults.extend(same("the number of unread ticks", &Some(1), &after.expired));
        faults
    }
}

/// What is wrong with a timer that had `before` left, `passed` ago.
fn ran(
    (name, before): &(String, Duration),
    (_, after): &(String, Duration),
    passed: Duration,
) -> Option<String> {
    let slack = SLACK + SECOND;
    let wrong = *after > *before + slack || *after + passed + slack < *before || after.is_zero();
    wrong.then(|| format!("{name} had {before:?} left, and {after:?} when {passed:?} had passed"))
}

impl Timers {
    fn sleeper(&self) -> Sleeper {
        *self.sleeper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the ticks that wait to be read.
    fn count(&mut self) -> io::Result<()> {
        while let Some(signal) = self.signals.read_signal()? {
            self.ticks += 1 + u64::from(signal.ssi_overrun);
        }
        Ok(())
    }

    fn state(&mut self) -> io::Result<State> {
        self.count()?;
        let interval = alarm::cancel().unwrap_or(0);
        if interval > 0 {
            alarm::set(interval);
        }
        let posix = match self.running.get()? {
            Some(Expiration::OneShot(left)) => left.into(),
            _ => Duration::ZERO,
        };
        let descriptor = timerfd_gettime(&self.running_fd)?;
        let sleeper = self.sleeper();
        // Only to keep it alive, and with it its ticks.
        let _ticking = self.ticking.get()?;
        Ok(State {
            cycle: self.cycle,
            monotonic: now(ClockId::Monotonic),
            boottime: now(ClockId::Boottime),
            left: vec![
                ("the interval timer".to_owned(), Duration::from_secs(interval.into())),
                ("the POSIX timer".to_owned(), posix),
                ("the timer descriptor".to_owned(), duration(descriptor.it_value)),
            ],
            ticks: self.ticks,
            period: duration(descriptor.it_interval),
            expired: None,
            sleep_left: sleeper.left,
            asleep: super::is_asleep(sleeper.tid),
        })
    }
}

fn sleep(sleeper: &Mutex<Sleeper>) {
    let tell = |left| {
        let tid = rustix::thread::gettid().as_raw_nonzero().get();
        *sleeper.lock().unwrap_or_else(PoisonError::into_inner) = Sleeper { tid, left };
    };
    let mut request = timespec(LONG);
    loop {
        tell(duration(request));
        match rustix::thread::nanosleep(&request) {
            NanosleepRelativeResult::Interrupted(left) => request = left,
            _ => break,
        }
    }
    tell(Duration::ZERO);
}

fn timer(signal: Signal, expiration: Expiration) -> io::Result<Timer> {
    let event = SigEvent::new(SigevNotify::SigevSignal {
        signal,
        si_value: 0,
    });
    let clock = nix::time::ClockId::CLOCK_MONOTONIC;
    let mut timer = needs("POSIX_TIMERS", Timer::new(clock, event))?;
    timer.set(expiration, TimerSetTimeFlags::empty())?;
    Ok(timer)
}

fn timer_fd(first: Duration, then: Duration) -> io::Result<OwnedFd> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let fd = needs("TIMERFD", timerfd_create(TimerfdClockId::Monotonic, flags))?;
    arm(&fd, first, then)?;
    Ok(fd)
}

fn arm(fd: &OwnedFd, first: Duration, then: Duration) -> io::Result<()> {
    let spec = Itimerspec {
        it_value: timespec(first),
        it_interval: timespec(then),
    };
    timerfd_settime(fd, TimerfdTimerFlags::empty(), &spec)?;
    Ok(())
}

fn now(clock: ClockId) -> Duration {
    duration(clock_gettime(clock))
}

fn duration(time: Timespec) -> Duration {
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), nanoseconds)
}

fn timespec(time: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(left: u64, ticks: u64, now: u64, sleep_left: u64, asleep: bool) -> State {
        State {
            cycle: 1,
            monotonic: Duration::from_secs(now),
            boottime: Duration::from_secs(now),
            left: vec![("the timer".into(), Duration::from_secs(left))],
            ticks,
            period: LONG,
            expired: Some(1),
            sleep_left: Duration::from_secs(sleep_left),
            asleep,
        }
    }

    #[test]
    fn each_fault_is_told() {
        let before = state(3000, 7, 100, 3000, true);
        for (after, fault) in [
            (state(2990, 9, 110, 2995, true), None),
            (state(3000, 9, 110, 3000, true), None),
            (state(3002, 9, 110, 2995, true), Some("the timer had 3000s left, and 3002s")),
            (state(2900, 9, 110, 2995, true), Some("the timer had")),
            (state(0, 9, 3200, 2995, true), Some("the timer had")),
            (state(2990, 7, 110, 2995, true), Some("does not tick")),
            (state(2999, 9, 99, 2999, true), Some("clock went back")),
            (state(2990, 9, 110, 10, true), Some("the sleep had")),
            (state(2990, 9, 110, 2995, false), Some("does not sleep")),
        ] {
            let faults = Timers::judge(&before, &after).join("; ");
            assert_eq!(faults.is_empty(), fault.is_none(), "{faults}");
            assert!(faults.contains(fault.unwrap_or_default()), "{faults}");
        }
    }
}
