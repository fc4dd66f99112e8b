//! The ways to bring a tree here: git objects, a tarball on disk, a tarball on its way.
//!
//! In: a repository, path or URL. Out: an [`Arrival`], a tree under construction that nobody has judged.
//! Must not publish anything; what arrives damaged leaves nothing behind but what can be resumed.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::remote::{self, RemoteTag};
use super::store::{Store, TREE, UNPACKED};
use super::unpack::{self, UnpackError};
use super::{CommitId, PlantError, SourceError, Sources, TreeId, upstream};
use crate::digest::{Hasher, Sha256};
use crate::download::{Download, DownloadError};
use crate::files::{self, FileError, Staging};
use crate::report::{Task, Unit};

/// A tree that has come, not yet judged.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) staging: Staging,
    pub(super) top: PathBuf,
    pub(super) commit: Option<CommitId>,
    /// What git says the tree is, when git brought it.
    pub(super) announced: Option<TreeId>,
    pub(super) tarball: Option<Sha256>,
}

/// What the transports work with.
#[derive(Debug)]
pub(super) struct Transports<'a> {
    pub(super) sources: &'a Sources<'a>,
    pub(super) store: &'a Store,
    pub(super) offline: bool,
    pub(super) refresh: bool,
}

impl Transports<'_> {
    /// By git: straight from a repository on this machine, else through a shallow one in the cache.
    pub(super) fn by_git(&self, url: &str, found: &RemoteTag) -> Result<Arrival, SourceError> {
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

    /// Unpacks a tarball that is here already, or while it is downloaded.
    pub(super) fn by_url(&self, url: &str, name: &str) -> Result<Arrival, SourceError> {
        let file = self
            .sources
            .home
            .downloads()
            .join(format!("{}-{name}", Sha256::of(url).short(12)));
        if file.is_file() && !self.refresh {
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
        if self.offline {
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
        match unpack::unpack(&mut download, &into, &unpack::KERNEL, reporter, interrupt) {
            Ok(unpacked) => {
                let tarball = Some(download.finish(file)?);
                let (top, commit) = (top_of(&into)?, unpacked.commit);
                Ok(Some(Arrival {
                    staging,
                    top,
                    commit,
                    announced: None,
                    tarball,
                }))
            }
            Err(source) => spoiled(download, url, source).map(|()| None),
        }
    }

    /// Unpacks the tarball at `path`, called `name` in messages.
    pub(super) fn unpack_file(
        &self,
        path: &Path,
        name: &str,
        remote: bool,
    ) -> Result<Arrival, SourceError> {
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
        let unpacked = result.map_err(|source| refused(name, remote, source))?;
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
}

/// Sorts a failure: `Ok` when another download, from the first byte, may do better.
fn spoiled(mut download: Download, url: &str, source: UnpackError) -> Result<(), SourceError> {
    let resumed = download.resumed();
    match (download.failure(), source) {
        (Some(DownloadError::Changed { .. }), _) => Ok(download.discard()?),
        (Some(error), _) => Err(error.into()),
        (None, source @ (UnpackError::Interrupted | UnpackError::Plant(PlantError::File(_)))) => {
            Err(refused(url, true, source))
        }
        (None, source) => {
            download.discard()?;
            let damaged = matches!(source, UnpackError::Damaged(_) | UnpackError::Format(_));
            if damaged && resumed {
                Ok(())
            } else {
                Err(refused(url, true, source))
            }
        }
    }
}

fn refused(archive: &str, remote: bool, source: UnpackError) -> SourceError {
    match source {
        UnpackError::Interrupted => SourceError::Interrupted,
        source => SourceError::Archive {
            archive: archive.to_owned(),
            remote,
            source,
        },
    }
}

/// A folder of this name in the staging folder.
pub(super) fn subfolder(staging: &Staging, name: &str) -> Result<PathBuf, FileError> {
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

fn remove(path: &Path) -> Result<(), FileError> {
    fs::remove_file(path).map_err(|source| FileError::new("remove", path, source))
}

/// A file that is digested and counted as it is read.
struct Hashed {
    file: File,
    hasher: Hasher,
    task: Task,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.hasher.update(&buffer[..n]);
        self.task.advance(n as u64);
        Ok(n)
    }
}
