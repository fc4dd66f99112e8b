//! The suite's report in other people's forms.
//!
//! In: a [`SmokeReport`]. Out: a table for people, and [`Cases`] for programs. Must not judge.

use super::{Blocked, ScenarioReport, SmokeReport, Verdict};
use crate::report::{Case, Cases, Outcome};

impl SmokeReport {
    /// One case per scenario: what works has passed, what could not be tested is skipped.
    #[must_use]
    pub fn cases(&self) -> Cases {
        let mut properties = vec![("kernel", self.kernel_release.clone())];
        properties.extend(self.criu_version.clone().map(|version| ("criu", version)));
        Cases {
            name: "smoke".to_owned(),
            properties,
            cases: self.scenarios.iter().map(ScenarioReport::case).collect(),
            seconds: self.seconds,
        }
    }

    /// For people: what was found, why, and what to do.
    #[must_use]
    pub fn text(&self) -> String {
        let criu = self.criu_version.as_deref().unwrap_or("not found");
        let mut text = format!("kernel  {}\nCRIU    {criu}\n", self.kernel_release);
        for warning in &self.warnings {
            text.push_str(&format!("warning {warning}\n"));
        }
        if let Some(blocked) = &self.blocked {
            let Blocked { reason, hint } = blocked;
            return text + &format!("\nnothing could be tested: {reason}\nnext: {hint}\n");
        }
        text.push('\n');
        let names = self.scenarios.iter().map(|s| s.name.chars().count());
        let width = names.max().unwrap_or(0).max("dumped and restored".len());
        text.push_str(&format!(
            "{:width$}  verdict       cycles  seconds\n",
            "dumped and restored"
        ));
        for scenario in &self.scenarios {
            text.push_str(&scenario.row(width));
        }
        text.push_str(&self.tally());
        text
    }

    fn tally(&self) -> String {
        let count = |verdict| {
            self.scenarios
                .iter()
                .filter(|s| s.verdict == verdict)
                .count()
        };
        let all = [
            Verdict::Works,
            Verdict::Fails,
            Verdict::Refused,
            Verdict::NotTestable,
        ];
        let told: Vec<String> = all
            .into_iter()
            .filter(|verdict| count(*verdict) > 0)
            .map(|verdict| format!("{} {verdict}", count(verdict)))
            .collect();
        format!("\n{} in {:.1} s\n", told.join(", "), self.seconds)
    }
}

impl ScenarioReport {
    /// The same as a case.
    #[must_use]
    pub fn case(&self) -> Case {
        let why = self
            .reason
            .clone()
            .unwrap_or_else(|| self.verdict.to_string());
        let outcome = match self.verdict {
            Verdict::Works => Outcome::Passed,
            Verdict::NotTestable => Outcome::Skipped { why },
            Verdict::Fails | Verdict::Refused => {
                let hint = self.hint.iter().map(|hint| format!("next: {hint}"));
                let details = self.errors.iter().cloned().chain(hint).collect();
                Outcome::Failed { why, details }
            }
        };
        Case {
            name: self.name.clone(),
            outcome,
            seconds: self.seconds,
        }
    }

    fn row(&self, width: usize) -> String {
        let Self {
            name,
            verdict,
            cycles,
            seconds,
            ..
        } = self;
        let mut text = format!("{name:width$}  {verdict:<12}  {cycles:>6}  {seconds:>7.1}\n");
        for (word, said) in [("why", &self.reason), ("next", &self.hint)] {
            if let Some(said) = said {
                text.push_str(&format!("    {word}: {said}\n"));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(name: &str, verdict: Verdict, reason: Option<&str>) -> ScenarioReport {
        let document = serde_json::json!({
            "name": name, "verdict": verdict, "reason": reason, "cycles": 2,
            "options": [], "errors": ["Error: x"], "seconds": 0.5,
        });
        serde_json::from_value(document).expect("a report")
    }

    fn report() -> SmokeReport {
        SmokeReport {
            kernel_release: "6.6.87.2".to_owned(),
            criu_version: Some("4.2.1".to_owned()),
            scenarios: vec![
                scenario("memory", Verdict::Works, None),
                scenario(
                    "unix",
                    Verdict::Fails,
                    Some("the kernel lacks CONFIG_UNIX_DIAG"),
                ),
                scenario("tcp", Verdict::Refused, Some("declined")),
                scenario("udp", Verdict::NotTestable, Some("the disk is full")),
            ],
            seconds: 2.0,
            ..SmokeReport::default()
        }
    }

    #[test]
    fn only_what_works_has_passed() {
        let cases = report().cases().cases;
        let passed = cases.iter().filter(|case| case.outcome == Outcome::Passed);
        assert_eq!(passed.count(), 1);
        let skipped = Outcome::Skipped {
            why: "the disk is full".to_owned(),
        };
        assert_eq!(cases[3].outcome, skipped);
        let failed = |case: &Case| matches!(case.outcome, Outcome::Failed { .. });
        assert!(failed(&cases[1]) && failed(&cases[2]));
    }

    #[test]
    fn people_read_verdicts_and_reasons() {
        let expected = "kernel  6.6.87.2\n\
            CRIU    4.2.1\n\
            \n\
            dumped and restored  verdict       cycles  seconds\n\
            memory               works              2      0.5\n\
            unix                 fails              2      0.5\n    \
                why: the kernel lacks CONFIG_UNIX_DIAG\n\
            tcp                  refused            2      0.5\n    \
                why: declined\n\
            udp                  not-testable       2      0.5\n    \
                why: the disk is full\n\
            \n\
            1 works, 1 fails, 1 refused, 1 not-testable in 2.0 s\n";
        assert_eq!(report().text(), expected);
    }

    #[test]
    fn who_is_blocked_learns_why_and_skips_all() {
        let report = SmokeReport {
            blocked: Some(Blocked {
                reason: "criu is not installed".to_owned(),
                hint: "install it".to_owned(),
            }),
            scenarios: vec![scenario(
                "udp",
                Verdict::NotTestable,
                Some("criu is not installed"),
            )],
            ..report()
        };
        let text = report.text();
        assert!(
            text.ends_with("nothing could be tested: criu is not installed\nnext: install it\n")
        );
        assert!(
            report
                .cases()
                .tap()
                .contains("ok 1 - udp # SKIP criu is not installed\n")
        );
    }
}
