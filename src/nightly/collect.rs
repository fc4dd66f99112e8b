//! What many machines judged, in one ledger and on one site.
//!
//! In: the folders that jobs left, each a site of its own with its ledger beside it. Out: the entries that were
//! taken. What is published is taken whole, and only if its files are what its `SHA256SUMS` says; what is there
//! already is never changed. Must not judge a kernel again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::books::{Books, BooksError};
use super::ledger::{Entry, Ledger};
use crate::artefact::sums::{self, SUMS};
use crate::artefact::{ArtefactError, BuildId};
use crate::digest::Sha256;
use crate::error::Error;
use crate::files::{self, FileError, Staging};
use crate::publish::SIGNATURE;
use crate::publish::sign::{self, About, TrustedKey};
use crate::source::Tag;

/// What came of a collection.
#[derive(Debug, Default)]
pub struct Collected {
    /// The entries that were taken over.
    pub taken: Vec<Entry>,
    /// What was not, by its folder, and why.
    pub refused: Vec<(PathBuf, Error)>,
}

/// Takes over what the jobs in `folders` found. With `keys`, of
/// publications only what one of them signed; a verdict without a publication is taken at its word. A job that left nothing, or something else than it says, does not
/// keep the others' results from the ledger.
///
/// # Errors
/// Only where our own ledger cannot be written.
pub fn collect(
    books: &Books,
    ledger: &mut Ledger,
    folders: &[PathBuf],
    keys: &[TrustedKey],
) -> Result<Collected, Error> {
    let mut collected = Collected::default();
    for folder in folders {
        let entries = match news(ledger, folder) {
            Ok(entries) => entries,
            Err(error) => {
                collected.refused.push((folder.clone(), error));
                continue;
            }
        };
        for entry in entries {
            match carry(&entry, folder, books, keys) {
                Ok(entry) => {
                    ledger.keep(entry.clone());
                    // After each one: a kill leaves what was carried so far in the ledger.
                    books.write(ledger)?;
                    collected.taken.push(entry);
                }
                Err(error) => collected.refused.push((folder.clone(), error)),
            }
        }
    }
    Ok(collected)
}

/// What a job in `folder` found that the ledger does not know. A job's ledger holds also what it was given.
pub fn news(ledger: &Ledger, folder: &Path) -> Result<Vec<Entry>, Error> {
    let theirs = Books::of_job(folder).read_existing()?;
    let entries = theirs.entries().iter();
    let is_new = |entry: &&Entry| is_news(entry, ledger.find(entry.tag));
    Ok(entries.filter(is_new).cloned().collect())
}

/// Whether it says more, or something later, than what is known. A verdict counts more than a failure to reach one,
/// whatever the clocks of the machines say.
fn is_news(entry: &Entry, known: Option<&Entry>) -> bool {
    let Some(known) = known else {
        return true;
    };
    let same = entry.commit == known.commit && entry.judged_by == known.judged_by;
    match (is_verdict(entry), is_verdict(known)) {
        (true, false) if same => true,
        (false, true) if same => false,
        _ => entry.time > known.time,
    }
}

fn is_verdict(entry: &Entry) -> bool {
    entry.is_settled(&entry.judged_by)
}

/// Brings the files that an entry speaks of, to where a night here would have put them and nowhere else: what a
/// job says of itself must not replace what is published.
fn carry(entry: &Entry, from: &Path, books: &Books, keys: &[TrustedKey]) -> Result<Entry, Error> {
    let log = books.log_name(entry.tag);
    let drift = ["md", "json"].map(|form| super::books::drift_name(entry.tag, form));
    let mut papers = Vec::new();
    for paper in [log.clone()].into_iter().chain(drift) {
        if let Some(source) = plain(from, &paper)?.filter(|source| source.is_file()) {
            let content = fs::read(&source).map_err(|e| FileError::new("read", &source, e))?;
            papers.push((books.site().join(paper), content));
        }
    }
    if let Some(path) = &entry.judged.path {
        shelve(entry.tag, path, from, books.site(), keys)?;
    }
    for (target, content) in papers {
        files::replace(&target, content)?;
    }
    Ok(Entry {
        log: entry.log.is_some().then_some(log),
        ..entry.clone()
    })
}

/// The published folder of `tag`, which must be one of its own.
fn shelve(tag: Tag, path: &str, from: &Path, to: &Path, keys: &[TrustedKey]) -> Result<(), Error> {
    let own = path.strip_prefix(&format!("{tag}/"));
    let own = own.and_then(|build| build.parse::<BuildId>().ok());
    let Some(build) = own else {
        return Err(BooksError::Foreign(from.to_owned(), path.to_owned()).into());
    };
    let target = to.join(path);
    let about = About { tag, build };
    let source = plain(from, path)?.filter(|source| source.is_dir());
    if target.exists() {
        // Somebody's word about what is there already, too, is taken only with a signature.
        return match source {
            _ if keys.is_empty() => Ok(()),
            Some(source) => announced(&source, &about, keys).map(drop),
            None => Err(BooksError::Lost(from.join(path)).into()),
        };
    }
    match source {
        Some(source) => take_whole(&source, &target, &about, keys),
        None => Err(BooksError::Lost(from.join(path)).into()),
    }
}

/// Something below a job's folder, if it is there. A link is not followed: it leads to files of this machine, and
/// the site is for everybody.
fn plain(root: &Path, path: &str) -> Result<Option<PathBuf>, Error> {
    let mut at = root.to_owned();
    for part in path.split('/') {
        at.push(part);
        match fs::symlink_metadata(&at) {
            Ok(about) if about.is_symlink() => return Err(BooksError::Link(at).into()),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(FileError::new("read", &at, e).into()),
        }
    }
    Ok(Some(at))
}

/// A published folder, checked while it is copied and put in its place by one rename.
fn take_whole(
    source: &Path,
    target: &Path,
    about: &About,
    keys: &[TrustedKey],
) -> Result<(), Error> {
    let (text, signature) = announced(source, about, keys)?;
    let list = source.join(SUMS);
    let damaged = |file: PathBuf, reason: String| ArtefactError::Damaged { file, reason };
    let listed = sums::parse(&text).map_err(|reason| damaged(list.clone(), reason))?;
    let staging = Staging::beside(target)?;
    for (name, digest) in &listed {
        let copy = copied(source, staging.path(), name)?;
        if Sha256::of_file(&copy)? != *digest {
            let reason = format!("it is not what {SUMS} says");
            return Err(damaged(source.join(name), reason).into());
        }
    }
    // Neither the list nor what signs it is in the list. What was read is what was checked.
    files::replace(&staging.path().join(SUMS), text)?;
    if let Some(signature) = signature {
        files::replace(&staging.path().join(SIGNATURE), signature)?;
    }
    files::flush(staging.path())?;
    staging.for_all_to_read()?.publish()?;
    Ok(())
}

/// The list of a published folder and its signature, which with `keys` must be one of theirs.
fn announced(
    source: &Path,
    about: &About,
    keys: &[TrustedKey],
) -> Result<(String, Option<String>), Error> {
    let list = plain(source, SUMS)?.unwrap_or_else(|| source.join(SUMS));
    let text = files::read(&list)?;
    let signature = match plain(source, SIGNATURE)? {
        Some(path) => Some(files::read(&path)?),
        None => None,
    };
    if !keys.is_empty() {
        sign::signed_by(about, &text, signature.as_deref(), keys)?;
    }
    Ok((text, signature))
}

fn copied(source: &Path, target: &Path, name: &str) -> Result<PathBuf, Error> {
    let from = plain(source, name)?.unwrap_or_else(|| source.join(name));
    let to = target.join(name);
    if let Some(folder) = to.parent() {
        files::create_dir(folder)?;
    }
    fs::copy(&from, &to).map_err(|error| FileError::new("copy", &from, error))?;
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nightly::ledger::{Blame, Failure, Stage};

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
            let log = format!("logs/linux-msft-wsl-{version}.log");
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
            let collected = collect(&books, &mut ledger, jobs, &[])?;
            if let Some((_, error)) = collected.refused.into_iter().next() {
                return Err(error);
            }
            let taken = collected.taken.iter();
            Ok(taken.map(|entry| entry.tag.version()).collect())
        }
    }

    fn published(version: &str, time: u64) -> Entry {
        let tag = version.parse().expect("a tag");
        let mut entry = Entry::seen(tag, "c0ffee".into(), "tiny".into(), "rules".into(), time);
        entry.stage = Stage::Published;
        entry.judged.path = Some(format!("{tag}/6.1-tiny-0123456789"));
        entry
    }

    #[test]
    fn what_jobs_published_is_taken_whole_and_once() {
        let yard = Yard::new();
        let jobs = [yard.job("6.1.2.1", 5), yard.job("6.1.1.1", 6)];
        assert_eq!(yard.collect(&jobs).expect("taken"), ["6.1.2.1", "6.1.1.1"]);
        let site = yard.folder.path().join("site");
        let kernel = site.join("linux-msft-wsl-6.1.2.1/6.1-tiny-0123456789/bzImage");
        assert_eq!(fs::read_to_string(kernel).expect("there"), "6.1.2.1");
        assert!(
            site.join("linux-msft-wsl-6.1.1.1/6.1-tiny-0123456789")
                .join(SUMS)
                .is_file()
        );
        assert!(site.join("logs/linux-msft-wsl-6.1.1.1.log").is_file());
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
        let kernel = job.join("linux-msft-wsl-6.1.2.1/6.1-tiny-0123456789/bzImage");
        fs::write(&kernel, "another").expect("written");
        let error = yard.collect(&[job]).expect_err("refused").to_string();
        assert!(error.contains("bzImage") && error.contains(SUMS), "{error}");
        assert_eq!(yard.books().read().expect("a ledger"), Ledger::default());
        let site = yard.folder.path().join("site/linux-msft-wsl-6.1.2.1");
        assert_eq!(fs::read_dir(site).expect("a folder").count(), 0);
    }

    /// A key whose signatures of `job`'s entry are beside it.
    fn signed(yard: &Yard, job: &Path, version: &str) -> TrustedKey {
        let pair = minisign::KeyPair::generate_unencrypted_keypair().expect("a pair");
        let secret = pair.sk.to_box(None).expect("a key").into_string();
        let file = yard.folder.path().join("secret.key");
        fs::write(&file, secret).expect("written");
        let signer = sign::Signer::read(&file, None).expect("a key");
        let entry = published(version, 5);
        let (tag, path) = (entry.tag, entry.judged.path.expect("published"));
        let folder = job.join(&path);
        let text = fs::read_to_string(folder.join(SUMS)).expect("a list");
        let about = About {
            tag,
            build: path
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .parse()
                .expect("a build"),
        };
        let signature = signer.sign(&text, &about).expect("signed");
        fs::write(folder.join(SIGNATURE), signature).expect("written");
        signer.key().clone()
    }

    #[test]
    fn who_pins_keys_collects_only_what_they_signed() {
        let yard = Yard::new();
        let job = yard.job("6.1.2.1", 5);
        let key = signed(&yard, &job, "6.1.2.1");
        let other = yard.job("6.1.3.1", 5);
        let stranger = signed(&yard, &other, "6.1.3.1");
        let collected = |job: &PathBuf, keys: &[TrustedKey]| {
            let mut ledger = Ledger::default();
            let jobs = std::slice::from_ref(job);
            let found = collect(&yard.books(), &mut ledger, jobs, keys).expect("read");
            let refused = found
                .refused
                .into_iter()
                .map(|(_, error)| error.to_string());
            refused.collect::<Vec<_>>().join("; ")
        };
        let unsigned = yard.job("6.1.4.1", 5);
        assert!(collected(&unsigned, std::slice::from_ref(&key)).contains("is not signed"));
        assert!(
            collected(&other, std::slice::from_ref(&key)).contains("not one of those trusted here")
        );
        assert_eq!(collected(&job, &[stranger, key.clone()]), "");
        let site = yard.folder.path().join("site");
        assert!(site.join("linux-msft-wsl-6.1.2.1").is_dir());
        assert!(
            !site
                .join("linux-msft-wsl-6.1.4.1/6.1-tiny-0123456789")
                .exists()
        );
        // The list was changed after it was signed, and the file with it.
        let late = yard.job("6.1.5.1", 5);
        let late_key = signed(&yard, &late, "6.1.5.1");
        let list = late
            .join("linux-msft-wsl-6.1.5.1/6.1-tiny-0123456789")
            .join(SUMS);
        let text = fs::read_to_string(&list).expect("a list") + "\n";
        fs::write(&list, text).expect("written");
        assert!(collected(&late, &[late_key]).contains("not what was signed"));
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

    /// Changes what a job says of its tag.
    fn reword(job: &Path, change: &dyn Fn(&mut Entry)) {
        let books = Books::of_job(job);
        let mut ledger = books.read().expect("a ledger");
        let mut entry = ledger.entries()[0].clone();
        change(&mut entry);
        ledger.keep(entry);
        books.write(&ledger).expect("written");
    }

    #[test]
    fn one_bad_job_does_not_keep_the_others_out() {
        let yard = Yard::new();
        let killed = yard.folder.path().join("killed");
        fs::create_dir(&killed).expect("made");
        let swapped = yard.job("6.1.2.1", 5);
        fs::write(
            swapped.join("linux-msft-wsl-6.1.2.1/6.1-tiny-0123456789/bzImage"),
            "x",
        )
        .expect("written");
        let lost = yard.job("6.1.3.1", 5);
        fs::remove_dir_all(lost.join("linux-msft-wsl-6.1.3.1")).expect("removed");
        let good = yard.job("6.1.4.1", 5);
        let books = yard.books();
        let mut ledger = Ledger::default();
        let jobs = [killed, swapped, lost, good];
        let collected = collect(&books, &mut ledger, &jobs, &[]).expect("read");
        assert_eq!(collected.refused.len(), 3, "{:?}", collected.refused);
        let kept = books.read().expect("a ledger");
        let kept: Vec<_> = kept.entries().iter().map(|e| e.tag.version()).collect();
        assert_eq!(kept, ["6.1.4.1"], "what is not here is not published");
    }

    #[test]
    fn what_a_job_says_of_its_files_never_replaces_what_is_published() {
        let yard = Yard::new();
        let kernel = "linux-msft-wsl-6.1.1.1/6.1-tiny-0123456789/bzImage";
        yard.collect(&[yard.job("6.1.1.1", 5)]).expect("taken");
        let hostile = yard.job("6.1.2.1", 5);
        files::replace(&hostile.join(kernel), "hostile").expect("written");
        files::replace(&hostile.join("index.html"), "hostile").expect("written");
        for log in [kernel, "index.html", "../nightly.json"] {
            reword(&hostile, &|entry| {
                entry.log = Some(log.to_owned());
                entry.time += 1;
            });
            yard.collect(std::slice::from_ref(&hostile))
                .expect("its log is elsewhere");
            let site = yard.folder.path().join("site");
            assert_eq!(
                fs::read_to_string(site.join(kernel)).expect("there"),
                "6.1.1.1"
            );
            assert!(!site.join("index.html").exists());
            let known = yard.books().read().expect("a ledger");
            let log = known.entries()[1].log.as_deref();
            assert_eq!(log, Some("logs/linux-msft-wsl-6.1.2.1.log"));
        }
        for path in [
            "logs",
            "linux-msft-wsl-6.1.1.1/6.1-tiny-0123456789",
            "linux-msft-wsl-6.1.2.1/..",
            "/etc",
        ] {
            reword(&hostile, &|entry| {
                entry.judged.path = Some(path.to_owned());
                entry.time += 1;
            });
            let error = yard
                .collect(std::slice::from_ref(&hostile))
                .expect_err(path);
            assert!(error.to_string().contains(path), "{error}");
        }
    }

    #[test]
    fn no_link_is_followed_out_of_a_jobs_folder() {
        let yard = Yard::new();
        let secret = yard.folder.path().join("secret");
        fs::write(&secret, "6.1.2.1").expect("written");
        for name in [
            "logs/linux-msft-wsl-6.1.2.1.log",
            "linux-msft-wsl-6.1.2.1/6.1-tiny-0123456789/bzImage",
            "linux-msft-wsl-6.1.2.1/6.1-tiny-0123456789/SHA256SUMS",
        ] {
            let job = yard.job("6.1.2.1", 5);
            fs::remove_file(job.join(name)).expect("removed");
            std::os::unix::fs::symlink(&secret, job.join(name)).expect("linked");
            let error = yard.collect(std::slice::from_ref(&job)).expect_err(name);
            assert!(error.to_string().contains("is a link"), "{error}");
            fs::remove_dir_all(job).expect("removed");
        }
    }

    #[test]
    fn a_verdict_is_not_lost_to_a_failure_to_reach_one() {
        let yard = Yard::new();
        yard.collect(&[yard.job("6.1.1.1", 5)]).expect("taken");
        let job = yard.job("6.1.1.1", 5);
        let harness = |entry: &mut Entry| {
            entry.time = 9;
            entry.stage = Stage::Seen;
            entry.failure = Some(Failure {
                blame: Blame::Harness,
                stage: Stage::Fetched,
                code: 3,
                reason: "no network".into(),
                hint: None,
            });
        };
        reword(&job, &harness);
        assert_eq!(
            yard.collect(std::slice::from_ref(&job)).expect("read"),
            [""; 0]
        );
        // The other way round: the clock of the machine that reached it is late.
        let mut ledger = Ledger::default();
        let mut failed = published("6.1.3.1", 7);
        harness(&mut failed);
        ledger.keep(failed);
        yard.books().write(&ledger).expect("written");
        let late = yard.job("6.1.3.1", 5);
        assert_eq!(yard.collect(&[late]).expect("taken"), ["6.1.3.1"]);
    }
}
