//! `.wslconfig`: the file on the Windows side that says which kernel WSL boots.
//!
//! In: the file's bytes. Out: what WSL will make of them ([`WslConfig::value`]), the bytes after the
//! smallest edit ([`WslConfig::edit`]) with the way back ([`Edited::undo`]), and what is wrong with the
//! file ([`WslConfig::findings`]). Must not read or write files, and must not be stricter than WSL: WSL
//! drops a bad line with a warning that nobody sees and boots the stock kernel, so that must be known.
//!
//! Every byte outside the edited value stays: comments, blanks, mixed line ends, the encoding. The
//! grammar is in `grammar`, bytes and text in `encoding`, edits in `edit` and `place`.

mod account;
mod edit;
mod encoding;
mod finding;
mod grammar;
mod keys;
mod lint;
mod place;
mod undo;

pub use account::{Effect, Reading};
pub use edit::{Change, EditError};
pub use encoding::{Encoding, Undecodable};
pub use finding::{Finding, Problem, Report};
pub use grammar::Fault;
pub use lint::{Facts, is_misnamed};
pub use undo::{Edited, Undone};

use encoding::Decoded;
use grammar::{Kind, Setting, Statement};

/// A key and its section. WSL compares both without case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// The section, without brackets.
    pub section: &'static str,
    /// The name.
    pub name: &'static str,
}

/// The kernel that WSL boots: a full path, empty for the packaged one.
pub const KERNEL: Key = Key::wsl2("kernel");
/// The disk with the kernel's modules, a VHD or VHDX; from WSL 2.5.1 on.
pub const KERNEL_MODULES: Key = Key::wsl2("kernelModules");
/// A file that the kernel's log is appended to.
pub const DEBUG_CONSOLE_LOG: Key = Key::wsl2("debugConsoleLogFile");

/// Boots the stock kernel with as little as possible.
const SAFE_MODE: Key = Key::wsl2("safeMode");

/// Whether WSL takes a value for yes.
fn is_true(value: &str) -> bool {
    ["true", "1"].contains(&&*value.to_ascii_lowercase())
}

impl Key {
    const fn wsl2(name: &'static str) -> Self {
        Self {
            section: "wsl2",
            name,
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.section, self.name)
    }
}

/// The kernel and the modules that belong to it: one unit, for WSL attaches no modules to a custom
/// kernel by itself and refuses to start with custom modules alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelChoice {
    /// Path of the kernel; `None` is the stock kernel.
    pub kernel: Option<String>,
    /// Path of the modules' disk.
    pub modules: Option<String>,
}

/// The file, byte for byte, or that there is none.
#[derive(Debug, Clone)]
pub struct WslConfig {
    /// `None` where there is no file.
    bytes: Option<Vec<u8>>,
    encoding: Encoding,
    decoded: Decoded,
    statements: Vec<Statement>,
}

/// The same bytes are the same file.
impl PartialEq for WslConfig {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for WslConfig {}

impl WslConfig {
    /// There is no file yet. An edit makes one: ASCII, CR LF.
    #[must_use]
    pub fn absent() -> Self {
        Self {
            bytes: None,
            encoding: Encoding::Utf8,
            decoded: Decoded::default(),
            statements: Vec::new(),
        }
    }

    /// Reads a file's bytes: UTF-8 with or without a mark, UTF-16 with one, any line ends.
    pub fn read(bytes: Vec<u8>) -> Result<Self, Undecodable> {
        let (encoding, decoded) = encoding::decode(&bytes)?;
        let statements = grammar::statements(&decoded.text);
        Ok(Self {
            bytes: Some(bytes),
            encoding,
            decoded,
            statements,
        })
    }

    /// The file's bytes; none where there is no file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or_default()
    }

    /// Whether there is no file.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.bytes.is_none()
    }

    /// How the text is written as bytes.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The file's text, without the mark.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.decoded.text
    }

    /// What WSL takes as the value of a key: the first line of it, decoded. An empty text value counts
    /// as no value, and later lines do not matter even then.
    #[must_use]
    pub fn value(&self, section: &str, key: &str) -> Option<String> {
        self.settings()
            .map(|(_, setting)| setting)
            .find(|setting| setting.is(self.text(), section, key))
            .map(|setting| setting.value.clone())
            .filter(|value| !value.is_empty())
    }

    /// The kernel and the modules that WSL will look for.
    #[must_use]
    pub fn kernel(&self) -> KernelChoice {
        let value = |key: Key| self.value(key.section, key.name);
        KernelChoice {
            kernel: value(KERNEL),
            modules: value(KERNEL_MODULES),
        }
    }

    /// Whether WSL boots its stock kernel whatever kernel is named.
    #[must_use]
    pub fn is_safe_mode(&self) -> bool {
        let value = self.value(SAFE_MODE.section, SAFE_MODE.name);
        value.is_some_and(|value| is_true(&value))
    }

    fn settings(&self) -> impl Iterator<Item = (&Statement, &Setting)> {
        self.statements
            .iter()
            .filter_map(|statement| match &statement.kind {
                Kind::Setting(setting) => Some((statement, setting)),
                _ => None,
            })
    }
}
