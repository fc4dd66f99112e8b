//! Lines as they were meant, where that is plain.
//!
//! In: a statement and what is wrong with it. Out: the line that says it right, if there is one. Must not find
//! anything wrong by itself.

use std::ops::Range;

use super::Lint;
use crate::wsl::path::WindowsPath;
use crate::wsl::wslconfig::grammar::{Bad, Fault, Statement};
use crate::wsl::wslconfig::keys::{self, Known};

impl Lint<'_> {
    /// A statement's text with a part of it replaced.
    pub(super) fn with(&self, statement: &Statement, part: &Range<usize>, new: &str) -> String {
        let Range { start, end } = statement.span;
        let before = &self.text[start..part.start];
        let behind = &self.text[part.end..end];
        format!("{before}{new}{}", behind.trim_end_matches(['\r', '\n']))
    }

    /// A dropped line as it was meant, where that is plain.
    pub(super) fn repaired(&self, statement: &Statement, bad: &Bad) -> Option<String> {
        let line = self.line(statement);
        match bad.fault {
            Fault::KeyStart(';') => Some(line.replacen(';', "#", 1)),
            Fault::SectionStart | Fault::Bracket | Fault::AfterSection => {
                let letters: String = line
                    .chars()
                    .skip_while(|c| *c != '[')
                    .skip(1)
                    .take_while(|c| !matches!(c, ']' | '#'))
                    .filter(char::is_ascii_alphanumeric)
                    .collect();
                let name = keys::nearest_section(&letters)?;
                Some(format!("[{name}]"))
            }
            Fault::Escape(_) | Fault::Quote => {
                let name = &self.text[bad.name.clone()?];
                let known = keys::find(bad.scope.name()?, name)?;
                let written = self.text.get(bad.value?..statement.span.end)?;
                let written = written.lines().next()?;
                path_meant(known, written).map(|path| format!("{name}={}", path.escaped()))
            }
            Fault::KeyStart(_) | Fault::Equals => None,
        }
    }
}

/// The path that somebody meant who did not know WSL's escapes.
pub(super) fn path_meant(known: Known, written: &str) -> Option<WindowsPath> {
    if !known.kind.is_path() {
        return None;
    }
    let written = written.split('#').next().unwrap_or_default();
    let written = written.split(" ;").next().unwrap_or_default();
    let plain = written.trim().replace(['"', '\''], "").replace('/', "\\");
    let mut path = String::new();
    for c in plain.chars() {
        if c != '\\' || !path.ends_with('\\') {
            path.push(c);
        }
    }
    WindowsPath::parse(path.trim())
        .ok()
        .filter(WindowsPath::is_ascii)
}
