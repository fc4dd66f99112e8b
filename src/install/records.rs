//! The small files of changes gone by: backups, ways, consoles, damaged journals. Which of them nothing needs.
//!
//! In: what is there and what will be known. Out: names below our folder, and why the others stay. Must not judge
//! kernels, nor remove anything.

use std::collections::{BTreeMap, BTreeSet};

use super::InstallError;
use super::disk;
use super::generations::Generations;
use super::layout::{self, Layout};

/// Changes whose files stay for people to look at, the newest first.
pub const NEWEST: usize = 10;
/// Where they lie; each file's name begins with the number of its change.
const FOLDERS: [&str; 3] = ["backups", "candidates", "console"];

/// What a clean finds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records {
    /// Files that nothing needs.
    pub removed: Vec<String>,
    /// How many others there are.
    pub kept: usize,
}

/// Looks through them. `newest` changes stay in any case.
pub(super) fn look(
    layout: &Layout,
    known: &Generations,
    newest: usize,
) -> Result<Records, InstallError> {
    let mut files: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for folder in FOLDERS {
        for name in disk::names(&layout.path(folder))? {
            if let Some(number) = layout::numbered(&name) {
                files
                    .entry(number)
                    .or_default()
                    .push(format!("{folder}/{name}"));
            }
        }
    }
    for name in disk::names(&layout.folder().linux)? {
        let damaged = name.strip_prefix(layout::DAMAGED_JOURNAL);
        if let Some(number) = damaged.and_then(layout::numbered) {
            files.entry(number).or_default().push(name);
        }
    }
    let mut needed = needed(known);
    needed.extend(files.keys().rev().take(newest));
    let mut records = Records::default();
    for (number, names) in files {
        match needed.contains(&number) {
            true => records.kept += names.len(),
            false => records.removed.extend(names),
        }
    }
    Ok(records)
}

/// The changes that a way back, a trial or an installed kernel goes by.
fn needed(known: &Generations) -> BTreeSet<u32> {
    let mut numbers: BTreeSet<u32> = known.generations.iter().map(|kept| kept.number).collect();
    numbers.extend(known.trial.as_ref().map(|trial| trial.change));
    if let Some(ways) = &known.ways {
        numbers.insert(ways.change);
        let files = [&ways.new, &ways.good, &ways.stock].into_iter().flatten();
        numbers.extend(files.filter_map(|file| layout::numbered(layout::last(file))));
    }
    // What Windows names by its whole path.
    let told = known
        .generations
        .iter()
        .flat_map(|kept| [&kept.console, &kept.panic]);
    let name = |path: &String| layout::numbered(path.rsplit('\\').next()?);
    numbers.extend(told.flatten().filter_map(name));
    numbers
}
