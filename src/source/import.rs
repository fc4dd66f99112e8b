//! Takes a kernel tree from a folder of the user's, who goes on to change it: a copy without `.git`.
//!
//! In: the folder. Out: its files below a staging folder; a stamp that tells later, without reading a
//! file, that nothing has changed. Must not write to the folder, and refuses one that was built in:
//! make would look there for generated headers.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rayon::prelude::*;

use super::SourceError;
use super::plant::{self, Name, PlantError, Planter};
use crate::digest::{Hasher, Sha256};
use crate::files::FileError;
use crate::process::Interrupt;
use crate::report::{Reporter, Unit};

/// What an earlier build in the tree leaves behind; kbuild itself looks for the first three.
const PRODUCTS: [&str; 4] = [
    ".config",
    "include/config",
    "include/generated/autoconf.h",
    "vmlinux",
];
/// A change may hide behind an equal time stamp for one clock tick of the file system.
const SETTLED: Duration = Duration::from_millis(100);

/// Names a product of a build in `root`, if there is one.
pub(super) fn product_of_build(root: &Path) -> Option<&'static str> {
    PRODUCTS
        .into_iter()
        .find(|product| root.join(product).exists())
}

/// What a look at all files from outside says: name, kind, size, times and inode of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) digest: Sha256,
    /// Whether the newest change is old enough for the next one to show.
    pub(super) settled: bool,
}

impl Stamp {
    /// Of everything below a folder but `.git`; about 0.1 s for a kernel.
    pub(super) fn of_dir(root: &Path) -> Result<Self, FileError> {
        let mut all = Vec::new();
        list(root, Path::new(""), &mut all)?;
        all.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(Self::of(&all))
    }

    /// Of one file.
    pub(super) fn of_file(path: &Path) -> Result<Self, FileError> {
        let meta = fs::metadata(path).map_err(|source| FileError::new("look at", path, source))?;
        Ok(Self::of(&[Look::new(path.to_owned(), &meta)]))
    }

    fn of(all: &[Look]) -> Self {
        let mut hasher = Hasher::default();
        for look in all {
            hasher.update(look.path.as_os_str().as_bytes());
            hasher.update(&[0]);
            for number in look.numbers {
                hasher.update(&number.to_le_bytes());
            }
        }
        let newest = all
            .iter()
            .map(|look| look.changed)
            .max()
            .unwrap_or(SystemTime::UNIX_EPOCH);
        let settled = SystemTime::now()
            .duration_since(newest)
            .is_ok_and(|age| age > SETTLED);
        Self {
            digest: hasher.finish(),
            settled,
        }
    }
}

#[derive(Debug)]
struct Look {
    path: PathBuf,
    numbers: [i64; 7],
    changed: SystemTime,
}

impl Look {
    fn new(path: PathBuf, meta: &fs::Metadata) -> Self {
        let since = Duration::new(
            u64::try_from(meta.ctime()).unwrap_or(0),
            u32::try_from(meta.ctime_nsec()).unwrap_or(0),
        );
        let numbers = [
            i64::from(meta.mode()),
            meta.size().cast_signed(),
            meta.mtime(),
            meta.mtime_nsec(),
            meta.ctime(),
            meta.ctime_nsec(),
            meta.ino().cast_signed(),
        ];
        Self {
            path,
            numbers,
            changed: SystemTime::UNIX_EPOCH + since,
        }
    }
}

fn list(root: &Path, below: &Path, all: &mut Vec<Look>) -> Result<(), FileError> {
    let folders = vec![below.to_owned()];
    let mut level = folders;
    while !level.is_empty() {
        let found: Vec<(Vec<Look>, Vec<PathBuf>)> = level
            .par_iter()
            .map(|folder| look_into(root, folder))
            .collect::<Result<_, _>>()?;
        level.clear();
        for (looks, folders) in found {
            all.extend(looks);
            level.extend(folders);
        }
    }
    Ok(())
}

/// Looks at the entries of one folder; returns the folders among them beside.
fn look_into(root: &Path, folder: &Path) -> Result<(Vec<Look>, Vec<PathBuf>), FileError> {
    let full = root.join(folder);
    let error = |source| FileError::new("list", &full, source);
    let (mut looks, mut folders) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(&full).map_err(error)? {
        let entry = entry.map_err(error)?;
        if is_git(folder, &entry) {
            continue;
        }
        let meta = entry.metadata().map_err(error)?;
        let path = folder.join(entry.file_name());
        if meta.is_dir() {
            // Its own times change with its entries, which are looked at anyway.
            folders.push(path);
        } else {
            looks.push(Look::new(path, &meta));
        }
    }
    Ok((looks, folders))
}

fn is_git(folder: &Path, entry: &fs::DirEntry) -> bool {
    folder.as_os_str().is_empty() && entry.file_name() == ".git"
}

/// Copies everything below `root` but `.git` below `into`.
pub(super) fn copy(
    root: &Path,
    into: &Path,
    reporter: &Reporter,
    interrupt: &Interrupt,
) -> Result<(), SourceError> {
    let files = reporter.task("copying files", Unit::Files, None);
    plant::plant(into, &files, |planter| {
        Copy {
            root,
            planter,
            interrupt,
        }
        .folder(Path::new(""))
    })
}

struct Copy<'c, 'p, 'r> {
    root: &'c Path,
    planter: &'p mut Planter<'r>,
    interrupt: &'c Interrupt,
}

impl Copy<'_, '_, '_> {
    fn folder(&mut self, folder: &Path) -> Result<(), SourceError> {
        let full = self.root.join(folder);
        let error = |source| FileError::new("list", &full, source);
        for entry in fs::read_dir(&full).map_err(error)? {
            let entry = entry.map_err(error)?;
            if is_git(folder, &entry) {
                continue;
            }
            if self.interrupt.is_set() {
                return Err(SourceError::Interrupted);
            }
            self.entry(&folder.join(entry.file_name()), &entry)?;
        }
        Ok(())
    }

    fn entry(&mut self, below: &Path, entry: &fs::DirEntry) -> Result<(), SourceError> {
        let path = entry.path();
        let error = |source| FileError::new("read", &path, source);
        let Some(name) = Name::new(below)? else {
            return Ok(());
        };
        let kind = entry.file_type().map_err(error)?;
        if kind.is_dir() {
            return self.folder(below);
        }
        if kind.is_symlink() {
            let target = fs::read_link(&path).map_err(error)?;
            return Ok(self.planter.link(&name, &target)?);
        }
        if !kind.is_file() {
            return Err(PlantError::member(&path, "is neither a file, a folder nor a link").into());
        }
        let content = fs::read(&path).map_err(error)?;
        let executable = entry.metadata().map_err(error)?.permissions().mode() & 0o100 != 0;
        Ok(self.planter.file(&name, executable, content)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_shows_every_change() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/c"), "1").unwrap();
        fs::create_dir(root.join(".git")).unwrap();
        let first = Stamp::of_dir(root).unwrap();
        assert!(!first.settled, "written just now");
        fs::write(root.join(".git/index"), "x").unwrap();
        assert_eq!(
            Stamp::of_dir(root).unwrap().digest,
            first.digest,
            ".git does not count"
        );

        fs::write(root.join("a/b/d"), "").unwrap();
        let more = Stamp::of_dir(root).unwrap();
        assert_ne!(more.digest, first.digest);
        fs::rename(root.join("a/b/d"), root.join("a/b/e")).unwrap();
        assert_ne!(Stamp::of_dir(root).unwrap().digest, more.digest);
    }
}
