//! `verify`: what is proved of a build.

use serde::Serialize;

use super::args::{VerifyArgs, overrides};
use super::table::table;
use super::{Session, outlook};
use crate::artefact::{BuildId, Change};
use crate::error::Error;
use crate::exit::Exit;
use crate::pipeline::verify::{self, Check, Difference, Rebuilt, Status};
use crate::report::size;
use crate::settings::Overrides;

pub(super) fn verify(session: &Session<'_>, args: VerifyArgs) -> Result<Exit, Error> {
    #[derive(Serialize)]
    struct Answer<'a> {
        build: &'a BuildId,
        folder: String,
        checks: &'a [Check],
    }
    let settings = session.settings(Overrides {
        trust: args.trust,
        ..overrides!(args.kernel)
    })?;
    if args.rebuild {
        if session.global.dry_run {
            let step = verify::rebuild_outlook(&session.context, &args.build)?;
            outlook::show(session, &[step], None);
            return Ok(Exit::Done);
        }
        let rebuilt = verify::rebuild(&session.context, &settings, &args.build)?;
        return Ok(show_rebuilt(session, &rebuilt));
    }
    let found = verify::verify(&session.context, &settings, &args.build)?;
    let row = |check: &Check| {
        let hint = check.hint.filter(|_| check.status != Status::Ok);
        let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        vec![
            check.id.to_owned(),
            word(check.status).to_owned(),
            format!("{}{hint}", check.summary),
        ]
    };
    let rows: Vec<_> = found.checks.iter().map(row).collect();
    let text = format!("{}\n\n{}", found.build.id(), table(&rows));
    let answer = Answer {
        build: found.build.id(),
        folder: found.build.folder().display().to_string(),
        checks: &found.checks,
    };
    session.output.answer("verify", &answer, &text);
    Ok(exit(&found.checks))
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Fail => "fail",
        Status::Unknown => "unknown",
        Status::NotApplicable => "-",
    }
}

/// Bytes that are not what they should be are worse than a test that is missing.
fn exit(checks: &[Check]) -> Exit {
    let failed = |check: &&Check| check.status == Status::Fail;
    let failed: Vec<&Check> = checks.iter().filter(failed).collect();
    match failed.as_slice() {
        [] => Exit::Done,
        failed if failed.iter().all(|check| check.id == "boot test") => Exit::Refused,
        _ => Exit::Upstream,
    }
}

fn show_rebuilt(session: &Session<'_>, rebuilt: &Rebuilt) -> Exit {
    #[derive(Serialize)]
    struct Answer<'a> {
        build: &'a BuildId,
        identical: bool,
        files: usize,
        differences: &'a [Difference],
        built_with: &'a [Change],
        kept: Option<String>,
        diffoscope: bool,
        random_key: bool,
    }
    let answer = Answer {
        build: rebuilt.build.id(),
        identical: rebuilt.differences.is_empty(),
        files: rebuilt.files,
        differences: &rebuilt.differences,
        built_with: &rebuilt.with,
        kept: rebuilt
            .kept
            .as_ref()
            .map(|folder| folder.display().to_string()),
        diffoscope: rebuilt.diffoscope,
        random_key: rebuilt.random_key,
    };
    let mut text = match answer.identical {
        true => format!(
            "{}: {} files, bit by bit the same\n",
            answer.build, answer.files
        ),
        false => format!(
            "{} came out otherwise\n\n{}",
            answer.build,
            differences(rebuilt)
        ),
    };
    for change in &rebuilt.with {
        text.push_str(&format!("built with another {change}\n"));
    }
    if rebuilt.random_key && !answer.identical {
        text.push_str(
            "MODULE_SIG: each build signs its modules with a key of its own, so image and modules must differ\n",
        );
    }
    if let Some(folder) = &answer.kept {
        text.push_str(&format!("the new files are in {folder}\n"));
    }
    session.output.answer("verify", &answer, &text);
    match answer.identical {
        true => Exit::Done,
        false => Exit::Upstream,
    }
}

fn differences(rebuilt: &Rebuilt) -> String {
    let bytes = |bytes: Option<u64>| bytes.map_or_else(|| "not made".to_owned(), size);
    let row = |found: &Difference| {
        let first = found.first_byte.map(|at| format!("from byte {at} on"));
        vec![
            found.file.clone(),
            bytes(found.before),
            bytes(found.now),
            first.unwrap_or_default(),
        ]
    };
    table(&rebuilt.differences.iter().map(row).collect::<Vec<_>>())
}
