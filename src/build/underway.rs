//! Whether make came to its own end, and what to take away where it did not.
//!
//! In: a work folder. Out: a build tree that make may go on from. Killed from outside, make leaves files half
//! written, and believes in them next time: half an object is taken for a whole one, and over half of a `.cmd` file it
//! stumbles for ever. Which ones nobody knows; so whatever was written shortly before the end goes, and is made again.
//! Where make came to its own end, with an error of a compiler too, nothing is half.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::files::{self, FileError};

/// What was written so long before the end may be half. The linker is the slowest to write a file; and after a power cut
/// the system itself has kept what it had not written for 30 s (Documentation/admin-guide/sysctl/vm.rst,
/// `dirty_expire_centisecs`).
const DOUBTFUL: Duration = Duration::from_secs(60);
/// From here on an exit status says that a signal ended the program.
const KILLED: i32 = 128;
/// The mark's name in a work folder.
const MARK: &str = "underway";

/// A make that runs, as a mark on the disk: still there after a kill.
#[derive(Debug)]
#[must_use]
pub(super) struct Underway {
    mark: PathBuf,
}

impl Underway {
    /// Marks the work folder. If the mark was there, what may be half is removed from the build tree first; returns how
    /// many files that were.
    pub(super) fn begin(work: &Path, tree: &Path) -> Result<(Self, u64), FileError> {
        let mark = work.join(MARK);
        let removed = match mark.exists() {
            true => remove_doubtful(tree)?,
            false => 0,
        };
        files::replace(&mark, "")?;
        Ok((Self { mark }, removed))
    }

    /// make's job has ended. Only where make came to its own end, with an error or without, the mark goes.
    pub(super) fn settle(self, status: Option<i32>) -> Result<(), FileError> {
        if status.is_none_or(|status| status >= KILLED) {
            return Ok(());
        }
        fs::remove_file(&self.mark).map_err(|source| FileError::new("remove", &self.mark, source))
    }
}

/// Removes what was written last. The configuration is not make's, and stays.
fn remove_doubtful(tree: &Path) -> Result<u64, FileError> {
    let mut written = Vec::new();
    list(tree, &mut written)?;
    let Some(last) = written.iter().map(|(time, _)| *time).max() else {
        return Ok(0);
    };
    let (config, settings) = (tree.join(".config"), tree.join("include/config"));
    let mut removed = 0;
    for (time, path) in written {
        let age = last.duration_since(time).unwrap_or_default();
        if age <= DOUBTFUL && path != config {
            // make hears of options by these files, and of one without its file only if kconfig forgets all.
            if path.starts_with(&settings) {
                files::remove_if_there(&settings.join("auto.conf"))?;
            }
            files::remove_if_there(&path)?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// All files below a folder, and when each was written.
fn list(folder: &Path, found: &mut Vec<(SystemTime, PathBuf)>) -> Result<(), FileError> {
    let failed = |source| FileError::new("list", folder, source);
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let about = entry.metadata().map_err(failed)?;
        if about.is_dir() {
            list(&entry.path(), found)?;
        } else if about.is_file() {
            found.push((about.modified().map_err(failed)?, entry.path()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    /// A tree with files of these ages in seconds.
    fn tree(work: &Path, files: &[(&str, u64)]) -> PathBuf {
        let tree = work.join("tree");
        for (name, age) in files {
            let path = tree.join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            let file = File::create(path).expect("made");
            let time = SystemTime::now() - Duration::from_secs(1000 + age);
            file.set_modified(time).expect("dated");
        }
        tree
    }

    fn left(tree: &Path) -> Vec<String> {
        let mut found = Vec::new();
        list(tree, &mut found).expect("listed");
        let name = |path: &Path| {
            path.strip_prefix(tree)
                .expect("below")
                .display()
                .to_string()
        };
        let mut names: Vec<String> = found.iter().map(|(_, path)| name(path)).collect();
        names.sort();
        names
    }

    const FILES: [(&str, u64); 5] = [
        (".config", 5),
        ("mm/.half.o.cmd", 0),
        ("mm/half.o", 1),
        ("mm/slow.o", 59),
        ("kernel/old.o", 61),
    ];

    #[test]
    fn after_a_kill_the_last_minute_is_done_again() {
        let work = tempfile::tempdir().expect("a folder");
        let tree = tree(work.path(), &FILES);
        let (killed, none) = Underway::begin(work.path(), &tree).expect("marked");
        assert_eq!((none, left(&tree).len()), (0, 5));
        drop(killed);
        let (again, removed) = Underway::begin(work.path(), &tree).expect("marked");
        assert_eq!(removed, 3);
        assert_eq!(left(&tree), [".config", "kernel/old.o"]);
        again.settle(Some(137)).expect("settled");
        assert!(work.path().join(MARK).exists());
    }

    #[test]
    fn an_option_that_loses_its_file_has_kconfig_forget_all() {
        for (age, left_there) in [(1, false), (100, true)] {
            let work = tempfile::tempdir().expect("a folder");
            let files = [
                ("include/config/Z", age),
                ("include/config/auto.conf", 500),
                ("last.o", 0),
            ];
            let tree = tree(work.path(), &files);
            let (killed, _) = Underway::begin(work.path(), &tree).expect("marked");
            drop(killed);
            let (_next, _) = Underway::begin(work.path(), &tree).expect("marked");
            assert_eq!(tree.join("include/config/auto.conf").exists(), left_there);
        }
    }

    #[test]
    fn after_an_end_of_its_own_nothing_is_doubted() {
        let work = tempfile::tempdir().expect("a folder");
        let tree = tree(work.path(), &FILES);
        let (whole, _) = Underway::begin(work.path(), &tree).expect("marked");
        whole.settle(Some(2)).expect("settled");
        let (_next, removed) = Underway::begin(work.path(), &tree).expect("marked");
        assert_eq!((removed, left(&tree).len()), (0, 5));
    }

    #[test]
    fn where_nothing_was_made_there_is_nothing_to_remove() {
        let work = tempfile::tempdir().expect("a folder");
        let tree = work.path().join("tree");
        let (killed, _) = Underway::begin(work.path(), &tree).expect("marked");
        drop(killed);
        let (_next, removed) = Underway::begin(work.path(), &tree).expect("marked");
        assert_eq!(removed, 0);
    }
}
