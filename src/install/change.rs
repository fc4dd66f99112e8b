//! A change: a plan carried out step by step under the journal, and what becomes of one that was cut off.
//!
//! In: a [`Plan`], pure data. Out: the new state, or the old one and an error. After a kill, [`settle`]
//! goes by the journal alone: before the first step that [commits](Step::commits) it undoes, after it it
//! finishes. Must not know what a plan is for.

use std::path::Path;

use super::InstallError;
use super::disk;
use super::journal::{History, Journal, Mark, Record};
use super::layout::Layout;
use super::steps::{self, Contents, Granter, Step};

/// A change that has not begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Its number; the names of its files begin with it.
    pub number: u32,
    /// What it is, in one word: "install", "rollback", "bless" …
    pub kind: &'static str,
    /// What it is about: a build, a way back.
    pub about: String,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// What the new files hold.
    pub contents: Contents,
}

impl Plan {
    /// The steps for people, in order.
    #[must_use]
    pub fn describe(&self, layout: &Layout) -> Vec<String> {
        self.steps
            .iter()
            .map(|step| step.describe(layout))
            .collect()
    }
}

/// A change that was found cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Its number.
    pub number: u32,
    /// What it was.
    pub kind: String,
    /// What it was about.
    pub about: String,
    /// Whether it was finished; else it was undone.
    pub finished: bool,
}

/// Carries a plan out. An error undoes it.
pub fn carry_out(plan: &Plan, layout: &Layout, grant: &Granter<'_>) -> Result<(), InstallError> {
    let journal = Journal::new(layout.journal());
    let count = plan.steps.len().to_string();
    let mut records = vec![Record {
        number: plan.number,
        step: "change".to_owned(),
        mark: Mark::Planned,
        fields: [
            ("kind", plan.kind),
            ("about", &plan.about),
            ("steps", &count),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec(),
    }];
    let planned = |step: &Step| step.record(plan.number, Mark::Planned);
    records.extend(plan.steps.iter().map(planned));
    journal.append(&records)?;
    for (at, step) in plan.steps.iter().enumerate() {
        if let Err(error) = take(step, plan, layout, grant, &journal) {
            undo(&plan.steps[..=at], plan.number, layout, &journal)?;
            return Err(error);
        }
    }
    journal.append(&[ended(plan.number, Mark::Done)])?;
    Ok(())
}

fn take(
    step: &Step,
    plan: &Plan,
    layout: &Layout,
    grant: &Granter<'_>,
    journal: &Journal,
) -> Result<(), InstallError> {
    // What lies there is somebody else's: undoing this step must not remove it.
    if let Step::Make { file } = step
        && layout.path(file).exists()
    {
        return Err(InstallError::Taken(layout.path(file)));
    }
    journal.append(&[step.record(plan.number, Mark::Begin)])?;
    step.perform(layout, &plan.contents, grant)?;
    journal.append(&[step.record(plan.number, Mark::Done)])?;
    Ok(())
}

/// Undoes the steps that were begun, the last one first.
fn undo(
    steps: &[Step],
    number: u32,
    layout: &Layout,
    journal: &Journal,
) -> Result<(), InstallError> {
    let begun: Vec<Record> = journal
        .read()?
        .records
        .into_iter()
        .filter(|record| record.number == number && record.mark == Mark::Begin)
        .collect();
    for step in steps.iter().rev() {
        if begun.contains(&step.record(number, Mark::Begin)) {
            step.undo(layout)?;
            journal.append(&[step.record(number, Mark::Undone)])?;
        }
    }
    journal.append(&[ended(number, Mark::Undone)])?;
    Ok(())
}

fn ended(number: u32, mark: Mark) -> Record {
    Record {
        number,
        step: "change".to_owned(),
        mark,
        fields: Vec::new(),
    }
}

/// Finishes or undoes the last change, if it was cut off.
pub fn settle(layout: &Layout) -> Result<Option<Settled>, InstallError> {
    let journal = Journal::new(layout.journal());
    let history = journal.read()?;
    let Some((number, records)) = history.unfinished() else {
        return Ok(None);
    };
    let (planned, head) = planned(&history, number, &records, layout)?;
    let begun = |step: &&Step| records.contains(&&step.record(number, Mark::Begin));
    let committed = planned
        .iter()
        .position(|step| step.commits() && begun(&step));
    let finished = match committed {
        Some(from) if may_finish(&planned, &records, number, layout)? => {
            finish(&planned[from..], number, &records, layout, &journal)?;
            true
        }
        _ => {
            undo(&planned, number, layout, &journal)?;
            false
        }
    };
    let field = |name: &str| head.field(name).unwrap_or_default().to_owned();
    Ok(Some(Settled {
        number,
        kind: field("kind"),
        about: field("about"),
        finished,
    }))
}

/// The whole plan as the journal has it, and its heading.
fn planned<'a>(
    history: &History,
    number: u32,
    records: &[&'a Record],
    layout: &Layout,
) -> Result<(Vec<Step>, &'a Record), InstallError> {
    let damaged = || InstallError::Journal {
        file: layout.journal(),
        lines: history.damaged.clone(),
        number,
    };
    let head = records
        .iter()
        .find(|record| record.step == "change" && record.mark == Mark::Planned)
        .ok_or_else(damaged)?;
    let steps: Vec<Step> = records
        .iter()
        .filter(|record| record.mark == Mark::Planned)
        .filter_map(|record| Step::recorded(record))
        .collect();
    let begun = records.iter().any(|record| record.mark == Mark::Begin);
    let whole = head.field("steps") == Some(steps.len().to_string().as_str());
    // A plan of which only a part reached the disk was not begun either.
    match whole || (!begun && history.damaged.is_empty()) {
        true => Ok((steps, head)),
        false => Err(damaged()),
    }
}

/// Only if `.wslconfig` is already the new one: as long as it is not, nothing has changed for WSL, and whoever
/// wrote another meanwhile (the user, or `rollback.cmd`) meant it.
fn may_finish(
    steps: &[Step],
    records: &[&Record],
    number: u32,
    layout: &Layout,
) -> Result<bool, InstallError> {
    for step in steps {
        let done = records.contains(&&step.record(number, Mark::Done));
        if let Step::Switch { to, .. } = step
            && !done
        {
            let now = disk::bytes_if_there(&steps::config(layout)?)?;
            return Ok(now == steps::bytes(layout, to.as_deref())?);
        }
    }
    Ok(true)
}

fn finish(
    steps: &[Step],
    number: u32,
    records: &[&Record],
    layout: &Layout,
    journal: &Journal,
) -> Result<(), InstallError> {
    for step in steps {
        if records.contains(&&step.record(number, Mark::Done)) {
            continue;
        }
        journal.append(&[step.record(number, Mark::Begin)])?;
        step.finish(layout)?;
        journal.append(&[step.record(number, Mark::Done)])?;
    }
    Ok(journal.append(&[ended(number, Mark::Done)])?)
}

/// The number of the next change: higher than every number that anything of ours has.
pub fn next_number(layout: &Layout) -> Result<u32, InstallError> {
    let last = Journal::new(layout.journal()).read()?.last_number();
    let named = ["backups", "candidates"]
        .iter()
        .filter_map(|folder| highest(&layout.path(folder)))
        .max();
    Ok(last.max(named.unwrap_or_default()) + 1)
}

fn highest(folder: &Path) -> Option<u32> {
    let entries = std::fs::read_dir(folder).ok()?;
    let number = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        name.get(..4)?.parse().ok()
    };
    entries.flatten().filter_map(number).max()
}
