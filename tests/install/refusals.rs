//! Everything that is refused, by name, with a hint, and with nothing changed.

use std::fs;

use wslk::digest::Sha256;

use crate::bench::{Bench, Kernel};

#[test]
fn outside_wsl_the_profile_must_be_named() {
    let bench = Bench::new();
    bench.publish(&Kernel::new("a"));
    let output = bench.wslk(&["--json", "install"]).output().unwrap();
    assert_eq!(output.status.code(), Some(8));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("this is not WSL") && text.contains("--windows-home"),
        "{text}"
    );
}

#[test]
fn a_profile_that_is_no_folder() {
    let bench = Bench::of("me", true);
    bench.publish(&Kernel::new("a"));
    bench.refuses(
        &["install", "--windows-home", "/nowhere"],
        "/nowhere is no folder",
    );
}

#[test]
fn an_untested_build_needs_a_reason_that_stays() {
    let bench = Bench::new();
    let mut kernel = Kernel::new("a");
    kernel.proven = false;
    let id = bench.publish(&kernel);
    let hint = bench.refuses(&["install"], "none was made");
    assert!(hint.contains("wslk boot") && hint.contains("--untested"));
    bench.ends(&["install", "--untested", " "], 2);
    let (done, _) = bench.ends(&["install", "--untested", "no QEMU here"], 0);
    assert_eq!(done["untested"], "no QEMU here");
    bench.ends(&["rollback", "stock"], 0);
    let status = bench.status();
    assert_eq!(status["generations"][0]["build"], id.as_str());
    assert_eq!(status["generations"][0]["untested"], "no QEMU here");
}

#[test]
fn evidence_about_other_bytes_counts_for_nothing() {
    let bench = Bench::new();
    let id = bench.publish(&Kernel::new("a"));
    bench.prove(&id.parse().unwrap(), Sha256::of("other"), None);
    bench.refuses(&["install"], "tested other files");
    let report = bench.path("home/builds").join(&id).join("boot/report.json");
    let failed = fs::read_to_string(&report)
        .unwrap()
        .replace("passed", "failed");
    fs::write(&report, failed).unwrap();
    bench.refuses(&["install"], "its verdict is `failed`");
}

#[test]
fn a_kernel_that_changed_after_its_test_is_not_left_behind() {
    let bench = Bench::new();
    let id = bench.publish(&Kernel::new("a"));
    let file = bench.path("home/builds").join(&id).join("bzImage");
    let mut bytes = fs::read(&file).unwrap();
    bytes.push(0);
    fs::write(&file, bytes).unwrap();
    let (document, _) = bench.ends(&["install"], 8);
    assert!(
        document["message"]
            .as_str()
            .unwrap()
            .contains("reads back differently")
    );
    assert!(bench.config().is_none() && !bench.w(&id).exists());
}

#[test]
fn files_that_cannot_start_wsl() {
    let bench = Bench::new();
    let mut kernel = Kernel::new("elf");
    kernel.image = b"\x7fELF".to_vec();
    let id = bench.publish(&kernel);
    bench.refuses(&["install", &id], "no kernel image");
    let mut kernel = Kernel::new("lacks");
    kernel.config = kernel
        .config
        .replace("CONFIG_EXT4_FS=y", "CONFIG_EXT4_FS=m");
    let id = bench.publish(&kernel);
    bench.refuses(&["install", &id], "CONFIG_EXT4_FS must be built in");
}

#[test]
fn a_wslconfig_that_nobody_can_read() {
    let bench = Bench::new();
    bench.publish(&Kernel::new("a"));
    bench.write_config(b"\xff\xfe[\0w\0s");
    bench.refuses(&["install"], "cannot be edited");
}

#[test]
fn no_space() {
    let bench = Bench::new();
    let id = bench.publish(&Kernel::new("a"));
    // The manifest claims more than any disk has.
    let manifest = bench.path("home/builds").join(&id).join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let huge = text.replacen("\"size\": 3001", "\"size\": 1125899906842624", 1);
    assert_ne!(huge, text);
    fs::write(&manifest, huge).unwrap();
    let hint = bench.refuses(&["install"], "bytes are needed");
    assert!(hint.contains("wslk clean"));
}

#[test]
fn a_folder_that_is_not_ascii() {
    let bench = Bench::new();
    bench.publish(&Kernel::new("a"));
    let folder = bench.drive().join("kärnel").display().to_string();
    bench.refuses(&["install", "--windows-dir", &folder], "not ASCII");
}

#[test]
fn a_restart_is_agreed_to_first() {
    let bench = Bench::wsl();
    bench.publish(&Kernel::new("a"));
    let hint = bench.refuses(&["install", "--restart"], "stops Fake, docker-desktop");
    assert!(hint.contains("--yes"));
}

/// A drive that Windows does not have would be configured otherwise, and WSL would not start.
#[test]
fn a_folder_that_windows_does_not_see() {
    let bench = Bench::new();
    bench.publish(&Kernel::new("a"));
    let linux = bench.path("linux");
    fs::create_dir_all(linux.join("me")).unwrap();
    let folder = linux.display().to_string();
    let hint = bench.refuses(&["install", "--windows-dir", &folder], "no Windows drive");
    assert!(hint.contains("--windows-dir /mnt/c/"), "{hint}");
    let profile = linux.join("me");
    Bench::at(&profile).refuses(&["install"], "on no Windows drive");
    Bench::at(&profile).refuses(&["rollback", "stock"], "on no Windows drive");
}
