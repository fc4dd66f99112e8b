//! The checkpoint cycle on a process of our own, by three hands: the driver's calls, the same with CRIU in
//! between, and NVIDIA's utility.
//!
//! ```text
//! running ─lock─▶ locked ─checkpoint─▶ checkpointed ─┬─▶ (criu dump, criu restore) ─▶ restore ─▶ unlock ─▶ look
//!                                 device memory freed?                                     pattern? kernel?
//! ```
//!
//! The state is asked for after every step, free memory is seen from this process and by NVML, and the holder
//! itself says in the end what it finds. A step that says yes and did nothing is a failure with evidence.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{MIB, available, enter};
use crate::exec::{Cmd, Duct, ExecError, Runner as _};
use crate::probe::account::{Finding, Told};
use crate::probe::driver::abi::State;
use crate::probe::driver::{Context, Cuda, Nvml};
use crate::probe::holder::Holder;
use crate::probe::part::{Orders, Setback};
use crate::process;
use crate::smoke::criu::{Call, Criu, CriuError};
use crate::smoke::precheck;

/// Held without other orders, if there is room.
const HOLD: u64 = 4 << 30;
/// With CRIU the memory goes through images on a disk.
const HOLD_FOR_CRIU: u64 = 256 << 20;
/// Time for a lock, in milliseconds.
const LOCK: u32 = 10_000;
/// The driver may give memory back a little later.
const SETTLING: Duration = Duration::from_secs(3);
/// Of 100 bytes that were held, so many have to be free after a checkpoint.
const FREED: u64 = 90;

/// Whose hand moves the process from state to state.
trait Hand {
    fn state(&self, process: i32) -> Result<State, Setback>;
    fn step(&self, step: Step, process: i32) -> Result<(), Setback>;
}

/// A step of the cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Lock,
    Checkpoint,
    Restore,
    Unlock,
}

impl Step {
    fn word(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Checkpoint => "checkpoint",
            Self::Restore => "restore",
            Self::Unlock => "unlock",
        }
    }

    fn leads_to(self) -> State {
        match self {
            Self::Lock | Self::Restore => State::Locked,
            Self::Checkpoint => State::Checkpointed,
            Self::Unlock => State::Running,
        }
    }
}

/// The driver's own calls.
impl Hand for Cuda {
    fn state(&self, process: i32) -> Result<State, Setback> {
        Ok(self.state_of(process)?)
    }

    fn step(&self, step: Step, process: i32) -> Result<(), Setback> {
        Ok(match step {
            Step::Lock => self.lock(process, LOCK),
            Step::Checkpoint => self.checkpoint(process),
            Step::Restore => self.restore(process),
            Step::Unlock => self.unlock(process),
        }?)
    }
}

pub(super) fn by_calls(orders: &Orders, told: &mut dyn Told) -> Result<Finding, Setback> {
    let bench = Bench::new(orders, HOLD, told)?;
    bench.cycle(&bench.cuda, &mut |_, _| Ok(()), told)
}

pub(super) fn through_criu(orders: &Orders, told: &mut dyn Told) -> Result<Finding, Setback> {
    let runner = Duct::default();
    let criu = Criu::new(&orders.criu, &runner);
    told.stage("criu");
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let (_, blocked) = precheck::check(&criu, &process::kernel_release(), &status);
    if let Some(blocked) = blocked {
        return Err(Setback::Here(blocked.reason));
    }
    // What CRIU restores becomes a child of ours, as it was before.
    let own = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(own)).map_err(std::io::Error::from)?;
    let bench = Bench::new(orders, HOLD_FOR_CRIU, told)?;
    let mut between = |holder: &mut Holder, told: &mut dyn Told| {
        dump_and_restore(&criu, holder, orders.patience(), told)
    };
    bench.cycle(&bench.cuda, &mut between, told)
}

pub(super) fn by_utility(orders: &Orders, told: &mut dyn Told) -> Result<Finding, Setback> {
    let utility = Utility {
        runner: Duct::default(),
        orders,
    };
    told.stage("cuda-checkpoint");
    utility.run(&["--help"])?;
    let bench = Bench::new(orders, HOLD_FOR_CRIU, told)?;
    bench.cycle(&utility, &mut |_, _| Ok(()), told)
}

/// What happens while the process is checkpointed.
type Between<'a> = dyn FnMut(&mut Holder, &mut dyn Told) -> Result<(), Setback> + 'a;

/// A driver, and a holder's worth of its memory.
struct Bench<'a> {
    orders: &'a Orders,
    cuda: Cuda,
    context: Context,
    nvml: Option<(Nvml, String)>,
    hold: u64,
}

impl<'a> Bench<'a> {
    fn new(orders: &'a Orders, most: u64, told: &mut dyn Told) -> Result<Self, Setback> {
        let (cuda, context) = enter(orders, told)?;
        // The device's memory has to find room on the host; the images of CRIU as well.
        let room = (context.free_memory()? / 2).min(available() / 3);
        let hold = orders.hold.unwrap_or(most).min(room);
        let nvml = Nvml::load(orders.library())
            .ok()
            .zip(context.device().uuid().ok());
        Ok(Self {
            orders,
            cuda,
            context,
            nvml,
            hold,
        })
    }

    fn cycle(
        &self,
        hand: &dyn Hand,
        between: &mut Between<'_>,
        told: &mut dyn Told,
    ) -> Result<Finding, Setback> {
        told.stage("start the process with device memory");
        let mut holder = Holder::start(self.orders, self.hold)?;
        told.figure("device memory held", holder.bytes as f64, "bytes");
        told.stage("get-state");
        expect(hand, holder.process(), State::Running, "at the start")?;
        match self.cuda.restore_thread_of(holder.process()) {
            Ok(thread) => told.evidence(format!("thread {thread} would do its restore")),
            Err(refusal) => told.evidence(refusal.to_string()),
        }
        let ending = self.there_and_back(hand, &mut holder, between, told);
        if let Err(setback) = ending {
            self.aftermath(hand, &mut holder, told);
            return Err(setback);
        }
        told.stage("look");
        let answer = holder.look()?;
        match (answer.wrong, answer.miscomputed) {
            (0, 0) => Ok(Finding::works(format!(
                "{} MiB of device memory went and came back whole, and the kernel runs",
                holder.bytes / MIB as u64
            ))),
            (0, wrong) => Err(Setback::Broken(format!(
                "the memory is whole, but a kernel launched after the restore got {wrong} words wrong"
            ))),
            (wrong, _) => Err(Setback::Broken(format!(
                "the restore was said to be done, and {wrong} of {} words are wrong",
                holder.bytes / 4
            ))),
        }
    }

    fn there_and_back(
        &self,
        hand: &dyn Hand,
        holder: &mut Holder,
        between: &mut Between<'_>,
        told: &mut dyn Told,
    ) -> Result<(), Setback> {
        let (held, process) = (holder.bytes, holder.process());
        timed(hand, Step::Lock, process, None, told)?;
        let before = self.context.free_memory()?;
        let used = self.used();
        timed(hand, Step::Checkpoint, process, Some(held), told)?;
        told.stage("device memory freed");
        let freed = self.freed(before, held)?;
        told.figure("device memory freed", freed as f64, "bytes");
        if let (Some(then), Some(now)) = (used, self.used()) {
            let mib = |bytes: u64| bytes / MIB as u64;
            told.evidence(format!(
                "NVML: {} MiB in use before, {} after",
                mib(then),
                mib(now)
            ));
        }
        if freed < held / 100 * FREED {
            return Err(Setback::Broken(format!(
                "the checkpoint was said to be done, and of {held} bytes of device memory {freed} were freed"
            )));
        }
        between(holder, told)?;
        timed(hand, Step::Restore, process, Some(held), told)?;
        timed(hand, Step::Unlock, process, None, told)
    }

    /// Bytes that are free now and were not before; waits a little for all of them.
    fn freed(&self, before: u64, held: u64) -> Result<u64, Setback> {
        let began = Instant::now();
        loop {
            let freed = self.context.free_memory()?.saturating_sub(before);
            if freed >= held / 100 * FREED || began.elapsed() > SETTLING {
                return Ok(freed);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn used(&self) -> Option<u64> {
        let (nvml, uuid) = self.nvml.as_ref()?;
        nvml.used(uuid).ok()
    }

    /// What became of the process after a step that did not end well: is it lost?
    fn aftermath(&self, hand: &dyn Hand, holder: &mut Holder, told: &mut dyn Told) {
        let process = holder.process();
        let mut state = hand.state(process);
        if let Ok(State::Checkpointed) = state {
            let _still_there = hand.step(Step::Restore, process);
            state = hand.state(process);
        }
        if let Ok(State::Locked) = state {
            let _still_locked = hand.step(Step::Unlock, process);
            state = hand.state(process);
        }
        match state {
            Ok(State::Running) => match holder.look() {
                Ok(answer) if answer.wrong == 0 && answer.miscomputed == 0 => {
                    told.evidence("the process runs on, its memory is whole".to_owned());
                }
                Ok(_) => told.evidence("the process runs on, its memory is spoiled".to_owned()),
                Err(setback) => told.evidence(Finding::from(setback).summary),
            },
            Ok(state) => told.evidence(format!("the process stays {state}")),
            Err(_) => told.evidence("the state of the process is not known any more".to_owned()),
        }
    }
}

fn expect(hand: &dyn Hand, process: i32, expected: State, when: &str) -> Result<(), Setback> {
    match hand.state(process)? {
        state if state == expected => Ok(()),
        state => Err(Setback::Broken(format!(
            "{when} the process should be {expected}, and is {state}"
        ))),
    }
}

fn timed(
    hand: &dyn Hand,
    step: Step,
    process: i32,
    moved: Option<u64>,
    told: &mut dyn Told,
) -> Result<(), Setback> {
    told.stage(step.word());
    let began = Instant::now();
    hand.step(step, process)?;
    let time = began.elapsed();
    told.time(step.word(), time);
    if let Some(bytes) = moved {
        let rate = super::gb_per_s(bytes as usize, time.as_secs_f64());
        told.figure(&format!("{} bandwidth", step.word()), rate, "GB/s");
    }
    expect(
        hand,
        process,
        step.leads_to(),
        &format!("after {}", step.word()),
    )
}

fn dump_and_restore(
    criu: &Criu<'_>,
    holder: &mut Holder,
    limit: Duration,
    told: &mut dyn Told,
) -> Result<(), Setback> {
    let images = holder.dir().join("images");
    fs::create_dir_all(&images)?;
    let call = |name: &str| Call {
        images: &images,
        log: holder.dir().join(name),
        extra: &[],
        through: Vec::new(),
        limit,
    };
    let root = rustix::process::Pid::from_raw(holder.process())
        .ok_or_else(|| Setback::Here("a process without a number".to_owned()))?;
    told.stage("criu dump");
    let began = Instant::now();
    criu.dump(root, &call("dump.log")).map_err(broken)?;
    told.time("criu dump", began.elapsed());
    let restore = call("restore.log");
    told.figure("images", size_of_folder(&images) as f64, "bytes");
    told.stage("criu restore");
    let began = Instant::now();
    holder.bury()?;
    criu.restore(&restore).map_err(broken)?;
    told.time("criu restore", began.elapsed());
    told.evidence("CRIU dumped the process, and brought it back".to_owned());
    Ok(())
}

fn broken(error: CriuError) -> Setback {
    match error {
        CriuError::Failed { step, errors } => {
            Setback::Broken(format!("criu {step} failed: {}", errors.join("; ")))
        }
        error => Setback::Broken(error.to_string()),
    }
}

fn size_of_folder(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Some(entry.metadata().ok()?.len()))
        .sum()
}

/// NVIDIA's utility, by its name on the PATH.
struct Utility<'a> {
    runner: Duct,
    orders: &'a Orders,
}

impl Utility<'_> {
    fn run(&self, args: &[&str]) -> Result<String, Setback> {
        let cmd = Cmd::new("cuda-checkpoint").args(args);
        let cmd = self.orders.surround(cmd.total(self.orders.patience()));
        let output = match self.runner.run_with(&cmd, &mut |_| {}) {
            Err(ExecError::NotFound { .. }) => {
                let why = "cuda-checkpoint is not installed".to_owned();
                return Err(Setback::Here(why));
            }
            Err(error) => return Err(Setback::Broken(error.to_string())),
            Ok(output) => output,
        };
        match output.status {
            Some(0) => Ok(output.text()),
            _ => Err(Setback::Broken(format!(
                "cuda-checkpoint {}: {}: {} {}",
                args.join(" "),
                output.ending(),
                output.text().trim(),
                output.stderr.trim()
            ))),
        }
    }
}

impl Hand for Utility<'_> {
    fn state(&self, process: i32) -> Result<State, Setback> {
        let text = self.run(&["--get-state", "--pid", &process.to_string()])?;
        match text.trim() {
            "running" => Ok(State::Running),
            "locked" => Ok(State::Locked),
            "checkpointed" => Ok(State::Checkpointed),
            "failed" => Ok(State::Failed),
            other => Err(Setback::Broken(format!("an unknown state: {other}"))),
        }
    }

    fn step(&self, step: Step, process: i32) -> Result<(), Setback> {
        let (process, limit) = (process.to_string(), LOCK.to_string());
        let mut args = vec!["--action", step.word(), "--pid", &process];
        if step == Step::Lock {
            args.extend(["--timeout", &limit]);
        }
        self.run(&args).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_lead_where_the_driver_says() {
        let table = [
            (Step::Lock, "lock", State::Locked),
            (Step::Checkpoint, "checkpoint", State::Checkpointed),
            (Step::Restore, "restore", State::Locked),
            (Step::Unlock, "unlock", State::Running),
        ];
        for (step, word, state) in table {
            assert_eq!((step.word(), step.leads_to()), (word, state));
        }
    }
}
