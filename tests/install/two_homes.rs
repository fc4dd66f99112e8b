//! One Windows side that more than one wslk sees, as from two distributions; and who stops, or only looks.

use std::fs;
use std::process::Stdio;

use assert_cmd::Command;

use crate::bench::{Bench, Kernel, snapshot};
use crate::killer::can_kill;
use crate::kills::state;

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
fn a_command_waits_for_another_that_soon_ends() {
    let bench = Bench::new();
    bench.publish(&Kernel::new("a"));
    bench.ends(&["install"], 0);
    for file in [bench.path("home/lock"), bench.w("lock")] {
        let lock = fs::File::open(&file).unwrap();
        lock.lock().unwrap();
        let ends = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_secs(1));
            drop(lock);
        });
        let (done, talk) = bench.ends(&["rollback"], 0);
        assert_eq!(done["changed"], true, "{}", file.display());
        assert!(talk.contains("waiting a few seconds"), "{talk}");
        ends.join().unwrap();
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

#[test]
fn who_only_looks_puts_nothing_in_order() {
    let bench = Bench::new();
    bench.publish(&Kernel::new("a"));
    bench.ends(&["install"], 0);
    cut_the_journal(&bench);
    let before = snapshot(&bench.drive());
    let (_, talk) = bench.ends(&["status", "--dry-run"], 0);
    assert!(talk.contains("was cut off"), "{talk}");
    assert_eq!(snapshot(&bench.drive()), before);
    bench.status();
    assert_ne!(snapshot(&bench.drive()), before);
}

#[test]
fn what_is_remembered_is_only_a_hint() {
    let bench = Bench::new();
    bench.publish(&Kernel::new("a"));
    bench.ends(&["install"], 0);
    for verb in [
        &["status"][..],
        &["rollback", "stock"],
        &["install"],
        &["clean"],
    ] {
        fs::write(bench.path("home/windows.txt"), b"\xff\xfe\x80folder=").unwrap();
        bench.ends(verb, 0);
    }
}

#[test]
fn a_sound_journal_is_not_put_aside() {
    let bench = Bench::new();
    let id = bench.publish(&Kernel::new("a"));
    bench.ends(&["install"], 0);
    let text = fs::read_to_string(bench.w("journal")).unwrap();
    let switch = text.find("switch begin").unwrap();
    fs::write(bench.w("journal"), &text[..switch]).unwrap();
    // The user took the kernel out, and something keeps its file from being removed.
    bench.write_config("[wsl2]\n");
    let kernel = bench.w(&id).join("bzImage");
    fs::remove_file(&kernel).unwrap();
    fs::create_dir_all(kernel.join("in the way")).unwrap();
    let (document, _) = bench.ends(&["status"], 8);
    assert!(
        !document["hint"].to_string().contains("is undone"),
        "{document}"
    );
    bench.ends(&["rollback", "stock"], 0);
    let aside = |path: &std::path::PathBuf| path.to_string_lossy().contains("journal.damaged");
    assert!(!snapshot(&bench.drive()).keys().any(aside));
    bench.status();
}

#[test]
fn ctrl_c_stops_an_installation_until_it_commits() {
    if !can_kill() {
        return;
    }
    let bench = Bench::new();
    bench.publish(&Kernel::new("a"));
    let old = state(&bench);
    let (mut stopped, mut finished) = (0, 0);
    for n in 1..40 {
        let status = injected(&bench, "write", &format!("signal=INT:when={n}"));
        let installed = bench.config_text().contains("kernel=");
        match status.code() {
            Some(130) => {
                stopped += 1;
                assert_eq!(state(&bench), old, "stopped at {n}");
            }
            code => {
                finished += 1;
                assert!(code == Some(0) && installed, "{n}: {status}");
            }
        }
        let (_, talk) = bench.ends(&["status"], 0);
        assert!(!talk.contains("was cut off"), "{talk}");
        fs::remove_dir_all(bench.drive()).unwrap();
        fs::create_dir_all(bench.profile().join("AppData/Local")).unwrap();
    }
    assert!(stopped > 3 && finished > 3, "{stopped} {finished}");
}

#[test]
fn ctrl_c_after_the_switch_does_not_go_on_to_restart() {
    if !can_kill() {
        return;
    }
    let bench = Bench::wsl();
    let id = bench.publish(&Kernel::new("a"));
    bench.ends(&["install"], 0);
    bench.ends(&["rollback"], 0);
    let output = std::process::Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=rename"])
        .args(["-e", "inject=rename:signal=INT:when=1"])
        .arg(assert_cmd::cargo::cargo_bin("wslk"))
        .args(["install", "--restart", "--yes", "--json"])
        .envs(bench.environment())
        .env("WSL_DISTRO_NAME", "Fake")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("stopped before WSL was restarted"), "{said}");
    assert!(said.contains(&format!("install {id} --restart")), "{said}");
    assert!(!bench.calls().contains("start wslk trial"));
    assert_eq!(bench.status()["configured"], id.as_str());
    bench.ends(&["rollback"], 0);
    assert_eq!(bench.config(), None);
}

#[test]
fn a_full_disk_leaves_nothing_half_done() {
    if !can_kill() {
        return;
    }
    let bench = Bench::new();
    bench.publish(&Kernel::new("a"));
    let old = state(&bench);
    let mut refused = 0;
    let writes = (2..40).map(|n| ("write", n));
    for (call, n) in writes.chain((1..6).map(|n| ("fsync", n))) {
        let status = injected(&bench, call, &format!("error=ENOSPC:when={n}"));
        let now = state(&bench);
        let (_, talk) = bench.ends(&["status"], 0);
        if !status.success() && !bench.config_text().contains("kernel=") {
            refused += 1;
            assert_eq!(now, old, "full at {call} {n}");
            assert!(!talk.contains("was cut off"), "full at {call} {n}: {talk}");
        }
        fs::remove_dir_all(bench.drive()).unwrap();
        fs::create_dir_all(bench.profile().join("AppData/Local")).unwrap();
    }
    assert!(refused > 3, "{refused}");
}

/// An installation to which something happens at one of its system calls.
fn injected(bench: &Bench, call: &str, what: &str) -> std::process::ExitStatus {
    std::process::Command::new("strace")
        .args([
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            &format!("trace={call}"),
            "-e",
            &format!("inject={call}:{what}"),
        ])
        .arg(assert_cmd::cargo::cargo_bin("wslk"))
        .args(["install", "--windows-home"])
        .arg(bench.profile())
        .envs(bench.environment())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
}
