//! Everything that is refused before anything is touched, each by its own name.
//!
//! In: what Windows says of itself, and a build. Out: what an installation has to know, or the first reason
//! against it. Must not change anything.

use std::fs::File;
use std::io::Read as _;

use super::InstallError;
use crate::artefact::Build;
use crate::files;
use crate::wsl::host::Windows;
use crate::wsl::version::WslVersion;

/// What WSL's init uses before it can load any module; each must be built in.
const BUILT_IN: [&str; 18] = [
    "BLK_DEV_INITRD",
    "DEVTMPFS",
    "TMPFS",
    "CGROUPS",
    "VSOCKETS",
    "HYPERV",
    "HYPERV_VSOCKETS",
    "HYPERV_STORAGE",
    "SCSI",
    "BLK_DEV_SD",
    "EXT4_FS",
    "OVERLAY_FS",
    "BINFMT_MISC",
    "INOTIFY_USER",
    "UTS_NS",
    "IPC_NS",
    "PID_NS",
    "NET_9P",
];
/// Where a bzImage says that it is one, and how (Documentation/arch/x86/boot.rst).
const X86_MAGIC: (usize, &[u8]) = (0x202, b"HdrS");
/// Where an arm64 Image says that it is one (Documentation/arch/arm64/booting.rst).
const ARM64_MAGIC: (usize, &[u8]) = (0x38, b"ARM\x64");

/// What Windows says of itself; outside WSL it says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WindowsFacts {
    /// Whether Windows could be asked.
    pub asked: bool,
    /// The version of WSL; nothing for the one that came with Windows.
    pub wsl: Option<WslVersion>,
}

/// Asks Windows, and refuses what its policy forbids.
pub fn windows(windows: Option<&Windows<'_>>) -> Result<WindowsFacts, InstallError> {
    let Some(windows) = windows else {
        return Ok(WindowsFacts::default());
    };
    let policy = windows.policy()?;
    if !policy.wsl {
        return Err(InstallError::Policy {
            what: "WSL",
            value: "AllowWSL",
        });
    }
    if !policy.kernel {
        return Err(InstallError::Policy {
            what: "custom kernels",
            value: "AllowKernelUserSetting",
        });
    }
    Ok(WindowsFacts {
        asked: true,
        wsl: windows.version()?,
    })
}

impl WindowsFacts {
    /// Whether a build with or without a modules disk can be used at all.
    pub fn takes(&self, modules: bool) -> Result<(), InstallError> {
        let takes_modules = self.wsl.is_some_and(WslVersion::takes_modules);
        match self.asked && modules && !takes_modules {
            true => Err(InstallError::OldWsl(self.wsl)),
            false => Ok(()),
        }
    }

    /// Whether the rights of a modules disk in the user's folders must be widened.
    #[must_use]
    pub fn hides_user_disks(&self) -> bool {
        self.wsl.is_some_and(WslVersion::hides_user_disks)
    }
}

/// The distribution that a trial starts: it must be there, and WSL2.
pub fn distro(windows: &Windows<'_>, wanted: Option<&str>) -> Result<String, InstallError> {
    let distros = windows.distros()?;
    let found = match wanted {
        Some(name) => distros
            .iter()
            .find(|distro| distro.name.eq_ignore_ascii_case(name))
            .ok_or_else(|| InstallError::Distro(format!("there is no distribution `{name}`")))?,
        None => distros
            .iter()
            .find(|distro| distro.default)
            .ok_or_else(|| InstallError::Distro("there is no default distribution".to_owned()))?,
    };
    match found.version {
        2 => Ok(found.name.clone()),
        _ => Err(InstallError::Distro(format!(
            "{} runs under WSL1, which no kernel of ours can start",
            found.name
        ))),
    }
}

/// Whether a build's files are such that WSL can start with them. Returns what the user should know though
/// it is no reason against it.
pub fn build(build: &Build) -> Result<Vec<String>, InstallError> {
    image(build)?;
    let release = &build.manifest().release;
    let numbers = release
        .split(['.', '-', '+'])
        .take(3)
        .all(|part| part.parse::<u32>().is_ok());
    // WSL's init takes a release with a capital M for WSL1.
    if !numbers || release.contains("Microsoft") {
        return Err(InstallError::Release(release.clone()));
    }
    let config = files::read(&build.config())?;
    let has = |option: &str, value: &str| {
        let line = format!("CONFIG_{option}={value}");
        config.lines().any(|found| found == line)
    };
    let lacking: Vec<String> = BUILT_IN
        .iter()
        .filter(|option| !has(option, "y"))
        .map(|option| format!("CONFIG_{option}"))
        .collect();
    if !lacking.is_empty() {
        return Err(InstallError::Lacks(lacking));
    }
    let mut notes = Vec::new();
    if !release.contains("microsoft") {
        notes.push(format!(
            "programs that look for `microsoft` in `{release}` will not know that this is WSL"
        ));
    }
    if !has("ISO9660_FS", "y") {
        notes.push("CONFIG_ISO9660_FS is not built in: Docker Desktop may not start".to_owned());
    }
    if build.modules_disk().is_none() && config.lines().any(|line| line.ends_with("=m")) {
        notes.push(
            "it has no modules disk: whatever is a module in its configuration is lost".to_owned(),
        );
    }
    Ok(notes)
}

fn image(build: &Build) -> Result<(), InstallError> {
    let path = build.kernel();
    let mut head = Vec::new();
    File::open(&path)
        .and_then(|file| file.take(4096).read_to_end(&mut head))
        .map_err(|source| files::FileError::new("read", &path, source))?;
    let is = |(at, magic): (usize, &[u8])| head.get(at..at + magic.len()) == Some(magic);
    match is(X86_MAGIC) || is(ARM64_MAGIC) {
        true => Ok(()),
        false => Err(InstallError::NotAnImage(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::Script;

    #[test]
    fn a_policy_is_named() {
        let script =
            Script::default().says("reg.exe", "  AllowKernelUserSetting  REG_DWORD  0x0\n");
        let refused = windows(Some(&Windows::new(&script)));
        assert!(matches!(
            refused,
            Err(InstallError::Policy {
                what: "custom kernels",
                ..
            })
        ));
        assert_eq!(
            windows(None).expect("nobody asked"),
            WindowsFacts::default()
        );
    }

    #[test]
    fn modules_need_a_wsl_that_takes_them() {
        let facts = |wsl: Option<&str>| WindowsFacts {
            asked: true,
            wsl: wsl.and_then(|text| text.parse().ok()),
        };
        let table = [
            (None, false),
            (Some("2.4.13"), false),
            (Some("2.5.1"), true),
        ];
        for (wsl, takes) in table {
            assert_eq!(facts(wsl).takes(true).is_ok(), takes, "{wsl:?}");
            assert!(facts(wsl).takes(false).is_ok());
        }
        assert!(WindowsFacts::default().takes(true).is_ok());
    }

    #[test]
    fn a_trial_needs_a_wsl2_distribution() {
        let list = "  NAME    STATE    VERSION\n* Old  Stopped  1\n  New  Running  2\n";
        let asked = |wanted: Option<&str>| {
            let script = Script::default().says("--list", list);
            distro(&Windows::new(&script), wanted)
        };
        assert_eq!(asked(Some("new")).expect("there"), "New");
        for wanted in [None, Some("Old"), Some("Other")] {
            assert!(
                matches!(asked(wanted), Err(InstallError::Distro(_))),
                "{wanted:?}"
            );
        }
    }
}
