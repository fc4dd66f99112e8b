//! Whoever publishes and whoever installs, each with a home of their own, and the folder between them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use minisign::KeyPair;
use serde_json::{Value, json};
use wslk::artefact::sums::{self, SUMS};
use wslk::artefact::{BuildId, Inputs, Manifest, RunDetails, SCHEMA, SourceFacts, Store};
use wslk::digest::Sha256;
use wslk::home::Home;

use crate::bench::{Bench, Kernel, snapshot};

/// A key pair of minisign.
pub struct Key {
    /// The secret half's file.
    pub file: PathBuf,
    /// The public half.
    pub public: String,
    pair: KeyPair,
}

/// The two sides.
pub struct Yard {
    folder: tempfile::TempDir,
    /// The machine that installs.
    pub user: Bench,
}

impl Yard {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            user: Bench::new(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What a web server would hand out.
    pub fn outlet(&self) -> PathBuf {
        self.path("outlet")
    }

    pub fn key(&self, name: &str) -> Key {
        self.locked_key(name, None)
    }

    pub fn locked_key(&self, name: &str, password: Option<&str>) -> Key {
        let pair = match password {
            None => KeyPair::generate_unencrypted_keypair().unwrap(),
            Some(word) => KeyPair::generate_encrypted_keypair(Some(word.to_owned())).unwrap(),
        };
        let file = self.path(name);
        fs::write(&file, pair.sk.to_box(None).unwrap().into_string()).unwrap();
        Key {
            file,
            public: pair.pk.to_base64(),
            pair,
        }
    }

    /// A build of this tag, as the publisher's store has it, with all that a real one leaves.
    pub fn build(&self, version: &str, name: &'static str) -> String {
        self.build_of(version, &Kernel::new(name))
    }

    pub fn build_of(&self, version: &str, kernel: &Kernel) -> String {
        let store = Store::new(&Home::new(self.path("home"), self.path("cache")));
        let inputs = Inputs::default()
            .with("name", kernel.name)
            .with("source tree", "1111111111111111111111111111111111111111")
            .with("fragment criu", Sha256::of("criu").to_string())
            .with("patch 01 a.patch", Sha256::of("a").to_string());
        let id = BuildId::new(version, "criu", &inputs).unwrap();
        let draft = store.draft(&id).unwrap();
        draft.write("bzImage", &kernel.image).unwrap();
        draft.write("modules.vhd", "modules").unwrap();
        draft.write("System.map", "0 T start\n").unwrap();
        draft.write("config", &kernel.config).unwrap();
        draft.write("audit.json", "{}\n").unwrap();
        draft
            .write("packages.json", packages().to_string())
            .unwrap();
        let tag = format!("linux-msft-wsl-{version}");
        let build = draft
            .publish(
                Manifest {
                    schema: SCHEMA,
                    id: id.clone(),
                    profile: "criu".to_owned(),
                    release: format!("{version}-microsoft-standard-WSL2-wslk-{}", id.hex()),
                    source: SourceFacts {
                        tag: Some(tag.clone()),
                        commit: Some("2".repeat(40)),
                        tree: "1".repeat(40),
                        patches: vec!["a.patch".to_owned()],
                    },
                    inputs,
                    tools: BTreeMap::from([("gcc".to_owned(), "gcc 14.2.0".to_owned())]),
                    outputs: BTreeMap::new(),
                },
                RunDetails {
                    origin: format!("https://example.org/linux.git {tag}"),
                    engine: "docker".to_owned(),
                    image: Some(format!("sha256:{}", "a".repeat(64))),
                    seconds: 100.0,
                    ..RunDetails::default()
                },
            )
            .unwrap();
        let digest = |name: &str| build.manifest().outputs[name].sha256;
        if kernel.proven {
            let boot = build.boot_folder();
            fs::create_dir_all(&boot).unwrap();
            let report = report("passed", digest("bzImage"), digest("modules.vhd"));
            fs::write(boot.join("report.json"), report.to_string()).unwrap();
            for name in ["report.junit.xml", "report.tap", "console.log"] {
                fs::write(boot.join(name), name).unwrap();
            }
        }
        id.to_string()
    }

    /// The publisher's program.
    pub fn publisher(&self, args: &[&str]) -> Command {
        let mut command = Command::cargo_bin("wslk").unwrap();
        command
            .arg("--json")
            .args(args)
            .env("WSLK_HOME", self.path("home"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("XDG_CONFIG_HOME", self.path("settings"))
            .current_dir(self.folder.path());
        command
    }

    /// Runs it to the expected exit code.
    pub fn publisher_ends(&self, args: &[&str], code: i32) -> Value {
        ended(&mut self.publisher(args), code)
    }

    /// Publishes a build, signed; its folder.
    pub fn publish(&self, build: &str, key: &Key) -> PathBuf {
        let to = self.outlet().display().to_string();
        let key = key.file.display().to_string();
        let done = self.publisher_ends(&["publish", build, "--to", &to, "--sign-key", &key], 0);
        PathBuf::from(done["folder"].as_str().unwrap())
    }

    /// One build of one tag, published and signed.
    pub fn published(&self) -> (PathBuf, Key) {
        let key = self.key("key");
        let build = self.build("6.6.87.2", "a");
        (self.publish(&build, &key), key)
    }

    /// The user's `install --from`, to the expected exit code.
    pub fn installs(&self, from: &str, more: &[&str], code: i32) -> Value {
        let (install, rest) = (["install", "--from", from], more);
        self.user.ends(&[&install, rest].concat(), code).0
    }

    /// A refusal: the code, a message with this in it, a hint, and neither Windows nor the store changed.
    pub fn refuses(&self, from: &str, more: &[&str], code: i32, message: &str) -> String {
        let before = snapshot(&self.user.drive());
        let document = self.installs(from, more, code);
        let said = document["message"].as_str().unwrap();
        assert!(said.contains(message), "{said}");
        let hint = document["hint"].as_str().unwrap().to_owned();
        assert!(!hint.is_empty());
        assert_eq!(snapshot(&self.user.drive()), before);
        assert_eq!(self.user_builds(), Vec::<String>::new());
        hint
    }

    /// The builds in the user's store; whatever lies there.
    pub fn user_builds(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.user.path("home/builds")) else {
            return Vec::new();
        };
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

/// Runs to the expected exit code and returns the document.
pub fn ended(command: &mut Command, code: i32) -> Value {
    let output = command.output().unwrap();
    let (out, talk) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(
        output.status.code(),
        Some(code),
        "{command:?}\n{out}\n{talk}"
    );
    serde_json::from_str(&out).unwrap()
}

fn packages() -> Value {
    let package = |name: &str, version: &str| {
        json!({
            "name": name, "version": version, "architecture": "amd64",
            "source": name, "source_version": version,
        })
    };
    json!([
        package("gcc", "4:14.2.0-1"),
        package("libstdc++6", "14.2.0-19+b1")
    ])
}

/// A boot report as the boot test writes it.
pub fn report(verdict: &str, kernel: Sha256, modules: Sha256) -> Value {
    json!({
        "schema": 1, "verdict": verdict, "failures": [], "untested": [], "accel": "tcg",
        "kernel": kernel, "modules_disk": modules, "kernel_release": "6.6.87.2-x",
        "config_matches": true, "modules": null,
        "smoke": {
            "kernel_release": "6.6.87.2-x", "criu_version": "4.2.1", "diag": [], "seconds": 3.0,
            "scenarios": [
                {"name": "memory", "verdict": "works", "cycles": 2, "options": [], "seconds": 1.5},
                {"name": "container", "verdict": "not-testable", "cycles": 0, "options": [], "seconds": 0.0,
                 "reason": "runc is not installed", "extra": true},
            ],
        },
        "seconds": 20.0, "userspace_seconds": 2.5, "phases": [],
    })
}

/// Puts an entry in agreement with itself after somebody changed it, and signs that: what only the owner of the
/// key could do.
pub fn seal_again(folder: &Path, key: &Key) {
    let list = |folder: &Path| {
        let mut found = snapshot(folder);
        found.retain(|path, _| {
            let name = path.to_str().unwrap();
            !["entry.json", SUMS, "SHA256SUMS.minisig"].contains(&name)
        });
        found
    };
    let file = folder.join("entry.json");
    let mut entry: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let mut digests = BTreeMap::new();
    entry["files"] = json!({});
    for (path, bytes) in list(folder) {
        let name = path.to_str().unwrap().to_owned();
        let digest = Sha256::of(&bytes);
        entry["files"][&name] = json!({"sha256": digest, "size": bytes.len()});
        digests.insert(name, digest);
    }
    let text = serde_json::to_string(&entry).unwrap();
    digests.insert("entry.json".to_owned(), Sha256::of(&text));
    fs::write(file, text).unwrap();
    fs::write(folder.join(SUMS), sums::render(&digests)).unwrap();
    sign(folder, key);
}

/// Signs `SHA256SUMS` as it is, for this entry.
pub fn sign(folder: &Path, key: &Key) {
    let text = fs::read_to_string(folder.join(SUMS)).unwrap();
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let comment = format!(
        "tag:{} build:{}",
        name(folder.parent().unwrap()),
        name(folder)
    );
    let signature = minisign::sign(None, &key.pair.sk, text.as_bytes(), Some(&comment), None);
    let file = folder.join("SHA256SUMS.minisig");
    fs::write(file, signature.unwrap().into_string()).unwrap();
}
