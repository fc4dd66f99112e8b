//! The boot stage against a QEMU of paper: a script that leaves the console and the agent's words which a real
//! run left, or misbehaves. The real thing is tested by the end-to-end tests.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use wslk::boot::{
    self, AccelChoice, BootError, BootOptions, BootReport, FailureKind, GuestTools, Stand, Subject,
    Verdict,
};
use wslk::exec::Duct;
use wslk::process::Interrupt;
use wslk::report::Reporter;

const CONSOLE: &str = include_str!("console/passed.log");
const STARTED: &str = r#"{"at":2.5,"what":{"event":"started","release":"6.1.0-test","version":"1","cmdline":"debug"}}
{"at":2.5,"what":{"event":"phase","name":"setup"}}
{"at":2.6,"what":{"event":"config","matches":true}}
{"at":2.6,"what":{"event":"phase","name":"smoke"}}
"#;
const FINISHED: &str = r#"{"at":9.6,"what":{"event":"phase","name":"end"}}
{"at":9.6,"what":{"event":"finished"}}
"#;

/// A folder with all that a test needs.
struct Bench {
    folder: tempfile::TempDir,
    tools: GuestTools,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tar = folder.path().join("tools.tar");
        tools(&tar, |_| true);
        let mut kernel = vec![0; 4096];
        kernel[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
        kernel[0x202..0x206].copy_from_slice(b"HdrS");
        kernel[0x211] = 1;
        fs::write(folder.path().join("bzImage"), kernel).unwrap();
        fs::write(folder.path().join("config"), "CONFIG_IKCONFIG_PROC=y\n").unwrap();
        fs::write(folder.path().join("console.txt"), CONSOLE).unwrap();
        let tools = GuestTools {
            origin: "sha256:1234".into(),
            tar,
        };
        Self { folder, tools }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A QEMU that ends as `script` says; the agent's words are in `$words`, the console in `$console`.
    fn qemu(&self, words: &str, script: &str) -> BootOptions {
        fs::write(self.path("words.txt"), words).unwrap();
        let (words, console) = (self.path("words.txt"), self.path("console.txt"));
        let head = format!(
            "#!/bin/sh\nwords={}\nconsole={}\n",
            words.display(),
            console.display()
        );
        let qemu = self.path("qemu");
        fs::write(&qemu, head + script).unwrap();
        fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).unwrap();
        BootOptions {
            qemu,
            accel: AccelChoice::Tcg,
            deadline: Duration::from_secs(20),
            silence: Duration::from_secs(10),
            ..BootOptions::default()
        }
    }

    fn test(&self, options: &BootOptions) -> Result<BootReport, BootError> {
        self.test_with(options, &Interrupt::default())
    }

    fn test_with(
        &self,
        options: &BootOptions,
        interrupt: &Interrupt,
    ) -> Result<BootReport, BootError> {
        let subject = Subject {
            kernel: self.path("bzImage"),
            config: self.path("config"),
            modules: None,
            release: "6.1.0-test".into(),
        };
        let stand = Stand {
            program: env!("CARGO_BIN_EXE_wslk").into(),
            tools: &self.tools,
            out: self.path("boot"),
            runner: &Duct::new(interrupt.clone()),
            reporter: &Reporter::silent(),
        };
        boot::test(&subject, options, &stand)
    }

    /// The evidence that was left.
    fn left(&self) -> Vec<String> {
        let names = fs::read_dir(self.path("boot"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// A tar file of this machine's own libraries, which satisfy this machine's own program; those that `are_there`.
fn tools(tar: &Path, are_there: impl Fn(&str) -> bool) {
    let libraries = [
        "libc.so.6",
        "libm.so.6",
        "libgcc_s.so.1",
        "libz.so.1",
        "ld-linux-x86-64.so.2",
    ];
    let folders = [
        "/lib64",
        "/usr/lib64",
        "/lib/x86_64-linux-gnu",
        "/usr/lib/x86_64-linux-gnu",
    ];
    let mut builder = tar::Builder::new(File::create(tar).unwrap());
    for library in libraries.into_iter().filter(|library| are_there(library)) {
        let paths = folders.iter().map(|folder| Path::new(folder).join(library));
        for path in paths.filter_map(|path| fs::canonicalize(path).ok()).take(1) {
            builder
                .append_path_with_name(path, format!("usr/lib/{library}"))
                .unwrap();
        }
    }
    builder.finish().unwrap();
}

const PLAY: &str = "cp $words agent.jsonl; cp $console console.log; cat $console\n";

fn suite(verdict: &str) -> String {
    let scenario = format!(
        r#"{{"name":"unix","verdict":"{verdict}","cycles":2,"reason":"its sockets are not collected","options":["UNIX","UNIX_DIAG"],"missing":["UNIX_DIAG"],"seconds":6.9}}"#
    );
    let report = format!(
        r#"{{"kernel_release":"6.1.0-test","criu_version":"4.2.1","diag":[],"scenarios":[{scenario}],"seconds":7.0}}"#
    );
    format!(
        "{STARTED}{{\"at\":9.5,\"what\":{{\"event\":\"smoke\",\"report\":{report}}}}}\n{FINISHED}"
    )
}

#[test]
fn a_pass_leaves_its_evidence_and_nothing_else() {
    let bench = Bench::new();
    let report = bench.test(&bench.qemu(&suite("works"), PLAY)).unwrap();
    assert!(report.passed(), "{report:?}");
    assert_eq!(report.kernel_release.as_deref(), Some("6.1.0-test"));
    assert_eq!(report.config_matches, Some(true));
    let phases: Vec<&str> = report
        .phases
        .iter()
        .map(|phase| phase.name.as_str())
        .collect();
    assert_eq!(phases, ["kernel", "setup", "smoke", "end"]);
    assert_eq!(boot::read_report(&bench.path("boot")).unwrap(), report);
    assert_eq!(
        bench.left(),
        [
            "agent.jsonl",
            "console.log",
            "report.json",
            "report.junit.xml",
            "report.tap"
        ]
    );
}

#[test]
fn a_failed_scenario_names_its_option() {
    let bench = Bench::new();
    let report = bench.test(&bench.qemu(&suite("fails"), PLAY)).unwrap();
    assert_eq!(report.verdict, Verdict::Failed);
    assert_eq!(report.failures[0].scenario.as_deref(), Some("unix"));
    assert_eq!(report.failures[0].options, ["UNIX_DIAG"]);
}

#[test]
fn what_could_not_be_tested_is_an_error_with_its_report_on_disk() {
    let bench = Bench::new();
    let error = bench
        .test(&bench.qemu(&suite("not-testable"), PLAY))
        .unwrap_err();
    assert!(matches!(error, BootError::Untested(_)), "{error}");
    let report = boot::read_report(&bench.path("boot")).unwrap();
    assert_eq!(report.verdict, Verdict::NotTestable);
}

#[test]
fn an_agent_without_a_port_is_heard_on_the_console() {
    let bench = Bench::new();
    fs::write(
        bench.path("console.txt"),
        format!("{CONSOLE}{}", suite("works")),
    )
    .unwrap();
    let report = bench.test(&bench.qemu("", PLAY)).unwrap();
    assert!(report.passed(), "{report:?}");
}

#[test]
fn a_mute_machine_and_one_that_stops_are_told_apart() {
    let bench = Bench::new();
    let quick = |words: &str, script: &str| BootOptions {
        silence: Duration::from_millis(400),
        ..bench.qemu(words, script)
    };
    let report = bench.test(&quick("", "sleep 30")).unwrap();
    assert_eq!(report.failures[0].kind, FailureKind::Mute);
    let report = bench
        .test(&quick(STARTED, &format!("{PLAY}sleep 30")))
        .unwrap();
    assert_eq!(report.failures[0].kind, FailureKind::Hang);
    assert_eq!(report.failures[0].reason, "the kernel hung in phase smoke");
    let report = bench.test(&quick(STARTED, PLAY)).unwrap();
    assert_eq!(report.failures[0].kind, FailureKind::EarlyExit);
}

#[test]
fn words_of_an_earlier_run_are_not_taken_for_this_one() {
    let bench = Bench::new();
    assert!(
        bench
            .test(&bench.qemu(&suite("works"), PLAY))
            .unwrap()
            .passed()
    );
    let report = bench.test(&bench.qemu("", "exit 0")).unwrap();
    assert_eq!(report.failures[0].kind, FailureKind::Mute);
}

#[test]
fn a_guest_still_at_work_when_time_is_over_did_not_fail() {
    let bench = Bench::new();
    let talks = format!("{PLAY}while sleep 0.1; do echo wslk: still in phase smoke; done");
    let options = BootOptions {
        deadline: Duration::from_secs(1),
        ..bench.qemu(STARTED, &talks)
    };
    let error = bench.test(&options).unwrap_err();
    assert!(error.to_string().contains("still at work"), "{error}");
}

#[test]
fn faults_on_our_side_are_errors() {
    let bench = Bench::new();
    let missing = BootOptions {
        qemu: "qemu-of-nowhere".into(),
        ..bench.qemu("", "")
    };
    assert!(matches!(bench.test(&missing), Err(BootError::NoQemu(_))));

    let memory = "echo \"qemu-system-x86_64: cannot set up guest memory 'ram': Cannot allocate memory\" >&2; exit 1";
    let error = bench.test(&bench.qemu("", memory)).unwrap_err();
    assert!(matches!(error, BootError::Qemu(_)), "{error}");
    assert!(
        error.to_string().contains("Cannot allocate memory"),
        "{error}"
    );

    let error = bench.test(&bench.qemu("", "kill -KILL $$")).unwrap_err();
    assert!(error.to_string().contains("signal 9"), "{error}");
}

#[test]
fn an_interrupt_is_no_verdict() {
    let bench = Bench::new();
    let interrupt = Interrupt::default();
    interrupt.set();
    let started = Instant::now();
    let answer = bench.test_with(&bench.qemu("", "sleep 30"), &interrupt);
    assert!(matches!(answer, Err(BootError::Interrupted)));
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(!bench.path("boot/report.json").exists());
}

#[test]
fn a_program_that_could_not_run_there_is_refused_before_qemu_starts() {
    let bench = Bench::new();
    tools(&bench.path("tools.tar"), |library| library != "libc.so.6");
    let error = bench.test(&bench.qemu("", "touch started")).unwrap_err();
    assert!(
        matches!(&error, BootError::ToolMissing { what, .. } if what == "libc.so.6"),
        "{error}"
    );
    assert!(!bench.path("boot/started").exists());
}

#[test]
fn what_is_no_kernel_is_refused() {
    let bench = Bench::new();
    fs::write(bench.path("bzImage"), b"\x7fELF and so on").unwrap();
    let error = bench.test(&bench.qemu("", "")).unwrap_err();
    assert!(matches!(error, BootError::NotAKernel { .. }), "{error}");
}
