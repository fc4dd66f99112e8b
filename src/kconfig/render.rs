//! The audit as text, for somebody who wants a kernel and not a lesson in Kconfig.
//!
//! In: an [`Audit`]. Out: a few lines of totals, then what is amiss with reason and remedy, then what
//! is worth knowing. Must not decide anything.

use std::fmt::Write as _;

use super::audit::{Audit, Finding, Verdict};

/// Warnings of one kind that are named before the rest becomes a number.
const NAMED: usize = 12;

impl Audit {
    /// The audit for people; ends in a line end.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        self.head(&mut text);
        self.totals(&mut text);
        self.changes(&mut text);
        self.skips(&mut text);
        self.warned(&mut text);
        self.failed(&mut text);
        text
    }

    /// What breaks the contract, with reasons; empty where nothing does.
    #[must_use]
    pub fn broken(&self) -> String {
        let mut text = String::new();
        self.failed(&mut text);
        text
    }

    fn head(&self, text: &mut String) {
        let verdict = if self.passed() {
            "contract met"
        } else {
            "CONTRACT NOT MET"
        };
        line(
            text,
            0,
            &format!(
                "configuration of {} for {} over {}: {verdict}",
                self.series, self.arch, self.base
            ),
        );
    }

    fn totals(&self, text: &mut String) {
        let asked = &self.requested;
        let mut parts = vec![format!(
            "{} options asked for, {} as asked",
            asked.len(),
            count(asked, Verdict::Met)
        )];
        parts.extend(some(count(asked, Verdict::Missed), "missed"));
        parts.extend(some(self.skipped.len(), "not meant for this kernel"));
        line(text, 1, &parts.join(", "));

        let guarded = &self.guarded;
        let mut parts = vec![format!(
            "{} options that WSL needs built in, {} so",
            guarded.len(),
            count(guarded, Verdict::Met)
        )];
        parts.extend(some(count(guarded, Verdict::Missed), "not"));
        line(text, 1, &parts.join(", "));

        let lost = &self.lost;
        let kept = self.base_options.saturating_sub(lost.len());
        let mut parts = vec![format!(
            "{} options of the base, {kept} kept",
            self.base_options
        )];
        for (verdict, words) in [
            (Verdict::Overruled, "lowered as asked"),
            (
                Verdict::Derived,
                "that follow from compiler and other options",
            ),
            (Verdict::Absent, "unknown to this kernel"),
            (
                Verdict::NewDependency,
                "off for a dependency new in this kernel",
            ),
            (Verdict::Lost, "LOST"),
        ] {
            parts.extend(some(count(lost, verdict), words));
        }
        line(text, 1, &parts.join(", "));
    }

    /// What the fragments changed.
    fn changes(&self, text: &mut String) {
        let changed = |finding: &&Finding| {
            finding.verdict == Verdict::Met
                && finding.base != finding.found
                && (finding.base.is_some() || finding.found.is_some())
        };
        let changed: Vec<&Finding> = self.requested.iter().filter(changed).collect();
        if changed.is_empty() {
            return;
        }
        line(text, 0, "changed against the base");
        let width = changed
            .iter()
            .map(|finding| finding.request.symbol.as_str().len())
            .max()
            .unwrap_or(0);
        for finding in changed {
            let before = finding
                .base
                .as_ref()
                .map_or_else(|| "n".to_owned(), ToString::to_string);
            let after = finding
                .found
                .as_ref()
                .map_or_else(|| "n".to_owned(), ToString::to_string);
            let name = finding.request.symbol.as_str();
            line(
                text,
                1,
                &format!(
                    "{name:width$}  {before} -> {after}  {}",
                    finding.request.origin
                ),
            );
        }
    }

    fn skips(&self, text: &mut String) {
        if self.skipped.is_empty() {
            return;
        }
        line(text, 0, "not asked for, as it is meant for other kernels");
        for skipped in &self.skipped {
            line(
                text,
                1,
                &format!("{}: {}", skipped.request.symbol, skipped.why),
            );
        }
    }

    fn warned(&self, text: &mut String) {
        let of = |verdict: Verdict| {
            self.lost
                .iter()
                .filter(move |finding| finding.verdict == verdict)
        };
        let absent: Vec<&str> = of(Verdict::Absent)
            .map(|finding| finding.request.symbol.as_str())
            .collect();
        if !absent.is_empty() {
            line(
                text,
                0,
                "warning: the base has these, this kernel does not know them",
            );
            let shown = absent
                .iter()
                .take(NAMED)
                .copied()
                .collect::<Vec<_>>()
                .join(", ");
            let more = absent.len().saturating_sub(NAMED);
            line(
                text,
                1,
                &if more == 0 {
                    shown
                } else {
                    format!("{shown} and {more} more")
                },
            );
        }
        let new: Vec<&Finding> = of(Verdict::NewDependency).collect();
        if !new.is_empty() {
            line(
                text,
                0,
                "warning: the base has these, in this kernel they depend on more",
            );
            new.into_iter().for_each(|finding| explained(text, finding));
        }
        for file in &self.unread {
            line(
                text,
                0,
                &format!("warning: {file}; reasons that lie there are missing"),
            );
        }
    }

    fn failed(&self, text: &mut String) {
        let kinds: [(&str, &[Finding]); 3] = [
            ("asked for, and not in the result", &self.requested),
            ("needed built in by WSL, and not so", &self.guarded),
            ("in the base, and lost", &self.lost),
        ];
        for (title, findings) in kinds {
            let failed: Vec<&Finding> = findings
                .iter()
                .filter(|finding| finding.verdict.fails())
                .collect();
            if failed.is_empty() {
                continue;
            }
            line(text, 0, title);
            failed
                .into_iter()
                .for_each(|finding| explained(text, finding));
        }
    }
}

/// One finding with its reasons.
fn explained(text: &mut String, finding: &Finding) {
    let request = &finding.request;
    let found = finding
        .found
        .as_ref()
        .map_or_else(|| "n".to_owned(), ToString::to_string);
    line(
        text,
        1,
        &format!(
            "CONFIG_{}={} is not in the result, which has {found} ({})",
            request.symbol, request.value, request.origin
        ),
    );
    if !request.needed_by.is_empty() {
        line(text, 2, &format!("needed by: {}", request.needed_by));
    }
    if let Some(why) = &finding.why {
        why.to_string()
            .lines()
            .for_each(|reason| line(text, 2, reason));
    }
}

fn count(findings: &[Finding], verdict: Verdict) -> usize {
    findings
        .iter()
        .filter(|finding| finding.verdict == verdict)
        .count()
}

fn some(count: usize, what: &str) -> Option<String> {
    (count > 0).then(|| format!("{count} {what}"))
}

fn line(text: &mut String, depth: usize, content: &str) {
    // Writing to a string cannot fail.
    let _infallible = writeln!(text, "{:indent$}{content}", "", indent = 2 * depth);
}
