//! All servers of a shared cache as a build uses them: asked one after the other, given to all.
//!
//! In: keys and entries. Out: the first entry that a server has. Must not know what entries are.

use std::sync::Mutex;

use super::shelf::{ServerStats, Shelf};
use super::{SharedCache, locked};

/// The servers of one build.
#[derive(Debug, Default)]
pub(in crate::build) struct Shelves {
    shelves: Vec<Shelf>,
    /// Of servers that cannot be asked at all, what nobody has been told yet.
    news: Mutex<Vec<String>>,
}

impl Shelves {
    pub(in crate::build) fn new(cache: &SharedCache) -> Self {
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

    /// What was left for this key, by whomever.
    pub(in crate::build) fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.shelves.iter().find_map(|shelf| shelf.get(key))
    }

    /// Leaves an entry for whomever, where that is wanted. Whether any server took it.
    pub(in crate::build) fn put(&self, key: &str, entry: &[u8]) -> bool {
        let take = |taken, shelf: &Shelf| shelf.put(key, entry) || taken;
        self.shelves.iter().fold(false, take)
    }

    /// What the user has not been told yet.
    pub(in crate::build) fn news(&self) -> Vec<String> {
        let mut news = std::mem::take(&mut *locked(&self.news));
        news.extend(self.shelves.iter().flat_map(Shelf::news));
        news
    }

    /// What became of each server.
    pub(in crate::build) fn stats(&self) -> Vec<ServerStats> {
        self.shelves.iter().map(Shelf::stats).collect()
    }
}
