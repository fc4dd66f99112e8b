//! `wslk drift`: calls the pipeline once and shows what came of it.

use std::path::Path;

use serde::Serialize;

use super::args::{DriftArgs, overrides};
use super::{Session, outlook, output};
use crate::error::Error;
use crate::exit::Exit;
use crate::kconfig::Symbol;
use crate::kconfig::drift::Drift;
use crate::pipeline::drift::{self as pipeline, Drifted, Version};
use crate::pipeline::{self as stages, Goal};
use crate::settings::{Overrides, Settings};

pub(super) fn drift(session: &Session<'_>, args: DriftArgs) -> Result<Exit, Error> {
    let (old, new) = (version(&args.old)?, version(&args.new)?);
    let mut overrides = overrides!(args.kernel);
    overrides.reviews = args.reviews;
    let settings = session.settings(overrides)?;
    if session.global.dry_run {
        return dry_run(session, &settings, [&old, &new]);
    }
    let drifted = pipeline::drift(&session.context, &settings, &old, &new)?;
    answer(session, &drifted, args.markdown);
    // The drift is the answer, also where it is not accepted.
    match drifted.check() {
        Ok(()) => Ok(Exit::Done),
        Err(error) => {
            session.output.talk(&error);
            Ok(error.exit())
        }
    }
}

fn answer(session: &Session<'_>, drifted: &Drifted, markdown: bool) {
    #[derive(Serialize)]
    struct Answer<'a> {
        #[serde(flatten)]
        drift: &'a Drift,
        unreviewed: Vec<&'a Symbol>,
        reviews: String,
    }
    let Drifted {
        drift,
        reviews,
        file,
    } = drifted;
    if markdown {
        output::print(&drift.markdown(reviews));
        return;
    }
    let unreviewed = drift.unreviewed(reviews);
    let answer = Answer {
        drift,
        unreviewed: unreviewed.iter().map(|change| change.known_as()).collect(),
        reviews: file.display().to_string(),
    };
    session
        .output
        .answer("drift", &answer, &drift.render(reviews));
}

/// A file where there is one, or where it can be nothing else; then a release; then a build.
fn version(text: &str) -> Result<Version, Error> {
    if text.contains('/') || Path::new(text).is_file() {
        return Ok(Version::File(text.into()));
    }
    match text.parse() {
        Ok(tag) => Ok(Version::Tag(tag)),
        Err(_) => Ok(Version::Build(text.parse()?)),
    }
}

fn dry_run(
    session: &Session<'_>,
    settings: &Settings,
    sides: [&Version; 2],
) -> Result<Exit, Error> {
    let mut steps = Vec::new();
    for side in sides {
        if let Version::Tag(want) = side {
            let goal = Goal::Config(Some(*want));
            steps.extend(stages::outlook(&session.context, settings, &goal)?);
        }
    }
    outlook::show(session, &steps, None);
    Ok(Exit::Done)
}
