//! The way from a request to a tree that is here and is what its pin says.
//!
//! In: a [`FetchRequest`]. Out: a [`SourceTree`]. Looks first at what is here already, and reaches for the
//! network only when that does not answer.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::download::{Download, DownloadError};
use super::import::{self, Stamp};
use super::lock::{LockFile, Pin};
use super::remote::{self, RemoteTag};
use super::store::{Index, Record, Seen, Store, TREE, UNPACKED};
use super::unpack::{self, UnpackError};
use super::upstream::{self, Location, Upstream};
use super::{
    CommitId, FetchRequest, KernelVersion, SourceError, SourceTree, Sources, Tag, TagQuery,
    Transport, TreeId,
};
use crate::digest::{Hasher, Sha256};
use crate::files::{self, FileError, Staging};
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

/// A tree that has come, not yet judged.
#[derive(Debug)]
struct Arrival {
    staging: Staging,
    top: PathBuf,
    commit: Option<CommitId>,
    /// What git says the tree is, when git brought it.
    announced: Option<TreeId>,
    tarball: Option<Sha256>,
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
        let found = tags
            .iter()
            .find(|remote| query.matches(&remote.tag))
            .ok_or_else(|| SourceError::NoSuchTag {
                url: url.to_owned(),
                query,
                newest: tags.iter().take(5).map(|remote| remote.tag).collect(),
            })?;
        let claim = Claim {
            upstream: url,
            tag: Some(found.tag),
            commit: Some(found.commit),
            pins_tarball: false,
        };
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
            (Transport::Git, _) | (Transport::Auto, None) => self.by_git(url, found),
            (Transport::Tarball, None) => {
                let problem =
                    "only GitHub is known to offer tarballs of its tags; use the git transport";
                Err(SourceError::Upstream {
                    text: url.to_owned(),
                    problem,
                })
            }
            (Transport::Tarball, Some(tarball)) => self.by_url(&tarball, &found.name),
            (Transport::Auto, Some(tarball)) => match self.by_url(&tarball, &found.name) {
                Err(SourceError::Download(
                    error @ (DownloadError::Status { .. } | DownloadError::Redirect { .. }),
                )) => {
                    self.sources
                        .reporter
                        .warn(format!("{error}; fetching by git instead"));
                    self.by_git(url, found)
                }
                other => other,
            },
        }
    }

    fn by_git(&self, url: &str, found: &RemoteTag) -> Result<Arrival, SourceError> {
        let (reporter, interrupt) = (&self.sources.reporter, &self.sources.interrupt);
        let repository = match upstream::local_repository(url) {
            Some(path) => path,
            None => {
                let cache = self
                    .sources
                    .home
                    .downloads()
                    .join(format!("{}.git", Sha256::of(url).short(12)));
                remote::fetch(url, &found.name, &cache, reporter, interrupt)?;
                cache
            }
        };
        let staging = self.store.staging()?;
        let top = subfolder(&staging, TREE)?;
        let named = remote::plant_tag(&repository, &found.name, &top, reporter, interrupt)?;
        Ok(Arrival {
            staging,
            top,
            commit: Some(named.commit),
            announced: Some(named.tree),
            tarball: None,
        })
    }

    // Tarballs.

    fn tarball_at_url(&mut self, url: &str) -> Result<SourceTree, SourceError> {
        if let Some(pin) = self.lock.find(url, None).filter(|_| !self.request.refresh)
            && let Some(record) = self.store.find(pin.tree)
        {
            let claim = Claim {
                upstream: url,
                tag: None,
                commit: pin.commit,
                pins_tarball: true,
            };
            self.check_release(&record.version, url)?;
            return Ok(self.tree(&record, &claim, pin.tarball));
        }
        let name = url.rsplit('/').next().unwrap_or("tarball");
        let arrival = self.by_url(url, name)?;
        let claim = Claim {
            upstream: url,
            tag: None,
            commit: arrival.commit,
            pins_tarball: true,
        };
        self.settle(arrival, &claim)
    }

    fn tarball_at_path(&mut self, path: &Path) -> Result<SourceTree, SourceError> {
        let upstream = path.display().to_string();
        let stamp = Stamp::of_file(path)?;
        if let Some(seen) = self.index.seen(path, stamp.digest).cloned()
            && let Some(record) = self.store.find(seen.tree)
        {
            let claim = Claim {
                upstream: &upstream,
                tag: None,
                commit: seen.commit,
                pins_tarball: true,
            };
            self.check_release(&record.version, &upstream)?;
            return self.adopt(&record, &claim, seen.tarball);
        }
        let arrival = self.unpack_file(path, &upstream, false)?;
        let (commit, tarball) = (arrival.commit, arrival.tarball);
        let claim = Claim {
            upstream: &upstream,
            tag: None,
            commit,
            pins_tarball: true,
        };
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

    /// Unpacks a tarball that is here already, or while it is downloaded.
    fn by_url(&self, url: &str, name: &str) -> Result<Arrival, SourceError> {
        let file = self
            .sources
            .home
            .downloads()
            .join(format!("{}-{name}", Sha256::of(url).short(12)));
        if file.is_file() && !self.request.refresh {
            match self.unpack_file(&file, url, true) {
                Err(SourceError::Archive {
                    source: UnpackError::Damaged(_) | UnpackError::Format(_),
                    ..
                }) => {
                    self.sources.reporter.warn(format!(
                        "the copy of {url} that was kept is damaged; downloading it again"
                    ));
                    remove(&file)?;
                }
                other => return other,
            }
        }
        if self.request.offline {
            return Err(SourceError::Offline {
                what: url.to_owned(),
            });
        }
        match self.unpack_download(url, &file)? {
            Some(arrival) => Ok(arrival),
            // What an earlier run had left did not fit what came now; it is gone.
            None => self.unpack_download(url, &file)?.ok_or_else(|| {
                SourceError::Download(DownloadError::Changed {
                    url: url.to_owned(),
                })
            }),
        }
    }

    /// `None` when bytes of an earlier run spoiled it, which are then removed.
    fn unpack_download(&self, url: &str, file: &Path) -> Result<Option<Arrival>, SourceError> {
        let Sources {
            reporter,
            interrupt,
            patience,
            ..
        } = self.sources;
        let partial = file.with_added_extension("part");
        let mut download = Download::start(url, &partial, *patience, reporter, interrupt)?;
        let staging = self.store.staging()?;
        let into = subfolder(&staging, UNPACKED)?;
        let result = unpack::unpack(&mut download, &into, &unpack::KERNEL, reporter, interrupt);
        let failure = download.failure();
        let again = download.resumed();
        match (result, failure) {
            (_, Some(DownloadError::Changed { .. })) if again => {
                download.discard()?;
                Ok(None)
            }
            (_, Some(error)) => Err(error.into()),
            (Ok(unpacked), None) => {
                let tarball = Some(download.finish(file)?);
                let top = top_of(&into)?;
                Ok(Some(Arrival {
                    staging,
                    top,
                    commit: unpacked.commit,
                    announced: None,
                    tarball,
                }))
            }
            (Err(UnpackError::Interrupted), None) => Err(SourceError::Interrupted),
            (Err(source), None) => {
                let ours = matches!(source, UnpackError::Plant(super::PlantError::File(_)));
                let damaged = matches!(source, UnpackError::Damaged(_) | UnpackError::Format(_));
                if !ours {
                    download.discard()?;
                }
                if damaged && again {
                    return Ok(None);
                }
                Err(SourceError::Archive {
                    archive: url.to_owned(),
                    remote: true,
                    source,
                })
            }
        }
    }

    fn unpack_file(&self, path: &Path, name: &str, remote: bool) -> Result<Arrival, SourceError> {
        let Sources {
            reporter,
            interrupt,
            ..
        } = self.sources;
        let error = |source| FileError::new("read", path, source);
        let file = File::open(path).map_err(error)?;
        let size = file.metadata().map_err(error)?.len();
        let task = reporter.task("unpacking", Unit::Bytes, Some(size));
        let mut stream = Hashed {
            file,
            hasher: Hasher::default(),
            task,
        };
        let staging = self.store.staging()?;
        let into = subfolder(&staging, UNPACKED)?;
        let result = unpack::unpack(&mut stream, &into, &unpack::KERNEL, reporter, interrupt);
        let unpacked = result.map_err(|source| match source {
            UnpackError::Interrupted => SourceError::Interrupted,
            source => SourceError::Archive {
                archive: name.to_owned(),
                remote,
                source,
            },
        })?;
        let top = top_of(&into)?;
        let tarball = Some(stream.hasher.finish());
        Ok(Arrival {
            staging,
            top,
            commit: unpacked.commit,
            announced: None,
            tarball,
        })
    }

    // Folders.

    fn directory(&mut self, path: &Path) -> Result<SourceTree, SourceError> {
        let Sources {
            reporter,
            interrupt,
            home,
            ..
        } = self.sources;
        let origin = path.display().to_string();
        let version = KernelVersion::of_tree(path)?;
        self.check_release(&version, &origin)?;
        if let Some(product) = import::product_of_build(path) {
            return Err(SourceError::NotClean {
                path: path.to_owned(),
                product,
            });
        }
        let claim = Claim {
            upstream: &origin,
            tag: None,
            commit: None,
            pins_tarball: false,
        };
        let stamp = Stamp::of_dir(path)?;
        if let Some(seen) = self.index.seen(path, stamp.digest)
            && let Some(record) = self.store.find(seen.tree)
        {
            return Ok(self.tree(&record, &claim, None));
        }
        let staging = self.store.staging()?;
        let top = subfolder(&staging, TREE)?;
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
        Ok(self.tree(&record, &claim, None))
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

impl Claim<'_> {
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

fn subfolder(staging: &Staging, name: &str) -> Result<PathBuf, FileError> {
    let folder = staging.path().join(name);
    files::create_dir(&folder)?;
    Ok(folder)
}

/// The kernel's own folder in what was unpacked: tarballs have one folder around it, or none.
fn top_of(unpacked: &Path) -> Result<PathBuf, FileError> {
    let error = |source| FileError::new("list", unpacked, source);
    let entries: Vec<fs::DirEntry> = fs::read_dir(unpacked)
        .and_then(Iterator::collect)
        .map_err(error)?;
    let top = match entries.as_slice() {
        [only] if only.file_type().map_err(error)?.is_dir() => only.path(),
        _ => unpacked.to_owned(),
    };
    // A packed clone: the release string would get a `+` from it.
    files::remove_dir(&top.join(".git"))?;
    Ok(top)
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

fn remove(path: &Path) -> Result<(), FileError> {
    fs::remove_file(path).map_err(|source| FileError::new("remove", path, source))
}

/// A file that is digested and counted as it is read.
struct Hashed {
    file: File,
    hasher: Hasher,
    task: crate::report::Task,
}

impl std::io::Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.hasher.update(&buffer[..n]);
        self.task.advance(n as u64);
        Ok(n)
    }
}
