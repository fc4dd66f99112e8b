//! Each rule is fed what it must catch, and what comes close and is fine.

use crate::rules::{File, check};

fn rules_broken(path: &str, body: &str) -> Vec<&'static str> {
    let text = format!("//! What it is for.\n\n{body}\n");
    let file = File {
        path: path.to_owned(),
        text,
    };
    let mut rules: Vec<&str> = check(&file)
        .into_iter()
        .map(|violation| violation.rule)
        .collect();
    rules.dedup();
    rules
}

#[test]
fn violations_are_caught() {
    let long = format!("fn long() {{\n{}}}", "    step();\n".repeat(60));
    let huge = "const X: u8 = 1;\n".repeat(600);
    let table = [
        ("layer", "source/tag.rs", "use crate::kconfig::Symbol;"),
        (
            "layer",
            "source/tag.rs",
            "use crate::{digest::Sha256, boot::{self, Verdict}};",
        ),
        ("layer", "source/tag.rs", "fn f() { crate::build::run() }"),
        (
            "layer",
            "source/tag.rs",
            "fn f() { log!(crate::build::run()) }",
        ),
        (
            "layer",
            "source/tag.rs",
            "use super::super::build::Builder;",
        ),
        ("layer", "source/mod.rs", "use super::build::Builder;"),
        ("layer", "files.rs", "use crate::exec::Cmd;"),
        ("layer", "boot/run.rs", "use crate::pipeline;"),
        ("layer", "pipeline.rs", "use crate::cli::Args;"),
        ("layer", "surprise/mod.rs", ""),
        ("owner", "kconfig/merge.rs", "use git2::Repository;"),
        (
            "owner",
            "source/tree.rs",
            "fn f() { git2::Repository::open(path) }",
        ),
        ("owner", "source/remote_list.rs", "use git2::Repository;"),
        (
            "owner",
            "boot/run.rs",
            "fn f() { let bar = ::indicatif::ProgressBar::new(1); }",
        ),
        (
            "owner",
            "build/run.rs",
            "fn f() { assert!(duct::cmd!(\"x\")) }",
        ),
        ("ambient", "source/tag.rs", "use std::env;"),
        (
            "ambient",
            "source/tag.rs",
            "fn f() { std::env::var(\"X\") }",
        ),
        (
            "ambient",
            "report/lines.rs",
            "use std::io;\nfn f() { io::stderr() }",
        ),
        ("ambient", "cli/mod.rs", "use std::io::{self, stdout};"),
        ("ambient", "main.rs", "fn f() { std::process::exit(1) }"),
        (
            "ambient",
            "build/run.rs",
            "use std::process::{Command, Stdio};",
        ),
        ("size", "source/tag.rs", &long),
        ("size", "source/tag.rs", &huge),
        ("undone", "source/tag.rs", "// TODO: the rest"),
        (
            "undone",
            "source/tag.rs",
            "#[cfg(test)]\nmod tests {\n    // FIXME\n}",
        ),
        (
            "silenced",
            "source/tag.rs",
            "#[allow(dead_code)]\nfn f() {}",
        ),
        ("silenced", "source/tag.rs", "#![allow(dead_code)]"),
        (
            "silenced",
            "source/tag.rs",
            "#[cfg(test)]\nmod tests {\n    #[allow(dead_code)]\n    fn f() {}\n}",
        ),
        (
            "silenced",
            "source/tag.rs",
            "#[cfg_attr(test, allow(dead_code))]\nfn f() {}",
        ),
        (
            "silenced",
            "source/tag.rs",
            "#[expect(dead_code)]\nfn f() {}",
        ),
        ("name", "source/utils.rs", ""),
        ("name", "build/common/mod.rs", ""),
    ];
    for (rule, path, body) in table {
        assert_eq!(
            rules_broken(path, body),
            [rule],
            "{path}: {}",
            body.lines().next().unwrap_or_default()
        );
    }
}

#[test]
fn what_comes_close_is_fine() {
    let short = format!("fn short() {{\n{}}}", "    step();\n".repeat(58));
    let tests = format!(
        "#[cfg(test)]\nmod tests {{\n{}}}",
        "    fn f() {}\n".repeat(700)
    );
    let table = [
        (
            "boot/run.rs",
            "use crate::artefact::Build;\nuse crate::exec::{Cmd, Runner as _};",
        ),
        (
            "source/tag.rs",
            "use super::Series;\nuse self::build::X;\nfn f() { let boot = 1; boot.build::<u8>(); }",
        ),
        (
            "source/remote.rs",
            "use git2::Repository;\nfn f() { git2::init() }",
        ),
        ("source/remote/list.rs", "use git2::Repository;"),
        ("exec/mod.rs", "mod duct;\npub use self::duct::Duct;"),
        (
            "source/tag.rs",
            "#[cfg(test)]\nmod tests {\n    use crate::boot::Verdict;\n    fn f() { std::env::temp_dir() }\n}",
        ),
        (
            "source/tag.rs",
            "/// See [`crate::boot`] and `std::env`.\nconst X: &str = env!(\"CARGO_PKG_NAME\");",
        ),
        ("process.rs", "use std::env;\nfn f() { std::io::stderr() }"),
        (
            "report/lines.rs",
            "use std::io::{self, Write};\nfn f(out: &mut dyn io::Write) {}",
        ),
        ("boot/agent/init.rs", "use std::process::Command;"),
        (
            "main.rs",
            "use std::process::ExitCode;\nfn main() -> ExitCode { wslk::cli::run() }",
        ),
        (
            "source/tag.rs",
            "#[expect(dead_code, reason = \"soon\")]\nfn f() {}",
        ),
        ("source/tag.rs", &short),
        ("source/tag.rs", &tests),
    ];
    for (path, body) in table {
        let broken = rules_broken(path, body);
        assert!(broken.is_empty(), "{path}: {broken:?}: {body}");
    }
}

#[test]
fn a_file_without_an_essay_is_caught() {
    for text in [
        "use std::fs;\n",
        "// A plain comment.\n",
        "\n//! Too late.\n",
        "",
    ] {
        let file = File {
            path: "source/tag.rs".to_owned(),
            text: text.to_owned(),
        };
        let rules: Vec<&str> = check(&file)
            .iter()
            .map(|violation| violation.rule)
            .collect();
        assert_eq!(rules, ["essay"], "{text:?}");
    }
}

#[test]
fn unsafe_code_and_the_driver_have_one_place() {
    let lifted = "#![expect(unsafe_code, reason = \"symbols have no types\")]";
    let in_tests = format!("#[cfg(test)]\nmod tests {{\n    {lifted}\n}}");
    let library = "use libloading::Library;";
    let table: &[(&str, &str, &[&str])] = &[
        ("probe/driver/memory.rs", lifted, &[]),
        ("probe/driver/mod.rs", library, &[]),
        ("source/tag.rs", lifted, &["unsafe"]),
        ("probe/measure/vmm.rs", &in_tests, &["unsafe"]),
        ("probe/measure/vmm.rs", library, &["owner"]),
        ("smoke/suite.rs", "use crate::probe::Verdict;", &["layer"]),
    ];
    for (path, body, broken) in table {
        assert_eq!(rules_broken(path, body), *broken, "{path}: {body}");
    }
}

#[test]
fn a_violation_names_its_place() {
    let text = "//! What it is for.\n\nfn f() {\n    crate::build::run();\n}\n";
    let file = File {
        path: "source/tag.rs".to_owned(),
        text: text.to_owned(),
    };
    let told: Vec<String> = check(&file).iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        ["source/tag.rs:4: layer: `source` must not use `build`"]
    );
}

#[test]
fn the_way_back_depends_on_little() {
    let table = [
        ("install/rollback.rs", "use crate::artefact::Build;", true),
        ("install/site.rs", "use super::preflight::build;", true),
        ("install/site.rs", "use super::layout::Layout;", false),
        (
            "install/rollback.rs",
            "use crate::wsl::path::WindowsPath;",
            false,
        ),
        ("install/arrival.rs", "use crate::artefact::Build;", false),
    ];
    for (path, body, broken) in table {
        assert_eq!(
            !rules_broken(path, body).is_empty(),
            broken,
            "{path}: {body}"
        );
    }
}
