//! The few ways in which wslk changes a disk: whole-file replacement, staging folders, the lock.
//!
//! In: a path and content. Out: the new state or the old one, never a half. Must not know what the
//! files mean, nor where they live ([`crate::home`] does).

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// What was being done to which path when the system refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct FileError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl FileError {
    /// An error for `action` (a verb: "read", "replace") on `path`.
    #[must_use]
    pub fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// What the system answered.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// The path that the system refused.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(
                "free some space there, or point --home (WSLK_HOME), or the flag that names the folder, at a larger disk; what was finished is kept",
            ),
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Some(
                "point --home (WSLK_HOME), or the flag that names the folder, at one that you can write to",
            ),
            _ => None,
        }
    }
}

/// The text of a file.
pub fn read(path: &Path) -> Result<String, FileError> {
    fs::read_to_string(path).map_err(|source| FileError::new("read", path, source))
}

/// The text of a file, or `None` where there is no such file.
pub fn read_if_there(path: &Path) -> Result<Option<String>, FileError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FileError::new("read", path, source)),
    }
}

/// What is in a folder; nothing where there is no such folder.
pub fn entries_if_there(folder: &Path) -> Result<Vec<fs::DirEntry>, FileError> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.and_then(Iterator::collect),
    };
    entries.map_err(|source| FileError::new("read", folder, source))
}

/// Makes a folder and those above it.
pub fn create_dir(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(|source| FileError::new("create", path, source))
}

/// A new folder in `parent`, which is made if missing; it goes with its value.
pub fn scratch(parent: &Path, prefix: &str) -> Result<tempfile::TempDir, FileError> {
    create_dir(parent)?;
    tempfile::Builder::new()
        .prefix(prefix)
        .tempdir_in(parent)
        .map_err(|source| FileError::new("create a folder in", parent, source))
}

/// The same, and no other of this prefix: what a wslk that was killed left is removed; only where nobody else is at work.
pub fn only_scratch(parent: &Path, prefix: &str) -> Result<tempfile::TempDir, FileError> {
    sweep_scratch(parent, prefix)?;
    scratch(parent, prefix)
}

/// Removes the folders in `parent` that [`scratch`] made under this prefix for a wslk that was killed; only where
/// nobody else is at work.
pub fn sweep_scratch(parent: &Path, prefix: &str) -> Result<(), FileError> {
    for entry in entries_if_there(parent)? {
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(prefix.as_bytes()) {
            remove_dir(&entry.path())?;
        }
    }
    Ok(())
}

/// Hands a value to another process of ours as a JSON file that it sees whole or not at all.
///
/// Not flushed to the disk: the reader runs on the same kernel.
pub fn hand_over(path: &Path, content: &impl serde::Serialize) -> io::Result<()> {
    let half = path.with_extension("half");
    fs::write(&half, serde_json::to_vec(content)?)?;
    fs::rename(half, path)
}

/// Replaces a file whole: a reader sees the old content or the new one, also after a power cut.
pub fn replace(path: &Path, content: impl AsRef<[u8]>) -> Result<(), FileError> {
    let error = |source| FileError::new("replace", path, source);
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    create_dir(folder)?;
    // Temporary files are private by default; what we keep is readable, also by a builder's user.
    let readable = fs::Permissions::from_mode(0o644);
    let mut file = tempfile::Builder::new()
        .prefix(HALF)
        .permissions(readable)
        .tempfile_in(folder)
        .map_err(error)?;
    file.write_all(content.as_ref()).map_err(error)?;
    file.as_file().sync_all().map_err(error)?;
    file.persist(path).map_err(|e| error(e.error))?;
    sync_dir(folder)
}

/// Writes where a user said: a file whole, by [`replace`]; into a terminal, a pipe or a device as it is, for those
/// must never be replaced by a file.
pub fn put_out(path: &Path, content: impl AsRef<[u8]>) -> Result<(), FileError> {
    match fs::metadata(path) {
        Ok(about) if !about.is_file() && !about.is_dir() => File::options()
            .write(true)
            .open(path)
            .and_then(|mut file| file.write_all(content.as_ref()))
            .map_err(|source| FileError::new("write", path, source)),
        _ => replace(path, content),
    }
}

/// Removes a folder and all in it; a folder that is not there is fine. Read-only folders inside are
/// made writable first, since source trees are kept read-only.
pub fn remove_dir(path: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(path) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            make_folders_writable(path)?;
            fs::remove_dir_all(path).map_err(|source| FileError::new("remove", path, source))
        }
        Err(source) => Err(FileError::new("remove", path, source)),
    }
}

fn make_folders_writable(path: &Path) -> Result<(), FileError> {
    let error = |source| FileError::new("make writable", path, source);
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(error)?;
    for entry in fs::read_dir(path).map_err(error)? {
        let entry = entry.map_err(error)?;
        if entry.file_type().map_err(error)?.is_dir() {
            make_folders_writable(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes a file; false if there was none.
pub fn remove_if_there(path: &Path) -> Result<bool, FileError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(FileError::new("remove", path, source)),
    }
}

/// Has the system write everything to the disk that a folder is on.
pub fn flush_disk(folder: &Path) -> Result<(), FileError> {
    File::open(folder)
        .and_then(|folder| Ok(rustix::fs::syncfs(folder)?))
        .map_err(|source| FileError::new("flush", folder, source))
}

/// Has the system write a folder and all in it to the disk: a rename must never be there before its content.
pub fn flush(folder: &Path) -> Result<(), FileError> {
    let error = |source| FileError::new("flush", folder, source);
    for entry in fs::read_dir(folder).map_err(error)? {
        let entry = entry.map_err(error)?;
        match entry.file_type().map_err(error)?.is_dir() {
            true => flush(&entry.path())?,
            false => File::open(entry.path())
                .and_then(|file| file.sync_all())
                .map_err(error)?,
        }
    }
    sync_dir(folder)
}

fn sync_dir(path: &Path) -> Result<(), FileError> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(|source| FileError::new("flush", path, source))
}

/// How folders under construction are named.
const STAGING: &str = ".staging-";
/// How files under construction are named.
const HALF: &str = ".wslk-";

/// Removes what was under construction in a folder when its maker was killed; only for who holds the lock
/// that makers hold.
pub fn sweep(folder: &Path) -> Result<(), FileError> {
    for entry in entries_if_there(folder)? {
        let (name, path) = (entry.file_name(), entry.path());
        let begins = |prefix: &str| name.as_encoded_bytes().starts_with(prefix.as_bytes());
        if begins(STAGING) {
            remove_dir(&path)?;
        } else if begins(HALF) {
            fs::remove_file(&path).map_err(|source| FileError::new("remove", &path, source))?;
        }
    }
    Ok(())
}

/// A folder under construction beside its final place; it vanishes unless it is [published].
///
/// [published]: Staging::publish
#[derive(Debug)]
pub struct Staging {
    folder: tempfile::TempDir,
    target: PathBuf,
}

impl Staging {
    /// An empty folder on the same file system as `target`, whose parent is made if missing.
    pub fn beside(target: &Path) -> Result<Self, FileError> {
        let parent = target.parent().unwrap_or(Path::new("/"));
        create_dir(parent)?;
        let folder = tempfile::Builder::new()
            .prefix(STAGING)
            .tempdir_in(parent)
            .map_err(|source| FileError::new("create a staging folder in", parent, source))?;
        Ok(Self {
            folder,
            target: target.to_owned(),
        })
    }

    /// Where to write while the folder is under construction.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Gives it another final place on the same file system, for a product that is named by its content.
    #[must_use]
    pub fn named(mut self, target: &Path) -> Self {
        target.clone_into(&mut self.target);
        self
    }

    /// Lets other users read it, as a web server has to.
    pub fn for_all_to_read(self) -> Result<Self, FileError> {
        let readable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.folder.path(), readable)
            .map_err(|source| FileError::new("publish", &self.target, source))?;
        Ok(self)
    }

    /// Renames the folder to its final place, which must not exist yet.
    pub fn publish(self) -> Result<PathBuf, FileError> {
        let error = |source| FileError::new("publish", &self.target, source);
        fs::rename(self.folder.path(), &self.target).map_err(error)?;
        let target = self.target.clone();
        // The folder has moved: dropping the guard must not remove what is at the old name.
        let _moved = self.folder.keep();
        sync_dir(target.parent().unwrap_or(Path::new("/")))?;
        Ok(target)
    }
}

/// The exclusive lock of one `WSLK_HOME`; released when dropped, also by a kill.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why the lock was not had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another wslk holds it.
    #[error("another wslk is at work on {}", .0.display())]
    Held(PathBuf),
    /// The lock file could not be opened.
    #[error(transparent)]
    File(#[from] FileError),
}

/// How long a command waits for another one to end: for one that is at it for minutes nobody waits.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(50);

impl Lock {
    /// Takes the lock at `path`, and waits a few seconds where somebody else has it. `tell` is called once, if it
    /// comes to that.
    pub fn wait(path: &Path, tell: &dyn Fn()) -> Result<Self, LockError> {
        let since = Instant::now();
        let mut told = false;
        loop {
            match Self::take(path) {
                Err(LockError::Held(_)) if since.elapsed() < PATIENCE => {
                    if !told {
                        tell();
                    }
                    told = true;
                    thread::sleep(LOOK);
                }
                taken => return taken,
            }
        }
    }

    /// Takes the lock at `path`, or says at once that somebody else has it.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        create_dir(path.parent().unwrap_or(Path::new("/")))?;
        let file = File::options()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|source| FileError::new("open", path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Held(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(FileError::new("lock", path, source).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replace_leaves_no_litter() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("deep/state.json");
        replace(&path, "one")?;
        replace(&path, "two")?;
        assert_eq!(read(&path)?, "two");
        assert_eq!(fs::read_dir(folder.path().join("deep"))?.count(), 1);
        Ok(())
    }

    #[test]
    fn what_is_no_file_is_written_into_and_stays() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let link = folder.path().join("stdout");
        std::os::unix::fs::symlink("/dev/null", &link)?;
        put_out(&link, "text")?;
        assert!(fs::symlink_metadata(&link)?.is_symlink());
        let file = folder.path().join("summary.md");
        put_out(&file, "text")?;
        assert_eq!(read(&file)?, "text");
        Ok(())
    }

    #[test]
    fn staging_vanishes_or_is_published_whole() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let target = folder.path().join("product");
        let dropped = Staging::beside(&target)?;
        fs::write(dropped.path().join("half"), "")?;
        drop(dropped);
        assert_eq!(fs::read_dir(folder.path())?.count(), 0);

        let killed = Staging::beside(&target)?.folder.keep();
        fs::write(killed.join("half"), "")?;
        fs::write(folder.path().join(".wslk-half"), "")?;
        sweep(folder.path())?;
        assert_eq!(fs::read_dir(folder.path())?.count(), 0);

        let staging = Staging::beside(&target)?;
        fs::write(staging.path().join("whole"), "")?;
        assert_eq!(staging.publish()?, target);
        assert!(target.join("whole").exists());
        assert_eq!(fs::read_dir(folder.path())?.count(), 1);
        Ok(())
    }

    #[test]
    fn the_lock_is_exclusive() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("lock");
        let held = Lock::take(&path)?;
        assert!(matches!(Lock::take(&path), Err(LockError::Held(_))));
        drop(held);
        Lock::take(&path)?;
        Ok(())
    }

    #[test]
    fn a_lock_that_is_soon_free_is_waited_for() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("lock");
        let held = std::cell::Cell::new(Some(Lock::take(&path)?));
        let told = std::cell::Cell::new(0);
        let tell = || {
            told.set(told.get() + 1);
            drop(held.take());
        };
        let taken = Lock::wait(&path, &tell)?;
        assert_eq!(told.get(), 1);
        drop(taken);
        Lock::wait(&path, &tell)?;
        assert_eq!(told.get(), 1, "nobody waits for a free one");
        Ok(())
    }
}
