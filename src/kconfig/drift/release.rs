//! What a configuration is of: a name, and the tag and series that say which reviews count for it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::source::{KernelVersion, Series, Tag};

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
