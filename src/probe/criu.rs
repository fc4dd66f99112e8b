//! The row about CRIU: the suite's own report, as one row.
//!
//! In: the suite. Out: an [`Account`]. Must not judge what the suite has judged.

use std::time::Duration;

use super::Options;
use super::account::{Account, Finding, Told as _};
use crate::exec::Runner;
use crate::smoke::{self, SmokeReport, SuiteOptions};

/// Runs the suite, if there is anything to run it with.
pub(super) fn look(options: &Options, runner: &dyn Runner, limit: Duration) -> Account {
    let mut suite = SuiteOptions::new(&options.program, options.work.join("criu"));
    suite.criu.clone_from(&options.criu);
    suite.deadline = suite.deadline.min(limit);
    account(&smoke::run(&suite, runner, &mut |_| {}))
}

fn account(report: &SmokeReport) -> Account {
    let mut account = Account::default();
    account.evidence(format!(
        "kernel {}, CRIU {}",
        report.kernel_release,
        report.criu_version.as_deref().unwrap_or("not to be asked")
    ));
    report
        .warnings
        .iter()
        .for_each(|text| account.evidence(text.clone()));
    for scenario in &report.scenarios {
        let reason = scenario
            .reason
            .as_ref()
            .filter(|_| report.blocked.is_none());
        account.evidence(match reason {
            Some(reason) => format!("{}: {}: {reason}", scenario.name, scenario.verdict),
            None => format!(
                "{}: {}, {} cycles",
                scenario.name, scenario.verdict, scenario.cycles
            ),
        });
    }
    let count = |verdict| {
        let of = |scenario: &&smoke::ScenarioReport| scenario.verdict == verdict;
        report.scenarios.iter().filter(of).count()
    };
    let works = count(smoke::Verdict::Works);
    let all = report.scenarios.len();
    account.finding = Some(match (&report.blocked, report.verdict()) {
        (Some(blocked), _) => {
            Finding::not_testable(format!("{}; {}", blocked.reason, blocked.hint))
        }
        (None, smoke::Verdict::Works) => Finding::works(format!(
            "{works} scenarios dumped and restored, their data whole"
        )),
        (None, smoke::Verdict::Fails) => {
            Finding::failed(format!("{works} of {all} scenarios work"))
        }
        (None, smoke::Verdict::Refused) => {
            Finding::refused(format!("{works} of {all} scenarios work"))
        }
        (None, smoke::Verdict::NotTestable) => Finding::not_testable(format!(
            "{works} of {all} scenarios could be tried, and work"
        )),
    });
    account
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Verdict;
    use crate::smoke::{Blocked, ScenarioReport};

    fn scenario(name: &str, verdict: smoke::Verdict) -> ScenarioReport {
        ScenarioReport {
            name: name.to_owned(),
            verdict,
            cycles: 2,
            reason: (verdict != smoke::Verdict::Works).then(|| "a reason".to_owned()),
            hint: None,
            options: Vec::new(),
            missing: Vec::new(),
            errors: Vec::new(),
            seconds: 0.1,
            extra: false,
        }
    }

    #[test]
    fn the_suites_verdict_is_the_rows() {
        use smoke::Verdict as V;
        let table: &[(&[V], Verdict)] = &[
            (&[V::Works, V::Works], Verdict::Works),
            (&[V::Works, V::Fails], Verdict::Failed),
            (&[V::Works, V::Refused], Verdict::Refused),
            (&[V::Works, V::NotTestable], Verdict::NotTestable),
            (&[], Verdict::NotTestable),
        ];
        for (scenarios, verdict) in table {
            let report = SmokeReport {
                scenarios: scenarios
                    .iter()
                    .map(|verdict| scenario("x", *verdict))
                    .collect(),
                ..SmokeReport::default()
            };
            let account = account(&report);
            assert_eq!(account.finding.expect("a finding").verdict, *verdict);
            assert_eq!(account.evidence.len(), 1 + scenarios.len());
        }
    }

    #[test]
    fn what_is_in_the_way_is_told() {
        let report = SmokeReport {
            blocked: Some(Blocked {
                reason: "criu is not installed".to_owned(),
                hint: "install it".to_owned(),
            }),
            ..SmokeReport::default()
        };
        let finding = account(&report).finding.expect("a finding");
        assert_eq!(finding.verdict, Verdict::NotTestable);
        assert_eq!(finding.summary, "criu is not installed; install it");
    }
}
