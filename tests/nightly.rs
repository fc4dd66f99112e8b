//! Nights over a small repository whose tags do not configure: the command line of a night, and what a kill at
//! every write and a full disk leave of ledger, logs and site.
//!
//! No engine and no kernel: each tag fails at its configuration, for its tree is only the outline of one. The
//! stages after that are the pipeline's, and have tests of their own.

#![expect(clippy::expect_used, reason = "a test may panic")]
#![expect(
    clippy::print_stderr,
    reason = "the counts are the figures, and a skip must be seen"
)]

#[path = "killer/mod.rs"]
mod killer;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use wslk::nightly::{Books, Ledger};

use killer::{CALLS, ENOUGH, Watch, can_kill, died, strace};

const TAGS: [&str; 3] = ["6.1.1.1", "6.1.2.1", "6.6.3.1"];

/// An upstream and a machine for nights.
struct Yard {
    folder: TempDir,
}

impl Yard {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let yard = Self { folder };
        let tree = yard.path("tree");
        fs::create_dir_all(tree.join("arch/x86/configs")).expect("made");
        fs::create_dir(tree.join("kernel")).expect("made");
        yard.git(&["init", "--quiet", "--initial-branch=main"]);
        for tag in TAGS {
            yard.release(tag);
        }
        yard
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn git(&self, args: &[&str]) {
        let identity = ["-c", "user.name=wslk", "-c", "user.email=wslk@localhost"];
        let mut git = Command::new("git");
        git.arg("-C")
            .arg(self.path("tree"))
            .args(identity)
            .args(args);
        assert!(git.status().expect("git runs").success(), "{args:?}");
    }

    fn release(&self, version: &str) {
        let tree = self.path("tree");
        let numbers: Vec<&str> = version.split('.').collect();
        let names = ["VERSION", "PATCHLEVEL", "SUBLEVEL"];
        let lines = names.iter().zip(&numbers);
        let mut makefile: String = lines.map(|(name, n)| format!("{name} = {n}\n")).collect();
        makefile.push_str(&format!("EXTRAVERSION = .{}\n", numbers[3]));
        for (name, text) in [
            ("Makefile", makefile.as_str()),
            ("Kconfig", ""),
            ("Kbuild", ""),
            ("arch/x86/configs/config-wsl", "CONFIG_X=y\n"),
            ("kernel/fork.c", version),
        ] {
            fs::write(tree.join(name), text).expect("written");
        }
        let tag = format!("linux-msft-wsl-{version}");
        self.git(&["add", "--all", "."]);
        self.git(&["commit", "--quiet", "--message", version]);
        self.git(&["tag", "--annotate", &tag, "--message", version]);
    }

    /// `wslk nightly` with these flags.
    fn nightly(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wslk"));
        command
            .arg("nightly")
            .arg("--source")
            .arg(self.path("tree/.git"))
            .args(["--engine", "host", "--profile", "tiny", "--control", "none"])
            .args(flags)
            .current_dir(self.folder.path())
            .env("WSLK_HOME", self.path("home"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("XDG_CONFIG_HOME", self.path("settings"));
        command
    }

    fn ran(&self, flags: &[&str]) -> Output {
        self.nightly(flags).output().expect("wslk runs")
    }

    /// Runs it with `--json`; there is one document, whatever the end.
    fn document(&self, flags: &[&str], code: i32) -> Value {
        let output = self.ran(&[flags, &["--json"]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{flags:?}: {said}");
        serde_json::from_slice(&output.stdout).expect("one document")
    }

    fn books(&self) -> Books {
        Books::new(self.path("home/nightly.json"), self.path("home/site"))
    }

    /// What the ledger says of each tag; nothing of it depends on the time.
    fn verdicts(&self) -> Vec<String> {
        verdicts(&self.books().read().expect("a ledger"))
    }

    /// A home as before any night; what was fetched may stay.
    fn forget(&self) {
        for name in ["home/nightly.json", "home/site"] {
            let path = self.path(name);
            let _gone = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        }
    }

    /// Names below the home of what was under construction.
    fn litter(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for folder in ["home", "home/site", "home/site/logs"] {
            let entries = fs::read_dir(self.path(folder)).into_iter().flatten();
            let paths = entries.map(|entry| entry.expect("an entry").path());
            found.extend(paths.filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with(".wslk-") || name.starts_with(".staging-")
            }));
        }
        found
    }
}

fn verdicts(ledger: &Ledger) -> Vec<String> {
    let entries = ledger.entries().iter();
    let fact = |entry: &wslk::nightly::Entry| {
        let why = entry.failure.as_ref().map(|failure| &failure.reason);
        format!("{} {} {why:?}", entry.tag.version(), entry.stage)
    };
    entries.map(fact).collect()
}

#[test]
fn what_is_misspelt_is_told_before_anything_is_done() {
    let yard = Yard::new();
    let table: [(&[&str], i32, &str); 8] = [
        (
            &["--tag", "9.9.9.9"],
            2,
            "no release linux-msft-wsl-9.9.9.9",
        ),
        (&["--tag", "6.1.1.1", "--tag", "9.9.9.9"], 2, "9.9.9.9"),
        (&["--plan", "--tag", "9.9.9.9"], 2, "9.9.9.9"),
        (&["--dry-run", "--tag", "9.9.9.9"], 2, "9.9.9.9"),
        (&["--series", "9.9"], 2, "no release 9.9"),
        (
            &["--webhook", "hook"],
            2,
            "http:// or https:// URL expected",
        ),
        (&["--sign-key", "nowhere.key"], 2, "nowhere.key"),
        (&["--collect", "nowhere"], 2, "no night was here"),
    ];
    for (flags, code, said) in table {
        let answer = yard.document(flags, code);
        let message = answer["message"].as_str().unwrap_or_default();
        assert!(message.contains(said), "{flags:?}: {answer}");
        assert!(!yard.path("home/nightly.json").exists(), "{flags:?}");
        assert!(!yard.path("home/sources").exists(), "{flags:?}: fetched");
    }
    let late = yard.ran(&["--since", "9.9.9.9"]);
    let said = String::from_utf8_lossy(&late.stderr);
    assert!(
        late.status.success() && said.contains("its newest is"),
        "{said}"
    );
}

#[test]
fn a_key_that_cannot_be_read_is_found_before_the_night() {
    let yard = Yard::new();
    fs::write(yard.path("bad.key"), "no key\n").expect("written");
    let answer = yard.document(&["--sign-key", "bad.key"], 2);
    assert_eq!(answer["kind"], "publish", "{answer}");
    assert!(!yard.path("home/nightly.json").exists());
}

#[test]
fn a_dry_run_and_a_plan_write_nothing() {
    let yard = Yard::new();
    for flags in [&["--dry-run"][..], &["--plan"], &["--dry-run", "--plan"]] {
        let output = yard.ran(flags);
        assert!(output.status.success(), "{output:?}");
        assert!(!yard.path("home/nightly.json").exists(), "{flags:?}");
        assert!(!yard.path("home/site").exists(), "{flags:?}");
    }
    // A CI engine takes one line.
    let plan = yard.ran(&["--plan", "--quiet"]);
    let text = String::from_utf8(plan.stdout).expect("text");
    assert_eq!(text.lines().count(), 1, "{text}");
    let matrix: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(matrix["include"].as_array().map(Vec::len), Some(3));

    // What others judged: only looked at.
    yard.document(&["--site", "job"], 6);
    fs::remove_file(yard.path("home/nightly.json")).expect("removed");
    let output = yard.ran(&["--dry-run", "--collect", "job"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("6.1.2.1 from job"), "{said}");
    assert!(!yard.path("home/nightly.json").exists());
}

#[test]
fn a_summary_never_replaces_a_device() {
    let yard = Yard::new();
    let link = yard.path("stdout");
    std::os::unix::fs::symlink("/dev/null", &link).expect("linked");
    yard.document(&["--max", "1", "--summary", "stdout"], 6);
    let about = fs::symlink_metadata(&link).expect("there");
    assert!(about.is_symlink(), "{about:?}");
    // What cannot be written does not swallow the answer.
    let answer = yard.document(&["--max", "1", "--summary", "/proc/nowhere/summary.md"], 6);
    assert_eq!(answer["entries"].as_array().map(Vec::len), Some(1));
    yard.document(&["--summary", "/proc/nowhere/summary.md"], 6);
    let answer = yard.document(&["--summary", "/proc/nowhere/summary.md"], 7);
    assert_eq!(answer["exit"], 7, "the document says how it ended");
}

#[test]
fn a_site_that_cannot_be_written_is_found_before_the_night() {
    let yard = Yard::new();
    fs::write(yard.path("file"), "").expect("written");
    for site in ["file", "/proc/site"] {
        let answer = yard.document(&["--site", site], 2);
        let message = answer["message"].as_str().unwrap_or_default();
        assert!(message.contains(site), "{answer}");
        assert!(
            !yard.path("home/sources").exists(),
            "nothing was fetched for it"
        );
    }
}

#[test]
fn two_nights_and_a_night_beside_another_command() {
    let yard = Yard::new();
    fs::create_dir(yard.path("home")).expect("made");
    let held = |name: &str| wslk::files::Lock::take(&yard.path(name)).expect("free");
    let night = held("home/nightly.lock");
    let answer = yard.document(&[], 10);
    assert_eq!(answer["kind"], "lock");
    drop(night);
    let other = held("home/lock");
    yard.document(&[], 10);
    drop(other);
    // The tag that could not be begun is not blamed for it.
    assert!(yard.verdicts().iter().all(|said| said.ends_with("None")));
    yard.document(&[], 6);
    assert_eq!(yard.verdicts().len(), 3);
}

#[test]
fn a_ledger_that_is_none_is_refused_and_left_as_it_is() {
    let yard = Yard::new();
    fs::create_dir(yard.path("home")).expect("made");
    let ledger = yard.path("home/nightly.json");
    let table: [(&[u8], &str); 5] = [
        (b"", "is no ledger"),
        (b"{\"schema\": \"wslk/ledger/1\"", "is no ledger"),
        (
            b"{\"schema\": \"wslk/ledger/2\", \"tags\": 7}",
            "wslk/ledger/2",
        ),
        (b"[1, 2]", "is no ledger"),
        (b"\xff\xfe{}", "cannot read"),
    ];
    for (text, said) in table {
        fs::write(&ledger, text).expect("written");
        for flags in [&[][..], &["--plan"], &["--dry-run"], &["--collect", "job"]] {
            let answer = yard.document(flags, 2);
            let message = answer["message"].as_str().unwrap_or_default();
            assert!(message.contains(said), "{flags:?}: {answer}");
            assert_eq!(fs::read(&ledger).expect("there"), text);
        }
    }
}

/// Runs it under strace; says whether it was killed, or how it ended. The tools that it starts are left alone.
fn killed(command: &Command, call: &str, n: u32) -> Result<(), Option<i32>> {
    let mut strace = strace(Watch::Main, call, n);
    strace
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(command.get_current_dir().expect("set"));
    for (name, value) in command.get_envs() {
        strace.env(name, value.expect("set"));
    }
    let status = strace.status().expect("strace runs");
    match died(status) {
        true => Ok(()),
        false => Err(status.code()),
    }
}

/// Whatever is there of ledger and site is whole.
fn assert_whole(yard: &Yard, site: &Path, at: &str) {
    let books = yard.books();
    books.read().unwrap_or_else(|error| panic!("{at}: {error}"));
    if site.join("ledger.json").exists() {
        let copy = Books::of_job(site).read_existing();
        copy.unwrap_or_else(|error| panic!("{at}: {error}"));
    }
    if let Ok(text) = fs::read_to_string(site.join("index.json")) {
        serde_json::from_str::<Value>(&text).unwrap_or_else(|error| panic!("{at}: {error}"));
    }
    if let Ok(page) = fs::read_to_string(site.join("index.html")) {
        assert!(page.trim_end().ends_with("</html>"), "{at}: half a page");
    }
}

/// Kills `command` at every call that changes a file; the same command again ends as an undisturbed one.
fn kill_everywhere(yard: &Yard, flags: &[&str], fresh: &dyn Fn(), expected: &[String]) -> u32 {
    let mut points = 0;
    let site = yard.path("home/site");
    for call in CALLS {
        for n in 1..ENOUGH {
            fresh();
            if let Err(ended) = killed(&yard.nightly(flags), call, n) {
                assert_eq!(ended, Some(6), "{call} {n}");
                break;
            }
            points += 1;
            let at = format!("killed at {call} {n}");
            assert_whole(yard, &site, &at);
            // What was settled before the kill is not done again: then there is nothing left to fail.
            let again = yard.ran(flags);
            let said = String::from_utf8_lossy(&again.stderr);
            assert!(matches!(again.status.code(), Some(0 | 6)), "{at}: {said}");
            assert_whole(yard, &site, &at);
            assert_eq!(yard.verdicts(), expected, "{at}");
            assert!(yard.litter().is_empty(), "{at}: {:?}", yard.litter());
        }
    }
    points
}

#[test]
fn a_night_killed_at_any_write_is_ended_by_the_next_one() {
    if !can_kill() {
        return;
    }
    let yard = Yard::new();
    // Two tags are twice the writes and twice the time.
    let (series, tags) = match std::env::var_os("WSLK_SLOW_TESTS") {
        Some(_) => ("6.1", 2),
        None => ("6.6", 1),
    };
    let flags = ["--series", series, "--quiet"];
    yard.document(&flags, 6);
    let expected = yard.verdicts();
    assert_eq!(expected.len(), tags);
    let points = kill_everywhere(&yard, &flags, &|| yard.forget(), &expected);
    eprintln!("nightly: killed at {points} points");
    assert!(points > 50, "{points}");
}

#[test]
fn a_collection_killed_at_any_write_is_ended_by_the_next_one() {
    if !can_kill() {
        return;
    }
    let yard = Yard::new();
    for (tag, job) in [("6.1.1.1", "job-1"), ("6.1.2.1", "job-2")] {
        yard.document(&["--tag", tag, "--site", job], 6);
    }
    let expected = yard.verdicts();
    let flags = ["--quiet", "--collect", "job-1", "job-2"];
    let points = kill_everywhere(&yard, &flags, &|| yard.forget(), &expected);
    eprintln!("nightly --collect: killed at {points} points");
    assert!(points > 20, "{points}");
}

/// A night with a small disk mounted at `at`, in a mount namespace that ends with it; then what the ledger there
/// says.
fn on_small_disk(yard: &Yard, at: &str, pages: u32) -> Output {
    let night = yard.nightly(&["--quiet"]);
    let mut words = vec![format!("'{}'", night.get_program().display())];
    words.extend(night.get_args().map(|arg| format!("'{}'", arg.display())));
    let script = format!(
        "mount -t tmpfs -o size={}k tmpfs {at} && {}; code=$?; cat home/nightly.json 2>/dev/null; exit $code",
        pages * 4,
        words.join(" ")
    );
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .current_dir(yard.folder.path());
    for (name, value) in night.get_envs() {
        command.env(name, value.expect("set"));
    }
    command.output().expect("unshare runs")
}

#[test]
fn a_full_disk_is_told_and_leaves_the_ledger_whole() {
    let may_mount = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount"])
        .args(["sh", "-c", "mount -t tmpfs tmpfs /mnt"])
        .output();
    if !may_mount.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: nobody may mount a tmpfs here, not even in a namespace of their own");
        return;
    }
    let yard = Yard::new();
    for at in ["home", "home/site"] {
        fs::create_dir_all(yard.path("home/site")).expect("made");
        let mut full = 0;
        for pages in 1.. {
            // Under a small site the ledger stays: each size begins without one.
            yard.forget();
            fs::create_dir_all(yard.path("home/site")).expect("made");
            let output = on_small_disk(&yard, at, pages);
            let (left, said) = (
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr),
            );
            let ledger = left.find('{').map(|begin| &left[begin..]);
            if let Some(text) = ledger {
                Ledger::from_json(text).unwrap_or_else(|error| panic!("{pages}: {error}\n{left}"));
            }
            let blames_kernel = said.is_empty() && output.status.code() == Some(6);
            if blames_kernel {
                let all = ledger.map(|text| Ledger::from_json(text).expect("a ledger"));
                let all = all.map(|ledger| verdicts(&ledger)).unwrap_or_default();
                if all.len() == 3 && all.iter().all(|said| said.contains("tinyconfig")) {
                    break;
                }
            }
            full += 1;
            assert!(pages < 300, "{at}: {said}\n{left}");
        }
        eprintln!("nightly: {full} sizes of a full disk at {at}");
        assert!(full > 3, "{at}: {full}");
        yard.forget();
    }
}
