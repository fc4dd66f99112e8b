//! The Windows side as this process finds it, and what every verb does there before and after its own work.
//!
//! In: what the user named, and what was remembered. Out: a [`Host`]: where everything is, its lock, its order,
//! and plans carried out. Must not know of verbs.

use super::{WindowsSide, absolute, now, surroundings};
use crate::error::Error;
use crate::files;
use crate::install::recover::{Running, recover};
use crate::install::rollback::Moment;
use crate::install::steps::Means;
use crate::install::{self, Hold, InstallError, Layout, Plan, Site, Trial};
use crate::pipeline::{Context, trial};
use crate::wsl::host::{Profile, Surroundings, Windows, Wsl};
use crate::wsl::path::WindowsPath;

/// Where everything is on the Windows side, and what answers there.
#[derive(Debug)]
pub(super) struct Host<'a> {
    pub(super) surroundings: Surroundings,
    pub(super) windows: Option<Windows<'a>>,
    pub(super) layout: Layout,
}

impl<'a> Host<'a> {
    /// Asks Windows where everything is.
    pub(super) fn find(context: &'a Context, side: &WindowsSide) -> Result<Self, Error> {
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
    pub(super) fn known(context: &'a Context, side: &WindowsSide) -> Result<Self, Error> {
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
    pub(super) fn release(&self) -> Option<String> {
        (self.surroundings.wsl() == Wsl::Two).then(|| self.surroundings.release.clone())
    }

    pub(super) fn moment(&self) -> Moment {
        Moment {
            now: now(),
            boot: self.surroundings.boot.clone(),
        }
    }

    /// The lock of the Windows side, for who changes something; not before our folder is there.
    pub(super) fn hold(
        &self,
        context: &Context,
        side: &WindowsSide,
    ) -> Result<Option<Hold>, InstallError> {
        let wanted = !side.only_look && self.layout.folder().linux.exists();
        let tell = || context.waits();
        wanted.then(|| Hold::wait(&self.layout, &tell)).transpose()
    }

    /// Puts in order what is not; who does not hold the lock says so, and leaves it.
    pub(super) fn recover(&self, hold: Option<&Hold>, context: &Context) -> Result<(), Error> {
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

    /// What is installed, as it is on the disk.
    pub(super) fn site(&self) -> Result<Site, InstallError> {
        Site::read(self.layout.clone())
    }

    /// Carries out a plan, under the lock that is held or under its own.
    pub(super) fn carry_out(
        &self,
        context: &Context,
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
        let grant = |file: &WindowsPath| match &self.windows {
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
}

fn around(context: &Context) -> (Surroundings, Option<Windows<'_>>) {
    let surroundings = surroundings();
    let inside = surroundings.wsl() != Wsl::No;
    let windows = inside.then(|| Windows::new(context.runner.as_ref()));
    (surroundings, windows)
}

/// Where the Windows side was when something was installed last. It is a hint: what cannot be read is none.
pub(super) fn remembered(context: &Context) -> Option<Layout> {
    let text = files::read_if_there(&context.home.windows()).ok()??;
    Layout::remembered(&text)
}

pub(super) fn remember(context: &Context, layout: &Layout) -> Result<(), Error> {
    let path = context.home.windows();
    let known = files::read_if_there(&path).ok().flatten();
    match known.as_deref() == Some(&layout.remember()) {
        true => Ok(()),
        false => Ok(files::replace(&path, layout.remember())?),
    }
}

/// Puts in order what was cut off or decided meanwhile, and says so.
pub(super) fn put_in_order(
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
