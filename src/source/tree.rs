//! The identity of a source tree: git's own tree id, computed from what lies on disk.
//!
//! In: a folder. Out: its [`TreeId`], the same that `git write-tree` gives for the same files, so that
//! a tree is known again whatever transport brought it. Must not need git, nor trust any record.
//! A `.git` entry at the top is left out, and so are empty folders, as git does; the executable bit of
//! the owner is the only permission that counts.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::str::FromStr;

use rayon::prelude::*;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha1::{Digest as _, Sha1};

use crate::files::FileError;

/// The text is not 40 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no git object id: 40 hexadecimal digits expected")]
pub struct NotAnId(String);

/// Defines a git object id of one kind, so that a tree is never taken for a commit.
macro_rules! object_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 20]);

        impl $name {
            /// From the 20 bytes.
            #[must_use]
            pub fn new(bytes: [u8; 20]) -> Self {
                Self(bytes)
            }

            /// The first `digits` hexadecimal digits, for names that people read.
            #[must_use]
            pub fn short(&self, digits: usize) -> String {
                let mut text = self.to_string();
                text.truncate(digits);
                text
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                parse_id(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

object_id! {
    /// The id of a git tree: names, modes and contents of everything in a folder.
    TreeId
}
object_id! {
    /// The id of a git commit.
    CommitId
}

fn parse_id(text: &str) -> Result<[u8; 20], NotAnId> {
    let error = || NotAnId(text.to_owned());
    if text.len() != 40 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(error());
    }
    let mut bytes = [0; 20];
    for (byte, at) in bytes.iter_mut().zip((0..40).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| error())?;
    }
    Ok(bytes)
}

impl TreeId {
    /// The id of the folder `root` as it is on disk now. Reads every file, on all processors.
    ///
    /// # Errors
    /// Something cannot be read, or is neither file, folder nor symbolic link.
    pub fn of_dir(root: &Path) -> Result<Self, FileError> {
        let entries = entries(root, true)?;
        Ok(Self(hash_tree(entries)))
    }
}

/// Git's file modes, as they stand in a tree object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Plain,
    Executable,
    Link,
    Folder,
}

impl Mode {
    fn text(self) -> &'static [u8] {
        match self {
            Self::Plain => b"100644",
            Self::Executable => b"100755",
            Self::Link => b"120000",
            Self::Folder => b"40000",
        }
    }
}

#[derive(Debug)]
struct Entry {
    name: Vec<u8>,
    mode: Mode,
    id: [u8; 20],
}

/// The hashed entries of a folder; folders in it that hold no file at all are left out.
fn entries(folder: &Path, top: bool) -> Result<Vec<Entry>, FileError> {
    let found: Vec<fs::DirEntry> = fs::read_dir(folder)
        .and_then(Iterator::collect)
        .map_err(|source| FileError::new("list", folder, source))?;
    found
        .into_par_iter()
        .with_min_len(8)
        .filter(|entry| !(top && entry.file_name() == ".git"))
        .filter_map(|entry| hash_entry(&entry).transpose())
        .collect()
}

fn hash_entry(entry: &fs::DirEntry) -> Result<Option<Entry>, FileError> {
    let path = entry.path();
    let error = |source| FileError::new("read", &path, source);
    let kind = entry.file_type().map_err(error)?;
    let (mode, id) = if kind.is_dir() {
        let inner = entries(&path, false)?;
        if inner.is_empty() {
            return Ok(None);
        }
        (Mode::Folder, hash_tree(inner))
    } else if kind.is_symlink() {
        let target = fs::read_link(&path).map_err(error)?;
        (Mode::Link, hash_blob(target.as_os_str().as_bytes()))
    } else if kind.is_file() {
        hash_file(&path).map_err(error)?
    } else {
        let what = "neither a file, a folder nor a symbolic link";
        return Err(error(io::Error::new(io::ErrorKind::InvalidData, what)));
    };
    Ok(Some(Entry {
        name: entry.file_name().as_bytes().to_owned(),
        mode,
        id,
    }))
}

fn hash_file(path: &Path) -> io::Result<(Mode, [u8; 20])> {
    let mut file = File::open(path)?;
    let meta = file.metadata()?;
    // Four system calls for each of 80 000 files; reading on until the end would take seven.
    let mut content = vec![0; usize::try_from(meta.len()).map_err(io::Error::other)?];
    file.read_exact(&mut content)?;
    let executable = meta.permissions().mode() & 0o100 != 0;
    Ok((
        if executable {
            Mode::Executable
        } else {
            Mode::Plain
        },
        hash_blob(&content),
    ))
}

fn hash_blob(content: &[u8]) -> [u8; 20] {
    hash_object("blob", content)
}

fn hash_tree(mut entries: Vec<Entry>) -> [u8; 20] {
    entries.sort_unstable_by(|a, b| sort_key(a).cmp(sort_key(b)));
    let mut object = Vec::with_capacity(entries.iter().map(|entry| entry.name.len() + 28).sum());
    for entry in &entries {
        object.extend_from_slice(entry.mode.text());
        object.push(b' ');
        object.extend_from_slice(&entry.name);
        object.push(0);
        object.extend_from_slice(&entry.id);
    }
    hash_object("tree", &object)
}

/// Git sorts a folder as if its name ended in a slash.
fn sort_key(entry: &Entry) -> impl Iterator<Item = &u8> {
    let slash: &[u8] = if entry.mode == Mode::Folder {
        b"/"
    } else {
        b""
    };
    entry.name.iter().chain(slash)
}

fn hash_object(kind: &str, content: &[u8]) -> [u8; 20] {
    let mut hasher = Sha1::new();
    hasher.update(format!("{kind} {}\0", content.len()));
    hasher.update(content);
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use git2::{IndexAddOption, Repository};

    use super::*;

    /// What git itself makes of the folder.
    fn by_git(root: &Path) -> String {
        let repository = Repository::init(root).unwrap();
        repository
            .config()
            .unwrap()
            .set_bool("core.filemode", true)
            .unwrap();
        let mut index = repository.index().unwrap();
        index.add_all(["*"], IndexAddOption::FORCE, None).unwrap();
        index.write_tree().unwrap().to_string()
    }

    fn write(root: &Path, name: &str, content: &str, mode: u32) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn agrees_with_git() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        write(root, "Makefile", "VERSION = 6\n", 0o644);
        write(root, "scripts/run.sh", "#!/bin/sh\n", 0o775);
        write(root, "group-may-run", "", 0o654);
        write(root, "arch/x86/configs/config-wsl", "CONFIG_X=y\n", 0o444);
        // Where the order of a folder and its namesakes differs from the order of plain names.
        write(root, "a.c", "1", 0o600);
        write(root, "a/z", "2", 0o644);
        write(root, "a0", "3", 0o644);
        write(root, "a-b", "4", 0o644);
        fs::create_dir_all(root.join("empty/inside")).unwrap();
        fs::create_dir_all(root.join("Microsoft")).unwrap();
        symlink(
            "../arch/x86/configs/config-wsl",
            root.join("Microsoft/config-wsl"),
        )
        .unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();
        symlink("arch", root.join("a-folder")).unwrap();

        let before = TreeId::of_dir(root).unwrap();
        assert_eq!(before.to_string(), by_git(root));
        assert_eq!(TreeId::of_dir(root).unwrap(), before, ".git is left out");

        write(root, "a/z", "3", 0o644);
        assert_ne!(
            TreeId::of_dir(root).unwrap(),
            before,
            "a changed byte shows"
        );
        write(root, "a/z", "2", 0o755);
        assert_ne!(
            TreeId::of_dir(root).unwrap(),
            before,
            "a changed mode shows"
        );
        write(root, "a/z", "2", 0o664);
        assert_eq!(TreeId::of_dir(root).unwrap(), before);
    }

    #[test]
    fn a_socket_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        assert!(TreeId::of_dir(folder.path()).is_err());
    }

    #[test]
    fn ids_as_text() {
        let text = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
        let empty = tempfile::tempdir().unwrap();
        let id = TreeId::of_dir(empty.path()).unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(id.short(7), "4b825dc");
        for bad in [
            "",
            "4b825d",
            &"g".repeat(40),
            &"+1".repeat(20),
            &"é".repeat(20),
        ] {
            assert!(bad.parse::<CommitId>().is_err(), "{bad}");
        }
    }
}
