//! The verb `install`: all that is asked before anything changes, the change, and the restart into its trial.
//!
//! In: a build's name and what was wished. Out: [`Installed`]: what was done, or would be. Must not plan the
//! change itself: that is [`arrival`]'s.

use super::host::{Host, remember};
use super::{WindowsSide, now};
use crate::artefact::{Build, BuildRef, Store};
use crate::error::Error;
use crate::install::arrival::{self, Circumstances, Gate};
use crate::install::preflight::{self, WindowsFacts};
use crate::install::{InstallError, Plan, Site};
use crate::pipeline::{Context, trial};
use crate::wsl::host::Wsl;
use crate::wsl::path::WindowsPath;
use crate::wsl::wslconfig::{Facts, Report};

const SAFE_MODE: &str = "safeMode=true in .wslconfig: WSL boots its stock kernel, whatever is installed, until \
                         that line is gone";

/// What is wanted of an installation.
#[derive(Debug, Clone)]
pub struct InstallOptions {
    /// The build.
    pub build: BuildRef,
    /// Whether to restart WSL into it at once.
    pub restart: bool,
    /// The reason for doing without a boot test.
    pub untested: Option<String>,
    /// The distribution that the trial starts.
    pub distro: Option<String>,
}

/// What an installation did, or would do.
#[derive(Debug)]
pub struct Installed {
    /// The build's id.
    pub build: String,
    /// What was done, step by step.
    pub steps: Vec<String>,
    /// Why there was no boot test that counts.
    pub untested: Option<String>,
    /// Whether WSL goes down now for the trial.
    pub restarting: bool,
    /// The folder on the Windows side.
    pub folder: String,
    /// What WSL makes of `.wslconfig` as it is, drawn; of a dry run only.
    pub lint: Option<String>,
}

impl Installed {
    fn planned(site: &Site, gate: &Gate, plan: &Plan) -> Result<Self, InstallError> {
        Ok(Self {
            steps: plan.describe(&site.layout),
            lint: lint(site)?,
            ..Self::nothing_to_do(site, gate.build())
        })
    }

    fn done(site: &Site, gate: &Gate, plan: &Plan, options: &InstallOptions) -> Self {
        let waived = matches!(gate, Gate::Waived { .. });
        Self {
            steps: plan.describe(&site.layout),
            untested: options.untested.clone().filter(|_| waived),
            restarting: options.restart,
            ..Self::nothing_to_do(site, gate.build())
        }
    }

    fn nothing_to_do(site: &Site, build: &Build) -> Self {
        Self {
            build: build.id().to_string(),
            steps: Vec::new(),
            untested: None,
            restarting: false,
            folder: site.layout.folder().windows.to_string(),
            lint: None,
        }
    }
}

/// Installs a build; with `restart`, `agreed` decides whether WSL may go down with all that runs in it.
pub fn install(
    context: &Context,
    side: &WindowsSide,
    options: &InstallOptions,
    agreed: &dyn Fn(&[String]) -> Result<(), InstallError>,
) -> Result<Installed, Error> {
    let _lock = side.lock(context)?;
    let host = Host::find(context, side)?;
    let facts = preflight::windows(host.windows.as_ref())?;
    let hold = host.hold(context, side)?;
    host.recover(hold.as_ref(), context)?;
    let gate = admit(context, options)?;
    let site = host.site()?;
    if site.config()?.is_safe_mode() {
        context.reporter.warn(SAFE_MODE);
    }
    if !options.restart && arrival::is_in_place(&site, gate.build()) {
        return Ok(Installed::nothing_to_do(&site, gate.build()));
    }
    let around = circumstances(context, &host, options, facts)?;
    let plan = arrival::plan(&site, &gate, &around)?;
    if side.only_look {
        return Ok(Installed::planned(&site, &gate, &plan)?);
    }
    if options.restart {
        agreed(&running_distros(&host)?)?;
    }
    remember(context, &site.layout)?;
    host.carry_out(context, &site, &plan, hold.as_ref())?;
    if options.restart {
        start_trial(context, &host, &site, &plan)?;
    }
    Ok(Installed::done(&site, &gate, &plan, options))
}

/// The build that is meant, if it may be installed.
fn admit(context: &Context, options: &InstallOptions) -> Result<Gate, Error> {
    let build = Store::new(&context.home).find(&options.build)?;
    context.reporter.stage("install", build.id().to_string());
    for note in preflight::build(&build)? {
        context.reporter.warn(note);
    }
    Ok(Gate::pass(build, options.untested.clone())?)
}

fn circumstances(
    context: &Context,
    host: &Host<'_>,
    options: &InstallOptions,
    facts: WindowsFacts,
) -> Result<Circumstances, Error> {
    let inside = host.surroundings.wsl() == Wsl::Two;
    let missing = inside.then(|| trial::missing(context));
    Ok(Circumstances {
        check: trial::command(context, missing.as_deref()),
        missing,
        windows: facts,
        restart: options.restart,
        distro: distro(host, options)?,
        now: now(),
        boot: host.surroundings.boot.clone(),
    })
}

fn distro(host: &Host<'_>, options: &InstallOptions) -> Result<String, Error> {
    let here = host.surroundings.distro.clone();
    let wanted = options.distro.clone().or(here);
    Ok(match &host.windows {
        Some(windows) => preflight::distro(windows, wanted.as_deref())?,
        None => wanted.unwrap_or_default(),
    })
}

fn running_distros(host: &Host<'_>) -> Result<Vec<String>, InstallError> {
    match &host.windows {
        Some(windows) => Ok(windows.running()?),
        None => Err(InstallError::NothingToRestart),
    }
}

/// Hands the trial to the script on the Windows side, which restarts WSL.
fn start_trial(context: &Context, host: &Host<'_>, site: &Site, plan: &Plan) -> Result<(), Error> {
    // From its first committing step on the installation went on to its end; all that runs in WSL need not.
    if context.interrupt.is_set() {
        return Err(InstallError::NotRestarted(plan.about.clone()).into());
    }
    let Some(windows) = &host.windows else {
        return Ok(());
    };
    let number = format!("{:04}", plan.number);
    let folder = &site.layout.folder().linux;
    windows
        .start_script(folder, &[r".\trial.cmd", &number])
        .map_err(InstallError::from)?;
    Ok(())
}

/// What WSL really does with `.wslconfig` as it is, drawn line by line; nothing where it is in order. A policy
/// that forbids our keys is a refusal long before.
fn lint(site: &Site) -> Result<Option<String>, InstallError> {
    let config = site.config()?;
    let exists = |path: &WindowsPath| Some(site.layout.linux(path)?.exists());
    let findings = config.findings(&Facts {
        exists: &exists,
        forbidden: &[],
    });
    let name = site.layout.config_windows().to_string();
    Ok(Report::new(&name, config.text(), &findings).map(|report| report.drawn()))
}
