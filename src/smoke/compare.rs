//! Two kernels side by side: what one can dump and restore and the other cannot.
//!
//! In: the reports of one suite on two kernels, the one in question and its control. Out: a
//! [`Comparison`] with a row per scenario and a sentence. Must not run anything.

use serde::{Deserialize, Serialize};

use super::{ScenarioReport, SmokeReport, Verdict};

/// One scenario on both kernels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// The scenario.
    pub name: String,
    /// What became of it on the kernel in question.
    pub verdict: Verdict,
    /// What became of it on the control.
    pub control: Verdict,
    /// Why it does not work on the one where it does not; the control's reason where both have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a kernel adds to its control, and what it takes away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The scenarios in the order of the suite.
    pub rows: Vec<Compared>,
    /// Those that work here and fail on the control.
    pub adds: Vec<String>,
    /// Those that fail here and work on the control.
    pub loses: Vec<String>,
    /// Those that could not be tried on one of the two.
    pub unknown: Vec<String>,
    /// All of it in one sentence.
    pub conclusion: String,
}

impl Comparison {
    /// Compares, scenario by scenario. One that only one of the reports has could not be tried on the other.
    #[must_use]
    pub fn new(subject: &SmokeReport, control: &SmokeReport) -> Self {
        let rows: Vec<Compared> = subject
            .scenarios
            .iter()
            .map(|ours| compare(ours, control.scenarios.iter().find(|s| s.name == ours.name)))
            .collect();
        let names = |wanted: fn(&Compared) -> bool| -> Vec<String> {
            let chosen = rows.iter().filter(|row| wanted(row));
            chosen.map(|row| row.name.clone()).collect()
        };
        let adds = names(|row| works(row.verdict) && broken(row.control));
        let loses = names(|row| broken(row.verdict) && works(row.control));
        let unknown = names(|row| untested(row.verdict) || untested(row.control));
        let nowhere = |row: &&Compared| untested(row.verdict) && untested(row.control);
        let mut tried = rows.iter().filter(|row| !nowhere(row)).peekable();
        let enough = tried.peek().is_some() && tried.all(|row| works(row.control));
        Self {
            conclusion: conclusion(enough, &adds, &loses, &unknown),
            rows,
            adds,
            loses,
            unknown,
        }
    }
}

fn compare(ours: &ScenarioReport, control: Option<&ScenarioReport>) -> Compared {
    let reason = control.and_then(|control| control.reason.clone());
    Compared {
        name: ours.name.clone(),
        verdict: ours.verdict,
        control: control.map_or(Verdict::NotTestable, |control| control.verdict),
        reason: reason.or_else(|| ours.reason.clone()),
    }
}

fn works(verdict: Verdict) -> bool {
    verdict == Verdict::Works
}

fn broken(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Fails | Verdict::Refused)
}

fn untested(verdict: Verdict) -> bool {
    verdict == Verdict::NotTestable
}

/// The truth also where it speaks against us.
fn conclusion(enough: bool, adds: &[String], loses: &[String], unknown: &[String]) -> String {
    let mut parts = Vec::new();
    if !adds.is_empty() {
        parts.push(format!("this kernel adds {}", adds.join(", ")));
    }
    if !loses.is_empty() {
        parts.push(format!("it loses {}", loses.join(", ")));
    }
    if parts.is_empty() {
        parts.push(match enough {
            true => "the control does all of it too: you need no other kernel for this".to_owned(),
            false => "both kernels do the same".to_owned(),
        });
    }
    if !unknown.is_empty() {
        parts.push(format!("not comparable: {}", unknown.join(", ")));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(verdicts: &[(&str, Verdict)]) -> SmokeReport {
        let scenario = |(name, verdict): &(&str, Verdict)| ScenarioReport {
            name: (*name).to_owned(),
            verdict: *verdict,
            cycles: 2,
            reason: (*verdict != Verdict::Works).then(|| format!("{name} is {verdict}")),
            hint: None,
            options: Vec::new(),
            missing: Vec::new(),
            errors: Vec::new(),
            seconds: 1.0,
            extra: false,
        };
        SmokeReport {
            scenarios: verdicts.iter().map(scenario).collect(),
            ..SmokeReport::default()
        }
    }

    #[test]
    fn the_sentence_says_what_is_gained_and_lost() {
        use Verdict::{Fails, NotTestable, Refused, Works};
        let table = [
            (
                vec![("a", Works), ("b", Works)],
                vec![("a", Works), ("b", Works)],
                "the control does all of it too: you need no other kernel for this",
            ),
            (
                vec![("a", Works), ("b", Works)],
                vec![("a", Works), ("b", Refused)],
                "this kernel adds b",
            ),
            (
                vec![("a", Fails), ("b", Works), ("c", Works)],
                vec![("a", Works), ("b", Fails), ("c", Works)],
                "this kernel adds b; it loses a",
            ),
            (
                vec![("a", Fails)],
                vec![("a", Fails)],
                "both kernels do the same",
            ),
            (
                vec![("a", Works), ("b", Works)],
                vec![("a", Works)],
                "both kernels do the same; not comparable: b",
            ),
            (
                vec![("a", NotTestable)],
                vec![("a", Works)],
                "the control does all of it too: you need no other kernel for this; not comparable: a",
            ),
            (vec![], vec![("a", Works)], "both kernels do the same"),
        ];
        for (ours, control, expected) in table {
            let found = Comparison::new(&report(&ours), &report(&control));
            assert_eq!(found.conclusion, expected, "{found:?}");
            assert_eq!(found.rows.len(), ours.len());
        }
    }

    #[test]
    fn a_row_keeps_the_reason_of_the_side_that_fails() {
        let ours = report(&[("a", Verdict::Works)]);
        let control = report(&[("a", Verdict::Fails)]);
        for (one, other) in [(&ours, &control), (&control, &ours)] {
            let found = Comparison::new(one, other);
            assert_eq!(found.rows[0].reason.as_deref(), Some("a is fails"));
        }
    }
}
