//! The one door through which an installation changes the Windows side.
//!
//! In: paths and content. Out: files that are there whole and were read back, or an error. A file is
//! either new ([`write_all`]) or replaced by rename ([`replace`], [`replace_by_litter`]); none is ever written
//! over. Must not know what the files are for.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;

use super::InstallError;
use crate::digest::{Hasher, Sha256};
use crate::files::{self, FileError};

/// What a replacement is called until it is whole.
const LITTER: &str = ".wslk-new";
/// Bytes copied at once.
const CHUNK: usize = 1 << 18;
/// Buffers between who reads and who hashes.
const BUFFERS: usize = 4;
/// Bytes after which a copy is flushed and read back as far as it is.
const WINDOW: u64 = 32 << 20;

/// The content of a file, or `None` where there is no such file.
pub(super) fn bytes_if_there(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FileError::new("read", path, source)),
    }
}

/// The names of the folders in `folder` that a file of this name lies in, in order.
pub(super) fn folders_with(folder: &Path, file: &str) -> Result<Vec<String>, FileError> {
    let mut names = names(folder)?;
    names.retain(|name| folder.join(name).join(file).exists());
    Ok(names)
}

/// The names of what is in a folder, in order; none where there is no folder.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, FileError> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|source| FileError::new("list", folder, source))?,
    };
    let names = entries.flatten().map(|entry| entry.file_name());
    let mut names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
    names.sort_unstable();
    Ok(names)
}

/// Where the bytes of a new file come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// From here.
    Bytes(Vec<u8>),
    /// From another file, whose digest is known.
    Copy {
        /// That file.
        from: PathBuf,
        /// What it must be.
        sha256: Sha256,
    },
}

/// A file that is to be written.
pub(super) struct New<'a> {
    /// Its name, which must be free.
    pub path: PathBuf,
    /// What it will hold.
    pub content: &'a Content,
    /// It is the [litter] of a replacement: what an earlier one left gives way.
    pub is_litter: bool,
}

/// Writes all files and has them on the disk, read back, before it returns; after an error or a stop some are
/// there, whole or not.
///
/// They are flushed side by side, after the last was written: many flushes at once take the time of two or
/// three. Large ones go to the disk and are read back while they are still being copied.
pub(super) fn write_all(all: &[New<'_>], stop: &dyn Fn() -> bool) -> Result<(), InstallError> {
    thread::scope(|scope| {
        let (mut copies, mut small) = (Vec::new(), Vec::new());
        for new in all {
            if !new.is_litter && stop() {
                return Err(InstallError::Interrupted);
            }
            let file = new.create()?;
            match new.content {
                Content::Bytes(bytes) => {
                    let written = (&file).write_all(bytes);
                    written.map_err(|source| FileError::new("write", &new.path, source))?;
                    small.push((new, file, bytes));
                }
                Content::Copy { from, sha256 } => {
                    let file = Arc::new(file);
                    let (tell, written) = mpsc::channel();
                    let landed = Landed::new(Arc::clone(&file), written);
                    let proof = scope.spawn(move || hash(landed));
                    copies.push((new, sha256, proof));
                    pass_on(from, &file, &new.path, &tell, stop)?;
                }
            }
        }
        let mut landings = Vec::new();
        for (new, file, bytes) in small {
            landings.push(scope.spawn(move || land(new, &file, bytes)));
        }
        for proof in landings {
            joined(proof.join())??;
        }
        copies
            .into_iter()
            .try_for_each(|(new, sha256, proof)| new.assert_is(*sha256, joined(proof.join())?))
    })
}

impl New<'_> {
    fn create(&self) -> Result<File, InstallError> {
        files::create_dir(self.path.parent().unwrap_or(Path::new("/")))?;
        let mut options = File::options();
        options.read(true).write(true);
        match self.is_litter {
            true => options.create(true).truncate(true),
            false => options.create_new(true),
        };
        options.open(&self.path).map_err(|source| {
            if source.kind() == io::ErrorKind::AlreadyExists {
                return InstallError::Taken(self.path.clone());
            }
            FileError::new("write", &self.path, source).into()
        })
    }

    fn assert_is(&self, expected: Sha256, found: io::Result<Sha256>) -> Result<(), InstallError> {
        let found = found.map_err(|source| FileError::new("read back", &self.path, source))?;
        if found == expected {
            return Ok(());
        }
        Err(InstallError::Differs {
            path: self.path.clone(),
            expected,
            found,
        })
    }
}

/// Copies, and tells how far it has come whenever there is something to flush.
fn pass_on(
    from: &Path,
    mut to: &File,
    path: &Path,
    tell: &mpsc::Sender<u64>,
    stop: &dyn Fn() -> bool,
) -> Result<(), InstallError> {
    let read = |source| FileError::new("read", from, source);
    let mut from = File::open(from).map_err(read)?;
    let mut buffer = vec![0; CHUNK];
    let (mut at, mut told) = (0, 0);
    loop {
        let n = from.read(&mut buffer).map_err(read)?;
        if n > 0 && stop() {
            return Err(InstallError::Interrupted);
        }
        let written = to.write_all(&buffer[..n]);
        written.map_err(|source| FileError::new("copy to", path, source))?;
        at += n as u64;
        if at - told >= WINDOW || n == 0 {
            // Who no longer listens has met an error, and tells it.
            let _heard = tell.send(at);
            told = at;
        }
        if n == 0 {
            return Ok(());
        }
    }
}

/// What of a growing file is on the disk, as read back from there.
struct Landed {
    file: Arc<File>,
    /// How far it is written; ends when it is whole.
    written: mpsc::Receiver<u64>,
    at: u64,
    flushed: u64,
}

impl Landed {
    fn new(file: Arc<File>, written: mpsc::Receiver<u64>) -> Self {
        Self {
            file,
            written,
            at: 0,
            flushed: 0,
        }
    }
}

impl Read for Landed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.flushed {
            let Ok(written) = self.written.recv() else {
                return Ok(0);
            };
            let written = self.written.try_iter().last().unwrap_or(written);
            // Through the handle that wrote: Windows flushes no other.
            self.file.sync_all()?;
            forget(&self.file);
            self.flushed = written;
        }
        let left = usize::try_from(self.flushed - self.at).unwrap_or(usize::MAX);
        let length = left.min(buffer.len());
        let n = self.file.read_at(&mut buffer[..length], self.at)?;
        match n {
            0 => Err(io::Error::other("it has become shorter")),
            _ => {
                self.at += n as u64;
                Ok(n)
            }
        }
    }
}

/// Has a file on the disk, and looks at what it is there.
fn land(new: &New<'_>, file: &File, bytes: &[u8]) -> Result<(), FileError> {
    let error = |source| FileError::new("write", &new.path, source);
    file.sync_all().map_err(error)?;
    match fs::read(&new.path).map_err(error)? == bytes {
        true => Ok(()),
        false => Err(error(io::Error::other("it reads back differently"))),
    }
}

fn joined<T>(ended: thread::Result<T>) -> Result<T, FileError> {
    let died = || io::Error::other("a thread died");
    ended.map_err(|_| FileError::new("flush", Path::new("what was written"), died()))
}

/// Has the next reading go to the disk. Only a hint: a file system that does not know it reads from wherever it
/// likes.
fn forget(file: &File) {
    let _advice = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
}

/// The digest of what is on the disk, not of what our own cache remembers.
pub(super) fn digest(path: &Path) -> Result<Sha256, FileError> {
    let error = |source| FileError::new("read back", path, source);
    let file = File::open(path).map_err(error)?;
    forget(&file);
    hash(file).map_err(error)
}

/// Reading and hashing overlap, with a few buffers that go to and fro.
fn hash(mut file: impl Read) -> io::Result<Sha256> {
    thread::scope(|scope| {
        let (fill, full) = mpsc::channel::<(Vec<u8>, usize)>();
        let (empty, give_back) = mpsc::channel();
        for _ in 0..BUFFERS {
            let _listening = empty.send(vec![0; CHUNK]);
        }
        let hasher = scope.spawn(move || {
            let mut hasher = Hasher::default();
            for (buffer, length) in full {
                hasher.update(&buffer[..length]);
                // At the end nobody takes it back.
                let _taken = empty.send(buffer);
            }
            hasher.finish()
        });
        while let Ok(mut buffer) = give_back.recv() {
            let n = file.read(&mut buffer)?;
            if n == 0 || fill.send((buffer, n)).is_err() {
                break;
            }
        }
        drop(fill);
        hasher
            .join()
            .map_err(|_| io::Error::other("the hashing thread died"))
    })
}

/// Puts the [litter] of a file, written whole and flushed, in its place; false if there is none.
pub(super) fn replace_by_litter(path: &Path) -> Result<bool, FileError> {
    match fs::rename(litter(path), path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(FileError::new("replace", path, source)),
    }
}

/// Replaces a file whole by rename, or makes it; `None` removes it.
pub(super) fn replace(path: &Path, bytes: Option<&[u8]>) -> Result<(), FileError> {
    let Some(bytes) = bytes else {
        return remove(path);
    };
    let error = |source| FileError::new("replace", path, source);
    files::create_dir(path.parent().unwrap_or(Path::new("/")))?;
    let new = litter(path);
    let mut file = File::create(&new).map_err(error)?;
    file.write_all(bytes).map_err(error)?;
    file.sync_all().map_err(error)?;
    drop(file);
    if fs::read(&new).map_err(error)? != bytes {
        return Err(error(io::Error::other("it reads back differently")));
    }
    fs::rename(&new, path).map_err(error)?;
    flush_folder(path);
    Ok(())
}

/// What a kill leaves beside `path`.
pub(super) fn litter(path: &Path) -> PathBuf {
    let mut name = OsString::from(path.file_name().unwrap_or_default());
    name.push(LITTER);
    path.with_file_name(name)
}

/// Removes a file; one that is not there is fine.
pub(super) fn remove(path: &Path) -> Result<(), FileError> {
    if files::remove_if_there(path)? {
        flush_folder(path);
    }
    Ok(())
}

/// Removes a folder if nothing is in it.
pub(super) fn remove_empty(folder: &Path) {
    // One that is not empty stays: that is the point.
    let _stays = fs::remove_dir(folder);
}

/// Has the names in the folders of these files on the disk.
pub(super) fn flush_folders(paths: &[PathBuf]) {
    let folders: BTreeSet<&Path> = paths.iter().filter_map(|path| path.parent()).collect();
    thread::scope(|scope| {
        for folder in folders {
            scope.spawn(move || flush(folder));
        }
    });
}

fn flush_folder(path: &Path) {
    flush(path.parent().unwrap_or(Path::new("/")));
}

/// A folder on a Windows disk need not be flushable; its files were, one by one.
fn flush(folder: &Path) {
    let _unsupported = File::open(folder).and_then(|folder| folder.sync_all());
}

/// Bytes that may still be written where `folder` is or will be.
pub(super) fn free_space(folder: &Path) -> Option<u64> {
    let there = folder.ancestors().find(|path| path.exists())?;
    let stat = rustix::fs::statvfs(there).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(path: &Path, content: &Content) -> Result<(), InstallError> {
        let new = New {
            path: path.to_owned(),
            content,
            is_litter: false,
        };
        write_all(&[new], &|| false)
    }

    fn copy_of(from: &Path, bytes: &[u8]) -> Content {
        Content::Copy {
            from: from.to_owned(),
            sha256: Sha256::of(bytes),
        }
    }

    #[test]
    fn nothing_is_written_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let (original, path) = (folder.path().join("o"), folder.path().join("new/file"));
        let bytes = Content::Bytes(b"content".to_vec());
        let copy = copy_of(&original, b"content");
        written(&original, &bytes).expect("made");
        written(&path, &copy).expect("copied");
        for content in [&bytes, &copy] {
            let taken = written(&path, content);
            assert!(matches!(taken, Err(InstallError::Taken(_))), "{taken:?}");
        }
        let other = folder.path().join("other");
        let wrong = written(&other, &copy_of(&original, b"other"));
        assert!(
            matches!(wrong, Err(InstallError::Differs { .. })),
            "{wrong:?}"
        );
        assert_eq!(fs::read(&path).expect("read"), b"content");
    }

    #[test]
    fn a_large_copy_is_read_back_while_it_is_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let (original, path) = (folder.path().join("o"), folder.path().join("c"));
        for size in [0, 1, WINDOW as usize, WINDOW as usize * 2 + 12_345] {
            let bytes: Vec<u8> = (0..size).map(|at| (at / 7 % 251) as u8).collect();
            fs::write(&original, &bytes).expect("written");
            written(&path, &copy_of(&original, &bytes)).expect("copied");
            assert!(fs::read(&path).expect("read") == bytes, "{size}");
            fs::remove_file(&path).expect("removed");
            let wrong = written(&path, &copy_of(&original, b"other"));
            assert!(matches!(wrong, Err(InstallError::Differs { .. })), "{size}");
            fs::remove_file(&path).expect("removed");
        }
        let all = [New {
            path,
            content: &copy_of(&original, b"x"),
            is_litter: false,
        }];
        let asked = std::cell::Cell::new(0);
        let stopped = write_all(&all, &|| asked.replace(asked.get() + 1) > 5);
        assert!(matches!(stopped, Err(InstallError::Interrupted)));
    }

    #[test]
    fn a_replacement_is_whole_and_leaves_no_litter() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(".wslconfig");
        for bytes in [Some(&b"one"[..]), Some(b"two"), None, None] {
            replace(&path, bytes).expect("replaced");
            assert_eq!(bytes_if_there(&path).expect("read").as_deref(), bytes);
            assert!(!litter(&path).exists());
        }
    }
}
