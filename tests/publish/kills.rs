//! SIGKILL before every single system call that changes a file, of whoever publishes and of whoever takes.
//!
//! strace injects the signal at the entry of the n-th call of a kind, for every kind and every n until the program
//! gets through. After each kill an entry, or a build, is there whole or not at all; the same command again ends
//! well, and leaves what an undisturbed one leaves.
#![expect(
    clippy::print_stderr,
    reason = "the count is the figure, and a skip must be seen"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wslk::artefact::Store;
use wslk::home::Home;
use wslk::publish::Outlet;

use crate::bench::{Kernel, snapshot};
use crate::killer::{CALLS, ENOUGH, Watch, can_kill, died, strace};
use crate::yard::Yard;

/// Runs a prepared command under strace; says whether it was killed, or how it ended.
fn killed(command: &assert_cmd::Command, call: &str, n: u32) -> Result<(), Option<i32>> {
    let mut strace = strace(Watch::All, call, n);
    strace.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    let status = strace.status().unwrap();
    match died(status) {
        true => Ok(()),
        false => Err(status.code()),
    }
}

/// Kills a command at every point; `fresh` puts everything back, `check` looks at what is there. Returns how many
/// points there were.
fn kill_everywhere(
    command: &dyn Fn() -> assert_cmd::Command,
    code: i32,
    fresh: &dyn Fn(),
    check: &dyn Fn(&str),
) -> u32 {
    let mut points = 0;
    for call in CALLS {
        for n in 1..ENOUGH {
            fresh();
            if let Err(ended) = killed(&command(), call, n) {
                assert_eq!(ended, Some(code), "{call} {n}");
                break;
            }
            points += 1;
            check(&format!("killed at {call} {n}"));
            crate::yard::ended(&mut command(), code);
            check(&format!("again after {call} {n}"));
        }
    }
    points
}

/// The entries are whole: every file has its digest.
fn assert_whole(outlet: &Path, at: &str) -> usize {
    let outlet = Outlet::new(outlet);
    let entries = outlet.entries().unwrap();
    for entry in &entries {
        let sums = Command::new("sha256sum")
            .args(["--check", "--strict", "--status", "SHA256SUMS"])
            .current_dir(outlet.folder(entry))
            .status();
        assert!(
            sums.unwrap().success(),
            "{at}: {} is not whole",
            entry.path()
        );
    }
    entries.len()
}

fn names(folder: &Path) -> BTreeSet<PathBuf> {
    snapshot(folder).into_keys().collect()
}

#[test]
fn killed_while_publishing() {
    if !can_kill() {
        return;
    }
    let yard = Yard::new();
    let (folder, key) = yard.published();
    let whole = names(&yard.outlet());
    let (to, file) = (
        yard.outlet().display().to_string(),
        key.file.display().to_string(),
    );
    let command = || yard.publisher(&["publish", "--to", &to, "--sign-key", &file]);
    let fresh = || fs::remove_dir_all(yard.outlet()).unwrap();
    let check = |at: &str| {
        let entries = match yard.outlet().exists() {
            true => assert_whole(&yard.outlet(), at),
            false => 0,
        };
        assert_eq!(entries == 1, folder.join("SHA256SUMS").exists(), "{at}");
        if at.starts_with("again") {
            assert_eq!(names(&yard.outlet()), whole, "{at}: nothing is left over");
        }
    };
    let points = kill_everywhere(&command, 0, &fresh, &check);
    eprintln!("publish: {points} kill points");
    assert!(points > 50, "{points}");
}

#[test]
fn killed_while_fetching() {
    if !can_kill() {
        return;
    }
    let yard = Yard::new();
    let key = yard.key("key");
    let mut kernel = Kernel::new("elf");
    // Installing refuses it: what is tried here ends where the build is in the store.
    kernel.image = b"\x7fELF".to_vec();
    let id = yard.build_of("6.6.87.2", &kernel);
    yard.publish(&id, &key);
    let from = yard.outlet().display().to_string();
    let command = || {
        let args = ["--json", "install", "--from", &from, "--trust", &key.public];
        let mut command = yard.user.wslk(&args);
        command.arg("--windows-home").arg(yard.user.profile());
        command
    };
    let remove = |name: &str| {
        let _none = fs::remove_dir_all(yard.user.path(name));
    };
    let fresh = || ["home", "cache"].into_iter().for_each(remove);
    let home = Home::new(yard.user.path("home"), yard.user.path("cache"));
    let check = |at: &str| {
        if let Ok(build) = Store::new(&home).open(&id.parse().unwrap()) {
            build.verify().unwrap();
            assert!(build.is_proven().unwrap(), "{at}");
        } else {
            assert!(at.starts_with("killed"), "{at}");
        }
        if at.starts_with("again") {
            assert_eq!(yard.user_builds(), [id.as_str()], "{at}");
            let left = yard.user.path("cache/wslk/downloads/publications");
            assert_eq!(names(&left).len(), 0, "{at}: nothing is left over");
        }
    };
    let points = kill_everywhere(&command, 8, &fresh, &check);
    eprintln!("install --from: {points} kill points");
    assert!(points > 50, "{points}");
}
