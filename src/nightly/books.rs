//! Where a night keeps its ledger and its logs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::ledger::{Ledger, LedgerError};
use super::site;
use crate::error::Error;
use crate::files::{self, FileError};
use crate::publish::Outlet;
use crate::source::Tag;

/// The folder of logs, below the site's root.
const LOGS: &str = "logs";
/// The ledger's copy, below the site's root.
const COPY: &str = "ledger.json";
/// The folder of what changed in configurations, below the site's root.
const DRIFT: &str = "drift";

/// The ledger's file and the site's folder.
#[derive(Debug, Clone)]
pub struct Books {
    ledger: PathBuf,
    site: PathBuf,
}

/// The ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BooksError {
    /// The disk refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is damaged, or of a later wslk.
    #[error("{} {problem}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: LedgerError,
    },
    /// A folder that a job is said to have left has none.
    #[error("{} is not there: no night was here", .0.display())]
    Missing(PathBuf),
    /// A job says that it published what is not there.
    #[error("{} is not there, and its ledger says that it was published", .0.display())]
    Lost(PathBuf),
    /// A job names a folder that no night would have published its tag in.
    #[error("{}: its ledger names `{}`, where this tag is never published", .0.display(), .1)]
    Foreign(PathBuf, String),
    /// A job left a link, which would lead to files of this machine.
    #[error("{} is a link: nothing it leads to is taken", .0.display())]
    Link(PathBuf),
}

impl BooksError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint().map(str::to_owned),
            Self::Unreadable { .. } => Some(
                "restore it from a backup; or move it away, and every tag is judged again (finished builds are kept)"
                    .to_owned(),
            ),
            Self::Lost(_) => Some("bring the whole folder that the job has left".to_owned()),
            Self::Foreign(..) | Self::Link(_) => {
                Some("do not trust this folder; its tag is judged again by the next night".to_owned())
            }
            Self::Missing(_) => Some(
                "give the folders that `wslk nightly --site DIR` has written on the other machines"
                    .to_owned(),
            ),
        }
    }
}

/// What changed in a tag's configuration, below the site's root.
pub(super) fn drift_name(tag: Tag, form: &str) -> String {
    format!("{DRIFT}/{tag}/drift.{form}")
}

impl Books {
    /// Books with their ledger in `ledger` and everything for readers below `site`.
    #[must_use]
    pub fn new(ledger: PathBuf, site: PathBuf) -> Self {
        Self { ledger, site }
    }

    /// The books that a night on another machine has left in the folder of its site.
    #[must_use]
    pub fn of_job(site: &Path) -> Self {
        Self::new(site.join(COPY), site.to_owned())
    }

    /// The site's root.
    #[must_use]
    pub fn site(&self) -> &Path {
        &self.site
    }

    /// The ledger; an empty one where there is none yet.
    pub fn read(&self) -> Result<Ledger, BooksError> {
        let Some(text) = files::read_if_there(&self.ledger)? else {
            return Ok(Ledger::default());
        };
        Ledger::from_json(&text).map_err(|problem| BooksError::Unreadable {
            path: self.ledger.clone(),
            problem,
        })
    }

    /// The ledger, which has to be there.
    pub fn read_existing(&self) -> Result<Ledger, BooksError> {
        match self.ledger.is_file() {
            true => self.read(),
            false => Err(BooksError::Missing(self.ledger.clone())),
        }
    }

    /// Removes what was under construction on the site when its night was killed; for who holds the nights' lock.
    pub fn tidy(&self) -> Result<(), Error> {
        Outlet::new(&self.site).tidy()?;
        files::sweep(&self.site.join(LOGS))?;
        let drifts = fs::read_dir(self.site.join(DRIFT)).into_iter().flatten();
        for tag in drifts.flatten() {
            files::sweep(&tag.path())?;
        }
        Ok(())
    }

    /// Draws the site of the ledger, and leaves a copy of the ledger there for whoever collects it.
    pub fn show(&self, ledger: &Ledger) -> Result<(), Error> {
        site::write(&self.site, ledger)?;
        Ok(files::replace(&self.site.join(COPY), ledger.to_json())?)
    }

    /// Replaces the ledger whole.
    pub fn write(&self, ledger: &Ledger) -> Result<(), BooksError> {
        Ok(files::replace(&self.ledger, ledger.to_json())?)
    }

    /// The log of a tag, below the site's root.
    #[must_use]
    pub fn log_name(&self, tag: Tag) -> String {
        format!("{LOGS}/{tag}.log")
    }

    /// The log of a tag.
    #[must_use]
    pub fn log(&self, tag: Tag) -> PathBuf {
        self.site.join(self.log_name(tag))
    }

    /// What changed in a tag's configuration since the tag before, as Markdown (`md`) or as data (`json`).
    #[must_use]
    pub fn drift(&self, tag: Tag, form: &str) -> PathBuf {
        self.site.join(drift_name(tag, form))
    }

    /// The time, in seconds since 1970.
    #[must_use]
    pub fn now(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| since.as_secs())
    }
}
