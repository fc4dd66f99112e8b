//! The objects of a build tree, by the command files that kbuild keeps beside them.
//!
//! In: a build tree on the disk. Out: names of objects, or [`Noted`]: what they depend on. A folder that cannot be
//! listed is an error: who believes in the list must not miss one.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::BuildPlan;
use super::kbuild_cmd::{Objects, Roots};
use super::plan::{BUILD, SOURCE};
use crate::files::{self, FileError};

/// How an option is written among what an object depends on.
const ASKS: &str = "$(wildcard include/config/";

/// What kbuild noted of a build tree.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// What was compiled.
    pub objects: Objects,
    /// Targets, by their paths in the tree, that hang on options in a way that makes no sense here.
    pub unclear: Vec<String>,
    /// The kernel's modules, by their paths in the tree.
    pub modules: Vec<String>,
}

/// The object files that are in a build tree already.
pub(super) fn units(tree: &Path) -> Result<HashSet<String>, FileError> {
    let is_object = |target: &String| target.ends_with(".o");
    Ok(targets(tree)?.into_iter().filter(is_object).collect())
}

/// What kbuild has noted of the objects of a plan's build tree.
pub(super) fn noted(plan: &BuildPlan) -> Result<Noted, FileError> {
    let tree = plan.tree();
    let roots = Roots {
        source: names(SOURCE, &plan.source),
        build: names(BUILD, &tree),
    };
    let take = |mut noted: Noted, target: &String| {
        if target.ends_with(".ko") {
            noted.modules.push(target.clone());
        }
        let is_clear = fs::read_to_string(command_file(&tree, target))
            .is_ok_and(|text| noted.objects.take(target, &text, &roots) || !text.contains(ASKS));
        // Whatever a job named so: a folder is no target.
        if !is_clear && !tree.join(target).is_dir() {
            noted.unclear.push(target.clone());
        }
        noted
    };
    let join = |mut one: Noted, other: Noted| {
        one.objects.join(other.objects);
        one.unclear.extend(other.unclear);
        one.modules.extend(other.modules);
        one
    };
    Ok(targets(&tree)?
        .par_iter()
        .fold(Noted::default, take)
        .reduce(Noted::default, join))
}

/// What a folder is called in a job, here, and by kbuild, which follows links.
fn names(inside: &str, path: &Path) -> Vec<String> {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let here = [path, &real].map(|path| path.display().to_string());
    std::iter::once(inside.to_owned()).chain(here).collect()
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
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => {
                collect(&entry.path(), &format!("{below}{name}/"), found)?;
            }
            Ok(kind) if kind.is_file() => {
                found.extend(target_of(name).map(|target| format!("{below}{target}")));
            }
            _ => {}
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
