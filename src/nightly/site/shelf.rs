//! What lies beside the page: published builds and their files, logs, what changed in configurations.
//!
//! In: the site's root. Out: [`Shelves`]: names and sizes, so that the page links only what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use crate::error::Error;
use crate::files::FileError;
use crate::nightly::books;
use crate::nightly::ledger::{Entry, Ledger};
use crate::publish::{Index, Outlet};

/// Folders of a published build that are looked into.
const INNER: [&str; 2] = ["", "boot/"];

/// Files below the site's root.
#[derive(Debug, Clone)]
pub struct Shelves {
    index: Index,
    /// By the published folder.
    published: BTreeMap<String, Vec<Item>>,
    /// Logs and drifts.
    papers: BTreeSet<String>,
}

impl Default for Shelves {
    fn default() -> Self {
        Self {
            index: Index::new([]),
            published: BTreeMap::new(),
            papers: BTreeSet::new(),
        }
    }
}

/// A file of a published build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its name, below the build's folder.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

impl Shelves {
    /// What lies in `root` of all that `ledger` speaks of.
    pub fn of(root: &Path, ledger: &Ledger) -> Result<Self, Error> {
        let mut shelves = Self {
            index: Index::new(&Outlet::new(root).entries()?),
            ..Self::default()
        };
        for entry in ledger.entries() {
            if let Some(path) = entry.judged.path.as_deref().and_then(safe) {
                shelves.put(path, items(&root.join(path))?);
            }
            let log = entry.log.as_deref().and_then(safe).map(str::to_owned);
            let papers = log.into_iter().chain([drift(entry)]);
            shelves
                .papers
                .extend(papers.filter(|paper| root.join(paper).is_file()));
        }
        Ok(shelves)
    }

    /// What is published.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Puts files into a published folder.
    pub fn put(&mut self, path: &str, mut items: Vec<Item>) {
        items.sort_by_key(|item| (rank(&item.name), item.name.clone()));
        self.published.insert(path.to_owned(), items);
    }

    /// The files of a published folder, what users want first.
    pub(super) fn items(&self, path: &str) -> &[Item] {
        self.published
            .get(path)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    pub(super) fn has(&self, paper: &str) -> bool {
        self.papers.contains(paper)
    }
}

/// What changed in a tag's configuration, below the root.
pub(super) fn drift(entry: &Entry) -> String {
    books::drift_name(entry.tag, "md")
}

/// A path that can stand in a link: below the root, and nothing that a browser would take for a scheme.
pub(super) fn safe(path: &str) -> Option<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+-/~".contains(c);
    let inside = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    (inside && path.chars().all(plain)).then_some(path)
}

/// What the known files are; the others come after them.
const KNOWN: [(&str, &str); 15] = [
    ("bzImage", "the kernel"),
    ("modules.vhd", "its modules disk"),
    ("SHA256SUMS", "digests of all files"),
    ("SHA256SUMS.minisig", "their signature"),
    ("manifest.json", "what went in and what came out"),
    ("provenance.json", "provenance, in-toto with SLSA"),
    ("sbom.json", "what it was made of, SPDX"),
    ("boot/report.json", "boot test"),
    ("boot/report.junit.xml", "boot test, JUnit"),
    ("boot/console.log", "console of the boot test"),
    ("control.json", "beside the stock control"),
    ("config", "final configuration"),
    ("base.config", "configuration it is based on"),
    ("audit.json", "audit of the configuration"),
    ("System.map", "symbol table"),
];

fn rank(name: &str) -> usize {
    let known = KNOWN.iter().position(|(known, _)| *known == name);
    known.unwrap_or(KNOWN.len())
}

/// What a file is, in words; nothing for one that is not known.
pub(super) fn about(name: &str) -> &'static str {
    KNOWN.get(rank(name)).map_or("", |(_, about)| about)
}

fn items(folder: &Path) -> Result<Vec<Item>, FileError> {
    let mut items = Vec::new();
    for inner in INNER {
        let path = folder.join(inner);
        let error = |source| FileError::new("read", &path, source);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(error(e)),
        };
        for entry in entries {
            let entry = entry.map_err(error)?;
            let about = entry.metadata().map_err(error)?;
            let name = format!("{inner}{}", entry.file_name().to_string_lossy());
            if about.is_file() && safe(&name).is_some() {
                let bytes = about.len();
                items.push(Item { name, bytes });
            }
        }
    }
    Ok(items)
}
