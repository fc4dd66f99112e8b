//! What happened to one option, as data: its values before and after, in which ways it changed, and whose
//! concern that is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::kconfig::{Request, Symbol, SymbolType, Value};

/// What happened to one option.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The option; where it was renamed, its new name.
    pub symbol: Symbol,
    /// In what ways it changed, the weightiest first; never empty.
    pub kinds: Vec<Kind>,
    /// Who cares.
    pub concern: Concern,
    /// What it was.
    pub from: State,
    /// What it is.
    pub to: State,
    /// The option that it seems to have been before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<Likeness>,
    /// Whether this configuration gives it a line: what depends on something that is off has none.
    pub offered: bool,
    /// The line that asks for it, with its reason: of the new kernel, else of the old one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<Request>,
    /// What the old tree says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Facts>,
    /// What the new tree says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<Facts>,
}

impl Change {
    /// The weightiest of its kinds.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kinds.first().copied().unwrap_or(Kind::Value)
    }

    /// The name under which people look for it: the one that the contract knows.
    #[must_use]
    pub fn known_as(&self) -> &Symbol {
        match (&self.was, &self.wanted) {
            (Some(was), Some(wanted)) if wanted.symbol == was.symbol => &was.symbol,
            _ => &self.symbol,
        }
    }

    /// Whether somebody has to accept it: the contract or a guard names the option, and its value, its
    /// type or that it exists is another. A default that changed under a value that did not is only told.
    #[must_use]
    pub fn needs_review(&self) -> bool {
        self.concern != Concern::Other && self.kind() != Kind::Default
    }
}

/// Ways in which an option changes, the weightiest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The new kernel does not know it.
    Gone,
    /// By the look of it, it has another name now: a guess, with its signs beside it.
    Renamed,
    /// Its type is another.
    Type,
    /// Built in became a module, or the reverse.
    Module,
    /// Its value is another.
    Value,
    /// The old kernel did not know it.
    New,
    /// Its default is another.
    Default,
}

impl Kind {
    /// All of them, the weightiest first.
    pub const ALL: [Self; 7] = [
        Self::Gone,
        Self::Renamed,
        Self::Type,
        Self::Module,
        Self::Value,
        Self::New,
        Self::Default,
    ];

    /// The kind in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Renamed => "renamed (a guess)",
            Self::Type => "type changed",
            Self::Module => "built in or module",
            Self::Value => "value changed",
            Self::New => "new",
            Self::Default => "default changed",
        }
    }
}

/// Who cares about an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Concern {
    /// A fragment asks for it, of one of the two kernels at least.
    Contract,
    /// WSL needs it built in.
    Guarded,
    /// Nobody named it.
    Other,
}

impl Concern {
    /// The word for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Contract => "contract",
            Self::Guarded => "guarded",
            Self::Other => "",
        }
    }
}

/// What an option is in one of the two kernels.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum State {
    /// The kernel has no such option.
    Absent,
    /// Its value; `n` where it has no line.
    Value(Value),
}

impl State {
    /// How the absence of an option is written.
    pub const ABSENT: &str = "absent";
}

/// As it stands in a configuration, or `absent`.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str(Self::ABSENT),
            Self::Value(value) => value.fmt(f),
        }
    }
}

/// The text is neither a value nor `absent`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no state of an option: y, m, n, a number, 0x…, a text in double quotes or `absent` expected"
)]
pub struct NotAState(String);

impl FromStr for State {
    type Err = NotAState;

    fn from_str(text: &str) -> Result<Self, NotAState> {
        match text {
            Self::ABSENT => Ok(Self::Absent),
            value => value
                .parse()
                .map(Self::Value)
                .map_err(|_| NotAState(value.to_owned())),
        }
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// What a tree says of an option.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Its type; `None` where the file that says so could not be read.
    #[serde(rename = "type")]
    pub symbol_type: Option<SymbolType>,
    /// What `menuconfig` shows; `None` where a user cannot set it.
    pub prompt: Option<String>,
    /// Its defaults, in Kconfig's notation.
    pub defaults: Vec<String>,
    /// What it depends on, in Kconfig's notation, menus and `if`s included; empty for nothing.
    pub depends_on: String,
    /// Its help text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub help: String,
    /// Each `file:line` that defines it.
    pub defined: Vec<String>,
}

/// An option that seems to have been renamed: the old name, and what speaks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Likeness {
    /// The old name.
    pub symbol: Symbol,
    /// Why it is taken for the same option; never empty.
    pub signs: Vec<Sign>,
}

/// What two options have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sign {
    /// The prompt.
    Prompt,
    /// The help text.
    Help,
    /// Most of the words of the help text.
    HelpMostly,
    /// The file that defines them.
    File,
    /// A good part of the name.
    Name,
    /// What they depend on.
    DependsOn,
}

impl Sign {
    /// The sign in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Prompt => "same prompt",
            Self::Help => "same help",
            Self::HelpMostly => "nearly the same help",
            Self::File => "same file",
            Self::Name => "similar name",
            Self::DependsOn => "same depends on",
        }
    }
}
