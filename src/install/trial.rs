//! The trial of a kernel: how it ended, and what follows: bless or revert.
//!
//! In: what is there, and what the script on the Windows side or the running system says. Out: a plan that
//! writes the outcome down and, where needed, puts `.wslconfig` back. Must not ask anybody anything, nor
//! start or stop WSL.

use super::InstallError;
use super::change::Plan;
use super::disk;
use super::generations::{Choice, DEADLINE, Generations, State, Trial, Ways};
use super::layout::{self, TRIAL, VERDICT};
use super::pairs::value;
use super::rollback;
use super::site::{Draft, Site};

/// Seconds that `trial.cmd` gives the check.
const CHECK: u32 = 600;
/// Starts that it waits for at most: the new kernel, once more after a check that could not be run, the old one.
const STARTS: u32 = 3;
/// Seconds that `rollback.cmd` waits for `wsl --shutdown`, and how often a trial asks for that.
const SHUTDOWN: u32 = 60;
const SHUTDOWNS: u32 = 3;
/// Seconds after which a guard that has not said anything is dead. Its ticks are a little longer than seconds,
/// and between the installation and its first word it has to start: half as much again.
const GUARD_PATIENCE: u32 = (STARTS * DEADLINE + CHECK + SHUTDOWNS * SHUTDOWN) / 2 * 3;

/// What the Windows side left for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The trial's number.
    pub number: Option<u32>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why.
    pub reason: String,
    /// The file with the kernel's own words, as Windows names it.
    pub console: Option<String>,
    /// The file with what Windows kept of the kernel's panic.
    pub panic: Option<String>,
}

/// How a trial ended, or that somebody went back from Windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The kernel ran and passed.
    Blessed,
    /// It did not, and what was there before is back.
    Reverted,
    /// Somebody ran `rollback.cmd`.
    RolledBack,
}

impl Verdict {
    /// Reads `verdict.txt`; nothing if it says nothing that we know.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let outcome = match value(text, "verdict")? {
            "blessed" => Outcome::Blessed,
            "reverted" => Outcome::Reverted,
            "rolled-back" => Outcome::RolledBack,
            _ => return None,
        };
        let file = |key| {
            let path = value(text, key).filter(|path| !matches!(*path, "" | "none"));
            path.map(str::to_owned)
        };
        Some(Self {
            number: value(text, "number").and_then(|number| number.parse().ok()),
            outcome,
            reason: value(text, "reason").unwrap_or_default().to_owned(),
            console: file("console"),
            panic: file("panic"),
        })
    }

    /// The verdict that lies there, if any.
    pub fn read(site: &Site) -> Result<Option<Self>, InstallError> {
        let bytes = disk::bytes_if_there(&site.layout.path(VERDICT))?;
        Ok(bytes.and_then(|bytes| Self::parse(&crate::wsl::decode::decode(&bytes))))
    }
}

/// What a pending trial comes to, as seen from the running system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// WSL has not been restarted yet.
    Waiting,
    /// The script on the Windows side is at work.
    Guarded,
    /// The kernel runs: it can be checked and blessed.
    Running,
    /// WSL was restarted and runs another kernel.
    Ignored,
    /// The script began and did not come to an end: Windows was switched off, or it was closed.
    Abandoned,
}

/// How a trial stands. `release` and `boot` are those of the running kernel, `now` is in seconds since 1970.
pub fn standing(
    site: &Site,
    trial: &Trial,
    release: &str,
    boot: &str,
    now: u64,
) -> Result<Standing, InstallError> {
    let text = disk::bytes_if_there(&site.layout.path(TRIAL))?.unwrap_or_default();
    let text = crate::wsl::decode::decode(&text);
    let began = value(&text, "phase") == Some("running");
    let fresh = now.saturating_sub(trial.since) < u64::from(GUARD_PATIENCE);
    let ours = site
        .known
        .get(trial.generation)
        .is_some_and(|generation| generation.release == release);
    Ok(match () {
        () if began && fresh => Standing::Guarded,
        () if ours => Standing::Running,
        () if began => Standing::Abandoned,
        () if boot == trial.boot => Standing::Waiting,
        () if trial.guarded && !fresh => Standing::Abandoned,
        () => Standing::Ignored,
    })
}

/// The kernel ran and passed its checks: it is what `rollback` will go back to from now on.
pub fn bless(site: &Site) -> Result<Option<Plan>, InstallError> {
    let Some(trial) = &site.known.trial else {
        return Ok(None);
    };
    let mut known = site.known.clone();
    known.trial = None;
    let mut about = format!("change {:04}", trial.change);
    if let Some(generation) = known.get_mut(trial.generation) {
        generation.state = State::Blessed;
        generation.reason = None;
        about.clone_from(&generation.build);
    }
    let mut draft = Draft::new(site);
    quieten(site, trial, &mut known, &mut draft)?;
    close(&mut draft, &known)?;
    Ok(Some(draft.plan("bless", about)))
}

/// Takes the kernel's log out of `.wslconfig`, which only the trial needed.
fn quieten(
    site: &Site,
    trial: &Trial,
    known: &mut Generations,
    draft: &mut Draft<'_>,
) -> Result<(), InstallError> {
    let file = layout::candidate(trial.change, "blessed");
    let whole = site.way_to(site.actual(), &Some(file.clone()));
    let Some(Some(bytes)) = whole else {
        return Ok(());
    };
    let Some(ways) = &mut known.ways else {
        return Ok(());
    };
    if site.bytes.as_ref() == Some(&bytes) {
        ways.new = Some(file);
    } else if site.untouched() {
        ways.new = draft.switch(Some(bytes));
    }
    Ok(())
}

/// What the Windows side did is taken over; `.wslconfig` is already as it says.
pub fn take(site: &Site, verdict: &Verdict) -> Result<Option<Plan>, InstallError> {
    let own = |trial: &Trial| verdict.number.is_none_or(|number| number == trial.change);
    let trial = site.known.trial.clone().filter(own);
    match (verdict.outcome, trial) {
        (Outcome::Blessed, Some(_)) => bless(site),
        // A verdict about a trial that is long over says nothing new.
        (Outcome::Blessed, None) => forget(site),
        (Outcome::Reverted | Outcome::RolledBack, trial) => {
            went_back(site, verdict, trial.as_ref())
        }
    }
}

fn forget(site: &Site) -> Result<Option<Plan>, InstallError> {
    let mut draft = Draft::new(site);
    draft.put(VERDICT, None)?;
    Ok(Some(draft.plan("verdict", "nothing new".to_owned())))
}

fn went_back(
    site: &Site,
    verdict: &Verdict,
    trial: Option<&Trial>,
) -> Result<Option<Plan>, InstallError> {
    let mut known = site.known.clone();
    if let Some(trial) = trial {
        fail(&mut known, trial, verdict);
    }
    let actual = site.actual();
    known.previous = Some(site.known.current).filter(|left| {
        let failed = known
            .chosen(*left)
            .is_some_and(|generation| generation.state == State::Failed);
        *left != actual && !failed
    });
    known.current = actual;
    let mut draft = Draft::new(site);
    known.ways = ways_from_here(site, &mut draft)?;
    close(&mut draft, &known)?;
    let about = known.name(actual);
    Ok(Some(draft.plan("verdict", about)))
}

/// The ways from a file that we did not write ourselves.
fn ways_from_here(site: &Site, draft: &mut Draft<'_>) -> Result<Option<Ways>, InstallError> {
    let old = site.known.ways.clone().unwrap_or_default();
    let is_here = |file: &Option<String>| site.way(file).is_ok_and(|bytes| bytes == site.bytes);
    let here = [&old.stock, &old.good]
        .into_iter()
        .find(|file| is_here(file));
    let new = match here {
        Some(file) => file.clone(),
        None => draft.way("new", site.bytes.clone()),
    };
    let stock = match here {
        Some(_) => old.stock.clone(),
        None => draft.way("stock", site.stock()?),
    };
    Ok(draft.ways(new, old.new, stock))
}

/// What `rollback.cmd` writes above a file that it may not edit, since the first value wins: a comment with this
/// in it, and these lines.
const MARK: &str = "rollback.cmd of wslk";
const OFF: [&str; 3] = ["[wsl2]", "kernel=", "kernelModules="];

/// Where `rollback.cmd` could only switch our kernel off above the user's text: takes those lines away again,
/// and our own values with them.
pub fn mend(site: &Site) -> Result<Option<Plan>, InstallError> {
    let Some(rest) = site.bytes.as_deref().and_then(below_head) else {
        return Ok(None);
    };
    let config = site.understood(rest)?;
    let bytes = site.switched(&config, None, None)?;
    let mut known = site.known.clone();
    let mut draft = Draft::new(site);
    let new = draft.switch(bytes.clone());
    let stock = draft.way("stock", bytes);
    let good = known.ways.take().and_then(|ways| ways.good);
    known.ways = draft.ways(new, good, stock);
    let trial = disk::bytes_if_there(&site.layout.path(TRIAL))?;
    draft.know(
        &known,
        trial.map(|text| String::from_utf8_lossy(&text).into_owned()),
    )?;
    Ok(Some(draft.plan("mend", "stock".to_owned())))
}

/// The bytes below those lines, if every one of them is there as it was written.
fn below_head(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.split_inclusive('\n');
    let first = lines.next()?;
    let mut head = first.len();
    for expected in OFF {
        let line = lines.next().filter(|line| line.trim_end() == expected)?;
        head += line.len();
    }
    (first.starts_with('#') && first.contains(MARK)).then(|| bytes[head..].to_vec())
}

/// The kernel did not pass: what worked before is put back, and the reason is kept with the generation.
pub fn revert(site: &Site, reason: &str) -> Result<Option<Plan>, InstallError> {
    let (Some(trial), Some(ways)) = (&site.known.trial, &site.known.ways) else {
        return Ok(None);
    };
    let mut known = site.known.clone();
    let console = Some(layout::console(trial.change))
        .filter(|file| site.layout.path(file).exists())
        .map(|file| site.layout.windows(&file).to_string());
    let verdict = Verdict {
        number: Some(trial.change),
        outcome: Outcome::Reverted,
        reason: reason.to_owned(),
        console,
        panic: None,
    };
    fail(&mut known, trial, &verdict);
    let good = known.previous.unwrap_or(Choice::Stock);
    let bytes = rollback::bytes_for(site, good)?;
    let mut draft = Draft::new(site);
    let new = draft.switch(bytes);
    known.ways = draft.ways(new.clone(), new, ways.stock.clone());
    known.current = good;
    known.previous = (good != Choice::Stock).then_some(Choice::Stock);
    close(&mut draft, &known)?;
    let about = known.name(good);
    Ok(Some(draft.plan("revert", about)))
}

fn fail(known: &mut Generations, trial: &Trial, verdict: &Verdict) {
    known.trial = None;
    if let Some(generation) = known.get_mut(trial.generation) {
        generation.state = State::Failed;
        generation.reason = Some(verdict.reason.clone());
        generation.console.clone_from(&verdict.console);
        generation.panic.clone_from(&verdict.panic);
    }
}

/// No trial is pending any more, and no verdict waits.
fn close(draft: &mut Draft<'_>, known: &Generations) -> Result<(), InstallError> {
    draft.know(known, None)?;
    draft.put(VERDICT, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_script_are_found() {
        let head = "# Kernel switched off by rollback.cmd of wslk.\r\n[wsl2]\r\nkernel=\r\nkernelModules=\r\n";
        let text = format!("{head}[wsl2]\r\nmemory=1GB\r\n");
        assert_eq!(
            below_head(text.as_bytes()),
            Some(b"[wsl2]\r\nmemory=1GB\r\n".to_vec())
        );
        assert_eq!(below_head(b"# rollback\n[wsl2]\n"), None);
    }

    /// Whoever judges a trial while its guard is at work undoes what the guard does.
    #[test]
    fn patience_outlasts_the_guard() {
        let scripts: String = crate::install::rescue::files()
            .into_iter()
            .map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned())
            .collect();
        let count = |what: &str| scripts.matches(what).count() as u32;
        assert_eq!(count(&format!("call :await check {CHECK}\r\n")), 1);
        assert_eq!(count("call :await "), 2, "the check, and a start");
        assert_eq!(count("call :boot "), STARTS);
        assert_eq!(count("call .\\rollback.cmd --stop"), SHUTDOWNS);
        assert_eq!(
            count(&format!("if \"%waited%\"==\"{SHUTDOWN}\" exit /b 0")),
            1
        );
        let longest = STARTS * DEADLINE + CHECK + SHUTDOWNS * SHUTDOWN;
        assert!(GUARD_PATIENCE > longest + 120);
    }

    #[test]
    fn a_verdict_is_read() {
        let text = "number=0007\r\nverdict=reverted\r\nto=previous\r\nreason=no answer in 120 s\r\n\
                    console=C:\\x\\0007.log\r\ntime=12:00\r\n";
        let verdict = Verdict::parse(text).expect("a verdict");
        assert_eq!(
            (verdict.number, verdict.outcome),
            (Some(7), Outcome::Reverted)
        );
        assert_eq!(verdict.reason, "no answer in 120 s");
        assert_eq!(verdict.console.as_deref(), Some(r"C:\x\0007.log"));
        for text in ["", "verdict=maybe\r\n", "number=7\r\n"] {
            assert_eq!(Verdict::parse(text), None, "{text}");
        }
    }
}
