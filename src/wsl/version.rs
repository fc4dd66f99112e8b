//! What the installed WSL can do, by its version.
//!
//! In: the output of `wsl --version`. Out: a [`WslVersion`] and the few facts that depend on it. Must
//! not decide what follows from them. `wsl --version` also names a kernel, which is the packaged one
//! and not the running one; it is not read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The version of the WSL package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WslVersion([u32; 4]);

/// The text holds no version number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no version")]
pub struct NotAVersion(String);

impl WslVersion {
    /// The first version whose `kernelModules` is a path; 2.3 and 2.4 took a boolean there.
    pub const MODULES: Self = Self([2, 5, 1, 0]);

    /// The version in the first line of `wsl --version`, whose label is translated.
    #[must_use]
    pub fn from_output(text: &str) -> Option<Self> {
        let line = text.lines().find(|line| !line.trim().is_empty())?;
        let numbers = |c: char| !(c.is_ascii_digit() || c == '.');
        line.split(numbers)
            .filter(|word| word.contains('.'))
            .find_map(|word| word.trim_matches('.').parse().ok())
    }

    /// Whether `kernelModules` names a modules disk.
    #[must_use]
    pub fn takes_modules(self) -> bool {
        self >= Self::MODULES
    }

    /// Whether a modules disk in the user's folders cannot be opened by the virtual machine
    /// (`HCS/E_ACCESSDENIED`) unless its rights are widened: 2.7.1 to 2.7.4, and 2.8 before 2.8.6.
    #[must_use]
    pub fn hides_user_disks(self) -> bool {
        let within = |from, to| (Self(from)..Self(to)).contains(&self);
        within([2, 7, 1, 0], [2, 7, 5, 0]) || within([2, 8, 0, 0], [2, 8, 6, 0])
    }
}

impl FromStr for WslVersion {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let error = || NotAVersion(text.to_owned());
        let mut parts = [0; 4];
        let numbers: Vec<&str> = text.split('.').collect();
        if !(3..=4).contains(&numbers.len()) {
            return Err(error());
        }
        for (part, number) in parts.iter_mut().zip(numbers) {
            *part = number.parse().map_err(|_| error())?;
        }
        Ok(Self(parts))
    }
}

impl From<[u32; 4]> for WslVersion {
    fn from(numbers: [u32; 4]) -> Self {
        Self(numbers)
    }
}

impl TryFrom<String> for WslVersion {
    type Error = NotAVersion;

    fn try_from(text: String) -> Result<Self, NotAVersion> {
        text.parse()
    }
}

impl From<WslVersion> for String {
    fn from(version: WslVersion) -> Self {
        version.to_string()
    }
}

impl fmt::Display for WslVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch, revision] = self.0;
        write!(f, "{major}.{minor}.{patch}")?;
        match revision {
            0 => Ok(()),
            _ => write!(f, ".{revision}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_counts_in_any_language() {
        let english = "WSL version: 2.6.1.0\r\nKernel version: 6.6.87.2-1\r\n";
        let german = "WSL-Version: 2.6.1.0\nKernelversion: 6.6.87.2-1\n";
        for text in [english, german, "\r\nWSL バージョン: 2.6.1\r\n"] {
            assert_eq!(WslVersion::from_output(text), "2.6.1".parse().ok());
        }
        for text in ["", "Invalid command line option: --version", "2.6"] {
            assert_eq!(WslVersion::from_output(text), None, "{text}");
        }
    }

    #[test]
    fn what_versions_can_do() {
        let table = [
            ("2.4.13", false, false),
            ("2.5.0.9", false, false),
            ("2.5.1", true, false),
            ("2.7.0", true, false),
            ("2.7.1", true, true),
            ("2.7.4.7", true, true),
            ("2.7.5", true, false),
            ("2.8.5", true, true),
            ("2.8.6", true, false),
            ("3.0.0", true, false),
        ];
        for (text, modules, hides) in table {
            let version: WslVersion = text.parse().expect("a version");
            let found = (version.takes_modules(), version.hides_user_disks());
            assert_eq!(found, (modules, hides), "{text}");
            assert_eq!(version.to_string().parse(), Ok(version));
        }
    }
}
