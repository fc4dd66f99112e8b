//! The Windows side as the verbs see it: install, rollback, status, clean, and what every command does first.
//!
//! In: what the user wants and where this process runs. Out: the outcome of one verb. Must not do the work of
//! `install`, and must not draw.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Context, trial};
use crate::artefact::{Build, BuildId, BuildRef, Store};
use crate::error::Error;
use crate::files::{self, Lock};
use crate::install::arrival::{self, Circumstances, Gate};
use crate::install::clean::{self, Cleaning};
use crate::install::preflight::WindowsFacts;
use crate::install::recover::{Running, recover};
use crate::install::rollback::{self, Moment, Target};
use crate::install::steps::Means;
use crate::install::trial::standing;
use crate::install::{self, Choice, Hold, InstallError, Layout, Plan, Site, Trial, preflight};
use crate::process;
use crate::source::Tag;
use crate::status::{Seen, Status};
use crate::wsl::host::{Profile, Surroundings, Windows, Wsl};
use crate::wsl::path::WindowsPath;
use crate::wsl::wslconfig::{Facts, Report};

const SAFE_MODE: &str = "safeMode=true in .wslconfig: WSL boots its stock kernel, whatever is installed, until \
                         that line is gone";

/// Where the Windows side is, and whether anything may be changed there.
#[derive(Debug, Clone, Default)]
pub struct WindowsSide {
    /// `--windows-home`: the profile.
    pub home: Option<PathBuf>,
    /// `--windows-dir`: our folder.
    pub folder: Option<PathBuf>,
    /// `--dry-run`: only look.
    pub only_look: bool,
}

impl WindowsSide {
    /// The lock of the home, for who changes something.
    fn lock(&self, context: &Context) -> Result<Option<Lock>, Error> {
        let wanted = (!self.only_look).then(|| context.lock());
        Ok(wanted.transpose()?)
    }
}

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

/// What a rollback did, or would do.
#[derive(Debug)]
pub struct RolledBack {
    /// What is configured now.
    pub to: String,
    /// Whether anything had to be done.
    pub changed: bool,
    /// What was done, step by step.
    pub steps: Vec<String>,
}

/// Windows as this process finds it.
#[derive(Debug)]
struct Host<'a> {
    surroundings: Surroundings,
    windows: Option<Windows<'a>>,
    layout: Layout,
}

impl<'a> Host<'a> {
    /// Asks Windows where everything is.
    fn find(context: &'a Context, side: &WindowsSide) -> Result<Self, Error> {
        let (surroundings, windows) = around(context);
        let profile = match (&side.home, &windows) {
            (Some(home), _) => Profile::at(&absolute(home)),
            (None, windows) => {
                let asked = windows.unwrap_or(Windows::new(context.runner.as_ref()));
                Profile::find(&surroundings, &asked)
            }
        };
        let profile = profile.map_err(InstallError::from)?;
        let folder = side.folder.as_deref().map(absolute);
        // The folder named, else the one that was used before, else the usual one.
        let before = remembered(context).filter(|before| {
            folder.is_none() && before.config().parent() == Some(&profile.home.linux)
        });
        let layout = match before {
            Some(before) => before,
            None => Layout::choose(&profile, folder.as_deref())?,
        };
        Ok(Self {
            surroundings,
            windows,
            layout,
        })
    }

    /// Goes by what is remembered: the way back must not depend on whether Windows answers.
    fn known(context: &'a Context, side: &WindowsSide) -> Result<Self, Error> {
        let named = side.home.is_some() || side.folder.is_some();
        match remembered(context).filter(|_| !named) {
            Some(layout) => {
                let (surroundings, windows) = around(context);
                Ok(Self {
                    surroundings,
                    windows,
                    layout,
                })
            }
            None => Self::find(context, side),
        }
    }

    /// `uname -r`, where it says anything about a kernel of ours.
    fn release(&self) -> Option<String> {
        (self.surroundings.wsl() == Wsl::Two).then(|| self.surroundings.release.clone())
    }

    fn moment(&self) -> Moment {
        Moment {
            now: now(),
            boot: self.surroundings.boot.clone(),
        }
    }

    /// The lock of the Windows side, for who changes something; not before our folder is there.
    fn hold(&self, context: &Context, side: &WindowsSide) -> Result<Option<Hold>, InstallError> {
        let wanted = !side.only_look && self.layout.folder().linux.exists();
        let tell = || context.waits();
        wanted.then(|| Hold::wait(&self.layout, &tell)).transpose()
    }

    /// Puts in order what is not; who does not hold the lock says so, and leaves it.
    fn recover(&self, hold: Option<&Hold>, context: &Context) -> Result<(), Error> {
        if let Some(hold) = hold {
            return put_in_order(context, &self.layout, &self.surroundings, hold);
        }
        let journal = install::journal::Journal::new(self.layout.journal());
        if journal.read()?.unfinished().is_some() {
            let note = "an earlier change was cut off, or is at work; if it was cut off, it is finished or \
                        undone first";
            context.reporter.warn(note);
        }
        Ok(())
    }

    fn site(&self) -> Result<Site, InstallError> {
        Site::read(self.layout.clone())
    }
}

fn around(context: &Context) -> (Surroundings, Option<Windows<'_>>) {
    let surroundings = surroundings();
    let inside = surroundings.wsl() != Wsl::No;
    let windows = inside.then(|| Windows::new(context.runner.as_ref()));
    (surroundings, windows)
}

/// Where the Windows side was when something was installed last. It is a hint: what cannot be read is none.
fn remembered(context: &Context) -> Option<Layout> {
    let text = files::read_if_there(&context.home.windows()).ok()??;
    Layout::remembered(&text)
}

fn remember(context: &Context, layout: &Layout) -> Result<(), Error> {
    let path = context.home.windows();
    let known = files::read_if_there(&path).ok().flatten();
    match known.as_deref() == Some(&layout.remember()) {
        true => Ok(()),
        false => Ok(files::replace(&path, layout.remember())?),
    }
}

/// What a command that has nothing to do with the Windows side does first: what was cut off is finished or
/// undone, and a trial that can be judged is. Never in the way of that command.
pub fn tidy(context: &Context) {
    let Some(layout) = remembered(context) else {
        return;
    };
    // Whoever holds the lock has done the same.
    let (Ok(_lock), Ok(hold)) = (Lock::take(&context.home.lock()), Hold::take(&layout)) else {
        return;
    };
    if let Err(error) = put_in_order(context, &layout, &surroundings(), &hold) {
        context.reporter.warn(error.chain());
    }
}

/// Puts in order what was cut off or decided meanwhile, and says so.
fn put_in_order(
    context: &Context,
    layout: &Layout,
    surroundings: &Surroundings,
    hold: &Hold,
) -> Result<(), Error> {
    let inside = surroundings.wsl() == Wsl::Two;
    let running = Running {
        release: inside.then(|| surroundings.release.clone()),
        boot: surroundings.boot.clone(),
        now: now(),
        checks: &|site: &Site, running: &Trial| trial::failures(context, site, running),
    };
    for sentence in recover(layout, &running, hold)? {
        context.reporter.warn(sentence);
    }
    Ok(())
}

/// The tag of the kernel of ours that is configured, if one is.
pub(super) fn installed(context: &Context, side: &WindowsSide) -> Result<Option<Tag>, Error> {
    let site = Host::find(context, side)?.site()?;
    let Choice::Generation(number) = site.actual() else {
        return Ok(None);
    };
    let build = site.known.get(number).map(|generation| &generation.build);
    let id: Option<BuildId> = build.and_then(|build| build.parse().ok());
    Ok(id.and_then(|id| id.version().parse().ok()))
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
    let build = Store::new(&context.home).find(&options.build)?;
    context.reporter.stage("install", build.id().to_string());
    for note in preflight::build(&build)? {
        context.reporter.warn(note);
    }
    let gate = Gate::pass(build, options.untested.clone())?;
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
    carry_out(context, &host, &site, &plan, hold.as_ref())?;
    if options.restart {
        // From its first committing step on the installation went on to its end; all that runs in WSL need not.
        if context.interrupt.is_set() {
            return Err(InstallError::NotRestarted(plan.about).into());
        }
        start_guard(&host, &site, plan.number)?;
    }
    Ok(Installed {
        build: gate.build().id().to_string(),
        steps: plan.describe(&site.layout),
        untested: options
            .untested
            .clone()
            .filter(|_| matches!(gate, Gate::Waived { .. })),
        restarting: options.restart,
        folder: site.layout.folder().windows.to_string(),
        lint: None,
    })
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

fn start_guard(host: &Host<'_>, site: &Site, number: u32) -> Result<(), Error> {
    let Some(windows) = &host.windows else {
        return Ok(());
    };
    let number = format!("{number:04}");
    let folder = &site.layout.folder().linux;
    windows
        .start_script(folder, &[r".\trial.cmd", &number])
        .map_err(InstallError::from)?;
    Ok(())
}

/// Goes back. To stock it goes whatever is damaged, and without a name it goes at least there.
pub fn rollback(
    context: &Context,
    side: &WindowsSide,
    target: &Target,
) -> Result<RolledBack, Error> {
    let _lock = side.lock(context)?;
    let host = Host::known(context, side)?;
    let hold = host.hold(context, side)?;
    let site = host
        .recover(hold.as_ref(), context)
        .and_then(|()| Ok(host.site()?));
    let (plan, site) = match site {
        Ok(site) => (rollback::plan(&site, target, &host.moment())?, site),
        Err(error) if goes_to_stock(target, &error) => {
            context.reporter.warn(error.chain());
            if *target == Target::Previous {
                let note =
                    "what worked before is not known any more: back to the stock kernel instead";
                context.reporter.warn(note);
            }
            let site = Site::read_anyhow(host.layout.clone())?;
            let plan = rollback::plan_anyhow(&site)?;
            if !side.only_look && is_damaged(&error, &site)? {
                rollback::set_aside(&site)?;
            }
            (Some(plan), site)
        }
        Err(error) => return Err(error),
    };
    if let Some(plan) = plan.as_ref().filter(|_| !side.only_look) {
        carry_out(context, &host, &site, plan, hold.as_ref())?;
    }
    let to = match &plan {
        Some(plan) => plan.about.clone(),
        None => site.known.name(site.actual()),
    };
    Ok(RolledBack {
        to,
        changed: plan.is_some(),
        steps: plan.map_or_else(Vec::new, |plan| plan.describe(&site.layout)),
    })
}

/// Whether the way back is to stock, though it cannot be planned from what is there.
fn goes_to_stock(target: &Target, error: &Error) -> bool {
    let forgotten = || {
        matches!(
            error,
            Error::Install(InstallError::Generations { .. } | InstallError::Journal { .. })
        )
    };
    match target {
        Target::Stock => true,
        Target::Previous => forgotten(),
        Target::Build(_) => false,
    }
}

/// Whether the journal itself is at fault: a sound one is needed to settle what it tells of.
fn is_damaged(error: &Error, site: &Site) -> Result<bool, InstallError> {
    let history = install::journal::Journal::new(site.layout.journal()).read()?;
    let told = matches!(error, Error::Install(InstallError::Journal { .. }));
    Ok(told || !history.damaged.is_empty())
}

/// What is installed, configured and running.
pub fn status(context: &Context, side: &WindowsSide) -> Result<Status, Error> {
    let host = Host::known(context, side)?;
    // Whoever holds a lock does the same; to look, nobody has to wait.
    let wanted = !side.only_look && host.layout.folder().linux.exists();
    let lock = wanted
        .then(|| Lock::take(&context.home.lock()).ok())
        .flatten();
    let hold = lock.as_ref().and_then(|_| Hold::take(&host.layout).ok());
    host.recover(hold.as_ref(), context)?;
    let site = host.site()?;
    let release = host.release();
    let standing = match (&site.known.trial, &release) {
        (Some(trial), Some(release)) => Some(standing(
            &site,
            trial,
            release,
            &host.surroundings.boot,
            now(),
        )?),
        (Some(_), None) => Some(install::trial::Standing::Waiting),
        (None, _) => None,
    };
    let seen = Seen {
        running: release,
        wsl: wsl_version(&host),
        standing,
    };
    Ok(Status::new(&site, &seen))
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

/// Only a comparison depends on it: a Windows that does not answer is no reason to show nothing.
fn wsl_version(host: &Host<'_>) -> Option<crate::wsl::version::WslVersion> {
    host.windows.as_ref()?.version().ok().flatten()
}

/// Removes kernels that nothing needs any more, and the small files and journal lines of all but the `newest`
/// changes.
pub fn clean(
    context: &Context,
    side: &WindowsSide,
    names: &[String],
    newest: usize,
) -> Result<Cleaning, Error> {
    let _lock = side.lock(context)?;
    let host = Host::known(context, side)?;
    let hold = host.hold(context, side)?;
    host.recover(hold.as_ref(), context)?;
    let site = host.site()?;
    let cleaning = clean::plan(&site, names, newest, &host.surroundings.release)?;
    if side.only_look {
        return Ok(cleaning);
    }
    if let Some(plan) = &cleaning.plan {
        carry_out(context, &host, &site, plan, hold.as_ref())?;
    }
    if names.is_empty() && hold.is_some() {
        install::journal::Journal::new(site.layout.journal())
            .shorten(newest)
            .map_err(InstallError::from)?;
    }
    Ok(cleaning)
}

fn carry_out(
    context: &Context,
    host: &Host<'_>,
    site: &Site,
    plan: &Plan,
    hold: Option<&Hold>,
) -> Result<(), Error> {
    // The first of all changes makes the folder that the lock lies in.
    let tell = || context.waits();
    let own;
    let hold = match hold {
        Some(hold) => hold,
        None => {
            own = Hold::wait(&site.layout, &tell)?;
            &own
        }
    };
    let grant = |file: &WindowsPath| match &host.windows {
        Some(windows) => windows.let_read(file).map_err(|error| {
            let version = windows.version().ok().flatten();
            version.map_or(InstallError::from(error), InstallError::HiddenDisk)
        }),
        None => Ok(()),
    };
    let stop = || context.interrupt.is_set();
    let means = Means {
        grant: &grant,
        stop: &stop,
    };
    install::carry_out(plan, &site.layout, &means, hold)?;
    Ok(())
}

/// What this process knows of where it runs.
pub(super) fn surroundings() -> Surroundings {
    let text = |name: &str| process::env_var(name)?.into_string().ok();
    let boot = files::read_if_there(Path::new("/proc/sys/kernel/random/boot_id"));
    Surroundings {
        release: process::kernel_release(),
        distro: text("WSL_DISTRO_NAME"),
        boot: boot.ok().flatten().unwrap_or_default().trim().to_owned(),
    }
}

pub(super) fn absolute(path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}
