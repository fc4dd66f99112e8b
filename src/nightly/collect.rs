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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nightly::ledger::Stage;

    struct Yard {
        folder: tempfile::TempDir,
    }

    impl Yard {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            Self { folder }
        }

        fn books(&self) -> Books {
            let root = self.folder.path();
            Books::new(root.join("nightly.json"), root.join("site"))
        }

        /// What a job that published `version` has left.
        fn job(&self, version: &str, time: u64) -> PathBuf {
            let job = self.folder.path().join(version);
            let mut entry = published(version, time);
            let folder = job.join(entry.judged.path.as_deref().expect("published"));
            fs::create_dir_all(folder.join("boot")).expect("made");
            let mut digests = std::collections::BTreeMap::new();
            for name in ["bzImage", "boot/report.json"] {
                fs::write(folder.join(name), version).expect("written");
                digests.insert(name.to_owned(), Sha256::of(version));
            }
            fs::write(folder.join(SUMS), sums::render(&digests)).expect("written");
            let log = format!("logs/{version}.log");
            files::replace(&job.join(&log), "it went well").expect("written");
            entry.log = Some(log);
            let mut ledger = Ledger::default();
            ledger.keep(entry);
            Books::of_job(&job).write(&ledger).expect("written");
            job
        }

        fn collect(&self, jobs: &[PathBuf]) -> Result<Vec<String>, Error> {
            let books = self.books();
            let mut ledger = books.read()?;
            let taken = collect(&books, &mut ledger, jobs)?;
            Ok(taken.iter().map(|entry| entry.tag.version()).collect())
        }
    }

    fn published(version: &str, time: u64) -> Entry {
        let tag = version.parse().expect("a tag");
        let mut entry = Entry::seen(tag, "c0ffee".into(), "tiny".into(), "rules".into(), time);
        entry.stage = Stage::Published;
        entry.judged.path = Some(format!("{tag}/a-build"));
        entry
    }

    #[test]
    fn what_jobs_published_is_taken_whole_and_once() {
        let yard = Yard::new();
        let jobs = [yard.job("6.1.2.1", 5), yard.job("6.1.1.1", 6)];
        assert_eq!(yard.collect(&jobs).expect("taken"), ["6.1.2.1", "6.1.1.1"]);
        let site = yard.folder.path().join("site");
        let kernel = site.join("linux-msft-wsl-6.1.2.1/a-build/bzImage");
        assert_eq!(fs::read_to_string(kernel).expect("there"), "6.1.2.1");
        assert!(
            site.join("linux-msft-wsl-6.1.1.1/a-build")
                .join(SUMS)
                .is_file()
        );
        assert!(site.join("logs/6.1.1.1.log").is_file());
        assert_eq!(yard.collect(&jobs).expect("nothing new"), [""; 0]);
    }

    #[test]
    fn an_older_word_about_a_tag_is_not_taken() {
        let yard = Yard::new();
        let mut ledger = Ledger::default();
        ledger.keep(published("6.1.2.1", 9));
        yard.books().write(&ledger).expect("written");
        let job = yard.job("6.1.2.1", 5);
        assert!(yard.collect(&[job]).expect("read").is_empty());
    }

    #[test]
    fn a_swapped_artefact_is_refused_and_nothing_of_it_is_kept() {
        let yard = Yard::new();
        let job = yard.job("6.1.2.1", 5);
        let kernel = job.join("linux-msft-wsl-6.1.2.1/a-build/bzImage");
        fs::write(&kernel, "another").expect("written");
        let error = yard.collect(&[job]).expect_err("refused").to_string();
        assert!(error.contains("bzImage") && error.contains(SUMS), "{error}");
        assert_eq!(yard.books().read().expect("a ledger"), Ledger::default());
        let site = yard.folder.path().join("site/linux-msft-wsl-6.1.2.1");
        assert_eq!(fs::read_dir(site).expect("a folder").count(), 0);
    }

    #[test]
    fn a_folder_where_no_night_was_is_told() {
        let yard = Yard::new();
        let error = yard.collect(&[yard.folder.path().join("nowhere")]);
        assert!(
            error
                .expect_err("refused")
                .to_string()
                .contains("no night was here")
        );
    }
}
