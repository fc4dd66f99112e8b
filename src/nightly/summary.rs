//! A night in Markdown, for a job's summary or an issue.
//!
//! In: what the night did. Out: text. Must not send it: [`super::notice`] does.

use std::fmt::Write as _;

use super::ledger::{Entry, Stage};
use super::night::Tonight;
use crate::report::size;
use crate::smoke::Verdict;

/// The night, the gravest first.
#[must_use]
pub fn markdown(tonight: &Tonight) -> String {
    let failed = tonight
        .entries
        .iter()
        .filter(|entry| entry.failure.is_some())
        .count();
    let good = tonight.entries.len() - failed;
    let mut text = match tonight.entries.len() {
        0 if tonight.known == 0 => {
            "## wslk nightly: nothing to do\n\nNo tag of the upstream is wanted.\n".to_owned()
        }
        0 => format!(
            "## wslk nightly: nothing to do\n\nAll {} tags are judged.\n",
            tonight.known
        ),
        _ => format!("## wslk nightly: {good} good, {failed} failed\n\n"),
    };
    if tonight.stopped {
        text.push_str("Stopped before its end; the next night goes on.\n\n");
    }
    if !tonight.entries.is_empty() {
        text.push_str("| tag | | kernel | scenarios | since the tag before |\n| --- | --- | ---: | --- | --- |\n");
    }
    for entry in tonight.entries.iter().rev() {
        text.push_str(&row(entry));
    }
    for entry in tonight
        .entries
        .iter()
        .filter(|entry| entry.failure.is_some())
    {
        text.push_str(&trouble(entry));
    }
    text
}

fn row(entry: &Entry) -> String {
    let state = match &entry.failure {
        Some(failure) => format!("**failed** before {}", failure.stage),
        None => entry.stage.to_string(),
    };
    let kernel = entry.judged.kernel_bytes.map(size).unwrap_or_default();
    let drift = match &entry.judged.drift {
        Some(drift) => format!(
            "{} new, {} gone, {} changed",
            drift.new, drift.gone, drift.changed
        ),
        None => String::new(),
    };
    let tag = entry.tag.version();
    format!(
        "| {tag} | {state} | {kernel} | {} | {drift} |\n",
        scenarios(entry)
    )
}

fn scenarios(entry: &Entry) -> String {
    let rows = &entry.judged.scenarios;
    if rows.is_empty() {
        return String::new();
    }
    let works = rows
        .iter()
        .filter(|row| row.verdict == Verdict::Works)
        .count();
    let rest = rows.iter().filter(|row| row.verdict != Verdict::Works);
    let rest: Vec<_> = rest
        .map(|row| format!("{}: {}", row.name, row.verdict))
        .collect();
    match rest.as_slice() {
        [] => format!("all {works} work"),
        rest => format!("{works} of {} work; {}", rows.len(), rest.join(", ")),
    }
}

fn trouble(entry: &Entry) -> String {
    let Some(failure) = &entry.failure else {
        return String::new();
    };
    let mut text = format!(
        "\n### {}: {} (exit {})\n\n",
        entry.tag.version(),
        what(failure.stage),
        failure.code
    );
    for line in failure.reason.lines() {
        let _never = writeln!(text, "> {line}");
    }
    if let Some(hint) = &failure.hint {
        let _never = write!(text, "\n{hint}\n");
    }
    for lost in &entry.judged.regressions {
        let _never = write!(
            text,
            "\n`{}` works in {} and not in {}",
            lost.scenario,
            lost.good.version(),
            lost.bad.version()
        );
        let untried: Vec<_> = lost.untried.iter().map(|tag| tag.version()).collect();
        let _never = match untried.as_slice() {
            [] => writeln!(text, "."),
            untried => writeln!(
                text,
                "; between them could not be tried: {}.",
                untried.join(", ")
            ),
        };
    }
    if let Some(log) = &entry.log {
        let _never = write!(text, "\nLog: `{log}`\n");
    }
    text
}

/// What a tag that did not reach `stage` failed at.
fn what(stage: Stage) -> &'static str {
    match stage {
        Stage::Seen | Stage::Fetched => "its source cannot be had",
        Stage::Configured => "its configuration is not what it must be",
        Stage::Built => "it was not built",
        Stage::Booted => "it did not pass its boot test",
        Stage::Published => "it was not published",
    }
}
