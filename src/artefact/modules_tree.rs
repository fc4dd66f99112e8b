//! The content of the modules disk: what `modules_install` left, once for each layout.
//!
//! In: the folder `lib/modules/<release>`. Out: a tar stream that is the same for the same content,
//! whoever owns the files and whenever they were written. Must not know about file systems.
//!
//! WSL mounts the disk and overlays `/lib/modules/<release>` with its root (every released version) or with its
//! folder `<release>/modules` (versions to come). Both layouts are hard links to the same files, so the second
//! costs no space; a symbolic link would send `depmod` round in circles, for it follows links to folders.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

use super::ArtefactError;
use crate::digest::{Hasher, Sha256};
use crate::files::FileError;
use crate::report::Task;

/// Links from an installed tree back to where it was built. They would dangle on any other machine.
const BUILD_LINKS: [&str; 2] = ["build", "source"];
/// Written by `depmod`; without it no module can be found by name.
const DEPENDENCIES: &str = "modules.dep";

/// A file or folder of the tree; `size` is the file's, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Entry {
    Folder { path: PathBuf },
    File { path: PathBuf, size: u64 },
}

impl Entry {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Folder { path } | Self::File { path, .. } => path,
        }
    }
}

/// What lies in a modules folder, in an order that depends on names alone: a folder before its content.
#[derive(Debug)]
pub(super) struct ModulesTree {
    root: PathBuf,
    entries: Vec<Entry>,
}

impl ModulesTree {
    /// Looks at every file once. Refuses a folder that `modules_install` did not finish.
    pub(super) fn scan(root: &Path) -> Result<Self, ArtefactError> {
        let mut entries = Vec::new();
        scan_folder(root, Path::new(""), &mut entries)?;
        entries.sort_by(|a, b| a.path().cmp(b.path()));
        if !entries
            .iter()
            .any(|entry| entry.path() == Path::new(DEPENDENCIES))
        {
            return Err(ArtefactError::Modules {
                path: root.to_owned(),
                reason: "it has no modules.dep",
            });
        }
        Ok(Self {
            root: root.to_owned(),
            entries,
        })
    }

    /// The tree's files and folders.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Writes the tar stream of both layouts to `path` and returns its digest.
    pub(super) fn archive(
        &self,
        release: &str,
        time: u64,
        path: &Path,
        task: &Task,
    ) -> Result<Sha256, ArtefactError> {
        let error = |source| FileError::new("write", path, source);
        let file = File::create(path).map_err(error)?;
        let mut tar = Builder::new(Hashing {
            inner: BufWriter::with_capacity(1 << 20, file),
            hasher: Hasher::default(),
        });
        self.append_flat(&mut tar, time, task)?;
        self.append_nested(&mut tar, release, time).map_err(error)?;
        let mut hashing = tar.into_inner().map_err(error)?;
        hashing.flush().map_err(error)?;
        Ok(hashing.hasher.finish())
    }

    fn append_flat(
        &self,
        tar: &mut Builder<impl Write>,
        time: u64,
        task: &Task,
    ) -> Result<(), FileError> {
        for entry in &self.entries {
            let path = self.root.join(entry.path());
            let appended = match entry {
                Entry::Folder { path } => tar.append_data(
                    &mut header(EntryType::Directory, 0, time),
                    path,
                    io::empty(),
                ),
                Entry::File { path: name, size } => File::open(&path).and_then(|file| {
                    tar.append_data(&mut header(EntryType::Regular, *size, time), name, file)
                }),
            };
            appended.map_err(|source| FileError::new("pack", &path, source))?;
            task.advance(1);
        }
        Ok(())
    }

    fn append_nested(
        &self,
        tar: &mut Builder<impl Write>,
        release: &str,
        time: u64,
    ) -> io::Result<()> {
        let nested = Path::new(release).join("modules");
        for folder in [Path::new(release), &nested] {
            tar.append_data(
                &mut header(EntryType::Directory, 0, time),
                folder,
                io::empty(),
            )?;
        }
        for entry in &self.entries {
            let name = nested.join(entry.path());
            match entry {
                Entry::Folder { .. } => {
                    tar.append_data(
                        &mut header(EntryType::Directory, 0, time),
                        name,
                        io::empty(),
                    )?;
                }
                Entry::File { path, .. } => {
                    tar.append_link(&mut header(EntryType::Link, 0, time), name, path)?
                }
            }
        }
        Ok(())
    }
}

fn scan_folder(root: &Path, folder: &Path, entries: &mut Vec<Entry>) -> Result<(), ArtefactError> {
    let path = root.join(folder);
    let error = |source| FileError::new("read", &path, source);
    for found in fs::read_dir(&path).map_err(error)? {
        let found = found.map_err(error)?;
        let name = folder.join(found.file_name());
        let metadata = found.metadata().map_err(error)?;
        if metadata.is_dir() {
            entries.push(Entry::Folder { path: name.clone() });
            scan_folder(root, &name, entries)?;
        } else if metadata.is_file() {
            entries.push(Entry::File {
                path: name,
                size: metadata.len(),
            });
        } else if !BUILD_LINKS.iter().any(|link| name == Path::new(link)) {
            return Err(ArtefactError::Modules {
                path: found.path(),
                reason: "it is neither a file nor a folder",
            });
        }
    }
    Ok(())
}

/// Owner, mode and time are the same for all: the disk is read by root alone, and mounted read-only.
fn header(kind: EntryType, size: u64, time: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(if kind == EntryType::Directory {
        0o755
    } else {
        0o644
    });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(time);
    header
}

/// Hashes what passes through.
struct Hashing<W> {
    inner: W,
    hasher: Hasher,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::report::{Reporter, Unit};

    /// A folder like `modules_install` leaves it, with a path beyond the 100 bytes of a plain tar header.
    pub(crate) fn installed(files: &[(&str, usize)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, size) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let bytes: Vec<u8> = (0..*size).map(|at| (at * 31 + name.len()) as u8).collect();
            fs::write(path, bytes).unwrap();
        }
        symlink("/usr/src/elsewhere", folder.path().join("build")).unwrap();
        folder
    }

    fn archive(folder: &Path, into: &Path) -> Sha256 {
        let task = Reporter::silent().task("packing", Unit::Files, None);
        ModulesTree::scan(folder)
            .unwrap()
            .archive("6.1.0-x", 1_700_000_000, into, &task)
            .unwrap()
    }

    #[test]
    fn both_layouts_hold_the_same_files() {
        let long = format!("kernel/drivers/{}/mod.ko", "long-".repeat(30));
        let tree = installed(&[
            ("modules.dep", 10),
            ("kernel/net/b.ko", 5000),
            ("kernel/net/a.ko", 0),
            (&long, 7),
        ]);
        let out = tempfile::tempdir().unwrap();
        let path = out.path().join("modules.tar");
        let digest = archive(tree.path(), &path);
        assert_eq!(digest, Sha256::of_file(&path).unwrap());

        let mut lines = Vec::new();
        for entry in tar::Archive::new(File::open(&path).unwrap())
            .entries()
            .unwrap()
        {
            let entry = entry.unwrap();
            let link = entry
                .link_name()
                .unwrap()
                .map(|to| format!(" = {}", to.display()))
                .unwrap_or_default();
            assert_eq!(
                (
                    entry.header().uid().unwrap(),
                    entry.header().mtime().unwrap()
                ),
                (0, 1_700_000_000)
            );
            lines.push(format!("{}{link}", entry.path().unwrap().display()).replace(&long, "LONG"));
        }
        let text = lines.join("\n");
        assert!(
            text.contains("6.1.0-x/modules/kernel/net/a.ko = kernel/net/a.ko"),
            "{text}"
        );
        assert!(text.contains("6.1.0-x/modules/LONG = LONG"), "{text}");
        assert!(!text.contains("build"), "{text}");
        assert!(
            text.find("\nkernel/net/a.ko") < text.find("\nkernel/net/b.ko"),
            "{text}"
        );
    }

    #[test]
    fn the_same_content_gives_the_same_bytes() {
        let files = [
            ("modules.dep", 10),
            ("kernel/z.ko", 5000),
            ("kernel/a/a.ko", 300),
        ];
        let reversed: Vec<_> = files.into_iter().rev().collect();
        let (first, second) = (installed(&files), installed(&reversed));
        let out = tempfile::tempdir().unwrap();
        let digests =
            [first.path(), second.path()].map(|folder| archive(folder, &out.path().join("tar")));
        assert_eq!(digests[0], digests[1]);
    }

    #[test]
    fn an_unfinished_or_odd_tree_is_refused() {
        let without = installed(&[("kernel/a.ko", 1)]);
        assert!(matches!(
            ModulesTree::scan(without.path()),
            Err(ArtefactError::Modules { .. })
        ));
        let odd = installed(&[("modules.dep", 1)]);
        symlink("a.ko", odd.path().join("b.ko")).unwrap();
        let error = ModulesTree::scan(odd.path()).unwrap_err();
        assert!(error.to_string().contains("b.ko"), "{error}");
        assert!(matches!(
            ModulesTree::scan(Path::new("/no/such/folder")),
            Err(ArtefactError::File(_))
        ));
    }
}
