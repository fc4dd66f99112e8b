//! The doctor in front of whole machines: each file under `machines/` stands for one, with its files, its
//! programs' answers and what system calls would tell. What the doctor says of it is the text and the document
//! beside it; `WSLK_BLESS=1` writes them anew.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod machine;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use machine::MadeUp;
use wslk::doctor::{Diagnosis, Stand, Status, gather};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/doctor/machines")
}

fn diagnosed(name: &str) -> Diagnosis {
    let machine = MadeUp::read(&folder(), name);
    Diagnosis::of(&gather(&machine.place()))
}

fn names() -> Vec<String> {
    let entries = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut names: Vec<String> = entries
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// Compares with the file, or writes it where the tester says so.
fn same(file: &str, text: &str) {
    let path = folder().join(file);
    if std::env::var_os("WSLK_BLESS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == text,
        "{file} is not what the doctor says:\n{text}"
    );
}

#[test]
fn each_machine_gets_its_screen_and_its_document() {
    let names = names();
    assert!(names.len() >= 8, "{names:?}");
    for name in names {
        let diagnosis = diagnosed(&name);
        same(&format!("{name}.screen.txt"), &diagnosis.text());
        let document = serde_json::to_string_pretty(&diagnosis).unwrap() + "\n";
        same(&format!("{name}.json"), &document);
    }
}

#[test]
fn what_is_required_fails_and_nothing_else() {
    let table: [(&str, &[&str]); 8] = [
        ("bare-debian", &[]),
        ("container", &[]),
        ("wsl1", &["system"]),
        ("wsl2-stock", &[]),
        ("wsl2-mirrored", &["seccomp"]),
        ("wsl2-broken-wslconfig", &["wslconfig", "criu"]),
        ("wsl2-kernel-alone", &["contract", "sockets", "interop"]),
        ("wsl2-no-config", &[]),
    ];
    for (name, failed) in table {
        let mut found = diagnosed(name).failed();
        let mut failed = failed.to_vec();
        found.sort_unstable();
        failed.sort_unstable();
        assert_eq!(found, failed, "{name}");
    }
}

#[test]
fn who_needs_no_kernel_is_told_so() {
    for (name, stand, words) in [
        (
            "wsl2-stock",
            Stand::EnoughForMost,
            "You need no custom kernel",
        ),
        (
            "wsl2-no-config",
            Stand::EnoughForMost,
            "You need no custom kernel",
        ),
        ("wsl2-mirrored", Stand::Enough, "The running kernel has all"),
        ("wsl2-kernel-alone", Stand::Lacking, "UNIX_DIAG"),
        ("wsl1", Stand::Unknown, "WSL1"),
    ] {
        let diagnosis = diagnosed(name);
        assert_eq!(diagnosis.kernel, stand, "{name}");
        assert!(
            diagnosis.conclusion.contains(words),
            "{name}: {}",
            diagnosis.conclusion
        );
    }
}

#[test]
fn whatever_is_not_well_says_what_to_do() {
    for name in names() {
        for check in diagnosed(&name).checks {
            let well = matches!(check.status, Status::Ok | Status::NotApplicable);
            assert!(well || check.hint.is_some(), "{name}: {check:?}");
            let told = check.status == Status::NotApplicable || !check.evidence.is_empty();
            assert!(told, "{name}: {check:?}");
        }
    }
}

#[test]
fn programs_that_hang_do_not_hang_the_doctor() {
    let mut machine = MadeUp::read(&folder(), "wsl2-stock");
    machine.everything_hangs();
    let began = Instant::now();
    let diagnosis = Diagnosis::of(&gather(&machine.place()));
    // A second is what it takes; a busy machine may need another to start all the programs.
    assert!(began.elapsed().as_secs_f32() < 2.0, "{:?}", began.elapsed());
    let of = |id| {
        diagnosis
            .checks
            .iter()
            .find(|check| check.id == id)
            .unwrap()
            .status
    };
    for id in ["wsl", "policy", "wslconfig", "engine", "docker-desktop"] {
        assert_eq!(of(id), Status::Unknown, "{id}");
    }
}
