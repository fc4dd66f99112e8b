//! The ledger: what is known of every tag that was ever seen, one entry each.
//!
//! In: text of `nightly.json`. Out: [`Ledger`] and back. Must not touch the disk, nor judge: the night does.
//!
//! ```text
//! seen ─▶ fetched ─▶ configured ─▶ built ─▶ booted ─▶ published
//!    └────────┴───────────┴──────────┴────────┴──────▶ failed on the way to the next, with its reason and log
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::artefact::BuildId;
use crate::smoke::Verdict;
use crate::source::Tag;

/// The schema that is written. A later one is not read: it may mean what this wslk does not know.
pub const SCHEMA: &str = "wslk/ledger/1";

/// How far a tag has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The upstream has it.
    Seen,
    /// Its source is here and pinned.
    Fetched,
    /// Its configuration was audited, and compared with the tag before.
    Configured,
    /// It was compiled.
    Built,
    /// It was boot-tested, and so was its control.
    Booted,
    /// It lies where users find it.
    Published,
}

impl Stage {
    /// The word used in JSON and in tables.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Fetched => "fetched",
            Self::Configured => "configured",
            Self::Built => "built",
            Self::Booted => "booted",
            Self::Published => "published",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blame {
    /// The tag's: it breaks the contract, does not compile, does not boot, or lost a scenario. It stays judged
    /// until what it is judged by changes.
    Kernel,
    /// The tag is not what it was: it was moved, or what came is not what was pinned.
    Source,
    /// This machine's or the network's. Says nothing about the kernel; the next night tries again.
    Harness,
}

/// Why a tag went no further.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Whose fault it is.
    pub blame: Blame,
    /// The stage that it did not reach.
    pub stage: Stage,
    /// What wslk would have exited with.
    pub code: u8,
    /// In a sentence.
    pub reason: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// What a tag's judgement took, in seconds. What was found done took none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Seconds {
    /// Source.
    pub fetch: f64,
    /// Configuration, audit and drift.
    pub config: f64,
    /// Compiling and packing.
    pub build: f64,
    /// The boot test, the control's build and boot included.
    pub boot: f64,
    /// Publishing.
    pub publish: f64,
}

/// One scenario of the boot test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The scenario.
    pub name: String,
    /// What became of it.
    pub verdict: Verdict,
    /// What became of it on the control.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Verdict>,
    /// Why it did not work, on the one or on the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What is different in the final configuration since the tag before, in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftFacts {
    /// The tag before.
    pub since: Tag,
    /// Symbols that the tag before did not know.
    pub new: usize,
    /// Symbols that are no more.
    pub gone: usize,
    /// Symbols with another value.
    pub changed: usize,
    /// Contract and guarded options among them that nobody has reviewed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreviewed: Vec<String>,
}

/// A scenario that worked on the tag before and does not work now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Regression {
    /// The scenario.
    pub scenario: String,
    /// The newest tag on which it is known to work.
    pub good: Tag,
    /// The oldest tag on which it is known not to.
    pub bad: Tag,
    /// Tags between the two that could not be tried: the change may as well be in one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untried: Vec<Tag>,
}

/// What came out for a tag: filled as it moves on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Judged {
    /// The build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<BuildId>,
    /// What `uname -r` says in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The bzImage, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_bytes: Option<u64>,
    /// The modules disk, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modules_bytes: Option<u64>,
    /// The control's build, where one was tested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control: Option<BuildId>,
    /// The scenarios in the order of the suite.
    pub scenarios: Vec<Row>,
    /// What the comparison with the control says, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conclusion: Option<String>,
    /// Since the tag before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftFacts>,
    /// What worked on the tag before and does not now.
    pub regressions: Vec<Regression>,
    /// The published folder, below the site's root, with `/` between its parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// One tag.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The tag.
    pub tag: Tag,
    /// The commit that it named when it was seen first.
    pub commit: String,
    /// The profile it was built with.
    pub profile: String,
    /// Digest of what it was judged by beside its source: fragments, reviews, suite, builder. A kernel that
    /// failed is judged again when this changes.
    pub judged_by: String,
    /// How far it came.
    pub stage: Stage,
    /// Why it went no further, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// When it last moved, in seconds since 1970.
    pub time: u64,
    /// What it took.
    #[serde(default)]
    pub seconds: Seconds,
    /// What came out.
    #[serde(default)]
    pub judged: Judged,
    /// The log of its judgement, below the site's root where there is a site, else a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

impl Entry {
    /// A tag that was seen just now.
    #[must_use]
    pub fn seen(tag: Tag, commit: String, profile: String, judged_by: String, time: u64) -> Self {
        Self {
            tag,
            commit,
            profile,
            judged_by,
            stage: Stage::Seen,
            failure: None,
            time,
            seconds: Seconds::default(),
            judged: Judged::default(),
            log: None,
        }
    }

    /// Whether the night has said its last word about it, as far as `judged_by` goes.
    #[must_use]
    pub fn is_settled(&self, judged_by: &str) -> bool {
        match &self.failure {
            None => self.stage == Stage::Published,
            Some(failure) => failure.blame != Blame::Harness && self.judged_by == judged_by,
        }
    }
}

/// Every tag that was ever seen, oldest version first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    schema: String,
    entries: Vec<Entry>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            entries: Vec::new(),
        }
    }
}

/// The text is no ledger that this wslk can read.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Not JSON, or not a ledger.
    #[error("is no ledger: {0}")]
    NotALedger(#[from] serde_json::Error),
    /// Written by another wslk.
    #[error("has the schema `{0}`; this wslk reads `{SCHEMA}`")]
    OtherSchema(String),
    /// Nobody knows which of the two holds.
    #[error("has {0} twice")]
    Twice(Tag),
}

#[derive(Deserialize)]
struct Form {
    schema: String,
}

impl Ledger {
    /// Reads a ledger's text.
    pub fn from_json(text: &str) -> Result<Self, LedgerError> {
        // Its form first: the entries of another one need not look like ours.
        let Form { schema } = serde_json::from_str(text)?;
        if schema != SCHEMA {
            return Err(LedgerError::OtherSchema(schema));
        }
        let mut ledger: Self = serde_json::from_str(text)?;
        ledger.entries.sort_by_key(|entry| entry.tag);
        let mut pairs = ledger.entries.windows(2);
        match pairs.find(|pair| pair[0].tag == pair[1].tag) {
            Some(pair) => Err(LedgerError::Twice(pair[0].tag)),
            None => Ok(ledger),
        }
    }

    /// The text for the disk.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// The entries, oldest version first.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What is known of a tag.
    #[must_use]
    pub fn find(&self, tag: Tag) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.tag == tag)
    }

    /// Keeps an entry in the place of the one there was for its tag.
    pub fn keep(&mut self, entry: Entry) {
        match self.entries.binary_search_by_key(&entry.tag, |e| e.tag) {
            Ok(at) => self.entries[at] = entry,
            Err(at) => self.entries.insert(at, entry),
        }
    }

    /// The newest tag below `tag`, of whatever series, whose configuration nobody objected to.
    #[must_use]
    pub fn configured_before(&self, tag: Tag) -> Option<&Entry> {
        let mut below = self.entries.iter().rev().filter(|entry| entry.tag < tag);
        below.find(|entry| entry.stage >= Stage::Configured)
    }

    /// The newest tag below `tag` in its series that was booted and did not fail.
    #[must_use]
    pub fn good_before(&self, tag: Tag) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| {
            entry.tag < tag
                && entry.tag.series() == tag.series()
                && entry.failure.is_none()
                && entry.stage >= Stage::Booted
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(version: &str, stage: Stage, blame: Option<Blame>) -> Entry {
        let tag = version.parse().expect("a tag");
        let failure = blame.map(|blame| Failure {
            blame,
            stage: Stage::Built,
            code: 5,
            reason: "it does not compile".into(),
            hint: None,
        });
        Entry {
            stage,
            failure,
            ..Entry::seen(tag, "c0ffee".into(), "tiny".into(), "rules".into(), 7)
        }
    }

    #[test]
    fn a_ledger_survives_its_text_and_stays_in_order() {
        let mut ledger = Ledger::default();
        for version in ["6.6.87.2", "6.1.21.2", "6.6.9.1", "6.1.21.2"] {
            ledger.keep(entry(version, Stage::Seen, None));
        }
        let versions: Vec<_> = ledger.entries().iter().map(|e| e.tag.version()).collect();
        assert_eq!(versions, ["6.1.21.2", "6.6.9.1", "6.6.87.2"]);
        assert_eq!(Ledger::from_json(&ledger.to_json()).expect("ours"), ledger);
    }

    #[test]
    fn another_schema_is_refused_and_an_unknown_key_is_not() {
        let text = Ledger::default().to_json();
        let later = text.replace(SCHEMA, "wslk/ledger/2");
        assert!(matches!(
            Ledger::from_json(&later),
            Err(LedgerError::OtherSchema(_))
        ));
        let shapeless = r#"{"schema": "wslk/ledger/2", "tags": {}}"#;
        assert!(matches!(
            Ledger::from_json(shapeless),
            Err(LedgerError::OtherSchema(_))
        ));
        let twice = Ledger {
            entries: vec![entry("6.1.21.2", Stage::Seen, None); 2],
            ..Ledger::default()
        };
        assert!(matches!(
            Ledger::from_json(&twice.to_json()),
            Err(LedgerError::Twice(_))
        ));
        let richer = text.replace("{\n", "{\n  \"weather\": 1,\n");
        assert!(Ledger::from_json(&richer).is_ok());
        assert!(matches!(
            Ledger::from_json("{"),
            Err(LedgerError::NotALedger(_))
        ));
    }

    #[test]
    fn only_what_is_published_or_the_kernels_own_fault_is_settled() {
        let table = [
            (Stage::Published, None, "rules", true),
            (Stage::Published, None, "other rules", true),
            (Stage::Booted, None, "rules", false),
            (Stage::Configured, Some(Blame::Kernel), "rules", true),
            (Stage::Configured, Some(Blame::Kernel), "other rules", false),
            (Stage::Seen, Some(Blame::Source), "rules", true),
            (Stage::Configured, Some(Blame::Harness), "rules", false),
        ];
        for (stage, blame, rules, settled) in table {
            let entry = entry("6.1.21.2", stage, blame);
            assert_eq!(
                entry.is_settled(rules),
                settled,
                "{stage} {blame:?} {rules}"
            );
        }
    }

    #[test]
    fn a_tag_is_compared_with_the_last_good_one_of_its_series() {
        let mut ledger = Ledger::default();
        ledger.keep(entry("5.15.90.1", Stage::Published, None));
        ledger.keep(entry("6.1.20.1", Stage::Published, None));
        ledger.keep(entry("6.1.21.1", Stage::Configured, Some(Blame::Kernel)));
        ledger.keep(entry("6.1.21.2", Stage::Seen, None));
        let before = |v: &str| ledger.good_before(v.parse().expect("a tag"));
        assert_eq!(
            before("6.1.21.2").map(|e| e.tag.version()),
            Some("6.1.20.1".into())
        );
        assert_eq!(before("6.1.20.1"), None);
    }
}
