//! Patches to a source tree: `<folder>/<series>/order` names them, one per line, in the order to apply.
//!
//! In: a [`SourceTree`] and a [`PatchSet`]. Out: another source tree with an id of its own. Must not touch
//! the tree it starts from. All patches are applied in memory first; only when every hunk has fitted is a
//! tree made, in which untouched files are hard links to the old one's read-only files.
//!
//! A hunk may have moved, but its context must be there to the letter: a kernel that compiles with a
//! patch in the wrong place is worse than an error. The only user of diffy.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use diffy::Patch;
use diffy::patch_set::{self, FileMode, FileOperation, FilePatch, ParseOptions};
use rayon::prelude::*;
use serde::Serialize;

use super::plant::Name;
use super::store::{Index, Record, Store, TREE};
use super::{KernelVersion, Series, SourceError, SourceTree, Sources, TreeId};
use crate::digest::{Hasher, Sha256};
use crate::files::{self, FileError};
use crate::report::Unit;

/// The file that names the patches of a series.
const ORDER: &str = "order";

/// Why patches do not fit.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// A line of the order file is wrong.
    #[error("{}:{line}: {problem}", order.display())]
    Order {
        /// The order file.
        order: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A patch lies there that the order file does not name.
    #[error("{} is not named in the order file beside it", .0.display())]
    Unnamed(PathBuf),
    /// A patch that cannot be read as one.
    #[error("{patch} cannot be read: {problem}")]
    Malformed {
        /// The patch.
        patch: String,
        /// Why.
        problem: String,
    },
    /// A hunk whose context is not in the file.
    #[error("{patch} does not fit: hunk {hunk} of {} (at line {line})", file.display())]
    Hunk {
        /// The patch.
        patch: String,
        /// The file that it changes.
        file: PathBuf,
        /// The hunk, from 1.
        hunk: usize,
        /// The line where it should have been.
        line: usize,
        /// Whether the file is as if the patch were in already.
        applied: bool,
    },
    /// A file that should be there and is not, or the other way round.
    #[error("{patch} does not fit: {} {problem}", file.display())]
    File {
        /// The patch.
        patch: String,
        /// The file that it changes.
        file: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
}

impl PatchError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Order { .. } => {
                "one file name per line; what follows a # is a comment".to_owned()
            }
            Self::Unnamed(patch) => {
                let name = patch.file_name().unwrap_or_default().display();
                format!(
                    "add {name} to the order file, or rename it so that it does not end in .patch"
                )
            }
            Self::Malformed { .. } => "make it with `git format-patch` or `diff -u`".to_owned(),
            Self::Hunk {
                patch,
                applied: true,
                ..
            } => {
                format!("the file is as if {patch} were in already: take it out of the order file")
            }
            Self::Hunk { patch, .. } | Self::File { patch, .. } => {
                format!("rebase {patch} onto this release; nothing was changed")
            }
        }
    }
}

/// A patch and what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PatchName {
    /// Its file name.
    pub name: String,
    /// The digest of its text.
    pub digest: Sha256,
}

/// The patches of one series, read whole.
#[derive(Debug, Clone, Default)]
pub struct PatchSet {
    patches: Vec<(PatchName, Vec<u8>)>,
}

impl PatchSet {
    /// Reads the patches for `series` from `folder`. None is fine: no folder, or no order file and no patch.
    pub fn read(folder: &Path, series: Series) -> Result<Self, SourceError> {
        let folder = folder.join(series.to_string());
        let order = folder.join(ORDER);
        let lines = files::read_if_there(&order)?.unwrap_or_default();
        let mut patches = Vec::new();
        let mut named = BTreeSet::new();
        for (number, name) in order_lines(&lines) {
            let wrong = |problem| PatchError::Order {
                order: order.clone(),
                line: number,
                problem,
            };
            if name.contains('/') || !named.insert(name.to_owned()) {
                return Err(wrong(format!(
                    "`{name}` is not the name of a patch of its own in this folder"
                ))
                .into());
            }
            let text = match fs::read(folder.join(name)) {
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(wrong(format!("there is no `{name}`")).into());
                }
                Err(error) => return Err(FileError::new("read", &folder.join(name), error).into()),
            };
            patches.push((
                PatchName {
                    name: name.to_owned(),
                    digest: Sha256::of(&text),
                },
                text,
            ));
        }
        forgotten(&folder, &named)?;
        Ok(Self { patches })
    }

    /// The patches, in order.
    pub fn names(&self) -> impl Iterator<Item = &PatchName> {
        self.patches.iter().map(|(name, _)| name)
    }

    /// Whether there is nothing to apply.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patches.is_empty()
    }

    /// The digest of all patches in their order.
    #[must_use]
    pub fn digest(&self) -> Sha256 {
        let mut hasher = Hasher::default();
        for patch in self.names() {
            hasher.update(format!("{}\0{}\n", patch.name, patch.digest).as_bytes());
        }
        hasher.finish()
    }
}

/// Names with their line numbers, without comments and empty lines.
fn order_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let named = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim());
    named
        .enumerate()
        .map(|(at, name)| (at + 1, name))
        .filter(|(_, name)| !name.is_empty())
}

fn forgotten(folder: &Path, named: &BTreeSet<String>) -> Result<(), SourceError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(FileError::new("list", folder, error).into()),
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".patch") && !named.contains(name.as_ref()) {
            return Err(PatchError::Unnamed(path).into());
        }
    }
    Ok(())
}

/// A tree with all patches in.
#[derive(Debug, Clone)]
pub struct PatchedTree {
    /// The tree to build; the tree itself where there are no patches.
    pub tree: SourceTree,
    /// The tree before.
    pub base: TreeId,
    /// What was applied, in order.
    pub patches: Vec<PatchName>,
}

/// Applies all patches of `set` to `base`, or none.
///
/// # Errors
/// [`PatchError::Hunk`] names patch, file and hunk; no tree is made then.
pub fn apply(
    base: &SourceTree,
    set: &PatchSet,
    sources: &Sources<'_>,
) -> Result<PatchedTree, SourceError> {
    let patched = |tree| PatchedTree {
        tree,
        base: base.tree,
        patches: set.names().cloned().collect(),
    };
    if set.is_empty() {
        return Ok(patched(base.clone()));
    }
    let (store, mut index) = (Store::new(sources.home), Index::read(sources.home));
    let key = format!("{}+{}", base.tree, set.digest());
    let record = match index.patched(&key).and_then(|tree| store.find(tree)) {
        Some(record) => record,
        None => {
            let changes = changes(base, set)?;
            let record = make(base, &changes, &store, sources)?;
            index.remember_patched(key, record.tree);
            index.write(sources.home)?;
            record
        }
    };
    let tree = SourceTree {
        root: store.root(record.tree),
        tree: record.tree,
        origin: format!("{} with {} patches", base.origin, set.patches.len()),
        version: record.version,
        ..base.clone()
    };
    Ok(patched(tree))
}

/// Files as the patches leave them; `None` is removed.
type Changes = BTreeMap<PathBuf, Option<Content>>;

#[derive(Debug, Clone)]
struct Content {
    bytes: Vec<u8>,
    executable: bool,
}

fn changes(base: &SourceTree, set: &PatchSet) -> Result<Changes, SourceError> {
    let mut all = Changes::new();
    for (name, text) in &set.patches {
        let malformed = |problem: String| PatchError::Malformed {
            patch: name.name.clone(),
            problem,
        };
        let git_style = text.windows(11).any(|window| window == b"diff --git ");
        let options = if git_style {
            ParseOptions::gitdiff()
        } else {
            ParseOptions::unidiff()
        };
        for file in patch_set::PatchSet::parse_bytes(text, options) {
            let file = file.map_err(|error| malformed(error.to_string()))?;
            FileChange {
                patch: &name.name,
                root: &base.root,
                all: &mut all,
            }
            .apply(&file)?;
        }
    }
    Ok(all)
}

/// One file of one patch, on its way into the changes.
struct FileChange<'a> {
    patch: &'a str,
    root: &'a Path,
    all: &'a mut Changes,
}

impl FileChange<'_> {
    fn apply(mut self, file: &FilePatch<'_, [u8]>) -> Result<(), SourceError> {
        let Some(patch) = file.patch().as_text() else {
            return Err(self.malformed("it has binary changes").into());
        };
        if matches!(file.new_mode(), Some(FileMode::Symlink | FileMode::Gitlink)) {
            return Err(self
                .malformed("it makes a symbolic link or a submodule")
                .into());
        }
        let executable = file.new_mode().map(|mode| *mode == FileMode::Executable);
        match file.operation().strip_prefix(1) {
            FileOperation::Delete(path) => self.delete(&path, patch),
            FileOperation::Create(path) => self.create(&path, patch, executable),
            FileOperation::Modify { original, modified } if original == modified => {
                let path = self.path(&modified)?;
                let changed = self.patched(&path, patch, self.present(&path)?)?;
                self.keep(path, changed, executable);
                Ok(())
            }
            FileOperation::Modify {
                original: from,
                modified: to,
            }
            | FileOperation::Rename { from, to } => {
                self.transfer(&from, &to, patch, executable)?;
                let from = self.path(&from)?;
                self.all.insert(from, None);
                Ok(())
            }
            FileOperation::Copy { from, to } => self.transfer(&from, &to, patch, executable),
        }
    }

    fn delete(&mut self, raw: &[u8], patch: &Patch<'_, [u8]>) -> Result<(), SourceError> {
        let path = self.path(raw)?;
        let left = self.patched(&path, patch, self.present(&path)?)?;
        if !left.bytes.is_empty() {
            let problem = "is to be removed, but has more in it than the patch knows";
            return Err(self.misfit(&path, problem).into());
        }
        self.all.insert(path, None);
        Ok(())
    }

    fn create(
        &mut self,
        raw: &[u8],
        patch: &Patch<'_, [u8]>,
        executable: Option<bool>,
    ) -> Result<(), SourceError> {
        let path = self.path(raw)?;
        if self.read(&path)?.is_some() {
            return Err(self
                .misfit(&path, "is to be made, but is there already")
                .into());
        }
        let nothing = Content {
            bytes: Vec::new(),
            executable: false,
        };
        let made = self.patched(&path, patch, nothing)?;
        self.keep(path, made, executable);
        Ok(())
    }

    fn transfer(
        &mut self,
        from: &[u8],
        to: &[u8],
        patch: &Patch<'_, [u8]>,
        executable: Option<bool>,
    ) -> Result<(), SourceError> {
        let (from, to) = (self.path(from)?, self.path(to)?);
        if self.read(&to)?.is_some() {
            return Err(self
                .misfit(&to, "is to be made, but is there already")
                .into());
        }
        let moved = self.patched(&from, patch, self.present(&from)?)?;
        self.keep(to, moved, executable);
        Ok(())
    }

    fn keep(&mut self, path: PathBuf, content: Content, executable: Option<bool>) {
        let executable = executable.unwrap_or(content.executable);
        self.all.insert(
            path,
            Some(Content {
                executable,
                ..content
            }),
        );
    }

    fn path(&self, raw: &[u8]) -> Result<PathBuf, SourceError> {
        let raw = Path::new(OsStr::from_bytes(raw));
        match Name::new(raw) {
            Ok(Some(name)) => Ok(name.into_path()),
            _ => Err(self
                .misfit(raw, "is no name inside of a source tree")
                .into()),
        }
    }

    /// The file as the patches before this one left it.
    fn read(&self, path: &Path) -> Result<Option<Content>, SourceError> {
        if let Some(content) = self.all.get(path) {
            return Ok(content.clone());
        }
        let full = self.root.join(path);
        let error = |source| FileError::new("read", &full, source);
        let meta = match fs::symlink_metadata(&full) {
            Ok(meta) => meta,
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(error(source).into()),
        };
        if !meta.is_file() {
            return Err(self.misfit(path, "is no ordinary file").into());
        }
        let executable = meta.permissions().mode() & 0o100 != 0;
        Ok(Some(Content {
            bytes: fs::read(&full).map_err(error)?,
            executable,
        }))
    }

    fn present(&self, path: &Path) -> Result<Content, SourceError> {
        self.read(path)?
            .ok_or_else(|| self.misfit(path, "is not there").into())
    }

    fn patched(
        &self,
        path: &Path,
        patch: &Patch<'_, [u8]>,
        before: Content,
    ) -> Result<Content, SourceError> {
        match diffy::apply_bytes(&before.bytes, patch) {
            Ok(bytes) => Ok(Content { bytes, ..before }),
            Err(error) => {
                // The number is only in the text of the error.
                let hunk = error
                    .to_string()
                    .rsplit('#')
                    .next()
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(1);
                let line = patch
                    .hunks()
                    .get(hunk - 1)
                    .map_or(0, |hunk| hunk.old_range().start());
                let applied = diffy::apply_bytes(&before.bytes, &patch.reverse()).is_ok();
                let (patch, file) = (self.patch.to_owned(), path.to_owned());
                Err(PatchError::Hunk {
                    patch,
                    file,
                    hunk,
                    line,
                    applied,
                }
                .into())
            }
        }
    }

    fn malformed(&self, problem: &str) -> PatchError {
        PatchError::Malformed {
            patch: self.patch.to_owned(),
            problem: problem.to_owned(),
        }
    }

    fn misfit(&self, path: &Path, problem: &'static str) -> PatchError {
        PatchError::File {
            patch: self.patch.to_owned(),
            file: path.to_owned(),
            problem,
        }
    }
}

/// Makes and publishes the tree that `changes` lead to.
fn make(
    base: &SourceTree,
    changes: &Changes,
    store: &Store,
    sources: &Sources<'_>,
) -> Result<Record, SourceError> {
    let task = sources
        .reporter
        .task("patching", Unit::Files, Some(changes.len() as u64));
    let staging = store.staging()?;
    let top = staging.path().join(TREE);
    files::create_dir(&top)?;
    link_folder(&base.root, &top, Path::new(""), changes)?;
    for (path, content) in changes {
        if let Some(content) = content {
            write(&top.join(path), content)?;
        }
        task.advance_to(1, &path.display().to_string());
    }
    let version = KernelVersion::of_tree(&top)?;
    let record = Record {
        schema: 1,
        tree: TreeId::of_dir(&top)?,
        version,
        commits: Vec::new(),
    };
    store.publish(staging, &top, &record)?;
    Ok(record)
}

fn write(path: &Path, content: &Content) -> Result<(), FileError> {
    files::create_dir(path.parent().unwrap_or(Path::new("/")))?;
    let mode = if content.executable { 0o555 } else { 0o444 };
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(&content.bytes))
        .map_err(|source| FileError::new("write", path, source))
}

/// Links all files of one folder, and those below, except for the changed ones.
fn link_folder(from: &Path, to: &Path, below: &Path, changes: &Changes) -> Result<(), FileError> {
    let full = from.join(below);
    let error = |source| FileError::new("list", &full, source);
    let entries: Vec<fs::DirEntry> = fs::read_dir(&full)
        .and_then(Iterator::collect)
        .map_err(error)?;
    entries.par_iter().with_min_len(16).try_for_each(|entry| {
        let path = below.join(entry.file_name());
        let (old, new) = (entry.path(), to.join(&path));
        let error = |source| FileError::new("link", &new, source);
        let kind = entry.file_type().map_err(error)?;
        if kind.is_dir() {
            fs::create_dir(&new).map_err(error)?;
            return link_folder(from, to, &path, changes);
        }
        if changes.contains_key(&path) {
            return Ok(());
        }
        if kind.is_symlink() {
            return fs::read_link(&old)
                .and_then(|target| symlink(target, &new))
                .map_err(error);
        }
        // Some file systems have no hard links.
        fs::hard_link(&old, &new)
            .or_else(|_| fs::copy(&old, &new).map(drop))
            .map_err(error)
    })
}
