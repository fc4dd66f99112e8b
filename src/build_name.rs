//! How people name a build: `latest`, its whole id, the beginning of that, or the beginning of its last part.
//!
//! In: the text of an id and the text of a name. Out: whether they fit. It stands below the store of builds, for
//! the way back names builds too and must work without that. Must not know what an id is made of.

/// The name of the newest build of all.
pub const LATEST: &str = "latest";

/// Whether a name that is not [`LATEST`] fits an id. The empty one fits none.
#[must_use]
pub fn fits(id: &str, name: &str) -> bool {
    let last = id.rsplit('-').next().unwrap_or(id);
    !name.is_empty() && (id.starts_with(name) || last.starts_with(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_begins_an_id_or_its_last_part() {
        let id = "6.6.87.2-criu-0123456789";
        for (name, expected) in [
            (id, true),
            ("6", true),
            ("6.6.87.2-criu", true),
            ("0123", true),
            ("0123456789", true),
            ("criu", false),
            ("123", false),
            ("6.6.87.2-criu-01234567890", false),
            ("", false),
        ] {
            assert_eq!(fits(id, name), expected, "{name}");
        }
        assert!(fits("odd", "od"));
    }
}
