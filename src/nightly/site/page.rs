//! The page for people.
//!
//! In: a [`Ledger`] and [`Shelves`]. Out: HTML that is also well-formed XML. Must not fetch, run or embed
//! anything, and must not let text of a kernel or a log be anything but text: the template escapes all of it,
//! and links are made of plain names only. Colour never carries a meaning alone: each verdict has a word and a
//! symbol.

use std::time::{Duration, UNIX_EPOCH};

use askama::Template;

use super::shelf::{self, Shelves};
use super::trend;
use crate::error::Error;
use crate::nightly::ledger::{Blame, Entry, Ledger, Regression, Row, Stage};
use crate::report::html::Plot;
use crate::report::size;
use crate::smoke::Verdict;

/// Draws the page.
pub(super) fn page(ledger: &Ledger, shelves: &Shelves) -> Result<String, Error> {
    let newest = || ledger.entries().iter().rev();
    let tags: Vec<TagView> = newest().map(|entry| TagView::new(entry, shelves)).collect();
    let installable = newest().find(|entry| *state(entry) == STATES[0]);
    let view = View {
        counts: counts(&tags),
        newest: installable.map(|entry| entry.tag.version()),
        control: newest().any(|entry| entry.judged.control.is_some()),
        moved: newest().map(|entry| entry.time).max().map(date),
        matrix: Matrix::new(ledger),
        plots: trend::plots(ledger),
        states: &STATES,
        verdicts: VERDICTS.iter().map(|verdict| mark(*verdict)).collect(),
        version: env!("CARGO_PKG_VERSION"),
        tags,
    };
    view.render()
        .map_err(|error| Error::Page(error.to_string()))
}

#[derive(Template)]
#[template(path = "site.html", config = "src/report/html/askama.toml")]
struct View {
    counts: Vec<Count>,
    newest: Option<String>,
    moved: Option<String>,
    /// Whether any kernel was compared with one.
    control: bool,
    tags: Vec<TagView>,
    matrix: Matrix,
    plots: Vec<Plot>,
    states: &'static [State],
    verdicts: Vec<Mark>,
    version: &'static str,
}

/// What became of a tag.
#[derive(Debug, PartialEq)]
struct State {
    class: &'static str,
    symbol: &'static str,
    word: &'static str,
    about: &'static str,
}

static STATES: [State; 5] = [
    State {
        class: "works",
        symbol: "✓",
        word: "published",
        about: "built, boot-tested, and here to be installed.",
    },
    State {
        class: "failed",
        symbol: "✕",
        word: "failed",
        about: "the kernel's own fault: it breaks the contract, does not compile, does not boot, or lost a scenario.",
    },
    State {
        class: "refused",
        symbol: "⊘",
        word: "refused",
        about: "the tag or its source is not what was pinned.",
    },
    State {
        class: "not-testable",
        symbol: "–",
        word: "not tried",
        about: "this machine or the network failed, which says nothing about the kernel; the next night tries again.",
    },
    State {
        class: "not-testable",
        symbol: "…",
        word: "on its way",
        about: "its night is not over.",
    },
];

fn state(entry: &Entry) -> &'static State {
    let number = match &entry.failure {
        Some(failure) => match failure.blame {
            Blame::Kernel => 1,
            Blame::Source => 2,
            Blame::Harness => 3,
        },
        None if entry.stage == Stage::Published => 0,
        None => 4,
    };
    &STATES[number]
}

struct Count {
    state: &'static State,
    number: usize,
}

fn counts(tags: &[TagView]) -> Vec<Count> {
    let count = |state: &'static State| Count {
        number: tags.iter().filter(|tag| tag.state == state).count(),
        state,
    };
    STATES
        .iter()
        .map(count)
        .filter(|count| count.number > 0)
        .collect()
}

const VERDICTS: [Verdict; 4] = [
    Verdict::Works,
    Verdict::Fails,
    Verdict::Refused,
    Verdict::NotTestable,
];

/// A verdict on one scenario.
struct Mark {
    class: &'static str,
    symbol: &'static str,
    word: &'static str,
}

fn mark(verdict: Verdict) -> Mark {
    let (class, symbol, word) = match verdict {
        Verdict::Works => ("works", "✓", "works"),
        Verdict::Fails => ("failed", "✕", "fails"),
        Verdict::Refused => ("refused", "⊘", "refused"),
        Verdict::NotTestable => ("not-testable", "–", "not testable"),
    };
    Mark {
        class,
        symbol,
        word,
    }
}

struct TagView {
    id: String,
    version: String,
    commit: String,
    date: String,
    profile: String,
    state: &'static State,
    /// The stage that it did not reach, or has reached on its way.
    stage: Option<String>,
    reason: Option<String>,
    hint: Option<String>,
    facts: Vec<Fact>,
    conclusion: Option<String>,
    regressions: Vec<String>,
    drift: Option<DriftView>,
    log: Option<String>,
    files: Vec<FileView>,
}

struct Fact {
    name: &'static str,
    value: String,
}

struct DriftView {
    since: String,
    changes: String,
    unreviewed: String,
    href: Option<String>,
}

struct FileView {
    href: String,
    name: String,
    about: &'static str,
    size: String,
}

impl TagView {
    fn new(entry: &Entry, shelves: &Shelves) -> Self {
        let judged = &entry.judged;
        let failure = entry.failure.as_ref();
        let stage = match failure {
            Some(failure) => Some(format!("before {}", failure.stage)),
            None if entry.stage == Stage::Published => None,
            None => Some(entry.stage.to_string()),
        };
        let path = judged.path.as_deref().and_then(shelf::safe);
        let log = entry.log.as_deref().and_then(shelf::safe);
        Self {
            id: entry.tag.to_string(),
            version: entry.tag.version(),
            commit: entry.commit.chars().take(12).collect(),
            date: date(entry.time),
            profile: entry.profile.clone(),
            state: state(entry),
            stage,
            reason: failure.map(|failure| failure.reason.clone()),
            hint: failure.and_then(|failure| failure.hint.clone()),
            facts: facts(entry),
            conclusion: judged.conclusion.clone(),
            regressions: judged.regressions.iter().map(regression).collect(),
            drift: judged.drift.as_ref().map(|drift| DriftView {
                since: drift.since.version(),
                changes: format!(
                    "{} new, {} gone, {} changed",
                    drift.new, drift.gone, drift.changed
                ),
                unreviewed: drift.unreviewed.join(", "),
                href: Some(shelf::drift(entry)).filter(|paper| shelves.has(paper)),
            }),
            log: log.filter(|log| shelves.has(log)).map(str::to_owned),
            files: path.map(|path| files(path, shelves)).unwrap_or_default(),
        }
    }
}

fn facts(entry: &Entry) -> Vec<Fact> {
    let judged = &entry.judged;
    let mut facts = Vec::new();
    let mut fact = |name: &'static str, value: Option<String>| {
        facts.extend(value.map(|value| Fact { name, value }));
    };
    fact(
        "scenarios",
        scenarios(&judged.scenarios, |row| Some(row.verdict)),
    );
    fact(
        "stock control",
        scenarios(&judged.scenarios, |row| row.control),
    );
    let sizes = [
        (judged.kernel_bytes, "kernel"),
        (judged.modules_bytes, "modules disk"),
    ];
    let sizes = sizes
        .iter()
        .filter_map(|(bytes, what)| bytes.map(|bytes| format!("{what} {}", size(bytes))));
    fact("size", joined(sizes));
    let times = [
        (entry.seconds.build, "build"),
        (entry.seconds.boot, "boot test"),
    ];
    let times = times
        .iter()
        .filter_map(|(seconds, what)| duration(*seconds).map(|time| format!("{what} {time}")));
    fact("took", joined(times));
    facts
}

fn joined(parts: impl Iterator<Item = String>) -> Option<String> {
    let parts: Vec<String> = parts.collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// "24 of 25 work, 1 not testable".
fn scenarios(rows: &[Row], verdict: impl Fn(&Row) -> Option<Verdict>) -> Option<String> {
    let verdicts: Vec<Verdict> = rows.iter().filter_map(verdict).collect();
    let count = |wanted: Verdict| {
        verdicts
            .iter()
            .filter(|verdict| **verdict == wanted)
            .count()
    };
    let mut text = format!("{} of {} work", count(Verdict::Works), verdicts.len());
    for (verdict, word) in [
        (Verdict::Fails, "failed"),
        (Verdict::Refused, "refused"),
        (Verdict::NotTestable, "not testable"),
    ] {
        if count(verdict) > 0 {
            text.push_str(&format!(", {} {word}", count(verdict)));
        }
    }
    (!verdicts.is_empty()).then_some(text)
}

fn regression(lost: &Regression) -> String {
    let untried: Vec<String> = lost.untried.iter().map(|tag| tag.version()).collect();
    let untried = match untried.is_empty() {
        true => String::new(),
        false => format!("; not to be tried between them: {}", untried.join(", ")),
    };
    let (good, bad) = (lost.good.version(), lost.bad.version());
    format!(
        "{} works up to {good} and not from {bad} on{untried}",
        lost.scenario
    )
}

fn files(path: &str, shelves: &Shelves) -> Vec<FileView> {
    let view = |item: &shelf::Item| {
        shelf::safe(&item.name).map(|name| FileView {
            href: format!("{path}/{name}"),
            name: name.to_owned(),
            about: shelf::about(name),
            size: size(item.bytes),
        })
    };
    shelves.items(path).iter().filter_map(view).collect()
}

/// Scenarios down, tags across, newest first.
struct Matrix {
    heads: Vec<Head>,
    rows: Vec<MatrixRow>,
}

struct Head {
    id: String,
    version: String,
    state: &'static State,
}

struct MatrixRow {
    scenario: String,
    cells: Vec<Cell>,
}

enum Cell {
    /// What became of the scenario.
    Tried(Tried),
    /// The tag's suite does not have it.
    Unknown,
    /// The tag was not booted, and why: one cell as high as the table, in its first row.
    Empty(String),
}

struct Tried {
    verdict: Mark,
    control: Option<Mark>,
    reason: String,
    /// The two are not the same.
    differs: bool,
}

impl Matrix {
    fn new(ledger: &Ledger) -> Self {
        let entries: Vec<&Entry> = ledger.entries().iter().rev().collect();
        let mut names: Vec<&str> = Vec::new();
        for row in entries.iter().flat_map(|entry| &entry.judged.scenarios) {
            if !names.contains(&row.name.as_str()) {
                names.push(&row.name);
            }
        }
        let row = |(number, name): (usize, &&str)| MatrixRow {
            scenario: (*name).to_owned(),
            cells: entries
                .iter()
                .filter_map(|entry| Cell::of(entry, name, number == 0))
                .collect(),
        };
        Self {
            rows: names.iter().enumerate().map(row).collect(),
            heads: entries.iter().map(|entry| Head::of(entry)).collect(),
        }
    }
}

impl Head {
    fn of(entry: &Entry) -> Self {
        Self {
            id: entry.tag.to_string(),
            version: entry.tag.version(),
            state: state(entry),
        }
    }
}

impl Cell {
    fn of(entry: &Entry, scenario: &str, first: bool) -> Option<Self> {
        let rows = &entry.judged.scenarios;
        if rows.is_empty() {
            let why = match &entry.failure {
                Some(failure) => format!("{} before {}", state(entry).word, failure.stage),
                None => format!("not booted yet: {}", entry.stage),
            };
            return first.then_some(Self::Empty(why));
        }
        let row = rows.iter().find(|row| row.name == scenario);
        Some(row.map_or(Self::Unknown, |row| {
            Self::Tried(Tried {
                verdict: mark(row.verdict),
                control: row.control.map(mark),
                reason: row.reason.clone().unwrap_or_default(),
                differs: row.control.is_some_and(|control| control != row.verdict),
            })
        }))
    }
}

/// What was found done took no time, and is not told.
fn duration(seconds: f64) -> Option<String> {
    let text = match seconds {
        none if none < 0.05 => return None,
        short if short < 100.0 => format!("{short:.0} s"),
        long => format!("{:.0} min", long / 60.0),
    };
    Some(text)
}

/// A day and a minute, in UTC.
fn date(seconds: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_secs(seconds);
    let text = humantime::format_rfc3339_seconds(time).to_string();
    text.get(..16).unwrap_or(&text).replace('T', " ")
}
