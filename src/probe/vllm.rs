//! The row about vLLM: what it decides on this machine, and whether sleep mode's allocator works here.
//!
//! In: a Python. Out: an [`Account`]. The trial is a small program in Python, which uses vLLM's own code; its
//! version decides which of the known issues are named.

use std::time::Duration;

use super::account::{Account, Finding, Told as _};
use super::{Options, ProbeError, Verdict, judge};
use crate::exec::{Cmd, ExecError, Runner, Stdin, Stdout};

const TRIAL: &str = include_str!("vllm.py");

/// Issues of vLLM about WSL2 and sleep mode, as they stood in autumn 2026. Their reports name no versions
/// that would bound them, so all are told.
const ISSUES: &[(&str, &str)] = &[
    (
        "#47292, #50239, #54652 (open); #43381, #47387 (closed)",
        "\"UVA is not available\" on WSL2: VLLM_WSL2_ENABLE_PIN_MEMORY=1 or VLLM_USE_V2_MODEL_RUNNER=0; \
         since #56908 it goes on without pinned memory",
    ),
    (
        "#35612, #21336, #16663, #29341 (open); #32714 (closed); #36651",
        "sleep mode and its allocator; conflicts with expandable_segments",
    ),
    ("#16993", "sleep mode crashes under TRL"),
    (
        "#34303, #52125, #35934 (open); #51360 (merged)",
        "snapshots of an engine with CRIU and cuda-checkpoint, tensor parallelism 1",
    ),
];

/// Runs the trial, if there is a Python.
pub(super) fn look(
    options: &Options,
    runner: &dyn Runner,
    limit: Duration,
) -> Result<Account, ProbeError> {
    let cmd = Cmd::new(&options.python)
        .arg("-")
        .stdin(Stdin::Bytes(TRIAL.into()))
        .stdout(Stdout::Lines)
        .total(limit);
    let add = |cmd: Cmd, (name, value): &(String, String)| cmd.env(name, value);
    let cmd = options.environment.iter().fold(cmd, add);
    let mut account = Account::default();
    let ended = runner.run_with(&cmd, &mut |line| account.hear(line));
    if let Err(ExecError::NotFound { program }) = &ended {
        let why = format!("{program} is not installed, so there is no vLLM");
        account.finding = Some(Finding::not_testable(why));
        return Ok(account);
    }
    judge::conclude(&mut account, ended)?;
    let there = account.facts.iter().any(|(name, _)| name == "vllm");
    let tried = account
        .finding
        .as_ref()
        .is_some_and(|finding| finding.verdict != Verdict::NotTestable);
    if there || tried {
        for (numbers, what) in ISSUES {
            account.evidence(format!("known: {what}: {numbers}"));
        }
    }
    Ok(account)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::{Output, Script};

    fn looked(script: &Script) -> Account {
        look(&Options::for_test(), script, Duration::from_secs(1)).expect("an account")
    }

    #[test]
    fn without_python_or_vllm_nothing_is_said_about_it() {
        let none = Script::default().fails(
            "python3 -",
            ExecError::NotFound {
                program: "python3".to_owned(),
            },
        );
        let account = looked(&none);
        assert_eq!(account.finding.expect("one").verdict, Verdict::NotTestable);
        let without = Script::default().says(
            "python3 -",
            "{\"word\": \"finding\", \"verdict\": \"not-testable\", \"summary\": \"no vLLM\"}\n",
        );
        let account = looked(&without);
        assert_eq!(account.finding.expect("one").summary, "no vLLM");
        assert!(account.evidence.is_empty());
    }

    #[test]
    fn a_crash_in_the_allocator_is_a_verdict() {
        let script = Script::default().expect(
            "python3 -",
            Output {
                status: None,
                signal: Some(11),
                stdout: b"{\"word\": \"fact\", \"name\": \"vllm\", \"value\": \"0.9\"}\n\
                    {\"word\": \"stage\", \"stage\": \"sleep\"}\nINFO noise\n"
                    .to_vec(),
                ..Output::default()
            },
        );
        let account = looked(&script);
        let finding = account.finding.expect("one");
        assert_eq!(finding.verdict, Verdict::Failed);
        assert_eq!(finding.summary, "crashed in sleep: signal 11");
        assert!(account.evidence.iter().any(|text| text.contains("#47292")));
    }

    /// The trial itself, where there is a Python without vLLM.
    #[test]
    fn the_trial_is_python() {
        let runner = crate::exec::Duct::default();
        let found = look(&Options::for_test(), &runner, Duration::from_secs(60));
        let finding = found.expect("an account").finding.expect("a finding");
        assert!(finding.summary.contains("vLLM"), "{finding:?}");
    }
}
