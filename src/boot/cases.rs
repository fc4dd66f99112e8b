//! The boot test's report for other programs.
//!
//! In: a [`BootReport`]. Out: [`Cases`]: one for the boot itself, one for each scenario. Must not judge.

use super::{BootReport, Verdict};
use crate::report::{Case, Cases, Outcome};

impl BootReport {
    /// One case for everything up to userspace, the modules and the end; then the suite's.
    #[must_use]
    pub fn cases(&self) -> Cases {
        let suite = self.smoke.as_ref().map(crate::smoke::SmokeReport::cases);
        let mut properties = vec![
            ("accel", self.accel.to_string()),
            ("bzImage", self.kernel.to_string()),
        ];
        let mut cases = vec![self.boot()];
        match suite {
            Some(suite) => {
                properties.extend(suite.properties);
                cases.extend(suite.cases);
            }
            None => properties.extend(self.kernel_release.clone().map(|name| ("kernel", name))),
        }
        Cases {
            name: "boot".to_owned(),
            properties,
            cases,
            seconds: self.seconds,
        }
    }

    fn boot(&self) -> Case {
        let own: Vec<_> = self
            .failures
            .iter()
            .filter(|f| f.scenario.is_none())
            .collect();
        let reasons: Vec<&str> = own.iter().map(|failure| failure.reason.as_str()).collect();
        let outcome = match (reasons.is_empty(), self.verdict) {
            (false, _) => Outcome::Failed {
                why: reasons.join("; "),
                details: own
                    .iter()
                    .flat_map(|failure| failure.excerpt.clone())
                    .collect(),
            },
            (true, Verdict::NotTestable) if self.smoke.is_none() => Outcome::Skipped {
                why: self.untested.join("; "),
            },
            (true, _) => Outcome::Passed,
        };
        Case {
            name: "boot".to_owned(),
            outcome,
            seconds: self.userspace_seconds.unwrap_or(self.seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;
    use serde_json::json;

    fn report(verdict: &str, failures: &[(&str, Option<&str>)], smoke: bool) -> BootReport {
        let failures: Vec<_> = failures
            .iter()
            .map(|(reason, scenario)| {
                json!({ "kind": "panic", "reason": reason, "scenario": scenario, "excerpt": ["Kernel panic"] })
            })
            .collect();
        let scenario = json!({
            "name": "unix", "verdict": "fails", "cycles": 0, "reason": "lost", "options": [], "seconds": 1.0,
        });
        let suite = json!({
            "kernel_release": "6.6", "criu_version": null, "diag": [], "scenarios": [scenario], "seconds": 2.0,
        });
        let document = json!({
            "schema": 1, "verdict": verdict, "failures": failures, "untested": ["no CRIU"], "accel": "tcg",
            "kernel": Sha256::of("kernel"), "smoke": smoke.then_some(suite), "seconds": 9.0,
            "userspace_seconds": 4.0, "phases": [],
        });
        serde_json::from_value(document).expect("a report")
    }

    #[test]
    fn the_boot_is_a_case_beside_the_scenarios() {
        let table = [
            (report("passed", &[], true), "ok 1 - boot\n", 2),
            (
                report("failed", &[("it panicked", None)], false),
                "not ok 1 - boot\n",
                1,
            ),
            (
                report("failed", &[("unix: lost", Some("unix"))], true),
                "ok 1 - boot\n",
                2,
            ),
            (
                report("not-testable", &[], false),
                "ok 1 - boot # SKIP no CRIU\n",
                1,
            ),
        ];
        for (report, line, cases) in table {
            let tap = report.cases().tap();
            assert!(tap.contains(&format!("\n{line}")), "{tap}");
            assert!(tap.contains(&format!("1..{cases}\n")), "{tap}");
        }
    }
}
