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
use crate::nightly::{self, Books, Entry, Ledger, Night, Tonight, Works, notice, summary};
use crate::pipeline::Step;
use crate::publish::Signer;
use crate::settings::{Overrides, Settings};
use crate::source::{RemoteTag, SourceError};

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

/// What a collection did not take.
#[derive(Debug, Serialize)]
struct Refused {
    folder: String,
    reason: String,
}

/// What a night did.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    exit: u8,
    known: usize,
    stopped: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused: Vec<Refused>,
    entries: &'a [Entry],
    summary: &'a str,
}

pub(super) fn nightly(session: &Session<'_>, args: NightlyArgs) -> Result<Exit, Error> {
    let (plan, summary, only) = (args.plan, args.summary.clone(), args.tags.clone());
    let mut settings = session.settings(overrides!(args.kernel, args.guest, args.night))?;
    settings.nightly.wanted.only = only;
    let home = &session.context.home;
    let site = settings.nightly.site.clone();
    let books = Books::new(home.ledger(), site.unwrap_or_else(|| home.site()));
    if let Some(url) = &settings.nightly.webhook {
        notice::check(url)?;
    }
    if !args.collect.is_empty() {
        return collected(
            session,
            &settings,
            &books,
            &args.collect,
            summary.as_deref(),
        );
    }
    let works = Works {
        context: &session.context,
        settings: &settings,
        books: &books,
        sign_key: settings.nightly.sign_key.clone().map(with_password),
    };
    if plan || session.global.dry_run {
        let night = begun(session, &works)?;
        let todo = night.todo(&settings.nightly.wanted);
        match plan {
            true => show_plan(session, &settings, &todo),
            false => show_outlook(session, &todo),
        }
        return Ok(Exit::Done);
    }
    let _lock = Lock::take(&home.night_lock())?;
    // What would be found out after an hour of building is asked now: the key, and the place for what comes out.
    if let Some((file, password)) = works.sign_key.clone() {
        Signer::read(&file, password)?;
    }
    let mut night = begun(session, &works)?;
    tidy(session, &books)?;
    books.show(night.ledger())?;
    let tonight = night.run(&settings.nightly.wanted);
    // What was judged is shown, also when the night was cut short.
    books.show(night.ledger())?;
    let tonight = tonight?;
    Ok(told(session, &settings, &tonight, &[], summary.as_deref()))
}

/// Removes what a night that was killed had under construction, unless somebody is at work there.
fn tidy(session: &Session<'_>, books: &Books) -> Result<(), Error> {
    let home = &session.context.home;
    if let Ok(_lock) = Lock::take(&home.lock()) {
        files::sweep(home.root())?;
    }
    books.tidy()
}

/// A night for which what is wanted is there. A typo must not look like a night without work.
fn begun<'a>(session: &Session<'_>, works: &'a Works<'a>) -> Result<Night<'a, Works<'a>>, Error> {
    let (settings, reporter) = (works.settings, &session.context.reporter);
    let night = Night::begin(works, works.books, &settings.profile)?;
    let (wanted, newest) = (&settings.nightly.wanted, night.newest());
    let url = settings.upstream.to_string();
    let missing = night.missing(wanted);
    let all = missing.len() == wanted.only.len().max(wanted.series.len());
    if let Some(&query) = missing.first().filter(|_| all || !wanted.only.is_empty()) {
        return Err(SourceError::NoSuchTag { url, query, newest }.into());
    }
    for query in &missing {
        reporter.warn(format!("{url} has no release {query}"));
    }
    let wants_since = wanted.since.filter(|_| wanted.only.is_empty());
    if let (Some(since), Some(last)) = (
        wants_since,
        newest.first().filter(|last| wants_since > Some(**last)),
    ) {
        reporter.warn(format!(
            "{url} has nothing since {since}: its newest is {last}"
        ));
    }
    Ok(night)
}

/// What other machines judged, taken over.
fn collected(
    session: &Session<'_>,
    settings: &Settings,
    books: &Books,
    folders: &[PathBuf],
    summary: Option<&Path>,
) -> Result<Exit, Error> {
    if session.global.dry_run {
        return show_collection(session, &books.read()?, folders);
    }
    let _lock = Lock::take(&session.context.home.night_lock())?;
    let mut ledger = books.read()?;
    // The place for it is asked before anything is taken.
    tidy(session, books)?;
    books.show(&ledger)?;
    let found = nightly::collect(books, &mut ledger, folders, &settings.trust)?;
    books.show(&ledger)?;
    let tonight = Tonight {
        known: ledger.entries().len(),
        entries: found.taken,
        stopped: false,
    };
    let mut refused = found.refused;
    if tonight.entries.is_empty() && refused.len() == 1 {
        return Err(refused.remove(0).1);
    }
    Ok(told(session, settings, &tonight, &refused, summary))
}

/// Tells everybody, and how it ended.
fn told(
    session: &Session<'_>,
    settings: &Settings,
    tonight: &Tonight,
    refused: &[(PathBuf, Error)],
    summary: Option<&Path>,
) -> Exit {
    let reporter = &session.context.reporter;
    for (folder, error) in refused {
        let folder = folder.display();
        reporter.warn(format!("not taken from {folder}: {}", error.chain()));
    }
    let text = summary::markdown(tonight);
    let mut answer = answer(tonight, refused, &text);
    let written = summary.is_none_or(|path| match files::put_out(path, &text) {
        Ok(()) => true,
        Err(error) => {
            reporter.warn(Error::from(error).chain());
            false
        }
    });
    let webhook = settings.nightly.webhook.as_deref();
    let heard = webhook.is_none_or(|url| tell(session, url, &answer));
    let exit = match (tonight.exit(), refused.first()) {
        (Exit::Done, Some((_, error))) => error.exit(),
        (Exit::Done, None) if !(written && heard) => Exit::CannotTest,
        (exit, _) => exit,
    };
    answer.exit = exit as u8;
    session.output.answer("nightly", &answer, &screen(tonight));
    exit
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

fn answer<'a>(tonight: &'a Tonight, refused: &[(PathBuf, Error)], summary: &'a str) -> Answer<'a> {
    let refused = refused.iter().map(|(folder, error)| Refused {
        folder: folder.display().to_string(),
        reason: error.chain(),
    });
    Answer {
        exit: tonight.exit() as u8,
        refused: refused.collect(),
        known: tonight.known,
        stopped: tonight.stopped,
        entries: &tonight.entries,
        summary,
    }
}

/// For people: a line per tag.
fn screen(tonight: &Tonight) -> String {
    if tonight.entries.is_empty() && tonight.known == 0 {
        return "nothing to do: no tag of the upstream is wanted\n".to_owned();
    }
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

fn show_collection(
    session: &Session<'_>,
    ledger: &Ledger,
    folders: &[PathBuf],
) -> Result<Exit, Error> {
    let mut lines = Vec::new();
    for folder in folders {
        for entry in nightly::news(ledger, folder)? {
            lines.push(format!("take {} from {}", entry.tag, folder.display()));
        }
    }
    if lines.is_empty() {
        lines.push("nothing: what is in the folders is known".to_owned());
    }
    outlook::show(session, &[Step::planned("nightly", lines)], None);
    Ok(Exit::Done)
}
