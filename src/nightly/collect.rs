//! What many machines judged, in one ledger and on one site.
//!
//! In: the folders that jobs left, each a site of its own with its ledger beside it. Out: the entries that were
//! taken. What is published is taken whole, and only if its files are what its `SHA256SUMS` says; what is there
//! already is never changed. Must not judge a kernel again.

use std::fs;
use std::path::{Path, PathBuf};

use super::books::Books;
use super::ledger::{Entry, Ledger};
use crate::artefact::ArtefactError;
use crate::artefact::sums::{self, SUMS};
use crate::digest::Sha256;
use crate::error::Error;
use crate::files::{self, FileError, Staging};

/// Takes over what the jobs in `folders` found.
pub fn collect(
    books: &Books,
    ledger: &mut Ledger,
    folders: &[PathBuf],
) -> Result<Vec<Entry>, Error> {
    let mut taken = Vec::new();
    for folder in folders {
        let theirs = Books::of_job(folder);
        for entry in theirs.read_existing()?.entries() {
            if !is_news(entry, ledger.find(entry.tag)) {
                continue;
            }
            carry(entry, theirs.site(), books.site())?;
            ledger.keep(entry.clone());
            // After each one: a kill leaves what was carried so far in the ledger.
            books.write(ledger)?;
            taken.push(entry.clone());
        }
    }
    Ok(taken)
}

/// Whether it says more, or something later, than what is known. A job's ledger holds also what it was given.
fn is_news(entry: &Entry, known: Option<&Entry>) -> bool {
    known.is_none_or(|known| entry.time > known.time)
}

/// Brings the files that an entry speaks of.
fn carry(entry: &Entry, from: &Path, to: &Path) -> Result<(), Error> {
    if let Some(path) = entry.judged.path.as_deref().filter(|path| is_inside(path)) {
        let (source, target) = (from.join(path), to.join(path));
        if source.is_dir() && !target.exists() {
            take_whole(&source, &target)?;
        }
    }
    let papers = entry.log.iter().cloned();
    let drift = ["md", "json"].map(|form| super::books::drift_name(entry.tag, form));
    for paper in papers.chain(drift).filter(|paper| is_inside(paper)) {
        let source = from.join(&paper);
        if source.is_file() {
            let content = fs::read(&source).map_err(|e| FileError::new("read", &source, e))?;
            files::replace(&to.join(&paper), content)?;
        }
    }
    Ok(())
}

/// A path of ours: below the root and without surprises.
fn is_inside(path: &str) -> bool {
    let plain = |part: &str| !matches!(part, "" | "." | "..");
    path.split('/').all(plain)
}

/// A published folder, checked while it is copied and put in its place by one rename.
fn take_whole(source: &Path, target: &Path) -> Result<(), Error> {
    let list = source.join(SUMS);
    let damaged = |file: PathBuf, reason: String| ArtefactError::Damaged { file, reason };
    let listed =
        sums::parse(&files::read(&list)?).map_err(|reason| damaged(list.clone(), reason))?;
    let staging = Staging::beside(target)?;
    for (name, digest) in &listed {
        if !is_inside(name) {
            return Err(damaged(list, format!("`{name}` is no file of it")).into());
        }
        let copy = copied(source, staging.path(), name)?;
        if Sha256::of_file(&copy)? != *digest {
            let reason = format!("it is not what {SUMS} says");
            return Err(damaged(source.join(name), reason).into());
        }
    }
    // Neither the list nor what signs it is in the list.
    for name in [SUMS.to_owned(), format!("{SUMS}.minisig")] {
        if source.join(&name).is_file() {
            copied(source, staging.path(), &name)?;
        }
    }
    files::flush(staging.path())?;
    staging.for_all_to_read()?.publish()?;
    Ok(())
}

fn copied(source: &Path, target: &Path, name: &str) -> Result<PathBuf, FileError> {
    let (from, to) = (source.join(name), target.join(name));
    if let Some(folder) = to.parent() {
        files::create_dir(folder)?;
    }
    fs::copy(&from, &to).map_err(|error| FileError::new("copy", &from, error))?;
    Ok(to)
}
