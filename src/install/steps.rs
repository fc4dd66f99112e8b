//! The steps that a change to the Windows side consists of: each can be written down, done, and undone.
//!
//! In: [`Step`]s and where everything is. Out: them done, done again, or taken back; doing or undoing
//! one twice is the same as once, and undoing one that was only announced does nothing. Steps that make new files come first and change nothing that WSL reads;
//! from the first step that replaces something on ([`Step::commits`]) every file it needs is already
//! there, so that a change that was cut off can always be finished or undone from the journal alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::InstallError;
pub use super::disk::Content;
use super::disk::{self, New};
use super::journal::{Mark, Record};
use super::layout::Layout;
use crate::files;
use crate::wsl::path::WindowsPath;
use crate::wsl::wslconfig::WslConfig;

/// One step. Files are named below our folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Makes a file that must not be there yet.
    Make {
        /// The file.
        file: String,
    },
    /// Lets the virtual machine read a file.
    Grant {
        /// The file.
        file: String,
    },
    /// Replaces `.wslconfig`, which is both kernel and modules at once.
    Switch {
        /// The file with the new bytes; nothing removes `.wslconfig`.
        to: Option<String>,
        /// The file with the bytes before; nothing where there was no `.wslconfig`.
        was: Option<String>,
    },
    /// Replaces one of our own small files.
    Put {
        /// The file.
        file: String,
        /// The file with the new bytes; nothing removes it.
        to: Option<String>,
        /// The file with the bytes before.
        was: Option<String>,
    },
    /// Removes a folder with a kernel that nothing refers to any more, or a file of a change gone by. This cannot be
    /// undone.
    Remove {
        /// The folder or file.
        folder: String,
    },
}

/// The contents of the files that are made, by name.
pub type Contents = BTreeMap<String, Content>;

/// Widens the rights of a file.
pub type Granter<'a> = dyn Fn(&WindowsPath) -> Result<(), InstallError> + 'a;

/// What a change needs beside the disk.
pub struct Means<'a> {
    /// Widens the rights of a file.
    pub grant: &'a Granter<'a>,
    /// Whether the user wants it stopped; no longer asked once the change [commits](Step::commits).
    pub stop: &'a dyn Fn() -> bool,
}

impl std::fmt::Debug for Means<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Means").finish_non_exhaustive()
    }
}

impl Means<'_> {
    /// For changes that only move small files: nothing is granted, and nobody can stop them.
    pub const SMALL: Self = Self {
        grant: &|_| Ok(()),
        stop: &|| false,
    };
}

impl Step {
    /// Whether this step, or one after it, changes what WSL or we ourselves go by.
    #[must_use]
    pub fn commits(&self) -> bool {
        !matches!(self, Self::Make { .. } | Self::Grant { .. })
    }

    /// The step for people.
    #[must_use]
    pub fn describe(&self, layout: &Layout) -> String {
        match self {
            Self::Make { file } => format!("write {}", layout.windows(file)),
            Self::Grant { file } => {
                format!("let the virtual machine read {}", layout.windows(file))
            }
            Self::Switch { to: Some(_), .. } => format!("replace {}", layout.config_windows()),
            Self::Switch { to: None, .. } => format!("remove {}", layout.config_windows()),
            Self::Put {
                file, to: Some(_), ..
            } => format!("replace {}", layout.windows(file)),
            Self::Put { file, to: None, .. } => format!("remove {}", layout.windows(file)),
            Self::Remove { folder } => format!("remove {}", layout.windows(folder)),
        }
    }

    /// The step as a line of the journal.
    #[must_use]
    pub fn record(&self, number: u32, mark: Mark) -> Record {
        let (step, fields) = match self {
            Self::Make { file } => ("make", vec![("file", Some(file))]),
            Self::Grant { file } => ("grant", vec![("file", Some(file))]),
            Self::Switch { to, was } => {
                ("switch", vec![("to", to.as_ref()), ("was", was.as_ref())])
            }
            Self::Put { file, to, was } => (
                "put",
                vec![
                    ("file", Some(file)),
                    ("to", to.as_ref()),
                    ("was", was.as_ref()),
                ],
            ),
            Self::Remove { folder } => ("remove", vec![("file", Some(folder))]),
        };
        let some = |(name, value): (&str, Option<&String>)| Some((name.to_owned(), value?.clone()));
        Record {
            number,
            step: step.to_owned(),
            mark,
            fields: fields.into_iter().filter_map(some).collect(),
        }
    }

    /// The step that a line of the journal is about; none if the line is about the change as a whole.
    #[must_use]
    pub fn recorded(record: &Record) -> Option<Self> {
        let field = |name: &str| record.field(name).map(str::to_owned);
        Some(match record.step.as_str() {
            "make" => Self::Make {
                file: field("file")?,
            },
            "grant" => Self::Grant {
                file: field("file")?,
            },
            "switch" => Self::Switch {
                to: field("to"),
                was: field("was"),
            },
            "put" => Self::Put {
                file: field("file")?,
                to: field("to"),
                was: field("was"),
            },
            "remove" => Self::Remove {
                folder: field("file")?,
            },
            _ => return None,
        })
    }

    /// Puts in place what [`prepare`] wrote; the folders are still to be [flushed](flush). Only for what
    /// [commits](Self::commits).
    pub(super) fn commit(&self, layout: &Layout) -> Result<(), InstallError> {
        let committed = match (self.replaces(layout)?, self.candidate()) {
            (Some(path), Some(_)) => disk::replace_by_litter(&path)?,
            (Some(path), None) => files::remove_if_there(&path)?,
            (None, _) => false,
        };
        match committed {
            true => Ok(()),
            // It is more than a file, or somebody cleaned up in between.
            false => self.finish(layout),
        }
    }

    /// The file that it replaces or removes.
    fn replaces(&self, layout: &Layout) -> Result<Option<PathBuf>, InstallError> {
        Ok(match self {
            Self::Switch { .. } => Some(config(layout)?),
            Self::Put { file, .. } => Some(layout.path(file)),
            _ => None,
        })
    }

    /// The file with the new bytes of what it replaces.
    fn candidate(&self) -> Option<&str> {
        match self {
            Self::Switch { to, .. } | Self::Put { to, .. } => to.as_deref(),
            _ => None,
        }
    }

    /// Does it again after it was cut off. Only for what [commits](Step::commits); nothing else is
    /// left to do then. A folder that `.wslconfig` leads into by now stays.
    pub fn finish(&self, layout: &Layout) -> Result<(), InstallError> {
        match self {
            Self::Make { .. } | Self::Grant { .. } => Ok(()),
            Self::Switch { to, .. } => put(layout, &config(layout)?, to.as_deref()),
            Self::Put { file, to, .. } => put(layout, &layout.path(file), to.as_deref()),
            Self::Remove { folder } if Named::read(layout)?.may_need(layout, folder) => Ok(()),
            Self::Remove { folder } => {
                let path = layout.path(folder);
                match path.is_dir() {
                    true => Ok(files::remove_dir(&path)?),
                    false => files::remove_if_there(&path).map(drop).map_err(Into::into),
                }
            }
        }
    }

    /// Removes what a kill left of a replacement, in place or not even begun.
    pub fn tidy(&self, layout: &Layout) -> Result<(), InstallError> {
        match self.replaces(layout)? {
            Some(path) => Ok(disk::remove(&disk::litter(&path))?),
            None => Ok(()),
        }
    }

    /// Whether the new bytes are in place, whatever the journal says. Of what only removes that is not known.
    pub fn is_in_place(&self, layout: &Layout) -> Result<bool, InstallError> {
        let (path, to) = match self {
            Self::Switch { to, .. } => (config(layout)?, to),
            Self::Put {
                file,
                to: to @ Some(_),
                ..
            } => (layout.path(file), to),
            _ => return Ok(false),
        };
        match bytes(layout, to.as_deref()) {
            Ok(bytes) => Ok(disk::bytes_if_there(&path)? == bytes),
            Err(InstallError::Gone(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes it back, whether it was done whole, half or not at all. A file that `.wslconfig` names stays,
    /// whoever wrote that: without it WSL would not start.
    pub fn undo(&self, layout: &Layout) -> Result<(), InstallError> {
        match self {
            Self::Make { file } if Named::read(layout)?.may_need(layout, file) => Ok(()),
            Self::Make { file } => {
                let path = layout.path(file);
                disk::remove(&path)?;
                disk::remove_empty(path.parent().unwrap_or(&path));
                Ok(())
            }
            Self::Grant { .. } | Self::Remove { .. } => Ok(()),
            Self::Switch { was, .. } => {
                self.tidy(layout)?;
                // What the user wrote since is not ours to take back.
                match self.is_in_place(layout)? {
                    true => put(layout, &config(layout)?, was.as_deref()),
                    false => Ok(()),
                }
            }
            Self::Put { file, to, was } => {
                self.tidy(layout)?;
                let path = layout.path(file);
                let ours = match bytes(layout, to.as_deref()) {
                    Ok(bytes) => disk::bytes_if_there(&path)? == bytes,
                    Err(InstallError::Gone(_)) => true,
                    Err(error) => return Err(error),
                };
                // It was not begun, or the Windows side wrote since.
                match ours {
                    true => put(layout, &path, was.as_deref()),
                    false => Ok(()),
                }
            }
        }
    }
}

/// The files that `.wslconfig` names, as it is now.
#[derive(Debug)]
pub(super) struct Named {
    /// Nothing where it cannot be read, and may name anything.
    paths: Option<Vec<String>>,
}

impl Named {
    pub(super) fn read(layout: &Layout) -> Result<Self, InstallError> {
        let config = match disk::bytes_if_there(&config(layout)?)? {
            Some(bytes) => WslConfig::read(bytes).ok(),
            None => Some(WslConfig::absent()),
        };
        let named = config.map(|config| config.kernel());
        Ok(Self {
            paths: named.map(|named| {
                let both = named.kernel.into_iter().chain(named.modules);
                both.map(|path| as_compared(&path)).collect()
            }),
        })
    }

    /// Whether a file of ours, or one in a folder of ours, is named.
    pub(super) fn names(&self, layout: &Layout, name: &str) -> bool {
        let own = as_compared(layout.windows(name).as_str());
        let is = |path: &String| {
            let rest = path.strip_prefix(own.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('\\'))
        };
        self.paths.iter().flatten().any(is)
    }

    fn may_need(&self, layout: &Layout, name: &str) -> bool {
        let bytes_only = ["candidates/", "backups/"];
        let kernel = || !bytes_only.iter().any(|folder| name.starts_with(folder));
        self.names(layout, name) || (self.paths.is_none() && kernel())
    }
}

/// Windows compares without case, and takes either slash.
fn as_compared(path: &str) -> String {
    path.replace('/', "\\").to_ascii_lowercase()
}

/// `.wslconfig` itself: a link to it is followed, so that the link stays one.
pub(super) fn config(layout: &Layout) -> Result<PathBuf, InstallError> {
    let path = layout.config();
    if !path.is_symlink() {
        return Ok(path.to_owned());
    }
    match path.canonicalize() {
        // A link to nowhere is no file for WSL either: the link itself gives way to one.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(path.to_owned()),
        Err(source) => Err(files::FileError::new("follow", path, source).into()),
        Ok(real) => Ok(real),
    }
}

/// The bytes in a file of ours that a change relies on.
pub(super) fn bytes(layout: &Layout, file: Option<&str>) -> Result<Option<Vec<u8>>, InstallError> {
    let Some(file) = file else {
        return Ok(None);
    };
    let path = layout.path(file);
    match disk::bytes_if_there(&path)? {
        Some(bytes) => Ok(Some(bytes)),
        None => Err(InstallError::Gone(path)),
    }
}

fn put(layout: &Layout, path: &Path, to: Option<&str>) -> Result<(), InstallError> {
    let bytes = bytes(layout, to)?;
    Ok(disk::replace(path, bytes.as_deref())?)
}

/// Writes every new file of a change, and beside each file that it will replace the new one: all is on the disk,
/// read back, before anything is replaced.
pub(super) fn prepare(
    steps: &[Step],
    layout: &Layout,
    contents: &Contents,
    stop: &dyn Fn() -> bool,
) -> Result<(), InstallError> {
    let mut all = Vec::new();
    for step in steps {
        if let Step::Make { file } = step {
            let path = layout.path(file);
            let gone = || InstallError::Gone(path.clone());
            all.push(New {
                content: contents.get(file).ok_or_else(gone)?,
                path,
                is_litter: false,
            });
        }
        let content = step.candidate().and_then(|file| contents.get(file));
        if let (Some(path), Some(content)) = (step.replaces(layout)?, content) {
            all.push(New {
                path: disk::litter(&path),
                content,
                is_litter: true,
            });
        }
    }
    disk::write_all(&all, stop)
}

/// Has on the disk what was [committed](Step::commit).
pub(super) fn flush(steps: &[Step], layout: &Layout) -> Result<(), InstallError> {
    let mut paths = Vec::new();
    for step in steps {
        paths.extend(step.replaces(layout)?);
    }
    disk::flush_folders(&paths);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_written_down_and_read_back() {
        let steps = [
            Step::Make {
                file: "6.1-criu-0123456789/bzImage".to_owned(),
            },
            Step::Grant {
                file: "a b".to_owned(),
            },
            Step::Switch {
                to: Some("candidates/0001-new.wslconfig".to_owned()),
                was: None,
            },
            Step::Switch {
                to: None,
                was: Some("backups/0001.wslconfig".to_owned()),
            },
            Step::Put {
                file: "state/undo.txt".to_owned(),
                to: None,
                was: Some("x".to_owned()),
            },
            Step::Remove {
                folder: "old".to_owned(),
            },
        ];
        for step in steps {
            assert_eq!(Step::recorded(&step.record(3, Mark::Begin)), Some(step));
        }
    }

    #[test]
    fn a_file_that_wslconfig_names_is_not_taken_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().join("c/Users/me");
        std::fs::create_dir_all(home.join("AppData/Local")).expect("made");
        let profile = crate::wsl::host::Profile::at(&home).expect("a profile");
        let layout = Layout::choose(&profile, None).expect("a layout");
        let step = Step::Make {
            file: "a/bzImage".to_owned(),
        };
        let windows = layout.windows("a/bzImage").to_string().to_uppercase();
        let named = format!("[wsl2]\nkernel={}\n", windows.replace('\\', "/"));
        for (config, stays) in [
            (&b"[wsl2]\n"[..], false),
            (named.as_bytes(), true),
            (b"\xff\xfe[\0w\0s", true),
        ] {
            std::fs::write(layout.config(), config).expect("written");
            disk::replace(&layout.path("a/bzImage"), Some(b"kernel")).expect("made");
            step.undo(&layout).expect("undone");
            assert_eq!(layout.path("a/bzImage").exists(), stays, "{config:?}");
        }
    }
}
