//! The names of Microsoft's kernel releases as values.
//!
//! In: text from a user or from a remote. Out: [`Tag`], [`Series`], [`TagQuery`], which cannot hold
//! anything malformed. Must not ask a remote whether such a tag exists.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What all release tags begin with, since the 5.10 series.
const PREFIX: &str = "linux-msft-wsl-";

/// A release of Microsoft's kernel: Linux `A.B.C` and Microsoft's own revision `D`.
///
/// Written `linux-msft-wsl-A.B.C.D`; read in that form and as `A.B.C.D`. Ordered by version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag([u16; 4]);

impl Tag {
    /// `A.B.C.D`, as `uname -r` of the stock kernel begins.
    #[must_use]
    pub fn version(&self) -> String {
        let [a, b, c, d] = self.0;
        format!("{a}.{b}.{c}.{d}")
    }

    /// `A.B`: the branch that the release belongs to.
    #[must_use]
    pub fn series(&self) -> Series {
        Series([self.0[0], self.0[1]])
    }

    /// The four numbers.
    #[must_use]
    pub fn numbers(&self) -> [u16; 4] {
        self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.version())
    }
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        numbers(text.strip_prefix(PREFIX).unwrap_or(text))
            .map(Self)
            .ok_or_else(|| TagError {
                text: text.to_owned(),
                expected: "a tag such as 6.6.87.2",
            })
    }
}

/// A series of releases, such as 6.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series([u16; 2]);

impl Series {
    /// The series `A.B`.
    #[must_use]
    pub fn new(version: u16, patchlevel: u16) -> Self {
        Self([version, patchlevel])
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0[0], self.0[1])
    }
}

impl FromStr for Series {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        numbers(text).map(Self).ok_or_else(|| TagError {
            text: text.to_owned(),
            expected: "a series such as 6.6",
        })
    }
}

/// Which release is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagQuery {
    /// This one.
    Exact(Tag),
    /// The newest of a series.
    Series(Series),
    /// The newest of all.
    Latest,
}

impl TagQuery {
    /// Whether `tag` is among those asked for.
    #[must_use]
    pub fn matches(&self, tag: &Tag) -> bool {
        match self {
            Self::Exact(wanted) => wanted == tag,
            Self::Series(series) => *series == tag.series(),
            Self::Latest => true,
        }
    }
}

impl FromStr for TagQuery {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        if text == "latest" {
            return Ok(Self::Latest);
        }
        let tag = text.parse().map(Self::Exact);
        tag.or_else(|_| text.parse().map(Self::Series)).map_err(|_| TagError {
            text: text.to_owned(),
            expected: "a tag such as 6.6.87.2 or linux-msft-wsl-6.6.87.2, a series such as 6.6, or `latest`",
        })
    }
}

impl fmt::Display for TagQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(tag) => tag.fmt(f),
            Self::Series(series) => series.fmt(f),
            Self::Latest => f.write_str("latest"),
        }
    }
}

/// The text names no release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct TagError {
    text: String,
    expected: &'static str,
}

/// `N` numbers between dots, without signs, spaces or leading zeros: one spelling per version.
fn numbers<const N: usize>(text: &str) -> Option<[u16; N]> {
    let mut parts = text.split('.');
    let mut numbers = [0; N];
    for number in &mut numbers {
        let part = parts.next()?;
        let spelled_once = part == "0" || !part.starts_with('0');
        if !spelled_once || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

impl Serialize for Tag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl Serialize for Series {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Series {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_spellings_are_one_tag() {
        let tag: Tag = "linux-msft-wsl-6.6.87.2".parse().unwrap();
        assert_eq!("6.6.87.2".parse(), Ok(tag));
        assert_eq!(tag.to_string(), "linux-msft-wsl-6.6.87.2");
        assert_eq!(tag.version(), "6.6.87.2");
        assert_eq!(tag.series().to_string(), "6.6");
    }

    #[test]
    fn order_is_by_number() {
        let mut tags: Vec<Tag> = ["6.6.87.2", "6.18.20.1", "5.15.153.1", "6.6.9.10", "6.6.9.9"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        tags.sort();
        let sorted: Vec<String> = tags.iter().map(Tag::version).collect();
        assert_eq!(
            sorted,
            ["5.15.153.1", "6.6.9.9", "6.6.9.10", "6.6.87.2", "6.18.20.1"]
        );
    }

    #[test]
    fn other_names_are_no_tags() {
        let others = [
            "",
            "6.6",
            "6.6.87",
            "6.6.87.2.1",
            "v6.6.87.2",
            "linux-msft-5.4.72",
            "6.6.87.-2",
            "6.6.87.+2",
            "06.6.87.2",
            "4.19.128-microsoft-standard",
            "6.6.87.99999",
            "6.6.87. 2",
            "linux-msft-wsl-linux-msft-wsl-6.6.87.2",
        ];
        for text in others {
            assert!(text.parse::<Tag>().is_err(), "{text}");
        }
    }

    #[test]
    fn queries() {
        let tag = "6.6.87.2".parse().unwrap();
        let table = [
            ("latest", TagQuery::Latest, true),
            ("6.6", TagQuery::Series(Series::new(6, 6)), true),
            ("6.1", TagQuery::Series(Series::new(6, 1)), false),
            ("linux-msft-wsl-6.6.87.2", TagQuery::Exact(tag), true),
        ];
        for (text, query, matches) in table {
            assert_eq!(text.parse(), Ok(query));
            assert_eq!(query.to_string().parse(), Ok(query));
            assert_eq!(query.matches(&tag), matches, "{text}");
        }
        assert!("newest".parse::<TagQuery>().is_err());
    }

    proptest! {
        #[test]
        fn text_and_back(numbers: [u16; 4]) {
            let tag = Tag(numbers);
            prop_assert_eq!(tag.to_string().parse(), Ok(tag));
            prop_assert_eq!(tag.version().parse(), Ok(tag));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            if let Ok(tag) = text.parse::<Tag>() {
                prop_assert!(text == tag.to_string() || text == tag.version());
            }
        }
    }
}
