//! A full disk under an outlet: it is told, nothing half is there, and with room the same command ends well.
#![expect(clippy::print_stderr, reason = "a skip must be seen")]

use std::fs;
use std::process::Command;

use crate::yard::Yard;

/// Publishes with a small disk mounted over the outlet, in a mount namespace that ends with it; then lists what is
/// there.
fn publish_on(yard: &Yard, size: &str) -> std::process::Output {
    let wslk = assert_cmd::cargo::cargo_bin("wslk");
    let script = format!(
        "mount -t tmpfs -o size={size} tmpfs outlet && {} publish --to outlet; code=$?; \
         find outlet -mindepth 1 -not -name .lock; exit $code",
        wslk.display()
    );
    Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .current_dir(yard.path(""))
        .env("WSLK_HOME", yard.path("home"))
        .env("XDG_CACHE_HOME", yard.path("cache"))
        .env("XDG_CONFIG_HOME", yard.path("settings"))
        .output()
        .unwrap()
}

#[test]
fn a_full_disk_leaves_nothing_half() {
    let may_mount = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount"])
        .args(["sh", "-c", "mount -t tmpfs tmpfs /mnt"])
        .output();
    if !may_mount.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: nobody may mount a tmpfs here, not even in a namespace of their own");
        return;
    }
    let yard = Yard::new();
    yard.build("6.6.87.2", "a");
    fs::create_dir(yard.outlet()).unwrap();
    // A tmpfs gives out whole pages: one file more each time, up to where all fit.
    let mut full = 0;
    for pages in 1.. {
        let output = publish_on(&yard, &format!("{}k", pages * 4));
        let (left, said) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        let entry = left.lines().any(|line| line.ends_with("/entry.json"));
        if output.status.success() {
            assert!(entry && left.contains("outlet/index.json"), "{left}");
            break;
        }
        full += 1;
        assert_eq!(output.status.code(), Some(2), "{pages} pages: {said}");
        assert!(said.contains("hint: free some space there"), "{said}");
        // The entry may be whole and only the index have had no room.
        assert!(!left.contains(".staging-"), "{left}");
        assert_eq!(entry, left.contains("SHA256SUMS"), "{left}");
        assert!(pages < 100, "{said}");
    }
    eprintln!("publish: {full} sizes of a disk that is full");
    assert!(full > 10, "{full}");
}
