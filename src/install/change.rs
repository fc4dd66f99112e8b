//! A change: a plan carried out step by step under the journal, and what becomes of one that was cut off.
//!
//! In: a [`Plan`], pure data. Out: the new state, or the old one and an error. After a kill, [`settle`]
//! goes by the journal: before the first step that [commits](Step::commits) it undoes, after it it finishes.
//! Only of `.wslconfig` it believes the file more than the journal, which a power cut may have shortened. Must
//! not know what a plan is for.

use std::path::Path;

use super::InstallError;
use super::hold::Hold;
use super::journal::{History, Journal, Mark, Record};
use super::layout::Layout;
use super::reserve;
use super::steps::{self, Contents, Means, Named, Step};

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

/// Carries a plan out. An error undoes it and is [`InstallError::Undone`] then, or
/// [`InstallError::NotUndone`]; except [`InstallError::Overtaken`]: then somebody else already has.
///
/// The journal is written three times, each time flushed before what follows: the plan and that its new files
/// are begun; that they are there and what [commits](Step::commits) is begun; that all is done. So a step that
/// is begun in the journal may not have been when it was cut off, and undoing it does nothing then.
///
/// The user can stop it as long as no step was begun that commits; from there on it goes on to the end.
pub fn carry_out(
    plan: &Plan,
    layout: &Layout,
    means: &Means<'_>,
    _hold: &Hold,
) -> Result<(), InstallError> {
    reserve::use_up_if_full(layout);
    let mut journal = Journal::new(layout.journal());
    // The plan was made from what was there before somebody else's change.
    if journal.read()?.last_number() >= plan.number {
        return Err(InstallError::Overtaken(layout.journal()));
    }
    // What lies there is somebody else's: undoing what was announced would remove it.
    for step in &plan.steps {
        if let Step::Make { file } = step
            && layout.path(file).exists()
        {
            return Err(InstallError::Taken(layout.path(file)));
        }
    }
    if (means.stop)() {
        return Err(InstallError::Interrupted);
    }
    let mut records = vec![plan.heading()];
    records.extend(plan.marked(Mark::Planned, |_| true));
    records.extend(plan.marked(Mark::Begin, |step| !step.commits()));
    journal.append(&records)?;
    if let Err(error) = take(plan, layout, means, &mut journal) {
        return Err(undone(error, plan, layout, &mut journal));
    }
    records = plan.marked(Mark::Done, Step::commits).collect();
    records.push(ended(plan.number, Mark::Done));
    journal.append(&records)?;
    reserve::lay_by(layout);
    Ok(())
}

impl Plan {
    fn heading(&self) -> Record {
        let count = self.steps.len().to_string();
        let fields = [
            ("kind", self.kind),
            ("about", &self.about),
            ("steps", &count),
        ];
        Record {
            number: self.number,
            step: "change".to_owned(),
            mark: Mark::Planned,
            fields: fields
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
        }
    }

    fn marked(&self, mark: Mark, which: fn(&Step) -> bool) -> impl Iterator<Item = Record> {
        let steps = self.steps.iter().filter(move |step| which(step));
        steps.map(move |step| step.record(self.number, mark))
    }
}

/// All steps, from the first new file to the last that is replaced.
fn take(
    plan: &Plan,
    layout: &Layout,
    means: &Means<'_>,
    journal: &mut Journal,
) -> Result<(), InstallError> {
    steps::prepare(&plan.steps, layout, &plan.contents, means.stop)?;
    for step in &plan.steps {
        if let Step::Grant { file } = step {
            assert_wanted(means)?;
            (means.grant)(&layout.windows(file))?;
        }
    }
    assert_wanted(means)?;
    let mut records: Vec<Record> = plan.marked(Mark::Done, |step| !step.commits()).collect();
    records.extend(plan.marked(Mark::Begin, Step::commits));
    journal.append(&records)?;
    for step in plan.steps.iter().filter(|step| step.commits()) {
        step.commit(layout)?;
    }
    steps::flush(&plan.steps, layout)
}

fn assert_wanted(means: &Means<'_>) -> Result<(), InstallError> {
    match (means.stop)() {
        true => Err(InstallError::Interrupted),
        false => Ok(()),
    }
}

/// Undoes a change that failed, and says whether that worked beside why it failed.
fn undone(
    error: InstallError,
    plan: &Plan,
    layout: &Layout,
    journal: &mut Journal,
) -> InstallError {
    let others = match &error {
        InstallError::Overtaken(_) => return error,
        InstallError::Taken(path) => Some(path.clone()),
        _ => None,
    };
    let ours = |step: &&Step| match step {
        Step::Make { file } => others.as_ref() != Some(&layout.path(file)),
        _ => true,
    };
    let steps: Vec<Step> = plan.steps.iter().filter(ours).cloned().collect();
    let error = Box::new(error);
    reserve::use_up_if_full(layout);
    match undo(&steps, plan.number, layout, journal) {
        Ok(()) => InstallError::Undone(error),
        Err(undo) => InstallError::NotUndone {
            source: error,
            undo: Box::new(undo),
        },
    }
}

/// Undoes the steps that were begun, the last one first.
fn undo(
    steps: &[Step],
    number: u32,
    layout: &Layout,
    journal: &mut Journal,
) -> Result<(), InstallError> {
    let records = journal.read()?.records;
    let has = |step: &Step, mark| records.contains(&step.record(number, mark));
    // What was written beside the files that were to be replaced lies there since before that was begun.
    for step in steps {
        step.tidy(layout)?;
    }
    for step in steps.iter().rev() {
        // Of one that was taken back already, before a kill, the old bytes may be gone.
        if has(step, Mark::Begin) && !has(step, Mark::Undone) {
            step.undo(layout)?;
            journal.append(&[step.record(number, Mark::Undone)])?;
        }
    }
    journal.append(&[ended(number, Mark::Undone)])
}

fn ended(number: u32, mark: Mark) -> Record {
    Record {
        number,
        step: "change".to_owned(),
        mark,
        fields: Vec::new(),
    }
}

/// Finishes or undoes the last change, if it was cut off: with the lock held nobody is still at it.
pub fn settle(layout: &Layout, _hold: &Hold) -> Result<Option<Settled>, InstallError> {
    reserve::use_up_if_full(layout);
    let mut journal = Journal::new(layout.journal());
    let history = journal.read()?;
    let Some((number, records)) = history.unfinished() else {
        return Ok(None);
    };
    let (planned, head) = planned(&history, number, &records, layout)?;
    let finished = match () {
        // Something has a higher number, so this one had ended before: the journal has lost its tail.
        () if last_named(layout) > number => {
            journal.append(&[ended(number, Mark::Done)])?;
            true
        }
        () if is_committed(&planned, &records, number, layout)? => {
            finish(&planned, number, &records, layout, &mut journal)?;
            true
        }
        () => {
            undo(&planned, number, layout, &mut journal)?;
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

/// The whole plan as the journal has it, and its heading. No steps if only a part of it is there.
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
    match whole {
        true => Ok((steps, head)),
        false if !begun && history.damaged.is_empty() => Ok((Vec::new(), head)),
        false => Err(damaged()),
    }
}

/// Whether a change has to be finished. Where `.wslconfig` is to be replaced, only if it is the new one already,
/// or names what this change made: before that nothing has changed for WSL, and whoever wrote another meanwhile
/// (the user, or `rollback.cmd`) meant it.
fn is_committed(
    steps: &[Step],
    records: &[&Record],
    number: u32,
    layout: &Layout,
) -> Result<bool, InstallError> {
    let has = |step: &Step, mark| records.contains(&&step.record(number, mark));
    let named = Named::read(layout)?;
    for step in steps {
        if let Step::Make { file } = step
            && !has(step, Mark::Done)
            && !layout.path(file).exists()
        {
            return Ok(false);
        }
    }
    let made_and_named =
        |step: &Step| matches!(step, Step::Make { file } if named.names(layout, file));
    let switch = |step: &&Step| matches!(step, Step::Switch { .. });
    if let Some(switch) = steps.iter().find(switch) {
        let there = has(switch, Mark::Done) || switch.is_in_place(layout)?;
        return Ok(there || steps.iter().any(made_and_named));
    }
    for step in steps.iter().filter(|step| step.commits()) {
        if has(step, Mark::Begin) || step.is_in_place(layout)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn finish(
    steps: &[Step],
    number: u32,
    records: &[&Record],
    layout: &Layout,
    journal: &mut Journal,
) -> Result<(), InstallError> {
    for step in steps.iter().filter(|step| step.commits()) {
        if records.contains(&&step.record(number, Mark::Done)) {
            continue;
        }
        journal.append(&[step.record(number, Mark::Begin)])?;
        // It is in place, or there is what somebody wrote since.
        match step {
            Step::Switch { .. } => step.tidy(layout)?,
            _ => step.finish(layout)?,
        }
        journal.append(&[step.record(number, Mark::Done)])?;
    }
    journal.append(&[ended(number, Mark::Done)])
}

/// The number of the next change: higher than every number that anything of ours has.
pub fn next_number(layout: &Layout) -> Result<u32, InstallError> {
    let last = Journal::new(layout.journal()).read()?.last_number();
    Ok(last.max(last_named(layout)) + 1)
}

/// The highest number in the name of a file.
fn last_named(layout: &Layout) -> u32 {
    let named = ["backups", "candidates"]
        .iter()
        .filter_map(|folder| highest(&layout.path(folder)))
        .max();
    named.unwrap_or_default()
}

fn highest(folder: &Path) -> Option<u32> {
    let entries = std::fs::read_dir(folder).ok()?;
    let number = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        name.get(..4)?.parse().ok()
    };
    entries.flatten().filter_map(number).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::disk;
    use crate::install::steps::Content;
    use crate::wsl::host::Profile;

    fn profile() -> (tempfile::TempDir, Layout) {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().join("c/Users/me");
        std::fs::create_dir_all(home.join("AppData/Local")).expect("made");
        let profile = Profile::at(&home).expect("a profile");
        let layout = Layout::choose(&profile, None).expect("a layout");
        (folder, layout)
    }

    /// Makes a file, widens its rights, switches `.wslconfig` to it.
    fn plan() -> Plan {
        let file = "candidates/0001-new.wslconfig".to_owned();
        Plan {
            number: 1,
            kind: "install",
            about: "a".to_owned(),
            contents: [(file.clone(), Content::Bytes(b"[wsl2]\n".to_vec()))].into(),
            steps: vec![
                Step::Make { file: file.clone() },
                Step::Grant { file: file.clone() },
                Step::Switch {
                    to: Some(file),
                    was: None,
                },
            ],
        }
    }

    #[test]
    fn a_change_that_somebody_else_settled_stops() {
        let (_folder, layout) = profile();
        let hold = Hold::take(&layout).expect("free");
        // As where locks are not seen: another wslk takes it for cut off, and undoes it.
        let other = |_: &_| {
            let settled = settle(&layout, &hold)?.expect("it is unfinished");
            assert!(!settled.finished);
            Ok(())
        };
        let means = Means {
            grant: &other,
            ..Means::SMALL
        };
        let stopped = carry_out(&plan(), &layout, &means, &hold);
        assert!(matches!(stopped, Err(InstallError::Overtaken(_))));
        assert!(!layout.config().exists(), "nothing was switched");
        let late = carry_out(&plan(), &layout, &Means::SMALL, &hold);
        assert!(matches!(late, Err(InstallError::Overtaken(_))), "{late:?}");
    }

    #[test]
    fn it_can_be_stopped_until_it_commits() {
        for asked in 0..6 {
            let (_folder, layout) = profile();
            let hold = Hold::take(&layout).expect("free");
            let times = std::cell::Cell::new(0);
            let stop = || times.replace(times.get() + 1) >= asked;
            let means = Means {
                stop: &stop,
                ..Means::SMALL
            };
            let ended = carry_out(&plan(), &layout, &means, &hold);
            // Before it begins, and before each of the three steps.
            assert_eq!(ended.is_ok(), asked > 3, "{asked}: {ended:?}");
            assert_eq!(layout.config().exists(), ended.is_ok());
            let made = layout.path("candidates/0001-new.wslconfig");
            assert_eq!(made.exists(), ended.is_ok(), "{asked}");
            assert_eq!(settle(&layout, &hold).expect("settled"), None);
        }
    }

    #[test]
    fn an_undo_that_fails_does_not_hide_why_it_was_tried() {
        let (_folder, layout) = profile();
        let hold = Hold::take(&layout).expect("free");
        let mut plan = plan();
        let other = "candidates/0001-other".to_owned();
        let bytes = Content::Bytes(Vec::new());
        plan.contents.insert(other.clone(), bytes);
        plan.steps.insert(
            1,
            Step::Make {
                file: other.clone(),
            },
        );
        let denied = |_: &_| {
            // A folder in the place of the file can be removed by nobody.
            let path = layout.path(&other);
            std::fs::remove_file(&path).expect("removed");
            std::fs::create_dir(&path).expect("made");
            std::fs::write(path.join("x"), "").expect("written");
            Err(InstallError::NoPrevious)
        };
        let means = Means {
            grant: &denied,
            ..Means::SMALL
        };
        let error = carry_out(&plan, &layout, &means, &hold).expect_err("denied");
        let said = error.to_string();
        assert!(said.contains("nothing to go back to"), "{said}");
        assert!(said.contains("could not be undone"), "{said}");
        let hint = error.hint().unwrap_or_default();
        assert!(!hint.contains("what was begun is undone"), "{hint}");
    }

    /// Steps are announced together: a kill leaves some that were never begun.
    #[test]
    fn what_was_only_announced_is_left_as_it_is() {
        for (found, left) in [("old", "old"), ("new", "old"), ("theirs", "theirs")] {
            let (_folder, layout) = profile();
            let hold = Hold::take(&layout).expect("free");
            let mut plan = plan();
            let (file, to, was) = ("state/x", "candidates/0001-x", "backups/0001-x");
            let small = |file: &str| file.to_owned();
            plan.steps.push(Step::Put {
                file: small(file),
                to: Some(small(to)),
                was: Some(small(was)),
            });
            for (name, text) in [(file, found), (to, "new"), (was, "old")] {
                disk::replace(&layout.path(name), Some(text.as_bytes())).expect("made");
            }
            let litter = disk::litter(&layout.path(file));
            std::fs::write(&litter, "half").expect("written");
            let mut records = vec![plan.heading()];
            records.extend(plan.marked(Mark::Planned, |_| true));
            records.extend(plan.marked(Mark::Begin, |_| true));
            let mut journal = Journal::new(layout.journal());
            journal.append(&records).expect("written");
            let settled = settle(&layout, &hold).expect("settled").expect("cut off");
            assert!(!settled.finished);
            let text = std::fs::read_to_string(layout.path(file)).expect("read");
            assert_eq!(text, left, "{found}");
            assert!(!litter.exists() && !layout.config().exists());
        }
    }

    #[test]
    fn nobody_else_has_the_hold() {
        let (_folder, layout) = profile();
        let hold = Hold::take(&layout).expect("free");
        assert!(matches!(Hold::take(&layout), Err(InstallError::Busy(_))));
        drop(hold);
        Hold::take(&layout).expect("free again");
    }
}
