//! The audit as text, for somebody who wants a kernel and not a lesson in Kconfig.
//!
//! In: an [`Audit`]. Out: a few lines of totals, then what is amiss with reason and remedy, then what
//! is worth knowing. Must not decide anything.

use std::fmt::Write as _;

use super::audit::{Audit, Finding, Verdict};
use super::fragment::Request;
use super::symbol::Value;

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
        let (asked, guarded) = (&self.requested, &self.guarded);
        let head = format!(
            "{} options asked for, {} as asked",
            asked.len(),
            count(asked, Verdict::Met)
        );
        let missed = (count(asked, Verdict::Missed), "missed");
        total(
            text,
            head,
            [missed, (self.skipped.len(), "not meant for this kernel")],
        );
        let head = format!(
            "{} options that WSL needs built in, {} so",
            guarded.len(),
            count(guarded, Verdict::Met)
        );
        total(text, head, [(count(guarded, Verdict::Missed), "not")]);
        if !self.keep_base {
            return line(text, 1, "the base is only a starting point");
        }
        let lost = |verdict: Verdict| count(&self.lost, verdict);
        let kept = self.base_options.saturating_sub(self.lost.len());
        let head = format!("{} options of the base, {kept} kept", self.base_options);
        let parts = [
            (lost(Verdict::Overruled), "changed as asked"),
            (
                lost(Verdict::Derived),
                "that follow from compiler and other options",
            ),
            (lost(Verdict::Absent), "unknown to this kernel"),
            (
                lost(Verdict::NewDependency),
                "off for a dependency new in this kernel",
            ),
            (lost(Verdict::Lost), "LOST"),
        ];
        total(text, head, parts);
    }

    /// What the fragments changed, where the base is to be kept.
    fn changes(&self, text: &mut String) {
        let rows: Vec<(&Finding, String, String)> = self
            .requested
            .iter()
            .map(|f| (f, shown(f.base.as_ref()), shown(f.found.as_ref())))
            .collect();
        let changed = |(finding, before, after): &&(&Finding, String, String)| {
            finding.verdict == Verdict::Met && before != after
        };
        let changed: Vec<&(&Finding, String, String)> = rows.iter().filter(changed).collect();
        if changed.is_empty() || !self.keep_base {
            return;
        }
        line(text, 0, "changed against the base");
        let width = changed
            .iter()
            .map(|(finding, ..)| finding.request.symbol.as_str().len())
            .max()
            .unwrap_or(0);
        for (finding, before, after) in changed {
            let (name, origin) = (finding.request.symbol.as_str(), &finding.request.origin);
            line(
                text,
                1,
                &format!("{name:width$}  {before} -> {after}  {origin}"),
            );
        }
    }

    fn skips(&self, text: &mut String) {
        if !self.skipped.is_empty() {
            line(text, 0, "not asked for, as it is meant for other kernels");
        }
        for skipped in &self.skipped {
            line(
                text,
                1,
                &format!("{}: {}", skipped.request.symbol, skipped.why),
            );
        }
    }

    fn warned(&self, text: &mut String) {
        let absent: Vec<&str> = self
            .of(Verdict::Absent)
            .map(|finding| finding.request.symbol.as_str())
            .collect();
        if !absent.is_empty() {
            line(
                text,
                0,
                "warning: the base has these, this kernel does not know them",
            );
            let named = absent
                .iter()
                .take(NAMED)
                .copied()
                .collect::<Vec<_>>()
                .join(", ");
            let more =
                some(absent.len().saturating_sub(NAMED), "more").map(|more| format!(" and {more}"));
            line(text, 1, &format!("{named}{}", more.unwrap_or_default()));
        }
        if self.of(Verdict::NewDependency).next().is_some() {
            line(
                text,
                0,
                "warning: the base has these, in this kernel they depend on more",
            );
        }
        let new = self.of(Verdict::NewDependency).collect();
        groups(new).iter().for_each(|group| explained(text, group));
        for file in &self.unread {
            line(
                text,
                0,
                &format!("warning: {file}; reasons that lie there are missing"),
            );
        }
    }

    /// What became of the base.
    fn of(&self, verdict: Verdict) -> impl Iterator<Item = &Finding> {
        self.lost
            .iter()
            .filter(move |finding| finding.verdict == verdict)
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
            groups(failed)
                .iter()
                .for_each(|group| explained(text, group));
        }
    }
}

/// Findings with the same reasons side by side, in the order of the first of each.
fn groups(findings: Vec<&Finding>) -> Vec<Vec<&Finding>> {
    let mut groups: Vec<Vec<&Finding>> = Vec::new();
    for finding in findings {
        let same = groups
            .iter_mut()
            .find(|group| group.first().is_some_and(|first| first.why == finding.why));
        match same {
            Some(group) => group.push(finding),
            None => groups.push(vec![finding]),
        }
    }
    groups
}

/// Findings with the same reasons, and the reasons.
fn explained(text: &mut String, group: &[&Finding]) {
    for finding in group {
        let Request {
            symbol,
            value,
            origin,
            needed_by,
            ..
        } = &finding.request;
        let found = match (&finding.found, value.tristate()) {
            (None, None) => "no value".to_owned(),
            (found, _) => shown(found.as_ref()),
        };
        line(
            text,
            1,
            &format!("CONFIG_{symbol}={value} is not in the result, which has {found} ({origin})"),
        );
        if !needed_by.is_empty() {
            line(text, 2, &format!("needed by: {needed_by}"));
        }
    }
    if let Some(why) = group.first().and_then(|first| first.why.as_ref()) {
        why.to_string()
            .lines()
            .for_each(|reason| line(text, 2, reason));
    }
}

/// No line is the same as off.
fn shown(value: Option<&Value>) -> String {
    value.unwrap_or(&Value::No).to_string()
}

fn total<const N: usize>(text: &mut String, head: String, parts: [(usize, &str); N]) {
    let parts = parts
        .into_iter()
        .filter_map(|(count, what)| some(count, what));
    line(
        text,
        1,
        &std::iter::once(head)
            .chain(parts)
            .collect::<Vec<_>>()
            .join(", "),
    );
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
