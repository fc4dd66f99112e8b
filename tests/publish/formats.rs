//! What other people's programs make of an entry.
#![expect(clippy::print_stderr, reason = "a skip must be seen")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::yard::Yard;

fn json(file: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

#[test]
fn coreutils_and_minisign_agree() {
    let yard = Yard::new();
    let (folder, key) = yard.published();
    let sums = Command::new("sha256sum")
        .args(["--check", "--strict", "--quiet", "SHA256SUMS"])
        .current_dir(&folder)
        .status();
    assert!(sums.unwrap().success());
    let minisign = Command::new("minisign")
        .args(["-V", "-P", &key.public, "-m", "SHA256SUMS"])
        .current_dir(&folder)
        .output();
    let Ok(minisign) = minisign else {
        eprintln!("SKIPPED: minisign is not installed");
        return;
    };
    let said = String::from_utf8_lossy(&minisign.stdout).into_owned();
    assert!(minisign.status.success(), "{said}");
    assert!(
        said.contains("tag:linux-msft-wsl-6.6.87.2 build:6.6.87.2-criu-"),
        "{said}"
    );
}

/// A key that minisign itself made is as good.
#[test]
fn a_key_of_minisigns() {
    let yard = Yard::new();
    let build = yard.build("6.6.87.2", "a");
    let (secret, public) = (yard.path("m.key"), yard.path("m.pub"));
    let made = Command::new("minisign")
        .args(["-G", "-W", "-s"])
        .arg(&secret)
        .arg("-p")
        .arg(&public)
        .output();
    if made.is_err() {
        eprintln!("SKIPPED: minisign is not installed");
        return;
    }
    let (to, file) = (
        yard.outlet().display().to_string(),
        secret.display().to_string(),
    );
    yard.publisher_ends(&["publish", &build, "--to", &to, "--sign-key", &file], 0);
    let text = fs::read_to_string(public).unwrap();
    let key = text.lines().nth(1).unwrap();
    yard.installs(&to, &["--trust", key], 0);
}

#[test]
fn provenance_names_what_went_in_and_what_came_out() {
    let yard = Yard::new();
    let (folder, _) = yard.published();
    let statement = json(&folder.join("provenance.json"));
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
    let digest =
        |name: &str| json(&folder.join("manifest.json"))["outputs"][name]["sha256"].clone();
    let subject = statement["subject"].as_array().unwrap();
    let kernel = subject.iter().find(|one| one["name"] == "bzImage").unwrap();
    assert_eq!(kernel["digest"]["sha256"], digest("bzImage"));
    let definition = &statement["predicate"]["buildDefinition"];
    let asked = &definition["externalParameters"];
    assert_eq!(asked["tag"], "linux-msft-wsl-6.6.87.2");
    assert_eq!(asked["tree"], "1".repeat(40));
    assert_eq!(asked["fragments"]["criu"].as_str().unwrap().len(), 64);
    let resolved = definition["resolvedDependencies"].as_array().unwrap();
    assert_eq!(resolved[0]["digest"]["gitCommit"], "2".repeat(40));
    assert_eq!(
        resolved[0]["uri"],
        "git+https://example.org/linux.git@linux-msft-wsl-6.6.87.2"
    );
    assert_eq!(resolved[1]["digest"]["sha256"], "a".repeat(64));
    let run = &statement["predicate"]["runDetails"];
    assert_eq!(run["builder"]["version"]["gcc"], "gcc 14.2.0");
    let finished = run["metadata"]["finishedOn"].as_str().unwrap();
    assert!(
        finished.ends_with('Z') && finished.len() == 20,
        "{finished}"
    );
    let byproducts = run["byproducts"].as_array().unwrap();
    let report = byproducts
        .iter()
        .any(|one| one["name"] == "boot/report.json");
    assert!(report, "{byproducts:?}");
}

#[test]
fn provenance_tells_a_kernel_out_of_a_cache() {
    let yard = Yard::new();
    let (key, build) = (yard.key("key"), yard.build("6.6.87.2", "a"));
    let run = yard.path("home/builds").join(&build).join("run.json");
    let mut details = json(&run);
    details["taken"] = "shared".into();
    fs::write(run, details.to_string()).unwrap();
    let statement = json(&yard.publish(&build, &key).join("provenance.json"));
    let internal = &statement["predicate"]["buildDefinition"]["internalParameters"];
    assert_eq!(
        internal["compiled"],
        "not in this run: whole in the shared cache"
    );
}

#[test]
fn the_bill_of_materials_lists_source_image_and_packages() {
    let yard = Yard::new();
    let (folder, _) = yard.published();
    let bill = json(&folder.join("sbom.json"));
    assert_eq!(bill["spdxVersion"], "SPDX-2.3");
    let packages = bill["packages"].as_array().unwrap();
    let names: Vec<&str> = packages
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "linux",
            "linux-source",
            "linux-modules",
            "wslk-builder",
            "gcc",
            "libstdc++6"
        ]
    );
    // Every name that is referred to is there.
    let ids: Vec<&Value> = packages.iter().map(|one| &one["SPDXID"]).collect();
    for relation in bill["relationships"].as_array().unwrap() {
        assert!(ids.contains(&&relation["relatedSpdxElement"]), "{relation}");
    }
}

#[test]
fn the_entry_says_what_a_page_shows() {
    let yard = Yard::new();
    let (folder, _) = yard.published();
    let entry = json(&folder.join("entry.json"));
    assert_eq!(entry["schema"], "wslk/entry/1");
    assert_eq!(entry["boot"]["accel"], "tcg");
    assert_eq!(entry["scenarios"][0]["verdict"], "works");
    assert_eq!(entry["files"]["bzImage"]["size"], 3001);
    let index = json(&yard.outlet().join("index.json"));
    assert_eq!(index["schema"], "wslk/index/1");
    assert_eq!(index["entries"][0]["build"], entry["build"]);
    let path = index["entries"][0]["path"].as_str().unwrap();
    assert_eq!(yard.outlet().join(path), folder);
}
