//! The keys that WSL knows, with what their values must be, and the nearest of them to a wrong name.
//!
//! In: a section, a name, a value. Out: facts about them. Must not know where in a file they stand.
//!
//! Source: WSL's own list of settings (`WslCoreConfig.cpp` and `.h`, August 2026).

/// What a value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    /// A path of something that is there already.
    ExistingPath,
    Path,
    Text,
    Bool,
    Int,
    Size,
    OneOf(&'static [&'static str]),
}

use Type::{Bool, ExistingPath, Int, OneOf, Path, Size, Text};

/// A known key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    pub(super) kind: Type,
}

const NETWORKING: Type = OneOf(&[
    "none",
    "nat",
    "bridged",
    "mirrored",
    "consomme",
    "virtioproxy",
]);

const KEYS: &[(&str, &[(&str, Type)])] = &[
    (
        "wsl2",
        &[
            ("kernel", ExistingPath),
            ("kernelModules", ExistingPath),
            ("kernelCommandLine", Text),
            ("loadKernelModules", Text),
            ("loadDefaultKernelModules", Bool),
            ("memory", Size),
            ("processors", Int),
            ("swap", Size),
            ("swapFile", Path),
            ("defaultVhdSize", Size),
            ("localhostForwarding", Bool),
            ("networkingMode", NETWORKING),
            ("dnsTunneling", Bool),
            ("firewall", Bool),
            ("autoProxy", Bool),
            ("dnsProxy", Bool),
            ("dhcp", Bool),
            ("dhcpTimeout", Int),
            ("ipv6", Bool),
            ("vmSwitch", Text),
            ("macAddress", Text),
            ("nestedVirtualization", Bool),
            ("virtio", Bool),
            ("virtio9p", Bool),
            ("virtiofs", Bool),
            ("hostFileSystemAccess", Bool),
            ("hardwarePerformanceCounters", Bool),
            ("gpuSupport", Bool),
            ("guiApplications", Bool),
            ("systemDistro", ExistingPath),
            ("telemetry", Bool),
            ("vmIdleTimeout", Int),
            ("kernelBootTimeout", Int),
            ("distributionStartTimeout", Int),
            ("mountDeviceTimeout", Int),
            ("debugConsole", Bool),
            ("debugConsoleLogFile", Path),
            ("earlyBootLogging", Bool),
            ("kernelDebugPort", Int),
            ("safeMode", Bool),
            ("crashDumpFolder", Path),
            ("maxCrashDumpCount", Int),
            ("isolateDistroCgroup", Bool),
        ],
    ),
    (
        "experimental",
        &[
            ("networkingMode", NETWORKING),
            ("dnsTunneling", Bool),
            ("firewall", Bool),
            ("autoProxy", Bool),
            (
                "autoMemoryReclaim",
                OneOf(&["disabled", "gradual", "dropcache"]),
            ),
            ("sparseVhd", Bool),
            ("bestEffortDnsParsing", Bool),
            ("dnsTunnelingIpAddress", Text),
            ("initialAutoProxyTimeout", Int),
            ("ignoredPorts", Text),
            ("hostAddressLoopback", Bool),
            ("setVersionDebug", Bool),
            ("swiotlb", Size),
            ("virtioFsAggregateShares", Bool),
        ],
    ),
    (
        "general",
        &[
            ("instanceIdleTimeout", Int),
            ("distributionInstallPath", Path),
        ],
    ),
];

/// Old names of `wsl2` keys that WSL still takes for the same.
const MOVED: &[&str] = &["networkingMode", "dnsTunneling", "firewall", "autoProxy"];

fn all() -> impl Iterator<Item = Known> {
    let of = |(section, keys): &(&'static str, &'static [(&'static str, Type)])| {
        let section = *section;
        keys.iter().map(move |(name, kind)| Known {
            section,
            name,
            kind: *kind,
        })
    };
    KEYS.iter().flat_map(of)
}

/// The key of this name.
pub(super) fn find(section: &str, name: &str) -> Option<Known> {
    all().find(|key| {
        key.section.eq_ignore_ascii_case(section) && key.name.eq_ignore_ascii_case(name)
    })
}

/// Whether there is such a section.
pub(super) fn is_section(name: &str) -> bool {
    KEYS.iter()
        .any(|(section, _)| section.eq_ignore_ascii_case(name))
}

impl Known {
    /// `section.name` under which WSL keeps it: some have moved.
    pub(super) fn full_name(self) -> String {
        let section = if MOVED.contains(&self.name) {
            "wsl2"
        } else {
            self.section
        };
        format!("{section}.{}", self.name)
    }
}

/// The known section that a name was meant to be.
pub(super) fn nearest_section(name: &str) -> Option<&'static str> {
    nearest(name, KEYS.iter().map(|(section, _)| (*section, *section)))
}

/// The known key that a name was meant to be, first of all one of its own section.
pub(super) fn nearest_key(section: &str, name: &str) -> Option<Known> {
    let own = all().filter(|key| key.section.eq_ignore_ascii_case(section));
    let same = all().find(|key| key.name.eq_ignore_ascii_case(name));
    same.or_else(|| nearest(name, own.map(|key| (key.name, key))))
        .or_else(|| nearest(name, all().map(|key| (key.name, key))))
}

fn nearest<T>(name: &str, known: impl Iterator<Item = (&'static str, T)>) -> Option<T> {
    let name = name.to_ascii_lowercase();
    let distance = |known: &str| strsim::damerau_levenshtein(&name, &known.to_ascii_lowercase());
    let (distance, length, found) = known
        .map(|(known, value)| (distance(known), known.len(), value))
        .min_by_key(|(distance, ..)| *distance)?;
    (distance <= length.div_ceil(3)).then_some(found)
}

/// What is wrong with a value: what would be right, and the value put right where that is plain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misfit {
    pub(super) expected: String,
    pub(super) corrected: Option<String>,
}

impl Type {
    /// Whether the value names a place on the Windows side.
    pub(super) fn is_path(self) -> bool {
        matches!(self, ExistingPath | Path)
    }

    /// Checks a value that is not empty.
    pub(super) fn check(self, value: &str) -> Option<Misfit> {
        let wrong = |expected: &str, corrected: Option<String>| {
            Some(Misfit {
                expected: expected.to_owned(),
                corrected,
            })
        };
        match self {
            ExistingPath | Path | Text => None,
            Bool if ["true", "false", "1", "0"].contains(&&*value.to_ascii_lowercase()) => None,
            Bool => wrong("true or false", boolean(value).map(str::to_owned)),
            Int if is_int(value) => None,
            Int => wrong("a whole number", None),
            Size if is_size(value) => None,
            Size => wrong(
                "a number with B, KB, MB, GB or TB in capitals",
                Some(value.to_ascii_uppercase().replace(' ', "")).filter(|size| is_size(size)),
            ),
            OneOf(words) if words.contains(&&*value.to_ascii_lowercase()) => None,
            OneOf(words) => wrong(
                &format!("one of {}", words.join(", ")),
                nearest(value, words.iter().map(|word| (*word, *word))).map(str::to_owned),
            ),
        }
    }
}

fn boolean(value: &str) -> Option<&'static str> {
    match value.to_ascii_lowercase().as_str() {
        "yes" | "on" | "y" => Some("true"),
        "no" | "off" | "n" => Some("false"),
        _ => None,
    }
}

/// C's `strtol` with base 0, and in the range of an `int`.
fn is_int(value: &str) -> bool {
    let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
    let lower = digits.to_ascii_lowercase();
    let number = match lower.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16),
        None if lower.starts_with('0') => i64::from_str_radix(&lower, 8),
        None => lower.parse(),
    };
    let plain = digits.starts_with(|c: char| c.is_ascii_digit());
    plain && number.is_ok_and(|n| i32::try_from(n).is_ok())
}

fn is_size(value: &str) -> bool {
    let unit = value.trim_start_matches(|c: char| c.is_ascii_digit());
    unit.len() < value.len()
        && matches!(
            unit,
            "" | "B" | "K" | "KB" | "M" | "MB" | "G" | "GB" | "T" | "TB"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_names_find_the_right_ones() {
        let sections = [
            ("wls2", Some("wsl2")),
            ("ws12", Some("wsl2")),
            ("wsl", Some("wsl2")),
            ("experimentell", Some("experimental")),
            ("user", None),
        ];
        for (name, expected) in sections {
            assert_eq!(nearest_section(name), expected, "{name}");
        }
        let keys = [
            ("wsl2", "kernal", Some("wsl2.kernel")),
            ("wsl2", "kernelModule", Some("wsl2.kernelModules")),
            ("wsl2", "sparseVhd", Some("experimental.sparseVhd")),
            ("experimental", "kernel", Some("wsl2.kernel")),
            ("wsl2", "cpus", None),
        ];
        for (section, name, expected) in keys {
            let found = nearest_key(section, name).map(Known::full_name);
            assert_eq!(found.as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn values_fit_their_types() {
        let cases = [
            (Bool, "TRUE", None),
            (Bool, "0", None),
            (Bool, "yes", Some(Some("true"))),
            (Bool, "maybe", Some(None)),
            (Int, "-1", None),
            (Int, "0x10", None),
            (Int, "08", Some(None)),
            (Int, "99999999999", Some(None)),
            (Int, "5s", Some(None)),
            (Size, "8GB", None),
            (Size, "0", None),
            (Size, "8gb", Some(Some("8GB"))),
            (Size, "8 GB", Some(Some("8GB"))),
            (Size, "GB", Some(None)),
            (NETWORKING, "Mirrored", None),
            (NETWORKING, "miror", Some(Some("mirrored"))),
            (Text, "anything", None),
        ];
        for (kind, value, expected) in cases {
            let found = kind.check(value).map(|misfit| misfit.corrected);
            let expected = expected.map(|corrected| corrected.map(str::to_owned));
            assert_eq!(found, expected, "{value}");
        }
    }
}
