//! The way from a request to a tree that is here and is what its pin says.
//!
//! In: a [`FetchRequest`]. Out: a [`SourceTree`]. Looks first at what is here already, and reaches for the
//! network only when that does not answer.

mod look;

use std::path::Path;

pub use self::look::SourceOutlook;

use super::import::{self, Stamp};
use super::lock::{LockFile, Pin};
use super::remote::{self, RemoteTag};
use super::store::{Index, Record, Seen, Store, TREE};
use super::transport::{self, Arrival, Transports};
use super::upstream::{self, Location, Upstream};
use super::{
    CommitId, FetchRequest, KernelVersion, SourceError, SourceTree, Sources, Tag, TagQuery,
    Transport, TreeId,
};
use crate::digest::Sha256;
use crate::download::DownloadError;
use crate::report::Unit;

/// Everything that one fetch works with.
#[derive(Debug)]
pub(super) struct Fetching<'a> {
    request: &'a FetchRequest,
    sources: &'a Sources<'a>,
    store: Store,
    lock: LockFile,
    index: Index,
}

/// What a tree is called by whoever asked for it.
#[derive(Debug, Clone, Copy)]
struct Claim<'a> {
    upstream: &'a str,
    tag: Option<Tag>,
    commit: Option<CommitId>,
    /// Whether the tarball itself is what is pinned, and not only a way to bring a commit.
    pins_tarball: bool,
}

impl<'a> Fetching<'a> {
    pub(super) fn new(
        request: &'a FetchRequest,
        sources: &'a Sources<'a>,
    ) -> Result<Self, SourceError> {
        let lock = LockFile::read(&sources.lock_file)?;
        let (store, index) = (Store::new(sources.home), Index::read(sources.home));
        Ok(Self {
            request,
            sources,
            store,
            lock,
            index,
        })
    }

    pub(super) fn run(mut self) -> Result<SourceTree, SourceError> {
        match &self.request.upstream {
            Upstream::Git(url) => self.git(url),
            Upstream::Tarball(Location::Url(url)) => self.tarball_at_url(url),
            Upstream::Tarball(Location::Path(path)) => self.tarball_at_path(path),
            Upstream::Directory(path) => self.directory(path),
        }
    }

    fn transports(&self) -> Transports<'_> {
        let (offline, refresh) = (self.request.offline, self.request.refresh);
        Transports {
            sources: self.sources,
            store: &self.store,
            offline,
            refresh,
        }
    }

    // A release of a git remote.

    fn git(&mut self, url: &str) -> Result<SourceTree, SourceError> {
        let query = self.request.want.unwrap_or(TagQuery::Latest);
        if self.request.offline {
            return self.newest_here(url, query);
        }
        if let Some(tree) = self.known(url, query) {
            return Ok(tree);
        }
        let tags = remote::list(url, &self.sources.interrupt)?;
        self.index.remember_tags(url, &tags);
        self.index.write(self.sources.home)?;
        let found = release(url, query, &tags)?;
        let claim = Claim::of_release(url, found);
        self.check_commit(&claim)?;
        if let Some(tree) = self.pinned(url, found.tag) {
            return Ok(tree);
        }
        if let Some(record) = self.store.find_commit(found.commit) {
            return self.adopt(&record, &claim, None);
        }
        let arrival = self.bring(url, found)?;
        self.settle(arrival, &claim)
    }

    /// The answer of the lock file and of a list of tags that is fresh enough.
    fn known(&self, url: &str, query: TagQuery) -> Option<SourceTree> {
        if self.request.refresh {
            return None;
        }
        let tag = match query {
            TagQuery::Exact(tag) => tag,
            _ => {
                self.index
                    .tags(url)?
                    .iter()
                    .find(|remote| query.matches(&remote.tag))?
                    .tag
            }
        };
        self.pinned(url, tag)
    }

    fn newest_here(&self, url: &str, query: TagQuery) -> Result<SourceTree, SourceError> {
        let mut tags: Vec<Tag> = self
            .lock
            .pins()
            .iter()
            .filter(|pin| pin.upstream == url)
            .filter_map(|p| p.tag)
            .collect();
        tags.sort_unstable();
        let mut matching = tags.into_iter().rev().filter(|tag| query.matches(tag));
        matching
            .find_map(|tag| self.pinned(url, tag))
            .ok_or_else(|| SourceError::Offline {
                what: format!("{query} of {url}"),
            })
    }

    /// A pinned release whose tree is here.
    fn pinned(&self, url: &str, tag: Tag) -> Option<SourceTree> {
        let pin = self.lock.find(url, Some(tag))?;
        let record = self.store.find(pin.tree)?;
        let claim = Claim {
            upstream: url,
            tag: Some(tag),
            commit: pin.commit,
            pins_tarball: false,
        };
        Some(self.tree(&record, &claim, pin.tarball))
    }

    fn bring(&self, url: &str, found: &RemoteTag) -> Result<Arrival, SourceError> {
        let tarball = upstream::tarball_of(url, &found.name);
        match (self.request.transport, tarball) {
            (Transport::Git, _) | (Transport::Auto, None) => self.transports().by_git(url, found),
            (Transport::Tarball, None) => {
                let problem =
                    "only GitHub is known to offer tarballs of its tags; use the git transport";
                Err(SourceError::Upstream {
                    text: url.to_owned(),
                    problem,
                })
            }
            (Transport::Tarball, Some(tarball)) => self.transports().by_url(&tarball, &found.name),
            (Transport::Auto, Some(tarball)) => {
                match self.transports().by_url(&tarball, &found.name) {
                    Err(SourceError::Download(
                        error @ (DownloadError::Status { .. } | DownloadError::Redirect { .. }),
                    )) => {
                        self.sources
                            .reporter
                            .warn(format!("{error}; fetching by git instead"));
                        self.transports().by_git(url, found)
                    }
                    other => other,
                }
            }
        }
    }

    // Tarballs.

    fn tarball_at_url(&mut self, url: &str) -> Result<SourceTree, SourceError> {
        if let Some(tree) = self.unpacked_from_url(url) {
            self.check_release(&tree.version, url)?;
            return Ok(tree);
        }
        let name = url.rsplit('/').next().unwrap_or("tarball");
        let arrival = self.transports().by_url(url, name)?;
        let claim = Claim::of_tarball(url, arrival.commit);
        self.settle(arrival, &claim)
    }

    fn tarball_at_path(&mut self, path: &Path) -> Result<SourceTree, SourceError> {
        let upstream = path.display().to_string();
        let stamp = Stamp::of_file(path)?;
        if let Some(seen) = self.index.seen(path, stamp.digest).cloned()
            && let Some(record) = self.store.find(seen.tree)
        {
            let claim = Claim::of_tarball(&upstream, seen.commit);
            self.check_release(&record.version, &upstream)?;
            return self.adopt(&record, &claim, seen.tarball);
        }
        let arrival = self.transports().unpack_file(path, &upstream, false)?;
        let (commit, tarball) = (arrival.commit, arrival.tarball);
        let claim = Claim::of_tarball(&upstream, commit);
        let tree = self.settle(arrival, &claim)?;
        if stamp.settled && Stamp::of_file(path)?.digest == stamp.digest {
            self.index.remember(
                path,
                Seen {
                    stamp: stamp.digest,
                    tree: tree.tree,
                    tarball,
                    commit,
                },
            );
            self.index.write(self.sources.home)?;
        }
        Ok(tree)
    }

    // Folders.

    fn directory(&mut self, path: &Path) -> Result<SourceTree, SourceError> {
        let origin = path.display().to_string();
        let version = KernelVersion::of_tree(path)?;
        self.check_release(&version, &origin)?;
        if let Some(product) = import::product_of_build(path) {
            return Err(SourceError::NotClean {
                path: path.to_owned(),
                product,
            });
        }
        let stamp = Stamp::of_dir(path)?;
        let seen = self.index.seen(path, stamp.digest);
        let record = match seen.and_then(|seen| self.store.find(seen.tree)) {
            Some(record) => record,
            None => self.import(path, version, stamp)?,
        };
        let claim = Claim::of_folder(&origin);
        Ok(self.tree(&record, &claim, None))
    }

    fn import(
        &mut self,
        path: &Path,
        version: KernelVersion,
        stamp: Stamp,
    ) -> Result<Record, SourceError> {
        let Sources {
            reporter,
            interrupt,
            home,
            ..
        } = self.sources;
        let staging = self.store.staging()?;
        let top = transport::subfolder(&staging, TREE)?;
        import::copy(path, &top, reporter, interrupt)?;
        if Stamp::of_dir(path)?.digest != stamp.digest {
            return Err(SourceError::Unsteady(path.to_owned()));
        }
        let tree = TreeId::of_dir(&top)?;
        let record = Record {
            schema: 1,
            tree,
            version,
            commits: Vec::new(),
        };
        self.store.publish(staging, &top, &record)?;
        if stamp.settled {
            self.index.remember(
                path,
                Seen {
                    stamp: stamp.digest,
                    tree,
                    tarball: None,
                    commit: None,
                },
            );
            self.index.write(home)?;
        }
        Ok(record)
    }

    // Judgement.

    /// Computes what has come, compares it with what was announced and pinned, and keeps it.
    fn settle(&mut self, arrival: Arrival, claim: &Claim<'_>) -> Result<SourceTree, SourceError> {
        let Arrival {
            staging,
            top,
            commit,
            announced,
            tarball,
        } = arrival;
        let version =
            KernelVersion::of_tree(&top).map_err(|error| named_after(error, claim.upstream))?;
        if claim.tag.is_none() {
            self.check_release(&version, claim.upstream)?;
        }
        same("commit", claim, claim.commit, commit)?;
        let tree = {
            let _task = self
                .sources
                .reporter
                .task("computing the tree id", Unit::Steps, None);
            TreeId::of_dir(&top)?
        };
        same("tree id", claim, announced, Some(tree))?;
        let record = Record {
            schema: 1,
            tree,
            version,
            commits: claim.commit.into_iter().collect(),
        };
        self.check_pin(claim, tree, tarball)?;
        self.store.publish(staging, &top, &record)?;
        self.adopt(&record, claim, tarball)
    }

    /// Takes a tree that is here for what `claim` says, if its pin agrees, and pins it.
    fn adopt(
        &mut self,
        record: &Record,
        claim: &Claim<'_>,
        tarball: Option<Sha256>,
    ) -> Result<SourceTree, SourceError> {
        self.check_pin(claim, record.tree, tarball)?;
        self.lock.add(Pin {
            upstream: claim.upstream.to_owned(),
            tag: claim.tag,
            commit: claim.commit,
            tree: record.tree,
            tarball: tarball.filter(|_| claim.pins_tarball),
        })?;
        Ok(self.tree(record, claim, tarball))
    }

    fn check_commit(&self, claim: &Claim<'_>) -> Result<(), SourceError> {
        let pinned = self
            .lock
            .find(claim.upstream, claim.tag)
            .and_then(|pin| pin.commit);
        match (pinned, claim.commit) {
            (Some(pinned), Some(found)) if pinned != found => {
                Err(self.moved(claim, "commit", &pinned, &found))
            }
            _ => Ok(()),
        }
    }

    fn check_pin(
        &self,
        claim: &Claim<'_>,
        tree: TreeId,
        tarball: Option<Sha256>,
    ) -> Result<(), SourceError> {
        let Some(pin) = self.lock.find(claim.upstream, claim.tag) else {
            return Ok(());
        };
        if pin.tree != tree {
            return Err(self.moved(claim, "tree id", &pin.tree, &tree));
        }
        match (pin.tarball, tarball) {
            (Some(pinned), Some(found)) if pinned != found => {
                Err(self.moved(claim, "SHA-256", &pinned, &found))
            }
            _ => Ok(()),
        }
    }

    fn moved(
        &self,
        claim: &Claim<'_>,
        part: &'static str,
        pinned: &dyn ToString,
        found: &dyn ToString,
    ) -> SourceError {
        SourceError::Moved {
            origin: claim.origin(),
            part,
            pinned: pinned.to_string(),
            found: found.to_string(),
            lock_file: self.lock.path().to_owned(),
        }
    }

    /// A tarball or folder holds one release: it must be the one asked for.
    fn check_release(&self, version: &KernelVersion, origin: &str) -> Result<(), SourceError> {
        let fits = match self.request.want {
            None | Some(TagQuery::Latest) => true,
            Some(TagQuery::Series(series)) => series == version.series(),
            Some(TagQuery::Exact(tag)) => version.tag() == Some(tag),
        };
        match self.request.want {
            Some(wanted) if !fits => Err(SourceError::OtherRelease {
                origin: origin.to_owned(),
                found: version.clone(),
                wanted,
            }),
            _ => Ok(()),
        }
    }

    fn tree(&self, record: &Record, claim: &Claim<'_>, tarball: Option<Sha256>) -> SourceTree {
        SourceTree {
            root: self.store.root(record.tree),
            tree: record.tree,
            tag: claim.tag.or_else(|| record.version.tag()),
            commit: claim.commit,
            tarball,
            origin: claim.origin(),
            version: record.version.clone(),
        }
    }
}

fn release<'t>(
    url: &str,
    query: TagQuery,
    tags: &'t [RemoteTag],
) -> Result<&'t RemoteTag, SourceError> {
    tags.iter()
        .find(|remote| query.matches(&remote.tag))
        .ok_or_else(|| SourceError::NoSuchTag {
            url: url.to_owned(),
            query,
            newest: tags.iter().take(5).map(|remote| remote.tag).collect(),
        })
}

impl<'a> Claim<'a> {
    fn of_release(url: &'a str, found: &RemoteTag) -> Self {
        Self {
            upstream: url,
            tag: Some(found.tag),
            commit: Some(found.commit),
            pins_tarball: false,
        }
    }

    /// A tarball is pinned itself: it holds one tree, by no other name than its own.
    fn of_tarball(upstream: &'a str, commit: Option<CommitId>) -> Self {
        Self {
            upstream,
            tag: None,
            commit,
            pins_tarball: true,
        }
    }

    fn of_folder(upstream: &'a str) -> Self {
        Self {
            pins_tarball: false,
            ..Self::of_tarball(upstream, None)
        }
    }

    fn origin(&self) -> String {
        self.tag.map_or_else(
            || self.upstream.to_owned(),
            |tag| format!("{} {tag}", self.upstream),
        )
    }
}

fn same<T: PartialEq + ToString>(
    part: &'static str,
    claim: &Claim<'_>,
    announced: Option<T>,
    found: Option<T>,
) -> Result<(), SourceError> {
    match (announced, found) {
        (Some(announced), Some(found)) if announced != found => Err(SourceError::Differs {
            origin: claim.origin(),
            part,
            announced: announced.to_string(),
            found: found.to_string(),
        }),
        _ => Ok(()),
    }
}

/// The user knows the tarball, not our staging folder.
fn named_after(error: SourceError, upstream: &str) -> SourceError {
    match error {
        SourceError::NotAKernel { missing, .. } => SourceError::NotAKernel {
            path: upstream.into(),
            missing,
        },
        other => other,
    }
}
