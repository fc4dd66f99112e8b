//! The site: the ledger for people, `index.html`, and for programs, `index.json`.
//!
//! In: a [`Ledger`] and what lies on the [`Shelves`]. Out: a [`Site`], two texts; [`write()`] puts them in their
//! place, each whole. The page needs nothing else and fetches nothing; it may be opened from a disk. Must not
//! judge, and must not change what is published.

mod index;
mod page;
mod shelf;
mod trend;

use std::path::Path;

pub use self::shelf::{Item, Shelves};
use super::ledger::Ledger;
use crate::error::Error;
use crate::files;
use crate::publish::INDEX;

/// The page's name in the site's root.
pub const PAGE: &str = "index.html";

/// What readers get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// `index.html`.
    pub page: String,
    /// `index.json`.
    pub index: String,
}

impl Site {
    /// Draws the site.
    ///
    /// # Errors
    /// [`Error::Page`] if the template cannot be filled, which no ledger should cause.
    pub fn new(ledger: &Ledger, shelves: &Shelves) -> Result<Self, Error> {
        Ok(Self {
            page: page::page(ledger, shelves)?,
            index: index::index(ledger, shelves),
        })
    }
}

/// Writes the site of `ledger` into `root`, where published folders and logs lie. Whoever reads meanwhile gets
/// the old file or the new one; the index comes last, so that what it names is on the page.
pub fn write(root: &Path, ledger: &Ledger) -> Result<(), Error> {
    let site = Site::new(ledger, &Shelves::of(root, ledger)?)?;
    files::replace(&root.join(PAGE), site.page)?;
    Ok(files::replace(&root.join(INDEX), site.index)?)
}
