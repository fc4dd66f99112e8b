//! Reads our own sources and holds them to the map: who may use whom, who owns which package, and the
//! few rules of style that the compiler does not know.
//!
//! A rule that never fires proves nothing: `catches.rs` feeds each of them a violation.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod catches;
mod rules;
mod tokens;

use std::fs;
use std::path::{Path, PathBuf};

use rules::{File, Violation, check};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn files_of(folder: &str) -> Vec<File> {
    let base = root().join(folder);
    let mut paths = Vec::new();
    rust_files(&base, &mut paths);
    paths.sort();
    let read = |path: &PathBuf| File {
        path: path.strip_prefix(&base).unwrap().display().to_string(),
        text: fs::read_to_string(path).unwrap(),
    };
    paths.iter().map(read).collect()
}

fn report(violations: &[Violation]) {
    let lines: Vec<String> = violations.iter().map(Violation::to_string).collect();
    assert!(
        violations.is_empty(),
        "\n{}\n{} violations; the rules and their reasons are in tests/architecture/rules.rs\n",
        lines.join("\n"),
        lines.len()
    );
}

#[test]
fn the_sources_follow_the_map() {
    let files = files_of("src");
    // An empty walk would pass every rule.
    assert!(files.iter().any(|file| file.path == "lib.rs") && files.len() > 20);
    report(&files.iter().flat_map(check).collect::<Vec<_>>());
}

#[test]
fn the_tests_are_readable_too() {
    let own = |file: &&File| file.path.starts_with("architecture/");
    let files = files_of("tests");
    report(
        &files
            .iter()
            .filter(|file| !own(file))
            .flat_map(rules::check_text)
            .collect::<Vec<_>>(),
    );
}

#[test]
fn every_package_has_an_owner() {
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let used: Vec<String> = manifest["dependencies"]
        .as_table()
        .unwrap()
        .keys()
        .map(|name| name.replace('-', "_"))
        .collect();
    assert!(used.iter().any(|name| name == "git2"), "{used:?}");
    let owned: Vec<&str> = rules::packages().collect();
    let homeless: Vec<&String> = used
        .iter()
        .filter(|name| !owned.contains(&name.as_str()))
        .collect();
    assert!(
        homeless.is_empty(),
        "name an owner in rules.rs for {homeless:?}"
    );
    let stale: Vec<&&str> = owned
        .iter()
        .filter(|name| !used.iter().any(|used| used == *name))
        .collect();
    assert!(stale.is_empty(), "no longer in Cargo.toml: {stale:?}");
}
