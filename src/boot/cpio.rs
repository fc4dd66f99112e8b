//! An archive in the kernel's initramfs format (cpio "newc"), written so that equal content is equal bytes.
//!
//! In: paths and what is there. Out: bytes. Order, times, owners and inode numbers depend on nothing but the
//! paths. Format: `Documentation/driver-api/early-userspace/buffer-format.rst` of the kernel. Must not read files.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

/// The file type bits of a mode.
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHARACTER: u32 = 0o020_000;

/// The name that ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A folder.
    Folder {
        /// Permission bits.
        mode: u32,
    },
    /// A file.
    File {
        /// Permission bits.
        mode: u32,
        /// All of it.
        content: Arc<[u8]>,
    },
    /// A symbolic link.
    Link {
        /// Where it points.
        target: String,
    },
    /// A character device.
    Device {
        /// Permission bits.
        mode: u32,
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
}

impl Node {
    /// A program.
    pub fn program(content: impl Into<Arc<[u8]>>) -> Self {
        Self::File {
            mode: 0o755,
            content: content.into(),
        }
    }

    /// A file that is only read.
    pub fn data(content: impl Into<Arc<[u8]>>) -> Self {
        Self::File {
            mode: 0o644,
            content: content.into(),
        }
    }

    fn mode(&self) -> u32 {
        match self {
            Self::Folder { mode } => DIRECTORY | mode,
            Self::File { mode, .. } => REGULAR | mode,
            Self::Link { .. } => SYMLINK | 0o777,
            Self::Device { mode, .. } => CHARACTER | mode,
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::File { content, .. } => content,
            Self::Link { target } => target.as_bytes(),
            Self::Folder { .. } | Self::Device { .. } => &[],
        }
    }
}

/// A file tree in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Archive {
    nodes: BTreeMap<String, Node>,
}

impl Archive {
    /// Puts `node` at `path` (relative, without `.` and `..`), replacing what was there; missing folders
    /// above it are made.
    pub fn put(&mut self, path: &str, node: Node) {
        let path = path.trim_matches('/');
        for (at, _) in path.match_indices('/') {
            self.nodes
                .entry(path[..at].to_owned())
                .or_insert(Node::Folder { mode: 0o755 });
        }
        self.nodes.insert(path.to_owned(), node);
    }

    /// What is at `path`, links not followed.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path.trim_matches('/'))
    }

    /// What is at the first path whose last part is `name` and that `suits`.
    #[must_use]
    pub fn find(&self, name: &str, suits: impl Fn(&Node) -> bool) -> Option<&Node> {
        let is_it =
            |(path, node): &(&String, &Node)| path.rsplit('/').next() == Some(name) && suits(node);
        self.nodes.iter().find(is_it).map(|(_, node)| node)
    }

    /// Writes the archive; returns its size in bytes, a multiple of 512.
    pub fn write(&self, out: impl Write) -> io::Result<u64> {
        let mut out = Counted { out, written: 0 };
        for (inode, (path, node)) in (1..).zip(&self.nodes) {
            entry(&mut out, inode, path, node)?;
        }
        entry(
            &mut out,
            0,
            TRAILER,
            &Node::Device {
                mode: 0,
                major: 0,
                minor: 0,
            },
        )?;
        out.pad(512)?;
        out.out.flush()?;
        Ok(out.written)
    }
}

fn entry<W: Write>(out: &mut Counted<W>, inode: u32, path: &str, node: &Node) -> io::Result<()> {
    let too_large = |_| io::Error::new(io::ErrorKind::FileTooLarge, path.to_owned());
    let size = u32::try_from(node.bytes().len()).map_err(too_large)?;
    let name = u32::try_from(path.len() + 1).map_err(too_large)?;
    let mode = if path == TRAILER { 0 } else { node.mode() };
    let links = if matches!(node, Node::Folder { .. }) {
        2
    } else {
        1
    };
    let (major, minor) = match node {
        Node::Device { major, minor, .. } => (*major, *minor),
        _ => (0, 0),
    };
    // inode, mode, uid, gid, nlink, mtime, size, dev major and minor, rdev major and minor, name, check
    out.write_all(b"070701")?;
    for field in [
        inode, mode, 0, 0, links, 0, size, 0, 0, major, minor, name, 0,
    ] {
        write!(out, "{field:08x}")?;
    }
    out.write_all(path.as_bytes())?;
    out.write_all(&[0])?;
    out.pad(4)?;
    out.write_all(node.bytes())?;
    out.pad(4)
}

/// Knows how much went by, which padding depends on.
struct Counted<W> {
    out: W,
    written: u64,
}

impl<W: Write> Counted<W> {
    fn pad(&mut self, to: u64) -> io::Result<()> {
        let missing = (to - self.written % to) % to;
        io::copy(&mut io::Read::take(io::repeat(0), missing), self)?;
        Ok(())
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.written += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(archive: &Archive) -> Vec<u8> {
        let mut bytes = Vec::new();
        assert_eq!(archive.write(&mut bytes).unwrap(), bytes.len() as u64);
        bytes
    }

    fn sample() -> Archive {
        let mut archive = Archive::default();
        archive.put("init", Node::program(*b"\x7fELF"));
        archive.put(
            "dev/console",
            Node::Device {
                mode: 0o600,
                major: 5,
                minor: 1,
            },
        );
        archive.put(
            "lib64",
            Node::Link {
                target: "usr/lib64".into(),
            },
        );
        archive
    }

    #[test]
    fn headers_are_as_the_format_says() {
        let mut archive = Archive::default();
        archive.put("a", Node::data(*b"xyz"));
        let bytes = written(&archive);
        let head = "070701\
            00000001000081a400000000000000000000000100000000\
            00000003000000000000000000000000000000000000000200000000a\0";
        assert_eq!(std::str::from_utf8(&bytes[..112]).unwrap(), head);
        assert_eq!(&bytes[112..116], b"xyz\0");
        assert_eq!(bytes.len() % 512, 0);
    }

    #[test]
    fn order_of_putting_does_not_matter() {
        let mut other = Archive::default();
        other.put(
            "/lib64",
            Node::Link {
                target: "usr/lib64".into(),
            },
        );
        other.put(
            "/dev/console",
            Node::Device {
                mode: 0o600,
                major: 5,
                minor: 1,
            },
        );
        other.put("/init", Node::program(*b"\x7fELF"));
        assert_eq!(written(&sample()), written(&other));
        let found = other.find("console", |_| true).unwrap();
        assert!(matches!(
            found,
            Node::Device {
                major: 5,
                minor: 1,
                ..
            }
        ));
    }

    /// What `cpio -t` would list: an independent, small reader.
    fn names(mut bytes: &[u8]) -> Vec<(String, usize)> {
        let mut names = Vec::new();
        loop {
            let field = |n: usize| {
                let text = std::str::from_utf8(&bytes[6 + 8 * n..14 + 8 * n]).unwrap();
                usize::from_str_radix(text, 16).unwrap()
            };
            let (size, name_size) = (field(6), field(11));
            let name = String::from_utf8(bytes[110..110 + name_size - 1].to_vec()).unwrap();
            if name == TRAILER {
                return names;
            }
            names.push((name, size));
            bytes = &bytes[(110 + name_size).next_multiple_of(4) + size.next_multiple_of(4)..];
        }
    }

    proptest! {
        #[test]
        fn every_entry_can_be_found_again(files in prop::collection::btree_map("[a-z]{1,9}", prop::collection::vec(any::<u8>(), 0..9), 0..9)) {
            let mut archive = Archive::default();
            for (name, content) in &files {
                archive.put(name, Node::data(content.clone()));
            }
            let expected: Vec<_> = files.iter().map(|(name, content)| (name.clone(), content.len())).collect();
            prop_assert_eq!(names(&written(&archive)), expected);
        }
    }
}
