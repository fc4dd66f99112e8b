//! The version a kernel tree gives itself in the first lines of its Makefile.
//!
//! In: the Makefile's text. Out: a [`KernelVersion`]. Must not guess what the text does not say.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::SourceError;
use super::tag::{Series, Tag};
use crate::files;

/// `VERSION`, `PATCHLEVEL`, `SUBLEVEL` and `EXTRAVERSION` of a kernel's Makefile.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KernelVersion {
    /// The 6 of 6.1.21.2.
    pub version: u16,
    /// The 1 of 6.1.21.2.
    pub patchlevel: u16,
    /// The 21 of 6.1.21.2.
    pub sublevel: u16,
    /// Everything after, with its first sign: the `.2` of 6.1.21.2, or nothing.
    pub extraversion: String,
}

impl KernelVersion {
    /// Reads the version of the kernel tree at `root`.
    ///
    /// # Errors
    /// [`SourceError::NotAKernel`] when something that every kernel tree has is missing.
    pub fn of_tree(root: &Path) -> Result<Self, SourceError> {
        let not_a_kernel = |missing| SourceError::NotAKernel {
            path: root.to_owned(),
            missing,
        };
        if let Some(missing) = ["Kconfig", "Kbuild", "arch"]
            .into_iter()
            .find(|name| !root.join(name).exists())
        {
            return Err(not_a_kernel(missing));
        }
        let makefile = files::read_if_there(&root.join("Makefile"))?
            .ok_or_else(|| not_a_kernel("Makefile"))?;
        Self::from_makefile(&makefile).ok_or_else(|| not_a_kernel("version in its Makefile"))
    }

    /// Reads the version from a Makefile's text; `None` when it is no kernel's Makefile.
    #[must_use]
    pub fn from_makefile(text: &str) -> Option<Self> {
        // The four stand among the first lines; far below, other targets assign the same names.
        let value = |name: &str| {
            text.lines().take(40).find_map(|line| {
                let (key, value) = line.split_once('=')?;
                (key.trim_end() == name).then(|| value.trim())
            })
        };
        let number = |name| value(name)?.parse().ok();
        Some(Self {
            version: number("VERSION")?,
            patchlevel: number("PATCHLEVEL")?,
            sublevel: number("SUBLEVEL")?,
            extraversion: value("EXTRAVERSION")?.to_owned(),
        })
    }

    /// The series that the version belongs to.
    #[must_use]
    pub fn series(&self) -> Series {
        Series::new(self.version, self.patchlevel)
    }

    /// Microsoft's tag for this version: its trees carry their revision in `EXTRAVERSION`
    /// (wsl-facts 2.1). `None` for anybody else's tree.
    #[must_use]
    pub fn tag(&self) -> Option<Tag> {
        self.to_string().parse().ok()
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{}.{}{}",
            self.version, self.patchlevel, self.sublevel, self.extraversion
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MICROSOFT: &str = "# SPDX-License-Identifier: GPL-2.0\nVERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 21\nEXTRAVERSION = .2\nNAME = X\n";

    #[test]
    fn reads_what_the_makefile_says() {
        let version = KernelVersion::from_makefile(MICROSOFT).unwrap();
        assert_eq!(version.to_string(), "6.1.21.2");
        assert_eq!(version.series().to_string(), "6.1");
        assert_eq!(
            version.tag().unwrap().to_string(),
            "linux-msft-wsl-6.1.21.2"
        );
    }

    #[test]
    fn other_trees_have_no_tag_of_microsofts() {
        for (extra, text) in [("", "6.1.21"), ("-rc3", "6.1.21-rc3")] {
            let makefile = MICROSOFT.replace(".2\n", &format!("{extra}\n"));
            let version = KernelVersion::from_makefile(&makefile).unwrap();
            assert_eq!(version.to_string(), text);
            assert_eq!(version.tag(), None);
        }
    }

    #[test]
    fn other_makefiles_are_no_kernels() {
        for text in [
            "",
            "all:\n\tcc x.c\n",
            "VERSION = 6\n",
            "VERSION = six\nPATCHLEVEL = 1\nSUBLEVEL = 2\nEXTRAVERSION =\n",
        ] {
            assert_eq!(KernelVersion::from_makefile(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION|x| |=|[0-9]|\n){0,40}") {
            let _version = KernelVersion::from_makefile(&text);
        }
    }
}
