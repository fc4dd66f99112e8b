//! Why objects were not in the compiler cache: what they depend on that is not what it was in the builds before.
//!
//! In: what every object of a build tree was made from ([`Objects`]), which of them were missed, and what this build
//! and those before were made from ([`Snapshot`]). Out: [`MissReason`]s, counted. Pure; `cache_record` reads and keeps.
//!
//! An option that an object names, or a header that it includes, need not change what the compiler sees. So a reason
//! tells beside the missed objects how many there are in all that depend on it.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::kbuild_cmd::{Dependency, Object, Objects};

/// Reasons that are told; the long tail behind them explains little.
const TOLD: usize = 10;

/// What kind of thing a reason is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MissKind {
    /// No build with this cache is known.
    First,
    /// The compiler and what comes with it.
    Toolchain,
    /// A header, or another file that is included.
    File,
    /// An option of the configuration.
    Option,
    /// The compiler's command line.
    Command,
    /// The source file itself.
    Source,
    /// An object that was not made before.
    New,
    /// Nothing changed: it was removed from the cache, or was never in it.
    Unchanged,
    /// No object of the kernel: a program that runs while building, or a question to the compiler.
    Other,
}

/// A reason for misses, and how many objects it concerns. An object may have several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissReason {
    /// What kind of thing.
    pub kind: MissKind,
    /// In words.
    pub what: String,
    /// Missed objects that it concerns.
    pub objects: u64,
    /// All objects that were asked for and that it concerns, the found ones too.
    pub of: u64,
}

/// What a build was made from, as far as its objects depend on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Snapshot {
    /// The release string, which names the build.
    pub build: String,
    /// The digest of the tools; nothing where they are not known.
    pub toolchain: Option<String>,
    /// Digests of files, by name.
    pub files: BTreeMap<String, String>,
    /// The configuration: values of options, by name without `CONFIG_`. Those that are not set are not in it.
    pub options: BTreeMap<String, String>,
    /// Digests of the command lines, by object.
    pub commands: BTreeMap<String, String>,
}

/// The values of options that a `.config` sets.
#[must_use]
pub(super) fn options_of(config: &str) -> BTreeMap<String, String> {
    config
        .lines()
        .filter_map(|line| line.strip_prefix("CONFIG_")?.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Counts why objects were missed, against whichever build of `before` is nearest to `now`. `asked` tells of every
/// source file that the cache was asked for whether it was missed.
#[must_use]
pub(super) fn reasons(
    objects: &Objects,
    asked: &HashMap<&str, bool>,
    now: &Snapshot,
    before: &[Snapshot],
) -> Vec<MissReason> {
    let told: Vec<(&Object, bool)> = objects
        .objects
        .iter()
        .filter_map(|object| Some((object, *asked.get(object.input.as_str())?)))
        .collect();
    let missed = told.iter().filter(|(_, missed)| *missed).count() as u64;
    let Some(nearest) = before
        .iter()
        .map(|before| Comparison::new(objects, now, before))
        .min_by_key(|comparison| comparison.distance(&told))
    else {
        let first = MissReason {
            kind: MissKind::First,
            what: "no build with this cache before it is known".to_owned(),
            objects: missed,
            of: told.len() as u64,
        };
        return Vec::from_iter((missed > 0).then_some(first));
    };
    let mut counts: HashMap<Why, (u64, u64)> = HashMap::new();
    for (object, missed) in told {
        for why in nearest.whys(object) {
            let count = counts.entry(why).or_default();
            count.0 += u64::from(missed);
            count.1 += 1;
        }
    }
    let mut reasons: Vec<MissReason> = counts
        .into_iter()
        .filter(|(_, (missed, _))| *missed > 0)
        .map(|(why, (objects, of))| nearest.told(why, objects, of))
        .collect();
    reasons.sort_by(|a, b| {
        b.objects
            .cmp(&a.objects)
            .then(a.of.cmp(&b.of))
            .then(a.what.cmp(&b.what))
    });
    reasons.truncate(TOLD);
    reasons
}

/// Misses of what is no object, as a reason.
#[must_use]
pub(super) fn others(misses: u64) -> Option<MissReason> {
    (misses > 0).then(|| MissReason {
        kind: MissKind::Other,
        what: "programs of the build itself and questions to the compiler".to_owned(),
        objects: misses,
        of: misses,
    })
}

/// Why one object may have been missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Why {
    /// This dependency is not what it was.
    Depends(u32),
    /// Everything else is told by its kind alone.
    Kind(MissKind),
}

/// Two builds.
struct Comparison<'a> {
    objects: &'a Objects,
    now: &'a Snapshot,
    before: &'a Snapshot,
    /// For each dependency whether it is not what it was.
    changed: Vec<bool>,
}

impl<'a> Comparison<'a> {
    fn new(objects: &'a Objects, now: &'a Snapshot, before: &'a Snapshot) -> Self {
        let differs = |dependency: &Dependency| match dependency {
            Dependency::Option(name) => now.options.get(name) != before.options.get(name),
            Dependency::Source(name) | Dependency::Generated(name) => {
                now.files.get(name) != before.files.get(name)
            }
        };
        Self {
            changed: objects.dependencies.iter().map(differs).collect(),
            objects,
            now,
            before,
        }
    }

    /// How much of what the missed objects depend on is not what it was.
    fn distance(&self, told: &[(&Object, bool)]) -> usize {
        /// An object that was not there at all is far away.
        const NEW: usize = 1000;
        let of = |object: &Object| match self.before.commands.contains_key(&object.name) {
            true => self.whys(object).count(),
            false => NEW,
        };
        told.iter()
            .filter(|(_, missed)| *missed)
            .map(|(object, _)| of(object))
            .sum()
    }

    fn whys(&self, object: &Object) -> impl Iterator<Item = Why> {
        let is_changed = |number: &u32| self.changed[*number as usize];
        let kind = |is: bool, kind: MissKind| is.then_some(Why::Kind(kind));
        let before = self.before.commands.get(&object.name);
        let mut whys: Vec<Why> = Vec::new();
        whys.extend(kind(
            self.now.toolchain != self.before.toolchain,
            MissKind::Toolchain,
        ));
        whys.extend(kind(before.is_none(), MissKind::New));
        if before.is_some() {
            whys.extend(kind(is_changed(&object.source), MissKind::Source));
            whys.extend(kind(before != Some(&object.command), MissKind::Command));
            let depends = object.depends.iter().copied().filter(is_changed);
            // The configuration's header tells all options to everybody; those that an object asks for are told.
            whys.extend(
                depends
                    .filter(|number| !self.is_autoconf(*number))
                    .map(Why::Depends),
            );
        }
        if whys.is_empty() {
            whys.push(Why::Kind(MissKind::Unchanged));
        }
        whys.into_iter()
    }

    fn is_autoconf(&self, number: u32) -> bool {
        matches!(&self.objects.dependencies[number as usize],
            Dependency::Generated(name) if name == "include/generated/autoconf.h")
    }

    fn told(&self, why: Why, objects: u64, of: u64) -> MissReason {
        let (kind, what) = match why {
            Why::Depends(number) => self.depends(&self.objects.dependencies[number as usize]),
            Why::Kind(kind) => {
                let what = match kind {
                    MissKind::Toolchain => "other tools in the builder image",
                    MissKind::New => "not compiled before",
                    MissKind::Source => "the source file itself changed",
                    MissKind::Command => "another command line of the compiler",
                    _ => "nothing it depends on changed, and yet it is not in the cache",
                };
                (kind, what.to_owned())
            }
        };
        MissReason {
            kind,
            what,
            objects,
            of,
        }
    }

    fn depends(&self, dependency: &Dependency) -> (MissKind, String) {
        match dependency {
            Dependency::Option(name) => {
                let value = |snapshot: &Snapshot| {
                    let value = snapshot.options.get(name);
                    value.map_or_else(|| "n".to_owned(), Clone::clone)
                };
                let (now, before) = (value(self.now), value(self.before));
                (
                    MissKind::Option,
                    format!("CONFIG_{name} {now} (was {before})"),
                )
            }
            Dependency::Source(name) | Dependency::Generated(name) => {
                let how = match self.before.files.contains_key(name) {
                    true => "changed",
                    false => "is new",
                };
                (MissKind::File, format!("{name} {how}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::kbuild_cmd::Roots;

    /// Objects `(name, files, options)`, each of a source file of its name.
    fn objects(all: &[(&str, &[&str], &[&str])]) -> Objects {
        let roots = Roots {
            source: vec!["/src".to_owned()],
            build: vec!["/build".to_owned()],
        };
        let mut objects = Objects::default();
        for (name, files, options) in all {
            let files: String = files.iter().map(|file| format!("  {file} \\\n")).collect();
            let options: String = options
                .iter()
                .map(|option| format!("    $(wildcard include/config/{option}) \\\n"))
                .collect();
            let text = format!(
                "cmd_{name}.o := gcc {name}\n\nsource_{name}.o := /src/{name}.c\n\ndeps_{name}.o := \\\n{files}{options}\n"
            );
            assert!(objects.take(&format!("{name}.o"), &text, &roots));
        }
        objects
    }

    fn snapshot(objects: &Objects, build: &str, config: &str, changed: &[&str]) -> Snapshot {
        let mut snapshot = Snapshot {
            build: build.to_owned(),
            options: options_of(config),
            ..Snapshot::default()
        };
        for dependency in &objects.dependencies {
            if let Dependency::Source(name) | Dependency::Generated(name) = dependency {
                let digest = if changed.contains(&name.as_str()) {
                    build
                } else {
                    "same"
                };
                snapshot.files.insert(name.clone(), digest.to_owned());
            }
        }
        for object in &objects.objects {
            snapshot
                .commands
                .insert(object.name.clone(), object.command.clone());
        }
        snapshot
    }

    fn told(reasons: &[MissReason]) -> Vec<String> {
        reasons
            .iter()
            .map(|reason| format!("{}: {} of {}", reason.what, reason.objects, reason.of))
            .collect()
    }

    fn three() -> Objects {
        objects(&[
            (
                "fork",
                &["/src/sched.h", "include/generated/autoconf.h"],
                &["USER_NS", "SMP"],
            ),
            ("exit", &["/src/sched.h", "/src/mm.h"], &["SMP"]),
            ("open", &["/src/mm.h"], &[]),
        ])
    }

    const ALL: [(&str, bool); 3] = [
        ("/src/fork.c", true),
        ("/src/exit.c", true),
        ("/src/open.c", false),
    ];

    #[test]
    fn changed_files_and_options_are_counted() {
        let objects = three();
        let before = snapshot(&objects, "old", "CONFIG_SMP=y\n", &[]);
        let now = snapshot(
            &objects,
            "new",
            "CONFIG_SMP=y\nCONFIG_USER_NS=y\n",
            &["sched.h", "mm.h", "exit.c", "include/generated/autoconf.h"],
        );
        let found = reasons(&objects, &HashMap::from(ALL), &now, &[before]);
        assert_eq!(
            told(&found),
            [
                "sched.h changed: 2 of 2",
                "CONFIG_USER_NS y (was n): 1 of 1",
                "the source file itself changed: 1 of 1",
                "mm.h changed: 1 of 2",
            ]
        );
    }

    #[test]
    fn the_nearest_build_before_is_the_measure() {
        let objects = three();
        let near = snapshot(&objects, "near", "CONFIG_SMP=y\n", &["sched.h"]);
        let far = snapshot(&objects, "far", "", &["sched.h", "mm.h"]);
        let now = snapshot(&objects, "now", "CONFIG_SMP=y\n", &[]);
        let found = reasons(&objects, &HashMap::from(ALL), &now, &[far, near]);
        assert_eq!(told(&found), ["sched.h changed: 2 of 2"]);
    }

    #[test]
    fn what_is_new_or_gone_from_the_cache_is_said() {
        let objects = three();
        let now = snapshot(&objects, "now", "", &[]);
        let mut before = now.clone();
        before.commands.remove("fork.o");
        let all = HashMap::from(ALL);
        let found = reasons(&objects, &all, &now, std::slice::from_ref(&before));
        assert_eq!(
            told(&found),
            [
                "not compiled before: 1 of 1",
                "nothing it depends on changed, and yet it is not in the cache: 1 of 2",
            ]
        );
        before.commands = now.commands.clone();
        before
            .commands
            .insert("exit.o".to_owned(), "other".to_owned());
        before.toolchain = Some("gcc 12".to_owned());
        let found = reasons(&objects, &all, &now, &[before]);
        assert_eq!(
            told(&found),
            [
                "other tools in the builder image: 2 of 3",
                "another command line of the compiler: 1 of 1",
            ]
        );
    }

    #[test]
    fn the_first_build_has_one_reason_and_a_found_one_none() {
        let objects = three();
        let now = snapshot(&objects, "now", "", &[]);
        let found = reasons(&objects, &HashMap::from(ALL), &now, &[]);
        assert_eq!(
            told(&found),
            ["no build with this cache before it is known: 2 of 3"]
        );
        let all_found = ALL.map(|(name, _)| (name, false));
        assert_eq!(reasons(&objects, &HashMap::from(all_found), &now, &[]), []);
        assert_eq!(others(0), None);
    }

    #[test]
    fn no_more_than_ten_are_told() {
        let names: Vec<String> = (0..30).map(|n| format!("/src/h{n}.h")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let objects = objects(&[("fork", &names, &[])]);
        let before = snapshot(&objects, "old", "", &[]);
        let all: Vec<&str> = names.iter().map(|name| &name[5..]).collect();
        let now = snapshot(&objects, "new", "", &all);
        let asked = HashMap::from([("/src/fork.c", true)]);
        assert_eq!(reasons(&objects, &asked, &now, &[before]).len(), TOLD);
    }
}
