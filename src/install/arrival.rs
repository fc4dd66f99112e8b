//! The plan of an installation: copies under new names, then `.wslconfig`, then what is known.
//!
//! In: a build that the [`Gate`] lets through, what is there, and the circumstances. Out: a [`Plan`]. Must not
//! change anything: the plan can be shown instead of carried out.

use std::path::PathBuf;

use super::InstallError;
use super::change::Plan;
use super::disk;
use super::generations::{Choice, DEADLINE, Generation, Generations, Guard, State, Trial};
use super::layout;
use super::preflight::WindowsFacts;
use super::rescue;
use super::rollback;
use super::site::{Draft, Paths, Site};
use super::steps::Content;
use crate::artefact::{self, Build, Proven};
use crate::digest::Sha256;

/// What a disk needs beside the kernels: journal, backups, scripts.
const SLACK: u64 = 4 << 20;

/// What may be installed.
#[derive(Debug)]
pub enum Gate {
    /// A build whose very bytes passed their boot test.
    Proven(Proven),
    /// A build that did not, and why it is installed nevertheless. The reason is kept for ever.
    Waived {
        /// The build.
        build: Build,
        /// The user's reason.
        reason: String,
    },
}

impl Gate {
    /// Lets a build through: by its evidence, else by the user's reason.
    pub fn pass(build: Build, waiver: Option<String>) -> Result<Self, InstallError> {
        let id = build.id().to_string();
        match (build.proven(), waiver) {
            (_, Some(reason)) if reason.trim().is_empty() => Err(InstallError::NoReason),
            (Ok(proven), _) => Ok(Self::Proven(proven)),
            (Err(unproven), Some(reason)) => Ok(Self::Waived {
                build: unproven.build,
                reason,
            }),
            (Err(unproven), None) => Err(InstallError::Unproven {
                build: id,
                reason: unproven.reason,
            }),
        }
    }

    /// The build.
    #[must_use]
    pub fn build(&self) -> &Build {
        match self {
            Self::Proven(proven) => proven.build(),
            Self::Waived { build, .. } => build,
        }
    }

    fn waiver(&self) -> Option<String> {
        match self {
            Self::Proven(_) => None,
            Self::Waived { reason, .. } => Some(reason.clone()),
        }
    }
}

/// The circumstances of an installation.
#[derive(Debug, Clone, Default)]
pub struct Circumstances {
    /// What Windows says of itself.
    pub windows: WindowsFacts,
    /// Whether a script on the Windows side tries the kernel at once.
    pub restart: bool,
    /// The distribution that the trial starts.
    pub distro: String,
    /// The command that checks it.
    pub check: String,
    /// What of that is missing now already; nothing where nobody can look.
    pub missing: Option<Vec<String>>,
    /// Seconds since 1970.
    pub now: u64,
    /// Which start of the virtual machine this is.
    pub boot: String,
}

/// One file that goes over.
#[derive(Debug)]
struct Image {
    file: String,
    from: PathBuf,
    sha256: Sha256,
    size: u64,
}

/// The plan. Refuses what would not fit, and what WSL would not read as it is meant.
pub fn plan(site: &Site, gate: &Gate, around: &Circumstances) -> Result<Plan, InstallError> {
    let build = gate.build();
    around.windows.takes(build.modules_disk().is_some())?;
    let images = images(site, build)?;
    let fresh: Vec<&Image> = images
        .iter()
        .filter(|image| !site.layout.path(&image.file).exists())
        .collect();
    space(site, fresh.iter().map(|image| image.size).sum())?;
    let mut draft = Draft::new(site);
    for image in fresh {
        let content = Content::Copy {
            from: image.from.clone(),
            sha256: image.sha256,
        };
        draft.make(image.file.clone(), content);
    }
    if around.windows.hides_user_disks() {
        images[1..]
            .iter()
            .for_each(|image| draft.grant(image.file.clone()));
    }
    for (name, bytes) in rescue::files() {
        draft.put(name, Some(bytes))?;
    }
    let mut known = site.known.clone();
    let generation = generation(site, gate, around, &images);
    let blessed = configure(site, &mut draft, &mut known, &generation, around)?;
    known
        .generations
        .retain(|old| old.build != generation.build);
    known.generations.push(generation);
    known.trial = Some(Trial {
        change: site.next,
        generation: site.next,
        since: around.now,
        boot: around.boot.clone(),
        guarded: around.restart,
        missing: around.missing.clone(),
    });
    let guard = Guard {
        distro: around.distro.clone(),
        deadline: DEADLINE,
        check: around.check.clone(),
        blessed,
    };
    let trial = known.trial_text(&site.layout, &guard);
    draft.know(&known, trial)?;
    Ok(draft.plan("install", build.id().to_string()))
}

/// Switches `.wslconfig` over and notes every way back. Returns the bytes to leave behind after the trial.
fn configure(
    site: &Site,
    draft: &mut Draft<'_>,
    known: &mut Generations,
    generation: &Generation,
    around: &Circumstances,
) -> Result<Option<String>, InstallError> {
    let windows = |file: &String| site.layout.windows(file).to_string();
    let paths: Paths = (
        windows(&generation.kernel),
        generation.modules.as_ref().map(windows),
    );
    let console = around.restart.then(|| windows(&layout::console(site.next)));
    let config = site.config()?;
    let plain = site.switched(&config, Some(&paths), None)?;
    let new = match &console {
        Some(console) => site.switched(&config, Some(&paths), Some(console))?,
        None => plain.clone(),
    };
    let (previous, good) = last_good(site, &generation.build)?;
    known.own = site.own().or_else(|| known.own.take());
    known.previous = Some(previous);
    known.current = Choice::Generation(site.next);
    let stock = site.stock()?;
    let new = draft.switch(new);
    let good = draft.way("good", good);
    let stock = draft.way("stock", stock);
    let blessed = draft.way("blessed", console.and(plain));
    known.ways = draft.ways(new, good, stock);
    Ok(blessed)
}

/// Whether this very build is configured and has passed its trial.
#[must_use]
pub fn is_in_place(site: &Site, build: &Build) -> bool {
    let output = build.manifest().outputs.get(artefact::KERNEL);
    site.known.chosen(site.actual()).is_some_and(|generation| {
        generation.build == build.id().as_str()
            && generation.state == State::Blessed
            && output.is_some_and(|output| output.sha256 == generation.kernel_sha256)
            && site.layout.path(&generation.kernel).exists()
    })
}

/// What WSL runs with now is good, unless that is itself still on trial, or is the build that is being
/// installed again: then it is what was good before.
fn last_good(site: &Site, build: &str) -> Result<(Choice, Option<Vec<u8>>), InstallError> {
    let actual = site.actual();
    let is = |choice: Choice| {
        let generation = site.known.chosen(choice);
        generation.is_some_and(|generation| generation.build == build)
    };
    // Modules without a kernel, with which WSL does not start.
    if actual == Choice::Own && site.own().is_none() {
        return Ok((Choice::Stock, site.stock()?));
    }
    if site.known.trial.is_none() && !is(actual) {
        return Ok((actual, site.bytes.clone()));
    }
    let before = site.known.previous.filter(|previous| !is(*previous));
    match (&site.known.ways, before) {
        (Some(_), Some(previous)) if site.untouched() => {
            Ok((previous, rollback::bytes_for(site, previous)?))
        }
        _ if is(actual) => Ok((Choice::Stock, site.stock()?)),
        _ => Ok((actual, site.bytes.clone())),
    }
}

fn generation(site: &Site, gate: &Gate, around: &Circumstances, images: &[Image]) -> Generation {
    let manifest = gate.build().manifest();
    let modules = images.get(1);
    Generation {
        number: site.next,
        build: manifest.id.to_string(),
        release: manifest.release.clone(),
        kernel: images[0].file.clone(),
        kernel_sha256: images[0].sha256,
        modules: modules.map(|image| image.file.clone()),
        modules_sha256: modules.map(|image| image.sha256),
        installed: around.now,
        wsl: around.windows.wsl,
        untested: gate.waiver(),
        state: State::Untried,
        reason: None,
        console: None,
        panic: None,
    }
}

/// The kernel first, then the modules disk, under names that are free or that hold these very bytes.
fn images(site: &Site, build: &Build) -> Result<Vec<Image>, InstallError> {
    let id = build.id().as_str();
    let folders = std::iter::once(id.to_owned()).chain((2..100).map(|n| format!("{id}.{n}")));
    for folder in folders {
        let images = images_in(&folder, build)?;
        let mut usable = true;
        for image in &images {
            let path = site.layout.path(&image.file);
            usable &= !path.exists() || disk::digest(&path)? == image.sha256;
        }
        if usable {
            return Ok(images);
        }
    }
    Err(InstallError::Taken(site.layout.path(id)))
}

fn images_in(folder: &str, build: &Build) -> Result<Vec<Image>, InstallError> {
    let image = |name: &str| {
        let output = build.manifest().outputs.get(name)?;
        Some(Image {
            file: format!("{folder}/{name}"),
            from: build.folder().join(name),
            sha256: output.sha256,
            size: output.size,
        })
    };
    let kernel = image(artefact::KERNEL);
    let kernel = kernel.ok_or_else(|| InstallError::NotAnImage(build.kernel()))?;
    Ok(std::iter::once(kernel)
        .chain(image(artefact::MODULES_DISK))
        .collect())
}

fn space(site: &Site, size: u64) -> Result<(), InstallError> {
    let folder = &site.layout.folder().linux;
    let needed = size + SLACK;
    match disk::free_space(folder) {
        Some(free) if free < needed => Err(InstallError::NoSpace {
            folder: folder.clone(),
            needed,
            free,
        }),
        _ => Ok(()),
    }
}
