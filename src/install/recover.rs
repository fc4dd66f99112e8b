//! What the next command of any kind does first: what was cut off is finished or undone, what the Windows
//! side decided is taken over, and a trial that can be judged is judged.
//!
//! In: the layout and what the running system is. Out: sentences for the user, none if there was nothing to
//! do. Must not touch a trial that its guard is at work on.

use super::InstallError;
use super::change::{self, Plan, Settled};
use super::generations::Trial;
use super::hold::Hold;
use super::layout::Layout;
use super::site::Site;
use super::steps::Means;
use super::trial::{self, Outcome, Standing, Verdict};

/// What is known of the running system.
pub struct Running<'a> {
    /// `uname -r`; nothing outside WSL, where no trial can be judged.
    pub release: Option<String>,
    /// Which start of the virtual machine this is.
    pub boot: String,
    /// Seconds since 1970.
    pub now: u64,
    /// Says what is wrong with the running system, for a generation that runs.
    pub checks: &'a dyn Fn(&Site, &Trial) -> Vec<String>,
}

impl std::fmt::Debug for Running<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("release", &self.release)
            .finish_non_exhaustive()
    }
}

/// Puts everything in order and says what was done.
pub fn recover(
    layout: &Layout,
    running: &Running<'_>,
    hold: &Hold,
) -> Result<Vec<String>, InstallError> {
    let mut said: Vec<String> = change::settle(layout, hold)?.iter().map(sentence).collect();
    let site = Site::read(layout.clone())?;
    if let Some(verdict) = Verdict::read(&site)? {
        said.push(verdict_sentence(&site, &verdict));
        carry_out(&site, trial::take(&site, &verdict)?, hold)?;
    }
    let site = Site::read(layout.clone())?;
    if let Some(plan) = trial::mend(&site)? {
        carry_out(&site, Some(plan), hold)?;
        said.push(format!(
            "rollback.cmd had switched the kernel off above what you wrote in {}; now its lines and the \
             kernel's are gone and yours are left",
            site.layout.config_windows()
        ));
    }
    let site = Site::read(layout.clone())?;
    if let (Some(trial), Some(release)) = (site.known.trial.clone(), &running.release) {
        said.extend(judge(&site, &trial, release, running, hold)?);
    }
    Ok(said)
}

fn judge(
    site: &Site,
    trial: &Trial,
    release: &str,
    running: &Running<'_>,
    hold: &Hold,
) -> Result<Option<String>, InstallError> {
    let name = |site: &Site| {
        let generation = site.known.get(trial.generation);
        generation.map_or_else(String::new, |generation| generation.build.clone())
    };
    let standing = trial::standing(site, trial, release, &running.boot, running.now)?;
    let reason = match standing {
        Standing::Waiting | Standing::Guarded | Standing::Ignored => return Ok(None),
        Standing::Abandoned => {
            "the trial was cut off: Windows was switched off, or its window was closed".to_owned()
        }
        Standing::Running => {
            let wrong = (running.checks)(site, trial);
            if wrong.is_empty() {
                carry_out(site, trial::bless(site)?, hold)?;
                return Ok(Some(format!(
                    "{} runs and passed its checks: it is the last good kernel now",
                    name(site)
                )));
            }
            wrong.join("; ")
        }
    };
    carry_out(site, trial::revert(site, &reason)?, hold)?;
    Ok(Some(format!(
        "{} did not pass its trial ({reason}); what worked before is configured again and boots after \
         `wsl --shutdown`",
        name(site)
    )))
}

fn carry_out(site: &Site, plan: Option<Plan>, hold: &Hold) -> Result<(), InstallError> {
    match plan {
        Some(plan) => change::carry_out(&plan, &site.layout, &Means::SMALL, hold),
        None => Ok(()),
    }
}

fn sentence(settled: &Settled) -> String {
    let Settled {
        number,
        kind,
        about,
        finished,
    } = settled;
    let what = if *finished { "finished" } else { "undone" };
    format!("change {number:04} ({kind} {about}) was cut off and has been {what}")
}

fn verdict_sentence(site: &Site, verdict: &Verdict) -> String {
    let name = site.known.trial.as_ref().map_or_else(
        || "the kernel".to_owned(),
        |trial| site.known.name(super::Choice::Generation(trial.generation)),
    );
    let reason = &verdict.reason;
    match verdict.outcome {
        Outcome::Blessed => format!("{name} passed its trial: it is the last good kernel now"),
        Outcome::Reverted => {
            format!("{name} failed its trial ({reason}); what worked before is back")
        }
        Outcome::RolledBack => format!("somebody went back from Windows ({reason})"),
    }
}
