//! The smallest edit that makes WSL take a value, and the way back.
//!
//! In: a [`WslConfig`] and the values wanted. Out: an [`Edited`], which holds both files. Must not touch
//! a byte outside the edited lines, and must not trust itself: what was written is read again with WSL's
//! grammar, and where a value wanted is not there or another one has changed, nothing comes out.

use std::ops::Range;

use super::grammar::{Setting, Standing, Statement};
use super::place::{place, removal};
use super::undo::Edited;
use super::{KERNEL, KERNEL_MODULES, Key, WslConfig};

/// A key and its new value; `None` takes the key out of the file.
pub type Change<'a> = (Key, Option<&'a str>);

/// Why a file was not edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// WSL keeps one byte of each character, so only ASCII comes through.
    #[error("WSL cannot read `{value}` from .wslconfig: it takes printable ASCII only")]
    NotAscii {
        /// The key.
        key: Key,
        /// What it was to be.
        value: String,
    },
    /// An empty value is no value.
    #[error("an empty value for {0}")]
    Empty(Key),
    /// `kernel` and `kernelModules` change together or not at all.
    #[error("kernel and kernelModules can only be changed together")]
    HalfAUnit,
    /// Modules for the stock kernel: WSL would refuse to start.
    #[error("kernelModules without kernel")]
    ModulesWithoutKernel,
    /// The edit did not do what it was to do, and was thrown away.
    #[error("cannot edit .wslconfig safely: {0} would not be what it should be")]
    Unsafe(Key),
}

impl EditError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotAscii { .. } => Some(
                "choose a folder whose path has only plain letters, like C:\\wslk, with --windows-dir",
            ),
            Self::Unsafe(_) => Some(
                "tidy .wslconfig up by hand first: `wslk install --dry-run` shows its bad lines",
            ),
            Self::Empty(_) | Self::HalfAUnit | Self::ModulesWithoutKernel => None,
        }
    }
}

impl WslConfig {
    /// Gives keys new values; `None` removes every line of the key that WSL would read.
    ///
    /// # Errors
    /// Where a value would not survive WSL's parser, where `kernel` and `kernelModules` would part, and
    /// where the result, read again, is not what was asked for.
    pub fn edit(&self, changes: &[Change<'_>]) -> Result<Edited, EditError> {
        check(changes)?;
        let mut config = self.clone();
        for (key, value) in changes {
            config = match value {
                Some(value) if says(&config, *key, value) => config,
                Some(value) => config.with_source(*key, &source(value)),
                None => config.without(*key),
            };
        }
        for (key, value) in changes {
            require(&config, *key, *value)?;
        }
        let keys: Vec<Key> = changes.iter().map(|(key, _)| *key).collect();
        self.compare_others(&config, &keys)?;
        Ok(Edited::recall(self.clone(), config, &keys))
    }

    /// All other keys must read as before.
    fn compare_others(&self, edited: &Self, keys: &[Key]) -> Result<(), EditError> {
        let others = |config: &Self| -> Vec<(Option<String>, String, String)> {
            let is_other = |setting: &Setting| {
                !keys.iter().any(|key| {
                    setting
                        .standing(config.text(), key.section, key.name)
                        .is_some()
                })
            };
            config
                .settings()
                .filter(|(_, setting)| is_other(setting))
                .map(|(_, setting)| {
                    (
                        setting.scope.name().map(str::to_owned),
                        config.text()[setting.name.clone()].to_owned(),
                        setting.value.clone(),
                    )
                })
                .collect()
        };
        match keys.first() {
            Some(key) if others(self) != others(edited) => Err(EditError::Unsafe(*key)),
            _ => Ok(()),
        }
    }

    pub(super) fn with_source(&self, key: Key, source: &str) -> Self {
        let (place, text) = place(self, key, source);
        self.splice(&[(place, &text)])
    }

    pub(super) fn without(&self, key: Key) -> Self {
        let text = self.text();
        let is_its = |(_, setting): &(&Statement, &Setting)| {
            let standing = setting.standing(text, key.section, key.name);
            standing.is_some()
        };
        let lines: Vec<_> = self.settings().filter(is_its).collect();
        let mut removals = Vec::new();
        // The nearest stretch below that goes: what is behind it is what will follow.
        let mut gone = text.len()..text.len();
        for (statement, setting) in lines.into_iter().rev() {
            let end = statement.span.end;
            let behind = if gone.start == end { gone.end } else { end };
            let (place, rest) = removal(text, statement, setting, &text[behind..]);
            gone = match rest {
                "" if place.end == gone.start => place.start..gone.end,
                "" => place.clone(),
                _ => place.start..place.start,
            };
            removals.push((place, rest));
        }
        removals.reverse();
        match removals.is_empty() {
            true => self.clone(),
            false => self.splice(&removals),
        }
    }

    /// Puts something else in the places of parts of the text, which come in order.
    fn splice(&self, parts: &[(Range<usize>, &str)]) -> Self {
        let before = self.bytes();
        let mut all = Vec::with_capacity(before.len());
        let mut at = 0;
        for (place, new) in parts {
            let bytes = self.decoded.bytes(place);
            all.extend_from_slice(&before[at..bytes.start]);
            all.extend(self.encoding.encode(new));
            at = bytes.end;
        }
        all.extend_from_slice(&before[at..]);
        // Text in its own encoding can be read again; if not, the caller's check finds the old file.
        Self::read(all).unwrap_or_else(|_| self.clone())
    }
}

/// What can be said before any edit.
fn check(changes: &[Change<'_>]) -> Result<(), EditError> {
    for (key, value) in changes {
        match value {
            Some("") => return Err(EditError::Empty(*key)),
            Some(value) if !value.bytes().all(|b| (b' '..=b'~').contains(&b)) => {
                return Err(EditError::NotAscii {
                    key: *key,
                    value: (*value).to_owned(),
                });
            }
            _ => {}
        }
    }
    let change = |wanted: Key| changes.iter().rev().find(|(key, _)| *key == wanted);
    match (change(KERNEL), change(KERNEL_MODULES)) {
        (Some((_, None)), Some((_, Some(_)))) => Err(EditError::ModulesWithoutKernel),
        (Some(_), None) | (None, Some(_)) => Err(EditError::HalfAUnit),
        _ => Ok(()),
    }
}

pub(super) fn require(config: &WslConfig, key: Key, value: Option<&str>) -> Result<(), EditError> {
    let found = config.value(key.section, key.name);
    let gone = || value.is_some() || effective(config, key).is_none_or(|s| s.value.is_empty());
    if found.as_deref() == value && gone() {
        Ok(())
    } else {
        Err(EditError::Unsafe(key))
    }
}

/// Whether the first line of a key has this value already, however the file is read.
fn says(config: &WslConfig, key: Key, value: &str) -> bool {
    config
        .settings()
        .find_map(|(_, setting)| {
            let standing = setting.standing(config.text(), key.section, key.name)?;
            Some(standing == Standing::Certain && setting.value == value)
        })
        .unwrap_or(false)
}

/// The line that WSL takes a key from.
pub(super) fn effective(config: &WslConfig, key: Key) -> Option<&Setting> {
    config
        .settings()
        .map(|(_, setting)| setting)
        .find(|setting| setting.is(config.text(), key.section, key.name))
}

/// A value as it is written: backslashes and quotes escaped, in quotes where it must be.
fn source(value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
    let guarded = escaped.contains('#') || escaped.starts_with(' ') || escaped.ends_with(' ');
    if guarded {
        format!("\"{escaped}\"")
    } else {
        escaped
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::wsl::wslconfig::{DEBUG_CONSOLE_LOG, Facts, Report};

    /// A file of many thousand lines, all the same: a second for each would be too long, and so would a minute.
    #[test]
    fn a_file_of_one_line_over_and_over_is_read_in_no_time() {
        let since = std::time::Instant::now();
        let text = format!(
            "[wsl2]\n{}",
            "kernel=C:\\\\k\nmemory=1GB\n;\n".repeat(20_000)
        );
        let config = read(&text);
        let found = config.findings(&Facts::unknown());
        assert!(found.len() > 50_000, "{}", found.len());
        let drawn = Report::new(".wslconfig", config.text(), &found);
        let drawn = drawn.expect("there are findings").drawn();
        assert!(drawn.contains("more"), "{drawn}");
        let changes = [(KERNEL, None), (KERNEL_MODULES, None)];
        let edited = config.edit(&changes).expect("edited").config;
        assert_eq!(
            edited.text(),
            format!("[wsl2]\n{}", "memory=1GB\n;\n".repeat(20_000))
        );
        assert!(since.elapsed().as_secs() < 20, "{:?}", since.elapsed());
    }

    pub(in crate::wsl::wslconfig) fn read(text: &str) -> WslConfig {
        WslConfig::read(text.into()).unwrap()
    }

    /// Writes out `<K>` and `<M>`, the lines of kernel and modules, and `<k>` and `<m>`, their values.
    pub(in crate::wsl::wslconfig) fn written(text: &str) -> String {
        text.replace("<K>", "kernel=<k>")
            .replace("<M>", "kernelModules=<m>")
            .replace("<k>", r"C:\\k")
            .replace("<m>", r"C:\\m")
    }

    pub(in crate::wsl::wslconfig) const BOTH: [Change<'_>; 2] =
        [(KERNEL, Some(r"C:\k")), (KERNEL_MODULES, Some(r"C:\m"))];
    const NEITHER: [Change<'_>; 2] = [(KERNEL, None), (KERNEL_MODULES, None)];

    #[test]
    fn a_kernel_is_set_by_the_smallest_edit() {
        let cases = [
            ("", "[wsl2]\r\n<K>\r\n<M>\r\n"),
            ("[wsl2]", "[wsl2]\r\n<K>\r\n<M>"),
            ("[wsl2]\n", "[wsl2]\n<K>\n<M>\n"),
            (
                "[WSL2] # mine\r\n\r\n",
                "[WSL2] # mine\r\n<K>\r\n<M>\r\n\r\n",
            ),
            (
                "[wsl2]\na=1\n\n# net\n[x]\n",
                "[wsl2]\na=1\n<K>\n<M>\n\n# net\n[x]\n",
            ),
            ("[x]\na=true", "[x]\na=true\n[wsl2]\n<K>\n<M>\n"),
            ("[x]\na=true\n", "[x]\na=true\n[wsl2]\n<K>\n<M>\n"),
            (
                "[wsl2]\n  KERNEL = x   # old\nkernelmodules=\"y\" \n",
                "[wsl2]\n  KERNEL = <k>   # old\nkernelmodules=<m> \n",
            ),
            (
                "[wsl2]\nkernel=  # none\nkernelModules=",
                "[wsl2]\nkernel= <k> # none\n<M>",
            ),
            (
                "[wsl2]\nkernel=a\\\n  b \nkernel=c\n",
                "[wsl2]\n<K> \nkernel=c\n<M>\n",
            ),
            (
                "[wsl2]\nkernel=C:\\Users\\x\n",
                "[wsl2]\nkernel=C:\\Users\\x\n<K>\n<M>\n",
            ),
            // A line end behind the last line would make it go on into ours.
            ("[wsl2]\nx=1\\", "[wsl2]\n<K>\n<M>\nx=1\\"),
            ("x=1\\", "[wsl2]\r\n<K>\r\n<M>\r\nx=1\\"),
            ("[wsl2]\nx=1\\\r", "[wsl2]\n<K>\n<M>\nx=1\\\r"),
            // Below a bad header nothing is certain: ours must come first.
            (
                "[wsl2]\n[wsl2 x]\nkernel=a\n",
                "[wsl2]\n<M>\n[wsl2 x]\n<K>\n",
            ),
            (
                "[wsl2]\n[user x]\nkernel=a\n",
                "[wsl2]\n<K>\n<M>\n[user x]\nkernel=a\n",
            ),
            (
                "a=1\n[user]\n[wsl2 x]\nkernel=a\n",
                "a=1\n[wsl2]\n<K>\n<M>\n[user]\n[wsl2 x]\nkernel=a\n",
            ),
            (
                "# a\n\u{1A}[wsl2]\nkernel=a",
                "# a\n[wsl2]\n<K>\n<M>\n\u{1A}[wsl2]\nkernel=a",
            ),
            ("[wsl2]\ra=1\r", "[wsl2]\ra=1\r<K>\r\n<M>\r\n"),
        ];
        for (before, expected) in cases {
            let config = read(before);
            let edited = config.edit(&BOTH).unwrap();
            assert_eq!(edited.config.text(), written(expected), "{before:?}");
            let undone = edited.undo(&edited.config).unwrap();
            assert_eq!((undone.config, undone.exact), (config, true));
            let again = edited.config.edit(&BOTH).unwrap();
            assert_eq!(again.config, edited.config, "{before:?}");
        }
    }

    #[test]
    fn the_stock_kernel_leaves_no_line_that_wsl_would_read() {
        let cases = [
            (
                "[wsl2]\nkernel=a\nmemory=1GB\nkernelModules=b\n",
                "[wsl2]\nmemory=1GB\n",
            ),
            (
                "[wsl2]\n kernel=a # why\nKERNEL=\"b\\\n\"\n",
                "[wsl2]\n # why\n",
            ),
            (
                "[wsl2]\nkernel=C:\\Users\n;kernel=a\n",
                "[wsl2]\nkernel=C:\\Users\n;kernel=a\n",
            ),
            ("kernel=a\n[wsl2]\nkernel=a", "kernel=a\n[wsl2]\n"),
            (
                "[wsl2]\n[wsl x]\nkernel=a\n[user]\nkernel=b\n",
                "[wsl2]\n[wsl x]\n[user]\nkernel=b\n",
            ),
            ("[wsl2]\nkernel=\n", "[wsl2]\n"),
            ("[wsl2]\rkernel=a\n\n", "[wsl2]\r \n\n"),
        ];
        for (before, expected) in cases {
            let config = read(before);
            let edited = config.edit(&NEITHER).unwrap();
            assert_eq!(edited.config.text(), expected, "{before:?}");
            assert_eq!(edited.config.kernel(), Default::default());
            assert_eq!(edited.undo(&edited.config).unwrap().config, config);
        }
        let nothing = WslConfig::absent().edit(&NEITHER).unwrap();
        assert!(nothing.config.is_absent());
    }

    #[test]
    fn values_are_written_so_that_wsl_reads_them() {
        for value in [
            r"C:\Program Files\new\bzImage",
            r"C:\a#b\c",
            "a \"b\" c",
            " blanks ",
            r"\\server\x",
            ";",
            "]",
            "=",
        ] {
            let edited = WslConfig::absent()
                .edit(&[(DEBUG_CONSOLE_LOG, Some(value))])
                .unwrap();
            assert_eq!(
                edited
                    .config
                    .value("WSL2", "debugconsolelogfile")
                    .as_deref(),
                Some(value)
            );
        }
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let config = read("[wsl2]\nkernel=a\n");
        let cases: [(&[Change<'_>], EditError); 4] = [
            (&BOTH[..1], EditError::HalfAUnit),
            (&NEITHER[1..], EditError::HalfAUnit),
            (&[NEITHER[0], BOTH[1]], EditError::ModulesWithoutKernel),
            (
                &[(DEBUG_CONSOLE_LOG, Some(""))],
                EditError::Empty(DEBUG_CONSOLE_LOG),
            ),
        ];
        for (changes, expected) in cases {
            assert_eq!(config.edit(changes), Err(expected));
        }
        for value in ["C:\\J\u{FC}rgen", "a\nb", "a\tb", "\u{1A}"] {
            let refused = config.edit(&[(DEBUG_CONSOLE_LOG, Some(value))]);
            assert!(
                matches!(refused, Err(EditError::NotAscii { .. })),
                "{value}"
            );
        }
    }
}
