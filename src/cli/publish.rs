//! `publish`, and what `install --from` does before it installs.

use std::path::PathBuf;

use serde::Serialize;

use super::args::{PublishArgs, PublishedArgs};
use super::{Session, outlook};
use crate::artefact::BuildRef;
use crate::error::Error;
use crate::pipeline::Step;
use crate::pipeline::publication::{self, Brought, Order, Wish};
use crate::pipeline::windows::WindowsSide;
use crate::process;
use crate::publish::{Done, Entry};
use crate::settings::Overrides;

/// The password of a locked key: not an argument, for those are there for all to see.
const PASSWORD: &str = "WSLK_SIGN_PASSWORD";

/// The key and what unlocks it.
pub(super) fn with_password(file: PathBuf) -> (PathBuf, Option<String>) {
    let password = process::env_var(PASSWORD).and_then(|word| word.into_string().ok());
    (file, password)
}

pub(super) fn publish(session: &Session<'_>, args: PublishArgs) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Answer<'a> {
        done: Done,
        folder: String,
        entry: &'a Entry,
    }
    let settings = session.settings(Overrides {
        engine: args.engine,
        ..Overrides::default()
    })?;
    let wish = Wish {
        build: args.build,
        to: args.to,
        key: args.sign_key.map(with_password),
        documents: args.documents,
        control: None,
    };
    if session.global.dry_run {
        let steps = publication::publish_outlook(&session.context, &settings, &wish)?;
        outlook::show(session, &steps, None);
        return Ok(());
    }
    let published = publication::publish(&session.context, &settings, wish)?;
    let what = match published.done {
        Done::Published => "published",
        Done::Signed => "published before, and signed now:",
        Done::Unchanged => "nothing to do, published already:",
    };
    let folder = published.folder.display().to_string();
    let text = format!("{what} {} in {folder}\n", published.entry.build);
    let answer = Answer {
        done: published.done,
        folder,
        entry: &published.entry,
    };
    session.output.answer("publish", &answer, &text);
    Ok(())
}

/// Where an installed build came from.
#[derive(Debug, Serialize)]
pub(super) struct Origin {
    place: String,
    signed_by: Option<String>,
}

/// Brings the build here that is to be installed, if it is to come from somewhere.
pub(super) fn bring(
    session: &Session<'_>,
    side: &WindowsSide,
    args: &PublishedArgs,
    wanted: &BuildRef,
) -> Result<Option<(Brought, Origin)>, Error> {
    let Some(from) = &args.from else {
        return Ok(None);
    };
    let settings = session.settings(Overrides {
        profile: args.profile.clone(),
        trust: args.trust.clone(),
        ..Overrides::default()
    })?;
    let order = Order {
        from: from.clone(),
        wanted: wanted.clone(),
        unsigned: args.unsigned,
        downgrade: args.downgrade,
    };
    let brought = publication::bring(&session.context, &settings, side, &order)?;
    match &brought.signed_by {
        Some(key) => session.context.reporter.note(format!("signed by {key}")),
        None => session
            .context
            .reporter
            .warn("not signed by anybody trusted here"),
    }
    let origin = Origin {
        place: from.clone(),
        signed_by: brought.signed_by.as_ref().map(ToString::to_string),
    };
    Ok(Some((brought, origin)))
}

/// What would be done with a publication that is not here yet: only its list of files was looked at.
pub(super) fn show_outlook(session: &Session<'_>, brought: &Brought) {
    let next = format!("install {} once it is here", brought.build);
    let steps = [
        Step::planned("fetch", brought.steps.clone()),
        Step::planned("install", vec![next]),
    ];
    outlook::show(session, &steps, None);
}
