//! Disks that fail under `WSLK_HOME`: each folder of `tests/faults/disk` names what is mounted there and
//! what wslk has to say. Afterwards, on a sound disk, the same command succeeds: nothing was spoilt.
//!
//! Needs root, or a kernel that lets users mount in a namespace of their own; skipped elsewhere.

#![expect(clippy::expect_used, reason = "a test may panic")]
#![expect(clippy::print_stderr, reason = "a test that is skipped has to say so")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const FAULTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/disk");

/// More than the full disk takes.
fn kernel_tree(root: &Path) {
    for folder in ["arch/x86/configs", "kernel"] {
        fs::create_dir_all(root.join(folder)).expect("made");
    }
    let makefile = "VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 21\nEXTRAVERSION = .2\n";
    let large = "int x;\n".repeat(60_000);
    for (name, text) in [
        ("Makefile", makefile),
        ("Kconfig", ""),
        ("Kbuild", ""),
        ("kernel/fork.c", &large),
    ] {
        fs::write(root.join(name), text).expect("written");
    }
}

/// Runs `wslk fetch` with a tmpfs mounted over the home, in a mount namespace that ends with it.
fn fetch(folder: &Path, options: Option<&str>) -> Output {
    let mount = options.map_or_else(
        || "true".to_owned(),
        |options| format!("mount -t tmpfs -o {options} tmpfs home"),
    );
    let wslk = env!("CARGO_BIN_EXE_wslk");
    Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
        .arg(format!("{mount} && exec {wslk} fetch --source tree"))
        .current_dir(folder)
        .env("WSLK_HOME", folder.join("home"))
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env("XDG_CONFIG_HOME", folder.join("settings"))
        .output()
        .expect("unshare runs")
}

fn may_mount() -> bool {
    Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount"])
        .args(["sh", "-c", "mount -t tmpfs tmpfs /mnt"])
        .output()
        .is_ok_and(|output| output.status.success())
}

fn faults() -> Vec<PathBuf> {
    let mut faults: Vec<_> = fs::read_dir(FAULTS)
        .expect("the faults are there")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    faults.sort();
    faults
}

#[test]
fn each_fault_is_told_and_spoils_nothing() {
    if !may_mount() {
        eprintln!("SKIPPED: nobody may mount a tmpfs here, not even in a namespace of their own");
        return;
    }
    for fault in faults() {
        let bench = tempfile::tempdir().expect("a folder");
        kernel_tree(&bench.path().join("tree"));
        fs::create_dir(bench.path().join("home")).expect("made");
        let options = fs::read_to_string(fault.join("mount")).expect("named");
        let output = fetch(bench.path(), Some(options.trim()));
        let said = String::from_utf8_lossy(&output.stderr);
        for line in fs::read_to_string(fault.join("expected"))
            .expect("named")
            .lines()
        {
            let (what, expected) = line.split_once(' ').expect("two words");
            let met = match what {
                "code" => output.status.code() == expected.parse().ok(),
                "hint" => said.contains(&format!("hint: {expected}")),
                _ => said.contains(expected),
            };
            assert!(met, "{}: {line}\n{said}", fault.display());
        }
        let again = fetch(bench.path(), None);
        assert!(
            again.status.success(),
            "{}",
            String::from_utf8_lossy(&again.stderr)
        );
    }
}
