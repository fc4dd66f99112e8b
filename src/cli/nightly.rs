//! `wslk nightly`: every new tag through the pipeline, and what came of it.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::args::{NightlyArgs, overrides};
use super::publish::with_password;
use super::table::table;
use super::{Session, outlook, output};
use crate::error::Error;
use crate::exit::Exit;
use crate::files::{self, Lock};
use crate::nightly::{self, Books, Entry, Night, Tonight, Works, notice, site, summary};
use crate::pipeline::Step;
use crate::settings::{Overrides, Settings};
use crate::source::RemoteTag;

/// One tag that there is something to do about: a job of its own, where there are many machines.
#[derive(Debug, Serialize)]
struct Job<'a> {
    tag: String,
    name: &'a str,
    commit: String,
    profile: &'a str,
}

impl<'a> Job<'a> {
    fn of(tag: &'a RemoteTag, settings: &'a Settings) -> Self {
        Self {
            tag: tag.tag.version(),
            name: &tag.name,
            commit: tag.commit.to_string(),
            profile: &settings.profile,
        }
    }
}

/// What a night did.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    exit: u8,
    known: usize,
    stopped: bool,
    entries: &'a [Entry],
    summary: &'a str,
}

pub(super) fn nightly(session: &Session<'_>, args: NightlyArgs) -> Result<Exit, Error> {
    let (plan, summary, only) = (args.plan, args.summary.clone(), args.tags.clone());
    let mut settings = session.settings(overrides!(
        args.source,
        args.kconfig,
        args.engine,
        args.guest,
        args.night
    ))?;
    settings.nightly.wanted.only = only;
    let home = &session.context.home;
    let site = settings.nightly.site.clone();
    let books = Books::new(home.ledger(), site.unwrap_or_else(|| home.site()));
    let works = Works {
        context: &session.context,
        settings: &settings,
        books: &books,
        sign_key: settings.nightly.sign_key.clone().map(with_password),
    };
    if plan || session.global.dry_run {
        let night = Night::begin(&works, &books, &settings.profile)?;
        let todo = night.todo(&settings.nightly.wanted);
        match plan {
            true => show_plan(session, &settings, &todo),
            false => show_outlook(session, &todo),
        }
        return Ok(Exit::Done);
    }
    let _lock = Lock::take(&home.night_lock())?;
    if !args.collect.is_empty() {
        return collected(session, &books, &args.collect, summary.as_deref());
    }
    let mut night = Night::begin(&works, &books, &settings.profile)?;
    let tonight = night.run(&settings.nightly.wanted);
    // What was judged is shown, also when the night was cut short.
    books.show(night.ledger())?;
    let tonight = tonight?;
    site::write(books.site(), night.ledger())?;
    let text = summary::markdown(&tonight);
    if let Some(path) = summary {
        files::replace(&path, &text)?;
    }
    let answer = answer(&tonight, &text);
    session.output.answer("nightly", &answer, &screen(&tonight));
    let told = match &settings.nightly.webhook {
        Some(url) => tell(session, url, &answer),
        None => true,
    };
    Ok(match tonight.exit() {
        Exit::Done if !told => Exit::CannotTest,
        exit => exit,
    })
}

/// What other machines judged, taken over.
fn collected(
    session: &Session<'_>,
    books: &Books,
    folders: &[PathBuf],
    summary: Option<&Path>,
) -> Result<Exit, Error> {
    let mut ledger = books.read()?;
    let entries = nightly::collect(books, &mut ledger, folders)?;
    books.show(&ledger)?;
    let tonight = Tonight {
        known: ledger.entries().len(),
        entries,
        stopped: false,
    };
    let text = summary::markdown(&tonight);
    if let Some(path) = summary {
        files::replace(path, &text)?;
    }
    session
        .output
        .answer("nightly", &answer(&tonight, &text), &screen(&tonight));
    Ok(tonight.exit())
}

/// Whether the server took it. What was judged stays judged if it did not.
fn tell(session: &Session<'_>, url: &str, answer: &Answer<'_>) -> bool {
    let context = &session.context;
    let document = output::document("nightly", answer);
    let told = notice::send(url, &document, &context.reporter, &context.interrupt);
    if let Err(error) = &told {
        context
            .reporter
            .warn(format!("nobody took the notice: {error}"));
    }
    told.is_ok()
}

fn answer<'a>(tonight: &'a Tonight, summary: &'a str) -> Answer<'a> {
    Answer {
        exit: tonight.exit() as u8,
        known: tonight.known,
        stopped: tonight.stopped,
        entries: &tonight.entries,
        summary,
    }
}

/// For people: a line per tag.
fn screen(tonight: &Tonight) -> String {
    if tonight.entries.is_empty() {
        return format!("nothing to do: all {} tags are judged\n", tonight.known);
    }
    let row = |entry: &Entry| {
        let why = entry.failure.as_ref().map(|failure| failure.reason.clone());
        let state = match &entry.failure {
            Some(failure) => format!("failed before {}", failure.stage),
            None => entry.stage.to_string(),
        };
        vec![entry.tag.version(), state, why.unwrap_or_default()]
    };
    table(&tonight.entries.iter().map(row).collect::<Vec<_>>())
}

/// The matrix of a CI engine: one line of JSON that it takes as it is.
fn show_plan(session: &Session<'_>, settings: &Settings, todo: &[RemoteTag]) {
    #[derive(Serialize)]
    struct Plan<'a> {
        include: Vec<Job<'a>>,
    }
    let job = |tag| Job::of(tag, settings);
    let plan = Plan {
        include: todo.iter().map(job).collect(),
    };
    let line = serde_json::to_string(&plan).unwrap_or_default() + "\n";
    session.output.answer("nightly-plan", &plan, &line);
}

fn show_outlook(session: &Session<'_>, todo: &[RemoteTag]) {
    let line = |tag: &RemoteTag| format!("{} ({})", tag.name, tag.commit);
    let step = match todo {
        [] => Step::planned(
            "nightly",
            vec!["nothing: every wanted tag is judged".to_owned()],
        ),
        todo => Step::planned("nightly", todo.iter().map(line).collect()),
    };
    outlook::show(session, &[step], None);
}
