//! Which kernels nothing needs any more, and why the others stay.
//!
//! In: what is there and which kernel runs. Out: a plan, and a reason for each kernel that is kept. Must not
//! touch what is configured, running, the way back, or the last that worked.

use super::InstallError;
use super::change::Plan;
use super::generations::{Choice, Generation, State};
use super::site::{Draft, Site};

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
    /// The plan, if anything goes.
    pub plan: Option<Plan>,
}

/// Plans to remove the builds named, or all that can go. `release` is the running kernel's.
pub fn plan(site: &Site, names: &[String], release: &str) -> Result<Cleaning, InstallError> {
    let unknown = names.iter().find(|name| {
        let all = &site.known.generations;
        !all.iter()
            .any(|generation| generation.build.starts_with(*name))
    });
    if let Some(name) = unknown {
        return Err(InstallError::NoSuchGeneration(name.clone()));
    }
    let mut cleaning = Cleaning {
        removed: Vec::new(),
        kept: Vec::new(),
        plan: None,
    };
    let mut known = site.known.clone();
    let mut draft = Draft::new(site);
    let mut folders = Vec::new();
    for generation in &site.known.generations {
        let named = names.is_empty() || names.iter().any(|name| generation.build.starts_with(name));
        let reason = match needed(site, generation, release) {
            None if !named => Some("it was not named"),
            reason => reason,
        };
        match reason {
            Some(reason) => cleaning.kept.push(Kept {
                build: generation.build.clone(),
                reason,
            }),
            None => {
                cleaning.removed.push(generation.build.clone());
                known
                    .generations
                    .retain(|other| other.number != generation.number);
                let folder = generation.kernel.split('/').next().unwrap_or_default();
                folders.push(folder.to_owned());
            }
        }
    }
    if !folders.is_empty() {
        draft.know(&known, keep_trial(site)?)?;
        folders.into_iter().for_each(|folder| draft.remove(folder));
        cleaning.plan = Some(draft.plan("clean", cleaning.removed.join(",")));
    }
    Ok(cleaning)
}

fn keep_trial(site: &Site) -> Result<Option<String>, InstallError> {
    let bytes = super::disk::bytes_if_there(&site.layout.path(super::layout::TRIAL))?;
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
        // Whatever cannot be understood may name any of them.
        () if site.configured().is_none() && site.bytes.is_some() => {
            Some(".wslconfig cannot be read, and may name it")
        }
        () => None,
    }
}
