//! Every name on the Windows side.
//!
//! In: a profile, and a folder if the user names one. Out: a [`Layout`]: paths for us and for Windows. The
//! scripts that work without us know these names too (`rescue`). Must not touch the disk but to look
//! whether a folder is there.

use std::path::{Path, PathBuf};

use super::InstallError;
use super::pairs;
use crate::digest::Sha256;
use crate::wsl::host::{Drive, Place, Profile};
use crate::wsl::path::WindowsPath;

/// Our folder's name, below `%LOCALAPPDATA%` or on the drive.
const FOLDER: &str = "wslk";
/// The file by which WSL is told its kernel.
const WSLCONFIG: &str = ".wslconfig";
/// What is known of everything that was installed.
pub const GENERATIONS: &str = "state/generations.json";
/// There as long as a trial is unfinished.
pub const TRIAL: &str = "state/trial.txt";
/// How a trial or a rollback from Windows came out.
pub const VERDICT: &str = "state/verdict.txt";
/// What a rollback from Windows needs.
pub const UNDO: &str = "state/undo.txt";
/// The journal.
const JOURNAL: &str = "journal";
/// Held by whoever changes anything here.
const LOCK: &str = "lock";
/// Space for the way back on a full disk; `rollback.cmd` knows it too.
const RESERVE: &str = "reserve";

/// Where everything is, for us and for Windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    folder: Place,
    config: Place,
    drive: Drive,
}

impl Layout {
    /// Our folder: the one named, else `wslk` in the profile, else, where the profile's path is not
    /// ASCII and WSL could therefore not read it, one of the profile's own below `wslk` on the drive.
    pub fn choose(profile: &Profile, named: Option<&Path>) -> Result<Self, InstallError> {
        let folder = match named {
            Some(path) => {
                let own = profile.drive.windows(path);
                let other = || profile.drive.beside(path).or_else(|| Drive::of(path));
                let windows = own.or_else(|| other()?.windows(path));
                Place {
                    windows: windows.ok_or_else(|| InstallError::NoWindowsName(path.to_owned()))?,
                    linux: path.to_owned(),
                }
            }
            None => default_folder(profile)?,
        };
        if !folder.windows.is_ascii() {
            return Err(InstallError::NotAscii(folder.windows.to_string()));
        }
        Ok(Self {
            folder,
            config: profile.home.join(WSLCONFIG),
            drive: profile.drive.clone(),
        })
    }

    /// The layout as text, to be found again without asking Windows.
    #[must_use]
    pub fn remember(&self) -> String {
        let (letter, root) = self.drive.parts();
        let pairs = [
            ("folder", self.folder.linux.display().to_string()),
            ("folder-windows", self.folder.windows.to_string()),
            ("wslconfig", self.config.linux.display().to_string()),
            ("wslconfig-windows", self.config.windows.to_string()),
            ("drive", letter.to_string()),
            ("drive-root", root.display().to_string()),
        ];
        let lines = pairs.map(|(name, value)| format!("{name}={value}\n"));
        lines.concat()
    }

    /// The layout from such a text, if its folders are still there.
    #[must_use]
    pub fn remembered(text: &str) -> Option<Self> {
        let value = |name: &str| pairs::value(text, name);
        let place = |name: &str| {
            Some(Place {
                linux: PathBuf::from(value(name)?),
                windows: WindowsPath::parse(value(&format!("{name}-windows"))?).ok()?,
            })
        };
        let found = Self {
            folder: place("folder")?,
            config: place("wslconfig")?,
            drive: Drive::new(value("drive")?.chars().next()?, value("drive-root")?),
        };
        let there = found.folder.linux.is_dir() && found.config().parent()?.is_dir();
        there.then_some(found)
    }

    /// Our folder.
    #[must_use]
    pub fn folder(&self) -> &Place {
        &self.folder
    }

    /// `.wslconfig`, for us.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config.linux
    }

    /// `.wslconfig`, for Windows.
    #[must_use]
    pub fn config_windows(&self) -> &WindowsPath {
        &self.config.windows
    }

    /// A file of ours, for us.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.linux.join(name)
    }

    /// A file of ours, for Windows.
    #[must_use]
    pub fn windows(&self, name: &str) -> WindowsPath {
        self.folder.join(name).windows
    }

    /// The journal.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.path(JOURNAL)
    }

    /// The lock of this Windows side.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.path(LOCK)
    }

    /// Takes up space that the way back may need.
    #[must_use]
    pub fn reserve(&self) -> PathBuf {
        self.path(RESERVE)
    }

    /// The file that a path of Windows leads to, as far as that is known here.
    #[must_use]
    pub fn linux(&self, path: &WindowsPath) -> Option<PathBuf> {
        let below = |rest: &str| {
            self.folder
                .linux
                .join(rest.trim_start_matches('\\').replace('\\', "/"))
        };
        let ours = path.as_str().strip_prefix(self.folder.windows.as_str());
        ours.map(below).or_else(|| self.drive.linux(path))
    }
}

fn default_folder(profile: &Profile) -> Result<Place, InstallError> {
    let folder = profile.local.join(FOLDER);
    if folder.windows.is_ascii() {
        return Ok(folder);
    }
    let root = profile.drive.root();
    let own = plain_name(&profile.home.windows);
    root.map(|root| root.join(FOLDER).join(&own))
        .ok_or_else(|| InstallError::NotAscii(folder.windows.to_string()))
}

/// An ASCII name for a profile whose own is not: what is left of it, and digits that no other profile has. Windows
/// tells no upper case from lower.
fn plain_name(home: &WindowsPath) -> String {
    let path = home.as_str().to_lowercase();
    let name = path.rsplit('\\').next().unwrap_or_default();
    let mut plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    if plain.is_empty() {
        plain.push_str("user");
    }
    format!("{plain}-{}", Sha256::of(&path).short(8))
}

/// The exact bytes of `.wslconfig` before a change, or the sign that there was none.
#[must_use]
pub fn backup(number: u32, there: bool) -> String {
    let ending = if there { "wslconfig" } else { "none" };
    format!("backups/{number:04}.{ending}")
}

/// What one of our own small files was before a change.
#[must_use]
pub fn backup_of(number: u32, file: &str) -> String {
    format!("backups/{number:04}-{}", last(file))
}

/// The exact bytes of `.wslconfig` for one of the ways on or back.
#[must_use]
pub fn candidate(number: u32, way: &str) -> String {
    format!("candidates/{number:04}-{way}.wslconfig")
}

/// What the names of the [candidates](candidate) of a change begin with.
#[must_use]
pub fn candidates_of(number: u32) -> String {
    format!("candidates/{number:04}-")
}

/// What one of our own small files will be after a change.
#[must_use]
pub fn candidate_of(number: u32, file: &str) -> String {
    format!("candidates/{number:04}-{}", last(file))
}

/// The kernel's own words during a trial.
#[must_use]
pub fn console(number: u32) -> String {
    format!("console/{number:04}.log")
}

/// What the name of a journal that was put aside begins with; a number follows.
pub const DAMAGED_JOURNAL: &str = "journal.damaged-";

/// The number of a change that the name of a file begins with.
#[must_use]
pub(super) fn numbered(name: &str) -> Option<u32> {
    name.get(..4)?.parse().ok()
}

/// A file's name without its folder.
pub(super) fn last(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(folder: &Path, user: &str) -> Profile {
        let home = folder.join("Users").join(user);
        std::fs::create_dir_all(&home).expect("made");
        Profile::at(&home).expect("a profile")
    }

    #[test]
    fn a_path_that_wsl_cannot_read_is_not_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let table = [
            ("me", r"C:\Users\me\AppData\Local\wslk\journal"),
            ("a b", r"C:\Users\a b\AppData\Local\wslk\journal"),
            ("Jürgen", r"C:\wslk\jrgen-@\journal"),
            ("Jörgen", r"C:\wslk\jrgen-@\journal"),
            ("山田", r"C:\wslk\user-@\journal"),
        ];
        let mut seen = std::collections::BTreeSet::new();
        for (user, journal) in table {
            let profile = profile(folder.path(), user);
            let layout = Layout::choose(&profile, None).expect("a layout");
            let found = layout.windows("journal").to_string();
            let digits =
                |part: &str| part.len() == 8 && part.bytes().all(|b| b.is_ascii_hexdigit());
            let (head, tail) = journal.split_once('@').unwrap_or((journal, ""));
            let own = found
                .strip_prefix(head)
                .and_then(|rest| rest.strip_suffix(tail));
            assert!(
                own.is_some_and(|own| own.is_empty() || digits(own)),
                "{found}"
            );
            assert!(seen.insert(found), "every profile has a folder of its own");
            let back = layout.linux(&layout.windows("x/bzImage"));
            assert_eq!(back, Some(layout.path("x/bzImage")));
            assert_eq!(
                Layout::remembered(&layout.remember()),
                None,
                "not there yet"
            );
            std::fs::create_dir_all(&layout.folder().linux).expect("made");
            assert_eq!(Layout::remembered(&layout.remember()), Some(layout));
        }
        let named = folder.path().join("ä");
        let refused = Layout::choose(&profile(folder.path(), "me"), Some(&named));
        assert!(matches!(refused, Err(InstallError::NotAscii(path)) if path == r"C:\ä"));
    }
}
