//! Patches are in, all of them, or none is.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use wslk::source::{Fault, PatchError, PatchSet, SourceError, SourceTree, TreeId, patches};

use super::{World, members, told};

const FIRST: &str = "\
From 1111111111111111111111111111111111111111 Mon Sep 17 00:00:00 2001
From: A <a@example.org>
Subject: [PATCH] return one

Explains itself.
---
 init/main.c    | 2 +-
 init/helper.sh | 1 +
 2 files changed

diff --git a/init/main.c b/init/main.c
index 1111111..2222222 100644
--- a/init/main.c
+++ b/init/main.c
@@ -1,4 +1,4 @@
 int main(void)
 {
-\treturn 0;
+\treturn 1;
 }
diff --git a/init/helper.sh b/init/helper.sh
new file mode 100755
index 0000000..3333333
--- /dev/null
+++ b/init/helper.sh
@@ -0,0 +1 @@
+echo help
--
2.39.2
";
const SECOND: &str = "\
--- a/init/main.c
+++ b/init/main.c
@@ -2,3 +2,3 @@
 {
-\treturn 1;
+\treturn 2;
 }
";
const REMOVES: &str = "\
diff --git a/Kbuild b/Kbuild.old
similarity index 100%
rename from Kbuild
rename to Kbuild.old
diff --git a/scripts/run.sh b/scripts/run.sh
deleted file mode 100755
index 1..0
--- a/scripts/run.sh
+++ /dev/null
@@ -1 +0,0 @@
-#!/bin/sh
";

fn given(world: &World, order: &str, files: &[(&str, &str)]) -> Result<PatchSet, SourceError> {
    let folder = world.path("patches/6.1");
    files::write_all(&folder, order, files);
    PatchSet::read(&world.path("patches"), "6.1".parse().unwrap())
}

mod files {
    use std::fs;
    use std::path::Path;

    pub fn write_all(folder: &Path, order: &str, files: &[(&str, &str)]) {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("order"), order).unwrap();
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
    }
}

fn base(world: &World) -> SourceTree {
    fs::write(
        world.path("linux.tar.gz"),
        members::tarball(&["kernel linux/"]),
    )
    .unwrap();
    world
        .fetch_text(world.path("linux.tar.gz").to_str().unwrap())
        .unwrap()
}

#[test]
fn patches_make_a_tree_of_their_own() {
    let world = World::new();
    let base = base(&world);
    let order = "# why\nfirst.patch\n\nsecond.diff # on top\n";
    let set = given(
        &world,
        order,
        &[("first.patch", FIRST), ("second.diff", SECOND)],
    )
    .unwrap();
    let patched = patches::apply(&base, &set, &world.sources()).unwrap();

    let main = fs::read_to_string(patched.tree.root.join("init/main.c")).unwrap();
    assert_eq!(main, "int main(void)\n{\n\treturn 2;\n}\n");
    assert!(
        fs::metadata(patched.tree.root.join("init/helper.sh"))
            .unwrap()
            .mode()
            & 0o111
            != 0
    );
    assert_eq!(
        patched.tree.tree,
        TreeId::of_dir(&patched.tree.root).unwrap()
    );
    assert_eq!(patched.base, base.tree);
    assert_eq!(patched.patches.len(), 2);
    base.verify().unwrap();
    let inode = |tree: &SourceTree| fs::metadata(tree.root.join("firmware.bin")).unwrap().ino();
    assert_eq!(
        inode(&base),
        inode(&patched.tree),
        "what no patch touches is linked"
    );

    let again = patches::apply(&base, &set, &world.sources()).unwrap();
    assert_eq!(again.tree, patched.tree);
    assert_eq!(world.kept().len(), 2);
}

#[test]
fn renames_and_removals() {
    let world = World::new();
    let base = base(&world);
    // Without Kbuild it is no kernel any more, so another patch brings it back.
    let back = "--- /dev/null\n+++ b/Kbuild\n@@ -0,0 +1 @@\n+obj-y += x/\n";
    let set = given(&world, "r\nb\n", &[("r", REMOVES), ("b", back)]).unwrap();
    let patched = patches::apply(&base, &set, &world.sources()).unwrap().tree;
    assert_eq!(
        fs::read_to_string(patched.root.join("Kbuild.old")).unwrap(),
        "obj-y += init/\n"
    );
    assert_eq!(
        fs::read_to_string(patched.root.join("Kbuild")).unwrap(),
        "obj-y += x/\n"
    );
    assert!(!patched.root.join("scripts/run.sh").exists());
}

#[test]
fn without_patches_the_tree_stays() {
    let world = World::new();
    let base = base(&world);
    let none = PatchSet::read(&world.path("patches"), "6.6".parse().unwrap()).unwrap();
    assert!(none.is_empty());
    assert_eq!(
        patches::apply(&base, &none, &world.sources()).unwrap().tree,
        base
    );
}

#[test]
fn a_hunk_that_fails_is_named_and_nothing_is_half_patched() {
    let world = World::new();
    let base = base(&world);
    let set = given(
        &world,
        "first.patch\nagain.patch\n",
        &[("first.patch", FIRST), ("again.patch", FIRST)],
    )
    .unwrap();
    let error = patches::apply(&base, &set, &world.sources()).unwrap_err();
    assert_eq!(
        told(&error),
        "again.patch does not fit: hunk 1 of init/main.c (at line 1)"
    );
    assert!(
        error
            .hint()
            .unwrap()
            .contains("as if again.patch were in already")
    );
    assert_eq!(error.fault(), Fault::Patch);

    let far = SECOND.replace("@@ -2,3 +2,3 @@\n {\n", "@@ -2,3 +2,3 @@\n{ // elsewhere\n");
    let set = given(
        &world,
        "first.patch\nfar\n",
        &[
            ("first.patch", FIRST),
            ("again.patch", FIRST),
            ("far", &far),
        ],
    );
    assert!(
        matches!(set, Err(SourceError::Patch(PatchError::Unnamed(_)))),
        "again.patch is not in the order"
    );
    base.verify().unwrap();
    assert_eq!(world.kept(), [base.tree.to_string()]);
}

#[test]
fn every_misfit_is_told() {
    let world = World::new();
    let base = base(&world);
    let second_hunk = FIRST.replace(
        "diff --git a/init/helper.sh",
        "@@ -40,2 +40,2 @@\n nowhere\n-old\n+new\ndiff --git a/init/helper.sh",
    );
    let table = [
        (second_hunk.as_str(), "hunk 2 of init/main.c (at line 40)"),
        (
            "--- a/init/gone.c\n+++ b/init/gone.c\n@@ -1 +1 @@\n-a\n+b\n",
            "init/gone.c is not there",
        ),
        (
            "--- /dev/null\n+++ b/Kbuild\n@@ -0,0 +1 @@\n+x\n",
            "Kbuild is to be made, but is there already",
        ),
        (
            "--- a/../../etc/passwd\n+++ b/../../etc/passwd\n@@ -1 +1 @@\n-a\n+b\n",
            "../../etc/passwd is no name inside",
        ),
        (
            "--- a/Microsoft/config-wsl\n+++ b/Microsoft/config-wsl\n@@ -1 +1 @@\n-a\n+b\n",
            "is no ordinary file",
        ),
        ("this is no patch\n", "cannot be read"),
        ("", "cannot be read"),
    ];
    for (text, expected) in table {
        let set = given(&world, "p\n", &[("p", text)]).unwrap();
        let error = patches::apply(&base, &set, &world.sources())
            .map(|p| p.tree)
            .unwrap_err();
        assert!(
            told(&error).contains(expected),
            "{expected}: {}",
            told(&error)
        );
        assert_eq!(error.fault(), Fault::Patch);
        assert_eq!(world.kept().len(), 1);
    }
}

#[test]
fn a_wrong_order_file_is_told_with_its_line() {
    let world = World::new();
    for (order, expected) in [
        ("a\nmissing.patch\n", "order:2: there is no `missing.patch`"),
        (
            "a\na\n",
            "order:2: `a` is not the name of a patch of its own",
        ),
        ("../a\n", "order:1: `../a` is not the name"),
    ] {
        let error = given(&world, order, &[("a", FIRST)]).unwrap_err();
        assert!(told(&error).contains(expected), "{}", told(&error));
        assert_eq!(error.fault(), Fault::Input);
    }
}
