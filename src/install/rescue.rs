//! The scripts that work from Windows alone.

/// Name and content of each.
#[must_use]
pub fn files() -> Vec<(&'static str, &'static [u8])> {
    Vec::new()
}
