//! How a scenario differs from "start it, dump it, restore it": as data.
//!
//! In: nothing. Out: [`Entry`], where a victim's first process lives, and [`Way`], by which calls it goes
//! down and comes back. Must not do anything: `entry` acts on the one, `way` on the other.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::thread::UnshareFlags;

/// Where the first process of a victim lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// In the namespaces of the suite itself.
    Plain,
    /// In namespaces of its own: these.
    Namespaces(UnshareFlags),
    /// In a container of runc.
    Container,
}

/// By which calls a victim goes down and comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// One dump, one restore.
    Plain,
    /// So many dumps beforehand that let it go on, each with what changed since the one before.
    PreDump(u32),
    /// Its memory stays behind with a daemon and follows page by page.
    LazyPages,
    /// By the container engine, which calls CRIU.
    Engine,
}

impl Entry {
    /// Whether it is another process than the one that the judge starts.
    #[must_use]
    pub fn is_elsewhere(self) -> bool {
        self != Self::Plain
    }

    /// The namespaces of its own.
    #[must_use]
    pub fn flags(self) -> UnshareFlags {
        match self {
            Self::Plain | Self::Container => UnshareFlags::empty(),
            Self::Namespaces(flags) => flags,
        }
    }

    /// Whether it sees mounts of its own.
    #[must_use]
    pub fn has_root(self) -> bool {
        self.flags().contains(UnshareFlags::NEWNS)
    }

    /// What it sees of the mounts outside besides the root file system itself: those of `paths` that
    /// lie on another one. CRIU is told about each.
    #[must_use]
    pub fn windows(self, paths: &[&Path]) -> Vec<PathBuf> {
        let device = |path: &Path| fs::metadata(path).map(|data| data.dev()).ok();
        let root = device(Path::new("/"));
        let elsewhere = |path: &&&Path| self.has_root() && device(path) != root;
        paths
            .iter()
            .filter(elsewhere)
            .map(|path| path.to_path_buf())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_other_file_systems_need_a_window() {
        let (own, other) = (Path::new("/etc"), Path::new("/proc"));
        let entry = Entry::Namespaces(UnshareFlags::NEWNS | UnshareFlags::NEWPID);
        assert_eq!(entry.windows(&[own, other]), [other]);
        assert!(Entry::Plain.windows(&[own, other]).is_empty());
        assert!(!Entry::Namespaces(UnshareFlags::NEWUTS).has_root());
    }
}
