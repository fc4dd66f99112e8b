//! Which releases are wanted, where it may be many: what a night chooses from.

use super::tag::{Series, Tag, TagQuery};

/// Which tags are wanted at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Only these series; all of them when empty.
    pub series: Vec<Series>,
    /// Only this tag and later ones.
    pub since: Option<Tag>,
    /// Only these tags, settled or not; all of them when empty.
    pub only: Vec<Tag>,
    /// At most so many, the newest of them; no limit when silent.
    pub max: Option<usize>,
}

impl Wanted {
    /// Whether the tag is one of those wanted.
    #[must_use]
    pub fn covers(&self, tag: Tag) -> bool {
        if !self.only.is_empty() {
            return self.only.contains(&tag);
        }
        let in_series = self.series.is_empty() || self.series.contains(&tag.series());
        in_series && self.since.is_none_or(|since| tag >= since)
    }

    /// What is named, and is not among `tags`.
    #[must_use]
    pub fn missing(&self, tags: &[Tag]) -> Vec<TagQuery> {
        let named: Vec<TagQuery> = match self.only.as_slice() {
            [] => self.series.iter().copied().map(TagQuery::Series).collect(),
            only => only.iter().copied().map(TagQuery::Exact).collect(),
        };
        let is_there = |query: &TagQuery| tags.iter().any(|tag| query.matches(tag));
        named.into_iter().filter(|query| !is_there(query)).collect()
    }
}
