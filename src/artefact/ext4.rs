//! The plan of a modules disk's file system: how large it has to be, and how mke2fs is told.
//!
//! In: the entries of a modules tree. Out: a size and arguments, pure data. Must not run anything.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use super::modules_tree::Entry;
use super::vhd::SIZE_UNIT;
use crate::digest::Sha256;

/// Bytes of a block.
const BLOCK: u64 = 4096;
/// Bytes of an inode; 256 hold times beyond 2038.
const INODE: u64 = 256;
/// Blocks of a block group: one bitmap block's worth of bits.
const GROUP: u64 = BLOCK * 8;
/// Inodes that ext4 keeps for itself.
const RESERVED_INODES: u64 = 11;
/// Blocks of `lost+found`, which mke2fs makes for e2fsck.
const LOST_AND_FOUND: u64 = 4;
/// Bytes of a directory block that entries surely get: no entry spans blocks, and none is over 264 bytes.
const USABLE_IN_DIRECTORY: u64 = BLOCK - 12 - 264;

/// Features, every one named so that a distribution's `mke2fs.conf` has no say. No journal: nobody ever
/// writes. All of them are older than the oldest WSL2 kernel (4.19).
const FEATURES: &str = "none,filetype,extent,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,ext_attr,dir_index,metadata_csum";

/// Numbers of the file system to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// Bytes, a multiple of what Hyper-V wants.
    pub(super) size: u64,
    /// Inodes.
    pub(super) inodes: u64,
}

impl Plan {
    /// Room for the entries in both layouts: the files once, the folders twice.
    pub(super) fn new(entries: &[Entry], release: &str) -> Self {
        let (mut files, mut folders, mut data) = (0, 0, 0);
        let mut listed: BTreeMap<&Path, u64> = BTreeMap::new();
        for entry in entries {
            match entry {
                Entry::Folder { .. } => folders += 1,
                Entry::File { size, .. } => {
                    files += 1;
                    data += size.div_ceil(BLOCK);
                }
            }
            let folder = entry.path().parent().unwrap_or(Path::new(""));
            *listed.entry(folder).or_default() += entry_size(entry.path().file_name());
        }
        // Each folder exists twice, an empty one too; the root of the second layout and the two above it come on top.
        let lists: u64 = listed
            .values()
            .map(|bytes| bytes.div_ceil(USABLE_IN_DIRECTORY) + 1)
            .sum();
        let top = (entry_size(Some(OsStr::new(release))) / USABLE_IN_DIRECTORY) + 3;
        let inodes = files + 2 * folders + 2 + RESERVED_INODES;
        let blocks =
            data + 2 * (lists + folders) + top + LOST_AND_FOUND + inodes.div_ceil(BLOCK / INODE);
        Self {
            size: with_overhead(blocks) * BLOCK,
            inodes: inodes.next_multiple_of(16),
        }
    }

    /// Arguments for mke2fs to fill `image` from `tar`; names are relative to the folder it runs in.
    ///
    /// `content` gives the identity: the same files are the same file system, to the last byte.
    pub(super) fn arguments(&self, content: Sha256, tar: &str, image: &str) -> Vec<String> {
        let extended = format!(
            "hash_seed={},root_owner=0:0,nodiscard,lazy_itable_init=0",
            identity("hash seed", content)
        );
        let inodes = self.inodes.to_string();
        let size = format!("{}k", self.size / 1024);
        let uuid = identity("file system", content).to_string();
        [
            "-q",
            "-F",
            "-t",
            "ext4",
            "-b",
            "4096",
            "-I",
            "256",
            "-m",
            "0",
            "-L",
            "wslk-modules",
            "-O",
            FEATURES,
            "-N",
            &inodes,
            "-U",
            &uuid,
            "-E",
            &extended,
            "-d",
            tar,
            image,
            &size,
        ]
        .map(str::to_owned)
        .to_vec()
    }
}

/// Bytes of a name's entry in its folder's list.
fn entry_size(name: Option<&OsStr>) -> u64 {
    8 + (name.map_or(0, OsStr::len) as u64).next_multiple_of(4)
}

/// Adds what ext4 needs for itself, some room for the allocator's habits, and rounds up.
fn with_overhead(blocks: u64) -> u64 {
    let groups = blocks / GROUP + 1;
    // Two bitmaps, a copy of the superblock, the group descriptors, and a rounded-up inode table.
    let metadata = groups * (3 + groups.div_ceil(BLOCK / 64) + 1);
    let slack = blocks / 64 + 128;
    (blocks + metadata + slack).next_multiple_of(SIZE_UNIT / BLOCK)
}

/// A UUID that follows from content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Uuid(pub(super) [u8; 16]);

/// The identity of `what` for this content: version 8, the one for values made by one's own rules (RFC 9562).
pub(super) fn identity(what: &str, content: Sha256) -> Uuid {
    let digest = Sha256::of(format!("wslk {what} {content}")).to_string();
    let mut bytes = [0; 16];
    for (byte, at) in bytes.iter_mut().zip((0..32).step_by(2)) {
        // The digits come from a digest's own text.
        *byte = u8::from_str_radix(&digest[at..at + 2], 16).unwrap_or_default();
    }
    bytes[6] = 0x80 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    Uuid(bytes)
}

impl std::fmt::Display for Uuid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let dash = if matches!(at, 4 | 6 | 8 | 10) {
                "-"
            } else {
                ""
            };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, size: u64) -> Entry {
        Entry::File {
            path: path.into(),
            size,
        }
    }

    #[test]
    fn the_size_covers_the_data_and_little_more() {
        for (count, bytes) in [(0, 0), (1, 1), (1, 200 << 20), (5000, 40_000), (9000, 100)] {
            let entries: Vec<Entry> = (0..count)
                .map(|n| file(&format!("kernel/{n}.ko"), bytes))
                .collect();
            let plan = Plan::new(&entries, "6.1.0");
            let data: u64 = count * bytes.div_ceil(BLOCK) * BLOCK;
            assert_eq!(plan.size % SIZE_UNIT, 0);
            assert!(
                plan.size > data && plan.size < data + data / 25 + (8 << 20),
                "{count} x {bytes}: {plan:?}"
            );
            assert!(plan.inodes >= count + RESERVED_INODES + 2);
        }
    }

    #[test]
    fn an_identity_is_a_uuid_of_the_content() {
        let (one, two) = (Sha256::of("1"), Sha256::of("2"));
        assert_eq!(identity("x", one), identity("x", one));
        assert_ne!(identity("x", one), identity("x", two));
        assert_ne!(identity("x", one), identity("y", one));
        let text = identity("x", one).to_string();
        let parts: Vec<usize> = text.split('-').map(str::len).collect();
        assert_eq!((parts, &text[14..15]), (vec![8, 4, 4, 4, 12], "8"));
    }

    #[test]
    fn mke2fs_is_told_everything_that_it_would_guess() {
        let plan = Plan {
            size: 8 << 20,
            inodes: 64,
        };
        let line = plan
            .arguments(Sha256::of(""), "modules.tar", "modules.vhd")
            .join(" ");
        for part in [
            "-N 64",
            "-d modules.tar modules.vhd 8192k",
            "-O none,",
            "root_owner=0:0",
            "hash_seed=",
            "-U ",
        ] {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert!(!line.contains("has_journal"));
    }
}
