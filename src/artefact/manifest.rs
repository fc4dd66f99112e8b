//! The manifest of a build: what went in, what came out, and the id that follows from what went in.
//!
//! In: names and values. Out: text and back. Must not touch the disk: the store does.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::build_name;
use crate::digest::Sha256;

/// The schema number that this wslk writes, and the highest that it reads.
pub const SCHEMA: u32 = 2;
/// Hexadecimal digits of the inputs' digest in a build id: 40 bits tell all builds of a user apart.
const HEX_DIGITS: usize = 10;

/// The name of a build, and of its folder: `<kernel version>-<profile>-<10 hexadecimal digits>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BuildId(String);

/// The text cannot name a build.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no build id: `<kernel version>-<profile>-<10 hexadecimal digits>` expected")]
pub struct BadBuildId(String);

impl BuildId {
    /// The id of what `inputs` lead to.
    pub fn new(version: &str, profile: &str, inputs: &Inputs) -> Result<Self, BadBuildId> {
        format!("{version}-{profile}-{}", inputs.hex()).parse()
    }

    /// The part that depends on the inputs alone.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0[self.0.len() - HEX_DIGITS..]
    }

    /// What the kernel's release string ends in: it names the build.
    #[must_use]
    pub fn localversion(&self) -> String {
        format!("-wslk-{}", self.hex())
    }

    /// The version of the kernel that it begins with, up to the first `-`.
    #[must_use]
    pub fn version(&self) -> &str {
        self.0.split('-').next().unwrap_or(&self.0)
    }

    /// Whether it is the name of a build of this profile.
    #[must_use]
    pub fn is_of(&self, profile: &str) -> bool {
        let name = &self.0[..self.0.len() - HEX_DIGITS - 1];
        name.strip_suffix(profile)
            .is_some_and(|version| version.ends_with('-'))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BuildId {
    type Err = BadBuildId;

    /// Only what is safe as a folder's name and as part of a command line.
    fn from_str(text: &str) -> Result<Self, BadBuildId> {
        let error = || BadBuildId(text.to_owned());
        let safe = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
        let hex = |c: char| matches!(c, '0'..='9' | 'a'..='f');
        let (name, digits) = text.rsplit_once('-').ok_or_else(error)?;
        let (version, profile) = name.split_once('-').ok_or_else(error)?;
        let good = version.starts_with(|c: char| c.is_ascii_digit())
            && !profile.is_empty()
            && name.chars().all(safe)
            && text.len() <= 200
            && digits.len() == HEX_DIGITS
            && digits.chars().all(hex);
        good.then(|| Self(text.to_owned())).ok_or_else(error)
    }
}

impl TryFrom<String> for BuildId {
    type Error = BadBuildId;

    fn try_from(text: String) -> Result<Self, BadBuildId> {
        text.parse()
    }
}

impl From<BuildId> for String {
    fn from(id: BuildId) -> Self {
        id.0
    }
}

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a user names a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildRef {
    /// The build that was finished last.
    Latest,
    /// The whole id, its beginning, or the beginning of its last part.
    Prefix(String),
}

impl BuildRef {
    /// Whether the name fits this id. `latest` fits them all.
    #[must_use]
    pub fn fits(&self, id: &BuildId) -> bool {
        match self {
            Self::Latest => true,
            Self::Prefix(prefix) => build_name::fits(id.as_str(), prefix),
        }
    }
}

impl From<&BuildId> for BuildRef {
    fn from(id: &BuildId) -> Self {
        Self::Prefix(id.to_string())
    }
}

impl FromStr for BuildRef {
    type Err = BadBuildId;

    fn from_str(text: &str) -> Result<Self, BadBuildId> {
        let safe = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
        match text {
            build_name::LATEST => Ok(Self::Latest),
            _ if text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && text.chars().all(safe) =>
            {
                Ok(Self::Prefix(text.to_owned()))
            }
            _ => Err(BadBuildId(text.to_owned())),
        }
    }
}

impl fmt::Display for BuildRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str(build_name::LATEST),
            Self::Prefix(prefix) => f.write_str(prefix),
        }
    }
}

/// Everything that decides what a build comes out as: its name in words a user knows ("source tree",
/// "fragment criu", "gcc") and its value (a digest or a version).
///
/// What does not change the result (number of jobs, time of day, where the source came from) does not belong here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Inputs(BTreeMap<String, String>);

impl Inputs {
    /// Adds an input, or replaces its value.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// Adds an input of a kind of which there may be several; a name that is taken gets a number.
    #[must_use]
    pub fn with_another(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        let free = |name: &String| !self.0.contains_key(name);
        let numbered = (2..).map(|number| format!("{name} ({number})"));
        let name = std::iter::once(name.clone())
            .chain(numbered)
            .find(free)
            .unwrap_or(name);
        self.with(name, value)
    }

    /// The names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The digest of all names and values.
    #[must_use]
    pub fn digest(&self) -> Sha256 {
        // Lengths before the texts: no two different sets run together into the same bytes.
        let frame = |text: &str| format!("{}:{text}", text.len());
        Sha256::of(
            self.iter()
                .map(|(name, value)| frame(name) + &frame(value))
                .collect::<String>(),
        )
    }

    /// The digits of [`Inputs::digest`] that build ids and release strings end in.
    #[must_use]
    pub fn hex(&self) -> String {
        self.digest().short(HEX_DIGITS)
    }

    /// What is different here from `before`, by name.
    #[must_use]
    pub fn changes_since(&self, before: &Self) -> Vec<Change> {
        let mut names: Vec<&String> = self.0.keys().chain(before.0.keys()).collect();
        names.sort();
        names.dedup();
        names
            .into_iter()
            .filter_map(|name| Change::of(name, before.0.get(name), self.0.get(name)))
            .collect()
    }
}

/// An input that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The input's name.
    pub name: String,
    /// Its value then; nothing where there was no such input.
    pub before: Option<String>,
    /// Its value now; nothing where there is no such input any more.
    pub now: Option<String>,
}

impl Change {
    fn of(name: &str, before: Option<&String>, now: Option<&String>) -> Option<Self> {
        (before != now).then(|| Self {
            name: name.to_owned(),
            before: before.cloned(),
            now: now.cloned(),
        })
    }
}

/// "gcc: 12.2.0 → 14.2.0", "fragment extra: new", "source tree: 1a2b3c4d5e → 5e4d3c2b1a".
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.before, &self.now) {
            (Some(before), Some(now)) => {
                write!(f, "{}: {} → {}", self.name, brief(before), brief(now))
            }
            (None, _) => write!(f, "{}: new", self.name),
            (_, None) => write!(f, "{}: no longer there", self.name),
        }
    }
}

/// A digest's first digits; any other value as it is.
fn brief(value: &str) -> &str {
    let digits = value.strip_prefix("sha256:").unwrap_or(value);
    let digest = digits.len() >= 40 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if digest { &digits[..HEX_DIGITS] } else { value }
}

/// Where the source came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFacts {
    /// The full name of the tag, where there was one.
    pub tag: Option<String>,
    /// The commit, where it is known.
    pub commit: Option<String>,
    /// The git tree id of what lay on the disk.
    pub tree: String,
    /// The names of the patches on top, in order.
    #[serde(default)]
    pub patches: Vec<String>,
}

/// A file that came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Digest of its content.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
}

/// The facts about one build: what went in and what came out. The same inputs give the same text, whoever builds,
/// wherever and whenever; the rest is in [`RunDetails`](super::RunDetails). Keys that this wslk does not know are left
/// alone when reading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The build's name.
    pub id: BuildId,
    /// The profile that picked the fragments.
    pub profile: String,
    /// What `uname -r` says under this kernel.
    pub release: String,
    /// Where the source came from.
    pub source: SourceFacts,
    /// Everything that decided the result.
    pub inputs: Inputs,
    /// Versions of the tools that took part, by name.
    pub tools: BTreeMap<String, String>,
    /// The files that came out, by name; filled in when the build is published.
    #[serde(default)]
    pub outputs: BTreeMap<String, Output>,
}

/// Why a manifest's text was not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ManifestFault {
    /// The schema number in it is not ours.
    Schema(u32),
    /// It is no manifest, with the reason.
    Unreadable(String),
}

impl Manifest {
    /// Reads a manifest. The schema number is looked at first, so that a manifest of another wslk is
    /// called that and not "damaged".
    pub(super) fn parse(text: &str) -> Result<Self, ManifestFault> {
        #[derive(Deserialize)]
        struct Head {
            schema: u32,
        }
        let unreadable = |e: serde_json::Error| ManifestFault::Unreadable(e.to_string());
        let head: Head = serde_json::from_str(text).map_err(unreadable)?;
        if head.schema != SCHEMA {
            return Err(ManifestFault::Schema(head.schema));
        }
        serde_json::from_str(text).map_err(unreadable)
    }

    /// The text that [`Manifest::parse`] reads.
    #[must_use]
    pub(super) fn render(&self) -> String {
        // Every field is a string, a number or a map with string keys: that cannot fail.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn inputs() -> Inputs {
        Inputs::default()
            .with("source tree", "a".repeat(40))
            .with("gcc", "12.2.0")
    }

    pub(crate) fn manifest() -> Manifest {
        Manifest {
            schema: SCHEMA,
            id: BuildId::new("6.6.87.2", "criu", &inputs()).unwrap(),
            profile: "criu".to_owned(),
            release: "6.6.87.2-microsoft-standard-WSL2-wslk-0123456789".to_owned(),
            source: SourceFacts {
                tree: "a".repeat(40),
                ..SourceFacts::default()
            },
            inputs: inputs(),
            tools: BTreeMap::new(),
            outputs: BTreeMap::new(),
        }
    }

    #[test]
    fn an_id_is_safe_as_a_folder_name() {
        let good = [
            "6.6.87.2-criu-0123456789",
            "6.12.0-rc1-my-own_x-abcdefabcd",
            "6.1.192+-tiny-00000fffff",
        ];
        for text in good {
            assert_eq!(text.parse::<BuildId>().unwrap().to_string(), text);
        }
        let bad = [
            "",
            "latest",
            "6.6-0123456789",
            "6.6-criu-012345678",
            "6.6-criu-01234567890",
            "6.6-criu-0123456ABC",
            "../6-criu-0123456789",
            "6.6-a/b-0123456789",
            "6.6-a b-0123456789",
            "6.6--0123456789",
            "v6-criu-0123456789",
            "6.6-é-0123456789",
        ];
        for text in bad {
            assert_eq!(text.parse::<BuildId>(), Err(BadBuildId(text.to_owned())));
        }
    }

    #[test]
    fn a_reference_fits_by_id_or_by_hex() {
        let id: BuildId = "6.6.87.2-criu-0123456789".parse().unwrap();
        let table = [
            ("latest", true),
            ("6", true),
            ("6.6.87.2-criu", true),
            ("6.6.87.2-criu-0123456789", true),
            ("0123", true),
            ("123", false),
            ("6.7", false),
            ("6.6.87.2-criu-01234567890", false),
        ];
        for (text, fits) in table {
            assert_eq!(text.parse::<BuildRef>().unwrap().fits(&id), fits, "{text}");
        }
        for text in ["", "../x", "-q", ".", "a b"] {
            assert!(text.parse::<BuildRef>().is_err(), "{text}");
        }
    }

    #[test]
    fn changes_are_named() {
        let before = inputs().with("fragment extra", "x");
        let now = Inputs::default()
            .with("source tree", "b".repeat(40))
            .with("gcc", "12.2.0")
            .with("patches", "none");
        let told: Vec<String> = now
            .changes_since(&before)
            .iter()
            .map(Change::to_string)
            .collect();
        assert_eq!(
            told,
            [
                "fragment extra: no longer there",
                "patches: new",
                "source tree: aaaaaaaaaa → bbbbbbbbbb"
            ]
        );
        assert!(now.changes_since(&now).is_empty());
    }

    #[test]
    fn inputs_of_one_name_are_all_kept() {
        let inputs = ["a", "b", "c"]
            .iter()
            .fold(Inputs::default(), |inputs, value| {
                inputs.with_another("fragment extra", *value)
            });
        let names: Vec<&str> = inputs.iter().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            ["fragment extra", "fragment extra (2)", "fragment extra (3)"]
        );
    }

    #[test]
    fn a_manifest_comes_back_and_tolerates_unknown_keys() {
        let manifest = manifest();
        assert_eq!(Manifest::parse(&manifest.render()), Ok(manifest.clone()));
        let more = manifest
            .render()
            .replacen('{', "{\"from the future\": [1],", 1);
        assert_eq!(Manifest::parse(&more), Ok(manifest));
    }

    #[test]
    fn another_schema_is_no_damage() {
        for other in [1, 7] {
            let text = format!(r#"{{"schema": {other}, "nothing": "else is known"}}"#);
            assert_eq!(Manifest::parse(&text), Err(ManifestFault::Schema(other)));
        }
        for text in [
            "",
            "{",
            "[]",
            "{}",
            r#"{"schema": 2}"#,
            r#"{"schema": "2"}"#,
        ] {
            assert!(
                matches!(Manifest::parse(text), Err(ManifestFault::Unreadable(_))),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parsers_panic(text in ".{0,80}") {
            let _any = (text.parse::<BuildId>(), text.parse::<BuildRef>(), Manifest::parse(&text));
        }

        #[test]
        fn different_inputs_have_different_ids(a in any::<Vec<(String, String)>>(), b in any::<Vec<(String, String)>>()) {
            let set = |pairs: &[(String, String)]| {
                pairs.iter().fold(Inputs::default(), |set, (name, value)| set.with(name, value))
            };
            let (a, b) = (set(&a), set(&b));
            prop_assert_eq!(a == b, a.digest() == b.digest());
            prop_assert_eq!(a == b, a.changes_since(&b).is_empty());
        }
    }
}
