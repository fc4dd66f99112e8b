//! Which kernels nothing needs any more, and why the others stay.
//!
//! In: what is there and which kernel runs. Out: a plan, and a reason for what is kept. Must not
//! touch what is configured, running, the way back, or the last that worked.

use super::InstallError;
use super::change::Plan;
use super::disk;
use super::generations::{Choice, Generation, State, meant};
use super::records::{self, Records};
use super::site::{Draft, Site};
use crate::artefact;

/// Whatever cannot be understood may name any of them.
const UNREADABLE: &str = ".wslconfig cannot be read, and may name it";

/// A kernel that stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The build.
    pub build: String,
    /// Why.
    pub reason: &'static str,
}

/// What will be done.
#[derive(Debug)]
pub struct Cleaning {
    /// The builds whose kernels go.
    pub removed: Vec<String>,
    /// The others.
    pub kept: Vec<Kept>,
    /// The small files of changes gone by; none are looked at where builds are named.
    pub records: Records,
    /// The plan, if anything goes.
    pub plan: Option<Plan>,
}

/// A kernel on the Windows side.
struct Candidate {
    /// The build; of one that nothing is known about, its folder, which is named after the build.
    name: String,
    folder: String,
    generation: Option<u32>,
    /// Why it is needed.
    reason: Option<&'static str>,
}

/// Plans to remove the builds named, or all that can go, and with those the small files of all but the `newest`
/// changes. `release` is the running kernel's.
pub fn plan(
    site: &Site,
    names: &[String],
    newest: usize,
    release: &str,
) -> Result<Cleaning, InstallError> {
    let candidates = candidates(site, release)?;
    let there = || candidates.iter().map(|candidate| candidate.name.as_str());
    let wanted: Vec<String> = names
        .iter()
        .map(|name| meant(there(), name).map(str::to_owned))
        .collect::<Result<_, _>>()?;
    let (mut removed, mut kept, mut folders) = (Vec::new(), Vec::new(), Vec::new());
    let mut known = site.known.clone();
    for candidate in candidates {
        let wanted = names.is_empty() || wanted.contains(&candidate.name);
        let build = candidate.name;
        match candidate.reason.or((!wanted).then_some("it was not named")) {
            Some(reason) => kept.push(Kept { build, reason }),
            None => {
                let stays = |other: &Generation| Some(other.number) != candidate.generation;
                known.generations.retain(stays);
                removed.push(build);
                folders.push(candidate.folder);
            }
        }
    }
    let records = match names.is_empty() {
        true => records::look(&site.layout, &known, newest)?,
        false => Records::default(),
    };
    let mut draft = Draft::new(site);
    if !folders.is_empty() {
        draft.know(&known, keep_trial(site)?)?;
    }
    let gone = folders.into_iter().chain(records.removed.iter().cloned());
    gone.for_each(|gone| draft.remove(gone));
    let about = match removed.is_empty() {
        true => "records".to_owned(),
        false => removed.join(","),
    };
    let plan = Some(draft.plan("clean", about)).filter(|plan| !plan.steps.is_empty());
    Ok(Cleaning {
        removed,
        kept,
        records,
        plan,
    })
}

fn candidates(site: &Site, release: &str) -> Result<Vec<Candidate>, InstallError> {
    let of = |generation: &Generation| Candidate {
        name: generation.build.clone(),
        folder: folder_of(generation).to_owned(),
        generation: Some(generation.number),
        reason: needed(site, generation, release),
    };
    let mut all: Vec<Candidate> = site.known.generations.iter().map(of).collect();
    let forgotten = |folder: &String| all.iter().all(|known| known.folder != *folder);
    let folders = disk::folders_with(&site.layout.folder().linux, artefact::KERNEL)?;
    let forgotten: Vec<String> = folders.into_iter().filter(forgotten).collect();
    all.extend(forgotten.into_iter().map(|folder| Candidate {
        reason: needed_though_forgotten(site, &folder, release),
        name: folder.clone(),
        folder,
        generation: None,
    }));
    Ok(all)
}

fn folder_of(generation: &Generation) -> &str {
    generation.kernel.split('/').next().unwrap_or_default()
}

/// A kernel that is left of a damaged or lost list of what is installed.
fn needed_though_forgotten(site: &Site, folder: &str, release: &str) -> Option<&'static str> {
    let own = site.layout.windows(folder);
    let inside = |path: &String| is_inside(path, own.as_str());
    let configured = site.configured().and_then(|choice| choice.kernel);
    let before = site.known.own.as_ref().map(|(kernel, _)| kernel);
    let mut releases = site.known.generations.iter().map(|known| &known.release);
    match () {
        () if configured.as_ref().is_some_and(inside) => Some("it is configured"),
        () if before.is_some_and(inside) => Some("`wslk rollback` goes back to it"),
        // What runs was built by us and is none of those that are known: it may be this one.
        () if release.contains("-wslk-") && !releases.any(|known| known == release) => {
            Some("it may be the one that runs")
        }
        () if site.configured().is_none() && site.bytes.is_some() => Some(UNREADABLE),
        () => None,
    }
}

/// Name by name: the folder of another copy may begin with the same letters.
fn is_inside(path: &str, folder: &str) -> bool {
    let names = |path: &str| -> Vec<String> {
        let names = path.split(['\\', '/']).filter(|name| !name.is_empty());
        names.map(str::to_ascii_lowercase).collect()
    };
    let (path, folder) = (names(path), names(folder));
    path.len() > folder.len() && path.starts_with(&folder)
}

fn keep_trial(site: &Site) -> Result<Option<String>, InstallError> {
    let bytes = disk::bytes_if_there(&site.layout.path(super::layout::TRIAL))?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

fn needed(site: &Site, generation: &Generation, release: &str) -> Option<&'static str> {
    let own = Choice::Generation(generation.number);
    let last_good = site
        .known
        .generations
        .iter()
        .rev()
        .find(|other| other.state == State::Blessed);
    let on_trial = site.known.trial.as_ref().map(|trial| trial.generation);
    match () {
        () if site.actual() == own => Some("it is configured"),
        () if generation.release == release => Some("it runs"),
        () if on_trial == Some(generation.number) => Some("its trial has not ended"),
        () if site.known.previous == Some(own) => Some("`wslk rollback` goes back to it"),
        () if last_good.is_some_and(|good| good.number == generation.number) => {
            Some("it is the last that worked")
        }
        () if site.configured().is_none() && site.bytes.is_some() => Some(UNREADABLE),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_inside_is_told_by_whole_names() {
        let folder = r"C:\wslk\6.1-criu-0123456789";
        let table = [
            (r"C:\wslk\6.1-criu-0123456789\bzImage", true),
            (r"c:\WSLK\6.1-criu-0123456789/bzImage", true),
            (r"C:\wslk\6.1-criu-0123456789.2\bzImage", false),
            (r"C:\wslk\6.1-criu-0123456789", false),
            (r"D:\wslk\6.1-criu-0123456789\bzImage", false),
        ];
        for (path, inside) in table {
            assert_eq!(is_inside(path, folder), inside, "{path}");
        }
    }
}
