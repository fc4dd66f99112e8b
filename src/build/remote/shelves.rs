//! All servers of a shared cache as a build uses them: asked one after the other, given to all.
//!
//! In: keys and entries. Out: the first entry that a server has. Must not know what entries are.

use std::sync::Mutex;

use super::shelf::{ServerStats, Shelf};
use super::{SharedCache, locked};
use crate::report::Reporter;

/// The servers of a shared cache in one build: who is no good in one step of it is left alone in the next.
#[derive(Debug, Default)]
pub struct Shelves {
    shelves: Vec<Shelf>,
    /// Of servers that cannot be asked at all, what nobody has been told yet.
    news: Mutex<Vec<String>>,
}

impl Shelves {
    /// Asks nobody yet.
    #[must_use]
    pub fn new(cache: &SharedCache) -> Self {
        let (mut shelves, mut news) = (Vec::new(), Vec::new());
        for server in &cache.servers {
            match Shelf::new(server, cache) {
                Ok(shelf) => shelves.push(shelf),
                Err(fault) => news.push(format!("shared cache {server}: {fault}")),
            }
        }
        Self {
            shelves,
            news: Mutex::new(news),
        }
    }

    /// Whether there is nobody to ask.
    pub(in crate::build) fn is_empty(&self) -> bool {
        self.shelves.is_empty()
    }

    /// What was left for this key, by whomever.
    pub(in crate::build) fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.shelves.iter().find_map(|shelf| shelf.get(key))
    }

    /// Leaves an entry for whomever, where that is wanted. Whether any server took it.
    pub(in crate::build) fn put(&self, key: &str, entry: &[u8]) -> bool {
        let take = |taken, shelf: &Shelf| shelf.put(key, entry) || taken;
        self.shelves.iter().fold(false, take)
    }

    /// Tells the user what went wrong since the last time.
    pub fn tell(&self, reporter: &Reporter) {
        self.news().into_iter().for_each(|text| reporter.warn(text));
    }

    /// What the user has not been told yet.
    pub(super) fn news(&self) -> Vec<String> {
        let mut news = std::mem::take(&mut *locked(&self.news));
        news.extend(self.shelves.iter().flat_map(Shelf::news));
        news
    }

    /// What became of each server.
    #[must_use]
    pub fn stats(&self) -> Vec<ServerStats> {
        self.shelves.iter().map(Shelf::stats).collect()
    }
}
