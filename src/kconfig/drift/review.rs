//! Reviews: changes of the contract that somebody looked at and accepted.
//!
//! In: the text of a review file. Out: [`Reviews`], or every fault with its line. Must not know what
//! changed: a [`super::Drift`] asks.
//!
//! ```toml
//! [[accept]]
//! symbol = "UNIX_DIAG"
//! from = "y"            # y, m, n, a number, 0x…, '"text"', or absent: the kernel has no such option
//! to = "m"
//! since = "6.6"         # for kernels of this series, or of this tag, and later ones
//! why = "loaded from the modules disk, which is always installed with the kernel"
//! who = "a name"
//! ```

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use super::{Change, Kind, Release, State};
use crate::files;
use crate::kconfig::fault::{Fault, InputError, Problem, nearest_key};
use crate::kconfig::{KconfigError, Symbol};
use crate::source::{Series, Tag};

/// Changes that the message of an error names before the rest becomes a number.
const NAMED: usize = 6;

/// The accepted changes of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reviews {
    #[serde(default)]
    accept: Vec<Acceptance>,
}

/// One accepted change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acceptance {
    /// The option; of one that was renamed, either name.
    pub symbol: Symbol,
    /// What it was.
    pub from: State,
    /// What it is.
    pub to: State,
    /// The first kernel for which the change is accepted.
    pub since: Since,
    /// Why it does no harm.
    #[serde(deserialize_with = "said")]
    pub why: String,
    /// Who looked at it.
    #[serde(deserialize_with = "said")]
    pub who: String,
}

fn said<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.trim().is_empty() {
        true => Err(serde::de::Error::custom("it says nothing")),
        false => Ok(text),
    }
}

/// From which kernel on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Since {
    /// From this release on.
    Tag(Tag),
    /// From this series on.
    Series(Series),
}

impl Since {
    /// The nearest thing to `release` that can be written.
    fn of(release: &Release) -> Option<Self> {
        let tag = release.tag.map(Self::Tag);
        tag.or_else(|| release.series.map(Self::Series))
    }

    /// Whether `release` comes no earlier; what is of no known kernel does.
    fn covers(self, release: &Release) -> bool {
        match (self, release.tag, release.series) {
            (Self::Tag(since), Some(tag), _) => tag >= since,
            (Self::Tag(since), None, Some(series)) => series >= since.series(),
            (Self::Series(since), _, Some(series)) => series >= since,
            (_, _, None) => true,
        }
    }
}

impl TryFrom<String> for Since {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let tag = text.parse().map(Self::Tag);
        tag.or_else(|_| text.parse().map(Self::Series))
            .map_err(|_| {
                format!("`{text}` is neither a series such as 6.6 nor a tag such as 6.6.87.2")
            })
    }
}

impl From<Since> for String {
    fn from(since: Since) -> Self {
        since.to_string()
    }
}

impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(&tag.version()),
            Self::Series(series) => series.fmt(f),
        }
    }
}

impl Reviews {
    /// Reads the text of the review file called `name`.
    pub fn parse(name: &str, text: &str) -> Result<Self, InputError> {
        toml::from_str(text).map_err(|error| fault(name, text, &error))
    }

    /// Reads a review file; one that is not there accepts nothing.
    pub fn read(path: &Path) -> Result<Self, KconfigError> {
        let Some(text) = files::read_if_there(path)? else {
            return Ok(Self::default());
        };
        Self::parse(&path.display().to_string(), &text)
            .map_err(|error| KconfigError::Input(Box::new(error)))
    }

    /// All that was accepted, in the order of the file.
    #[must_use]
    pub fn all(&self) -> &[Acceptance] {
        &self.accept
    }

    /// The review of `change`, in a kernel that is `release`.
    pub(super) fn of(&self, change: &Change, release: &Release) -> Option<&Acceptance> {
        let same = |accepted: &&Acceptance| {
            let old = change.was.as_ref().map(|was| &was.symbol);
            let named = accepted.symbol == change.symbol || old == Some(&accepted.symbol);
            named
                && accepted.from == change.from
                && accepted.to == change.to
                && accepted.since.covers(release)
        };
        self.accept.iter().find(same)
    }
}

fn fault(name: &str, text: &str, error: &toml::de::Error) -> InputError {
    let at = error.span().unwrap_or(0..0);
    let at = at.start.min(text.len())..at.end.min(text.len());
    let line = text
        .get(..at.start)
        .unwrap_or_default()
        .matches('\n')
        .count()
        + 1;
    let message = error.message();
    let first = message.lines().next().unwrap_or("not valid TOML");
    let fault = Fault::Table {
        message: first.to_owned(),
        meant: nearest_key(message),
    };
    InputError::new(
        &Arc::from(name),
        &Arc::from(text),
        vec![Problem { fault, line, at }],
    )
}

/// Changes of the contract that nobody accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreviewed {
    /// The kernel before.
    pub old: Release,
    /// The kernel after.
    pub new: Release,
    /// The review file.
    pub file: String,
    /// The changes; never empty.
    pub changes: Vec<Change>,
}

impl Unreviewed {
    /// What to write, and where, to accept them all.
    #[must_use]
    pub fn hint(&self) -> String {
        let named = self.changes.iter().take(NAMED);
        let entries: Vec<String> = named.map(|change| entry(change, &self.new)).collect();
        let more = match self.changes.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!("\n# and {more} more"),
        };
        format!(
            "keep the old value with a fragment, or accept the change in {}:\n{}{more}",
            self.file,
            entries.join("\n")
        )
    }
}

/// Each option with its old and its new value.
impl fmt::Display for Unreviewed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            old, new, changes, ..
        } = self;
        let told = |change: &Change| {
            let renamed = match &change.was {
                Some(was) => format!(
                    " (renamed by the look of it: {} is now {})",
                    was.symbol, change.symbol
                ),
                None if change.kind() == Kind::Type => " (and its type changed)".to_owned(),
                None => String::new(),
            };
            let (symbol, concern) = (change.known_as(), change.concern.word());
            let (from, to) = (&change.from, &change.to);
            format!("CONFIG_{symbol} ({concern}): {from} in {old}, {to} in {new}{renamed}")
        };
        let named: Vec<String> = changes.iter().take(NAMED).map(told).collect();
        write!(
            f,
            "nobody has accepted what changed in the contract: {}",
            named.join("; ")
        )?;
        match changes.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl std::error::Error for Unreviewed {}

/// The entry of a review file that accepts `change`.
fn entry(change: &Change, new: &Release) -> String {
    let since = Since::of(new).map_or_else(|| "A.B".to_owned(), |since| since.to_string());
    let quoted = |state: &State| match state.to_string() {
        text if text.contains('"') => format!("'{text}'"),
        text => format!("\"{text}\""),
    };
    format!(
        "[[accept]]\nsymbol = \"{}\"\nfrom = {}\nto = {}\nsince = \"{since}\"\nwhy = \"\"\nwho = \"\"\n",
        change.known_as(),
        quoted(&change.from),
        quoted(&change.to),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn faults_of_a_review_file_name_the_line() {
        let good = "[[accept]]\nsymbol = \"A\"\nfrom = \"y\"\nto = \"absent\"\nsince = \"6.6\"\nwhy = \"w\"\nwho = \"me\"\n";
        assert_eq!(Reviews::parse("r", good).expect("reviews").all().len(), 1);
        assert_eq!(
            Reviews::parse("r", "# none\n")
                .expect("reviews")
                .all()
                .len(),
            0
        );
        let embedded = include_str!("../../../kernel-configs/reviews.toml");
        assert!(Reviews::parse("reviews.toml", embedded).is_ok());
        for (from, to, line, said) in [
            ("symbol", "symbl", 2, "did you mean `symbol`?"),
            ("[[accept]]", "[[acept]]", 1, "did you mean `accept`?"),
            ("\"y\"", "\"yes\"", 3, "`yes` is no state"),
            ("\"6.6\"", "\"six\"", 5, "neither a series"),
            ("\"w\"", "\" \"", 6, "it says nothing"),
            ("who = \"me\"\n", "", 1, "missing field `who`"),
            ("\"A\"", "\"A-B\"", 2, "no name of a kernel option"),
            ("\"A\"", "\"A", 2, ""),
        ] {
            let error = Reviews::parse("r", &good.replace(from, to)).expect_err(to);
            let text = format!("{error}\n{}", error.hint());
            assert!(text.contains(said), "{to}: {text}");
            assert_eq!(error.problems()[0].line, line, "{to}: {text}");
            assert!(!error.drawn().is_empty());
        }
    }

    #[test]
    fn an_accepted_change_is_accepted_from_then_on() {
        let since = |text: &str| Since::try_from(text.to_owned()).expect("a kernel");
        let tag = |text: &str| {
            let tag: Tag = text.parse().expect("a tag");
            Release::new("x", Some(tag), tag.series())
        };
        let series = |text: &str| Release::new("x", None, text.parse().expect("a series"));
        for (since_, release, covers) in [
            ("6.6", tag("6.6.1.1"), true),
            ("6.6", tag("6.1.99.1"), false),
            ("6.6", series("6.12"), true),
            ("6.6.36.3", tag("6.6.36.3"), true),
            ("6.6.36.3", tag("6.6.36.1"), false),
            ("6.6.36.3", series("6.6"), true),
            ("6.6.36.3", series("6.1"), false),
            ("6.6", Release::of_file("x", "CONFIG_A=y\n"), true),
        ] {
            assert_eq!(
                since(since_).covers(&release),
                covers,
                "{since_} {release:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_reviews_or_a_fault_with_a_place(text in "(\\[\\[accept\\]\\]|symbol|from|to|since|why|who| = |\"|'|[a-z.ä]{0,4}|\n){0,30}") {
            if let Err(error) = Reviews::parse("r", &text) {
                prop_assert!(!error.drawn().is_empty());
            }
        }
    }
}
