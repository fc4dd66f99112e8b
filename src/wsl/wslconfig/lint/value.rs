//! The values of keys that WSL knows: what it will take them for, and where a path leads.
//!
//! In: a setting and what its key takes. Out: findings. Must not judge names or sections.

use super::Lint;
use super::meant::path_meant;
use crate::wsl::path::WindowsPath;
use crate::wsl::wslconfig::finding::Problem;
use crate::wsl::wslconfig::grammar::{Setting, Statement};
use crate::wsl::wslconfig::keys::{Known, Type};
use crate::wsl::wslconfig::{Key, SAFE_MODE, is_true};

impl Lint<'_> {
    /// Whether WSL takes a value for what was meant.
    pub(super) fn value(&mut self, statement: &Statement, setting: &Setting, known: Known) {
        let line = statement.line;
        let place = setting.raw.clone();
        if setting.value.is_empty() {
            if !known.kind.is_path() && known.kind != Type::Text {
                self.add(
                    line,
                    setting.name.clone(),
                    Problem::Empty(known.full_name()),
                    None,
                );
            }
            return;
        }
        if let Some(misfit) = known.kind.check(&setting.value) {
            let problem = Problem::BadValue {
                key: known.full_name(),
                expected: misfit.expected,
            };
            let corrected = misfit
                .corrected
                .map(|value| self.with(statement, &place, &value));
            self.add(line, place.clone(), problem, corrected);
        } else if known.name == SAFE_MODE.name && is_true(&setting.value) {
            self.add(line, place.clone(), Problem::SafeMode, None);
        }
        let key = known.full_name();
        let is_this = |forbidden: &Key| forbidden.to_string().eq_ignore_ascii_case(&key);
        if self.facts.forbidden.iter().any(is_this) {
            self.add(line, setting.name.clone(), Problem::Forbidden(key), None);
        }
        if known.kind.is_path() {
            self.path(statement, setting, known);
        }
    }

    fn path(&mut self, statement: &Statement, setting: &Setting, known: Known) {
        let written = &self.text[setting.raw.clone()];
        let corrected = path_meant(known, written)
            .map(|path| self.with(statement, &setting.raw, &path.escaped()));
        for problem in self.path_problems(written, &setting.value, known) {
            let corrected = match problem {
                Problem::Missing(_) | Problem::NotAscii | Problem::Variable => None,
                _ => corrected.clone(),
            };
            self.add(statement.line, setting.raw.clone(), problem, corrected);
        }
    }

    /// What is wrong with a path; where it exists nowhere because of that, only the cause.
    fn path_problems(&self, written: &str, value: &str, known: Known) -> Vec<Problem> {
        let mut problems = Vec::new();
        if written.contains(" ;") || written.contains("\t;") {
            problems.push(Problem::SemicolonInValue);
        }
        if !written.is_ascii() {
            problems.push(Problem::NotAscii);
        } else if value.contains(['\u{8}', '\n', '\t']) {
            problems.push(Problem::SpoiltPath);
        } else if value.matches('%').count() > 1 && !value.contains(":\\") {
            problems.push(Problem::Variable);
        } else if value.contains('/') {
            problems.push(Problem::Slashes);
        } else if value.get(2..).is_some_and(|rest| rest.contains("\\\\")) {
            problems.push(Problem::DoubledBackslashes);
        }
        if !problems.is_empty() {
            return problems;
        }
        match WindowsPath::parse(value) {
            Err(_) => vec![Problem::NotAFullPath],
            Ok(path)
                if known.kind == Type::ExistingPath
                    && (self.facts.exists)(&path) == Some(false) =>
            {
                vec![Problem::Missing(path.to_string())]
            }
            Ok(_) => Vec::new(),
        }
    }
}
