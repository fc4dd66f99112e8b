//! The scenarios: what each puts into its victim, and by what rules its answers are compared.
//!
//! A new scenario is a new file that implements `Play` and a line in the list below. In: a
//! [`Stage`]. Out: states, before and after. Must not call CRIU, look at its logs, or know the suite.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::payload::HeapState;
use super::plan::{Entry, Way};
use super::stage::{MAIN, Stage, TICK};

macro_rules! scenarios {
    ($($name:ident),+ $(,)?) => {
        $(mod $name;)+

        /// Every scenario, in the order in which people read them.
        pub const ALL: &[Scenario] = &[$($name::SCENARIO),+];
    };
}

scenarios![
    memory, threads, tree, unix, tcp, udp, raw, listen, timers, shm, sysv, mqueue, events, files,
    predump, lazy, pty, namespaces, userns, timens, cgroup, seccomp, static_elf, python, container,
];

/// Options without which no process can be dumped or restored.
const CORE: &[&str] = &[
    "CHECKPOINT_RESTORE",
    "NAMESPACES",
    "PID_NS",
    "NET_NS",
    "FHANDLE",
    "EPOLL",
    "RSEQ",
];

/// A thread that does not sleep within this time is busy.
const COMING_TO_REST: Duration = Duration::from_secs(5);

/// One scenario.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name; a variant may add to it.
    pub name: &'static str,
    /// What it proves, in a clause.
    pub about: &'static str,
    /// Kernel options that it needs beyond those that every scenario needs.
    pub options: &'static [&'static str],
    /// Families of socket diagnosis that it needs, by the names in [`super::diag::FAMILIES`].
    pub families: &'static [&'static str],
    /// The ways in which it is run.
    pub variants: &'static [Variant],
    /// Where its first process lives.
    pub entry: Entry,
    acts: Acts,
}

/// A way to run a scenario.
#[derive(Debug, Clone, Copy)]
pub struct Variant {
    /// What is added to the scenario's name; may be empty.
    pub suffix: &'static str,
    /// Arguments of both `criu dump` and `criu restore`.
    pub arguments: &'static [&'static str],
    /// Kernel options that this way needs in addition.
    pub options: &'static [&'static str],
    /// Programs that CRIU or the victim calls, all of these.
    pub tools: &'static [&'static str],
    /// A feature of CRIU's build that it needs.
    pub feature: Option<&'static str>,
    /// By which calls it goes down and comes back.
    pub way: Way,
    /// Whether it is about a program that people may well not have: where that one is missing, this
    /// way is not testable, and the suite as a whole is none the worse.
    pub extra: bool,
}

impl Variant {
    const PLAIN: Self = Self {
        suffix: "",
        arguments: &[],
        options: &[],
        tools: &[],
        feature: None,
        way: Way::Plain,
        extra: false,
    };
}

/// A scenario's victim and the rules for its answers. The scene is set by [`Play::set`]; the
/// questions are put to it in turn, once per cycle.
trait Play: Sized + 'static {
    /// All that is judged.
    type State: Serialize + DeserializeOwned;

    /// Sets the scene in the main process.
    fn set(stage: &Stage) -> io::Result<Self>;

    /// What another process of the scenario does; returns its exit code when it ends.
    fn role(stage: &Stage) -> io::Result<u8> {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("no role {}", stage.role()),
        ))
    }

    /// Changes the state, puts data in flight, and tells the state to be dumped.
    fn prepare(&mut self) -> io::Result<Self::State>;

    /// Reads everything back, goes on living, and tells what is there.
    fn check(&mut self) -> io::Result<Self::State>;

    /// Harms the restored data, so that the next check must find a fault: the proof that it can.
    fn tamper(&mut self) -> io::Result<()>;

    /// Removes what the victim left outside of its folder and its processes. Runs in the judge, after
    /// the victim's end, whatever became of it.
    fn clear(_stage: &Stage) {}

    /// What is wrong with the state after, given the state before; empty where nothing is.
    fn judge(before: &Self::State, after: &Self::State) -> Vec<String>;
}

/// A scene whose type is forgotten.
pub(super) trait Scene {
    fn prepare(&mut self) -> io::Result<Value>;
    fn check(&mut self) -> io::Result<Value>;
    fn tamper(&mut self) -> io::Result<()>;
}

impl<P: Play> Scene for P {
    fn prepare(&mut self) -> io::Result<Value> {
        Ok(serde_json::to_value(Play::prepare(self)?)?)
    }

    fn check(&mut self) -> io::Result<Value> {
        Ok(serde_json::to_value(Play::check(self)?)?)
    }

    fn tamper(&mut self) -> io::Result<()> {
        Play::tamper(self)
    }
}

/// The functions of a [`Play`] as data.
#[derive(Debug, Clone, Copy)]
struct Acts {
    set: fn(&Stage) -> io::Result<Box<dyn Scene>>,
    role: fn(&Stage) -> io::Result<u8>,
    clear: fn(&Stage),
    judge: fn(&Value, &Value) -> serde_json::Result<Vec<String>>,
}

impl Acts {
    const fn of<P: Play>() -> Self {
        Self {
            set: |stage| Ok(Box::new(P::set(stage)?)),
            role: P::role,
            clear: P::clear,
            judge: judge_values::<P>,
        }
    }
}

fn judge_values<P: Play>(before: &Value, after: &Value) -> serde_json::Result<Vec<String>> {
    let state = serde_json::from_value::<P::State>;
    Ok(P::judge(&state(before.clone())?, &state(after.clone())?))
}

impl Scenario {
    pub(super) fn set(&self, stage: &Stage) -> io::Result<Box<dyn Scene>> {
        (self.acts.set)(stage)
    }

    pub(super) fn play_role(&self, stage: &Stage) -> io::Result<u8> {
        (self.acts.role)(stage)
    }

    /// Removes what the victim in `dir`, which is dead, left outside of its folder.
    pub fn clear(&self, dir: &Path) {
        (self.acts.clear)(&Stage::new(self.name, dir.to_owned(), MAIN.to_owned()));
    }

    /// Compares two states. An answer of another form than the scenario's own is a fault too.
    #[must_use]
    pub fn judge(&self, before: &Value, after: &Value) -> Vec<String> {
        (self.acts.judge)(before, after)
            .unwrap_or_else(|error| vec![format!("the answer makes no sense: {error}")])
    }

    /// The name under which a variant is reported.
    #[must_use]
    pub fn title(&self, variant: &Variant) -> String {
        format!("{}{}", self.name, variant.suffix)
    }

    /// Every kernel option that a variant depends on.
    #[must_use]
    pub fn depends_on(&self, variant: &Variant) -> Vec<String> {
        let parts = [CORE, self.options, variant.options];
        parts.concat().into_iter().map(str::to_owned).collect()
    }
}

/// The scenario of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}

/// A fault if two values that must be the same are not.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, before: &T, after: &T) -> Option<String> {
    (before != after).then(|| format!("{what} was {before:?} and is {after:?}"))
}

/// The rules for a heap.
fn same_heap(before: &HeapState, after: &HeapState) -> [Option<String>; 2] {
    [
        same("the cycle", &before.cycle, &after.cycle),
        same("the digest of the heap", &before.heap, &after.heap),
    ]
}

/// A thread with a small stack, so that there is little to dump.
fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .stack_size(64 << 10)
        .spawn(work)
        .map(drop)
}

/// Whether a thread of ours comes to rest soon: until then it may be on its way there.
fn is_asleep(tid: i32) -> bool {
    let began = Instant::now();
    let state = || {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{tid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    };
    while began.elapsed() < COMING_TO_REST {
        match state() {
            Some('S') => return true,
            Some(_) => std::thread::sleep(TICK),
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::smoke::diag;

    #[test]
    fn the_list_makes_sense() {
        let mut titles = BTreeSet::new();
        for scenario in ALL {
            assert!(!scenario.variants.is_empty(), "{}", scenario.name);
            for variant in scenario.variants {
                assert!(
                    titles.insert(scenario.title(variant)),
                    "{} twice",
                    scenario.title(variant)
                );
            }
            for name in scenario.families {
                assert!(
                    diag::FAMILIES.iter().any(|family| family.name == *name),
                    "{name}"
                );
            }
        }
        assert_eq!(titles.len(), 26);
    }

    #[test]
    fn an_answer_of_another_form_is_a_fault() {
        for scenario in ALL {
            let faults = scenario.judge(&Value::Null, &Value::Null);
            assert!(
                faults[0].contains("makes no sense"),
                "{}: {faults:?}",
                scenario.name
            );
        }
    }
}
