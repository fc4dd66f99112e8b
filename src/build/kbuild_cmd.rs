//! What kbuild notes of each object: the command that made it, its source, the files and options that it depends on.
//!
//! In: the text of a `.<object>.cmd` file. Out: [`Made`]; of a whole build tree [`Objects`], in which every
//! dependency is named once. Pure.

use std::collections::HashMap;
use std::path::PathBuf;

use super::BuildPlan;
use crate::digest::Sha256;

/// What one command file tells. Borrows its text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Made<'a> {
    /// The object, by its path in the build tree.
    pub object: &'a str,
    /// The command line.
    pub command: &'a str,
    /// The source file as the command line names it.
    pub source: &'a str,
    /// Files that were included, as the compiler named them.
    pub files: Vec<&'a str>,
    /// Options, without `CONFIG_`.
    pub options: Vec<&'a str>,
}

/// Reads a command file; `None` for what was made without a compiler, such as links.
#[must_use]
pub(super) fn parse(text: &str) -> Option<Made<'_>> {
    let mut lines = text.lines();
    // Since 6.3 it is `savedcmd_`.
    let first = lines.next()?;
    let (object, command) = first
        .strip_prefix("saved")
        .unwrap_or(first)
        .strip_prefix("cmd_")?
        .split_once(" := ")?;
    let source = lines.find_map(|line| value(line, "source_", object))?;
    let mut made = Made {
        object,
        command,
        source,
        files: Vec::new(),
        options: Vec::new(),
    };
    let deps = lines.skip_while(|line| value(line, "deps_", object).is_none());
    for line in deps.skip(1).take_while(|line| !line.trim().is_empty()) {
        let word = line.trim_end_matches('\\').trim();
        match word.strip_prefix("$(wildcard include/config/") {
            Some(option) => made.options.push(option.trim_end_matches(')')),
            None if !word.is_empty() && !word.starts_with("$(") => made.files.push(word),
            None => {}
        }
    }
    Some(made)
}

/// The value of `<prefix><object> := value`.
fn value<'a>(line: &'a str, prefix: &str, object: &str) -> Option<&'a str> {
    line.strip_prefix(prefix)?
        .strip_prefix(object)?
        .strip_prefix(" := ")
        .map(str::trim)
}

/// What an object can depend on. Files outside of both trees are the toolchain's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Dependency {
    /// An option, without `CONFIG_`.
    Option(String),
    /// A file of the source tree.
    Source(String),
    /// A file of the build tree: it was generated.
    Generated(String),
}

impl Dependency {
    /// A file's name and where it lies on this machine; `None` for an option.
    pub fn file(&self, plan: &BuildPlan) -> Option<(&str, PathBuf)> {
        match self {
            Self::Option(_) => None,
            Self::Source(name) => Some((name, plan.source.join(name))),
            Self::Generated(name) => Some((name, plan.tree().join(name))),
        }
    }
}

/// Where the trees lie for a compiler.
#[derive(Debug, Clone)]
pub(super) struct Roots {
    /// Names of the source tree.
    pub source: Vec<String>,
    /// Names of the build tree.
    pub build: Vec<String>,
}

impl Roots {
    fn dependency(&self, path: &str) -> Option<Dependency> {
        let below = |roots: &[String]| {
            roots
                .iter()
                .find_map(|root| Some(path.strip_prefix(root)?.strip_prefix('/')?.to_owned()))
        };
        if !path.starts_with('/') {
            let name = path.strip_prefix("./").unwrap_or(path);
            return Some(Dependency::Generated(name.to_owned()));
        }
        below(&self.source)
            .map(Dependency::Source)
            .or_else(|| below(&self.build).map(Dependency::Generated))
    }
}

/// An object and what it depends on, as numbers into [`Objects::dependencies`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Object {
    /// Its path in the build tree.
    pub name: String,
    /// The source file as the command line named it.
    pub input: String,
    /// The digest of the command line, shortened.
    pub command: String,
    /// The source file.
    pub source: u32,
    /// Everything else, each once.
    pub depends: Vec<u32>,
}

/// The objects of a build tree. Thousands of them depend on the same thousand headers.
#[derive(Debug, Default)]
pub(super) struct Objects {
    /// The objects.
    pub objects: Vec<Object>,
    /// What they depend on.
    pub dependencies: Vec<Dependency>,
    numbers: HashMap<Dependency, u32>,
    /// Paths and options as command files write them; `None` for what is the toolchain's.
    seen: HashMap<String, Option<u32>>,
}

impl Objects {
    /// Takes the text of the command file beside `target`; false if it does not tell how that was compiled.
    pub fn take(&mut self, target: &str, text: &str, roots: &Roots) -> bool {
        // Programs of the build that are made by makefiles of their own name themselves in full, and what they
        // depend on by paths that mean something there only.
        let Some(made) = parse(text).filter(|made| made.object == target) else {
            return false;
        };
        let Some(source) = self.file(made.source, roots) else {
            return false;
        };
        let mut depends: Vec<u32> = made
            .files
            .iter()
            .filter_map(|file| self.file(file, roots))
            .collect();
        depends.extend(made.options.iter().map(|option| self.option(option)));
        depends.sort_unstable();
        depends.dedup();
        self.objects.push(Object {
            name: made.object.to_owned(),
            input: made.source.to_owned(),
            command: short(&Sha256::of(made.command)),
            source,
            depends,
        });
        true
    }

    /// Adds the objects of another part of the tree.
    pub fn join(&mut self, other: Self) {
        let numbers: Vec<u32> = other
            .dependencies
            .into_iter()
            .map(|dependency| self.number(dependency))
            .collect();
        let here = |number: u32| numbers[number as usize];
        self.objects
            .extend(other.objects.into_iter().map(|mut object| {
                object.source = here(object.source);
                object
                    .depends
                    .iter_mut()
                    .for_each(|number| *number = here(*number));
                object
            }));
    }

    fn file(&mut self, path: &str, roots: &Roots) -> Option<u32> {
        if let Some(known) = self.seen.get(path) {
            return *known;
        }
        let number = roots.dependency(path).map(|found| self.number(found));
        self.seen.insert(path.to_owned(), number);
        number
    }

    fn option(&mut self, name: &str) -> u32 {
        // No path of a file ends like this.
        let key = format!("{name}/");
        if let Some(Some(known)) = self.seen.get(&key) {
            return *known;
        }
        let number = self.number(Dependency::Option(name.to_owned()));
        self.seen.insert(key, Some(number));
        number
    }

    fn number(&mut self, dependency: Dependency) -> u32 {
        if let Some(known) = self.numbers.get(&dependency) {
            return *known;
        }
        let number = u32::try_from(self.dependencies.len()).unwrap_or(u32::MAX);
        self.dependencies.push(dependency.clone());
        self.numbers.insert(dependency, number);
        number
    }
}

/// A digest as it is kept: to see a change, 64 bits are plenty.
pub(super) fn short(digest: &Sha256) -> String {
    digest.short(16)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORK: &str = "cmd_kernel/fork.o := ccache gcc -I/src/include -c -o kernel/fork.o /src/kernel/fork.c\n\n\
        source_kernel/fork.o := /src/kernel/fork.c\n\n\
        deps_kernel/fork.o := \\\n    $(wildcard include/config/USER_NS) \\\n  /src/include/linux/sched.h \\\n  \
        include/generated/autoconf.h \\\n  /usr/lib/gcc/x86_64-linux-gnu/14/include/stdarg.h \\\n\n\
        kernel/fork.o: $(deps_kernel/fork.o)\n\n$(deps_kernel/fork.o):\n\n\
        kernel/fork.o: $(wildcard ./tools/objtool/objtool)\n";

    fn roots() -> Roots {
        Roots {
            source: vec!["/src".to_owned()],
            build: vec!["/build".to_owned()],
        }
    }

    #[test]
    fn a_compilation_is_read() {
        for text in [FORK.to_owned(), format!("saved{FORK}")] {
            let made = parse(&text).expect("a compilation");
            assert_eq!(
                (made.object, made.source),
                ("kernel/fork.o", "/src/kernel/fork.c")
            );
            assert!(made.command.starts_with("ccache gcc"));
            assert_eq!(made.options, ["USER_NS"]);
            let files = [
                "/src/include/linux/sched.h",
                "include/generated/autoconf.h",
                "/usr/lib/gcc/x86_64-linux-gnu/14/include/stdarg.h",
            ];
            assert_eq!(made.files, files);
        }
    }

    #[test]
    fn a_link_is_none() {
        for text in [
            "",
            "cmd_vmlinux.o := ld -r -o vmlinux.o\n",
            "source_a.o := a.c\n",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn dependencies_are_named_once() {
        let (mut here, mut there) = (Objects::default(), Objects::default());
        assert!(here.take("kernel/fork.o", FORK, &roots()));
        assert!(there.take("kernel/exit.o", &FORK.replace("fork", "exit"), &roots()));
        let program = FORK.replace("kernel/fork.o", "/build/tools/x.o");
        assert!(!there.take("tools/x.o", &program, &roots()));
        here.join(there);
        assert_eq!(here.objects.len(), 2);
        let expected = [
            Dependency::Source("kernel/fork.c".to_owned()),
            Dependency::Source("include/linux/sched.h".to_owned()),
            Dependency::Generated("include/generated/autoconf.h".to_owned()),
            Dependency::Option("USER_NS".to_owned()),
            Dependency::Source("kernel/exit.c".to_owned()),
        ];
        assert_eq!(here.dependencies, expected);
        assert_eq!(here.objects[0].depends, here.objects[1].depends);
        assert_ne!(here.objects[0].command, here.objects[1].command);
        assert_eq!(here.objects[1].source, 4);
    }

    proptest! {
        #[test]
        fn what_fixdep_writes_comes_back(
            options in prop::collection::vec("[A-Z][A-Z0-9_]{0,12}", 0..8),
            files in prop::collection::vec("/src/[a-z/]{1,12}\\.h", 0..8),
        ) {
            let mut text = "savedcmd_a/b.o := gcc -c\n\nsource_a/b.o := /src/a/b.c\n\ndeps_a/b.o := \\\n".to_owned();
            for file in &files {
                text.push_str(&format!("  {file} \\\n"));
            }
            for option in &options {
                text.push_str(&format!("    $(wildcard include/config/{option}) \\\n"));
            }
            text.push_str("\na/b.o: $(deps_a/b.o)\n");
            let made = parse(&text).expect("a compilation");
            prop_assert_eq!(made.files, files);
            prop_assert_eq!(made.options, options);
        }

        #[test]
        fn no_text_makes_it_panic(text in "(saved)?(cmd_|source_|deps_)?[a.o]{0,3}( := )?[ -~\n\\\\]{0,60}") {
            let mut objects = Objects::default();
            let taken = objects.take("a.o", &text, &roots());
            prop_assert_eq!(objects.objects.len(), usize::from(taken));
        }
    }
}
