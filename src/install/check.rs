//! Whether the running system is what an installed kernel should make of it.
//!
//! In: what was expected. Out: one [`Check`] per question. Run as root it tries things (`modprobe`); as
//! anybody else it only looks, and says `unknown` where looking is not enough. Must not change any file.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::exec::{Cmd, Runner};

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Not as it should be.
    Fail,
    /// It could not be found out. Never a pass, never a failure.
    Unknown,
}

/// One question and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What is checked, in one word.
    pub id: &'static str,
    /// How it came out.
    pub status: Status,
    /// One clause.
    pub summary: String,
}

/// What the system should be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// `uname -r`.
    pub release: String,
    /// A modules disk is configured.
    pub modules: bool,
    /// Whether `/dev/dxg` has to be there.
    pub gpu: bool,
    /// What was [missing] before the installation already: it cannot have been lost by it.
    pub missing: Vec<String>,
}

/// The places that are looked at; another root in tests.
#[derive(Debug, Clone)]
pub struct Eyes<'a> {
    /// `/`.
    pub root: PathBuf,
    /// `uname -r`.
    pub release: String,
    /// Whether modules may be loaded.
    pub root_user: bool,
    /// What runs modprobe.
    pub runner: &'a dyn Runner,
}

impl Eyes<'_> {
    fn there(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    fn text(&self, path: &str) -> String {
        std::fs::read_to_string(self.root.join(path)).unwrap_or_default()
    }

    fn modprobe(&self, module: &str) -> Option<bool> {
        if !self.root_user {
            return None;
        }
        let output = self
            .runner
            .run_with(&Cmd::new("modprobe").arg(module), &mut |_| {});
        output.ok().map(|output| output.status == Some(0))
    }
}

/// All checks that apply.
#[must_use]
pub fn run(expected: &Expected, eyes: &Eyes<'_>) -> Vec<Check> {
    let mut checks = vec![release(expected, eyes)];
    if expected.modules {
        checks.push(overlay(expected, eyes));
    }
    checks.push(tun(eyes));
    checks.push(interop(eyes));
    if expected.gpu {
        checks.push(gpu(eyes));
    }
    checks.push(docker_desktop(eyes));
    for check in &mut checks {
        let before = || expected.missing.iter().any(|id| id == check.id);
        if check.status == Status::Fail && before() {
            check.status = Status::Unknown;
            check
                .summary
                .push_str(", and was not so before the installation either");
        }
    }
    checks
}

/// What the system of a user may lack whatever kernel runs, of what the checks ask for: where it is missing
/// before an installation, a trial must not hold it against the new kernel.
#[must_use]
pub fn missing(eyes: &Eyes<'_>) -> Vec<String> {
    let lacked = [interop(eyes), gpu(eyes), docker_desktop(eyes)];
    let lacked = lacked
        .into_iter()
        .filter(|check| check.status != Status::Ok);
    lacked.map(|check| check.id.to_owned()).collect()
}

/// The ids that [`missing`] may give.
pub const MAY_BE_MISSING: [&str; 3] = ["interop", "gpu", "docker-desktop"];

/// What failed, one clause each.
#[must_use]
pub fn failures(checks: &[Check]) -> Vec<String> {
    let failed = checks.iter().filter(|check| check.status == Status::Fail);
    failed.map(|check| check.summary.clone()).collect()
}

fn check(id: &'static str, good: bool, yes: &str, no: &str) -> Check {
    let (status, summary) = match good {
        true => (Status::Ok, yes),
        false => (Status::Fail, no),
    };
    Check {
        id,
        status,
        summary: summary.to_owned(),
    }
}

fn release(expected: &Expected, eyes: &Eyes<'_>) -> Check {
    let no = format!("{} runs instead of {}", eyes.release, expected.release);
    let yes = format!("{} runs", eyes.release);
    check("kernel", eyes.release == expected.release, &yes, &no)
}

/// WSL mounts the modules disk, and over it a folder that can be written to, at this very place.
fn overlay(expected: &Expected, eyes: &Eyes<'_>) -> Check {
    let folder = format!("/lib/modules/{}", expected.release);
    let mounts = eyes.text("proc/mounts");
    let mounted = mounts.lines().any(|line| {
        let mut words = line.split(' ').skip(1);
        words.next().is_some_and(|at| at.ends_with(&folder)) && words.next() == Some("overlay")
    });
    let listed = eyes.there(&format!("{}/modules.dep", folder.trim_start_matches('/')));
    check(
        "modules",
        mounted && listed,
        "the modules disk is mounted",
        &format!("the modules disk is not at {folder}"),
    )
}

fn tun(eyes: &Eyes<'_>) -> Check {
    let there = || eyes.there("sys/class/misc/tun") || eyes.there("dev/net/tun");
    let summary = |text: &str| text.to_owned();
    let (status, summary) = match eyes.modprobe("tun") {
        Some(true) => (Status::Ok, summary("`modprobe tun` works")),
        _ if there() => (Status::Ok, summary("tun is there")),
        Some(false) => (Status::Fail, summary("`modprobe tun` fails")),
        None => (Status::Unknown, summary("only root can try `modprobe tun`")),
    };
    Check {
        id: "tun",
        status,
        summary,
    }
}

fn gpu(eyes: &Eyes<'_>) -> Check {
    let there = eyes.there("dev/dxg");
    check("gpu", there, "/dev/dxg is there", "/dev/dxg is gone")
}

/// Under systemd the handler is registered a second time, under another name.
fn interop(eyes: &Eyes<'_>) -> Check {
    let folder = "proc/sys/fs/binfmt_misc";
    let there = ["WSLInterop", "WSLInterop-late"]
        .iter()
        .any(|name| eyes.there(&format!("{folder}/{name}")));
    check(
        "interop",
        there,
        "Windows programs can be started",
        "the binfmt handler WSLInterop is not registered",
    )
}

/// It mounts an ISO image and an overlay before it does anything else, and dies silently without.
fn docker_desktop(eyes: &Eyes<'_>) -> Check {
    let known = |text: &str, name: &str| {
        text.lines()
            .any(|line| line.ends_with(&format!("\t{name}")))
    };
    let missing = |text: &str| -> Vec<&str> {
        ["iso9660", "overlay", "ext4"]
            .into_iter()
            .filter(|name| !known(text, name))
            .collect()
    };
    if missing(&eyes.text("proc/filesystems")).contains(&"iso9660") {
        let _may_fail = eyes.modprobe("isofs");
    }
    let missing = missing(&eyes.text("proc/filesystems"));
    let mut found = check(
        "docker-desktop",
        missing.is_empty(),
        "the file systems that Docker Desktop mounts are there",
        &format!(
            "Docker Desktop needs the file system {}",
            missing.join(", ")
        ),
    );
    // A module that only root can load may well be there.
    if !missing.is_empty() && !eyes.root_user {
        found.status = Status::Unknown;
    }
    found
}

/// A folder that plays the root of a system.
#[must_use]
pub fn real_root() -> PathBuf {
    Path::new("/").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::{Output, Script};

    fn system(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (file, text) in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().expect("below")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        folder
    }

    const GOOD: [(&str, &str); 5] = [
        (
            "proc/mounts",
            "none /usr/lib/modules/6.6-x overlay rw 0 0\n",
        ),
        ("lib/modules/6.6-x/modules.dep", ""),
        ("proc/sys/fs/binfmt_misc/WSLInterop-late", ""),
        ("dev/dxg", ""),
        ("proc/filesystems", "nodev\toverlay\n\text4\n\tiso9660\n"),
    ];

    fn failed(without: &str, modprobe: i32, missing: &[&str]) -> Vec<&'static str> {
        let kept: Vec<_> = GOOD
            .into_iter()
            .filter(|(file, _)| *file != without)
            .collect();
        let folder = system(&kept);
        let answer = |status| Output {
            status: Some(status),
            ..Output::default()
        };
        let runner = Script::default()
            .expect("modprobe tun", answer(modprobe))
            .expect("modprobe isofs", answer(1));
        let eyes = Eyes {
            root: folder.path().to_owned(),
            release: "6.6-x".to_owned(),
            root_user: true,
            runner: &runner,
        };
        let expected = Expected {
            release: "6.6-x".to_owned(),
            modules: true,
            gpu: true,
            missing: missing.iter().map(|id| (*id).to_owned()).collect(),
        };
        let checks = run(&expected, &eyes);
        let failed = checks.iter().filter(|check| check.status == Status::Fail);
        failed.map(|check| check.id).collect()
    }

    #[test]
    fn each_check_sees_its_own_fault() {
        let table = [
            ("", 0, &[][..]),
            ("", 1, &["tun"]),
            ("proc/mounts", 0, &["modules"]),
            ("lib/modules/6.6-x/modules.dep", 0, &["modules"]),
            ("proc/sys/fs/binfmt_misc/WSLInterop-late", 0, &["interop"]),
            ("dev/dxg", 0, &["gpu"]),
            ("proc/filesystems", 0, &["docker-desktop"]),
        ];
        for (without, modprobe, expected) in table {
            let lost = failed(without, modprobe, &[]);
            assert_eq!(lost, expected, "without {without}");
        }
    }

    #[test]
    fn what_was_missing_before_is_not_lost() {
        for (without, id, lost) in [
            ("proc/sys/fs/binfmt_misc/WSLInterop-late", "interop", false),
            ("proc/filesystems", "docker-desktop", false),
            ("proc/filesystems", "interop", true),
            // What our own build has to bring is never excused.
            ("proc/mounts", "interop", true),
        ] {
            assert_eq!(
                !failed(without, 0, &[id]).is_empty(),
                lost,
                "{without} {id}"
            );
        }
    }

    #[test]
    fn what_is_missing_is_told_before_an_installation() {
        let runner = Script::default();
        let missing = |files: &[(&str, &str)]| {
            let folder = system(files);
            missing(&Eyes {
                root: folder.path().to_owned(),
                release: "6.6-x".to_owned(),
                root_user: false,
                runner: &runner,
            })
        };
        assert_eq!(missing(&GOOD), [""; 0]);
        assert_eq!(missing(&[]), MAY_BE_MISSING);
    }
}
