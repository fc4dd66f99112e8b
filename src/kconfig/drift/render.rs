//! A drift for a terminal: the contract first and whole, then the others kind by kind, cut where they are many.
//!
//! In: a [`Drift`] and what was accepted. Out: text. Must not decide anything.

use std::fmt::Write as _;

use super::{Change, Concern, Drift, Facts, Kind, Reviews};

/// Options of one kind that are shown before the rest becomes a number.
const SHOWN: usize = 20;
/// Lines of a help text.
const HELP_LINES: usize = 8;
/// Characters of a line of names.
const WIDTH: usize = 96;

impl Drift {
    /// The drift for people; ends in a line end.
    #[must_use]
    pub fn render(&self, reviews: &Reviews) -> String {
        let Self { old, new, .. } = self;
        let mut text = format!("{old} -> {new}: {}\n", self.totals());
        if !self.trees {
            let note = "only lines of the files were compared: types, defaults and help texts are in a tree";
            line(&mut text, 1, note);
        }
        self.watched(&mut text, reviews);
        for kind in Kind::ALL {
            self.others(&mut text, kind);
        }
        text
    }

    fn watched(&self, text: &mut String, reviews: &Reviews) {
        let watched: Vec<&Change> = self
            .changes
            .iter()
            .filter(|change| change.concern != Concern::Other)
            .collect();
        if watched.is_empty() {
            line(
                text,
                0,
                "\nno option of the contract and no guarded one changed",
            );
            return;
        }
        line(text, 0, "\ncontract and guarded options");
        let row = |change: &&Change| {
            let name = change.known_as().to_string();
            let move_ = format!("{} -> {}", change.from, change.to);
            let concern = change.concern.word().to_owned();
            [
                name,
                move_,
                kinds(change),
                concern,
                self.review(change, reviews),
            ]
        };
        let rows: Vec<[String; 5]> = watched.iter().map(row).collect();
        let rows = aligned(&rows);
        for (change, row) in watched.iter().zip(rows) {
            line(text, 1, &row);
            if let Some(was) = &change.was {
                line(
                    text,
                    3,
                    &format!("{} -> {}: {}", was.symbol, change.symbol, signs(change)),
                );
            }
            if let Some(wanted) = &change.wanted {
                let needed = match wanted.needed_by.as_str() {
                    "" => String::new(),
                    needed_by => format!(", needed by: {needed_by}"),
                };
                line(text, 3, &format!("{wanted} ({}{needed})", wanted.origin));
            }
            defaults(text, change);
        }
    }

    /// What became of the duty to review.
    pub(super) fn review(&self, change: &Change, reviews: &Reviews) -> String {
        match self.accepted(change, reviews) {
            _ if !change.needs_review() => "no review needed".to_owned(),
            Some(accepted) => format!("accepted by {}: {}", accepted.who, accepted.why),
            None => "NOT REVIEWED".to_owned(),
        }
    }

    fn others(&self, text: &mut String, kind: Kind) {
        let (offered, rest): (Vec<&Change>, Vec<&Change>) = self
            .of(false, kind)
            .into_iter()
            .partition(|change| change.offered || kind == Kind::Renamed);
        if !offered.is_empty() {
            line(text, 0, &format!("\n{} ({})", title(kind), offered.len()));
        }
        let rows: Vec<[String; 3]> = offered
            .iter()
            .take(SHOWN)
            .map(|change| row(change))
            .collect();
        for (change, row) in offered.iter().zip(aligned(&rows)) {
            line(text, 1, &row);
            match kind {
                Kind::New => new(text, change.new.as_ref()),
                Kind::Default => defaults(text, change),
                _ => {}
            }
        }
        more(text, offered.len());
        if !rest.is_empty() {
            let title = format!(
                "\n{}, not offered by this configuration ({})",
                title(kind),
                rest.len()
            );
            line(text, 0, &title);
            names(text, &rest);
        }
    }
}

fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::Gone => "gone",
        Kind::Renamed => "renamed, by the look of it",
        Kind::Type => "of another type",
        Kind::Module => "built in or module",
        Kind::Value => "of another value",
        Kind::New => "new",
        Kind::Default => "of another default",
    }
}

fn row(change: &Change) -> [String; 3] {
    let facts = change.new.as_ref().or(change.old.as_ref());
    let prompt = facts
        .and_then(|facts| facts.prompt.clone())
        .unwrap_or_default();
    let Change {
        symbol, from, to, ..
    } = change;
    match change.kind() {
        Kind::Gone => [symbol.to_string(), format!("was {from}"), prompt],
        Kind::New => [symbol.to_string(), to.to_string(), prompt],
        Kind::Default => [symbol.to_string(), format!("stays {to}"), prompt],
        Kind::Renamed => {
            let old = change.was.as_ref().map_or(symbol, |was| &was.symbol);
            let value = format!("{from} -> {to}");
            [format!("{old} -> {symbol}"), value, signs(change)]
        }
        Kind::Type => [symbol.to_string(), types(change), format!("{from} -> {to}")],
        Kind::Module | Kind::Value => [symbol.to_string(), format!("{from} -> {to}"), prompt],
    }
}

/// "bool -> tristate".
pub(super) fn types(change: &Change) -> String {
    let name = |facts: &Option<Facts>| {
        let known = facts.as_ref().and_then(|facts| facts.symbol_type);
        known.map_or("unknown", |known| known.name())
    };
    format!("{} -> {}", name(&change.old), name(&change.new))
}

/// What speaks for a rename.
pub(super) fn signs(change: &Change) -> String {
    let signs = change.was.iter().flat_map(|was| &was.signs);
    signs
        .map(|sign| sign.words())
        .collect::<Vec<_>>()
        .join(", ")
}

/// All kinds of a change in words.
pub(super) fn kinds(change: &Change) -> String {
    let words = |kind: &Kind| match kind {
        Kind::Type => format!("{}: {}", kind.words(), types(change)),
        kind => kind.words().to_owned(),
    };
    change
        .kinds
        .iter()
        .map(words)
        .collect::<Vec<_>>()
        .join(", ")
}

fn new(text: &mut String, facts: Option<&Facts>) {
    let Some(facts) = facts else {
        return;
    };
    let known = facts
        .symbol_type
        .map_or("unknown type", |known| known.name());
    line(text, 3, &format!("{known}, {}", facts.defined.join(", ")));
    if !facts.depends_on.is_empty() {
        line(text, 3, &format!("depends on {}", facts.depends_on));
    }
    let help: Vec<&str> = facts.help.lines().collect();
    help.iter()
        .take(HELP_LINES)
        .for_each(|words| line(text, 4, words));
    if help.len() > HELP_LINES {
        line(text, 4, "…");
    }
}

fn defaults(text: &mut String, change: &Change) {
    if let (true, Some(old), Some(new)) = (
        change.kinds.contains(&Kind::Default),
        &change.old,
        &change.new,
    ) {
        let shown = |defaults: &[String]| match defaults.is_empty() {
            true => "none".to_owned(),
            false => defaults.join("; "),
        };
        let (before, after) = (shown(&old.defaults), shown(&new.defaults));
        line(text, 3, &cut(&format!("default {before} -> {after}")));
    }
}

/// Conditions can be longer than a screen.
fn cut(text: &str) -> String {
    match text.char_indices().nth(2 * WIDTH) {
        Some((at, _)) => format!("{} …", &text[..at]),
        None => text.to_owned(),
    }
}

fn more(text: &mut String, all: usize) {
    if all > SHOWN {
        let more = format!(
            "and {} more; --markdown and --json name them all",
            all - SHOWN
        );
        line(text, 1, &more);
    }
}

fn names(text: &mut String, changes: &[&Change]) {
    let mut words = String::new();
    for change in changes.iter().take(3 * SHOWN) {
        let name = change.symbol.as_str();
        if words.len() + name.len() > WIDTH {
            line(text, 1, &words);
            words.clear();
        }
        words.push_str(name);
        words.push(' ');
    }
    line(text, 1, &words);
    if changes.len() > 3 * SHOWN {
        line(text, 1, &format!("and {} more", changes.len() - 3 * SHOWN));
    }
}

/// Columns as wide as their widest cell; the last is not padded.
fn aligned<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let one = |row: &[String; N]| {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ")
    };
    rows.iter().map(one).collect()
}

fn line(text: &mut String, depth: usize, content: &str) {
    // Writing to a string cannot fail.
    let _infallible = writeln!(
        text,
        "{:indent$}{}",
        "",
        content.trim_end(),
        indent = 2 * depth
    );
}
