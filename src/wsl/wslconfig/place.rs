//! Where in the file an edit goes.
//!
//! In: a [`WslConfig`], a key, and its value as it is to be written. Out: the place in the text and what
//! to put there. Must not move a line that it does not add: whatever WSL made of the others, it still does.

use std::ops::Range;

use super::grammar::{Bad, Fault, Kind, Setting, Standing, Statement, readable};
use super::{Key, WslConfig};

/// Where a key's value goes, and the text to put there.
pub(super) fn place(config: &WslConfig, key: Key, source: &str) -> (Range<usize>, String) {
    let text = config.text();
    let mut candidates = config
        .statements
        .iter()
        .enumerate()
        .filter_map(|(at, statement)| match &statement.kind {
            Kind::Setting(setting) => {
                let standing = setting.standing(text, key.section, key.name)?;
                Some((at, setting, standing))
            }
            _ => None,
        });
    let first = candidates.next();
    if let Some((_, setting, Standing::Certain)) = first {
        return in_place(setting, source);
    }
    let doubtful = first.map(|(at, ..)| at);
    let line = format!("{}={source}", key.name);
    if let Some(home) = home(config, key).filter(|home| doubtful.is_none_or(|at| *home < at)) {
        return after(config, anchor(config, home), &line);
    }
    let block = |at: usize| {
        let end = line_end(text, at);
        format!("[{}]{end}{line}{end}", key.section)
    };
    let good_header = |s: &&Statement| matches!(s.kind, Kind::Section(_));
    match config
        .statements
        .iter()
        .find(good_header)
        .filter(|_| doubtful.is_some())
    {
        // Ahead of a good header nobody is disturbed: what follows belongs to that header.
        Some(header) => (
            header.span.start..header.span.start,
            block(header.span.start),
        ),
        None => at_end(config, &block(text.len())),
    }
}

fn in_place(setting: &Setting, source: &str) -> (Range<usize>, String) {
    if !setting.raw.is_empty() {
        return (setting.raw.clone(), source.to_owned());
    }
    // No value yet: it comes behind one blank, and leaves one before a comment.
    let blanks = setting.raw.start - setting.after_equals;
    let needed = if setting.comment.is_some() { 2 } else { 1 };
    let at = setting.after_equals + usize::from(blanks >= needed);
    (at..at, source.to_owned())
}

/// The first good header of the key's section.
fn home(config: &WslConfig, key: Key) -> Option<usize> {
    config
        .statements
        .iter()
        .position(|statement| match &statement.kind {
            Kind::Section(section) => {
                config.text()[section.name.clone()].eq_ignore_ascii_case(key.section)
            }
            _ => false,
        })
}

/// The last line below a header that a new line can follow: comments may belong to what comes next.
fn anchor(config: &WslConfig, header: usize) -> usize {
    let is_header = |statement: &Statement| match &statement.kind {
        Kind::Section(_) => true,
        Kind::Bad(bad) => bad.fault.is_header(),
        _ => false,
    };
    let members = config.statements[header + 1..]
        .iter()
        .take_while(|statement| !is_header(statement));
    let last = members
        .enumerate()
        .filter(|(_, s)| matches!(s.kind, Kind::Setting(_) | Kind::Bad(_)) && !swallows(s))
        .last();
    last.map_or(header, |(at, _)| header + 1 + at)
}

/// Whether a line end put behind this statement would become part of it: after a backslash it makes the
/// line go on, and so it does with the CR that stands there already.
fn swallows(statement: &Statement) -> bool {
    let at_its_end = |bad: &Bad| matches!(bad.fault, Fault::Escape(None | Some('\r')));
    !statement.closed && matches!(&statement.kind, Kind::Bad(bad) if at_its_end(bad))
}

/// A new line behind a statement.
fn after(config: &WslConfig, anchor: usize, line: &str) -> (Range<usize>, String) {
    let statement = &config.statements[anchor];
    let at = statement.span.end;
    let end = line_end(config.text(), at);
    let line = if statement.closed {
        format!("{line}{end}")
    } else {
        format!("{end}{line}")
    };
    (at..at, line)
}

/// New lines where WSL stops reading.
fn at_end(config: &WslConfig, block: &str) -> (Range<usize>, String) {
    let text = config.text();
    let last = config.statements.last();
    if let Some(last) = last.filter(|last| swallows(last)) {
        return (last.span.start..last.span.start, block.to_owned());
    }
    let at = readable(text).len();
    let end = if last.is_none_or(|last| last.closed) {
        ""
    } else {
        line_end(text, at)
    };
    (at..at, format!("{end}{block}"))
}

/// How a setting's line goes: the part of the text to take away, and what stays in its place. A trailing
/// comment stays, and what is before it. `behind` is what will follow the line.
pub(super) fn removal(
    text: &str,
    statement: &Statement,
    setting: &Setting,
    behind: &str,
) -> (Range<usize>, &'static str) {
    let Range { start, end } = statement.span;
    if let Some(comment) = setting.comment {
        return (setting.name.start..comment, "");
    }
    if text[..start].ends_with('\r') && behind.starts_with('\n') {
        // Without a line between them the two would become one line end.
        let line = text[start..end].trim_end_matches(['\r', '\n']);
        return (start..start + line.len(), " ");
    }
    (start..end, "")
}

/// The line end in use around a place; CR LF where there is none.
fn line_end(text: &str, at: usize) -> &'static str {
    let (before, behind) = text.split_at(at);
    let plain = before.rfind('\n').map(|end| before[..end].ends_with('\r'));
    let next = || behind.find('\n').map(|end| behind[..end].ends_with('\r'));
    match plain.or_else(next) {
        Some(false) => "\n",
        Some(true) | None => "\r\n",
    }
}
