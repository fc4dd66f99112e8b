//! Reading configuration files: `.config`, Microsoft's `config-wsl`, fragments.
//!
//! In: text and the name of where it came from. Out: a [`ConfigFile`]: settings in order, each with
//! its line; or every fault of the file at once. Must not touch the disk, and must not drop a line
//! silently: kbuild ignores what it does not understand, and that is how options get lost.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::fault::{Fault, InputError, Problem};
use super::symbol::{NotAValue, Symbol, Value, is_name};

/// Where a value was written: file and line.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The file's name as given, or the name of an embedded fragment.
    #[serde(serialize_with = "name_out", deserialize_with = "name_in")]
    pub file: Arc<str>,
    /// Line, counted from 1; 0 when the whole file is meant.
    pub line: usize,
}

fn name_out<S: Serializer>(name: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name)
}

fn name_in<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
    String::deserialize(deserializer).map(Arc::from)
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}", self.file),
        }
    }
}

/// One line of a configuration file that gives an option a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The option.
    pub symbol: Symbol,
    /// Its value; `# CONFIG_X is not set` reads as `n`.
    pub value: Value,
    /// Line, counted from 1.
    pub line: usize,
    /// Bytes of the line, without its end.
    pub at: Range<usize>,
}

/// A configuration file: every option at most once, in the order of the file.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    name: Arc<str>,
    text: Arc<str>,
    settings: Vec<Setting>,
    by_symbol: HashMap<Symbol, usize>,
}

impl ConfigFile {
    /// Reads `text`; `name` stands for the file in messages and origins.
    pub fn parse(name: &str, text: &str) -> Result<Self, InputError> {
        let mut reader = Reader::default();
        let mut start = 0;
        for (index, line) in text.split_inclusive('\n').enumerate() {
            let content = line.strip_suffix('\n').unwrap_or(line);
            reader.line(index + 1, start, content);
            start += line.len();
        }
        let file = Self {
            name: name.into(),
            text: text.into(),
            settings: reader.settings,
            by_symbol: reader.by_symbol,
        };
        InputError::check(&file.name, &file.text, reader.problems)?;
        Ok(file)
    }

    /// The name that stands for the file in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text as it was read.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The settings in the order of the file.
    #[must_use]
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// The line that sets `symbol`.
    #[must_use]
    pub fn setting(&self, symbol: &str) -> Option<&Setting> {
        self.by_symbol
            .get(symbol)
            .and_then(|&index| self.settings.get(index))
    }

    /// The value of `symbol`, where the file has a line for it.
    #[must_use]
    pub fn value(&self, symbol: &str) -> Option<&Value> {
        self.setting(symbol).map(|setting| &setting.value)
    }

    /// Where `setting` stands.
    #[must_use]
    pub fn origin(&self, setting: &Setting) -> Origin {
        Origin {
            file: Arc::clone(&self.name),
            line: setting.line,
        }
    }

    /// An error about this file, or nothing where there is no problem.
    pub(super) fn check(&self, problems: Vec<Problem>) -> Result<(), InputError> {
        InputError::check(&self.name, &self.text, problems)
    }
}

#[derive(Default)]
struct Reader {
    settings: Vec<Setting>,
    by_symbol: HashMap<Symbol, usize>,
    problems: Vec<Problem>,
    carriage_return: bool,
}

impl Reader {
    fn line(&mut self, line: usize, start: usize, content: &str) {
        let content = self.without_carriage_return(line, start, content);
        let at = start..start + content.len();
        match setting(content) {
            Ok(None) => {}
            Ok(Some((symbol, value))) => self.keep(Setting {
                symbol,
                value,
                line,
                at,
            }),
            Err((fault, part)) => {
                let at = start + part.start..start + part.end;
                self.problems.push(Problem { fault, line, at });
            }
        }
    }

    /// A file with Windows line ends has them everywhere: one complaint is enough.
    fn without_carriage_return<'a>(
        &mut self,
        line: usize,
        start: usize,
        content: &'a str,
    ) -> &'a str {
        let Some(stripped) = content.strip_suffix('\r') else {
            return content;
        };
        if !self.carriage_return {
            self.carriage_return = true;
            let at = start..start + stripped.len();
            self.problems.push(Problem {
                fault: Fault::CarriageReturn,
                line,
                at,
            });
        }
        stripped
    }

    fn keep(&mut self, setting: Setting) {
        let first = self
            .by_symbol
            .get(&setting.symbol)
            .and_then(|&index| self.settings.get(index));
        if let Some(first) = first {
            let fault = Fault::Duplicate {
                symbol: setting.symbol,
                first: first.line,
            };
            self.problems.push(Problem {
                fault,
                line: setting.line,
                at: setting.at,
            });
            return;
        }
        self.by_symbol
            .insert(setting.symbol.clone(), self.settings.len());
        self.settings.push(setting);
    }
}

type Misread = (Fault, Range<usize>);

/// What one line sets; `None` for comments and empty lines.
fn setting(line: &str) -> Result<Option<(Symbol, Value)>, Misread> {
    let whole = 0..line.len();
    if let Some(rest) = line.strip_prefix(Symbol::PREFIX) {
        return assignment(line, rest).map(Some);
    }
    if let Some(comment) = line.strip_prefix('#') {
        return match not_set(comment) {
            NotSet::No => Ok(None),
            NotSet::Almost => Err((Fault::NotSetMisspelt, whole)),
            NotSet::Exactly(symbol) => Ok(Some((symbol, Value::No))),
        };
    }
    let trimmed = line.trim();
    if trimmed.is_empty() {
        Ok(None)
    } else if trimmed.starts_with(Symbol::PREFIX) {
        Err((Fault::Indented, whole))
    } else {
        Err((Fault::NotASetting, whole))
    }
}

fn assignment(line: &str, rest: &str) -> Result<(Symbol, Value), Misread> {
    let Some((name, value)) = rest.split_once('=') else {
        return Err((Fault::NotASetting, 0..line.len()));
    };
    let value_start = line.len() - value.len();
    if name.ends_with([' ', '\t']) || value.starts_with([' ', '\t']) {
        let from = Symbol::PREFIX.len() + name.trim_end().len();
        return Err((
            Fault::BlanksAroundEquals,
            from..line.len() - value.trim_start().len(),
        ));
    }
    if !is_name(name) {
        return Err((
            Fault::BadName(name.to_owned()),
            Symbol::PREFIX.len()..value_start - 1,
        ));
    }
    let symbol = Symbol::cut(name);
    match value.parse() {
        Ok(value) => Ok((symbol, value)),
        Err(why) => Err(bad_value(symbol, value, why, value_start)),
    }
}

fn bad_value(symbol: Symbol, text: &str, why: NotAValue, start: usize) -> Misread {
    let whole = start..start + text.len();
    if let Some((first, _)) = text.split_once([' ', '\t'])
        && first.parse::<Value>().is_ok()
    {
        return (Fault::AfterValue(symbol), start + first.len()..whole.end);
    }
    match why {
        NotAValue::Empty => (Fault::NoValue(symbol), start - 1..start),
        NotAValue::Quotes => (Fault::Quotes(symbol), whole),
        NotAValue::TooLarge => (Fault::TooLarge(symbol), whole),
        NotAValue::Word => (
            Fault::Word {
                symbol,
                word: text.to_owned(),
            },
            whole,
        ),
    }
}

enum NotSet {
    No,
    Almost,
    Exactly(Symbol),
}

/// kbuild takes exactly one spelling; the near misses are worth an error, for they do nothing.
fn not_set(comment: &str) -> NotSet {
    if !comment.ends_with("set") && !comment.trim_end().ends_with("not set") {
        return NotSet::No;
    }
    let exact = comment
        .strip_prefix(" CONFIG_")
        .and_then(|rest| rest.strip_suffix(" is not set"))
        .filter(|name| is_name(name));
    if let Some(name) = exact {
        return NotSet::Exactly(Symbol::cut(name));
    }
    let words: Vec<&str> = comment.split_whitespace().collect();
    match words.as_slice() {
        [name, "is", "not", "set"] if name.starts_with(Symbol::PREFIX) => NotSet::Almost,
        _ => NotSet::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn faults(text: &str) -> Vec<(Fault, usize, &str)> {
        let error = ConfigFile::parse("x.config", text).unwrap_err();
        let problems = error.problems().to_vec();
        problems
            .into_iter()
            .map(|p| (p.fault, p.line, &text[p.at]))
            .collect()
    }

    fn symbol(name: &str) -> Symbol {
        name.parse().unwrap()
    }

    #[test]
    fn a_whole_file() {
        let text = "#\n# Automatically generated\n#\nCONFIG_A=y\n# CONFIG_B is not set\n\nCONFIG_C=\"x y\"\nCONFIG_D=0x10";
        let file = ConfigFile::parse("x.config", text).unwrap();
        let read: Vec<String> = file
            .settings()
            .iter()
            .map(|s| format!("{} {} {}", file.origin(s), s.symbol, s.value))
            .collect();
        assert_eq!(
            read,
            [
                "x.config:4 A y",
                "x.config:5 B n",
                "x.config:7 C \"x y\"",
                "x.config:8 D 0x10"
            ]
        );
        assert_eq!(file.value("B"), Some(&Value::No));
        assert_eq!(file.value("E"), None);
    }

    #[test]
    fn every_fault_of_a_line() {
        let s = || symbol("X");
        for (line, fault, at) in [
            ("CONFIG_X=y\r", Fault::CarriageReturn, "CONFIG_X=y"),
            ("CONFIG_X = y", Fault::BlanksAroundEquals, " = "),
            ("CONFIG_X =y", Fault::BlanksAroundEquals, " ="),
            ("CONFIG_X= y", Fault::BlanksAroundEquals, "= "),
            ("  CONFIG_X=y", Fault::Indented, "  CONFIG_X=y"),
            (
                "#CONFIG_X is not set",
                Fault::NotSetMisspelt,
                "#CONFIG_X is not set",
            ),
            (
                "# CONFIG_X is not set ",
                Fault::NotSetMisspelt,
                "# CONFIG_X is not set ",
            ),
            ("CONFIG_X-Y=y", Fault::BadName("X-Y".into()), "X-Y"),
            ("CONFIG_X=", Fault::NoValue(s()), "="),
            ("CONFIG_X=\"a\"b\"", Fault::Quotes(s()), "\"a\"b\""),
            (
                "CONFIG_X=yes",
                Fault::Word {
                    symbol: s(),
                    word: "yes".into(),
                },
                "yes",
            ),
            (
                "CONFIG_X=99999999999999999999",
                Fault::TooLarge(s()),
                "99999999999999999999",
            ),
            ("CONFIG_X=y # why", Fault::AfterValue(s()), " # why"),
            ("CONFIG_X", Fault::NotASetting, "CONFIG_X"),
            ("X=y", Fault::NotASetting, "X=y"),
        ] {
            assert_eq!(faults(line), [(fault, 1, at)], "{line}");
        }
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let found = faults("CONFIG_A=y\r\nCONFIG_B = y\r\nCONFIG_A=m\r\n");
        let kinds: Vec<(Fault, usize)> = found
            .into_iter()
            .map(|(fault, line, _)| (fault, line))
            .collect();
        let duplicate = Fault::Duplicate {
            symbol: symbol("A"),
            first: 1,
        };
        assert_eq!(
            kinds,
            [
                (Fault::CarriageReturn, 1),
                (Fault::BlanksAroundEquals, 2),
                (duplicate, 3)
            ]
        );
    }

    #[test]
    fn ordinary_comments_are_no_settings() {
        for text in [
            "# this is not set",
            "# CONFIG_X=y",
            "#",
            "# CONFIG_X is not set in stock",
            "# Where: the base is not set",
        ] {
            let file = ConfigFile::parse("x.config", text).unwrap();
            assert_eq!(file.settings(), [], "{text}");
        }
    }

    fn any_setting() -> impl Strategy<Value = (Symbol, Value)> {
        let value = prop_oneof![
            Just(Value::No),
            Just(Value::Module),
            Just(Value::Yes),
            any::<i64>().prop_map(Value::Number),
            any::<u64>().prop_map(Value::Hex),
            "[^\n\r]*".prop_map(Value::Text),
        ];
        (
            "[A-Za-z0-9_]{1,12}".prop_map(|name| Symbol::cut(&name)),
            value,
        )
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(settings in prop::collection::btree_map("[A-Z0-9_]{1,9}", any_setting(), 0..20)) {
            let settings: HashMap<Symbol, Value> = settings.into_values().collect();
            let text: String = settings.iter().map(|(s, v)| v.line(s) + "\n").collect();
            let file = ConfigFile::parse("x", &text).unwrap();
            let read: HashMap<Symbol, Value> = file.settings().iter().map(|s| (s.symbol.clone(), s.value.clone())).collect();
            prop_assert_eq!(read, settings);
        }

        #[test]
        fn any_text_is_read_or_refused_with_carets_inside(text in "(CONFIG_[A-Z]{1,2}[= ]{0,3}[ym\"\\\\x0-9 ]{0,4}|# CONFIG_A is not set|.{0,8}|\r?\n){0,12}") {
            if let Err(error) = ConfigFile::parse("x", &text) {
                for problem in error.problems() {
                    prop_assert!(text.get(problem.at.clone()).is_some());
                }
                prop_assert!(!error.drawn().is_empty());
            }
        }
    }
}
