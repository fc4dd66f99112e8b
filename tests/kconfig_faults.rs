//! One folder per fault of a fragment or base, `tests/faults/fragment-*`: the files that a user might
//! bring, and in `expected.txt` the whole answer. With `WSLK_BLESS` set the answers are written anew.

#![expect(clippy::expect_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};

use wslk::files;
use wslk::kconfig::{
    Arch, Base, ConfigRequest, Fragment, KconfigError, Solver, SolverError, TreeFacts,
    read_fragment, resolve,
};
use wslk::process::env_var;
use wslk::report::Reporter;

/// A tool that leaves everything as it is.
struct Idle;

impl Solver for Idle {
    fn base(&self, _: &str) -> Result<String, SolverError> {
        Ok("CONFIG_X86=y\n".to_owned())
    }

    fn olddefconfig(&self, merged: &str) -> Result<String, SolverError> {
        Ok(merged.to_owned())
    }
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn kind(error: &KconfigError) -> &'static str {
    match error {
        KconfigError::Input(_) => "input",
        KconfigError::Conflict(_) => "conflict",
        KconfigError::OtherArch { .. } => "other architecture",
        KconfigError::Contract(_) => "contract",
        _ => "another",
    }
}

/// What a user would see; the folder's own path is left out.
fn answer(folder: &Path) -> String {
    let error = outcome(folder).expect_err("every folder holds a fault");
    let mut text = format!(
        "{}: {error}\nhint: {}\n",
        kind(&error),
        error.hint().unwrap_or_default()
    );
    if let KconfigError::Input(input) = &error {
        text.push('\n');
        text.push_str(&input.drawn());
    }
    let text = text.replace(&format!("{}/", folder.display()), "");
    text.lines()
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect()
}

fn outcome(folder: &Path) -> Result<(), KconfigError> {
    let mut fragments: Vec<Fragment> = Vec::new();
    for name in ["a.config", "b.config"].map(|name| folder.join(name)) {
        if name.exists() {
            fragments.push(read_fragment(&name)?);
        }
    }
    let base = folder.join("base.config");
    let cache = tempfile::tempdir().expect("a folder");
    let request = ConfigRequest {
        tree: TreeFacts::new(
            tests().join("fixtures/kconfig"),
            "fixture",
            "6.1".parse().expect("a series"),
            Arch::X86,
        ),
        base: if base.exists() {
            Base::File(base)
        } else {
            Base::Target("defconfig".to_owned())
        },
        keep_base: true,
        fragments,
        guards: Vec::new(),
        localversion_suffix: String::new(),
        index_cache: cache.path().to_owned(),
    };
    resolve(&request, &Idle, &Reporter::silent()).map(|_| ())
}

#[test]
fn every_fault_has_its_answer() {
    let mut seen = 0;
    for entry in std::fs::read_dir(tests().join("faults")).expect("the faults") {
        let folder = entry.expect("an entry").path();
        let name = folder
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        if !name.starts_with("fragment-") {
            continue;
        }
        let told = answer(&folder);
        let path = folder.join("expected.txt");
        if env_var("WSLK_BLESS").is_some() {
            files::replace(&path, &told).expect("written");
        }
        assert_eq!(told, files::read(&path).expect("an answer"), "{name}");
        seen += 1;
    }
    assert!(seen >= 9, "only {seen} faults");
}
