//! `wslk probe`: calls the pipeline once and shows what came of it.

use std::time::Duration;

use serde::Serialize;

use super::args::ProbeArgs;
use super::table::table;
use super::{Session, outlook};
use crate::error::Error;
use crate::exit::Exit;
use crate::pipeline::probe as pipeline;
use crate::probe::{CapabilityReport, Options, Row, Verdict};

const MIB: u64 = 1 << 20;

pub(super) fn probe(session: &Session<'_>, args: ProbeArgs) -> Result<Exit, Error> {
    let options = Options {
        only: wanted(args.only, &args.require),
        library: args.cuda_dir,
        hold: args.device_memory.map(|mib| mib * MIB),
        pin: args.pin_limit.map(|mib| mib * MIB),
        deadline: args.deadline.map(Duration::from_secs),
        python: args.python,
        ..pipeline::options(&session.context)
    };
    if session.global.dry_run {
        outlook::show(session, &pipeline::outlook(&options), None);
        return Ok(Exit::Done);
    }
    let report = pipeline::probe(&session.context, &options, args.report.as_deref())?;
    let unmet = report.unmet(&args.require);
    let answer = Answer {
        report: &report,
        unmet: unmet.iter().map(|row| row.row.as_str()).collect(),
    };
    let text = text(&report) + &demands(&unmet);
    session.output.answer("probe", &answer, &text);
    Ok(match unmet.is_empty() {
        true => Exit::Done,
        false => Exit::CheckFailed,
    })
}

/// The report, and what was required and does not work.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    report: &'a CapabilityReport,
    unmet: Vec<&'a str>,
}

fn demands(unmet: &[&Row]) -> String {
    let line = |row: &&Row| format!("required, and not working here: {}\n", row.row);
    let lines: String = unmet.iter().map(line).collect();
    match lines.is_empty() {
        true => lines,
        false => format!("\n{lines}"),
    }
}

/// Whoever asks for some rows and requires others gets both.
fn wanted(mut only: Vec<String>, required: &[String]) -> Vec<String> {
    if !only.is_empty() {
        only.extend_from_slice(required);
    }
    only
}

fn text(report: &CapabilityReport) -> String {
    let row = |row: &Row| vec![row.row.clone(), row.verdict_and_code(), row.summary.clone()];
    let mut text = table(&report.rows.iter().map(row).collect::<Vec<_>>());
    for row in &report.rows {
        text.push_str(&details(row));
    }
    for fact in &report.machine.driver {
        text.push_str(&format!("\n{:<8} {}", fact.name, fact.value));
    }
    if !report.machine.driver.is_empty() {
        text.push('\n');
    }
    text
}

/// What was measured, and why something did not come off.
fn details(row: &Row) -> String {
    let bad = matches!(row.verdict, Verdict::Refused | Verdict::Failed);
    if row.figures.is_empty() && !bad {
        return String::new();
    }
    let mut text = format!("\n{}\n", row.row);
    let stage = row.stage.iter().map(|stage| ("stage", stage.clone()));
    let evidence = row.evidence.iter().filter(|_| bad);
    let evidence = evidence.map(|text| ("seen", text.clone()));
    for (name, value) in stage.chain(evidence) {
        text.push_str(&format!("  {name}: {value}\n"));
    }
    for figure in &row.figures {
        text.push_str(&format!("  {}: {}\n", figure.name, figure.text()));
    }
    text
}
