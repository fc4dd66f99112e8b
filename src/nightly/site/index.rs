//! The index for programs: what can be installed, and all that is known of every tag.
//!
//! In: a [`Ledger`] and the [`Index`] of what is published. Out: text that is still such an index, with more in
//! it. Nobody trusts it: what it points to proves itself.

use serde::Serialize;

use super::Shelves;
use crate::nightly::ledger::{Entry, Ledger};
use crate::publish::Index;

#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    published: &'a Index,
    /// Every tag that was ever seen, newest first.
    tags: Vec<&'a Entry>,
}

/// The text of `index.json`.
pub(super) fn index(ledger: &Ledger, shelves: &Shelves) -> String {
    let whole = Whole {
        published: shelves.index(),
        tags: ledger.entries().iter().rev().collect(),
    };
    // Nothing in a ledger is without a JSON form; tests write whole ones.
    serde_json::to_string_pretty(&whole).unwrap_or_default() + "\n"
}
