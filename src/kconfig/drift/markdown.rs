//! A drift as Markdown, for the body of an issue or a summary of a job: all of it, help texts folded away.
//!
//! In: a [`Drift`] and what was accepted. Out: text in which names of a tree cannot become markup.

use std::fmt::Write as _;

use super::render::{kinds, signs, types};
use super::{Change, Concern, Drift, Facts, Kind, Reviews};

impl Drift {
    /// The drift as GitHub's Markdown; ends in a line end.
    #[must_use]
    pub fn markdown(&self, reviews: &Reviews) -> String {
        let Self { old, new, .. } = self;
        let mut text = format!(
            "## Configuration: {} → {}\n\n{}.\n",
            plain(&old.name),
            plain(&new.name),
            self.totals()
        );
        if !self.trees {
            text.push_str("\nOnly lines of the files were compared: types, defaults and help texts are in a tree.\n");
        }
        self.watched_table(&mut text, reviews);
        let tables: [(Kind, &str, [&str; 4]); 6] = [
            (Kind::Gone, "Gone", ["option", "was", "prompt", "defined"]),
            (
                Kind::Renamed,
                "Renamed, by the look of it",
                ["before", "now", "value", "signs"],
            ),
            (
                Kind::Type,
                "Type changed",
                ["option", "type", "value", "prompt"],
            ),
            (
                Kind::Module,
                "Built in or module",
                ["option", "before", "now", "prompt"],
            ),
            (
                Kind::Value,
                "Value changed",
                ["option", "before", "now", "prompt"],
            ),
            (
                Kind::Default,
                "Default changed",
                ["option", "value", "default before", "default now"],
            ),
        ];
        let [before @ .., defaults] = &tables;
        for (kind, title, head) in before {
            self.table(&mut text, *kind, title, head);
        }
        self.news(&mut text);
        let (kind, title, head) = defaults;
        self.table(&mut text, *kind, title, head);
        text
    }

    fn watched_table(&self, text: &mut String, reviews: &Reviews) {
        let watched: Vec<&Change> = self
            .changes
            .iter()
            .filter(|change| change.concern != Concern::Other)
            .collect();
        heading(text, "Contract and guarded options", watched.len());
        if watched.is_empty() {
            text.push_str("None changed.\n");
            return;
        }
        head(
            text,
            &[
                "option",
                "who",
                "what",
                "before",
                "now",
                "asked for by",
                "review",
            ],
        );
        for change in watched {
            let renamed = match &change.was {
                Some(was) => format!(": {} → {}, {}", was.symbol, change.symbol, signs(change)),
                None => String::new(),
            };
            let origin = change
                .wanted
                .as_ref()
                .map(|wanted| wanted.origin.to_string());
            let cells = [
                code(change.known_as().as_str()),
                change.concern.word().to_owned(),
                format!("{}{renamed}", kinds(change)),
                code(&change.from.to_string()),
                code(&change.to.to_string()),
                plain(&origin.unwrap_or_default()),
                plain(&self.review(change, reviews)),
            ];
            row(text, &cells);
        }
    }

    fn table(&self, text: &mut String, kind: Kind, title: &str, columns: &[&str]) {
        let changes = self.of(false, kind);
        if changes.is_empty() {
            return;
        }
        heading(text, title, changes.len());
        head(text, columns);
        changes.iter().for_each(|change| row(text, &cells(change)));
    }

    /// Every new option with what its tree says of it.
    fn news(&self, text: &mut String) {
        let changes = self.of(false, Kind::New);
        if changes.is_empty() {
            return;
        }
        heading(text, "New", changes.len());
        for change in changes {
            let offered = match change.offered {
                true => code(&change.to.to_string()),
                false => "not offered by this configuration".to_owned(),
            };
            let _infallible = write!(text, "- **{}** {offered}", code(change.symbol.as_str()));
            change.new.iter().for_each(|facts| news(text, facts));
            text.push('\n');
        }
    }
}

fn news(text: &mut String, facts: &Facts) {
    let known = facts
        .symbol_type
        .map_or("unknown type", |known| known.name());
    let _infallible = write!(text, " · {known}");
    if let Some(prompt) = &facts.prompt {
        let _infallible = write!(text, " · {}", plain(prompt));
    }
    if !facts.defined.is_empty() {
        let _infallible = write!(text, " · {}", code(&facts.defined.join(", ")));
    }
    if !facts.depends_on.is_empty() {
        let _infallible = write!(text, "\n  depends on {}", code(&facts.depends_on));
    }
    if !facts.help.is_empty() {
        // In one line: an empty one would end the block, and the rest would be read as Markdown.
        let help = html(&facts.help).replace('\n', "&#10;");
        let _infallible = write!(
            text,
            "\n  <details><summary>help</summary><pre>{help}</pre></details>"
        );
    }
}

fn cells(change: &Change) -> [String; 4] {
    let facts = change.new.as_ref().or(change.old.as_ref());
    let prompt = facts.and_then(|facts| facts.prompt.as_deref());
    let prompt = plain(prompt.unwrap_or_default());
    let name = code(change.symbol.as_str());
    let (from, to) = (code(&change.from.to_string()), code(&change.to.to_string()));
    let defaults = |facts: &Option<Facts>| {
        let all = facts.iter().flat_map(|facts| &facts.defaults);
        all.map(|default| code(default))
            .collect::<Vec<_>>()
            .join("; ")
    };
    match change.kind() {
        Kind::Gone => {
            let defined = facts.map(|facts| facts.defined.join(", "));
            [name, from, prompt, code(&defined.unwrap_or_default())]
        }
        Kind::Renamed => {
            let old = change
                .was
                .as_ref()
                .map_or(&change.symbol, |was| &was.symbol);
            [
                code(old.as_str()),
                name,
                format!("{from} → {to}"),
                signs(change),
            ]
        }
        Kind::Type => [name, types(change), format!("{from} → {to}"), prompt],
        Kind::Default => [name, to, defaults(&change.old), defaults(&change.new)],
        Kind::Module | Kind::Value | Kind::New => [name, from, to, prompt],
    }
}

fn heading(text: &mut String, title: &str, count: usize) {
    let _infallible = write!(text, "\n### {title} ({count})\n\n");
}

fn head(text: &mut String, columns: &[&str]) {
    let rule: Vec<&str> = columns.iter().map(|_| "---").collect();
    let _infallible = writeln!(
        text,
        "| {} |\n| {} |",
        columns.join(" | "),
        rule.join(" | ")
    );
}

fn row(text: &mut String, cells: &[String]) {
    let _infallible = writeln!(text, "| {} |", cells.join(" | "));
}

/// A code span; nothing for nothing. A bar would end a table's cell even in there.
fn code(text: &str) -> String {
    match text.is_empty() {
        true => String::new(),
        false => format!(
            "`{}`",
            text.replace('`', "'")
                .replace('|', "\\|")
                .replace('\n', " ")
        ),
    }
}

/// Text as it is: no markup, in one line.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push(' '),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' | '@' => out.extend(['\\', c]),
            _ => out.push(c),
        }
    }
    html(&out)
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
