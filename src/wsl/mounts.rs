//! Which file system a folder is on, and whether Windows serves it.
//!
//! In: the text of `/proc/mounts`. Out: the type of a file system. A disk of Windows is slow, lacks Linux' rights,
//! and holds nothing that CRIU can dump.

use std::path::Path;

/// Types of file systems that Windows serves to WSL.
const FOREIGN: [&str; 4] = ["9p", "drvfs", "virtiofs", "fuseblk"];

/// The type of the file system that a folder is, or will be, on.
#[must_use]
pub fn file_system(mounts: &str, folder: &Path) -> Option<String> {
    let mounted = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?.replace("\\040", " "), words.next()?))
    });
    // Of two mounts at one place the later one is on top.
    mounted
        .filter(|(at, _)| folder.starts_with(at))
        .max_by_key(|(at, _)| at.len())
        .map(|(_, kind)| kind.to_owned())
}

/// Whether Windows serves a file system of this type.
#[must_use]
pub fn is_foreign(kind: &str) -> bool {
    FOREIGN.contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mount_counts() {
        let mounts = "/dev/sdc / ext4 rw 0 0\nC: /mnt/c 9p rw 0 0\nx /my\\040disk tmpfs rw 0 0\n";
        let table = [
            ("/root", Some("ext4")),
            ("/mnt/c/Users", Some("9p")),
            ("/mnt/ca", Some("ext4")),
            ("/my disk/a", Some("tmpfs")),
        ];
        for (folder, kind) in table {
            assert_eq!(
                file_system(mounts, Path::new(folder)).as_deref(),
                kind,
                "{folder}"
            );
        }
        assert!(is_foreign("9p") && !is_foreign("ext4"));
        assert_eq!(file_system("", Path::new("/")), None);
    }
}
