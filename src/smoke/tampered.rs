//! The proof that the checks can fail: the suite once more with every victim's data tampered with.
//!
//! In: the report of a kernel's suite, and that of the same suite on the same kernel with
//! [`SuiteOptions::tamper`](super::SuiteOptions::tamper). Out: which checks noticed. Must not run anything.

use serde::Serialize;

use super::{SmokeReport, Verdict};

/// Whether a check noticed that its victim was tampered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Notice {
    /// The scenario works, and fails with a tampered victim.
    Noticed,
    /// The scenario works either way: its verdict is worth nothing.
    Missed,
    /// The scenario does not work here even without tampering, or could not be tried again.
    Untried,
}

impl std::fmt::Display for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Noticed => "noticed",
            Self::Missed => "BLIND",
            Self::Untried => "not tried",
        })
    }
}

/// What the checks of a suite are worth, all together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worth {
    /// Some were tried, and all of those noticed.
    Proved,
    /// At least one noticed nothing.
    Blind,
    /// None could be tried.
    Unknown,
}

/// One scenario's check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TamperedRow {
    /// The scenario.
    pub name: String,
    /// Whether its check noticed.
    pub notice: Notice,
    /// What it noticed, or why there was nothing to notice.
    pub reason: Option<String>,
}

/// What the checks of a suite are worth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tampered {
    /// The scenarios in the order of the suite.
    pub rows: Vec<TamperedRow>,
    /// All of it in one sentence.
    pub conclusion: String,
}

impl Tampered {
    /// Judges each check by what it said of a victim that was left alone and of one that was not.
    #[must_use]
    pub fn new(alone: &SmokeReport, tampered: &SmokeReport) -> Self {
        let rows: Vec<TamperedRow> = alone
            .scenarios
            .iter()
            .map(|ours| {
                let again = tampered.scenarios.iter().find(|s| s.name == ours.name);
                let notice = match (ours.verdict, again.map(|again| again.verdict)) {
                    (Verdict::Works, Some(Verdict::Fails)) => Notice::Noticed,
                    (Verdict::Works, Some(Verdict::Works)) => Notice::Missed,
                    _ => Notice::Untried,
                };
                let said = again.and_then(|again| again.reason.clone());
                TamperedRow {
                    name: ours.name.clone(),
                    notice,
                    reason: ours.reason.clone().or(said),
                }
            })
            .collect();
        Self {
            conclusion: conclusion(&rows),
            rows,
        }
    }

    /// What all checks together are worth.
    #[must_use]
    pub fn worth(&self) -> Worth {
        let any = |notice| self.rows.iter().any(|row| row.notice == notice);
        match (any(Notice::Missed), any(Notice::Noticed)) {
            (true, _) => Worth::Blind,
            (false, true) => Worth::Proved,
            (false, false) => Worth::Unknown,
        }
    }
}

fn named(rows: &[TamperedRow], notice: Notice) -> impl Iterator<Item = &str> {
    let those = rows.iter().filter(move |row| row.notice == notice);
    those.map(|row| row.name.as_str())
}

fn conclusion(rows: &[TamperedRow]) -> String {
    let list = |notice| named(rows, notice).collect::<Vec<_>>();
    let (noticed, missed) = (list(Notice::Noticed), list(Notice::Missed));
    let mut text = format!(
        "{} of {} checks noticed a tampered victim",
        noticed.len(),
        noticed.len() + missed.len()
    );
    for (names, what) in [(missed, "blind"), (list(Notice::Untried), "not tried")] {
        if !names.is_empty() {
            text.push_str(&format!("; {what}: {}", names.join(", ")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smoke::ScenarioReport;

    fn report(verdicts: &[Verdict]) -> SmokeReport {
        let scenario = |(at, verdict): (usize, &Verdict)| ScenarioReport {
            name: format!("s{at}"),
            verdict: *verdict,
            cycles: 0,
            reason: (*verdict != Verdict::Works).then(|| verdict.to_string()),
            hint: None,
            options: Vec::new(),
            missing: Vec::new(),
            errors: Vec::new(),
            seconds: 1.0,
            extra: false,
        };
        SmokeReport {
            scenarios: verdicts.iter().enumerate().map(scenario).collect(),
            ..SmokeReport::default()
        }
    }

    #[test]
    fn only_a_failure_that_tampering_made_is_a_notice() {
        use Verdict::{Fails, NotTestable, Refused, Works};
        let table: [(&[Verdict], &[Verdict], Worth, &str); 6] = [
            (
                &[Works, Works],
                &[Fails, Fails],
                Worth::Proved,
                "2 of 2 checks noticed a tampered victim",
            ),
            (
                &[Works, Works],
                &[Fails, Works],
                Worth::Blind,
                "1 of 2 checks noticed a tampered victim; blind: s1",
            ),
            (
                &[Works, Fails],
                &[Fails, Fails],
                Worth::Proved,
                "1 of 1 checks noticed a tampered victim; not tried: s1",
            ),
            (
                &[NotTestable],
                &[NotTestable],
                Worth::Unknown,
                "0 of 0 checks noticed a tampered victim; not tried: s0",
            ),
            (
                &[Works, Works],
                &[Fails, Refused],
                Worth::Proved,
                "1 of 1 checks noticed a tampered victim; not tried: s1",
            ),
            (
                &[],
                &[],
                Worth::Unknown,
                "0 of 0 checks noticed a tampered victim",
            ),
        ];
        for (alone, tampered, worth, conclusion) in table {
            let found = Tampered::new(&report(alone), &report(tampered));
            assert_eq!(found.conclusion, conclusion);
            assert_eq!(found.worth(), worth, "{found:?}");
        }
    }
}
