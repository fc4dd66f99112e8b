//! The files of the machine that is looked at, below its root.
//!
//! In: a root and names below it. Out: whether they are there, and their text. Must not fail: what cannot be read
//! tells nothing.

use std::fs;
use std::path::{Path, PathBuf};

/// Files below a root.
#[derive(Debug, Clone, Copy)]
pub(super) struct Files<'a>(&'a Path);

impl<'a> Files<'a> {
    pub(super) fn at(root: &'a Path) -> Self {
        Self(root)
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    pub(super) fn there(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// The text of a file; empty where there is none, or nobody may read it.
    pub(super) fn text(&self, path: &str) -> String {
        let bytes = fs::read(self.path(path)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(super) fn link(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.path(path)).ok()?;
        target.into_os_string().into_string().ok()
    }

    /// The first of these that is there, as a full path.
    pub(super) fn first(&self, paths: &[&str]) -> Option<String> {
        let found = paths.iter().find(|path| self.there(path));
        found.map(|path| format!("/{path}"))
    }
}
