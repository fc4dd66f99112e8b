//! What a fetch would have to do. In: the same request. Out: the tree, or what is missing; nothing changes,
//! and a remote is asked for its tags at most.

use std::path::Path;

use super::{Claim, Fetching, release};
use crate::source::import::Stamp;
use crate::source::upstream::{self, Location, Upstream};
use crate::source::{SourceError, SourceTree, TagQuery, Transport, remote};

/// How far away a tree is.
#[derive(Debug)]
pub enum SourceOutlook {
    /// It is here, whole.
    Here(SourceTree),
    /// It has to be brought here: from where and how, for people.
    Missing(String),
}

impl Fetching<'_> {
    pub(in crate::source) fn look(self) -> Result<SourceOutlook, SourceError> {
        let upstream = self.request.upstream.to_string();
        let (here, how) = match &self.request.upstream {
            Upstream::Git(url) => return self.look_at_git(url),
            Upstream::Tarball(Location::Url(url)) => (self.unpacked_from_url(url), "downloaded"),
            Upstream::Tarball(Location::Path(path)) => {
                (self.unpacked(path, &upstream)?, "unpacked")
            }
            Upstream::Directory(path) => (self.copied(path, &upstream)?, "copied"),
        };
        let Some(tree) = here else {
            return Ok(SourceOutlook::Missing(format!("{upstream} would be {how}")));
        };
        self.check_release(&tree.version, &upstream)?;
        Ok(SourceOutlook::Here(tree))
    }

    fn look_at_git(&self, url: &str) -> Result<SourceOutlook, SourceError> {
        let query = self.request.want.unwrap_or(TagQuery::Latest);
        if self.request.offline {
            return self.newest_here(url, query).map(SourceOutlook::Here);
        }
        if let Some(tree) = self.known(url, query) {
            return Ok(SourceOutlook::Here(tree));
        }
        let tags = remote::list(url, &self.sources.interrupt)?;
        let found = release(url, query, &tags)?;
        let claim = Claim::of_release(url, found);
        self.check_commit(&claim)?;
        let here = self.pinned(url, found.tag).or_else(|| {
            let record = self.store.find_commit(found.commit)?;
            Some(self.tree(&record, &claim, None))
        });
        let tarball = self.request.transport != Transport::Git
            && upstream::tarball_of(url, &found.name).is_some();
        let how = if tarball { "as a tarball" } else { "by git" };
        Ok(here.map_or_else(
            || SourceOutlook::Missing(format!("{} would be fetched {how} from {url}", found.name)),
            SourceOutlook::Here,
        ))
    }

    /// The tree of a tarball that was pinned and is here.
    pub(super) fn unpacked_from_url(&self, url: &str) -> Option<SourceTree> {
        let pin = self
            .lock
            .find(url, None)
            .filter(|_| !self.request.refresh)?;
        let record = self.store.find(pin.tree)?;
        let claim = Claim::of_tarball(url, pin.commit);
        Some(self.tree(&record, &claim, pin.tarball))
    }

    fn unpacked(&self, path: &Path, upstream: &str) -> Result<Option<SourceTree>, SourceError> {
        let Some(seen) = self.index.seen(path, Stamp::of_file(path)?.digest) else {
            return Ok(None);
        };
        let claim = Claim::of_tarball(upstream, seen.commit);
        let record = self.store.find(seen.tree);
        Ok(record.map(|record| self.tree(&record, &claim, seen.tarball)))
    }

    fn copied(&self, path: &Path, upstream: &str) -> Result<Option<SourceTree>, SourceError> {
        let Some(seen) = self.index.seen(path, Stamp::of_dir(path)?.digest) else {
            return Ok(None);
        };
        let claim = Claim::of_folder(upstream);
        let record = self.store.find(seen.tree);
        Ok(record.map(|record| self.tree(&record, &claim, None)))
    }
}
