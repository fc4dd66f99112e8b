//! SIGKILL before every single system call that changes a file, in both directions.
//!
//! strace injects the signal at the entry of the n-th call of a kind, for every kind and every n until
//! the program gets through; so every point between two such calls is tried. After each kill the Windows
//! side must be one that WSL can start from, with the old `.wslconfig` or the new one; and after the next
//! command everything must be as before, or as after.
#![expect(
    clippy::print_stderr,
    reason = "the count is the figure, and a skip must be seen"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::{Bench, Kernel, snapshot};
use crate::killer::{CALLS, ENOUGH, Watch, can_kill, died, strace};

/// The opening of a file is a change only with WSLK_SLOW_TESTS: what it leaves is what is found before the next
/// write, and most openings are not ours.
fn calls() -> impl Iterator<Item = &'static str> {
    let slow = std::env::var_os("WSLK_SLOW_TESTS").map(|_| "openat");
    CALLS.into_iter().chain(slow)
}

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Brings a bench into the state from which a command starts.
type Prepare<'a> = &'a dyn Fn(&Bench);

/// One command that is killed again and again.
struct Target<'a> {
    name: &'static str,
    prepare: Prepare<'a>,
    command: &'a [&'a str],
}

/// What counts of the drive: all but the journal, whose only reader is the next command, the empty lock, and the
/// reserve of space.
pub fn state(bench: &Bench) -> Files {
    now_state(&snapshot(&bench.drive()))
}

fn now_state(files: &Files) -> Files {
    let mut files = files.clone();
    let counts = |path: &PathBuf| {
        !["journal", "lock", "reserve"]
            .iter()
            .any(|name| path.ends_with(name))
    };
    files.retain(|path, _| counts(path));
    for (path, bytes) in &mut files {
        // Times differ from run to run, and nothing else may.
        if path.to_string_lossy().ends_with("generations.json") {
            *bytes = without_times(bytes);
        }
    }
    files
}

fn without_times(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    let timeless = |line: &&str| !line.contains("\"since\"") && !line.contains("\"installed\"");
    text.lines()
        .filter(timeless)
        .collect::<Vec<_>>()
        .join("\n")
        .into_bytes()
}

fn copy_tree(from: &Path, to: &Path) {
    let _fresh = fs::remove_dir_all(to);
    let status = Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .status()
        .unwrap();
    assert!(status.success());
}

/// Runs the command under strace; says whether it was killed.
fn killed(bench: &Bench, args: &[&str], call: &str, n: u32) -> bool {
    let mut strace = strace(Watch::All, call, n);
    strace
        .arg(assert_cmd::cargo::cargo_bin("wslk"))
        .args(args)
        .arg("--windows-home")
        .arg(bench.profile())
        .envs(bench.environment())
        .env_remove("WSL_DISTRO_NAME");
    let status = strace.status().unwrap();
    let killed = died(status);
    assert!(killed || status.success(), "{call} {n}: {status}");
    killed
}

/// The kernel and modules that `.wslconfig` names are there, whole.
pub fn assert_startable(bench: &Bench, files: &Files, at: &str) {
    let config = bench.config_text();
    for line in config.lines() {
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        if !key.starts_with("kernel") {
            continue;
        }
        let path = value.trim_matches('"').replace("\\\\", "/");
        let path = path.strip_prefix("C:/").unwrap();
        let bytes = files
            .get(Path::new(path))
            .unwrap_or_else(|| panic!("{at}: {path} is not there"));
        let whole = [
            &Kernel::new("a").image[..],
            &Kernel::new("b").image,
            b"modules of a",
            b"modules of b",
        ];
        assert!(whole.contains(&&bytes[..]), "{at}: {path} is not whole");
    }
}

/// Kills the command at every point; returns how many there were.
fn kill_everywhere(target: &Target<'_>) -> u32 {
    let bench = Bench::new();
    (target.prepare)(&bench);
    bench.ends(&["status"], 0);
    let old = state(&bench);
    let (drive, saved) = (bench.drive(), bench.path("saved"));
    copy_tree(&drive, &saved);
    bench.ends(target.command, 0);
    let new = state(&bench);
    assert_ne!(old, new, "{} does nothing", target.name);
    let config = Path::new("Users/me/.wslconfig");
    let mut points = 0;
    let mut finished = 0;
    for call in calls() {
        for n in 1..ENOUGH {
            copy_tree(&saved, &drive);
            if !killed(&bench, target.command, call, n) {
                break;
            }
            points += 1;
            let at = format!("{} killed at {call} {n}", target.name);
            let now = snapshot(&drive);
            let found = now.get(config);
            assert!(
                found == old.get(config) || found == new.get(config),
                "{at}: .wslconfig is neither"
            );
            assert_startable(&bench, &now, &at);
            let (_, talk) = bench.ends(&["status"], 0);
            let after = state(&bench);
            assert!(
                after == old || after == new,
                "{at}: neither old nor new\n{talk}\n{}",
                difference(&after, &old, &new)
            );
            // What was cut off and changed something is told.
            if now.len() != old.len() || found != old.get(config) {
                let silent = after == now_state(&now) || talk.contains("was cut off");
                assert!(silent, "{at}: {talk}");
            }
            finished += u32::from(after == new);
        }
    }
    eprintln!(
        "{}: {points} kill points, {finished} finished and {} undone",
        target.name,
        points - finished
    );
    assert!(points > 15, "{points}");
    points
}

fn difference(after: &Files, old: &Files, new: &Files) -> String {
    let names = |other: &Files| -> Vec<String> {
        let differs = |path: &&PathBuf| after.get(*path) != other.get(*path);
        let all = after.keys().chain(other.keys()).filter(differs);
        all.map(|path| path.display().to_string()).collect()
    };
    format!(
        "against old: {:?}\nagainst new: {:?}",
        names(old),
        names(new)
    )
}

fn one_build(bench: &Bench) {
    bench.write_config("# mine\r\n[wsl2]\r\nmemory=8GB\r\n");
    bench.publish(&Kernel::new("a"));
}

#[test]
fn killed_while_installing() {
    if !can_kill() {
        return;
    }
    kill_everywhere(&Target {
        name: "first install",
        prepare: &one_build,
        command: &["install"],
    });
}

#[test]
fn killed_while_installing_over_another() {
    if !can_kill() {
        return;
    }
    let prepare = |bench: &Bench| {
        one_build(bench);
        bench.ends(&["install"], 0);
        bench.publish(&Kernel::new("b"));
        fs::write(bench.path("which"), "").unwrap();
    };
    let b = {
        let bench = Bench::new();
        bench.publish(&Kernel::new("b"))
    };
    kill_everywhere(&Target {
        name: "second install",
        prepare: &prepare,
        command: &["install", &b],
    });
}

#[test]
fn killed_while_rolling_back() {
    if !can_kill() {
        return;
    }
    let prepare = |bench: &Bench| {
        one_build(bench);
        bench.ends(&["install"], 0);
    };
    kill_everywhere(&Target {
        name: "rollback",
        prepare: &prepare,
        command: &["rollback"],
    });
}

#[test]
fn killed_while_returning() {
    if !can_kill() {
        return;
    }
    let prepare = |bench: &Bench| {
        one_build(bench);
        bench.ends(&["install"], 0);
        bench.ends(&["rollback"], 0);
    };
    kill_everywhere(&Target {
        name: "rollback of the rollback",
        prepare: &prepare,
        command: &["rollback"],
    });
}

#[test]
fn killed_while_cleaning() {
    if !can_kill() {
        return;
    }
    let prepare = |bench: &Bench| {
        one_build(bench);
        bench.ends(&["install"], 0);
        let b = bench.publish(&Kernel::new("b"));
        bench.ends(&["install", &b], 0);
    };
    kill_everywhere(&Target {
        name: "clean",
        prepare: &prepare,
        command: &["clean"],
    });
}

/// What puts in order is killed as well: amid undoing, amid finishing, and amid taking over a verdict.
#[test]
fn killed_while_recovering() {
    if !can_kill() {
        return;
    }
    let cut_at = |bench: &Bench, call: &str, n: u32| {
        assert!(killed(bench, &["install"], call, n));
    };
    let verdict = |bench: &Bench, text: &str| {
        bench.ends(&["install"], 0);
        fs::write(bench.w("state/verdict.txt"), text).unwrap();
    };
    let reverted = "number=0001\r\nverdict=reverted\r\nto=previous\r\nreason=why\r\n";
    let blessed = "number=0001\r\nverdict=blessed\r\nto=current\r\n";
    let amid_copies = |bench: &Bench| cut_at(bench, "write", 12);
    // The first is for us to remember where, then .wslconfig's; the last is what is known.
    let at_the_end = |bench: &Bench| cut_at(bench, "rename", 5);
    let blessing = |bench: &Bench| verdict(bench, blessed);
    let revert = |bench: &Bench| {
        verdict(bench, reverted);
        let good = bench.w("candidates/0001-good.wslconfig");
        fs::copy(good, bench.profile().join(".wslconfig")).unwrap();
    };
    let cases: [(&str, Prepare<'_>); 4] = [
        ("a change cut off amid the copies", &amid_copies),
        ("a change cut off before its last file", &at_the_end),
        ("a blessing", &blessing),
        ("a revert", &revert),
    ];
    for (name, prepare) in cases {
        let bench = Bench::new();
        one_build(&bench);
        prepare(&bench);
        kill_recovery(name, &bench);
    }
}

fn kill_recovery(name: &str, bench: &Bench) {
    let (drive, saved) = (bench.drive(), bench.path("saved"));
    copy_tree(&drive, &saved);
    bench.ends(&["status"], 0);
    let settled = unnumbered(&state(bench));
    let mut points = 0;
    for call in calls() {
        for n in 1..ENOUGH {
            copy_tree(&saved, &drive);
            if !killed(bench, &["status"], call, n) {
                break;
            }
            points += 1;
            let at = format!("{name}: status killed at {call} {n}");
            assert_startable(bench, &snapshot(&drive), &at);
            bench.ends(&["status"], 0);
            let after = unnumbered(&state(bench));
            assert!(
                after == settled,
                "{at}: {}",
                difference(&after, &settled, &settled)
            );
        }
    }
    eprintln!("recovery, {name}: {points} kill points");
    assert!(points > 10, "{points}");
}

/// A take-over that was undone and made again has the next number: the same files under another name.
fn unnumbered(files: &Files) -> Files {
    let numbered = |path: &PathBuf| {
        let text = path.to_string_lossy().into_owned();
        ["backups/", "candidates/"]
            .iter()
            .any(|folder| text.contains(folder))
    };
    let mut files = files.clone();
    files.retain(|path, _| !numbered(path));
    for (path, bytes) in &mut files {
        if path.to_string_lossy().contains("/state/") {
            *bytes = bytes
                .iter()
                .map(|b| if b.is_ascii_digit() { b'0' } else { *b })
                .collect();
        }
    }
    files
}
