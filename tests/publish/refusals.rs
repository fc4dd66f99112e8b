//! Everything by which a publication is not taken, each by its own name and exit code, with nothing kept.

use std::fs;
use std::path::Path;

use serde_json::Value;
use wslk::digest::Sha256;

use crate::server::Server;
use crate::yard::{Yard, report, seal_again, sign};

fn flip(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_wrong_signature() {
    let yard = Yard::new();
    let (folder, key) = yard.published();
    let server = Server::start(&yard.outlet());
    let list = folder.join("SHA256SUMS");
    let text = fs::read_to_string(&list).unwrap();
    let other = text.replacen(&text[..8], "00000000", 1);
    fs::write(&list, other).unwrap();
    let trust = ["--trust", &key.public];
    let hint = yard.refuses(&server.url(), &trust, 3, "the signature of");
    assert!(hint.contains("do not use"), "{hint}");
    // --unsigned is about missing signatures, not about wrong ones.
    let more = ["--trust", &key.public, "--unsigned"];
    yard.refuses(&server.url(), &more, 3, "is not what was signed");
    fs::write(folder.join("SHA256SUMS.minisig"), "nonsense\n").unwrap();
    yard.refuses(&server.url(), &trust, 3, "the signature of");
}

#[test]
fn an_unknown_key() {
    let yard = Yard::new();
    let (_, _) = yard.published();
    let stranger = yard.key("stranger");
    let server = Server::start(&yard.outlet());
    let hint = yard.refuses(
        &server.url(),
        &[],
        8,
        "which is not one of those trusted here",
    );
    assert!(hint.contains("--trust KEY"), "{hint}");
    let trust = ["--trust", &stranger.public];
    yard.refuses(&server.url(), &trust, 8, "is signed by the key");
}

#[test]
fn no_signature_at_all() {
    let yard = Yard::new();
    let (folder, key) = yard.published();
    fs::remove_file(folder.join("SHA256SUMS.minisig")).unwrap();
    let server = Server::start(&yard.outlet());
    let trust = ["--trust", &key.public];
    let hint = yard.refuses(&server.url(), &trust, 8, "is not signed");
    assert!(hint.contains("--unsigned"), "{hint}");
    let done = yard.installs(&server.url(), &["--unsigned"], 0);
    assert_eq!(done["from"]["signed_by"], Value::Null);
}

#[test]
fn a_swapped_artefact() {
    let yard = Yard::new();
    let (folder, key) = yard.published();
    let server = Server::start(&yard.outlet());
    let trust = ["--trust", &key.public];
    for name in [
        "bzImage",
        "modules.vhd",
        "boot/report.json",
        "manifest.json",
    ] {
        flip(&folder.join(name));
        let message = format!("{name} was swapped");
        yard.refuses(&server.url(), &trust, 3, &message);
        flip(&folder.join(name));
        // What came before and was good need not come again.
        fs::remove_dir_all(yard.user.path("cache")).unwrap();
    }
    flip(&folder.join("entry.json"));
    yard.refuses(&server.url(), &trust, 3, "entry.json was swapped");
    flip(&folder.join("entry.json"));
    yard.installs(&server.url(), &trust, 0);
}

#[test]
fn a_truncated_file() {
    let yard = Yard::new();
    let (folder, key) = yard.published();
    let server = Server::start(&yard.outlet());
    let kernel = folder.join("bzImage");
    let bytes = fs::read(&kernel).unwrap();
    let trust = ["--trust", &key.public];
    fs::write(&kernel, &bytes[..100]).unwrap();
    yard.refuses(
        &server.url(),
        &trust,
        3,
        "bzImage is cut off: 100 of 3001 bytes came",
    );
    fs::write(&kernel, [&bytes[..], b"more"].concat()).unwrap();
    yard.refuses(
        &server.url(),
        &trust,
        3,
        "bzImage is larger than the 3001 bytes",
    );
    fs::remove_file(&kernel).unwrap();
    yard.refuses(&server.url(), &trust, 3, "bzImage is not there");
    // The same from a folder.
    let from = yard.outlet().display().to_string();
    yard.refuses(&from, &trust, 3, "bzImage is not there");
    fs::write(&kernel, &bytes[..100]).unwrap();
    yard.refuses(&from, &trust, 3, "bzImage is cut off");
}

#[test]
fn missing_evidence() {
    let yard = Yard::new();
    let (folder, key) = yard.published();
    fs::remove_file(folder.join("boot/report.json")).unwrap();
    seal_again(&folder, &key);
    let server = Server::start(&yard.outlet());
    let trust = ["--trust", &key.public];
    let message = "comes without evidence of a boot test";
    yard.refuses(&server.url(), &trust, 8, message);
}

#[test]
fn evidence_of_another_hash() {
    let yard = Yard::new();
    let (folder, key) = yard.published();
    let modules = Sha256::of("modules");
    let other = report("passed", Sha256::of("another kernel"), modules);
    fs::write(folder.join("boot/report.json"), other.to_string()).unwrap();
    seal_again(&folder, &key);
    let server = Server::start(&yard.outlet());
    let trust = ["--trust", &key.public];
    yard.refuses(&server.url(), &trust, 8, "tested other files");
    let kernel = Sha256::of(fs::read(folder.join("bzImage")).unwrap());
    let failed = report("failed", kernel, modules);
    fs::write(folder.join("boot/report.json"), failed.to_string()).unwrap();
    seal_again(&folder, &key);
    yard.refuses(&server.url(), &trust, 8, "its verdict is `failed`");
}

#[test]
fn an_older_tag_without_downgrade() {
    let yard = Yard::new();
    let key = yard.key("key");
    for (version, name) in [("6.6.87.2", "a"), ("6.6.75.1", "b")] {
        yard.publish(&yard.build(version, name), &key);
    }
    let server = Server::start(&yard.outlet());
    let trust = ["--trust", key.public.as_str()];
    let newest = yard.installs(&server.url(), &trust, 0);
    assert!(newest["build"].as_str().unwrap().starts_with("6.6.87.2-"));
    let older = ["6.6.75.1", "--trust", &key.public];
    let refused = yard.installs(&server.url(), &older, 8);
    let said = refused["message"].as_str().unwrap();
    assert!(
        said.contains("linux-msft-wsl-6.6.75.1 is older than linux-msft-wsl-6.6.87.2"),
        "{said}"
    );
    assert!(refused["hint"].as_str().unwrap().contains("--downgrade"));
    assert_eq!(yard.user_builds().len(), 1);
    let all = [&older[..], &["--downgrade"]].concat();
    let done = yard.installs(&server.url(), &all, 0);
    assert!(done["build"].as_str().unwrap().starts_with("6.6.75.1-"));
}

/// A good entry in another's place: an old kernel as the newest, say.
#[test]
fn a_signature_of_another_entry() {
    let yard = Yard::new();
    let key = yard.key("key");
    let old = yard.publish(&yard.build("6.6.75.1", "b"), &key);
    let new = yard.publish(&yard.build("6.6.87.2", "a"), &key);
    fs::remove_dir_all(&new).unwrap();
    fs::rename(old, &new).unwrap();
    let server = Server::start(&yard.outlet());
    let trust = ["--trust", &key.public];
    yard.refuses(
        &server.url(),
        &trust,
        3,
        "was signed as something else: tag:linux-msft-wsl-6.6.75.1",
    );
    sign(&new, &key);
    yard.refuses(&server.url(), &trust, 3, "entry.json is about");
}

#[test]
fn an_entry_that_contradicts_itself() {
    let yard = Yard::new();
    let (folder, key) = yard.published();
    let server = Server::start(&yard.outlet());
    let trust = ["--trust", &key.public];
    // The manifest still speaks of the first kernel, and so does the evidence.
    flip(&folder.join("bzImage"));
    seal_again(&folder, &key);
    yard.refuses(&server.url(), &trust, 3, "differ about bzImage");
}

#[test]
fn a_place_without_publications() {
    let yard = Yard::new();
    let (_, key) = yard.published();
    let server = Server::start(&yard.path("home"));
    yard.refuses(
        &server.url(),
        &[],
        3,
        "is no index of publications: it is not there",
    );
    let index = yard.outlet().join("index.json");
    let trust = ["--trust", &key.public];
    let text = fs::read_to_string(&index).unwrap();
    fs::write(&index, text.replace("\"path\": \"", "\"path\": \"../")).unwrap();
    let from = yard.outlet().display().to_string();
    yard.refuses(&from, &trust, 3, "leads out of it");
    fs::write(&index, "<html>").unwrap();
    yard.refuses(&from, &trust, 3, "is no index");
    fs::write(&index, text).unwrap();
    let hint = yard.refuses(&from, &["5.15", "--trust", &key.public], 2, "fits `5.15`");
    assert!(hint.contains("6.6.87.2-criu-"), "{hint}");
    let tiny = ["--profile", "tiny", "--trust", &key.public];
    yard.refuses(&from, &tiny, 2, "fits `latest`");
    yard.refuses("ftp://example.org", &[], 2, "is no place of publications");
    yard.refuses("nowhere", &[], 2, "no such folder");
    yard.refuses("http://127.0.0.1:1/", &[], 3, "gave up");
}

#[test]
fn a_key_that_is_none() {
    let yard = Yard::new();
    yard.published();
    let from = yard.outlet().display().to_string();
    let refused = yard.installs(&from, &["--trust", "RWnonsense"], 2);
    let said = refused["message"].as_str().unwrap();
    assert!(said.contains("no public key of minisign"), "{said}");
}
