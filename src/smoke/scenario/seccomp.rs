//! `seccomp`: a process under a filter of its own, as containers and browsers are.

use std::fs;
use std::io;

use nix::libc;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use serde::{Deserialize, Serialize};

use super::{Acts, Entry, Play, Scenario, Variant, same};
use crate::process;
use crate::smoke::stage::{Stage, lacking};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "seccomp",
    about: "a process under a seccomp filter",
    options: &["SECCOMP", "SECCOMP_FILTER"],
    families: &[],
    variants: &[Variant::PLAIN],
    entry: Entry::Plain,
    acts: Acts::of::<Seccomp>(),
};

/// What the filter answers to a call that nothing else makes: an error that this call never gives.
const REFUSAL: i32 = 77;

struct Seccomp {
    cycle: u64,
}

#[derive(Serialize, Deserialize)]
struct State {
    cycle: u64,
    /// Mode, number of filters and `no_new_privs`, as the kernel lists them.
    status: Vec<String>,
    /// The error that the filtered call ends with.
    refusal: Option<i32>,
}

impl Play for Seccomp {
    type State = State;

    fn set(_: &Stage) -> io::Result<Self> {
        filter(REFUSAL)?;
        Ok(Self { cycle: 0 })
    }

    fn prepare(&mut self) -> io::Result<State> {
        self.cycle += 1;
        self.check()
    }

    fn check(&mut self) -> io::Result<State> {
        let refused = rustix::process::getpriority_process(None).err();
        Ok(State {
            cycle: self.cycle,
            status: status()?,
            refusal: refused.map(rustix::io::Errno::raw_os_error),
        })
    }

    /// Filters cannot be taken off again; another one can be added.
    fn tamper(&mut self) -> io::Result<()> {
        filter(REFUSAL + 1)
    }

    fn judge(before: &State, after: &State) -> Vec<String> {
        let faults = [
            same("the cycle", &before.cycle, &after.cycle),
            same("the kernel's description", &before.status, &after.status),
            same("the answer to a filtered call", &before.refusal, &after.refusal),
            (before.refusal != Some(REFUSAL)).then(|| "the filter did not filter".to_owned()),
        ];
        faults.into_iter().flatten().collect()
    }
}

fn filter(refusal: i32) -> io::Result<()> {
    let wrong = |error: &dyn std::fmt::Display| io::Error::other(error.to_string());
    let action = SeccompAction::Errno(refusal.unsigned_abs());
    let rules = [(libc::SYS_getpriority, Vec::new())].into();
    let arch = process::ARCH.try_into().map_err(|e| wrong(&e))?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, arch);
    let program: BpfProgram = filter
        .and_then(TryInto::try_into)
        .map_err(|e| wrong(&e))?;
    match seccompiler::apply_filter(&program) {
        // The kernel does not know the call, or not its filters.
        Err(seccompiler::Error::Seccomp(error) | seccompiler::Error::Prctl(error))
            if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) =>
        {
            Err(lacking("SECCOMP_FILTER", error))
        }
        answer => answer.map_err(|e| wrong(&e)),
    }
}

fn status() -> io::Result<Vec<String>> {
    let wanted = |line: &&str| line.starts_with("Seccomp") || line.starts_with("NoNewPrivs");
    let text = fs::read_to_string("/proc/self/status")?;
    Ok(text.lines().filter(wanted).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(mode: &str, refusal: Option<i32>) -> State {
        State {
            cycle: 1,
            status: vec![format!("Seccomp:\t{mode}")],
            refusal,
        }
    }

    #[test]
    fn each_fault_is_told() {
        let before = state("2", Some(REFUSAL));
        for (after, fault) in [
            (state("2", Some(REFUSAL)), None),
            (state("0", None), Some("kernel's description")),
            (state("2", None), Some("filtered call was Some(77) and is None")),
            (state("2", Some(1)), Some("filtered call")),
        ] {
            let faults = Seccomp::judge(&before, &after).join("; ");
            assert_eq!(faults.is_empty(), fault.is_none(), "{faults}");
            assert!(faults.contains(fault.unwrap_or_default()), "{faults}");
        }
        assert_eq!(
            Seccomp::judge(&state("0", None), &state("0", None)),
            ["the filter did not filter"]
        );
    }
}
