//! The objects of a build tree, by the command files that kbuild keeps beside them.
//!
//! In: a build tree on the disk. Out: names of objects, or [`Objects`]: what they depend on. A folder that cannot be
//! listed is an error: who believes in the list must not miss one.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::BuildPlan;
use super::kbuild_cmd::{Objects, Roots};
use super::plan::{BUILD, SOURCE};
use crate::files::{self, FileError};

/// The object files that are in a build tree already.
pub(super) fn units(tree: &Path) -> Result<HashSet<String>, FileError> {
    let is_object = |target: &String| target.ends_with(".o");
    Ok(targets(tree)?.into_iter().filter(is_object).collect())
}

/// What kbuild has noted of the objects of a plan's build tree.
pub(super) fn noted(plan: &BuildPlan) -> Result<Objects, FileError> {
    let tree = plan.tree();
    let roots = Roots {
        source: vec![SOURCE.to_owned(), plan.source.display().to_string()],
        build: vec![BUILD.to_owned(), tree.display().to_string()],
    };
    let take = |mut objects: Objects, target: &String| {
        if let Ok(text) = fs::read_to_string(command_file(&tree, target)) {
            objects.take(target, &text, &roots);
        }
        objects
    };
    let join = |mut one: Objects, other: Objects| {
        one.join(other);
        one
    };
    Ok(targets(&tree)?
        .par_iter()
        .fold(Objects::default, take)
        .reduce(Objects::default, join))
}

/// Everything that has a command file, by its path in the tree.
fn targets(tree: &Path) -> Result<Vec<String>, FileError> {
    let mut found = Vec::new();
    collect(tree, "", &mut found)?;
    Ok(found)
}

fn collect(folder: &Path, below: &str, found: &mut Vec<String>) -> Result<(), FileError> {
    for entry in files::entries_if_there(folder)? {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), &format!("{below}{name}/"), found)?;
        } else if let Some(target) = target_of(name) {
            found.push(format!("{below}{target}"));
        }
    }
    Ok(())
}

/// `main.o` for its command file `.main.o.cmd`.
fn target_of(name: &str) -> Option<&str> {
    name.strip_prefix('.')?.strip_suffix(".cmd")
}

/// `…/init/.main.o.cmd` for `init/main.o`.
fn command_file(tree: &Path, target: &str) -> PathBuf {
    let (folder, name) = target.rsplit_once('/').unwrap_or(("", target));
    tree.join(folder).join(format!(".{name}.cmd"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_found_by_their_command_files() {
        let tree = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(tree.path().join("fs/fuse")).expect("folders");
        for name in [
            "fs/fuse/.dev.o.cmd",
            ".main.o.cmd",
            "main.o",
            ".x.cmd",
            ".cmd",
        ] {
            fs::write(tree.path().join(name), "").expect("written");
        }
        let expected = ["fs/fuse/dev.o", "main.o"].map(str::to_owned);
        let found = units(tree.path()).expect("listed");
        assert_eq!(found, HashSet::from(expected));
        for target in targets(tree.path()).expect("listed") {
            assert!(command_file(tree.path(), &target).exists(), "{target}");
        }
    }
}
