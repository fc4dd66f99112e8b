//! Drift: what changed between two kernels' configurations, and whether somebody looked at it.
//!
//! In: two [`Side`]s, each a final configuration with the options of its tree and what is asked for there.
//! Out: a [`Drift`]: one [`Change`] per option, what the contract names first. With a file of [`Reviews`]
//! it says which changes of the contract nobody has accepted yet. Must not read a tree, nor judge a value:
//! the audit does.

mod change;
mod compare;
mod markdown;
mod release;
mod rename;
mod render;
mod review;

use serde::{Deserialize, Serialize};

pub use self::change::{Change, Concern, Facts, Kind, Likeness, NotAState, Sign, State};
pub use self::release::Release;
pub use self::review::{Acceptance, Reviews, Since, Unreviewed};
use super::index::{Entry, SymbolIndex};
use super::{ConfigFile, Request};

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
    use crate::source::Tag;

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
