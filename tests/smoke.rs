//! The smoke suite with the real victims and a CRIU that lies.
//!
//! What a real CRIU does is seen in the boot test. Here it is seen that exit codes alone prove
//! nothing: each of these programs says that all went well, or leaves a log, as CRIU would. Needs the
//! privileges that the suite asks for; elsewhere it reports a skip.
//!
//! Every check is also seen to fail: the victim of each scenario harms its own data when it is told to, with
//! no CRIU in between, and with the real one where there is one.

#![expect(clippy::expect_used, reason = "a test may panic")]
#![expect(clippy::print_stderr, reason = "a skip must be seen")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use wslk::exec::Duct;
use wslk::smoke::scenario::{self, Scenario};
use wslk::smoke::victim::Answer;
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

/// A victim without a judge. It dies with this value, and leaves nothing behind.
struct Victim {
    scenario: &'static Scenario,
    folder: tempfile::TempDir,
    main: std::process::Child,
}

impl Victim {
    fn start(scenario: &'static Scenario) -> Self {
        let folder = tempfile::Builder::new()
            .prefix(scenario.name)
            .tempdir()
            .expect("a folder");
        let output = fs::File::create(folder.path().join("output")).expect("a file");
        let main = Command::new(env!("CARGO_BIN_EXE_wslk"))
            .arg("victim")
            .arg(scenario.name)
            .arg(folder.path())
            .stdin(std::process::Stdio::null())
            .stdout(output)
            .spawn()
            .expect("wslk starts");
        Self {
            scenario,
            folder,
            main,
        }
    }

    /// Waits for a file; else what the victim gave as the reason that it never comes.
    fn wait_for(&self, name: &str) -> Result<Vec<u8>, String> {
        let began = Instant::now();
        loop {
            if let Ok(text) = fs::read(self.folder.path().join(name)) {
                return Ok(text);
            }
            for role in ["main", "settler", "inner"] {
                let words = self.folder.path().join(format!("error-{role}"));
                if let Ok(text) = fs::read_to_string(words) {
                    return Err(text);
                }
            }
            if began.elapsed() > Duration::from_secs(60) {
                return Err(format!("no file {name} came"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn ask(&self, number: u64, question: &str) -> Answer {
        let half = self.folder.path().join("half");
        fs::write(&half, format!("\"{question}\"")).expect("a question is written");
        let whole = self.folder.path().join(format!("ask-{number}"));
        fs::rename(half, whole).expect("and put");
        let text = self.wait_for(&format!("answer-{number}"));
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", self.scenario.name));
        serde_json::from_slice(&text).expect("an answer")
    }

    /// The process that answers, as it is called outside.
    fn inner(&self) -> Option<String> {
        let text = fs::read(self.folder.path().join("outside")).ok()?;
        let outside: serde_json::Value = serde_json::from_slice(&text).ok()?;
        Some(outside["pid"].as_u64()?.to_string())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let main = self.main.id().to_string();
        for pid in self.inner().into_iter().chain([main]) {
            let _dead = Command::new("kill").args(["-KILL", &pid]).output();
        }
        let _reaped = self.main.wait();
        self.scenario.clear(self.folder.path());
    }
}

/// Asks a victim that is never dumped, and then one that harms its data.
fn can_pass_and_fail(scenario: &'static Scenario) {
    let name = scenario.name;
    let victim = Victim::start(scenario);
    if let Err(reason) = victim.wait_for("ready") {
        let here = ["not permitted", "surroundings\":true", "Permission denied"];
        assert!(
            here.iter().any(|word| reason.contains(word)),
            "{name}: {reason}"
        );
        eprintln!("skipped: {name} cannot be set up here: {reason}");
        return;
    }
    let before = victim.ask(1, "prepare");
    let after = victim.ask(2, "check");
    let faults = scenario.judge(&before.state, &after.state);
    assert!(
        faults.is_empty(),
        "{name} was never down, and yet {faults:?}"
    );
    let before = victim.ask(3, "prepare");
    let after = victim.ask(4, "tampered-check");
    let faults = scenario.judge(&before.state, &after.state);
    assert!(
        !faults.is_empty(),
        "{name} passes whatever happens to its data"
    );
}

#[test]
fn every_check_can_pass_and_fail() {
    std::thread::scope(|scope| {
        for scenario in scenario::ALL {
            scope.spawn(move || can_pass_and_fail(scenario));
        }
    });
}

#[test]
fn no_tampered_victim_passes_a_real_criu() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = SuiteOptions::new(env!("CARGO_BIN_EXE_wslk"), folder.path().join("work"));
    options.only = vec!["memory".to_owned()];
    let report = smoke::run(&options, &Duct::default(), &mut |_| {});
    if report.verdict() != Verdict::Works {
        let reason = report
            .blocked
            .as_ref()
            .map(|blocked| blocked.reason.clone());
        let reason = reason.or_else(|| only(&report).reason.clone());
        eprintln!("skipped: {}", reason.unwrap_or_default());
        return;
    }
    options.only.clear();
    options.tamper = true;
    let report = smoke::run(&options, &Duct::default(), &mut |_| {});
    for scenario in &report.scenarios {
        assert_ne!(scenario.verdict, Verdict::Works, "{scenario:?}");
        assert_eq!(scenario.cycles, 0, "{scenario:?}");
    }
}
