//! Publishing: an entry made beside its place and renamed, and never changed again.
//!
//! In: a [`Submission`], whose build passed its boot test. Out: the entry, new or as it was. The same again is no
//! work; other bytes under the same name are refused. Every file is digested as it was written.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::entry::{self, Entry};
use super::sign::{About, Signer};
use super::{
    CONTROL, ENTRY, EVIDENCE, PROVENANCE, PublishError, SBOM, SIGNATURE, provenance, sbom,
};
use crate::artefact::sums::{self, SUMS};
use crate::artefact::{self, ArtefactError, Build, BuildId, MANIFEST, Output, Proven, RUN};
use crate::boot::{self, BootReport};
use crate::build::Package;
use crate::digest::Sha256;
use crate::files::{self, FileError, Lock, LockError, Staging};
use crate::smoke::Comparison;
use crate::source::Tag;

/// Held by whoever publishes.
const LOCK: &str = ".lock";
/// What the boot test leaves beside its report.
const BESIDE_EVIDENCE: [&str; 4] = [
    "boot/report.junit.xml",
    "boot/report.tap",
    "boot/console.log",
    "boot/agent.jsonl",
];
/// Names in an entry that are not for the caller's documents.
const OURS: [&str; 8] = [
    ENTRY, PROVENANCE, SBOM, CONTROL, SUMS, SIGNATURE, MANIFEST, RUN,
];

/// A folder whose content some web server hands out.
#[derive(Debug, Clone)]
pub struct Outlet {
    root: PathBuf,
}

impl Outlet {
    /// The outlet at `root`, which need not be there yet.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Its folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Keeps others from publishing here meanwhile.
    pub(super) fn lock(&self) -> Result<Lock, LockError> {
        Lock::take(&self.root.join(LOCK))
    }

    /// Removes what was under construction in its root when its maker was killed, unless somebody publishes just now.
    pub fn tidy(&self) -> Result<(), PublishError> {
        if !self.root.is_dir() {
            return Ok(());
        }
        match self.lock() {
            Ok(_lock) => Ok(files::sweep(&self.root)?),
            Err(LockError::Held(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The folder of an entry.
    #[must_use]
    pub fn folder(&self, entry: &Entry) -> PathBuf {
        self.root.join(entry.path())
    }

    /// The entry of this build, if it is published.
    pub fn find(&self, tag: &Tag, build: &BuildId) -> Result<Option<Entry>, PublishError> {
        let file = self.root.join(entry::path(tag, build)).join(ENTRY);
        let Some(text) = files::read_if_there(&file)? else {
            return Ok(None);
        };
        let damaged = |error: serde_json::Error| ArtefactError::Damaged {
            file,
            reason: error.to_string(),
        };
        Ok(Some(serde_json::from_str(&text).map_err(damaged)?))
    }

    /// All entries, by tag and build.
    pub fn entries(&self) -> Result<Vec<Entry>, PublishError> {
        let mut entries = Vec::new();
        for tag in names_in(&self.root)? {
            let Ok(parsed) = tag.parse::<Tag>() else {
                continue;
            };
            for build in names_in(&self.root.join(&tag))? {
                if let Ok(build) = build.parse() {
                    entries.extend(self.find(&parsed, &build)?);
                }
            }
        }
        entries.sort_by(|a, b| (a.tag, &a.build).cmp(&(b.tag, &b.build)));
        Ok(entries)
    }
}

/// The names in a folder; none where there is no folder.
fn names_in(folder: &Path) -> Result<Vec<String>, FileError> {
    let error = |source| FileError::new("list", folder, source);
    match fs::read_dir(folder) {
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(Vec::new())
        }
        entries => entries
            .map_err(error)?
            .map(|entry| {
                Ok(entry
                    .map_err(error)?
                    .file_name()
                    .to_string_lossy()
                    .into_owned())
            })
            .collect(),
    }
}

/// A kernel beside its control.
#[derive(Debug, Clone, Serialize)]
pub struct Control {
    /// The build that was the control.
    pub build: BuildId,
    /// The control's own report.
    pub boot: BootReport,
    /// The difference.
    #[serde(flatten)]
    pub comparison: Comparison,
}

/// A file that the caller adds to an entry: what changed since the last tag, say.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its name in the entry: no folder, and none of our own names.
    pub name: String,
    /// Its content.
    pub content: Vec<u8>,
}

/// What is to be published: a build that passed its boot test.
#[derive(Debug, Clone)]
pub struct Submission {
    tag: Tag,
    proven: Proven,
    report: BootReport,
    /// How it stands beside its control.
    pub control: Option<Control>,
    /// What the builder image holds, where the build itself does not say.
    pub packages: Vec<Package>,
    /// More files.
    pub documents: Vec<Document>,
}

impl Submission {
    /// Goes by the build's own evidence and manifest.
    ///
    /// # Errors
    /// Without a passed boot test of the very files that the build consists of, or with another tag than the
    /// one it was built from.
    pub fn new(tag: Tag, build: Build) -> Result<Self, PublishError> {
        let id = build.id().clone();
        let from = build.manifest().source.tag.clone();
        match from.as_deref().map(str::parse::<Tag>) {
            Some(Ok(found)) if found == tag => {}
            Some(_) => {
                let found = from.unwrap_or_default();
                return Err(PublishError::OtherTag {
                    build: id,
                    tag,
                    found,
                });
            }
            None => return Err(PublishError::NoTag(id)),
        }
        let proven = build.proven().map_err(|unproven| PublishError::Unproven {
            build: id,
            reason: unproven.reason,
        })?;
        let report = boot::read_report(&proven.build().boot_folder())?;
        Ok(Self {
            tag,
            proven,
            report,
            control: None,
            packages: Vec::new(),
            documents: Vec::new(),
        })
    }

    /// The tag.
    #[must_use]
    pub fn tag(&self) -> Tag {
        self.tag
    }

    /// The build.
    #[must_use]
    pub fn build(&self) -> &Build {
        self.proven.build()
    }

    fn about(&self) -> About {
        About {
            tag: self.tag,
            build: self.build().id().clone(),
        }
    }

    /// Everything that is given, by its name in the entry; what follows from it is not among them.
    fn sources(&self) -> Result<BTreeMap<String, Source>, PublishError> {
        let build = self.build();
        let file = |name: &str| (name.to_owned(), Source::File(build.folder().join(name)));
        let outputs = build.manifest().outputs.keys();
        let mut sources: BTreeMap<String, Source> = outputs.map(|name| file(name)).collect();
        sources.extend([file(MANIFEST), file(EVIDENCE)]);
        let run = build.run().for_everybody().render();
        sources.insert(RUN.to_owned(), Source::Text(run.into_bytes()));
        let there = |name: &&str| build.folder().join(name).exists();
        sources.extend(BESIDE_EVIDENCE.into_iter().filter(there).map(file));
        if let Some(control) = &self.control {
            sources.insert(CONTROL.to_owned(), Source::Text(json(control)));
        }
        for document in &self.documents {
            let taken =
                OURS.contains(&document.name.as_str()) || sources.contains_key(&document.name);
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            let named = document
                .name
                .starts_with(|c: char| c.is_ascii_alphanumeric())
                && document.name.chars().all(plain);
            if taken || !named {
                return Err(PublishError::BadName(document.name.clone()));
            }
            let content = Source::Text(document.content.clone());
            sources.insert(document.name.clone(), content);
        }
        Ok(sources)
    }
}

/// Where a file of an entry comes from.
#[derive(Debug)]
enum Source {
    File(PathBuf),
    Text(Vec<u8>),
}

impl Source {
    fn digest(&self) -> Result<Sha256, FileError> {
        match self {
            Self::File(path) => Sha256::of_file(path),
            Self::Text(text) => Ok(Sha256::of(text)),
        }
    }
}

/// What became of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Done {
    /// The entry is new.
    Published,
    /// It was there without a signature, and has one now.
    Signed,
    /// It was there.
    Unchanged,
}

/// An entry, and whether anything had to be done.
#[derive(Debug, Clone)]
pub struct Published {
    /// The entry.
    pub entry: Entry,
    /// What had to be done.
    pub done: Done,
    /// Its folder.
    pub folder: PathBuf,
}

/// Puts an entry in its place, whole, signed if there is a signer.
///
/// # Errors
/// [`PublishError::Immutable`] where an entry of this build is there with other bytes; nothing is changed.
pub fn publish(
    outlet: &Outlet,
    submission: &Submission,
    signer: Option<&Signer>,
) -> Result<Published, PublishError> {
    let sources = submission.sources()?;
    let build = submission.build().id();
    let target = outlet.root.join(entry::path(&submission.tag, build));
    let _lock = outlet.lock()?;
    files::sweep(target.parent().unwrap_or(&outlet.root))?;
    if let Some(entry) = outlet.find(&submission.tag, build)? {
        compare(&target, &sources)?;
        let done = sign_later(&target, submission, signer)?;
        return Ok(Published {
            entry,
            done,
            folder: target,
        });
    }
    let staging = Staging::beside(&target)?;
    let entry = fill(staging.path(), submission, &sources, signer)?;
    files::flush(staging.path())?;
    Ok(Published {
        entry,
        done: Done::Published,
        folder: staging.for_all_to_read()?.publish()?,
    })
}

/// What is there must be what would be published.
fn compare(target: &Path, sources: &BTreeMap<String, Source>) -> Result<(), PublishError> {
    for (name, source) in sources {
        let there = target.join(name);
        let same = there.is_file() && Sha256::of_file(&there)? == source.digest()?;
        if !same {
            return Err(PublishError::Immutable { file: there });
        }
    }
    Ok(())
}

/// An entry that was published without a signature may get one; that changes nothing of it.
fn sign_later(
    target: &Path,
    submission: &Submission,
    signer: Option<&Signer>,
) -> Result<Done, PublishError> {
    let file = target.join(SIGNATURE);
    let (Some(signer), false) = (signer, file.exists()) else {
        return Ok(Done::Unchanged);
    };
    let text = files::read(&target.join(SUMS))?;
    let signed = sums::parse(&text).map_err(|reason| ArtefactError::Damaged {
        file: target.join(SUMS),
        reason,
    })?;
    // Nobody signs what he has not looked at.
    for (name, digest) in &signed {
        if Sha256::of_file(&target.join(name))? != *digest {
            return Err(PublishError::Immutable {
                file: target.join(name),
            });
        }
    }
    files::replace(&file, signer.sign(&text, &submission.about())?)?;
    Ok(Done::Signed)
}

/// Writes the whole entry into a folder.
fn fill(
    folder: &Path,
    submission: &Submission,
    sources: &BTreeMap<String, Source>,
    signer: Option<&Signer>,
) -> Result<Entry, PublishError> {
    let build = submission.build();
    let mut written = BTreeMap::new();
    for (name, source) in sources {
        let output = write(folder, name, source)?;
        as_built(build, name, &output)?;
        written.insert(name.clone(), output);
    }
    let packages = packages(submission)?;
    let statement = provenance::statement(submission.tag, build, &written);
    let bill = sbom::document(build, &packages);
    for (name, text) in [(PROVENANCE, json(&statement)), (SBOM, json(&bill))] {
        let output = write(folder, name, &Source::Text(text))?;
        written.insert(name.to_owned(), output);
    }
    let control = submission.control.as_ref();
    let mut entry = Entry::new(submission.tag, build, &submission.report, control, written);
    entry.published = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    let own = write(folder, ENTRY, &Source::Text(json(&entry)))?;
    let all = entry
        .files
        .iter()
        .map(|(name, output)| (name, output.sha256));
    let mut digests: BTreeMap<String, Sha256> =
        all.map(|(name, digest)| (name.clone(), digest)).collect();
    digests.insert(ENTRY.to_owned(), own.sha256);
    let text = sums::render(&digests);
    write(folder, SUMS, &Source::Text(text.clone().into_bytes()))?;
    if let Some(signer) = signer {
        let signature = signer.sign(&text, &submission.about())?;
        write(folder, SIGNATURE, &Source::Text(signature.into_bytes()))?;
    }
    Ok(entry)
}

/// The evidence is about the files in the manifest; so these must be they.
fn as_built(build: &Build, name: &str, found: &Output) -> Result<(), ArtefactError> {
    match build.manifest().outputs.get(name) {
        Some(expected) if expected.sha256 != found.sha256 => Err(ArtefactError::Altered {
            file: build.folder().join(name),
            what: "SHA-256",
            expected: expected.sha256.to_string(),
            found: found.sha256.to_string(),
        }),
        _ => Ok(()),
    }
}

/// What was noted when it was built, else what the caller knows.
fn packages(submission: &Submission) -> Result<Vec<Package>, PublishError> {
    let file = submission.build().folder().join(artefact::PACKAGES);
    let Some(text) = files::read_if_there(&file)? else {
        return Ok(submission.packages.clone());
    };
    let damaged = |error: serde_json::Error| ArtefactError::Damaged {
        file,
        reason: error.to_string(),
    };
    Ok(serde_json::from_str(&text).map_err(damaged)?)
}

fn write(folder: &Path, name: &str, source: &Source) -> Result<Output, FileError> {
    let path = folder.join(name);
    files::create_dir(path.parent().unwrap_or(folder))?;
    let done = match source {
        Source::File(from) => fs::copy(from, &path).map(|_| ()),
        Source::Text(text) => fs::write(&path, text),
    };
    done.map_err(|source| FileError::new("write", &path, source))?;
    let size = fs::metadata(&path)
        .map_err(|source| FileError::new("read", &path, source))?
        .len();
    Ok(Output {
        sha256: Sha256::of_file(&path)?,
        size,
    })
}

fn json(value: &impl Serialize) -> Vec<u8> {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    (text + "\n").into_bytes()
}
