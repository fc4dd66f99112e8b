//! Two kernels' configurations side by side.
//!
//! In: two [`Version`]s: tags, which are fetched and configured but not compiled, finished builds, or
//! configuration files. Out: a [`Drifted`]: the drift and the reviews that go with it. Must not decide
//! whether an unreviewed change is a failure: whoever asks does.

use std::path::{Path, PathBuf};

use super::prepared::{Prepared, wishes};
use super::{Context, host_arch};
use crate::artefact::{Build, BuildRef, Store};
use crate::error::Error;
use crate::files;
use crate::kconfig::drift::{Drift, Release, Reviews, Side};
use crate::kconfig::{
    Audit, ConfigFile, Finding, Fragment, KconfigError, Profiles, Request, SymbolIndex, TreeFacts,
};
use crate::settings::Settings;
use crate::source::{self, TagQuery};

/// One of the kernels that are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// A release of the upstream.
    Tag(TagQuery),
    /// A finished build.
    Build(BuildRef),
    /// A configuration file, without a tree: a quick look.
    File(PathBuf),
}

/// What changed, and what was accepted.
#[derive(Debug)]
pub struct Drifted {
    /// The changes.
    pub drift: Drift,
    /// The reviews that there are.
    pub reviews: Reviews,
    /// The file that they are in, or belong in.
    pub file: PathBuf,
}

impl Drifted {
    /// Nothing where every change of the contract was accepted.
    ///
    /// # Errors
    /// [`KconfigError::Unreviewed`], exit code 4.
    pub fn check(&self) -> Result<(), Error> {
        let file = self.file.display().to_string();
        let checked = self.drift.check(&self.reviews, &file);
        Ok(checked.map_err(KconfigError::Unreviewed)?)
    }
}

/// What changed from `old` to `new`.
pub fn drift(
    context: &Context,
    settings: &Settings,
    old: &Version,
    new: &Version,
) -> Result<Drifted, Error> {
    // What is misspelt is said before minutes are spent on two sources.
    let reviews = Reviews::read(&settings.reviews)?;
    let writes = [old, new]
        .into_iter()
        .any(|side| matches!(side, Version::Tag(_)));
    let _locks = writes.then(|| context.locks()).transpose()?;
    let old = Ground::of(context, settings, old)?;
    let new = Ground::of(context, settings, new)?;
    Ok(Drifted {
        drift: Drift::between(&old.side(), &new.side()),
        reviews,
        file: settings.reviews.clone(),
    })
}

/// A side of the comparison with all that it refers to.
struct Ground {
    release: Release,
    config: ConfigFile,
    index: Option<SymbolIndex>,
    contract: Vec<Request>,
    guarded: Vec<Request>,
}

impl Ground {
    fn of(context: &Context, settings: &Settings, version: &Version) -> Result<Self, Error> {
        match version {
            Version::Tag(want) => Self::of_tag(context, settings, *want),
            Version::Build(name) => Self::of_build(context, &Store::new(&context.home).find(name)?),
            Version::File(path) => Self::of_file(settings, path),
        }
    }

    fn of_tag(context: &Context, settings: &Settings, want: TagQuery) -> Result<Self, Error> {
        let prepared = Prepared::new(context, settings, Some(want))?;
        let configured = prepared.configured(context, settings)?;
        let release = Release::of_tree(prepared.tree.tag, &prepared.tree.version);
        let audit = &configured.config.audit;
        if !audit.passed() {
            let text = format!("{release} does not keep its contract; `wslk config` says why");
            context.reporter.warn(text);
        }
        Ok(Self {
            release,
            guarded: requests(&audit.guarded),
            config: configured.result,
            index: Some(configured.index),
            contract: configured.requests,
        })
    }

    fn of_build(context: &Context, build: &Build) -> Result<Self, Error> {
        let id = build.id().to_string();
        let audit = Audit::from_json(&build.audit(), &files::read(&build.audit())?)?;
        let config = parsed(&id, &files::read(&build.config())?)?;
        let index = index_of(context, build, &audit)?;
        if index.is_none() {
            let text =
                format!("the source of {id} is not here any more: its lines are compared only");
            context.reporter.note(text);
        }
        let tag = build.manifest().source.tag.as_deref();
        let series = audit.series.parse().ok();
        Ok(Self {
            release: Release {
                name: id,
                tag: tag.and_then(|tag| tag.parse().ok()),
                series,
            },
            guarded: requests(&audit.guarded),
            contract: requests(&audit.requested),
            config,
            index,
        })
    }

    /// The profile's fragments are the contract, as far as they are meant for the kernel that the file names.
    fn of_file(settings: &Settings, path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        let text = files::read(path)?;
        let profiles = Profiles::embedded();
        let guards = profiles.guards(profiles.profile(&settings.profile)?)?;
        let release = Release::of_file(&name, &text);
        Ok(Self {
            contract: meant(&wishes(settings)?, &release)?,
            guarded: meant(&guards, &release)?,
            config: parsed(&name, &text)?,
            index: None,
            release,
        })
    }

    fn side(&self) -> Side<'_> {
        Side {
            release: self.release.clone(),
            config: &self.config,
            index: self.index.as_ref(),
            contract: &self.contract,
            guarded: &self.guarded,
        }
    }
}

fn parsed(name: &str, text: &str) -> Result<ConfigFile, Error> {
    let config = ConfigFile::parse(name, text);
    Ok(config.map_err(|error| KconfigError::Input(Box::new(error)))?)
}

fn requests(findings: &[Finding]) -> Vec<Request> {
    let requests = findings.iter().map(|finding| finding.request.clone());
    requests.collect()
}

/// The index that was kept, or that of the tree where it is still here.
fn index_of(context: &Context, build: &Build, audit: &Audit) -> Result<Option<SymbolIndex>, Error> {
    let Ok(series) = audit.series.parse() else {
        return Ok(None);
    };
    let cache = context.home.indices();
    let facts = |root: PathBuf| TreeFacts::new(root, &audit.tree, series, audit.arch);
    if let Some(index) = SymbolIndex::cached(&facts(PathBuf::new()), &cache) {
        return Ok(Some(index));
    }
    let origin = &build.run().origin;
    match source::stored(&context.home, &audit.tree, origin) {
        Ok(tree) => Ok(Some(SymbolIndex::of(&facts(tree.root), &cache)?)),
        Err(_) => Ok(None),
    }
}

/// What fragments ask of a kernel of which nothing but its version is known.
fn meant(fragments: &[Fragment], release: &Release) -> Result<Vec<Request>, Error> {
    let arch = host_arch()?;
    let tree = release
        .series
        .map(|series| TreeFacts::new("", "", series, arch));
    let is_meant = |request: &&Request| {
        tree.as_ref()
            .is_none_or(|tree| request.condition.unmet(tree, true).is_none())
    };
    let requests = fragments.iter().flat_map(Fragment::requests);
    Ok(requests.filter(is_meant).cloned().collect())
}
