//! About how many units a compilation has, before the first one: read from the tree's makefiles.
//!
//! In: a source tree and a configuration. Out: a number for a progress bar. kbuild's lists
//! (`obj-$(CONFIG_X) += x.o dir/`) are read as text; conditions beyond a plain `CONFIG_` test count as
//! true, and generated lists not at all, so the number is an estimate: within a few per cent on 6.x.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use crate::kconfig::Arch;

/// Host programs, the vDSO, the boot stub and the realmode code, which have makefiles of their own ways.
const APART: u64 = 120;

/// Estimates the number of object files that a build makes.
#[must_use]
pub(super) fn estimate(source: &Path, config: &str, arch: Arch) -> u64 {
    let mut walk = Walk {
        source,
        settings: settings(config),
        arch,
        seen: BTreeSet::new(),
        units: APART,
    };
    let own = format!("arch/{}", arch.name());
    // Before 6.1 the top folders were listed in the top makefile, by names that this does not follow.
    let top = [
        "init", "usr", &own, "kernel", "certs", "mm", "fs", "ipc", "security", "crypto", "block",
        "drivers",
    ];
    walk.folder("", false);
    for folder in top
        .into_iter()
        .chain(["sound", "net", "virt", "lib", &format!("{own}/lib")])
    {
        walk.folder(folder, false);
    }
    walk.units
}

/// What is `y` and what is `m`.
fn settings(config: &str) -> HashMap<&str, &str> {
    let pairs = config.lines().filter_map(|line| line.split_once('='));
    pairs
        .filter(|(_, value)| matches!(*value, "y" | "m"))
        .collect()
}

struct Walk<'a> {
    source: &'a Path,
    settings: HashMap<&'a str, &'a str>,
    arch: Arch,
    seen: BTreeSet<String>,
    units: u64,
}

/// The lists of one makefile: `y` and `m` apart, by the name before the dash.
type Lists = BTreeMap<(String, Built), Vec<String>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Built {
    In,
    Module,
}

impl Walk<'_> {
    /// Counts a folder and those below it, once; `as_module` if only a module needs it.
    fn folder(&mut self, folder: &str, as_module: bool) {
        if !self.seen.insert(folder.to_owned()) {
            return;
        }
        let at = self.source.join(folder);
        let texts = ["Kbuild", "Makefile"].map(|name| std::fs::read_to_string(at.join(name)));
        // kbuild reads one of them, `Kbuild` first; but an architecture's `Makefile` adds folders.
        let lists = match texts {
            [Ok(kbuild), Ok(makefile)] if folder.starts_with("arch/") => {
                self.lists(&(kbuild + "\n" + &makefile))
            }
            [Ok(text), _] | [_, Ok(text)] => self.lists(&text),
            _ => return,
        };
        for ((name, built), words) in &lists {
            let from = match name.as_str() {
                "obj" | "lib" => folder,
                "core" | "drivers" | "libs" | "net" | "virt" if folder.starts_with("arch/") => "",
                _ => continue,
            };
            let module = as_module || *built == Built::Module;
            words
                .iter()
                .for_each(|word| self.word(word, from, module, &lists));
        }
    }

    fn word(&mut self, word: &str, folder: &str, module: bool, lists: &Lists) {
        if let Some(below) = word.strip_suffix('/') {
            let below = if folder.is_empty() {
                below.to_owned()
            } else {
                format!("{folder}/{below}")
            };
            return self.folder(&below, module);
        }
        let Some(name) = word.strip_suffix(".o") else {
            return;
        };
        let parts = |suffix| {
            lists
                .get(&(format!("{name}{suffix}"), Built::In))
                .map_or(0, Vec::len)
        };
        let parts = parts("") + parts("-objs");
        // A module of parts is linked once more, and every module has its `.mod.o`.
        self.units += match (module, parts as u64) {
            (false, 0) => 1,
            (false, parts) => parts,
            (true, 0) => 2,
            (true, parts) => parts + 2,
        };
    }

    fn lists(&self, text: &str) -> Lists {
        let mut lists = Lists::new();
        let mut conditions = Vec::new();
        for line in logical_lines(text) {
            let line = line.trim();
            if self.condition(line, &mut conditions) || conditions.contains(&false) {
                continue;
            }
            let Some((left, right)) = line.split_once('=') else {
                continue;
            };
            let left = left.trim_end_matches(['+', ':', ' ', '\t']);
            let Some((name, built)) = self.list(left) else {
                continue;
            };
            let right = right.replace("$(SRCARCH)", self.arch.name());
            let words = right
                .split_whitespace()
                .filter(|word| !word.contains('$'))
                .map(str::to_owned);
            lists.entry((name, built)).or_default().extend(words);
        }
        lists
    }

    /// The list that a left side adds to: `obj-$(CONFIG_X)`, `foo-y`, `foo-objs`; none if switched off.
    fn list(&self, left: &str) -> Option<(String, Built)> {
        if left.ends_with("-objs") {
            return Some((left.to_owned(), Built::In));
        }
        let (name, switch) = match left.find("-$(") {
            Some(at) => (&left[..at], self.value(&left[at + 1..])),
            None => left.rsplit_once('-')?,
        };
        let is_list = matches!(
            name,
            "obj" | "lib" | "core" | "drivers" | "libs" | "net" | "virt"
        );
        match switch {
            "y" => Some((name.to_owned(), Built::In)),
            // A part that is `m` belongs to a module: it is there whenever its module is.
            "m" => Some((
                name.to_owned(),
                if is_list { Built::Module } else { Built::In },
            )),
            _ => None,
        }
    }

    /// What `$(CONFIG_X)` stands for; `$(subst m,y,$(CONFIG_X))` is `y` for both.
    fn value(&self, text: &str) -> &str {
        let Some(at) = text.find("$(CONFIG_") else {
            return "";
        };
        let symbol = text[at + 2..].split(')').next().unwrap_or_default();
        match self.settings.get(symbol) {
            Some(&"m") if text.starts_with("$(subst m,y") => "y",
            Some(value) => value,
            None => "",
        }
    }

    /// Follows `ifdef` and its like; true if the line was one of them.
    fn condition(&self, line: &str, open: &mut Vec<bool>) -> bool {
        let (word, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        match word {
            "ifdef" => open.push(
                !rest.trim().starts_with("CONFIG_") || self.settings.contains_key(rest.trim()),
            ),
            "ifndef" => open.push(!self.settings.contains_key(rest.trim())),
            "ifeq" | "ifneq" => open.push(
                self.equal(rest)
                    .is_none_or(|equal| equal == (word == "ifeq")),
            ),
            "else" => {
                if let Some(last) = open.last_mut() {
                    *last = !*last;
                }
            }
            "endif" => {
                open.pop();
            }
            _ => return false,
        }
        true
    }

    /// Whether `($(CONFIG_X),y)` holds; none if it is another kind of test.
    fn equal(&self, test: &str) -> Option<bool> {
        let (left, right) = test
            .trim()
            .strip_prefix('(')?
            .strip_suffix(')')?
            .rsplit_once(',')?;
        let plain = left.starts_with("$(CONFIG_") && left.matches('$').count() == 1;
        plain.then(|| self.value(left) == right.trim())
    }
}

/// Lines with continuations joined and comments dropped.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = String::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        match line.strip_suffix('\\') {
            Some(part) => open += part,
            None => lines.push(std::mem::take(&mut open) + line),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_the_makefiles_list() {
        let tree = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = tree.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(
            "Kbuild",
            "obj-y += init/\nobj-$(CONFIG_NET) += net/\nobj-y += arch/$(SRCARCH)/\n",
        );
        write(
            "init/Makefile",
            "obj-y := main.o \\\n\tversion.o # two\nobj-$(CONFIG_OFF) += off.o\n",
        );
        write(
            "net/Makefile",
            "obj-$(CONFIG_FOO) += foo.o\nfoo-y := a.o b.o\nfoo-$(CONFIG_NET) += c.o\n",
        );
        write(
            "arch/x86/Kbuild",
            "ifeq ($(CONFIG_NET),y)\nobj-y += n.o\nelse\nobj-y += x.o y.o\nendif\n",
        );
        write(
            "arch/x86/Makefile",
            "drivers-$(CONFIG_NET) += arch/x86/pci/\n",
        );
        write("arch/x86/pci/Makefile", "obj-y += i386.o\n");

        let count = |config| estimate(tree.path(), config, Arch::X86) - APART;
        assert_eq!(count(""), 4);
        assert_eq!(count("CONFIG_NET=y\n"), 2 + 1 + 1);
        assert_eq!(count("CONFIG_NET=y\nCONFIG_FOO=y\n"), 4 + 3);
        assert_eq!(count("CONFIG_NET=y\nCONFIG_FOO=m\n"), 4 + 5);
    }
}
