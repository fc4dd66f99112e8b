//! The command line as users and programs meet it: exit codes, hints, documents, locks.
//!
//! Quick: no engine, no kernel.

#![expect(clippy::expect_used, reason = "a test may panic")]

use std::fs::{self, File};
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

/// wslk with a home and a cache of its own, started in an empty folder.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn wslk(&self, args: &[&str]) -> Command {
        let mut command = Command::cargo_bin("wslk").expect("built");
        command
            .args(args)
            .current_dir(self.folder.path())
            .env("WSLK_HOME", self.path("home"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("XDG_CONFIG_HOME", self.path("settings"));
        command
    }
}

/// The smallest tree that passes for a kernel's.
fn kernel_tree(root: &Path) {
    for folder in ["arch/x86/configs", "kernel"] {
        fs::create_dir_all(root.join(folder)).expect("made");
    }
    let makefile = "VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 21\nEXTRAVERSION = .2\n";
    for (name, text) in [
        ("Makefile", makefile),
        ("Kconfig", ""),
        ("Kbuild", ""),
        ("kernel/fork.c", "int x;\n"),
    ] {
        fs::write(root.join(name), text).expect("written");
    }
}

#[test]
fn help_fits_a_screen_and_names_every_verb() {
    let output = Bench::new()
        .wslk(&["--help"])
        .assert()
        .success()
        .get_output()
        .stdout
        .clone();
    let text = String::from_utf8(output).expect("text");
    for verb in [
        "doctor",
        "smoke",
        "tags",
        "fetch",
        "config",
        "drift",
        "explain",
        "build",
        "boot",
        "verify",
        "publish",
        "probe",
        "completions",
    ] {
        assert!(text.contains(verb), "{verb}");
    }
    assert!(!text.contains("victim"), "hidden");
}

#[test]
fn bad_usage_is_2() {
    for args in [
        &["frobnicate"][..],
        &["fetch", "no-such-tag"],
        &["--quiet", "--verbose", "tags"],
    ] {
        Bench::new().wslk(args).assert().code(2);
    }
}

#[test]
fn an_unknown_setting_names_the_line_and_the_nearest_key() {
    let bench = Bench::new();
    fs::write(bench.path("wslk.toml"), "[build]\nenigne = \"docker\"\n").expect("written");
    let assert = bench.wslk(&["fetch"]).assert().code(2);
    let text = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(
        text.contains("wslk.toml") && text.contains("did you mean `engine`?"),
        "{text}"
    );
}

#[test]
fn a_settings_file_that_was_asked_for_must_exist() {
    Bench::new()
        .wslk(&["--config", "nowhere.toml", "fetch"])
        .assert()
        .code(2);
}

#[test]
fn a_directory_that_is_no_kernel_is_2_and_says_what_is_missing() {
    let bench = Bench::new();
    kernel_tree(&bench.path("tree"));
    fs::remove_dir_all(bench.path("tree/arch")).expect("removed");
    let assert = bench.wslk(&["fetch", "--source", "tree"]).assert().code(2);
    let text = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(text.contains("arch"), "{text}");
}

#[test]
fn an_error_is_a_document_with_json() {
    let assert = Bench::new()
        .wslk(&["--json", "boot", "nothing"])
        .assert()
        .code(2);
    let document: Value =
        serde_json::from_slice(&assert.get_output().stdout).expect("one document");
    assert_eq!(document["schema"], "wslk/error/1");
    assert_eq!(document["code"], 2);
    assert!(
        document["hint"]
            .as_str()
            .is_some_and(|hint| hint.contains("wslk build")),
        "{document}"
    );
}

#[test]
fn two_runs_at_once_are_10() {
    let bench = Bench::new();
    kernel_tree(&bench.path("tree"));
    // Another home may have the same cache.
    for held in ["home", "cache/wslk"] {
        fs::create_dir_all(bench.path(held)).expect("made");
        let lock = File::create(bench.path(held).join("lock")).expect("made");
        lock.lock().expect("locked");
        bench.wslk(&["fetch", "--source", "tree"]).assert().code(10);
    }
    bench
        .wslk(&["fetch", "--source", "tree"])
        .assert()
        .success();
}

#[test]
fn a_folder_is_fetched_pinned_and_known_again() {
    let bench = Bench::new();
    kernel_tree(&bench.path("tree"));
    let fetch = |args: &[&str]| {
        let assert = bench
            .wslk(&[&["--json", "fetch", "--source", "tree"], args].concat())
            .assert()
            .success();
        serde_json::from_slice::<Value>(&assert.get_output().stdout).expect("one document")
    };
    let first = fetch(&[]);
    assert_eq!(first["version"], "6.1.21.2");
    assert_eq!(first, fetch(&["--offline"]));
    fs::write(bench.path("tree/kernel/fork.c"), "int y;\n").expect("written");
    assert_ne!(first["tree"], fetch(&[])["tree"]);
}

#[test]
fn a_dry_run_looks_and_leaves_no_trace() {
    let bench = Bench::new();
    kernel_tree(&bench.path("tree"));
    let dry = || {
        let fetch = ["--json", "--dry-run", "fetch", "--source", "tree"];
        let assert = bench.wslk(&fetch).assert().success();
        serde_json::from_slice::<Value>(&assert.get_output().stdout).expect("one document")
    };
    let before = dry();
    assert_eq!(before["schema"], "wslk/dry-run/1");
    assert_eq!(before["steps"][0]["needed"], true, "{before}");
    assert!(!bench.path("home").exists() && !bench.path("cache").exists());
    bench
        .wslk(&["fetch", "--source", "tree"])
        .assert()
        .success();
    // A folder that was just written is not trusted to stay as it is, so only the tree's presence is sure.
    let other = bench.wslk(&["--dry-run", "boot", "nothing"]).assert();
    other.code(2);
}

#[test]
fn a_home_that_cannot_be_written_says_what_to_do() {
    let bench = Bench::new();
    fs::write(bench.path("file"), "").expect("written");
    kernel_tree(&bench.path("tree"));
    let assert = bench
        .wslk(&["--home", "file/home", "fetch", "--source", "tree"])
        .assert()
        .code(2);
    let text = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(text.contains("file/home"), "{text}");
}

#[test]
fn completions_are_printed_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let assert = Bench::new()
            .wslk(&["completions", shell])
            .assert()
            .success();
        assert!(!assert.get_output().stdout.is_empty(), "{shell}");
    }
}

#[test]
fn the_doctor_answers_with_a_document_and_fails_by_what_failed() {
    let bench = Bench::new();
    let mut command = bench.wslk(&["doctor", "--json"]);
    let output = command.output().expect("ran");
    let document: Value = serde_json::from_slice(&output.stdout).expect("one document");
    assert_eq!(document["schema"], "wslk/doctor/1");
    let checks = document["checks"].as_array().expect("checks");
    let failed = checks.iter().any(|check| check["status"] == "fail");
    let code = if failed { 9 } else { 0 };
    assert_eq!(output.status.code(), Some(code), "{document}");
    assert!(checks.len() > 15 && document["conclusion"].is_string());
    assert!(!bench.path("home").exists(), "a look leaves nothing");
}

#[test]
fn a_suite_that_cannot_run_skips_everything_in_every_form() {
    let bench = Bench::new();
    let run = |args: &[&str]| {
        let mut command = bench.wslk(&[&["smoke"], args].concat());
        // No CRIU here, whoever runs the test.
        let output = command.env("PATH", bench.path("empty")).output();
        output.expect("ran")
    };
    let output = run(&["--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).expect("one document");
    if document["blocked"].is_null() {
        // A CRIU in a folder that the suite always looks into.
        return;
    }
    assert_eq!(output.status.code(), Some(7), "{document}");
    assert_eq!(document["schema"], "wslk/smoke/1");
    assert_eq!(document["verdict"], "not-testable");
    let scenarios = document["scenarios"].as_array().expect("scenarios").len();
    let tap = run(&["--format", "tap", "--only", "udp"]);
    assert_eq!(tap.status.code(), Some(7));
    let tap = String::from_utf8(tap.stdout).expect("text");
    assert!(
        tap.starts_with("TAP version 14\n1..1\n") && tap.contains("ok 1 - udp # SKIP "),
        "{tap}"
    );
    let table = run(&["--output", "report.xml"]);
    let said = String::from_utf8(table.stdout).expect("text");
    assert!(said.contains("nothing could be tested"), "{said}");
    let xml = fs::read_to_string(bench.path("report.xml")).expect("written");
    let document = roxmltree::Document::parse(&xml).expect("well formed");
    let suite = document.root_element();
    let skipped = suite.attribute("skipped").expect("counted");
    assert_eq!(skipped, scenarios.to_string());
    assert_eq!(run(&["--only", "nosuch"]).status.code(), Some(2));
}

#[test]
fn with_json_bad_usage_is_a_document_too() {
    let bench = Bench::new();
    for args in [
        &["--json", "nope"][..],
        &["fetch", "xx", "--json"],
        &["--json"],
    ] {
        let output = bench.wslk(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["schema"], "wslk/error/1", "{document}");
        assert_eq!(document["kind"], "usage", "{document}");
        assert!(!document["message"].as_str().unwrap().is_empty());
    }
}

#[test]
fn a_misspelt_profile_is_noticed_before_a_source_is_fetched() {
    let bench = Bench::new();
    let source = "https://127.0.0.1:9/linux.tar.gz";
    let args = ["--json", "config", "--profile", "nope", "--source", source];
    let output = bench.wslk(&args).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let message = document["message"].as_str().unwrap();
    assert!(message.contains("no profile `nope`"), "{document}");
}
