//! A night over a repository with good and bad tags, everything real; then a second one, and a third with a new tag.
//!
//! Four kernels are compiled for it: with WSLK_SLOW_TESTS=all only.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

use super::Story;

/// A line that is put into a file of the tree, in place of another.
struct Edit {
    file: &'static str,
    old: &'static str,
    new: &'static str,
}

/// What each tag has that the good ones have not.
const TAGS: [(&str, Option<Edit>); 4] = [
    ("1", None),
    (
        "2",
        Some(Edit {
            file: "kernel/exit.c",
            old: "#include <linux/mm.h>",
            new: "#error this tag does not compile",
        }),
    ),
    (
        "3",
        Some(Edit {
            file: "net/unix/diag.c",
            old: "if (nlmsg_len(h) < hdrlen)",
            new: "if (hdrlen)",
        }),
    ),
    (
        "4",
        Some(Edit {
            file: "fs/overlayfs/Kconfig",
            old: "config OVERLAY_FS\n",
            new: "config OVERLAY_FS\n\tdepends on BROKEN\n",
        }),
    ),
];

/// The upstream: a repository with a tag per entry, made of the source's own tree.
struct Upstream {
    tree: PathBuf,
    version: String,
}

impl Upstream {
    fn of(tree: &Path, folder: &Path) -> Self {
        let own = folder.join("upstream");
        Command::new("cp")
            .arg("--recursive")
            .args([tree, &own])
            .assert()
            .success();
        Command::new("chmod")
            .args(["--recursive", "u+w"])
            .arg(&own)
            .assert()
            .success();
        let makefile = fs::read_to_string(own.join("Makefile")).expect("a kernel");
        let number = |name: &str| {
            let lines = makefile.lines();
            let mut values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
            values.next().expect("a version").to_owned()
        };
        let version = ["VERSION", "PATCHLEVEL", "SUBLEVEL"].map(number).join(".");
        let upstream = Self { tree: own, version };
        upstream.git(&["init", "--quiet", "--initial-branch=main"]);
        upstream.git(&["config", "gc.auto", "0"]);
        for (revision, edit) in &TAGS {
            upstream.release(revision, edit.as_ref());
        }
        upstream
    }

    fn git(&self, args: &[&str]) {
        let identity = ["-c", "user.name=wslk", "-c", "user.email=wslk@localhost"];
        let mut git = Command::new("git");
        git.arg("-C").arg(&self.tree).args(identity).args(args);
        git.assert().success();
    }

    /// A tag of the tree with `edit` in it; the next one begins without it.
    fn release(&self, revision: &str, edit: Option<&Edit>) {
        fs::write(self.tree.join("revision"), revision).expect("written");
        let before = edit.map(|edit| {
            let path = self.tree.join(edit.file);
            let text = fs::read_to_string(&path).expect("a file of the tree");
            assert!(
                text.contains(edit.old),
                "{} has no `{}`",
                edit.file,
                edit.old
            );
            fs::write(&path, text.replacen(edit.old, edit.new, 1)).expect("written");
            (path, text)
        });
        self.git(&["add", "--all", "--force", "."]);
        self.git(&["commit", "--quiet", "--message", revision]);
        self.git(&[
            "tag",
            "--force",
            "--annotate",
            &self.tag(revision),
            "--message",
            revision,
        ]);
        if let Some((path, text)) = before {
            fs::write(path, text).expect("written");
        }
    }

    fn tag(&self, revision: &str) -> String {
        format!("linux-msft-wsl-{}.{revision}", self.version)
    }
}

fn night(story: &Story, upstream: &Upstream, code: i32) -> Value {
    // The folder itself would be one kernel tree.
    let repository = upstream.tree.join(".git");
    let tree = repository.to_str().expect("text");
    let mut command = story.wslk(&["nightly", "--source", tree, "--engine", &story.engine]);
    Story::ends(
        command.args(["--profile", "tiny", "--control", "none"]),
        code,
    )
}

/// Each tag's revision with the stage it came to and who is to blame.
fn outcome(document: &Value) -> Vec<String> {
    let entries = document["entries"].as_array().expect("entries");
    let one = |entry: &Value| {
        let tag = entry["tag"].as_str().expect("a tag");
        let revision = tag.rsplit('.').next().unwrap_or_default();
        let stage = entry["stage"].as_str().expect("a stage");
        match entry["failure"]["blame"].as_str() {
            Some(blame) => format!("{revision} {stage}, {blame} {}", entry["failure"]["code"]),
            None => format!("{revision} {stage}"),
        }
    };
    entries.iter().map(one).collect()
}

/// `tree` is the one that the story's first kernel was built from.
pub fn tags_are_judged_and_only_what_is_new_is_built(story: &Story, tree: &Path) {
    let upstream = Upstream::of(tree, &story.folder);
    let first = night(story, &upstream, 6);
    let expected = [
        "1 published",
        "2 configured, kernel 5",
        "3 built, kernel 6",
        "4 fetched, kernel 4",
    ];
    assert_eq!(outcome(&first), expected, "{first:#}");
    let reason = |at: usize| {
        first["entries"][at]["failure"]["reason"]
            .as_str()
            .expect("text")
    };
    assert!(
        reason(1).contains("this tag does not compile"),
        "{}",
        reason(1)
    );
    assert!(reason(2).contains("unix"), "{}", reason(2));
    assert!(reason(3).contains("OVERLAY_FS"), "{}", reason(3));
    let lost = &first["entries"][2]["judged"]["regressions"][0];
    assert_eq!(lost["scenario"], "unix", "{first:#}");
    assert_eq!(
        lost["untried"],
        serde_json::json!([upstream.tag("2")]),
        "{first:#}"
    );

    assert_eq!(night(story, &upstream, 0)["entries"], serde_json::json!([]));

    upstream.release("5", None);
    // A tag that is moved is refused, and does not keep the others from being judged.
    upstream.git(&[
        "tag",
        "--force",
        "--annotate",
        &upstream.tag("1"),
        "--message",
        "moved",
        "HEAD",
    ]);
    let third = night(story, &upstream, 3);
    assert_eq!(
        outcome(&third),
        ["1 published, source 3", "5 published"],
        "{third:#}"
    );
    let built = fs::read_dir(story.folder.join("home/builds")).expect("builds");
    let tiny = |name: &String| name.contains("-tiny-");
    let names = built.map(|entry| {
        entry
            .expect("an entry")
            .file_name()
            .to_string_lossy()
            .into_owned()
    });
    // The story's own, and those of the tags 1, 3 and 5.
    assert_eq!(names.filter(tiny).count(), 4);
}
