//! One folder per fault of a fragment or base, `tests/faults/fragment-*`: the files that a user might
//! bring, and in `expected.txt` the whole answer. With `WSLK_BLESS` set the answers are written anew.

#![expect(clippy::expect_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};

use wslk::files;
use wslk::kconfig::{
    Arch, Base, ConfigRequest, Configured, KconfigError, Solver, SolverError, TreeFacts, configure,
    read_fragment,
};
use wslk::process::env_var;
use wslk::report::Reporter;

/// A tool that answers with `result.config`, or leaves everything as it is.
struct Prepared(Option<String>);

impl Solver for Prepared {
    fn base(&self, _: &str) -> Result<String, SolverError> {
        Ok("CONFIG_X86=y\n".to_owned())
    }

    fn olddefconfig(&self, merged: &str) -> Result<String, SolverError> {
        Ok(self.0.clone().unwrap_or_else(|| merged.to_owned()))
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
    let configured = configured(folder)?;
    match configured.config.audit.passed() {
        true => Ok(()),
        false => Err(KconfigError::Contract(Box::new(configured.config.audit))),
    }
}

/// What comes of the files in `folder`: `base`, `a`, `b`, `guard` and `result`, each where it is there.
fn configured(folder: &Path) -> Result<Configured, KconfigError> {
    let there = |name: &str| Some(folder.join(name)).filter(|path| path.exists());
    let read = |name: &str| there(name).map(|path| read_fragment(&path)).transpose();
    let fragments = [read("a.config")?, read("b.config")?];
    let series = "6.1".parse().expect("a series");
    let cache = tempfile::tempdir().expect("a folder");
    let request = ConfigRequest {
        tree: TreeFacts::new(
            tests().join("fixtures/kconfig"),
            "fixture",
            series,
            Arch::X86,
        ),
        base: there("base.config").map_or_else(|| Base::Target("defconfig".to_owned()), Base::File),
        keep_base: true,
        fragments: fragments.into_iter().flatten().collect(),
        guards: read("guard.config")?.into_iter().collect(),
        index_cache: cache.path().to_owned(),
    };
    let result = there("result.config")
        .map(|path| files::read(&path))
        .transpose()?;
    configure(&request, &Prepared(result), &Reporter::silent())
}

fn compare(told: &str, path: &Path) {
    if env_var("WSLK_BLESS").is_some() {
        files::replace(path, told).expect("written");
    }
    assert_eq!(
        told,
        files::read(path).expect("an answer"),
        "{}",
        path.display()
    );
}

#[test]
fn an_audit_as_people_read_it() {
    let folder = tests().join("fixtures/kconfig/audit");
    let configured = configured(&folder).expect("a configuration");
    let told = configured
        .config
        .audit
        .render()
        .replace(&format!("{}/", folder.display()), "");
    compare(&told, &folder.join("expected.txt"));
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
        compare(&told, &folder.join("expected.txt"));
        seen += 1;
    }
    assert!(seen >= 9, "only {seen} faults");
}
