//! The smoke suite with the real victims and a CRIU that lies.
//!
//! What a real CRIU does is seen in the boot test. Here it is seen that exit codes alone prove
//! nothing: each of these programs says that all went well, or leaves a log, as CRIU would. Needs the
//! privileges that the suite asks for; elsewhere it reports a skip.

#![expect(clippy::expect_used, reason = "a test may panic")]
#![expect(clippy::print_stderr, reason = "a skip must be seen")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use wslk::exec::Duct;
use wslk::smoke::{self, ScenarioReport, SmokeReport, SuiteOptions, Verdict};

/// What every fake answers before it plays its part. `$tree` is the victim, `$log` the log file.
const PROLOGUE: &str = r#"#!/bin/sh
[ "$1" = --version ] && { echo 'Version: 4.2.1'; exit 0; }
verb=$1
while [ $# -gt 0 ]; do
    case $1 in
        --tree) tree=$2; shift ;;
        --log-file) log=$2; shift ;;
    esac
    shift
done
"#;

fn run_with_fake(part: &str, only: &str) -> Option<(SmokeReport, tempfile::TempDir)> {
    let folder = tempfile::tempdir().expect("a folder");
    let criu = folder.path().join("criu");
    fs::write(&criu, format!("{PROLOGUE}{part}")).expect("a fake is written");
    fs::set_permissions(&criu, fs::Permissions::from_mode(0o755)).expect("it can be run");
    let mut options = SuiteOptions::new(env!("CARGO_BIN_EXE_wslk"), folder.path().join("work"));
    options.criu = criu;
    options.only = vec![only.to_owned()];
    options.deadline = Duration::from_secs(30);
    let report = smoke::run(&options, &Duct::default(), &mut |_| {});
    if let Some(blocked) = &report.blocked {
        eprintln!("skipped: {}", blocked.reason);
        return None;
    }
    Some((report, folder))
}

fn only(report: &SmokeReport) -> &ScenarioReport {
    assert_eq!(report.scenarios.len(), 1, "{report:?}");
    &report.scenarios[0]
}

/// Processes whose command line names the folder.
fn victims_in(folder: &Path) -> usize {
    let folder = folder.to_string_lossy().into_owned();
    let names_it = |entry: &fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&folder)
    };
    let processes = fs::read_dir("/proc").expect("processes");
    processes.filter_map(Result::ok).filter(names_it).count()
}

#[test]
fn lies_are_found_out() {
    let log = |line: &str| format!("echo \"(00.1) Error (criu/x.c:1): {line}\" > $log; exit 1");
    let cases = [
        (
            "udp",
            "exit 0".to_owned(),
            Verdict::Fails,
            "are still there",
        ),
        (
            "udp",
            "[ $verb = restore ] || kill -9 $tree".to_owned(),
            Verdict::Fails,
            "ended without a word",
        ),
        (
            "udp",
            "[ $verb = dump ] && kill -9 $tree && exit 0; exit 1".to_owned(),
            Verdict::Fails,
            "criu restore failed",
        ),
        (
            "udp",
            log("Can't lookup mount=24 for fd=3 path=/x"),
            Verdict::NotTestable,
            "a mount that CRIU cannot see",
        ),
        (
            "unix",
            log("sockets: Sockets (family 1 proto 0) are not collected"),
            Verdict::Fails,
            "the kernel lacks CONFIG_UNIX_DIAG",
        ),
        (
            "tree",
            "kill -9 $tree; exit 1".to_owned(),
            Verdict::Fails,
            "exit status 1 without a word",
        ),
    ];
    for (name, part, verdict, words) in cases {
        let Some((report, folder)) = run_with_fake(&part, name) else {
            return;
        };
        let scenario = only(&report);
        let reason = scenario.reason.clone().unwrap_or_default();
        assert_eq!(
            (scenario.verdict, scenario.cycles),
            (verdict, 0),
            "{part}: {reason}"
        );
        assert!(reason.contains(words), "{part}: {reason}");
        assert_eq!(victims_in(folder.path()), 0, "{part} left a victim behind");
    }
}

#[test]
fn a_missing_criu_tests_nothing_and_blames_no_kernel() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = SuiteOptions::new(env!("CARGO_BIN_EXE_wslk"), folder.path());
    options.criu = folder.path().join("no-criu-here");
    let report = smoke::run(&options, &Duct::default(), &mut |_| {});
    assert!(report.blocked.is_some());
    assert_eq!(report.verdict(), Verdict::NotTestable);
    assert!(
        report
            .scenarios
            .iter()
            .all(|scenario| scenario.verdict == Verdict::NotTestable)
    );
}
