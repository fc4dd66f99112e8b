//! Puts the members of a tree on disk, whoever brings them: a tarball, git objects, another folder.
//!
//! In: names, contents and links, in any order, from one producer. Out: read-only files below a staging
//! folder, written by several threads. Must not write outside that folder whatever the names say:
//! symbolic links are made last, so that no file is ever written through one, and each must end inside.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::files::FileError;
use crate::process;
use crate::report::Task;

/// Files handed to a writer at once, and their bytes: large enough that handing over costs nothing.
const BATCH_FILES: usize = 64;
const BATCH_BYTES: usize = 512 << 10;
/// Batches that may wait; bounds the memory to some 30 MB plus one file.
const WAITING: usize = 48;
/// Links followed before a chain of them is taken for a loop.
const MAX_LINKS: usize = 40;

/// Why a member cannot be part of a tree.
#[derive(Debug, thiserror::Error)]
pub enum PlantError {
    /// A member that has no place in a source tree.
    #[error("`{}` {problem}", member.display())]
    Member {
        /// Its name as it came.
        member: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The disk refused.
    #[error(transparent)]
    File(#[from] FileError),
}

impl PlantError {
    /// A refused member.
    pub(super) fn member(member: &Path, problem: &'static str) -> Self {
        Self::Member {
            member: member.to_owned(),
            problem,
        }
    }
}

/// A name below the root of a tree: relative, without `.` and `..`, not empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name(PathBuf);

impl Name {
    /// Checks a name as it came. `None` is the root itself (`./`).
    pub(super) fn new(raw: &Path) -> Result<Option<Self>, PlantError> {
        let refuse = |problem| Err(PlantError::member(raw, problem));
        if raw.as_os_str().as_bytes().contains(&0) {
            return refuse("has a name with a zero byte");
        }
        if raw.as_os_str().len() > 4000 {
            return refuse("has a name of more than 4000 bytes");
        }
        let mut clean = PathBuf::new();
        for component in raw.components() {
            match component {
                Component::Normal(part) => clean.push(part),
                Component::CurDir => {}
                Component::ParentDir => return refuse("points outside of the tree with `..`"),
                Component::RootDir | Component::Prefix(_) => return refuse("has an absolute name"),
            }
        }
        Ok(Some(clean)
            .filter(|clean| !clean.as_os_str().is_empty())
            .map(Self))
    }

    fn path(&self) -> &Path {
        &self.0
    }

    /// The name as a relative path.
    pub(super) fn into_path(self) -> PathBuf {
        self.0
    }
}

/// Symbolic links: name and target.
pub(super) type Links = BTreeMap<PathBuf, PathBuf>;

#[derive(Debug)]
struct File {
    path: PathBuf,
    executable: bool,
    content: Vec<u8>,
}

/// The producer's side: takes members, checks them and hands files to the writing threads.
#[derive(Debug)]
pub(super) struct Planter<'a> {
    root: &'a Path,
    folders: HashSet<PathBuf>,
    taken: HashSet<PathBuf>,
    links: Links,
    copies: Vec<(Name, Name)>,
    batch: Vec<File>,
    batch_bytes: usize,
    queue: SyncSender<Vec<File>>,
}

/// Runs `produce` with a [`Planter`] while other threads write; then makes links and copies.
///
/// `files` moves on as files are written. On an error the folder holds part of the tree: the caller
/// drops it.
pub(super) fn plant<T, E>(
    root: &Path,
    files: &Task,
    produce: impl FnOnce(&mut Planter<'_>) -> Result<T, E>,
) -> Result<T, E>
where
    E: From<PlantError>,
{
    let (queue, receiver) = sync_channel(WAITING);
    let shared = Shared {
        queue: Mutex::new(Some(receiver)),
        failure: Mutex::new(None),
        files,
    };
    let produced = thread::scope(|scope| {
        for _ in 0..process::cpus() {
            scope.spawn(|| shared.write_files());
        }
        // Owned here, since its end is what ends the writers.
        let mut planter = Planter::new(root, queue);
        let value = produce(&mut planter)?;
        let (links, copies) = planter.end()?;
        Ok::<_, E>((value, links, copies))
    });
    // A writer's failure is the cause of the producer's: it found nobody to hand its files to.
    if let Some(error) = shared
        .failure
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
    {
        return Err(PlantError::from(error).into());
    }
    let (value, links, copies) = produced?;
    finish(root, &links, &copies)?;
    Ok(value)
}

/// What the writing threads share.
struct Shared<'a> {
    queue: Mutex<Option<Receiver<Vec<File>>>>,
    failure: Mutex<Option<FileError>>,
    files: &'a Task,
}

impl Shared<'_> {
    fn write_files(&self) {
        while let Some(batch) = self.next() {
            if let Err(error) = batch.iter().try_for_each(write_file) {
                self.fail(error);
                return;
            }
            self.files.advance(batch.len() as u64);
        }
    }

    fn next(&self) -> Option<Vec<File>> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.as_ref()?.recv().ok()
    }

    fn fail(&self, error: FileError) {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
        // Closing the queue tells the producer.
        self.queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }
}

fn write_file(file: &File) -> Result<(), FileError> {
    let mode = if file.executable { 0o555 } else { 0o444 };
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&file.path)
        .and_then(|mut open| open.write_all(&file.content))
        .map_err(|source| FileError::new("write", &file.path, source))
}

impl<'a> Planter<'a> {
    fn new(root: &'a Path, queue: SyncSender<Vec<File>>) -> Self {
        Self {
            root,
            folders: HashSet::from([PathBuf::new()]),
            taken: HashSet::new(),
            links: BTreeMap::new(),
            copies: Vec::new(),
            batch: Vec::with_capacity(BATCH_FILES),
            batch_bytes: 0,
            queue,
        }
    }

    /// A folder; the same one may come more than once.
    pub(super) fn folder(&mut self, name: &Name) -> Result<(), PlantError> {
        self.make_folder(name.path())
    }

    /// A file with its whole content.
    pub(super) fn file(
        &mut self,
        name: &Name,
        executable: bool,
        content: Vec<u8>,
    ) -> Result<(), PlantError> {
        self.claim(name)?;
        self.batch_bytes += content.len();
        self.batch.push(File {
            path: self.root.join(name.path()),
            executable,
            content,
        });
        if self.batch.len() >= BATCH_FILES || self.batch_bytes >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// A symbolic link.
    pub(super) fn link(&mut self, name: &Name, target: &Path) -> Result<(), PlantError> {
        self.claim(name)?;
        self.links.insert(name.path().to_owned(), target.to_owned());
        Ok(())
    }

    /// A hard link: a second name of a file. It becomes a file of its own, as in git.
    pub(super) fn copy(&mut self, name: &Name, original: &Name) -> Result<(), PlantError> {
        if !self.taken.contains(original.path()) || self.links.contains_key(original.path()) {
            return Err(PlantError::member(
                name.path(),
                "is a hard link to something that is no file of the tree",
            ));
        }
        self.claim(name)?;
        self.copies.push((name.clone(), original.clone()));
        Ok(())
    }

    fn claim(&mut self, name: &Name) -> Result<(), PlantError> {
        let path = name.path();
        if let Some(parent) = path.parent() {
            self.make_folder(parent)?;
        }
        if self.folders.contains(path) || !self.taken.insert(path.to_owned()) {
            return Err(PlantError::member(path, "comes twice"));
        }
        Ok(())
    }

    fn make_folder(&mut self, path: &Path) -> Result<(), PlantError> {
        if self.folders.contains(path) {
            return Ok(());
        }
        if self.taken.contains(path) {
            return Err(PlantError::member(
                path,
                "is both a folder and something else",
            ));
        }
        if let Some(parent) = path.parent() {
            self.make_folder(parent)?;
        }
        let full = self.root.join(path);
        fs::create_dir(&full).map_err(|source| FileError::new("create", &full, source))?;
        self.folders.insert(path.to_owned());
        Ok(())
    }

    fn end(mut self) -> Result<(Links, Vec<(Name, Name)>), PlantError> {
        self.flush()?;
        Ok((self.links, self.copies))
    }

    fn flush(&mut self) -> Result<(), PlantError> {
        self.batch_bytes = 0;
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH_FILES));
        self.queue.send(batch).map_err(|_| {
            // The writer that closed the queue has kept the real reason, which replaces this one.
            let gone = io::Error::new(io::ErrorKind::BrokenPipe, "the writers have stopped");
            FileError::new("write below", self.root, gone).into()
        })
    }
}

fn finish(root: &Path, links: &Links, copies: &[(Name, Name)]) -> Result<(), PlantError> {
    for (name, original) in copies {
        let (from, to) = (root.join(original.path()), root.join(name.path()));
        fs::copy(&from, &to).map_err(|source| FileError::new("copy", &to, source))?;
    }
    for (name, target) in links {
        check_link(links, name)?;
        let path = root.join(name);
        symlink(target, &path).map_err(|source| FileError::new("link", &path, source))?;
    }
    Ok(())
}

/// Follows a link through all other links of the tree and refuses one that leaves it. The text of the
/// target is not enough: `a -> b/..` ends elsewhere when `b` is itself a link.
pub(super) fn check_link(links: &Links, name: &Path) -> Result<(), PlantError> {
    let refuse = |problem| Err(PlantError::member(name, problem));
    let mut at = PathBuf::new();
    let mut ahead: Vec<&OsStr> = name.iter().rev().collect();
    let mut followed = 0;
    while let Some(part) = ahead.pop() {
        match Path::new(part).components().next() {
            Some(Component::Normal(part)) => at.push(part),
            Some(Component::ParentDir) if !at.pop() => {
                return refuse("is a link that leads out of the tree");
            }
            Some(Component::ParentDir | Component::CurDir) | None => continue,
            Some(Component::RootDir | Component::Prefix(_)) => {
                return refuse("is a link to an absolute path");
            }
        }
        let Some(target) = links.get(&at) else {
            continue;
        };
        followed += 1;
        if followed > MAX_LINKS {
            return refuse("is a link that never ends");
        }
        at.pop();
        ahead.extend(target.iter().rev());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use proptest::prelude::*;

    use super::*;
    use crate::report::{Reporter, Unit};

    fn name(text: &str) -> Name {
        Name::new(Path::new(text)).unwrap().unwrap()
    }

    fn planted(
        produce: impl FnOnce(&mut Planter<'_>) -> Result<(), PlantError>,
    ) -> Result<tempfile::TempDir, PlantError> {
        let folder = tempfile::tempdir().unwrap();
        let task = Reporter::silent().task("writing", Unit::Files, None);
        plant(folder.path(), &task, produce)?;
        Ok(folder)
    }

    #[test]
    fn members_become_read_only_files() {
        let tree = planted(|p| {
            p.file(&name("a/b/run"), true, b"x".to_vec())?;
            p.folder(&name("a/b"))?;
            p.file(&name("./a/plain"), false, b"y".to_vec())?;
            p.link(&name("link"), Path::new("a/../a/plain"))?;
            p.copy(&name("again"), &name("a/b/run"))
        })
        .unwrap();
        let mode = |name: &str| {
            fs::metadata(tree.path().join(name))
                .unwrap()
                .permissions()
                .mode()
                & 0o777
        };
        assert_eq!(
            (mode("a/b/run"), mode("a/plain"), mode("again")),
            (0o555, 0o444, 0o555)
        );
        assert_eq!(fs::read_to_string(tree.path().join("link")).unwrap(), "y");
        assert_eq!(fs::read_to_string(tree.path().join("again")).unwrap(), "x");
    }

    #[test]
    fn names_that_leave_the_tree_are_refused() {
        for bad in ["../x", "a/../../x", "/etc/passwd", "a/..", "a\0b"] {
            assert!(
                matches!(Name::new(Path::new(bad)), Err(PlantError::Member { .. })),
                "{bad:?}"
            );
        }
        assert_eq!(Name::new(Path::new("./")).unwrap(), None);
    }

    #[test]
    fn nothing_comes_twice() {
        type Produce = fn(&mut Planter<'_>) -> Result<(), PlantError>;
        let cases: [Produce; 4] = [
            |p| {
                p.file(&name("a"), false, vec![])
                    .and_then(|()| p.file(&name("a"), false, vec![]))
            },
            |p| {
                p.file(&name("a"), false, vec![])
                    .and_then(|()| p.file(&name("a/b"), false, vec![]))
            },
            |p| {
                p.link(&name("a"), Path::new("b"))
                    .and_then(|()| p.file(&name("a/b"), false, vec![]))
            },
            |p| {
                p.folder(&name("a"))
                    .and_then(|()| p.link(&name("a"), Path::new("b")))
            },
        ];
        for (number, case) in cases.into_iter().enumerate() {
            assert!(
                matches!(planted(case), Err(PlantError::Member { .. })),
                "case {number}"
            );
        }
    }

    #[test]
    fn links_must_end_inside() {
        let inside: &[&[(&str, &str)]] = &[
            &[("Microsoft/config-wsl", "../arch/x86/configs/config-wsl")],
            &[("a", "nowhere/yet")],
            &[("a", ".")],
            &[("deep/down", "x/y"), ("b", "deep/down/../../..")],
        ];
        let outside: &[&[(&str, &str)]] = &[
            &[("a", "/etc")],
            &[("a", "..")],
            &[("a/b", "../../etc")],
            &[("a/up", "../."), ("b", "a/up/../etc")],
            &[("a", "b"), ("b", "a")],
        ];
        for (cases, fine) in [(inside, true), (outside, false)] {
            for case in cases {
                let result = planted(|p| {
                    case.iter()
                        .try_for_each(|(at, to)| p.link(&name(at), Path::new(to)))
                });
                assert_eq!(result.is_ok(), fine, "{case:?}: {result:?}");
            }
        }
    }

    #[test]
    fn hard_links_only_to_files_of_the_tree() {
        assert!(planted(|p| p.copy(&name("a"), &name("b"))).is_err());
        assert!(
            planted(|p| p
                .link(&name("b"), Path::new("c"))
                .and_then(|()| p.copy(&name("a"), &name("b"))))
            .is_err()
        );
    }

    #[test]
    fn a_failing_disk_is_the_error_told() {
        let error = planted(|p| {
            fs::remove_dir_all(p.root).unwrap();
            (0..100_000).try_for_each(|n| p.file(&name(&n.to_string()), false, vec![0; 1000]))
        });
        let text = error.unwrap_err().to_string();
        assert!(text.starts_with("cannot write /"), "{text}");
    }

    proptest! {
        #[test]
        fn a_name_never_leaves(raw in "[a./\\\\ \u{0}]{0,12}") {
            if let Ok(Some(name)) = Name::new(Path::new(&raw)) {
                prop_assert!(name.path().components().all(|part| matches!(part, Component::Normal(_))));
            }
        }
    }
}
