//! The way back: to stock, to what worked before, or to another installed build.
//!
//! In: what is there and where to go. Out: a plan, or nothing to do. It needs the journal, the files and
//! WSL's own format, none of the stages' work: it works when everything else is broken, and `stock` works when
//! the journal is too.

use super::InstallError;
use super::change::Plan;
use super::disk;
use super::generations::{Choice, DEADLINE, Generation, Generations, Guard, State, Trial, meant};
use super::journal::Journal;
use super::layout;
use super::site::{Draft, Site};
use super::steps::Content;

/// Where to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// What was configured before; twice is back again.
    Previous,
    /// WSL's own kernel.
    Stock,
    /// An installed build, by its id or a part that begins it.
    Build(String),
}

/// What is known of the present moment.
#[derive(Debug, Clone, Default)]
pub struct Moment {
    /// Seconds since 1970.
    pub now: u64,
    /// Which start of the virtual machine this is.
    pub boot: String,
}

/// The choice that a target stands for.
pub fn resolve(site: &Site, target: &Target) -> Result<Choice, InstallError> {
    match target {
        Target::Stock => Ok(Choice::Stock),
        Target::Build(name) => {
            named(&site.known, name).map(|generation| Choice::Generation(generation.number))
        }
        Target::Previous => match (site.known.previous, site.actual()) {
            (Some(previous), _) => Ok(previous),
            (None, Choice::Stock) => Err(InstallError::NoPrevious),
            (None, _) => Ok(Choice::Stock),
        },
    }
}

/// The one generation that a name fits; of several of the same build the last.
pub fn named<'a>(known: &'a Generations, name: &str) -> Result<&'a Generation, InstallError> {
    let builds = known.generations.iter().map(|known| known.build.as_str());
    let build = meant(builds, name)?;
    let mut newest = known.generations.iter().rev();
    newest
        .find(|known| known.build == build)
        .ok_or_else(|| InstallError::NoSuchGeneration(name.to_owned()))
}

/// The plan of the way back; nothing if that is where we are. To stock it goes whatever else is damaged.
pub fn plan(site: &Site, target: &Target, moment: &Moment) -> Result<Option<Plan>, InstallError> {
    match way_back(site, target, moment) {
        Err(_) if *target == Target::Stock => plan_anyhow(site).map(Some),
        plan => plan,
    }
}

fn way_back(site: &Site, target: &Target, moment: &Moment) -> Result<Option<Plan>, InstallError> {
    let choice = resolve(site, target)?;
    let actual = site.actual();
    // Without understanding the file we do not know where we are: then stock is made sure of.
    let understood = site.configured().is_some() || site.bytes.is_none();
    if choice == actual && understood && is_noted(&site.known, choice) {
        return Ok(None);
    }
    check_files(site, choice)?;
    let mut known = site.known.clone();
    let new = bytes_for(site, choice)?;
    let stock = site.stock()?;
    let mut draft = Draft::new(site);
    let new = draft.switch(new);
    let good = draft.way("good", site.bytes.clone());
    let stock = draft.way("stock", stock);
    known.ways = draft.ways(new, good, stock);
    known.own = site.own().or(known.own);
    // Who took our lines out by hand left what we had configured, and what cannot be read is not gone back to.
    let left = [Some(actual), Some(known.current), known.previous];
    known.previous = left
        .into_iter()
        .flatten()
        .find(|left| *left != choice && worth_returning(site, *left));
    known.current = choice;
    known.trial = trial(&known, choice, site.next, moment);
    let guard = Guard {
        deadline: DEADLINE,
        ..Guard::default()
    };
    let trial = known.trial_text(&site.layout, &guard);
    draft.know(&known, trial)?;
    Ok(Some(draft.plan("rollback", known.name(choice))))
}

/// Whether what we remember is what is configured, and no trial of another kernel waits for its end.
fn is_noted(known: &Generations, actual: Choice) -> bool {
    let ends = |trial: &Trial| Choice::Generation(trial.generation) != actual;
    known.current == actual && !known.trial.as_ref().is_some_and(ends)
}

/// A kernel that failed is gone to by its name only, and never to what WSL does not start with.
fn worth_returning(site: &Site, choice: Choice) -> bool {
    match choice {
        Choice::Stock => true,
        Choice::Own => site.paths(choice).is_some(),
        Choice::Generation(number) => site
            .known
            .get(number)
            .is_none_or(|generation| generation.state != State::Failed),
    }
}

fn trial(known: &Generations, choice: Choice, change: u32, moment: &Moment) -> Option<Trial> {
    let generation = known.chosen(choice)?;
    (generation.state != State::Blessed).then(|| Trial {
        change,
        generation: generation.number,
        since: moment.now,
        boot: moment.boot.clone(),
        guarded: false,
        missing: None,
    })
}

/// The bytes that were there, where the file is still as we left it and they are still whole; else the
/// smallest edit. What WSL would make of the result is looked at either way.
pub(super) fn bytes_for(site: &Site, choice: Choice) -> Result<Option<Vec<u8>>, InstallError> {
    if choice == Choice::Stock {
        return site.stock();
    }
    let back = site.known.previous == Some(choice) && site.untouched();
    let ways = site.known.ways.as_ref().filter(|_| back);
    if let Some(bytes) = ways.and_then(|ways| site.way_to(choice, &ways.good)) {
        return Ok(bytes);
    }
    let paths = site.paths(choice).ok_or(InstallError::NoPrevious)?;
    site.switched(&site.config()?, Some(&paths), None)
}

/// A kernel that is no longer what it was would leave WSL unable to start.
fn check_files(site: &Site, choice: Choice) -> Result<(), InstallError> {
    let Some(generation) = site.known.chosen(choice) else {
        return Ok(());
    };
    let files = [
        Some((&generation.kernel, generation.kernel_sha256)),
        generation.modules.as_ref().zip(generation.modules_sha256),
    ];
    for (file, expected) in files.into_iter().flatten() {
        let path = site.layout.path(file);
        if !path.exists() {
            return Err(InstallError::Gone(path));
        }
        let found = disk::digest(&path)?;
        if found != expected {
            return Err(InstallError::Differs {
                path,
                expected,
                found,
            });
        }
    }
    Ok(())
}

/// Back to stock when neither the journal nor what is known can be followed. Both are kept for people to look
/// at: what is known as a backup, the journal by [`set_aside`].
pub fn plan_anyhow(site: &Site) -> Result<Plan, InstallError> {
    let mut draft = Draft::new(site);
    // Without any file the stock kernel boots; what was in it is in the backups.
    let stock = site.stock().unwrap_or_default();
    let known_file = site.layout.path(layout::GENERATIONS);
    if let Some(bytes) = disk::bytes_if_there(&known_file)? {
        draft.make(
            layout::backup_of(site.next, "damaged-generations.json"),
            Content::Bytes(bytes),
        );
    }
    let new = draft.switch(stock.clone());
    let good = draft.way("good", site.bytes.clone());
    let stock = draft.way("stock", stock);
    let mut known = site.known.clone();
    known.current = Choice::Stock;
    known.previous = None;
    known.trial = None;
    known.ways = draft.ways(new, good, stock);
    draft.know(&known, None)?;
    Ok(draft.plan("rollback", "stock".to_owned()))
}

/// Puts a journal that cannot be followed out of the way.
pub fn set_aside(site: &Site) -> Result<(), InstallError> {
    let journal = Journal::new(site.layout.journal());
    let history = journal.read()?;
    if history.unfinished().is_some() || !history.damaged.is_empty() {
        journal.set_aside(site.next)?;
    }
    Ok(())
}
