//! The edge: arguments in, one verb run, an exit code out.
//!
//! In: the process's arguments. Out: results on standard output, talk and errors on standard error.
//! Must not know how anything is done; [`crate::pipeline`] does.

mod args;
mod doctor;
mod drift;
mod nightly;
mod outlook;
mod output;
mod probe;
mod proof;
mod publish;
mod smoke;
mod table;
mod verbs;
mod verify;
mod windows;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser as _;

use self::args::{Cli, Color, Global, Verb};
use self::output::Output;
use crate::boot;
use crate::error::Error;
use crate::exec::Duct;
use crate::exit::Exit;
use crate::home::Home;
use crate::pipeline::{self, Context};
use crate::process::{self, Interrupt};
use crate::report::{self, Heartbeat, Lines, Reporter, Terminal};
use crate::settings::{self, Place};
use crate::smoke::victim;

/// Does what the arguments say and returns the exit code.
pub fn run(args: impl Iterator<Item = OsString>) -> u8 {
    let args: Vec<OsString> = args.collect();
    if let Some(exit) = boot::agent::run_if_called(&args) {
        return exit;
    }
    let json = args.iter().any(|arg| arg == "--json");
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return output::usage(&error, json),
    };
    if let Verb::Victim(victim) = &cli.verb {
        return victim::run(&victim.rest);
    }
    if let Verb::ProbePart(part) = &cli.verb {
        return crate::probe::part::run(&part.rest);
    }
    let output = Output::new(cli.global.json, colour(cli.global.color));
    let exit = match dispatch(cli, &output) {
        Ok(exit) => exit,
        Err(error) => {
            output.error(&error);
            error.exit()
        }
    };
    exit as u8
}

fn dispatch(cli: Cli, output: &Output) -> Result<Exit, Error> {
    let interrupt = Interrupt::listen().map_err(Error::Start)?;
    let (reporter, _heartbeat) = reporter(&cli.global);
    let session = Session {
        context: context(&cli.global, reporter, interrupt)?,
        global: cli.global,
        output,
    };
    if !cli.verb.sees_windows() && !session.global.dry_run {
        pipeline::windows::tidy(&session.context);
    }
    let done = match cli.verb {
        Verb::Doctor(args) => return Ok(doctor::doctor(&session, args)),
        Verb::Smoke(args) => return smoke::smoke(&session, args),
        Verb::Probe(args) => return probe::probe(&session, args),
        Verb::Nightly(args) => return nightly::nightly(&session, args),
        Verb::Tags(args) => verbs::tags(&session, args),
        Verb::Fetch(args) => verbs::fetch(&session, args),
        Verb::Config(args) => verbs::config(&session, args),
        Verb::Drift(args) => return drift::drift(&session, args),
        Verb::Explain(args) => verbs::explain(&session, args),
        Verb::Build(args) => verbs::build(&session, args),
        Verb::Boot(args) => return verbs::boot(&session, args),
        Verb::Verify(args) => return verify::verify(&session, args),
        Verb::Publish(args) => publish::publish(&session, args),
        Verb::Install(args) => windows::install(&session, args),
        Verb::Rollback(args) => windows::rollback(&session, args),
        Verb::Status(args) => windows::status(&session, args),
        Verb::Clean(args) => windows::clean(&session, args),
        Verb::TrialCheck(args) => windows::trial_check(&session, args),
        Verb::Completions(args) => {
            verbs::completions(&args);
            Ok(())
        }
        Verb::Victim(_) | Verb::ProbePart(_) => Ok(()),
    };
    done.map(|()| Exit::Done)
}

/// What every verb has at hand.
struct Session<'a> {
    context: Context,
    global: Global,
    output: &'a Output,
}

impl Session<'_> {
    /// The settings, after flags, file and defaults.
    fn settings(&self, overrides: settings::Overrides) -> Result<settings::Settings, Error> {
        let candidates = [
            PathBuf::from("wslk.toml"),
            process::config_home().join("wslk/config.toml"),
        ];
        let found = settings::load(self.global.config.as_deref(), &candidates)?;
        // Pins belong to a project where there is one, as its settings do; else to the home.
        let project = found
            .as_ref()
            .is_some_and(|(path, _)| *path != candidates[1]);
        let (path, raw) = found.unwrap_or_default();
        let folder = path.parent().map(PathBuf::from).unwrap_or_default();
        let pins = if project {
            folder.clone()
        } else {
            self.context.home.root().to_owned()
        };
        let place = Place {
            folder,
            lock_file: pins.join("wslk.lock"),
        };
        Ok(settings::resolve(overrides, raw, &place)?)
    }
}

fn context(global: &Global, reporter: Reporter, interrupt: Interrupt) -> Result<Context, Error> {
    let home = global
        .home
        .clone()
        .or_else(|| process::env_var("WSLK_HOME").map(PathBuf::from))
        .unwrap_or_else(|| process::data_home().join("wslk"));
    let home = std::path::absolute(&home).unwrap_or(home);
    Ok(Context {
        home: Home::new(home, process::cache_home().join("wslk")),
        reporter,
        runner: Arc::new(Duct::new(interrupt.clone())),
        interrupt,
        program: process::program().map_err(Error::Start)?,
    })
}

/// Who is told; and where that is a log, the sign of life in it.
fn reporter(global: &Global) -> (Reporter, Option<Heartbeat>) {
    if global.quiet {
        return (Reporter::silent(), None);
    }
    if process::stderr_is_terminal() {
        let terminal = Terminal::new(global.verbose, colour(global.color));
        return (Reporter::new(vec![Box::new(terminal)]), None);
    }
    let lines = Arc::new(Lines::new(process::stderr(), global.verbose));
    let heartbeat = Heartbeat::over(Arc::clone(&lines), report::SILENCE);
    (Reporter::new(vec![Box::new(lines)]), Some(heartbeat))
}

fn colour(choice: Color) -> bool {
    match choice {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => process::stderr_is_terminal() && process::env_var("NO_COLOR").is_none(),
    }
}
