//! Settings: what the user wants, from flags, a file and the embedded defaults.
//!
//! In: [`Overrides`] and the path of a file. Out: [`Settings`]. Stages never see any of this; the
//! pipeline hands each stage its own options.

mod control;
mod nightly;
mod raw;
mod resolve;

use std::path::{Path, PathBuf};

use miette::{Diagnostic, NamedSource, SourceSpan};

pub use self::control::{Control, STOCK};
pub use self::nightly::Nightly;
pub use self::raw::{Nightly as NightlyOverrides, Raw, parse};
pub use self::resolve::{DEFAULTS, Place, Settings, resolve};
use crate::files::{self, FileError};

/// What the command line says; `None` where it is silent.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--source`
    pub source: Option<String>,
    /// `--transport`
    pub transport: Option<String>,
    /// `--offline`
    pub offline: bool,
    /// `--profile`
    pub profile: Option<String>,
    /// `--fragment`, each
    pub fragments: Vec<PathBuf>,
    /// `--base-config`
    pub base: Option<String>,
    /// `--patches`
    pub patches: Option<PathBuf>,
    /// `--reviews`
    pub reviews: Option<PathBuf>,
    /// `--engine`
    pub engine: Option<String>,
    /// `--jobs`
    pub jobs: Option<u32>,
    /// `--no-ccache`
    pub ccache: Option<bool>,
    /// `--shared-cache`, each
    pub shared_cache: Vec<String>,
    /// `--compile-host`, each
    pub compile_hosts: Vec<String>,
    /// `--cpus`
    pub cpus: Option<f64>,
    /// `--memory`, in MiB
    pub memory: Option<u64>,
    /// `--accel`
    pub accel: Option<String>,
    /// `--deadline`, in seconds
    pub deadline: Option<u64>,
    /// `--cycles`
    pub cycles: Option<u32>,
    /// The flags of `nightly`
    pub nightly: NightlyOverrides,
    /// `--trust`, each
    pub trust: Vec<String>,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum SettingsError {
    /// The file cannot be understood.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(Box<FileFault>),
    /// A value is not one of those that its key takes.
    #[error("{key} = `{value}`: {reason}")]
    Value {
        /// The key, with its section.
        key: &'static str,
        /// The value as given.
        value: String,
        /// What was expected.
        reason: String,
    },
    /// A value is not one of those that its flag takes.
    #[error("{flag} {value}: {reason}")]
    Flag {
        /// The flag.
        flag: String,
        /// The value as given.
        value: String,
        /// What was expected.
        reason: String,
    },
    /// A key has no default: the embedded file is broken.
    #[error("the embedded defaults lack {0}")]
    NoDefault(&'static str),
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] FileError),
}

/// What is wrong with a settings file, and where.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{name}, line {line}: {message}")]
pub struct FileFault {
    /// The file.
    pub name: String,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// What may have been meant.
    #[help]
    pub advice: Option<String>,
    #[source_code]
    text: NamedSource<String>,
    #[label("here")]
    span: SourceSpan,
}

/// A settings file: the one asked for, which must exist, or the first of `candidates` that does.
pub fn load(
    asked: Option<&Path>,
    candidates: &[PathBuf],
) -> Result<Option<(PathBuf, Raw)>, SettingsError> {
    if let Some(path) = asked {
        let raw = parse(&path.display().to_string(), &files::read(path)?)?;
        return Ok(Some((path.to_owned(), raw)));
    }
    for path in candidates {
        if let Some(text) = files::read_if_there(path)? {
            return Ok(Some((
                path.clone(),
                parse(&path.display().to_string(), &text)?,
            )));
        }
    }
    Ok(None)
}

impl SettingsError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File(fault) => fault.advice.clone(),
            Self::Read(error) => error.hint().map(str::to_owned),
            Self::Value { .. } | Self::Flag { .. } | Self::NoDefault(_) => None,
        }
    }
}
