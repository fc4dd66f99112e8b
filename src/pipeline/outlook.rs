//! What a run would do, and nothing is: the stages in their order, each with what it lacks.
//!
//! In: settings and a [`Goal`]. Out: [`Step`]s. Reads what is on disk, asks the engine what it has and a
//! git remote for its tags. Must not write, and takes no lock.

use std::path::PathBuf;

use serde::Serialize;

use super::prepared::Prepared;
use super::{Context, Extras, engine, request, sources, subject};
use crate::artefact::{Build, BuildRef, Lookup, Store};
use crate::boot;
use crate::build::{Builder, EngineKind, Image, Recipe};
use crate::error::Error;
use crate::settings::Settings;
use crate::source::{self, SourceOutlook, SourceTree, TagQuery};
use crate::timings::Written;

/// How far a run would go.
#[derive(Debug, Clone)]
pub enum Goal {
    /// To the source tree.
    Fetch(Option<TagQuery>),
    /// To the audited configuration.
    Config(Option<TagQuery>),
    /// To a build, boot-tested or not.
    Build {
        /// Which release.
        want: Option<TagQuery>,
        /// What it is to come with.
        extras: Extras,
    },
    /// A boot test of a build that is there.
    Boot(BuildRef),
}

/// One stage of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The stage.
    pub stage: &'static str,
    /// Whether there is anything to do.
    pub needed: bool,
    /// What is there, or what would be done, in lines.
    pub what: Vec<String>,
}

impl Step {
    /// A stage whose plan is known to the last step; nothing to do where that is empty.
    #[must_use]
    pub fn planned(stage: &'static str, steps: Vec<String>) -> Self {
        match steps.is_empty() {
            true => Self::done(stage, "nothing to do".to_owned()),
            false => Self::needed(stage, steps),
        }
    }

    fn done(stage: &'static str, what: String) -> Self {
        Self {
            stage,
            needed: false,
            what: vec![what],
        }
    }

    fn needed(stage: &'static str, what: impl IntoIterator<Item = String>) -> Self {
        Self {
            stage,
            needed: true,
            what: what.into_iter().collect(),
        }
    }
}

/// The steps of a run, up to what `goal` says.
///
/// # Errors
/// What would end the run at once: no such release, no engine, bad fragments.
pub fn outlook(context: &Context, settings: &Settings, goal: &Goal) -> Result<Vec<Step>, Error> {
    match goal {
        Goal::Fetch(want) => Ok(vec![look_at_source(context, settings, *want)?.0]),
        Goal::Config(want) => before_build(context, settings, *want).map(|(mut steps, _)| {
            let what = "fragments would be merged, solved by olddefconfig and audited";
            steps.push(Step::needed("config", [what.to_owned()]));
            steps
        }),
        Goal::Build { want, extras } => look_at_build(context, settings, *want, *extras),
        Goal::Boot(name) => {
            let build = Store::new(&context.home).find(name)?;
            let (builder, _) = look_at_builder(context, settings)?;
            Ok(vec![builder, boot_test(settings, &build)?])
        }
    }
}

fn look_at_build(
    context: &Context,
    settings: &Settings,
    want: Option<TagQuery>,
    Extras { boot, timings }: Extras,
) -> Result<Vec<Step>, Error> {
    let (mut steps, ready) = before_build(context, settings, want)?;
    let Some((tree, builder)) = ready else {
        let what = "decided by what comes; compiled if there is no such build yet";
        steps.push(Step::needed("build", [what.to_owned()]));
        steps.extend(boot.then(|| Step::needed("boot test", [scenarios(settings)])));
        let folder = context.home.builds().join("BUILD");
        steps.extend(timings.then(|| timed(Some(folder))));
        return Ok(steps);
    };
    let prepared = Prepared::of(settings, tree, builder)?;
    let store = Store::new(&context.home);
    let lookup = prepared.lookup(&store)?;
    let reasons = prepared.reasons(&lookup);
    if let Lookup::Unchanged(build) = &lookup {
        steps.push(Step::done("build", format!("{} is there", build.id())));
    } else {
        let jobs = settings.jobs.unwrap_or_else(|| prepared.builder.cpus());
        let unless = match settings.ccache && prepared.builder.image().is_some() {
            true => ", unless it was compiled before",
            false => "",
        };
        let id = &prepared.id;
        let what = format!("{id} would be compiled by {jobs} jobs at once{unless}");
        steps.push(Step::needed("build", std::iter::once(what).chain(reasons)));
    }
    let folder = context.home.builds().join(prepared.id.as_str());
    let new = !matches!(lookup, Lookup::Unchanged(_));
    match lookup {
        _ if !boot => {}
        Lookup::Unchanged(build) if build.is_proven()? => {
            steps.push(Step::done(
                "boot test",
                "passed by these very files".to_owned(),
            ));
        }
        Lookup::Unchanged(build) => steps.push(boot_test(settings, &build)?),
        _ => steps.push(Step::needed("boot test", [scenarios(settings)])),
    }
    steps.extend(timings.then(|| timed(new.then_some(folder))));
    Ok(steps)
}

/// What would be written of where the time went; nothing for a build that is there.
fn timed(folder: Option<PathBuf>) -> Step {
    match folder.map(|folder| Written::in_folder(&folder)) {
        Some(Written { page, data }) => {
            let what = [page, data].map(|path| format!("{} would be written", path.display()));
            Step::needed("timings", what)
        }
        None => Step::done("timings", "nothing to time".to_owned()),
    }
}

/// The steps before the compiler, and what it takes, where that is here.
#[expect(
    clippy::type_complexity,
    reason = "a pair of two things that are there or not"
)]
fn before_build(
    context: &Context,
    settings: &Settings,
    want: Option<TagQuery>,
) -> Result<(Vec<Step>, Option<(SourceTree, Builder)>), Error> {
    let (source, tree) = look_at_source(context, settings, want)?;
    let (engine, builder) = look_at_builder(context, settings)?;
    Ok((vec![source, engine], tree.zip(builder)))
}

fn look_at_source(
    context: &Context,
    settings: &Settings,
    want: Option<TagQuery>,
) -> Result<(Step, Option<SourceTree>), Error> {
    let request = request(settings, want);
    Ok(match source::look(&request, &sources(context, settings))? {
        SourceOutlook::Here(tree) => {
            let what = format!("{} is here, tree {}", tree.origin, tree.tree.short(12));
            (Step::done("source", what), Some(tree))
        }
        SourceOutlook::Missing(what) => (Step::needed("source", [what]), None),
    })
}

fn look_at_builder(
    context: &Context,
    settings: &Settings,
) -> Result<(Step, Option<Builder>), Error> {
    let engine = engine(context, settings)?;
    let kind = engine.kind();
    let image = match kind {
        EngineKind::Host => None,
        EngineKind::Docker | EngineKind::Podman => match Image::known(&engine)? {
            Some(image) => Some(image),
            None => {
                let reference = Recipe::embedded().reference();
                let what = format!("{reference} would be made for {kind}, in a few minutes");
                return Ok((Step::needed("builder", [what]), None));
            }
        },
    };
    let what = image.as_ref().map_or_else(
        || "the tools of this machine".to_owned(),
        |image| format!("{} of {kind}", image.reference),
    );
    let builder = Builder::new(engine, image, settings.limits, &context.home);
    Ok((Step::done("builder", what), Some(builder)))
}

fn boot_test(settings: &Settings, build: &Build) -> Result<Step, Error> {
    let plan = boot::plan(&subject(build), &settings.boot, &build.boot_folder())?;
    let what = [scenarios(settings), plan.cmd.to_string()];
    Ok(Step::needed("boot test", what))
}

fn scenarios(settings: &Settings) -> String {
    format!(
        "every scenario would be dumped and restored {} times in QEMU",
        settings.boot.cycles
    )
}
