//! The verbs of the Windows side: each calls the pipeline once and shows what came of it.

use std::io::{BufRead as _, Write as _};

use serde::Serialize;

use super::args::{CleanArgs, InstallArgs, RollbackArgs, StatusArgs, TrialCheckArgs, WindowsArgs};
use super::publish::{self, Origin};
use super::table::table;
use super::{Session, outlook};
use crate::error::Error;
use crate::install::InstallError;
use crate::install::check::Check;
use crate::install::clean::Cleaning;
use crate::install::records::NEWEST;
use crate::install::rollback::Target;
use crate::pipeline::Step;
use crate::pipeline::trial;
use crate::pipeline::windows::{self, InstallOptions, WindowsSide};
use crate::process;

impl WindowsArgs {
    fn side(self, session: &Session<'_>) -> WindowsSide {
        WindowsSide {
            home: self.windows_home,
            folder: self.windows_dir,
            only_look: session.global.dry_run,
        }
    }
}

pub(super) fn install(session: &Session<'_>, args: InstallArgs) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Answer {
        build: String,
        folder: String,
        untested: Option<String>,
        restarting: bool,
        steps: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        from: Option<Origin>,
    }
    let side = args.windows.side(session);
    let brought = publish::bring(session, &side, &args.published, &args.build)?;
    if let Some((brought, _)) = brought.as_ref().filter(|(brought, _)| !brought.here) {
        publish::show_outlook(session, brought);
        return Ok(());
    }
    let fetched = brought.as_ref().map(|(brought, _)| (&brought.build).into());
    let options = InstallOptions {
        build: fetched.unwrap_or(args.build),
        restart: args.restart,
        untested: args.untested,
        distro: args.distro,
    };
    let agreed = |running: &[String]| agree(session, running);
    let done = windows::install(&session.context, &side, &options, &agreed)?;
    if side.only_look {
        let steps = [Step::planned("install", done.steps)];
        outlook::show(session, &steps, done.lint.as_deref());
        return Ok(());
    }
    let mut text = match done.steps.is_empty() {
        true => format!(
            "nothing to do: {} is configured and passed its trial\n",
            done.build
        ),
        false => format!("installed {} in {}\n", done.build, done.folder),
    };
    if let Some(reason) = &done.untested {
        text.push_str(&format!("without a boot test that counts: {reason}\n"));
    }
    text.push_str(match (done.restarting, done.steps.is_empty()) {
        (true, _) => {
            "WSL goes down now and comes back with it, or with what worked before; then: wslk status\n"
        }
        (false, true) => "",
        (false, false) => "next: wsl --shutdown, in Windows; then start WSL and type wslk status\n",
    });
    let answer = Answer {
        build: done.build,
        folder: done.folder,
        untested: done.untested,
        restarting: done.restarting,
        steps: done.steps,
        from: brought.map(|(_, origin)| origin),
    };
    session.output.answer("install", &answer, &text);
    Ok(())
}

/// `wsl --shutdown` stops every distribution of this user, so whoever asks for it must mean it.
fn agree(session: &Session<'_>, running: &[String]) -> Result<(), InstallError> {
    let all = match running {
        [] => "no other distribution".to_owned(),
        names => names.join(", "),
    };
    if session.global.yes {
        session.context.reporter.note(format!("stopping {all}"));
        return Ok(());
    }
    let refused = |why: &str| {
        Err(InstallError::NotAgreed(format!(
            "restarting WSL stops {all}: {why}"
        )))
    };
    if !process::stdin_is_terminal() || session.global.json {
        return refused("nobody is here to agree");
    }
    let question =
        format!("Restarting WSL stops {all} and all that runs there. Type yes to go on: ");
    let _closed = process::stderr().write_all(question.as_bytes());
    let mut answer = String::new();
    let _closed = process::stdin().read_line(&mut answer);
    match answer.trim() {
        "yes" => Ok(()),
        _ => refused("the answer was not yes"),
    }
}

pub(super) fn rollback(session: &Session<'_>, args: RollbackArgs) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Answer {
        configured: String,
        changed: bool,
        steps: Vec<String>,
    }
    let target = match args.target.as_str() {
        "stock" => Target::Stock,
        "previous" => Target::Previous,
        build => Target::Build(build.to_owned()),
    };
    let done = windows::rollback(&session.context, &args.windows.side(session), &target)?;
    if session.global.dry_run {
        outlook::show(session, &[Step::planned("rollback", done.steps)], None);
        return Ok(());
    }
    let text = match done.changed {
        true => format!(
            "{} is configured\nnext: wsl --shutdown, in Windows; then start WSL\n",
            done.to
        ),
        false => format!("nothing to do: {} is configured\n", done.to),
    };
    let answer = Answer {
        configured: done.to,
        changed: done.changed,
        steps: done.steps,
    };
    session.output.answer("rollback", &answer, &text);
    Ok(())
}

pub(super) fn status(session: &Session<'_>, args: StatusArgs) -> Result<(), Error> {
    let status = windows::status(&session.context, &args.windows.side(session))?;
    session.output.answer("status", &status, &status.text());
    Ok(())
}

pub(super) fn clean(session: &Session<'_>, args: CleanArgs) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Answer {
        removed: Vec<String>,
        kept: Vec<Kept>,
        records: Records,
    }
    #[derive(Serialize)]
    struct Kept {
        build: String,
        reason: &'static str,
    }
    #[derive(Serialize)]
    struct Records {
        removed: Vec<String>,
        kept: usize,
        reason: String,
    }
    let newest = if args.all { 1 } else { NEWEST };
    let side = args.windows.side(session);
    let done = windows::clean(&session.context, &side, &args.builds, newest)?;
    let reason = records_kept(newest);
    if session.global.dry_run {
        planned(session, done, &reason);
        return Ok(());
    }
    let text = cleaned(&done, &reason);
    let kept = done.kept.into_iter().map(|kept| Kept {
        build: kept.build,
        reason: kept.reason,
    });
    let answer = Answer {
        removed: done.removed,
        kept: kept.collect(),
        records: Records {
            removed: done.records.removed,
            kept: done.records.kept,
            reason,
        },
    };
    session.output.answer("clean", &answer, &text);
    Ok(())
}

fn cleaned(done: &Cleaning, reason: &str) -> String {
    let word = |word: &str| word.to_owned();
    let removed = done.removed.iter();
    let mut rows: Vec<Vec<String>> = removed
        .map(|build| vec![word("removed"), build.clone()])
        .collect();
    for kept in &done.kept {
        rows.push(vec![word("kept"), kept.build.clone(), word(kept.reason)]);
    }
    let files = |count: usize| format!("{count} files of earlier changes");
    if !done.records.removed.is_empty() {
        rows.push(vec![word("removed"), files(done.records.removed.len())]);
    }
    if done.records.kept > 0 {
        rows.push(vec![word("kept"), files(done.records.kept), word(reason)]);
    }
    match rows.is_empty() {
        true => "nothing is installed\n".to_owned(),
        false => table(&rows),
    }
}

/// Why small files of earlier changes stay.
fn records_kept(newest: usize) -> String {
    let needed = "installed kernels and the ways back need them";
    match newest {
        1 => format!("{needed}, or they are the last change's"),
        newest => format!("{needed}, or they are of the newest {newest} changes"),
    }
}

fn planned(session: &Session<'_>, done: Cleaning, reason: &str) {
    let gone = done.removed.into_iter().chain(done.records.removed);
    let mut step = Step::planned("clean", gone.collect());
    step.what
        .iter_mut()
        .filter(|_| step.needed)
        .for_each(|gone| gone.insert_str(0, "remove "));
    let kept = done.kept.iter();
    step.what
        .extend(kept.map(|kept| format!("keep {}: {}", kept.build, kept.reason)));
    if done.records.kept > 0 {
        let files = done.records.kept;
        step.what
            .push(format!("keep {files} files of earlier changes: {reason}"));
    }
    outlook::show(session, &[step], None);
}

pub(super) fn trial_check(session: &Session<'_>, args: TrialCheckArgs) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Answer {
        checks: Vec<Check>,
    }
    let checks = trial::check(&session.context, args.gpu, args.without)?;
    let row = |check: &Check| {
        let status = format!("{:?}", check.status).to_lowercase();
        vec![check.id.to_owned(), status, check.summary.clone()]
    };
    let text = table(&checks.iter().map(row).collect::<Vec<_>>());
    session
        .output
        .answer("trial-check", &Answer { checks }, &text);
    Ok(())
}
