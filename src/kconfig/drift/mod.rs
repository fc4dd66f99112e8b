//! Drift: what changed between two kernels' configurations, and whether somebody looked at it.
//!
//! In: two [`Side`]s, each a final configuration with the options of its tree and what is asked for there.
//! Out: a [`Drift`]: one [`Change`] per option, what the contract names first. With a file of [`Reviews`]
//! it says which changes of the contract nobody has accepted yet. Must not read a tree, nor judge a value:
//! the audit does.

mod compare;
mod markdown;
mod rename;
mod render;
mod review;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use self::review::{Acceptance, Reviews, Since, Unreviewed};
use super::index::{Entry, SymbolIndex};
use super::{ConfigFile, Request, Symbol, SymbolType, Value};
use crate::source::{KernelVersion, Series, Tag};

/// One of the two configurations that are compared.
#[derive(Debug, Clone)]
pub struct Side<'a> {
    /// What it is.
    pub release: Release,
    /// The final configuration.
    pub config: &'a ConfigFile,
    /// The options of its tree; `None` for a configuration without a tree.
    pub index: Option<&'a SymbolIndex>,
    /// What the fragments ask for there.
    pub contract: &'a [Request],
    /// What must be built in there.
    pub guarded: &'a [Request],
}

/// What a configuration is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// What people call it: a tag, a build, a file.
    pub name: String,
    /// The release that it is of, where it is one.
    pub tag: Option<Tag>,
    /// Its series, where that is known.
    pub series: Option<Series>,
}

impl Release {
    /// What is known of a kernel's version; `name` stands for it.
    #[must_use]
    pub fn new(name: impl Into<String>, tag: Option<Tag>, series: Series) -> Self {
        Self {
            name: name.into(),
            tag,
            series: Some(series),
        }
    }

    /// A configuration file: kbuild writes the version at its top.
    #[must_use]
    pub fn of_file(name: impl Into<String>, text: &str) -> Self {
        let words = text.lines().take(8).find_map(|line| {
            let line = line.strip_prefix("# Linux/")?;
            line.strip_suffix(" Kernel Configuration")
        });
        let version = words.and_then(|words| words.split_whitespace().nth(1));
        let mut numbers = version.into_iter().flat_map(|version| version.split('.'));
        let mut number = || numbers.next()?.parse::<u16>().ok();
        Self {
            name: name.into(),
            tag: version.and_then(|version| version.parse().ok()),
            series: number().zip(number()).map(|(a, b)| Series::new(a, b)),
        }
    }

    /// A tree by its Makefile, and by the tag under which it was fetched, where there was one.
    #[must_use]
    pub fn of_tree(tag: Option<Tag>, version: &KernelVersion) -> Self {
        let name = tag.map_or_else(|| version.to_string(), |tag| tag.version());
        Self::new(name, tag, version.series())
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// What changed from one configuration to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// The configuration before.
    pub old: Release,
    /// The configuration after.
    pub new: Release,
    /// Whether the options of both trees were known; without them there are no help texts, defaults and
    /// types, and an option is new where it has a line and had none.
    pub trees: bool,
    /// The changes: contract, guarded, others; in each the weightiest kind first, then by name.
    pub changes: Vec<Change>,
}

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

impl Drift {
    /// What changed from `old` to `new`.
    #[must_use]
    pub fn between(old: &Side<'_>, new: &Side<'_>) -> Self {
        compare::between(old, new)
    }

    /// How many options changed in this way.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        self.changes
            .iter()
            .filter(|change| change.kind() == kind)
            .count()
    }

    /// The changes that somebody has to accept and that `reviews` do not.
    #[must_use]
    pub fn unreviewed(&self, reviews: &Reviews) -> Vec<&Change> {
        self.changes
            .iter()
            .filter(|change| change.needs_review() && self.accepted(change, reviews).is_none())
            .collect()
    }

    /// The review that accepts a change of this drift.
    #[must_use]
    pub fn accepted<'a>(&self, change: &Change, reviews: &'a Reviews) -> Option<&'a Acceptance> {
        reviews.of(change, &self.new)
    }

    /// Nothing where every change of the contract was accepted.
    ///
    /// # Errors
    /// [`Unreviewed`] names each option, its old and new value, and what to write into `file`.
    pub fn check(&self, reviews: &Reviews, file: &str) -> Result<(), Box<Unreviewed>> {
        let changes: Vec<Change> = self.unreviewed(reviews).into_iter().cloned().collect();
        if changes.is_empty() {
            return Ok(());
        }
        Err(Box::new(Unreviewed {
            old: self.old.clone(),
            new: self.new.clone(),
            file: file.to_owned(),
            changes,
        }))
    }

    /// The changes of one concern and kind, in order.
    fn of(&self, watched: bool, kind: Kind) -> Vec<&Change> {
        let is_watched = |change: &Change| change.concern != Concern::Other;
        self.changes
            .iter()
            .filter(|change| is_watched(change) == watched && change.kind() == kind)
            .collect()
    }

    /// "2 new, 1 gone": every kind that there is.
    fn totals(&self) -> String {
        let parts: Vec<String> = Kind::ALL
            .into_iter()
            .filter(|kind| self.count(*kind) > 0)
            .map(|kind| format!("{} {}", self.count(kind), kind.words()))
            .collect();
        match parts.is_empty() {
            true => "nothing changed".to_owned(),
            false => parts.join(", "),
        }
    }
}

/// An option's prompt.
fn prompt(entry: &Entry) -> Option<&str> {
    entry
        .definitions
        .iter()
        .find_map(|definition| definition.prompt.as_deref())
}

/// An option's help text; empty where there is none.
fn help(entry: &Entry) -> &str {
    entry
        .definitions
        .iter()
        .map(|definition| definition.help.as_str())
        .find(|help| !help.is_empty())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    //! Two made-up trees, one of each kind of change between them.

    use super::*;
    use crate::kconfig::{Arch, Fragment, TreeFacts};

    const OLD: &str = "\
config MODULES
	bool \"Modules\"

config KEPT
	tristate \"Kept\"

config DIAG
	tristate \"Sockets: monitoring interface\"
	help
	  Support for the monitoring interface that tools use.

config OLD_NAME
	bool \"Track changes of pages\"
	depends on MODULES
	help
	  Writes are noted page by page,
	  so that a second dump is small.

config DROPPED
	bool \"Nobody wants it\"

config TICKS
	int \"Ticks\"
	default 100

config SHAPE
	bool \"Shape\"

config QUIET
	bool
	default y if MODULES
";

    const NEW: &str = "\
config MODULES
	bool \"Modules\"

config KEPT
	tristate \"Kept\"

config DIAG
	tristate \"Sockets: monitoring interface\"
	help
	  Support for the monitoring interface that tools use.

config NEW_NAME
	bool \"Track changes of pages\"
	depends on MODULES
	help
	  Writes are noted page by page,
	  so that a second dump is small.

config TICKS
	int \"Ticks\"
	default 250

config SHAPE
	tristate \"Shape\"

config QUIET
	bool
	default y

menu \"Fresh <things> | and *more*\"
	depends on MODULES

config FRESH
	tristate \"Fresh\"
	depends on KEPT || DIAG
	help
	  Help of <FRESH>.

	  It has an empty line.

config STALE
	bool \"Not offered\"
	depends on BROKEN

endmenu
";

    const OLD_CONFIG: &str = "\
CONFIG_MODULES=y
CONFIG_KEPT=y
CONFIG_DIAG=y
CONFIG_OLD_NAME=y
# CONFIG_DROPPED is not set
CONFIG_TICKS=100
CONFIG_SHAPE=y
CONFIG_QUIET=y
CONFIG_LOCALVERSION=\"-microsoft-standard-WSL2-wslk-0123456789\"
";

    const NEW_CONFIG: &str = "\
CONFIG_MODULES=y
CONFIG_KEPT=y
CONFIG_DIAG=m
CONFIG_NEW_NAME=y
CONFIG_TICKS=100
CONFIG_SHAPE=y
CONFIG_QUIET=y
CONFIG_FRESH=m
CONFIG_LOCALVERSION=\"-microsoft-standard-WSL2-wslk-abcdef0123\"
";

    struct Ground {
        config: ConfigFile,
        index: SymbolIndex,
        contract: Vec<Request>,
    }

    impl Ground {
        fn new(kconfig: &str, config: &str, contract: &str) -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            std::fs::write(folder.path().join("Kconfig"), kconfig).expect("written");
            let series = "6.1".parse().expect("a series");
            let tree = TreeFacts::new(folder.path(), "id", series, Arch::X86);
            let fragment =
                Fragment::parse("kernel-configs/test.config", contract).expect("a fragment");
            Self {
                config: ConfigFile::parse("config", config).expect("a configuration"),
                index: SymbolIndex::read(&tree).expect("a tree"),
                contract: fragment.requests().to_vec(),
            }
        }

        fn side<'a>(&'a self, tag: &str, trees: bool) -> Side<'a> {
            let tag: Tag = tag.parse().expect("a tag");
            Side {
                release: Release::new(tag.version(), Some(tag), tag.series()),
                config: &self.config,
                index: trees.then_some(&self.index),
                contract: &self.contract,
                guarded: &[],
            }
        }
    }

    fn drift(contract: &str, trees: bool) -> Drift {
        let old = Ground::new(OLD, OLD_CONFIG, contract);
        let new = Ground::new(NEW, NEW_CONFIG, contract);
        Drift::between(&old.side("6.1.21.2", trees), &new.side("6.1.30.1", trees))
    }

    fn told(drift: &Drift) -> Vec<String> {
        let told = |change: &Change| {
            let Change {
                symbol, from, to, ..
            } = change;
            let kinds: Vec<&str> = change.kinds.iter().map(|kind| kind.words()).collect();
            format!("{symbol} {} {from} -> {to}", kinds.join("+"))
        };
        drift.changes.iter().map(told).collect()
    }

    const ASKED: &str = "# about\n\n# Why.\n# Needed by: dumps\nCONFIG_DIAG=y\n# More.\nCONFIG_OLD_NAME=y\n# Ticks.\nCONFIG_TICKS=100\n";

    #[test]
    fn every_kind_of_change_is_found_and_the_contract_comes_first() {
        assert_eq!(
            told(&drift(ASKED, true)),
            [
                "NEW_NAME renamed (a guess) y -> y",
                "DIAG built in or module y -> m",
                "TICKS default changed 100 -> 100",
                "DROPPED gone n -> absent",
                "SHAPE type changed y -> y",
                "FRESH new absent -> m",
                "STALE new absent -> n",
                "QUIET default changed y -> y",
            ]
        );
    }

    #[test]
    fn without_trees_the_lines_are_compared() {
        assert_eq!(
            told(&drift(ASKED, false)),
            [
                "OLD_NAME gone y -> absent",
                "DIAG built in or module y -> m",
                "DROPPED gone n -> absent",
                "FRESH new absent -> m",
                "NEW_NAME new absent -> y",
            ]
        );
    }

    #[test]
    fn the_same_twice_is_no_drift() {
        let old = Ground::new(OLD, OLD_CONFIG, ASKED);
        let side = old.side("6.1.21.2", true);
        assert_eq!(told(&Drift::between(&side, &side)), [] as [&str; 0]);
    }

    #[test]
    fn a_new_option_has_its_help_and_what_it_depends_on() {
        let drift = drift("", true);
        let fresh = drift
            .changes
            .iter()
            .find(|c| c.symbol.as_str() == "FRESH")
            .expect("new");
        let facts = fresh.new.as_ref().expect("known");
        assert_eq!(facts.help, "Help of <FRESH>.\n\nIt has an empty line.");
        assert_eq!(facts.depends_on, "(KEPT || DIAG) && MODULES");
        assert_eq!(facts.defined, ["Kconfig:33"]);
    }

    #[test]
    fn a_rename_is_a_guess_with_its_signs() {
        let drift = drift(ASKED, true);
        let was = drift.changes[0].was.as_ref().expect("renamed");
        assert_eq!(was.symbol.as_str(), "OLD_NAME");
        let signs = [
            Sign::Prompt,
            Sign::Help,
            Sign::File,
            Sign::Name,
            Sign::DependsOn,
        ];
        assert_eq!(was.signs, signs);
        assert_eq!(drift.changes[0].known_as().as_str(), "OLD_NAME");
        assert!(
            drift
                .render(&Reviews::default())
                .contains("OLD_NAME -> NEW_NAME: same prompt")
        );
    }

    #[test]
    fn what_the_contract_names_must_be_accepted() {
        let drift = drift(ASKED, true);
        let names = |reviews: &Reviews| -> Vec<String> {
            let unreviewed = drift.unreviewed(reviews);
            unreviewed
                .iter()
                .map(|change| change.known_as().to_string())
                .collect()
        };
        assert_eq!(names(&Reviews::default()), ["OLD_NAME", "DIAG"]);
        let error = drift
            .check(&Reviews::default(), "r.toml")
            .expect_err("unreviewed");
        let text = error.to_string();
        assert!(
            text.contains("CONFIG_DIAG (contract): y in 6.1.21.2, m in 6.1.30.1"),
            "{text}"
        );
        // What the hint says to write is what accepts the changes, once somebody has put a name to it.
        let written = error
            .hint()
            .split_once(":\n")
            .expect("entries")
            .1
            .to_owned();
        let signed = written
            .replace("why = \"\"", "why = \"w\"")
            .replace("who = \"\"", "who = \"me\"");
        let reviews = Reviews::parse("r.toml", &signed).expect("reviews");
        assert_eq!(names(&reviews), [] as [&str; 0]);
        assert_eq!(drift.check(&reviews, "r.toml"), Ok(()));
        assert!(drift.render(&reviews).contains("accepted by me: w"));
        for (from, to) in [
            ("to = \"m\"", "to = \"n\""),
            ("since = \"6.1.30.1\"", "since = \"6.6\""),
        ] {
            let other = Reviews::parse("r.toml", &signed.replace(from, to)).expect("reviews");
            assert!(names(&other).contains(&"DIAG".to_owned()), "{to}");
        }
    }

    #[test]
    fn nothing_but_the_contract_needs_a_review() {
        assert_eq!(
            drift("", true).unreviewed(&Reviews::default()),
            [] as [&Change; 0]
        );
    }

    #[test]
    fn a_file_says_what_kernel_it_is_of() {
        let text = "#\n# Automatically generated file; DO NOT EDIT.\n# Linux/x86 6.6.29.1 Kernel Configuration\n#\n";
        let release = Release::of_file("x", text);
        let known = (
            release.tag.map(|tag| tag.version()),
            release.series.map(|s| s.to_string()),
        );
        assert_eq!(known, (Some("6.6.29.1".to_owned()), Some("6.6".to_owned())));
        let debian = Release::of_file("x", "# Linux/x86_64 6.1.192 Kernel Configuration\n");
        assert_eq!(
            (debian.tag, debian.series.map(|s| s.to_string())),
            (None, Some("6.1".to_owned()))
        );
    }

    #[test]
    fn names_of_a_tree_are_no_markup() {
        let text = drift(ASKED, true).markdown(&Reviews::default());
        assert!(
            text.contains("Help of &lt;FRESH&gt;.&#10;&#10;It has"),
            "{text}"
        );
        assert!(text.contains("`(KEPT \\|\\| DIAG) && MODULES`"), "{text}");
        // Every row of a table has as many cells as its head.
        let cells = |line: &str| line.replace("\\|", "").matches('|').count();
        let mut head = 0;
        for line in text.lines() {
            match line.starts_with('|') {
                true if head == 0 => head = cells(line),
                true => assert_eq!(cells(line), head, "{line}"),
                false => head = 0,
            }
        }
    }

    #[test]
    fn a_drift_is_read_back_as_it_was_written() {
        let drift = drift(ASKED, true);
        let text = serde_json::to_string(&drift).expect("a document");
        assert_eq!(
            serde_json::from_str::<Drift>(&text).expect("a drift"),
            drift
        );
    }
}
