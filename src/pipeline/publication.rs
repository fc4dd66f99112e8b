//! Publications as the verbs see them: a build handed to an outlet, and one brought from somebody's.
//!
//! In: settings and what is wanted. Out: the entry, or a build that is here now, checked. Must not judge what
//! came; `publish` does.

use std::path::PathBuf;

use super::control::compared;
use super::windows::{self, WindowsSide};
use super::{Context, Step, engine};
use crate::artefact::{self, Build, BuildId, BuildRef, Store};
use crate::boot;
use crate::build::{Builder, Image, Package};
use crate::error::Error;
use crate::files::{self, FileError, Lock};
use crate::publish::arrival::{self, Announced, Terms};
use crate::publish::wire::{Place, Wire};
use crate::publish::{
    self, Control, Document, Index, Outlet, PublishError, Published, Signer, Submission, TrustedKey,
};
use crate::settings::Settings;
use crate::source::{Patience, Tag};

/// What is wanted of a publication by hand.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The build.
    pub build: BuildRef,
    /// The outlet's folder.
    pub to: PathBuf,
    /// The secret key, and its password if it is locked.
    pub key: Option<(PathBuf, Option<String>)>,
    /// More files for the entry.
    pub documents: Vec<PathBuf>,
    /// The control beside which it was boot-tested.
    pub control: Option<BuildRef>,
}

/// Publishes a finished build and puts it in the outlet's index.
pub fn publish(context: &Context, settings: &Settings, wish: Wish) -> Result<Published, Error> {
    let (submission, signer) = prepare(context, settings, &wish)?;
    let id = submission.build().id().to_string();
    context.reporter.stage("publish", id);
    let outlet = Outlet::new(wish.to);
    let published = publish::publish(&outlet, &submission, signer.as_ref())?;
    publish::write_index(&outlet, &Index::new(&outlet.entries()?))?;
    Ok(published)
}

/// What [`publish()`] would do.
pub fn publish_outlook(
    context: &Context,
    settings: &Settings,
    wish: &Wish,
) -> Result<Vec<Step>, Error> {
    let (submission, signer) = prepare(context, settings, wish)?;
    let outlet = Outlet::new(&wish.to);
    let (build, tag) = (submission.build().id(), submission.tag());
    let steps = match (outlet.find(&tag, build)?, &signer) {
        (Some(entry), _) => vec![format!("compare {} with what is published", entry.path())],
        (None, Some(signer)) => vec![
            format!("write {tag}/{build} to {}", wish.to.display()),
            format!("sign it with {}", signer.key()),
        ],
        (None, None) => vec![
            format!("write {tag}/{build} to {}", wish.to.display()),
            "leave it without a signature: no --sign-key".to_owned(),
        ],
    };
    Ok(vec![Step::planned("publish", steps)])
}

fn prepare(
    context: &Context,
    settings: &Settings,
    wish: &Wish,
) -> Result<(Submission, Option<Signer>), Error> {
    let key = wish.key.clone();
    let signer = key.map(|(file, password)| Signer::read(&file, password));
    let build = Store::new(&context.home).find(&wish.build)?;
    let tag = build.manifest().source.tag.as_deref();
    let tag: Option<Tag> = tag.and_then(|tag| tag.parse().ok());
    let tag = tag.ok_or_else(|| PublishError::NoTag(build.id().clone()))?;
    let mut submission = Submission::new(tag, build)?;
    submission.packages = packages_of(context, settings, submission.build());
    submission.control = match &wish.control {
        Some(name) => Some(beside(context, submission.build(), name)?),
        None => None,
    };
    for path in &wish.documents {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        submission.documents.push(Document {
            name: name.into_owned(),
            content: std::fs::read(path).map_err(|source| FileError::new("read", path, source))?,
        });
    }
    Ok((submission, signer.transpose()?))
}

/// How the boot tests that there are compare.
fn beside(context: &Context, build: &Build, control: &BuildRef) -> Result<Control, Error> {
    let control = Store::new(&context.home).find(control)?;
    let report = boot::read_report(&build.boot_folder())?;
    let boot = boot::read_report(&control.boot_folder())?;
    Ok(Control {
        build: control.id().clone(),
        comparison: compared(&report, &boot),
        boot,
    })
}

/// The packages of the image that made a build which did not note them, if this machine has that very image.
/// A document that lists fewer is no reason not to publish.
#[must_use]
pub fn packages_of(context: &Context, settings: &Settings, build: &Build) -> Vec<Package> {
    if build.folder().join(artefact::PACKAGES).exists() {
        return Vec::new();
    }
    let Some(id) = &build.run().image else {
        return Vec::new();
    };
    let asked = || -> Result<Vec<Package>, Error> {
        let engine = engine(context, settings)?;
        let image = Image::find(&engine, id)?;
        let builder = Builder::new(engine, image, settings.limits, &context.home);
        Ok(builder.packages()?)
    };
    asked().unwrap_or_else(|error| {
        let note = "sbom.json will not list the packages of the builder image";
        context.reporter.warn(format!("{note}: {}", error.chain()));
        Vec::new()
    })
}

/// What is wanted of a publication that is brought here.
#[derive(Debug, Clone)]
pub struct Order {
    /// Where it is: a web address or a folder.
    pub from: String,
    /// A tag, a series, a build, or the newest.
    pub wanted: BuildRef,
    /// Take what nobody trusted signed.
    pub unsigned: bool,
    /// Take what is older than what is installed.
    pub downgrade: bool,
}

/// A publication that is here now, or would be.
#[derive(Debug)]
pub struct Brought {
    /// The build.
    pub build: BuildId,
    /// Whether the store has it.
    pub here: bool,
    /// Who signed it; nothing where it was taken without.
    pub signed_by: Option<TrustedKey>,
    /// What was done, or would be.
    pub steps: Vec<String>,
}

/// Brings a publication into the store, checked. With a `side` that only looks, its list of files is checked and
/// nothing is kept.
pub fn bring(
    context: &Context,
    settings: &Settings,
    side: &WindowsSide,
    order: &Order,
) -> Result<Brought, Error> {
    let place: Place = order.from.parse()?;
    let terms = Terms {
        keys: settings.trust.clone(),
        unsigned: order.unsigned,
        downgrade: order.downgrade,
        installed: windows::installed(context, side)?,
    };
    let _lock = match side.only_look {
        true => None,
        false => Some(Lock::take(&context.home.lock())?),
    };
    let wire = wire(context);
    let found = arrival::find(&wire, &place, &order.wanted, &settings.profile)?;
    let announced = found.announced(&wire, &terms)?;
    context
        .reporter
        .stage("fetch", format!("{} from {place}", announced.entry.build));
    let store = Store::new(&context.home);
    let brought = Brought {
        build: announced.entry.build.clone(),
        here: announced.is_here(&store)?,
        signed_by: announced.signed_by.clone(),
        steps: steps(&announced),
    };
    if brought.here {
        terms.allow(announced.entry.tag)?;
        if !side.only_look {
            announced.forget(&wire)?;
        }
        return Ok(Brought {
            steps: Vec::new(),
            ..brought
        });
    }
    if side.only_look {
        return Ok(brought);
    }
    files::sweep(&context.home.builds())?;
    announced.fetch(&wire)?.judge(&terms)?.import(&store)?;
    Ok(Brought {
        here: true,
        ..brought
    })
}

fn wire(context: &Context) -> Wire {
    Wire {
        cache: context.home.downloads().join("publications"),
        reporter: context.reporter.clone(),
        interrupt: context.interrupt.clone(),
        patience: Patience::default(),
    }
}

fn steps(announced: &Announced) -> Vec<String> {
    let signed = match &announced.signed_by {
        Some(key) => format!("signed by {key}"),
        None => "not signed by anybody trusted here: taken as it is".to_owned(),
    };
    let entry = &announced.entry;
    vec![
        signed,
        format!(
            "fetch {} files, {} bytes",
            entry.files.len(),
            announced.size()
        ),
        "compare every size and SHA-256, and the evidence with the kernel".to_owned(),
        format!("keep it as build {}", entry.build),
    ]
}
