//! What becomes of a trial, as the next command finds it.

use std::fs;

use crate::bench::{Bench, Kernel};

fn on_trial() -> (Bench, String) {
    let bench = Bench::wsl();
    bench.write_config("[wsl2]\nmemory=4GB\n");
    let id = bench.publish(&Kernel::new("a"));
    bench.ends(&["install", "--restart", "--yes"], 0);
    (bench, id)
}

fn verdict(bench: &Bench, text: &str) {
    fs::write(bench.w("state/verdict.txt"), text.replace('\n', "\r\n")).unwrap();
}

#[test]
fn a_blessing_is_taken_over_and_the_log_is_switched_off() {
    let (bench, id) = on_trial();
    assert!(bench.config_text().contains("debugConsoleLogFile"));
    verdict(
        &bench,
        "number=0001\nverdict=blessed\nto=current\nreason=\nconsole=none\n",
    );
    let status = bench.status();
    assert_eq!(status["generations"][0]["state"], "blessed");
    assert_eq!(status["configured"], id.as_str());
    assert!(status["pending"].is_null());
    assert!(!bench.config_text().contains("debugConsoleLogFile"));
    assert!(!bench.w("state/trial.txt").exists() && !bench.w("state/verdict.txt").exists());
    bench.ends(&["rollback"], 0);
    assert_eq!(bench.config_text(), "[wsl2]\nmemory=4GB\n");
    bench.ends(&["rollback"], 0);
    assert_eq!(bench.status()["configured"], id.as_str());
}

#[test]
fn a_revert_is_taken_over_with_its_reason() {
    let (bench, id) = on_trial();
    fs::copy(
        bench.w("candidates/0001-good.wslconfig"),
        bench.profile().join(".wslconfig"),
    )
    .unwrap();
    verdict(
        &bench,
        "number=0001\nverdict=reverted\nto=previous\nreason=no answer in 120 s\nconsole=C:\\c.log\n",
    );
    let (status, talk) = bench.ends(&["status"], 0);
    assert!(
        talk.contains("failed its trial (no answer in 120 s)"),
        "{talk}"
    );
    let row = &status["generations"][0];
    assert_eq!(
        (&row["state"], &row["reason"]),
        (&"failed".into(), &"no answer in 120 s".into())
    );
    assert_eq!(row["console"], r"C:\c.log");
    assert_eq!(status["configured"], "stock");
    // Nobody is led back to it by accident, but by name it can be had.
    bench.refuses(&["rollback"], "nothing to go back to");
    bench.ends(&["rollback", &id], 0);
}

#[test]
fn going_back_from_windows_is_noticed() {
    let (bench, id) = on_trial();
    verdict(&bench, "number=0001\nverdict=blessed\nto=current\n");
    bench.status();
    fs::copy(
        bench.w("candidates/0001-stock.wslconfig"),
        bench.profile().join(".wslconfig"),
    )
    .unwrap();
    verdict(
        &bench,
        "number=\nverdict=rolled-back\nto=stock\nreason=rollback.cmd was run\n",
    );
    let status = bench.status();
    assert_eq!(
        (&status["configured"], &status["previous"]),
        (&"stock".into(), &id.into())
    );
    assert_eq!(status["drift"].as_array().unwrap().len(), 0);
}

#[test]
fn windows_was_switched_off_half_way() {
    let (bench, _) = on_trial();
    let trial = bench.w("state/trial.txt");
    let text = fs::read_to_string(&trial).unwrap();
    fs::write(&trial, text.replace("phase=pending", "phase=running")).unwrap();
    // The guard may still be at work.
    assert!(bench.status()["next"].as_str().unwrap().starts_with("wait"));
    // An hour later it is not.
    let known = bench.w("state/generations.json");
    let text = fs::read_to_string(&known).unwrap();
    let since = text
        .lines()
        .find(|line| line.contains("\"since\""))
        .unwrap()
        .to_owned();
    fs::write(&known, text.replace(&since, "    \"since\": 1,")).unwrap();
    let (status, talk) = bench.ends(&["status"], 0);
    assert!(talk.contains("cut off"), "{talk}");
    assert_eq!(status["configured"], "stock");
    assert_eq!(status["generations"][0]["state"], "failed");
    assert_eq!(bench.config_text(), "[wsl2]\nmemory=4GB\n");
}

#[test]
fn a_kernel_that_runs_and_fails_its_checks_is_taken_back() {
    let bench = Bench::wsl();
    let mut kernel = Kernel::new("a");
    // The kernel of this machine: no modules disk of ours is mounted here.
    kernel.release = fs::read_to_string("/proc/sys/kernel/osrelease")
        .unwrap()
        .trim()
        .to_owned();
    bench.publish(&kernel);
    bench.ends(&["install"], 0);
    let (status, talk) = bench.ends(&["status"], 0);
    assert!(talk.contains("did not pass its trial"), "{talk}");
    assert!(
        status["generations"][0]["reason"]
            .to_string()
            .contains("modules disk")
    );
    assert_eq!(bench.config(), None);
}

#[test]
fn what_was_missing_before_the_installation_is_not_held_against_the_kernel() {
    let bench = Bench::wsl();
    let mut kernel = Kernel::new("a");
    kernel.modules = None;
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    release.trim().clone_into(&mut kernel.release);
    bench.publish(&kernel);
    bench.ends(&["install"], 0);
    let trial = fs::read_to_string(bench.w("state/trial.txt")).unwrap();
    assert!(trial.contains("trial-check --without interop"), "{trial}");
    let status = bench.status();
    let reason = status["generations"][0]["reason"].to_string();
    assert!(!reason.contains("WSLInterop"), "{status}");
    let without = [
        "trial-check",
        "--without",
        "interop",
        "--without",
        "docker-desktop",
    ];
    let output = bench.wslk(&without).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let said = said + &String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("error: the binfmt handler"), "{said}");
}

#[test]
fn the_check_of_the_running_system_says_what_is_wrong() {
    let bench = Bench::wsl();
    let (document, _) = bench.ends(&["trial-check"], 9);
    assert_eq!(document["kind"], "check");
    assert!(document["message"].to_string().contains("WSLInterop"));
}

#[test]
fn what_the_script_wrote_above_an_edited_file_is_taken_away_again() {
    let (bench, _) = on_trial();
    let edited = bench.config_text() + "[experimental]\nsparseVhd=true\n";
    let head = "# Kernel switched off by rollback.cmd of wslk. \"wslk status\" tells more.\r\n[wsl2]\r\n\
                kernel=\r\nkernelModules=\r\n";
    bench.write_config(format!("{head}{edited}"));
    verdict(
        &bench,
        "number=0001\nverdict=rolled-back\nto=stock\nreason=rollback.cmd was run\n",
    );
    let (status, talk) = bench.ends(&["status"], 0);
    assert!(talk.contains("yours are left"), "{talk}");
    assert_eq!(status["configured"], "stock");
    let left = "[wsl2]\nmemory=4GB\n[experimental]\nsparseVhd=true\n";
    assert_eq!(bench.config_text(), left);
    assert_eq!(bench.status()["drift"].as_array().unwrap().len(), 0);
}

#[test]
fn any_command_puts_the_windows_side_in_order() {
    let (bench, id) = on_trial();
    verdict(&bench, "number=0001\nverdict=blessed\nto=current\n");
    let output = bench.wslk(&["boot", "nothing-like-this"]).output().unwrap();
    let talk = String::from_utf8(output.stderr).unwrap();
    assert!(talk.contains(&format!("{id} passed its trial")), "{talk}");
    assert!(!bench.w("state/verdict.txt").exists());
}

#[test]
fn a_folder_that_was_named_once_is_found_again() {
    let bench = Bench::new();
    bench.publish(&Kernel::new("a"));
    let folder = bench.drive().join("kernels");
    bench.ends(
        &["install", "--windows-dir", &folder.display().to_string()],
        0,
    );
    assert!(bench.config_text().contains("kernel=C:\\\\kernels\\\\"));
    assert_eq!(bench.status()["folder"], r"C:\kernels");
    bench.ends(&["rollback"], 0);
    assert_eq!(bench.config(), None);
}
