//! The main job with everything real: a kernel source, an engine, gcc, QEMU, CRIU.
//!
//! Slow (minutes), so it runs only with WSLK_SLOW_TESTS=1 (or all) and says so when it does not. Takes Debian's
//! `linux-source-6.1`, or the tarball, tree or repository in WSLK_TEST_SOURCE. The steps build on each
//! other, as a user's do; so they are one test.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stderr, reason = "a skip must be seen")]

#[expect(dead_code, reason = "made for the tests of the installation")]
#[path = "../install/bench.rs"]
mod bench;
#[expect(dead_code, reason = "made for the tests of the scripts")]
#[path = "../wine/machine.rs"]
mod machine;
mod night;
#[path = "../wine/prefix.rs"]
mod prefix;
mod trial;
#[expect(dead_code, reason = "made for the tests of the scripts")]
#[path = "../wine/windows.rs"]
mod windows;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

const SOURCE: &str = "/usr/src/linux-source-6.1.tar.xz";

struct Story {
    folder: PathBuf,
    source: String,
    engine: String,
}

impl Story {
    fn wslk(&self, args: &[&str]) -> Command {
        let mut command = Command::cargo_bin("wslk").expect("built");
        command
            .arg("--json")
            .args(args)
            .current_dir(&self.folder)
            .env("WSLK_HOME", self.folder.join("home"))
            .env("XDG_CACHE_HOME", self.folder.join("cache"))
            .env("XDG_CONFIG_HOME", self.folder.join("settings"));
        command
    }

    fn build(&self, args: &[&str]) -> Command {
        let common = ["build", "--source", &self.source, "--engine", &self.engine];
        self.wslk(&[&common, args].concat())
    }

    /// Runs to the expected exit code and returns the document.
    fn ends(command: &mut Command, code: i32) -> Value {
        let output = command.output().expect("starts");
        let (out, talk) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert_eq!(
            output.status.code(),
            Some(code),
            "{command:?}\n{out}\n{talk}"
        );
        serde_json::from_str(&out).expect("one document")
    }
}

fn proved(document: &Value) {
    let scenarios = document["scenarios"].as_array().expect("scenarios");
    assert!(scenarios.len() >= 25, "{document}");
    for scenario in scenarios {
        assert_eq!(scenario["verdict"], "works", "{scenario}");
        assert_eq!(scenario["cycles"], 2, "{scenario}");
    }
    assert_eq!(document["boot"]["verdict"], "passed");
    assert_eq!(document["boot"]["config_matches"], true);
    for layout in ["flat", "nested"] {
        assert_eq!(
            document["boot"]["modules"][layout]["works"], true,
            "{document}"
        );
    }
}

fn built_proved_and_known_again(story: &Story) -> Value {
    let first = Story::ends(&mut story.build(&["--profile", "tiny", "--timings"]), 0);
    assert_eq!(first["fresh"], true);
    let page = first["timings"]["page"].as_str().expect("where it is");
    let page = fs::read_to_string(page).expect("there");
    for said in ["boot test", "link vmlinux", "install modules"] {
        assert!(page.contains(said), "{said}");
    }
    proved(&first);
    let release = first["manifest"]["release"].as_str().expect("text");
    assert!(
        release.contains("-microsoft-standard-WSL2-wslk-"),
        "{release}"
    );

    let again = Story::ends(&mut story.build(&["--profile", "tiny", "--offline"]), 0);
    assert_eq!(again["fresh"], false);
    assert_eq!(again["manifest"], first["manifest"]);
    let folder = Path::new(first["folder"].as_str().expect("text"));
    sums_agree(folder);
    made_again_without_compiling(story, folder);
    first
}

/// With everything that make wrote gone, and the build too.
fn made_again_without_compiling(story: &Story, folder: &Path) {
    let aside = story.folder.join("aside");
    fs::rename(folder, &aside).expect("moved");
    fs::remove_dir_all(story.folder.join("cache/wslk/work")).expect("removed");
    let made = Story::ends(&mut story.build(&["--profile", "tiny", "--no-boot"]), 0);
    assert_eq!(made["run"]["taken"], "here", "{made}");
    for name in ["SHA256SUMS", "manifest.json"] {
        let read = |folder: &Path| fs::read_to_string(folder.join(name)).expect("there");
        assert_eq!(read(folder), read(&aside));
    }
    sums_agree(folder);
    fs::remove_dir_all(folder).expect("removed");
    fs::rename(aside, folder).expect("moved back");
}

fn sums_agree(folder: &Path) {
    Command::new("sha256sum")
        .args(["--check", "--quiet", "SHA256SUMS"])
        .current_dir(folder)
        .assert()
        .success();
}

/// The same kernel but for one option: its boot test must fail, and say where to look.
fn a_kernel_without_unix_diag_fails(story: &Story, good: &Path) -> PathBuf {
    let config = good.join("config");
    let text = fs::read_to_string(config).expect("there");
    let without = text.replace("CONFIG_UNIX_DIAG=y", "# CONFIG_UNIX_DIAG is not set");
    assert_ne!(text, without);
    let base = story.folder.join("without-unix-diag.config");
    fs::write(&base, without).expect("written");
    let base = base.to_str().expect("text");
    let failure = Story::ends(
        &mut story.build(&["--profile", "stock", "--base-config", base]),
        6,
    );
    let message = failure["message"].as_str().expect("text");
    assert!(message.contains("unix"), "{message}");
    assert!(
        failure["hint"]
            .as_str()
            .expect("text")
            .contains("UNIX_DIAG"),
        "{failure}"
    );
    // It is kept for whoever wants to look at it, or to try it nevertheless.
    let builds = fs::read_dir(story.folder.join("home/builds")).expect("builds");
    let mut folders = builds.map(|entry| entry.expect("an entry").path());
    let stock = |folder: &PathBuf| folder.to_string_lossy().contains("-stock-");
    folders.find(stock).expect("kept")
}

/// The unfit kernel's tree is gone on from, with a module for what was built in: an option that most networking code
/// asks for, and nearly all of it sees no difference. Some of that is compiled after all, to compare.
fn what_sees_no_difference_is_not_compiled_again(story: &Story, unfit: &Path) {
    let text = fs::read_to_string(unfit.join("config")).expect("there");
    let turned = text.replace("CONFIG_IPV6_SIT=y", "CONFIG_IPV6_SIT=m");
    assert_ne!(text, turned);
    let base = story.folder.join("turned.config");
    fs::write(&base, turned).expect("written");
    let base = base.to_str().expect("text");
    let args = [
        "--profile",
        "stock",
        "--base-config",
        base,
        "--no-boot",
        "--verbose",
    ];
    let output = story.build(&args).output().expect("starts");
    let talk = String::from_utf8(output.stderr).expect("text");
    assert!(output.status.success(), "{talk}");
    let document: Value = serde_json::from_slice(&output.stdout).expect("one document");
    let missed = document["run"]["cache"]["misses"]
        .as_u64()
        .expect("a number");
    let tree = build_tree(&story.folder.join("cache/wslk/work"));
    let spared: Vec<String> = asking(&tree, "IPV6_SIT");
    eprintln!(
        "{} objects ask for IPV6_SIT, {missed} compiled",
        spared.len()
    );
    assert!(spared.len() > 100 && missed < 60, "{talk}");
    // Not all, for the time it takes.
    let some: Vec<&String> = spared.iter().step_by(spared.len() / 20).collect();
    let read = |name: &&String| fs::read(tree.join(name)).expect("an object");
    let before: Vec<Vec<u8>> = some.iter().map(read).collect();
    for name in &some {
        fs::remove_file(tree.join(name)).expect("removed");
    }
    let names: Vec<&str> = some.iter().map(|name| name.as_str()).collect();
    let again = talk
        .lines()
        .find(|line| line.contains(" V=1 bzImage modules"));
    let again = again.expect("the command that compiles it again");
    let again = again
        .replace("--tty --interactive ", "")
        .replace("V=1 bzImage modules", &names.join(" "));
    Command::new("sh").args(["-c", &again]).assert().success();
    let after: Vec<Vec<u8>> = some.iter().map(read).collect();
    for ((name, before), after) in some.iter().zip(before).zip(after) {
        assert!(before == after, "{name} would be another");
    }
}

/// The build tree of the kernel that was compiled last.
fn build_tree(work: &Path) -> PathBuf {
    let folders = fs::read_dir(work).expect("work");
    let trees = folders.map(|entry| entry.expect("an entry").path().join("tree"));
    let configured = |tree: &PathBuf| tree.join(".config").is_file();
    trees.into_iter().find(configured).expect("a build tree")
}

/// The objects below `net` that kbuild noted to hang on an option.
fn asking(tree: &Path, option: &str) -> Vec<String> {
    let mark = format!("$(wildcard include/config/{option})");
    let found = Command::new("grep")
        .args(["-rlF", "--include=.*.o.cmd", &mark, "net"])
        .current_dir(tree)
        .output()
        .expect("grep");
    let name = |path: &str| {
        let (folder, file) = path.rsplit_once('/')?;
        let object = file.strip_prefix('.')?.strip_suffix(".cmd")?;
        let path = format!("{folder}/{object}");
        // Those of a module are compiled with other arguments.
        (!path.contains("/sit")).then_some(path)
    };
    let listed = String::from_utf8(found.stdout).expect("text");
    listed.lines().filter_map(name).collect()
}

/// The unfit kernel as control: what it cannot do is what the good one adds.
fn a_control_shows_what_a_kernel_adds(story: &Story, good: &Path, unfit: &Path) {
    let name = |folder: &Path| folder.file_name().expect("a name").to_owned();
    let id = |folder: &Path| name(folder).into_string().expect("text");
    let (good, control) = (id(good), format!("--control={}", id(unfit)));
    let mut boot = story.wslk(&["boot", &good, &control, "--engine", &story.engine]);
    let found = Story::ends(&mut boot, 0);
    assert_eq!(found["control"]["build"], id(unfit).as_str());
    let adds = found["control"]["adds"].as_array().expect("a list");
    assert!(adds.iter().any(|name| name == "unix"), "{found}");
    assert_eq!(found["control"]["loses"], serde_json::json!([]));
    let conclusion = found["control"]["conclusion"].as_str().expect("text");
    assert!(conclusion.starts_with("this kernel adds "), "{conclusion}");
}

/// The same kernel once more, with every victim harmed in the guest: each check must notice, containers included.
fn no_tampered_victim_passes(story: &Story, good: &Path) {
    let before = fs::read(good.join("boot/report.json")).expect("evidence");
    let id = good.file_name().expect("a name").to_str().expect("text");
    let mut boot = story.wslk(&["boot", id, "--tamper", "--engine", &story.engine]);
    let found = Story::ends(&mut boot, 0);
    let rows = found["rows"].as_array().expect("rows");
    assert!(rows.len() >= 25, "{found}");
    for row in rows {
        assert_eq!(row["notice"], "noticed", "{row}");
    }
    let after = fs::read(good.join("boot/report.json")).expect("evidence");
    assert_eq!(
        before, after,
        "the evidence of the build is not of a tampered run"
    );
}

fn fragments_that_disagree_are_4(story: &Story) {
    let fragment = story.folder.join("mine.config");
    fs::write(&fragment, "# CONFIG_UNIX_DIAG is not set\n").expect("written");
    let fragment = fragment.to_str().expect("text");
    let failure = Story::ends(
        &mut story.build(&["--profile", "tiny", "--fragment", fragment]),
        4,
    );
    let message = failure["message"].as_str().expect("text");
    assert!(
        message.contains("mine.config:1") && message.contains("criu.config:"),
        "{message}"
    );
}

fn a_missing_qemu_is_7(story: &Story) {
    let bin = story.folder.join("bin");
    fs::create_dir_all(&bin).expect("made");
    for name in ["docker", "podman", "sh", "setpriv", "runc", "crun"] {
        if let Some(path) = find(name) {
            std::os::unix::fs::symlink(path, bin.join(name)).expect("linked");
        }
    }
    let mut command = story.wslk(&["boot", "latest", "--engine", &story.engine]);
    let failure = Story::ends(command.env("PATH", &bin), 7);
    assert!(
        failure["message"]
            .as_str()
            .is_some_and(|text| text.contains("qemu")),
        "{failure}"
    );
}

fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

#[test]
fn from_a_source_to_a_kernel_that_is_proved() {
    let source = env::var("WSLK_TEST_SOURCE").unwrap_or_else(|_| SOURCE.to_owned());
    let slow = env::var("WSLK_SLOW_TESTS").unwrap_or_default();
    if !["1", "all"].contains(&slow.as_str()) {
        eprintln!("SKIPPED: builds and boots a kernel; set WSLK_SLOW_TESTS=1");
        return;
    }
    if !source.contains("://") && !Path::new(&source).exists() {
        eprintln!("SKIPPED: {source} is not there; name a kernel source in WSLK_TEST_SOURCE");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let engine = env::var("WSLK_TEST_ENGINE").unwrap_or_else(|_| "auto".to_owned());
    let story = Story {
        folder: folder.path().to_owned(),
        source,
        engine,
    };
    let good = built_proved_and_known_again(&story);
    fragments_that_disagree_are_4(&story);
    a_missing_qemu_is_7(&story);
    let id = good["manifest"]["source"]["tree"].as_str().expect("text");
    let tree = story.folder.join("home/sources").join(id).join("tree");
    let good = PathBuf::from(good["folder"].as_str().expect("text"));
    no_tampered_victim_passes(&story, &good);
    let unfit = a_kernel_without_unix_diag_fails(&story, &good);
    a_control_shows_what_a_kernel_adds(&story, &good, &unfit);
    what_sees_no_difference_is_not_compiled_again(&story, &unfit);
    trial::real_kernels_are_tried(folder.path(), &good, &unfit);
    if slow != "all" {
        // Each tag has a release of its own, which every object depends on: nothing comes from the compiler cache.
        eprintln!("SKIPPED: a night over tags builds four more kernels; set WSLK_SLOW_TESTS=all");
        return;
    }
    night::tags_are_judged_and_only_what_is_new_is_built(&story, &tree);
}
