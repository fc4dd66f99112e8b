//! `wslk probe`: calls the pipeline once and shows what came of it.

use std::time::Duration;

use serde::Serialize;

use super::Session;
use super::args::ProbeArgs;
use super::table::table;
use crate::error::Error;
use crate::pipeline::probe as pipeline;
use crate::probe::{CapabilityReport, Options, Row, Verdict};

const MIB: u64 = 1 << 20;
/// Figures that are shown of a row; the others are in the report.
const SHOWN: usize = 6;

pub(super) fn probe(session: &Session<'_>, args: ProbeArgs) -> Result<(), Error> {
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
        would_probe(session, &options);
        return Ok(());
    }
    let report = pipeline::probe(&session.context, &options, args.report.as_deref())?;
    let demanded = report.require(&args.require);
    // Programs get one document: the error, if what was required does not work.
    if demanded.is_ok() || !session.global.json {
        session.output.answer("probe", &report, &text(&report));
    }
    Ok(demanded?)
}

/// The rows of a dry run, and the most that each may take.
fn would_probe(session: &Session<'_>, options: &Options) {
    #[derive(Serialize)]
    struct Planned {
        row: &'static str,
        seconds: u64,
    }
    #[derive(Serialize)]
    struct Answer {
        rows: Vec<Planned>,
    }
    let planned = |(row, limit): (&'static str, Duration)| Planned {
        row,
        seconds: limit.as_secs(),
    };
    let rows: Vec<Planned> = options.plan().map(planned).collect();
    let line = |row: &Planned| vec![row.row.to_owned(), format!("{} s at most", row.seconds)];
    let text = table(&rows.iter().map(line).collect::<Vec<_>>());
    let text = text + "nothing was done: --dry-run\n";
    session.output.answer("dry-run", &Answer { rows }, &text);
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
    for figure in row.figures.iter().take(SHOWN) {
        text.push_str(&format!("  {}: {}\n", figure.name, figure.text()));
    }
    text
}
