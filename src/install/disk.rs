//! The one door through which an installation changes the Windows side.
//!
//! In: a path and content. Out: a file that is there whole and was read back, or an error. A file is
//! either new ([`make`], [`copy`]) or replaced by rename ([`replace`]); none is ever written over. Must
//! not know what the files are for.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;

use crate::digest::{Hasher, Sha256};
use crate::files::{self, FileError};

/// What a replacement is called until it is whole.
const LITTER: &str = ".wslk-new";
/// Bytes copied at once.
const CHUNK: usize = 1 << 20;

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
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|source| FileError::new("list", folder, source))?,
    };
    let holds = |entry: &fs::DirEntry| entry.path().join(file).exists();
    let names = entries
        .flatten()
        .filter(holds)
        .map(|entry| entry.file_name());
    let mut names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
    names.sort_unstable();
    Ok(names)
}

/// Makes a file that must not be there yet, and the folders above it.
pub(super) fn make(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    files::create_dir(path.parent().unwrap_or(Path::new("/")))?;
    let error = |source| FileError::new("write", path, source);
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(error)?;
    file.write_all(bytes).map_err(error)?;
    file.sync_all().map_err(error)?;
    match fs::read(path).map_err(error)? == bytes {
        true => Ok(()),
        false => Err(error(io::Error::other("it reads back differently"))),
    }
}

/// Copies a file to a name that must be free, and reads the copy back from the disk.
///
/// Returns the digest of the copy as read back; what was read from the original is compared by the
/// caller, who knows what it must be. Nothing if it was stopped, which leaves a part of the copy.
pub(super) fn copy(
    from: &Path,
    path: &Path,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Sha256>, FileError> {
    files::create_dir(path.parent().unwrap_or(Path::new("/")))?;
    let error = |source| FileError::new("copy to", path, source);
    let mut original = File::open(from).map_err(|source| FileError::new("read", from, source))?;
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(error)?;
    if !pass_on(&mut original, &mut file, stop).map_err(error)? {
        return Ok(None);
    }
    file.sync_all().map_err(error)?;
    drop(file);
    digest(path).map(Some)
}

/// Whether it was let go on to the end.
fn pass_on(from: &mut File, to: &mut File, stop: &dyn Fn() -> bool) -> io::Result<bool> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(true),
            _ if stop() => return Ok(false),
            n => to.write_all(&buffer[..n])?,
        }
    }
}

/// The digest of what is on the disk, not of what our own cache remembers.
///
/// Reading and hashing overlap: a modules disk has hundreds of megabytes.
pub(super) fn digest(path: &Path) -> Result<Sha256, FileError> {
    let error = |source| FileError::new("read back", path, source);
    let file = File::open(path).map_err(error)?;
    // Only a hint: a file system that does not know it reads from wherever it likes.
    let _advice = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    hash(file).map_err(error)
}

fn hash(mut file: File) -> io::Result<Sha256> {
    thread::scope(|scope| {
        let (sender, receiver) = std::sync::mpsc::sync_channel::<Vec<u8>>(4);
        let hasher = scope.spawn(move || {
            let mut hasher = Hasher::default();
            receiver.iter().for_each(|chunk| hasher.update(&chunk));
            hasher.finish()
        });
        loop {
            let mut buffer = vec![0; CHUNK];
            let n = file.read(&mut buffer)?;
            buffer.truncate(n);
            if n == 0 || sender.send(buffer).is_err() {
                break;
            }
        }
        drop(sender);
        hasher
            .join()
            .map_err(|_| io::Error::other("the hashing thread died"))
    })
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
    match fs::remove_file(path) {
        Ok(()) => {
            flush_folder(path);
            Ok(())
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(FileError::new("remove", path, source)),
    }
}

/// Removes a folder if nothing is in it.
pub(super) fn remove_empty(folder: &Path) {
    // One that is not empty stays: that is the point.
    let _stays = fs::remove_dir(folder);
}

/// A folder on a Windows disk need not be flushable; its files were, one by one.
fn flush_folder(path: &Path) {
    let folder = path.parent().unwrap_or(Path::new("/"));
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

    #[test]
    fn nothing_is_written_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let (original, path) = (folder.path().join("o"), folder.path().join("new/file"));
        make(&original, b"content").expect("made");
        assert_eq!(
            copy(&original, &path, &|| false).expect("copied"),
            Some(Sha256::of("content"))
        );
        assert!(copy(&original, &path, &|| false).is_err());
        let stopped = copy(&original, &folder.path().join("other"), &|| true);
        assert_eq!(stopped.expect("no error"), None);
        assert!(make(&path, b"other").is_err());
        assert_eq!(fs::read(&path).expect("read"), b"content");
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
