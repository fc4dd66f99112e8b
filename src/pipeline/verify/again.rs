//! A build made once more from its pinned inputs, in a folder where nothing of the first one is.
//!
//! In: a finished build. Out: where the new one differs, byte by byte. Fragments, patches and the base
//! configuration must be those of the build; another image or another tool is told, and tried: equal bytes prove
//! the more then.

use std::fs::{self, File};
use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::super::prepared::Prepared;
use super::super::{Context, Step, builder, fetch_locked};
use crate::artefact::{self, Build, BuildRef, Change, Output, Store};
use crate::build::SharedCache;
use crate::digest::Sha256;
use crate::error::Error;
use crate::exec::Cmd;
use crate::files::{self, FileError};
use crate::home::Home;
use crate::kconfig::Base;
use crate::settings::Settings;
use crate::source::{self, SourceTree, TagQuery};

/// Inputs that say with what was built, not what.
const WITH: [&str; 2] = ["built in", "toolchain"];
/// diffoscope may take its time; a kernel is large.
const DIFFOSCOPE: Duration = Duration::from_secs(1800);

/// Why a build cannot be made again here.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It would be another kernel.
    #[error(
        "build {build} cannot be made again here, for it would be another: {}",
        told(changes)
    )]
    OtherInputs {
        /// The build.
        build: String,
        /// What is different.
        changes: Vec<Change>,
    },
}

fn told(changes: &[Change]) -> String {
    let all: Vec<String> = changes.iter().map(Change::to_string).collect();
    all.join("; ")
}

impl VerifyError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let Self::OtherInputs { .. } = self;
        Some(
            "use the wslk that built it, and name its --source, --fragment, --base-config and --patches"
                .to_owned(),
        )
    }
}

/// A file that came out otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The file.
    pub file: String,
    /// Its size then, in bytes; nothing where it was not made.
    pub before: Option<u64>,
    /// Its size now; nothing where it was not made.
    pub now: Option<u64>,
    /// The first byte that differs, counted from 0.
    pub first_byte: Option<u64>,
}

/// A build beside the same once more.
#[derive(Debug)]
pub struct Rebuilt {
    /// The build.
    pub build: Build,
    /// Its files, all of them compared.
    pub files: usize,
    /// Those that came out otherwise.
    pub differences: Vec<Difference>,
    /// What it was built with this time, where that is not the same.
    pub with: Vec<Change>,
    /// Where the new files are, if any of them differs.
    pub kept: Option<PathBuf>,
    /// Whether diffoscope, where it is installed, has left its reports there.
    pub diffoscope: bool,
    /// Whether the modules are signed with a key that each build makes for itself: then image and modules must differ.
    pub random_key: bool,
}

/// What [`rebuild`] would do with a build that is there.
pub fn rebuild_outlook(context: &Context, name: &BuildRef) -> Result<Step, Error> {
    let id = Store::new(&context.home).find(name)?.id().clone();
    let what = format!("build {id} again in a fresh folder and compare every file");
    Ok(Step::planned("verify", vec![what]))
}

/// Makes a build again and compares it.
pub fn rebuild(context: &Context, settings: &Settings, name: &BuildRef) -> Result<Rebuilt, Error> {
    let _locks = context.locks()?;
    let build = Store::new(&context.home).find(name)?;
    build.verify()?;
    let scratch = files::only_scratch(context.home.cache(), "verify-")?;
    let elsewhere = Context {
        home: Home::new(context.home.root(), scratch.path().join("cache")),
        ..context.clone()
    };
    let settings = as_then(settings, &build)?;
    let tree = tree_of(context, &settings, &build)?;
    let mut prepared = Prepared::of(&settings, tree, builder(&elsewhere, &settings)?)?;
    let with = must_be_the_same(&build, &prepared)?;
    // The release string carries the name; another image must not show in it.
    prepared.id = build.id().clone();
    let store = Store::new(&Home::new(scratch.path().join("home"), scratch.path()));
    let again = prepared.make(&elsewhere, &settings, &store)?.build;
    let mut differences = differences(&build, &again)?;
    if differences.is_empty() && with.is_empty() {
        differences.extend(of_manifests(&build, &again)?);
    }
    let (kept, diffoscope) = match differences.is_empty() {
        true => (None, false),
        false => keep(context, &build, &again, &differences)?,
    };
    Ok(Rebuilt {
        files: build.manifest().outputs.len(),
        random_key: signs_with_random_key(&build)?,
        build,
        differences,
        with,
        kept,
        diffoscope,
    })
}

/// Whether kbuild made a key for this build alone, and signed all modules with it
/// (Documentation/admin-guide/module-signing.rst).
fn signs_with_random_key(build: &Build) -> Result<bool, FileError> {
    let config = files::read(&build.folder().join(artefact::CONFIG))?;
    let is_set = |setting: &str| config.lines().any(|line| line == setting);
    Ok(is_set("CONFIG_MODULE_SIG=y") && is_set("CONFIG_MODULE_SIG_KEY=\"certs/signing_key.pem\""))
}

/// The settings with which it was built, as far as the build tells; no cache that may hold what it, or anybody,
/// left, and nobody else's compiler.
fn as_then(settings: &Settings, build: &Build) -> Result<Settings, FileError> {
    let manifest = build.manifest();
    let mut then = Settings {
        profile: manifest.profile.clone(),
        ccache: false,
        shared_cache: SharedCache::default(),
        compile_hosts: Vec::new(),
        ..settings.clone()
    };
    let base = build.folder().join(artefact::BASE_CONFIG);
    let mut inputs = manifest.inputs.iter();
    let digest = inputs.find(|(name, _)| *name == "base configuration");
    let is_base = |value: &str| {
        let found = base.exists().then(|| Sha256::of_file(&base)).transpose()?;
        Ok(found.is_some_and(|found| found.to_string() == value))
    };
    if let Some((_, value)) = digest {
        match value.strip_suffix(" of the tree") {
            Some("defconfig" | "tinyconfig") => {
                let target = value.trim_end_matches(" of the tree");
                then.base = Some(Base::Target(target.to_owned()));
            }
            Some(_) => then.base = Some(Base::Own),
            None if is_base(value)? => then.base = Some(Base::File(base.clone())),
            None => {}
        }
    }
    Ok(then)
}

/// The tree that was compiled: here, or fetched by its tag and compared.
fn tree_of(context: &Context, settings: &Settings, build: &Build) -> Result<SourceTree, Error> {
    let facts = &build.manifest().source;
    let stored = source::stored(&context.home, &facts.tree, &build.run().origin);
    let tag = facts.tag.as_deref().and_then(|tag| tag.parse().ok());
    match (stored, tag) {
        (Ok(tree), tag) => Ok(SourceTree { tag, ..tree }),
        (Err(_), Some(tag)) => fetch_locked(context, settings, Some(TagQuery::Exact(tag))),
        (Err(error), None) => Err(error.into()),
    }
}

/// What decides which kernel it is must be equal; returns what it is built with this time, where that differs.
fn must_be_the_same(build: &Build, prepared: &Prepared) -> Result<Vec<Change>, VerifyError> {
    let then = &build.manifest().inputs;
    let tools = &build.manifest().tools;
    let is_with =
        |change: &Change| WITH.contains(&change.name.as_str()) || tools.contains_key(&change.name);
    let (with, changes): (Vec<Change>, Vec<Change>) = prepared
        .inputs
        .changes_since(then)
        .into_iter()
        .partition(is_with);
    match changes.is_empty() {
        true => Ok(with),
        false => Err(VerifyError::OtherInputs {
            build: build.id().to_string(),
            changes,
        }),
    }
}

/// File by file, of either build; what only lists tools is not what was built.
fn differences(build: &Build, again: &Build) -> Result<Vec<Difference>, FileError> {
    let (before, now) = (&build.manifest().outputs, &again.manifest().outputs);
    let mut names: Vec<&String> = before.keys().chain(now.keys()).collect();
    names.sort();
    names.dedup();
    let made = |output: &Option<&Output>| output.map(|output| output.size);
    let mut found = Vec::new();
    for name in names.into_iter().filter(|name| *name != artefact::PACKAGES) {
        let (then, since) = (before.get(name), now.get(name));
        // An early wslk did not keep the base configuration.
        let unknown = then.is_none() && name == artefact::BASE_CONFIG;
        let digest = |output: Option<&Output>| output.map(|output| output.sha256);
        if unknown || digest(then) == digest(since) {
            continue;
        }
        let both = then.is_some() && since.is_some();
        let first =
            both.then(|| first_byte(&build.folder().join(name), &again.folder().join(name)));
        found.push(Difference {
            file: name.clone(),
            before: made(&then),
            now: made(&since),
            first_byte: first.transpose()?,
        });
    }
    Ok(found)
}

/// Where all the rest is equal, the manifests are: what went in and what came out.
fn of_manifests(build: &Build, again: &Build) -> Result<Option<Difference>, FileError> {
    let path = |build: &Build| build.folder().join(artefact::MANIFEST);
    let size = |build: &Build| Some(files::read(&path(build)).ok()?.len() as u64);
    if Sha256::of_file(&path(build))? == Sha256::of_file(&path(again))? {
        return Ok(None);
    }
    Ok(Some(Difference {
        file: artefact::MANIFEST.to_owned(),
        before: size(build),
        now: size(again),
        first_byte: Some(first_byte(&path(build), &path(again))?),
    }))
}

fn first_byte(one: &Path, other: &Path) -> Result<u64, FileError> {
    let open = |path: &Path| {
        File::open(path)
            .map(|file| BufReader::new(file).bytes())
            .map_err(|source| FileError::new("read", path, source))
    };
    let (one, other) = (open(one)?, open(other)?);
    let same =
        |(a, b): &(io::Result<u8>, io::Result<u8>)| matches!((a, b), (Ok(a), Ok(b)) if a == b);
    Ok(one.zip(other).take_while(same).count() as u64)
}

/// Keeps what differs, for whoever wants to look, with diffoscope's report where it is installed.
fn keep(
    context: &Context,
    build: &Build,
    again: &Build,
    differences: &[Difference],
) -> Result<(Option<PathBuf>, bool), FileError> {
    let folder = context
        .home
        .cache()
        .join("differs")
        .join(build.id().as_str());
    files::remove_dir(&folder)?;
    files::create_dir(&folder)?;
    for difference in differences.iter().filter(|found| found.now.is_some()) {
        let (from, to) = (
            again.folder().join(&difference.file),
            folder.join(&difference.file),
        );
        fs::copy(&from, &to).map_err(|source| FileError::new("copy", &from, source))?;
    }
    let mut said = false;
    for difference in differences
        .iter()
        .filter(|found| found.first_byte.is_some())
    {
        let part = folder.join(format!("{}.diff", difference.file));
        let cmd = Cmd::new("diffoscope")
            .args(["--no-progress", "--text"])
            .arg(&part)
            .arg(build.folder().join(&difference.file))
            .arg(folder.join(&difference.file))
            .total(DIFFOSCOPE);
        // 1 says that there are differences, which is why we ask.
        let ran = context.runner.run_with(&cmd, &mut |_| {});
        said |= ran.is_ok_and(|output| matches!(output.status, Some(0 | 1)));
    }
    Ok((Some(folder), said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_that_differs() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        for (a, b, expected) in [("abc", "abd", 2), ("abc", "abcd", 3), ("", "a", 0)] {
            fs::write(&one, a)?;
            fs::write(&other, b)?;
            assert_eq!(first_byte(&one, &other)?, expected, "{a} {b}");
        }
        Ok(())
    }
}
