//! What came with each version of WSL: its kernel, the layout of modules disks that it reads, its known faults.
//!
//! In: a [`WslVersion`]. Out: what Microsoft's repository says of it. Must not guess about versions that are
//! newer than what was read there (2.9.4, August 2026).

use super::version::WslVersion;

/// First version, last version, and the kernel packaged with all between (`packages.config` of each tag).
const KERNELS: &[([u32; 4], [u32; 4], &str)] = &[
    ([2, 4, 12, 0], [2, 4, 13, 999], "5.15.167.4"),
    ([2, 5, 8, 0], [2, 5, 8, 999], "6.6.87.1"),
    ([2, 5, 9, 0], [2, 6, 3, 999], "6.6.87.2"),
    ([2, 7, 0, 0], [2, 7, 3, 999], "6.6.114.1"),
    ([2, 7, 4, 0], [2, 7, 7, 999], "6.18.26.1"),
    ([2, 7, 8, 0], [2, 7, 8, 999], "6.18.33.1"),
    ([2, 7, 9, 0], [2, 7, 11, 999], "6.18.33.2"),
    ([2, 8, 0, 0], [2, 8, 4, 999], "6.6.114.1"),
    ([2, 8, 5, 0], [2, 8, 8, 999], "6.18.26.1"),
    ([2, 8, 9, 0], [2, 8, 11, 999], "6.18.26.3"),
    ([2, 8, 12, 0], [2, 9, 0, 999], "6.18.35.1"),
    ([2, 9, 1, 0], [2, 9, 4, 999], "6.18.35.2"),
];
/// The newest version whose sources were read.
const LAST_READ: [u32; 4] = [2, 9, 4, 999];

/// How the modules must lie on a modules disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// WSL takes no modules disk.
    None,
    /// `modules.dep` and `kernel/` at the root of the disk.
    Flat,
    /// Newer than what was read: `<release>/modules/` may have become the first choice. A disk of ours
    /// has both.
    Either,
}

impl Layout {
    /// For people.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::None => "takes no modules disk",
            Self::Flat => "reads modules disks of the flat layout",
            Self::Either => "reads modules disks of the flat or the nested layout",
        }
    }
}

/// A fault of a version of WSL that concerns kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownFault {
    /// What goes wrong.
    pub what: &'static str,
    /// What the user can do about it.
    pub hint: &'static str,
}

impl WslVersion {
    /// The version of the kernel that this WSL brings, where that is known.
    #[must_use]
    pub fn packaged_kernel(self) -> Option<&'static str> {
        let within = |(from, to, _): &&([u32; 4], [u32; 4], &str)| {
            (Self::from(*from)..=Self::from(*to)).contains(&self)
        };
        KERNELS.iter().find(within).map(|(_, _, kernel)| *kernel)
    }

    /// The layout of modules disks that this WSL reads.
    #[must_use]
    pub fn layout(self) -> Layout {
        match () {
            () if !self.takes_modules() => Layout::None,
            () if self <= Self::from(LAST_READ) => Layout::Flat,
            () => Layout::Either,
        }
    }

    /// The faults of this version that concern kernels.
    #[must_use]
    pub fn known_faults(self) -> Vec<KnownFault> {
        let mut faults = Vec::new();
        if !self.takes_modules() {
            faults.push(KnownFault {
                what: "kernelModules is no path yet, so a custom kernel runs without any module",
                hint: "wsl --update, in Windows: 2.5.1 or later",
            });
        }
        if self.hides_user_disks() {
            faults.push(KnownFault {
                what: "a modules disk in the user's folders cannot be opened (HCS/E_ACCESSDENIED)",
                hint: "wsl --update, in Windows; `wslk install` widens the disk's rights until then",
            });
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> WslVersion {
        text.parse().expect("a version")
    }

    #[test]
    fn each_version_has_its_kernel() {
        let table = [
            ("2.5.9", Some("6.6.87.2")),
            ("2.5.10", Some("6.6.87.2")),
            ("2.6.1.0", Some("6.6.87.2")),
            ("2.7.3", Some("6.6.114.1")),
            ("2.7.4", Some("6.18.26.1")),
            ("2.7.11", Some("6.18.33.2")),
            ("2.8.12", Some("6.18.35.1")),
            ("2.9.4.0", Some("6.18.35.2")),
            ("2.9.5", None),
            ("2.3.0", None),
        ];
        for (wsl, kernel) in table {
            assert_eq!(version(wsl).packaged_kernel(), kernel, "{wsl}");
        }
        let mut sorted = KERNELS.to_vec();
        sorted.sort();
        assert!(sorted.windows(2).all(|pair| pair[0].1 < pair[1].0));
    }

    #[test]
    fn layouts_and_faults_go_by_version() {
        let table = [
            ("2.4.13", Layout::None, 1),
            ("2.5.9", Layout::Flat, 0),
            ("2.7.2", Layout::Flat, 1),
            ("2.9.4", Layout::Flat, 0),
            ("2.9.5", Layout::Either, 0),
        ];
        for (wsl, layout, faults) in table {
            let found = (version(wsl).layout(), version(wsl).known_faults().len());
            assert_eq!(found, (layout, faults), "{wsl}");
        }
    }
}
