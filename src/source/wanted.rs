//! Which releases are wanted, where it may be many: what a night chooses from.

use super::tag::{Series, Tag};

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
}
