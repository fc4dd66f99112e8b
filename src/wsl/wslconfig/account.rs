//! The file line by line, each with what WSL makes of it.
//!
//! In: a [`WslConfig`]. Out: [`Reading`]s, one for each line or line that goes on. Must not complain:
//! that is the linter's part.

use std::fmt;

use super::WslConfig;
use super::grammar::{Fault, Kind, Setting};
use super::keys;

/// A line and what WSL makes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Number of its first line, from 1.
    pub line: usize,
    /// The line as written, with the lines that it goes on in, without its end.
    pub text: String,
    /// What WSL makes of it.
    pub effect: Effect,
}

/// What WSL makes of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Nothing, and nothing was meant.
    None,
    /// The keys below belong to this section.
    Section(String),
    /// The key has this value.
    Set {
        /// `section.name`
        key: String,
        /// The value, decoded.
        value: String,
    },
    /// The key had a value before.
    Late {
        /// `section.name`
        key: String,
        /// The line that counts.
        first: usize,
    },
    /// WSL knows no such key.
    Unknown(String),
    /// WSL drops the line with a warning.
    Dropped(Fault),
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Section(name) => write!(f, "section {name}"),
            Self::Set { key, value } if value.is_empty() => write!(f, "{key} is unset"),
            Self::Set { key, value } => {
                // Paths keep their backslashes; only what cannot be seen is spelled out.
                let shown: String = value
                    .chars()
                    .flat_map(|c| {
                        if c.is_control() {
                            c.escape_default().collect()
                        } else {
                            vec![c]
                        }
                    })
                    .collect();
                write!(f, "{key} = {shown}")
            }
            Self::Late { key, first } => write!(f, "ignored: {key} is on line {first}"),
            Self::Unknown(key) => write!(f, "ignored: no key {key}"),
            Self::Dropped(_) => f.write_str("dropped"),
        }
    }
}

impl WslConfig {
    /// What WSL makes of each line, up to where it stops reading.
    #[must_use]
    pub fn account(&self) -> Vec<Reading> {
        let mut seen: Vec<(String, usize)> = Vec::new();
        let mut account = Vec::new();
        for statement in &self.statements {
            let effect = match &statement.kind {
                Kind::Blank | Kind::Comment => Effect::None,
                Kind::Section(section) => {
                    Effect::Section(self.text()[section.name.clone()].to_owned())
                }
                Kind::Bad(bad) => Effect::Dropped(bad.fault),
                Kind::Setting(setting) => self.effect(setting, statement.line, &mut seen),
            };
            let text = self.text()[statement.span.clone()].trim_end_matches(['\r', '\n']);
            account.push(Reading {
                line: statement.line,
                text: text.to_owned(),
                effect,
            });
        }
        account
    }

    fn effect(&self, setting: &Setting, line: usize, seen: &mut Vec<(String, usize)>) -> Effect {
        let name = &self.text()[setting.name.clone()];
        let section = setting.scope.name().unwrap_or_default();
        let Some(key) = keys::find(section, name).map(keys::Known::full_name) else {
            let key = format!("{section}.{name}");
            return Effect::Unknown(key.trim_start_matches('.').to_owned());
        };
        if let Some((_, first)) = seen.iter().find(|(known, _)| *known == key) {
            return Effect::Late { key, first: *first };
        }
        seen.push((key.clone(), line));
        let value = setting.value.clone();
        Effect::Set { key, value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_says_what_wsl_makes_of_it() {
        let text =
            "# a\nkernel=x\n[WSL2]\nKernel=C:\\\\a\\\n\\\\b # c\nkernel=d\nmemory=\nkernal=e\n;\n";
        let config = WslConfig::read(text.into()).unwrap();
        let account: Vec<(usize, String)> = config
            .account()
            .iter()
            .map(|reading| (reading.line, reading.effect.to_string()))
            .collect();
        let expected = [
            (1, ""),
            (2, "ignored: no key kernel"),
            (3, "section WSL2"),
            (4, r"wsl2.kernel = C:\a\b"),
            (6, "ignored: wsl2.kernel is on line 4"),
            (7, "wsl2.memory is unset"),
            (8, "ignored: no key WSL2.kernal"),
            (9, "dropped"),
        ];
        assert_eq!(
            account,
            expected.map(|(line, effect)| (line, effect.to_owned()))
        );
    }
}
