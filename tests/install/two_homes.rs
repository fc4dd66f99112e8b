//! One Windows side that more than one wslk sees: two homes, as of two distributions.

use std::fs;
use std::process::Stdio;

use assert_cmd::Command;

use crate::bench::{Bench, Kernel, snapshot};

/// The same command with another `WSLK_HOME`.
fn elsewhere(bench: &Bench, args: &[&str]) -> Command {
    let mut command = bench.wslk(args);
    command
        .env("WSLK_HOME", bench.path("other-home"))
        .arg("--json");
    command
}

/// Leaves the journal as it is in the middle of the installation.
fn cut_the_journal(bench: &Bench) {
    let journal = fs::read(bench.w("journal")).unwrap();
    fs::write(bench.w("journal"), &journal[..journal.len() / 2]).unwrap();
}

#[test]
fn a_change_at_work_is_left_alone_by_another_home() {
    let bench = Bench::new();
    bench.publish(&Kernel::new("a"));
    bench.ends(&["install"], 0);
    cut_the_journal(&bench);
    let lock = fs::File::open(bench.w("lock")).unwrap();
    lock.lock().unwrap();
    let before = snapshot(&bench.drive());
    for (args, code) in [
        (&["status"][..], 0),
        (&["rollback"], 10),
        (&["rollback", "stock"], 10),
        (&["clean"], 10),
    ] {
        let output = elsewhere(&bench, args).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?} {output:?}");
        let out = String::from_utf8(output.stdout).unwrap();
        assert!(!out.contains("--home"), "another home is of no use: {out}");
        assert_eq!(
            out.contains("\"kind\":\"lock\"") || out.contains("\"kind\": \"lock\""),
            code == 10,
            "{out}"
        );
        assert_eq!(snapshot(&bench.drive()), before, "{args:?}");
    }
}

#[test]
fn a_look_from_another_home_takes_nothing_from_an_installation() {
    for _ in 0..5 {
        let bench = Bench::new();
        let id = bench.publish(&Kernel::new("a"));
        let mut install = std::process::Command::new(assert_cmd::cargo::cargo_bin("wslk"))
            .args(["install", "--windows-home"])
            .arg(bench.profile())
            .envs(bench.environment())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let ended = loop {
            elsewhere(&bench, &["status"]).assert().success();
            if let Some(status) = install.try_wait().unwrap() {
                break status;
            }
        };
        // Whoever looks may hold the lock for the moment that the installation needs it.
        let installed = ended.success();
        assert!(installed || ended.code() == Some(10), "{ended}");
        assert_eq!(bench.config_text().contains("kernel="), installed);
        assert_eq!(bench.w(&id).join("bzImage").exists(), installed);
    }
}
