//! Windows paths as a value, on a machine that is not Windows.
//!
//! In: text. Out: a [`WindowsPath`]: a drive, a backslash after it, names that Windows takes. Must not
//! look at any disk, nor translate between the two worlds: that is `wslpath`'s job.

use std::fmt;

/// A full path on a drive: `C:\Users\me\bzImage`. Slashes become backslashes, none is at the end.
///
/// Network paths are not among them: whether the host compute service takes a kernel from one is not
/// established.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WindowsPath(String);

/// Why a text is no [`WindowsPath`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadWindowsPath {
    /// No drive letter, or no backslash behind it.
    #[error("`{0}` does not begin with a drive and a backslash, like C:\\")]
    NotOnADrive(String),
    /// A name that Windows does not take.
    #[error("`{path}` has a part that Windows does not take as a name: `{part}`")]
    Part {
        /// The whole path.
        path: String,
        /// The part of it.
        part: String,
    },
}

impl WindowsPath {
    /// Reads a path.
    pub fn parse(text: &str) -> Result<Self, BadWindowsPath> {
        let path = text.replace('/', "\\");
        let on_drive =
            matches!(path.as_bytes(), [drive, b':', b'\\', ..] if drive.is_ascii_alphabetic());
        if !on_drive {
            return Err(BadWindowsPath::NotOnADrive(text.to_owned()));
        }
        let path = match path.trim_end_matches('\\') {
            drive if drive.len() == 2 => format!("{drive}\\"),
            longer => longer.to_owned(),
        };
        match path[3..].split('\\').find(|part| !is_name(part)) {
            Some(part) if path.len() > 3 => Err(BadWindowsPath::Part {
                part: part.to_owned(),
                path,
            }),
            _ => Ok(Self(path)),
        }
    }

    /// The path below this one; `name` may be several names with backslashes between them.
    pub fn join(&self, name: &str) -> Result<Self, BadWindowsPath> {
        Self::parse(&format!("{}\\{name}", self.0.trim_end_matches('\\')))
    }

    /// The folder that this lies in; `None` for a drive.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (parent, _) = self.0.rsplit_once('\\').filter(|_| self.0.len() > 3)?;
        let root = if parent.len() == 2 { "\\" } else { "" };
        Some(Self(format!("{parent}{root}")))
    }

    /// The last name; empty for a drive.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit('\\').next().unwrap_or_default()
    }

    /// The path as Windows programs take it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether WSL can read this path out of `.wslconfig`, whose values lose all that is not ASCII.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.0.is_ascii()
    }

    /// The path with every backslash doubled, as a value in `.wslconfig` is written.
    #[must_use]
    pub fn escaped(&self) -> String {
        self.0.replace('\\', "\\\\")
    }
}

impl fmt::Display for WindowsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_name(part: &str) -> bool {
    let forbidden = |c: char| c.is_control() || "<>:\"|?*".contains(c);
    let device = part
        .split('.')
        .next()
        .unwrap_or_default()
        .to_ascii_uppercase();
    !part.is_empty()
        && !part.contains(forbidden)
        && !part.ends_with(['.', ' '])
        && !is_device(&device)
}

/// Names that open a device in any folder, whatever their ending.
fn is_device(name: &str) -> bool {
    let numbered = |prefix| {
        name.strip_prefix(prefix)
            .is_some_and(|rest| rest.len() == 1 && rest.as_bytes()[0].is_ascii_digit())
    };
    matches!(name, "CON" | "PRN" | "AUX" | "NUL") || numbered("COM") || numbered("LPT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read() {
        let cases = [
            (r"C:\Users\me\bzImage", r"C:\Users\me\bzImage", "bzImage"),
            ("c:/Users/John Doe/x", r"c:\Users\John Doe\x", "x"),
            (r"D:\wslk\", r"D:\wslk", "wslk"),
            (r"D:\", r"D:\", ""),
            (
                r"C:\Users\Jürgen\a&b %c% !d!",
                r"C:\Users\Jürgen\a&b %c% !d!",
                "a&b %c% !d!",
            ),
        ];
        for (text, expected, name) in cases {
            let path = WindowsPath::parse(text).unwrap();
            assert_eq!((path.as_str(), path.file_name()), (expected, name));
            assert_eq!(path.is_ascii(), !text.contains('ü'));
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in [
            "",
            "C:",
            "bzImage",
            r"\Users",
            r"\\server\share\x",
            r"C:x",
            "/mnt/c/x",
            "%userprofile%\\x",
        ] {
            assert_eq!(
                WindowsPath::parse(text),
                Err(BadWindowsPath::NotOnADrive(text.to_owned()))
            );
        }
        for text in [
            r"C:\a\\b",
            r"C:\a?\b",
            r"C:\a.\b",
            r"C:\nul.txt",
            "C:\\a\tb",
            r"C:\a\..\b",
            r"C:\com1",
        ] {
            assert!(
                matches!(WindowsPath::parse(text), Err(BadWindowsPath::Part { .. })),
                "{text}"
            );
        }
    }

    #[test]
    fn paths_are_taken_apart_and_put_together() {
        let path = WindowsPath::parse(r"C:\wslk").unwrap();
        let below = path.join(r"b1\bzImage").unwrap();
        assert_eq!(below.as_str(), r"C:\wslk\b1\bzImage");
        assert_eq!(below.escaped(), r"C:\\wslk\\b1\\bzImage");
        assert_eq!(
            below.parent().and_then(|folder| folder.parent()),
            Some(path.clone())
        );
        let drive = path.parent().unwrap();
        assert_eq!((drive.as_str(), drive.parent()), (r"C:\", None));
        assert_eq!(drive.join("x").unwrap().as_str(), r"C:\x");
    }
}
