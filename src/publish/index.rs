//! The list of what is published, for programs: `index.json` in the outlet's root.
//!
//! In: entries. Out: an [`Index`] and back. It is a signpost, and nobody trusts it: what it points to proves
//! itself. Keys that this wslk does not know are left alone when reading.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::{Entry, INDEX, Outlet, PublishError};
use crate::artefact::{BuildId, BuildRef};
use crate::files;
use crate::source::{Tag, TagQuery};

/// The form of `index.json`.
pub const SCHEMA: &str = "wslk/index/1";

/// What is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// [`SCHEMA`].
    pub schema: String,
    /// The entries, newest tag first.
    pub entries: Vec<IndexEntry>,
}

/// Where one entry is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexEntry {
    /// The tag that it was built from.
    pub tag: Tag,
    /// The build.
    pub build: BuildId,
    /// Its folder, below that of the index.
    pub path: String,
    /// When it was published, in seconds since 1970.
    pub published: u64,
}

impl From<&Entry> for IndexEntry {
    fn from(entry: &Entry) -> Self {
        Self {
            tag: entry.tag,
            build: entry.build.clone(),
            path: entry.path(),
            published: entry.published,
        }
    }
}

impl Index {
    /// The index of these entries.
    #[must_use]
    pub fn new<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut entries: Vec<IndexEntry> = entries.into_iter().map(IndexEntry::from).collect();
        entries.sort_by_key(|entry| Reverse((entry.tag, entry.published, entry.build.clone())));
        Self {
            schema: SCHEMA.to_owned(),
            entries,
        }
    }

    /// Reads an index; the error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let index: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match index.schema.as_str() {
            SCHEMA => Ok(index),
            other => Err(format!(
                "its schema is `{other}`, and this wslk knows `{SCHEMA}`"
            )),
        }
    }

    /// The entry that is meant: the newest of the newest tag that fits, and of `profile` unless a build is
    /// named.
    #[must_use]
    pub fn find(&self, wanted: &BuildRef, profile: &str) -> Option<&IndexEntry> {
        let fits = |entry: &&IndexEntry| match wanted {
            BuildRef::Latest => entry.build.is_of(profile),
            BuildRef::Prefix(text) => match text.parse::<TagQuery>() {
                Ok(query) => query.matches(&entry.tag) && entry.build.is_of(profile),
                Err(_) => wanted.fits(&entry.build),
            },
        };
        let fitting = self.entries.iter().filter(fits);
        fitting.max_by_key(|entry| (entry.tag, entry.published))
    }
}

/// Puts the index in its place, whole.
pub fn write_index(outlet: &Outlet, index: &Index) -> Result<(), PublishError> {
    let _lock = outlet.lock()?;
    files::sweep(outlet.root())?;
    let text = serde_json::to_string_pretty(index).unwrap_or_default();
    Ok(files::replace(&outlet.root().join(INDEX), text + "\n")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(tag: &str, build: &str, published: u64) -> IndexEntry {
        IndexEntry {
            tag: tag.parse().unwrap(),
            build: build.parse().unwrap(),
            path: format!("{tag}/{build}"),
            published,
        }
    }

    #[test]
    fn the_newest_of_what_fits() {
        let index = Index {
            schema: SCHEMA.to_owned(),
            entries: vec![
                entry("6.1.9.1", "6.1.9.1-criu-0000000001", 9),
                entry("6.6.10.1", "6.6.10.1-criu-0000000002", 1),
                entry("6.6.10.1", "6.6.10.1-criu-0000000003", 2),
                entry("6.6.9.1", "6.6.9.1-criu-0000000004", 8),
                entry("6.6.11.1", "6.6.11.1-tiny-0000000005", 9),
            ],
        };
        let table = [
            ("latest", Some(3)),
            ("6.1", Some(1)),
            ("6.6", Some(3)),
            ("linux-msft-wsl-6.6.9.1", Some(4)),
            ("6.6.10.1", Some(3)),
            ("6.6.10.1-criu-0000000002", Some(2)),
            ("6.6.11.1", None),
            ("6.6.11.1-tiny-0000000005", Some(5)),
            ("5.15", None),
        ];
        for (wanted, expected) in table {
            let found = index.find(&wanted.parse().unwrap(), "criu");
            let number = found.map(|entry| entry.build.hex().parse::<u32>().unwrap());
            assert_eq!(number, expected, "{wanted}");
        }
    }

    #[test]
    fn unknown_keys_are_left_alone_and_unknown_forms_are_not() {
        let text = r#"{"schema": "wslk/index/1", "more": [], "entries": []}"#;
        assert_eq!(Index::parse(text).unwrap().entries, []);
        let newer = Index::parse(&text.replace("index/1", "index/2")).unwrap_err();
        assert!(newer.contains("wslk/index/2"), "{newer}");
        assert!(Index::parse("<html>").is_err());
    }
}
