//! Why an option has the value it has, and what a user can do about it.
//!
//! In: the options of the tree ([`SymbolIndex`]) and a final configuration. Out: an [`Explanation`]:
//! unmet dependencies, menus, choices and selects with their current values, down to options that a
//! user can set. Must not solve anything: the tree's own tool has decided, we read its reasons back.

mod forced;
mod need;
mod reasons;
mod view;

use std::fmt;

use serde::{Deserialize, Serialize};

use self::reasons::Reasons;
pub use self::view::View;
use super::index::SymbolIndex;
use super::parse::ConfigFile;
use super::symbol::{Symbol, Value};

/// Why an option is not as wanted, from the nearest reason down to options that a user can set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The reasons; a deeper one says why the one above it holds.
    pub steps: Vec<Step>,
    /// Lines that, put into a fragment, would remove the reasons; alternatives stand in one entry,
    /// joined by " or ".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<String>,
}

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// 0 for a reason of the option itself, 1 for a reason of that reason, and so on.
    pub depth: usize,
    /// What kind of reason it is.
    pub kind: StepKind,
    /// The reason as a sentence without full stop.
    pub text: String,
    /// The options that the reason names, with their values in the configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub symbols: Vec<(String, String)>,
}

/// Kinds of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    /// The tree has no such option.
    Absent,
    /// Its Kconfig file could not be read.
    Unread,
    /// A dependency, a menu, an `if` or a prompt's condition is not met.
    Unmet,
    /// It has no prompt: it follows from others.
    NotSettable,
    /// Another option selects it.
    Selected,
    /// Another member of its choice is set.
    Choice,
    /// The number is out of range.
    Range,
    /// The compiler or another tool decides.
    Tool,
    /// A fragment asks for it.
    Asked,
    /// Everything we know of is met.
    Unexplained,
}

/// Why `symbol` is not `wanted` in `config`; no steps where it is.
#[must_use]
pub fn explain(
    symbol: &Symbol,
    wanted: &Value,
    index: &SymbolIndex,
    config: &ConfigFile,
) -> Explanation {
    Reasons::new(View::new(index, config)).explain(symbol, wanted)
}

impl Explanation {
    /// The options that the steps of the option itself name: those it hangs on directly.
    pub fn direct(&self) -> impl Iterator<Item = &str> {
        let steps = self.steps.iter().filter(|step| step.depth == 0);
        steps.flat_map(|step| step.symbols.iter().map(|(name, _)| name.as_str()))
    }
}

/// One line per step, indented by depth, and what to set at the end.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.steps.iter().enumerate() {
            let line_end = if index == 0 { "" } else { "\n" };
            write!(
                f,
                "{line_end}{:indent$}{}",
                "",
                step.text,
                indent = 2 * step.depth
            )?;
        }
        if self.set.is_empty() {
            return Ok(());
        }
        let line_end = if self.steps.is_empty() { "" } else { "\n" };
        write!(f, "{line_end}set {}", self.set.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;
    use crate::kconfig::tree::{Arch, TreeFacts};
    use std::path::PathBuf;

    fn fixture() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kconfig")
    }

    fn index() -> SymbolIndex {
        let series = "6.1".parse().expect("a series");
        SymbolIndex::read(&TreeFacts::new(fixture(), "fixture", series, Arch::X86))
            .expect("the fixture")
    }

    /// Each case of the file: `= OPTION=wanted, with A=y B=m`, then the whole explanation. With
    /// `WSLK_BLESS` set the file is written anew.
    #[test]
    fn explanations_to_the_letter() {
        let path = fixture().join("explanations.txt");
        let (index, text) = (index(), files::read(&path).expect("the cases"));
        let mut told = String::new();
        for title in text.lines().filter(|line| line.starts_with("= ")) {
            let (question, given) = title[2..].split_once(", with ").expect("a case");
            let (symbol, wanted) = question.split_once('=').expect("a question");
            let config: String = given
                .split_whitespace()
                .map(|line| format!("CONFIG_{line}\n"))
                .collect();
            let config = ConfigFile::parse("given", &config).expect("a configuration");
            let symbol = symbol.parse().expect("a symbol");
            let why = explain(&symbol, &wanted.parse().expect("a value"), &index, &config);
            told.push_str(&format!("{title}\n{why}\n\n"));
        }
        if crate::process::env_var("WSLK_BLESS").is_some() {
            files::replace(&path, &told).expect("written");
        }
        assert_eq!(told, text);
    }
}
