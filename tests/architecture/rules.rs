//! The rules, as tables with their reasons, and their application to one file.

use std::fmt;

use crate::tokens::{Attribute, Function, Named, Parts, parts};

/// Modules from the lowest to the highest. A module uses those of its own line and of the lines above it here.
///
/// A stage has a line to itself: it takes the product types of the stages before it, never of a later one.
const LAYERS: &[&[&str]] = &[
    &["build_name", "digest", "files", "home", "process"],
    &["exec", "report", "download"],
    // What a rollback is made of: it works when every stage above is broken.
    &["wsl"],
    &["source"],
    &["kconfig"],
    &["build"],
    &["artefact"],
    &["smoke"],
    &["probe"],
    &["boot"],
    &["publish"],
    &["install"],
    &[
        "settings", "timings", "status", "doctor", "error", "exit", "pipeline", "nightly",
    ],
    &["cli"],
    &["main", "lib"],
];

/// Files of `install` that must work when every stage is broken, and the modules that they may use.
const RESCUES: &[&str] = &[
    "install/rollback",
    "install/change",
    "install/hold",
    "install/steps",
    "install/journal",
    "install/site",
    "install/generations",
    "install/layout",
    "install/pairs",
    "install/disk",
    "install/reserve",
];
const RESCUES_USE: &[&str] = &["build_name", "digest", "files", "wsl", "install"];
/// What else is in `install` is not for them.
const NOT_FOR_RESCUES: &[&str] = &["arrival", "preflight", "check", "clean", "recover"];

/// Who may name a package: files and folders of `src`. One owner each, so that a package can be replaced
/// in one place, and so that its types do not spread.
const OWNERS: &[(&str, &[&str])] = &[
    // Pages for people.
    (
        "askama",
        &["probe/page", "nightly/site/page", "timings/page"],
    ),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    // Files that a child must not inherit.
    ("close_fds", &["smoke/suite", "probe/part"]),
    ("diffy", &["source/patches"]),
    ("duct", &["exec/duct"]),
    // Kernel tarballs; the initramfs; a kernel's /proc/config.gz.
    ("flate2", &["source/unpack", "boot", "doctor/gather"]),
    ("git2", &["source/remote"]),
    // Times as other people's formats want them, and as people read them.
    ("humantime", &["publish/provenance", "nightly/site/page"]),
    ("indicatif", &["report/terminal"]),
    // NVIDIA's libraries, at run time.
    ("libloading", &["probe/driver"]),
    ("liblzma", &["source/unpack"]),
    // Faults in files that people write are shown with their source.
    ("miette", &["kconfig", "wsl", "settings", "error", "cli"]),
    // Signatures: made by the one, and read by the other, which takes nothing for granted.
    ("ct_codecs", &["publish/sign"]),
    ("minisign", &["publish/sign"]),
    ("minisign_verify", &["publish/sign"]),
    // Shared memory, timers, signals, queues and filters of the processes that are dumped.
    ("memmap2", &["smoke/scenario"]),
    ("nix", &["smoke/scenario"]),
    ("nom_kconfig", &["kconfig"]),
    ("object", &["boot"]),
    // Work on many files at once: reading, hashing, writing.
    (
        "rayon",
        &[
            "source",
            "kconfig",
            "build/cache_record",
            "build/objects",
            "build/turned",
            "artefact",
        ],
    ),
    (
        "reqwest",
        &["download", "nightly/notice", "build/remote/http"],
    ),
    ("rustls", &["download"]),
    // git's ids are SHA-1.
    ("sha1", &["source/tree"]),
    ("seccompiler", &["smoke/scenario"]),
    ("sha2", &["digest"]),
    ("signal_hook", &["process"]),
    // "Did you mean": the nearest known name.
    ("strsim", &["kconfig", "wsl", "settings", "cli"]),
    // Kernel tarballs; what mke2fs fills a disk from; the guest's tools out of the builder image; finished kernels.
    (
        "tar",
        &[
            "source/unpack",
            "artefact/modules_tree",
            "boot",
            "build/kernels",
        ],
    ),
    ("toml", &["source/lock", "kconfig", "settings"]),
    ("zstd", &["source/unpack", "kconfig", "build/kernels"]),
];

/// Packages without an owner: they give values their derives, errors their text, and system calls their types.
const COMMON: &[&str] = &["rustix", "serde", "serde_json", "tempfile", "thiserror"];

/// Parts of the standard library that are somebody's own, the reason, and whose.
const AMBIENT: &[(&str, &str, &[&str])] = &[
    (
        "std::env",
        "the environment belongs to `process`",
        &["process"],
    ),
    (
        "std::io::stdin",
        "the standard streams belong to `process`",
        &["process"],
    ),
    (
        "std::io::stdout",
        "the standard streams belong to `process`",
        &["process"],
    ),
    (
        "std::io::stderr",
        "the standard streams belong to `process`",
        &["process"],
    ),
    ("std::process::exit", "`main` returns an exit code", &[]),
    // The guest's init is nobody's child; victims and holders are themselves what is tested.
    (
        "std::process::Command",
        "programs run through `exec`",
        &[
            "exec/duct",
            "boot/agent",
            "smoke/stage",
            "smoke/entry",
            "smoke/container",
            "smoke/talk",
            "smoke/scenario",
            "probe/holder",
        ],
    ),
];

/// Names of modules that say nothing about what is in them.
const EMPTY_NAMES: &[&str] = &[
    "util", "utils", "common", "shared", "manager", "helper", "helpers", "misc",
];
/// Words of work that is not done.
const UNDONE: &[&str] = &["TODO", "FIXME", "XXX"];
/// Lines of a function.
const FUNCTION_LINES: usize = 60;
/// Lines of a file without its tests.
const FILE_LINES: usize = 600;

/// A file: its path below `src` or `tests`, and its text.
#[derive(Debug)]
pub struct File {
    pub path: String,
    pub text: String,
}

impl File {
    /// The path without its ending: "source/tag", "source/mod".
    fn stem(&self) -> &str {
        self.path.trim_end_matches(".rs")
    }

    /// The modules it lies in: `["source", "tag"]`.
    fn modules(&self) -> Vec<&str> {
        let mut modules: Vec<&str> = self.stem().split('/').collect();
        if matches!(modules.last(), Some(&"mod" | &"lib")) {
            modules.pop();
        }
        modules
    }

    fn top(&self) -> &str {
        self.stem().split('/').next().unwrap_or_default()
    }

    fn lies_in(&self, places: &[&str]) -> bool {
        let within = |place: &&str| {
            self.stem()
                .strip_prefix(*place)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        places.iter().any(within)
    }
}

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub path: String,
    pub line: usize,
    pub rule: &'static str,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: {}: {}",
            self.path, self.line, self.rule, self.what
        )
    }
}

/// The packages that some rule speaks of.
pub fn packages() -> impl Iterator<Item = &'static str> {
    OWNERS
        .iter()
        .map(|(package, _)| *package)
        .chain(COMMON.iter().copied())
}

/// All rules, for a file of `src`.
pub fn check(file: &File) -> Vec<Violation> {
    let Parts {
        paths,
        functions,
        attributes: _,
        test_lines,
    } = parts(&file.text);
    let mut found = check_text(file);
    found.extend(layer(file));
    found.extend(paths.iter().flat_map(|path| named(file, path)));
    found.extend(functions.iter().filter_map(|function| long(file, function)));
    let lines = file.text.lines().count() - test_lines;
    if lines > FILE_LINES {
        found.push(violation(
            file,
            1,
            "size",
            format!("{lines} lines without its tests, {FILE_LINES} at most"),
        ));
    }
    found
}

/// The rules that hold for tests as well.
pub fn check_text(file: &File) -> Vec<Violation> {
    let mut found = Vec::new();
    if !file.text.starts_with("//! ") {
        found.push(violation(
            file,
            1,
            "essay",
            "a file opens by saying what it is for (`//!`)".to_owned(),
        ));
    }
    if let Some(name) = file
        .modules()
        .into_iter()
        .find(|name| EMPTY_NAMES.contains(name))
    {
        found.push(violation(
            file,
            1,
            "name",
            format!("`{name}` says nothing about what is in it"),
        ));
    }
    for (at, line) in file.text.lines().enumerate() {
        if let Some(word) = UNDONE.iter().find(|word| line.contains(**word)) {
            found.push(violation(
                file,
                at + 1,
                "undone",
                format!("{word}: finish it, or write it down as an issue"),
            ));
        }
    }
    found.extend(parts(&file.text).attributes.iter().filter_map(|attribute| {
        silenced(file, attribute).or_else(|| unsafe_code(file, attribute))
    }));
    found
}

fn violation(file: &File, line: usize, rule: &'static str, what: String) -> Violation {
    Violation {
        path: file.path.clone(),
        line,
        rule,
        what,
    }
}

fn rank(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn layer(file: &File) -> Option<Violation> {
    let unknown = rank(file.top()).is_none();
    unknown.then(|| {
        violation(
            file,
            1,
            "layer",
            format!("no layer is known for `{}`", file.top()),
        )
    })
}

fn long(file: &File, function: &Function) -> Option<Violation> {
    let Function { name, line, lines } = function;
    let what = || format!("`{name}` has {lines} lines, {FUNCTION_LINES} at most");
    (*lines > FUNCTION_LINES).then(|| violation(file, *line, "size", what()))
}

/// `allow` hides a lint for ever; `expect` says why, and speaks up when it is no longer needed.
fn silenced(file: &File, attribute: &Attribute) -> Option<Violation> {
    let Attribute {
        name,
        arguments,
        line,
    } = attribute;
    let allowed = name == "allow" || (name == "cfg_attr" && arguments.contains("allow"));
    let unexplained = name == "expect" && !arguments.contains("reason");
    (allowed || unexplained).then(|| {
        violation(
            file,
            *line,
            "silenced",
            "lints are silenced by `#[expect(…, reason = …)]`".to_owned(),
        )
    })
}

/// The one place where code may be unsafe: what speaks to a library that is loaded at run time.
const UNSAFE: &[&str] = &["probe/driver"];

/// The manifest denies unsafe code; whoever lifts that has to be known here.
fn unsafe_code(file: &File, attribute: &Attribute) -> Option<Violation> {
    let lifted = attribute.arguments.contains("unsafe_code") && !file.lies_in(UNSAFE);
    lifted.then(|| {
        let what = format!("unsafe code belongs to {}", UNSAFE.join(", "));
        violation(file, attribute.line, "unsafe", what)
    })
}

/// The rules about names: layers, owners of packages, ambient state.
fn named(file: &File, path: &Named) -> Vec<Violation> {
    let mut found = Vec::new();
    if let Some(module) = module_of(file, path)
        && rank(&module) > rank(file.top())
    {
        found.push(violation(
            file,
            path.line,
            "layer",
            format!("`{}` must not use `{module}`", file.top()),
        ));
    }
    found.extend(narrow(file, path));
    let first = path.segments[0].as_str();
    let owner = OWNERS
        .iter()
        .find(|(package, owners)| *package == first && !file.lies_in(owners));
    if let Some((package, owners)) = owner.filter(|_| path.segments.len() > 1) {
        let what = format!("`{package}` belongs to {}", owners.join(", "));
        found.push(violation(file, path.line, "owner", what));
    }
    let whole = path.segments.join("::");
    for (name, reason, owners) in AMBIENT {
        if reaches(&whole, name) && !file.lies_in(owners) {
            found.push(violation(
                file,
                path.line,
                "ambient",
                format!("`{whole}`: {reason}"),
            ));
        }
    }
    found
}

/// The way back depends on as little as can be.
fn narrow(file: &File, path: &Named) -> Option<Violation> {
    let module = module_of(file, path).filter(|_| file.lies_in(RESCUES))?;
    let foreign = !RESCUES_USE.contains(&module.as_str());
    let upper = path
        .segments
        .iter()
        .any(|segment| NOT_FOR_RESCUES.contains(&segment.as_str()));
    (foreign || upper).then(|| {
        let what = format!(
            "`{}` must not use `{}`",
            file.stem(),
            path.segments.join("::")
        );
        violation(file, path.line, "layer", what)
    })
}

/// Whether a path names `name` or something in it, in full or from its parent on (`io::stdout`).
fn reaches(path: &str, name: &str) -> bool {
    let short = name
        .strip_prefix("std::")
        .filter(|short| short.contains("::"));
    let within = |name: &str| {
        path.strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    within(name) || short.is_some_and(within)
}

/// The top module of our own that a path leads to, if any.
fn module_of(file: &File, path: &Named) -> Option<String> {
    let mut here = file.modules();
    let mut rest = path.segments.iter().map(String::as_str).peekable();
    match *rest.peek()? {
        "crate" | "wslk" => {
            here.clear();
            rest.next();
        }
        "self" => {
            rest.next();
        }
        "super" => {}
        _ => return None,
    }
    while rest.next_if_eq(&"super").is_some() {
        here.pop();
    }
    let top = here.first().copied().or_else(|| rest.next())?;
    rank(top).map(|_| top.to_owned())
}
