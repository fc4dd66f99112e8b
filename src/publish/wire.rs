//! Where publications come from: a web server or a folder, file by file.
//!
//! In: a place and the names of files. Out: texts, and files of a known size and digest. Never takes more bytes
//! than it was told to. Must not know what the files mean.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::PublishError;
use crate::artefact::Output;
use crate::digest::{Hasher, Sha256};
use crate::download::{Download, DownloadError, Patience};
use crate::files::{self, FileError};
use crate::process::Interrupt;
use crate::report::{Reporter, Task, Unit};

/// Bytes copied at once.
const CHUNK: usize = 1 << 18;

/// Where publications are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// At a web server: the address of the folder, without a `/` at its end.
    Url(String),
    /// On this machine; absolute.
    Folder(PathBuf),
}

impl FromStr for Place {
    type Err = PublishError;

    /// The address of the index itself is as good as that of its folder.
    fn from_str(text: &str) -> Result<Self, PublishError> {
        let refused = |problem| PublishError::NoPlace {
            text: text.to_owned(),
            problem,
        };
        let folder = text.strip_suffix(super::INDEX).unwrap_or(text);
        let path = match folder.split_once("://") {
            Some(("http" | "https", _)) => {
                return Ok(Self::Url(folder.trim_end_matches('/').to_owned()));
            }
            Some(("file", path)) => path,
            Some(_) => return Err(refused("wslk knows http, https and file addresses")),
            None if folder.is_empty() => ".",
            None => folder,
        };
        match fs::canonicalize(path) {
            Ok(path) if path.is_dir() => Ok(Self::Folder(path)),
            _ => Err(refused("there is no such folder")),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url),
            Self::Folder(path) => path.display().fmt(f),
        }
    }
}

impl Place {
    /// What lies there under a name with `/` between its parts.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        match self {
            Self::Url(url) => Self::Url(format!("{url}/{name}")),
            Self::Folder(path) => Self::Folder(path.join(name)),
        }
    }
}

/// What files are fetched with.
#[derive(Debug, Clone)]
pub struct Wire {
    /// A folder for what is on its way; what is left there is gone on with.
    pub cache: PathBuf,
    /// Told what is going on.
    pub reporter: Reporter,
    /// Stops everything.
    pub interrupt: Interrupt,
    /// For servers.
    pub patience: Patience,
}

impl Wire {
    /// A text of at most `limit` bytes; nothing where there is no such file.
    pub(super) fn text(&self, from: &Place, limit: u64) -> Result<Option<String>, PublishError> {
        let bytes = match from {
            Place::Folder(path) => match File::open(path) {
                Ok(file) => Some(self.read(file, from, limit)?),
                Err(e) if e.kind() == io::ErrorKind::NotFound => None,
                Err(source) => return Err(FileError::new("read", path, source).into()),
            },
            Place::Url(url) => self.small_download(url, from, limit)?,
        };
        let text = bytes.map(|bytes| String::from_utf8(bytes).map_err(|_| not_text(from)));
        text.transpose()
    }

    fn read(&self, file: File, from: &Place, limit: u64) -> Result<Vec<u8>, PublishError> {
        let error = |source| match from {
            Place::Folder(path) => FileError::new("read", path, source),
            Place::Url(url) => FileError::new("read", Path::new(url), source),
        };
        let mut bytes = Vec::new();
        file.take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(error)?;
        within(bytes, from, limit)
    }

    /// Small files are asked for afresh each time: they are what may have changed.
    fn small_download(
        &self,
        url: &str,
        from: &Place,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, PublishError> {
        files::create_dir(&self.cache)?;
        let scratch = tempfile::tempdir_in(&self.cache)
            .map_err(|source| FileError::new("create a folder in", &self.cache, source))?;
        let partial = scratch.path().join("part");
        let silent = Reporter::silent();
        let mut download = Download::start(url, &partial, self.patience, &silent, &self.interrupt)?;
        let mut bytes = Vec::new();
        let read = Read::by_ref(&mut download)
            .take(limit + 1)
            .read_to_end(&mut bytes);
        match (read, download.failure()) {
            (Ok(_), _) => within(bytes, from, limit).map(Some),
            (Err(_), Some(error)) if is_absence(&error) => Ok(None),
            (Err(_), Some(error)) => Err(error.into()),
            (Err(source), None) => Err(FileError::new("read", &partial, source).into()),
        }
    }

    /// A file of this size and digest, at `to`; the progress goes on in `task`.
    ///
    /// # Errors
    /// What came is removed where it is not that file.
    pub(super) fn file(
        &self,
        from: &Place,
        to: &Path,
        wanted: &Output,
        task: &Task,
    ) -> Result<(), PublishError> {
        files::create_dir(to.parent().unwrap_or(&self.cache))?;
        if is_there(to, wanted)? {
            task.advance(wanted.size);
            return Ok(());
        }
        let part = to.with_added_extension("part");
        let came = match from {
            Place::Folder(path) => self.copy(path, &part, wanted, task)?,
            Place::Url(url) => self.download(url, &part, wanted, task)?,
        };
        came.judge(from, wanted).inspect_err(|_| {
            // The reason for the refusal is what matters.
            let _gone = fs::remove_file(&part);
        })?;
        fs::rename(&part, to)
            .map_err(|source| FileError::new("rename a download to", to, source))?;
        Ok(())
    }

    fn copy(
        &self,
        path: &Path,
        part: &Path,
        wanted: &Output,
        task: &Task,
    ) -> Result<Came, PublishError> {
        let source = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(missing(path.display())),
            Err(source) => return Err(FileError::new("read", path, source).into()),
        };
        let mut target =
            File::create(part).map_err(|source| FileError::new("write", part, source))?;
        let read = |source| PublishError::from(FileError::new("read", path, source));
        self.drain(source, wanted, task, &read, &mut |bytes| {
            io::Write::write_all(&mut target, bytes)
                .map_err(|source| FileError::new("write", part, source).into())
        })
    }

    /// Goes on with what an earlier run has left; where that does not lead to the wanted file, once from the
    /// beginning.
    fn download(
        &self,
        url: &str,
        part: &Path,
        wanted: &Output,
        task: &Task,
    ) -> Result<Came, PublishError> {
        let (came, resumed) = self.download_once(url, part, wanted, task)?;
        if came.is(wanted) || !resumed {
            return Ok(came);
        }
        self.download_once(url, part, wanted, task)
            .map(|(came, _)| came)
    }

    fn download_once(
        &self,
        url: &str,
        part: &Path,
        wanted: &Output,
        task: &Task,
    ) -> Result<(Came, bool), PublishError> {
        let silent = Reporter::silent();
        let mut download = Download::start(url, part, self.patience, &silent, &self.interrupt)?;
        let read = |source| PublishError::from(FileError::new("read", part, source));
        let came = self.drain(&mut download, wanted, task, &read, &mut |_| Ok(()));
        let resumed = download.resumed();
        match (came, download.failure()) {
            (_, Some(DownloadError::Changed { .. })) if resumed => {
                download.discard()?;
                Ok((Came::default(), true))
            }
            (_, Some(error)) if is_absence(&error) => {
                download.discard()?;
                Err(missing(url))
            }
            (_, Some(error)) => Err(error.into()),
            (Ok(came), None) if came.is(wanted) => {
                let whole = part.with_added_extension("whole");
                download.finish(&whole)?;
                fs::rename(&whole, part)
                    .map_err(|source| FileError::new("rename a download to", part, source))?;
                Ok((came, resumed))
            }
            (Ok(came), None) => {
                download.discard()?;
                Ok((came, resumed))
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Reads to the end, or one byte beyond what is wanted.
    fn drain(
        &self,
        source: impl Read,
        wanted: &Output,
        task: &Task,
        failed: &dyn Fn(io::Error) -> PublishError,
        put: &mut dyn FnMut(&[u8]) -> Result<(), PublishError>,
    ) -> Result<Came, PublishError> {
        let mut source = source.take(wanted.size + 1);
        let (mut hasher, mut size) = (Hasher::default(), 0);
        let mut buffer = vec![0; CHUNK];
        loop {
            if self.interrupt.is_set() {
                return Err(DownloadError::Interrupted.into());
            }
            let n = source.read(&mut buffer).map_err(failed)?;
            if n == 0 {
                break;
            }
            put(&buffer[..n])?;
            hasher.update(&buffer[..n]);
            size += n as u64;
            task.advance(n as u64);
        }
        Ok(Came {
            size,
            sha256: Some(hasher.finish()),
        })
    }

    /// A task that counts the bytes of several files.
    pub(super) fn task(&self, total: u64) -> Task {
        self.reporter.task("downloading", Unit::Bytes, Some(total))
    }
}

/// What came.
#[derive(Debug, Default)]
struct Came {
    size: u64,
    sha256: Option<Sha256>,
}

impl Came {
    fn is(&self, wanted: &Output) -> bool {
        self.size == wanted.size && self.sha256 == Some(wanted.sha256)
    }

    fn judge(&self, from: &Place, wanted: &Output) -> Result<(), PublishError> {
        let (file, expected) = (from.to_string(), wanted.size);
        match self.sha256 {
            _ if self.size > expected => Err(PublishError::TooLarge { file, expected }),
            _ if self.size < expected => Err(PublishError::Truncated {
                file,
                expected,
                found: self.size,
            }),
            Some(found) if found != wanted.sha256 => Err(PublishError::Swapped {
                file,
                expected: wanted.sha256,
                found,
            }),
            _ => Ok(()),
        }
    }
}

/// Whether an earlier run has brought the file.
fn is_there(path: &Path, wanted: &Output) -> Result<bool, FileError> {
    let size = fs::metadata(path).map(|metadata| metadata.len());
    Ok(size.is_ok_and(|size| size == wanted.size) && Sha256::of_file(path)? == wanted.sha256)
}

fn within(bytes: Vec<u8>, from: &Place, limit: u64) -> Result<Vec<u8>, PublishError> {
    if bytes.len() as u64 > limit {
        return Err(PublishError::TooLarge {
            file: from.to_string(),
            expected: limit,
        });
    }
    Ok(bytes)
}

fn not_text(from: &Place) -> PublishError {
    PublishError::Index {
        place: from.to_string(),
        reason: "it is no text".to_owned(),
    }
}

fn missing(file: impl fmt::Display) -> PublishError {
    PublishError::Missing {
        file: file.to_string(),
    }
}

/// Whether the server says that there is no such file.
fn is_absence(error: &DownloadError) -> bool {
    matches!(error, DownloadError::Status { status, .. } if matches!(status.as_u16(), 404 | 410))
}
