//! `wslk smoke`: the suite on the running machine, in the form that is asked for.

use std::path::Path;

use serde::Serialize;

use super::args::{SmokeArgs, SmokeFormat};
use super::{Session, outlook, output};
use crate::error::Error;
use crate::exit::Exit;
use crate::files;
use crate::pipeline::running::{self, Trial};
use crate::settings::Overrides;
use crate::smoke::{SmokeReport, Verdict};

pub(super) fn smoke(session: &Session<'_>, args: SmokeArgs) -> Result<Exit, Error> {
    let settings = session.settings(Overrides {
        cycles: args.cycles,
        ..Overrides::default()
    })?;
    let trial = Trial {
        only: args.only,
        cycles: settings.boot.cycles,
    };
    if session.global.dry_run {
        outlook::show(session, &running::smoke_outlook(trial)?, None);
        return Ok(Exit::Done);
    }
    let report = running::smoke(&session.context, trial)?;
    let document = Document::of(&report);
    if let Some(path) = &args.output {
        let format = args.format.unwrap_or_else(|| by_name(path));
        files::replace(path, document.written(format))?;
    }
    // With --output the form is the file's, and people still see the table.
    match args
        .format
        .filter(|_| args.output.is_none() && !session.global.json)
    {
        Some(format) => output::print(&document.written(format)),
        None => session.output.answer("smoke", &document, &report.text()),
    }
    Ok(exit(report.verdict()))
}

/// The report and what it comes to.
#[derive(Debug, Serialize)]
struct Document<'a> {
    verdict: Verdict,
    #[serde(flatten)]
    report: &'a SmokeReport,
}

impl<'a> Document<'a> {
    fn of(report: &'a SmokeReport) -> Self {
        Self {
            verdict: report.verdict(),
            report,
        }
    }

    fn written(&self, format: SmokeFormat) -> String {
        match format {
            SmokeFormat::Table => self.report.text(),
            SmokeFormat::Json => output::document("smoke", self),
            SmokeFormat::Junit => self.report.cases().junit(),
            SmokeFormat::Tap => self.report.cases().tap(),
        }
    }
}

/// The form that a file's name promises.
fn by_name(path: &Path) -> SmokeFormat {
    match path.extension().and_then(|end| end.to_str()) {
        Some("xml") => SmokeFormat::Junit,
        Some("json") => SmokeFormat::Json,
        Some("tap") => SmokeFormat::Tap,
        _ => SmokeFormat::Table,
    }
}

/// What CRIU declines is not there for the user either.
fn exit(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Works => Exit::Done,
        Verdict::Fails | Verdict::Refused => Exit::CheckFailed,
        Verdict::NotTestable => Exit::CannotTest,
    }
}
