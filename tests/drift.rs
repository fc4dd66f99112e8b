//! What changed between two kernels' configurations: `wslk drift` on files, as users meet it, and the
//! comparison of real trees (`WSLK_TEST_TREE` and `WSLK_TEST_OTHER_TREE`, two kernel trees, the older one
//! first). Microsoft's configurations are taken from `WSLK_TEST_CONFIGS`, or from beside the checkout.
//! Skipped, and said so, where what a test needs is missing.

#![expect(clippy::expect_used, reason = "a test may panic")]
#![expect(clippy::print_stderr, reason = "a skip must be seen")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;
use wslk::kconfig::drift::{Drift, Kind, Release, Reviews, Side};
use wslk::kconfig::{Arch, ConfigFile, SymbolIndex, TreeFacts};
use wslk::process::env_var;
use wslk::source::KernelVersion;

struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self {
            folder: tempfile::tempdir().expect("a folder"),
        };
        bench.write("old", OLD);
        bench.write("new", NEW);
        bench
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn drift(&self, args: &[&str]) -> Command {
        let mut command = Command::cargo_bin("wslk").expect("built");
        command
            .arg("drift")
            .args(args)
            .current_dir(self.folder.path())
            .env("WSLK_HOME", self.folder.path().join("home"))
            .env("XDG_CACHE_HOME", self.folder.path().join("cache"))
            .env("XDG_CONFIG_HOME", self.folder.path().join("settings"));
        command
    }

    /// What it says on standard output and standard error, and that it ends so.
    fn ends(&self, args: &[&str], code: i32) -> (String, String) {
        let output = self.drift(args).output().expect("starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, talk) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}\n{talk}");
        (out, talk)
    }
}

const OLD: &str = "\
# Linux/x86 6.1.21.2 Kernel Configuration
CONFIG_UNIX_DIAG=y
CONFIG_HYPERV=y
CONFIG_OTHER=y
# CONFIG_NUMA_BALANCING is not set
";

const NEW: &str = "\
# Linux/x86 6.6.36.3 Kernel Configuration
CONFIG_UNIX_DIAG=m
CONFIG_HYPERV=y
CONFIG_FRESH=y
CONFIG_NUMA_BALANCING=y
";

const ACCEPTED: &str = "\
[[accept]]
symbol = \"UNIX_DIAG\"
from = \"y\"
to = \"m\"
since = \"6.6\"
why = \"the modules disk is always there\"
who = \"A. Maintainer\"
";

#[test]
fn an_unreviewed_change_of_the_contract_is_4_and_says_what_to_write() {
    let bench = Bench::new();
    let (out, talk) = bench.ends(&["./old", "./new"], 4);
    assert!(
        out.contains("UNIX_DIAG") && out.contains("NOT REVIEWED"),
        "{out}"
    );
    for said in [
        "CONFIG_UNIX_DIAG (contract): y in ./old, m in ./new",
        "kernel-configs/reviews.toml",
        "symbol = \"UNIX_DIAG\"\nfrom = \"y\"\nto = \"m\"\nsince = \"6.6.36.3\"",
    ] {
        assert!(talk.contains(said), "{said}: {talk}");
    }
    bench.write("kernel-configs/reviews.toml", ACCEPTED);
    let (out, _) = bench.ends(&["./old", "./new"], 0);
    assert!(
        out.contains("accepted by A. Maintainer: the modules disk"),
        "{out}"
    );
    bench.ends(&["./old", "./new", "--reviews", "nowhere.toml"], 4);
    bench.ends(&["./old", "./old"], 0);
    // The stock profile has no contract; what WSL needs is guarded in every profile.
    bench.ends(
        &[
            "./old",
            "./new",
            "--profile",
            "stock",
            "--reviews",
            "nowhere.toml",
        ],
        0,
    );
}

#[test]
fn one_document_also_where_it_fails() {
    let bench = Bench::new();
    let (out, _) = bench.ends(&["--json", "./old", "./new"], 4);
    let document: Value = serde_json::from_str(&out).expect("one document");
    assert_eq!(document["schema"], "wslk/drift/1");
    assert_eq!(document["unreviewed"], serde_json::json!(["UNIX_DIAG"]));
    let first = &document["changes"][0];
    assert_eq!((&first["from"], &first["to"]), (&"y".into(), &"m".into()));
    assert_eq!(first["concern"], "contract");
}

#[test]
fn markdown_is_whole() {
    let (out, _) = Bench::new().ends(&["--markdown", "./old", "./new"], 4);
    for said in [
        "| `UNIX_DIAG` |",
        "### New (1)",
        "### Gone (1)",
        "NOT REVIEWED",
    ] {
        assert!(out.contains(said), "{said}: {out}");
    }
}

#[test]
fn a_fault_of_the_review_file_is_2_with_line_and_key() {
    let bench = Bench::new();
    bench.write("r.toml", &ACCEPTED.replace("symbol", "symbl"));
    let (_, talk) = bench.ends(&["./old", "./new", "--reviews", "r.toml"], 2);
    assert!(
        talk.contains("r.toml") && talk.contains("did you mean `symbol`?"),
        "{talk}"
    );
    assert!(talk.contains(":2:"), "{talk}");
}

#[test]
fn what_is_neither_file_nor_tag_nor_build_is_2() {
    let bench = Bench::new();
    bench.ends(&["./old", "./nowhere"], 2);
    let (_, talk) = bench.ends(&["./old", "nothing"], 2);
    assert!(talk.contains("no build matches"), "{talk}");
}

fn configs() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/reference/wsl-configs");
    let folder = env_var("WSLK_TEST_CONFIGS").map_or(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!(
        "SKIPPED: what needs Microsoft's configurations; none in {}",
        folder.display()
    );
    None
}

#[test]
fn microsofts_configurations_from_6_1_to_6_6() {
    let Some(folder) = configs() else {
        return;
    };
    let file = |name: &str| folder.join(name).display().to_string();
    let (old, new) = (file("config-wsl-6.1.21.2"), file("config-wsl-6.6.36.3"));
    let (out, talk) = Bench::new().ends(&["--json", &old, &new], 4);
    let document: Value = serde_json::from_str(&out).expect("one document");
    let unreviewed = document["unreviewed"].to_string();
    // Microsoft made many options modules with 6.6, and UNIX_DIAG is the one that CRIU misses first.
    assert!(unreviewed.contains("\"UNIX_DIAG\""), "{unreviewed}");
    assert!(talk.contains("CONFIG_"), "{talk}");
    let changes = document["changes"].as_array().expect("changes");
    assert!(changes.len() > 100, "{}", changes.len());
}

struct Ground {
    config: ConfigFile,
    index: SymbolIndex,
    release: Release,
}

impl Ground {
    fn of(tree: &Path, config: &Path) -> Self {
        let version = KernelVersion::of_tree(tree).expect("a kernel tree");
        let facts = TreeFacts::new(tree, "tree", version.series(), Arch::X86);
        let text = fs::read_to_string(config).expect("a configuration");
        Self {
            config: ConfigFile::parse("config", &text).expect("a configuration"),
            index: SymbolIndex::read(&facts).expect("a tree"),
            release: Release::of_tree(version.tag(), &version),
        }
    }

    fn side(&self) -> Side<'_> {
        Side {
            release: self.release.clone(),
            config: &self.config,
            index: Some(&self.index),
            contract: &[],
            guarded: &[],
        }
    }
}

#[test]
fn two_real_trees() {
    let trees = env_var("WSLK_TEST_TREE").zip(env_var("WSLK_TEST_OTHER_TREE"));
    let (Some((old, new)), Some(folder)) = (trees, configs()) else {
        eprintln!("SKIPPED: WSLK_TEST_TREE and WSLK_TEST_OTHER_TREE do not name two kernel trees");
        return;
    };
    let config = folder.join("config-wsl-6.1.21.2");
    let old = Ground::of(Path::new(&old), &config);
    let new = Ground::of(Path::new(&new), &config);
    let started = Instant::now();
    let drift = Drift::between(&old.side(), &new.side());
    let reviews = Reviews::default();
    let (text, markdown) = (drift.render(&reviews), drift.markdown(&reviews));
    eprintln!(
        "{} options against {}: {} changes in {:.2} s, {} of Markdown\n{text}",
        old.index.len(),
        new.index.len(),
        drift.changes.len(),
        started.elapsed().as_secs_f64(),
        markdown.len()
    );
    assert!(drift.trees);
    for change in &drift.changes {
        match change.kind() {
            Kind::New => {
                let facts = change.new.as_ref().expect("the new tree knows it");
                assert!(!facts.defined.is_empty(), "{}", change.symbol);
                assert!(old.index.entry(change.symbol.as_str()).is_none());
            }
            Kind::Gone => assert!(new.index.entry(change.symbol.as_str()).is_none()),
            Kind::Renamed => assert!(change.was.is_some(), "{}", change.symbol),
            _ => {}
        }
    }
    // The same tree twice has no drift.
    assert_eq!(Drift::between(&old.side(), &old.side()).changes, []);
}
