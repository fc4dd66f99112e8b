//! Options that turn from module to built-in, or back, and the objects that see no difference.
//!
//! kbuild makes again whatever is compiled from a file that names a changed option. But most files name such an option
//! in `IS_ENABLED()` alone, which is 1 for both (include/linux/kconfig.h). A kernel and its stock control differ in
//! dozens of these, some of which headers name that everybody includes. So kconfig, by which make learns of changes,
//! is told that the option had its new value before; and what sees the difference is removed first, and made again.
//!
//! In: a plan with its configuration in its build tree. Out: the tree, so that make does what is left to do. Cut off
//! anywhere, it has cost time and nothing else.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use rayon::prelude::*;

use super::BuildPlan;
use super::kbuild_cmd::{Dependency, Object};
use super::objects::{self, Noted};
use super::reasons::options_of;
use crate::files::{self, FileError};

/// Options by name, without `CONFIG_`, with their new values.
type Options = BTreeMap<String, String>;

/// What kconfig wrote last time, and compares with to see what changed; below `include/config`.
const WRITTEN: &str = "auto.conf";
/// What it was written from. kconfig is run where it is missing.
const WRITTEN_FROM: &str = "auto.conf.cmd";
/// What `IS_ENABLED()` must be made of to be the same for a module and for what is built in.
const KNOWN: [&str; 4] = [
    "#define IS_ENABLED(option) __or(IS_BUILTIN(option), IS_MODULE(option))",
    "#define IS_BUILTIN(option) __is_defined(option)",
    "#define IS_MODULE(option) __is_defined(option##_MODULE)",
    "#define __or(x, y) ___or(x, y)",
];
/// Where it is made.
const KCONFIG_H: &str = "include/linux/kconfig.h";
/// Names all options to every object, so kbuild leaves it out: what an object asks for is in its other files.
const AUTOCONF_H: &str = "include/generated/autoconf.h";

/// What became of the options that turned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Turned {
    /// How many they are.
    pub options: usize,
    /// Objects that ask for one of them and see no difference.
    pub spared: usize,
    /// Objects that see one.
    pub removed: usize,
}

impl fmt::Display for Turned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} options turn from module to built-in or back: of the objects that ask for one, {} see no difference, {} are made again",
            self.options, self.spared, self.removed
        )
    }
}

/// Spares make the objects that see no difference, and removes those that do.
pub(super) fn spare(plan: &BuildPlan) -> Result<Turned, FileError> {
    let include = plan.tree().join("include");
    let settings = include.join("config");
    // A link would lead to files of somebody else.
    if !is_folder(&include) || !is_folder(&settings) {
        return Ok(Turned::default());
    }
    let Some(written) = files::read_if_there(&settings.join(WRITTEN))? else {
        return Ok(Turned::default());
    };
    if unquoted(&written) == unquoted(&plan.config) {
        return Ok(Turned::default());
    }
    // kconfig is to run now, whatever the times of files say, and again if it does not come to its end.
    files::remove_if_there(&settings.join(WRITTEN_FROM))?;
    let mut options = turned(&written, &plan.config);
    // Of an option without a file make learns nothing, whatever kconfig thinks.
    options.retain(|name, _| settings.join(name).exists());
    if options.is_empty() || !is_enabled_as_known(&plan.source) {
        return Ok(Turned::default());
    }
    let turned = remove_seeing(plan, &options)?;
    files::replace(&settings.join(WRITTEN), rewritten(&written, &options))?;
    Ok(turned)
}

/// Removes what sees a difference, for good.
fn remove_seeing(plan: &BuildPlan, options: &Options) -> Result<Turned, FileError> {
    let (tree, noted) = (plan.tree(), objects::noted(plan)?);
    let (spared, removed) = told_apart(plan, &noted, options);
    // Of a module that is not linked anew kbuild encodes BTF once more, into what has it already.
    let modules = noted.modules.iter().map(String::as_str);
    for target in removed.iter().copied().chain(modules) {
        files::remove_if_there(&tree.join(target))?;
    }
    // A power cut must not bring them back once kconfig knows of no change.
    files::flush_disk(&tree)?;
    Ok(Turned {
        options: options.len(),
        spared,
        removed: removed.len(),
    })
}

fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|about| about.is_dir())
}

/// Options with their values as kconfig writes them for make, without quotes.
fn unquoted(config: &str) -> Options {
    let unquoted = |(name, value): (String, String)| (name, value.trim_matches('"').to_owned());
    options_of(config).into_iter().map(unquoted).collect()
}

/// Options that are a module in the one and built in in the other.
fn turned(written: &str, config: &str) -> Options {
    let mut options = options_of(config);
    let before = options_of(written);
    options.retain(|name, now| {
        let before = before.get(name).map(String::as_str);
        matches!((before, now.as_str()), (Some("y"), "m") | (Some("m"), "y"))
    });
    options
}

fn is_enabled_as_known(source: &Path) -> bool {
    let text = files::read(&source.join(KCONFIG_H)).unwrap_or_default();
    let is = |line: &str, known: &str| line.split_whitespace().eq(known.split_whitespace());
    KNOWN
        .into_iter()
        .all(|known| text.lines().any(|line| is(line, known)))
}

/// How many objects that ask for these options see no difference, and the paths of those that do, or may.
fn told_apart<'a>(plan: &BuildPlan, noted: &'a Noted, options: &Options) -> (usize, Vec<&'a str>) {
    let dependencies = &noted.objects.dependencies;
    let shows: Vec<bool> = dependencies
        .par_iter()
        .map(|dependency| file_shows(plan, dependency, options))
        .collect();
    let asks: Vec<bool> = dependencies
        .iter()
        .map(|dependency| matches!(dependency, Dependency::Option(name) if options.contains_key(name)))
        .collect();
    let any = |of: &[bool], object: &Object| {
        let mut all = object.depends.iter().chain([&object.source]);
        all.any(|number| of[*number as usize])
    };
    let asking = noted.objects.objects.iter().filter(|one| any(&asks, one));
    // What is no object may be made of the options as they are, as Rust's bindings are.
    let sees = |one: &&Object| any(&shows, one) || !one.name.ends_with(".o");
    let (seeing, spared): (Vec<&Object>, Vec<&Object>) = asking.partition(sees);
    let unclear = noted.unclear.iter().map(String::as_str);
    let removed = seeing.into_iter().map(|object| object.name.as_str());
    (spared.len(), removed.chain(unclear).collect())
}

/// Whether a file that an object depends on shows which value one of the options has.
fn file_shows(plan: &BuildPlan, dependency: &Dependency, options: &Options) -> bool {
    match dependency.file(plan) {
        None | Some((AUTOCONF_H | KCONFIG_H, _)) => false,
        Some((_, path)) if path.is_file() => {
            fs::read(path).map_or(true, |text| shows(&String::from_utf8_lossy(&text), options))
        }
        Some(_) => true,
    }
}

/// Whether a text shows which value one of the options has, or changes what `IS_ENABLED()` means.
fn shows(text: &str, options: &Options) -> bool {
    let mut is_continued = false;
    text.lines().any(|line| {
        let is_ignored = !is_continued && is_end(line);
        is_continued = line.trim_end().ends_with('\\');
        !is_ignored && (redefines(line) || names(line, options))
    })
}

/// Whether the preprocessor ignores what the line says besides: `#endif /* CONFIG_… */`.
fn is_end(line: &str) -> bool {
    let Some(("else" | "endif", rest)) = directive(line) else {
        return false;
    };
    // Within a comment it is no directive, and what follows the comment is read.
    rest.split_once("*/")
        .is_none_or(|(_, after)| after.trim().is_empty())
}

/// Whether a line gives one of the macros of [`KNOWN`] another meaning.
fn redefines(line: &str) -> bool {
    let Some(("define" | "undef", rest)) = directive(line) else {
        return false;
    };
    let macros = [
        "IS_ENABLED",
        "IS_BUILTIN",
        "IS_MODULE",
        "__or",
        "__is_defined",
    ];
    macros.contains(&word(rest.trim_start()))
}

/// The name of a line's preprocessor directive, and what follows it.
fn directive(line: &str) -> Option<(&str, &str)> {
    let text = line.trim_start().strip_prefix('#')?.trim_start();
    Some(text.split_at(word(text).len()))
}

/// Whether a line names one of the options other than as `IS_ENABLED(CONFIG_…)`.
fn names(line: &str, options: &Options) -> bool {
    const MARK: &str = "CONFIG_";
    line.match_indices(MARK).any(|(at, _)| {
        let (before, rest) = (&line[..at], &line[at + MARK.len()..]);
        let name = word(rest);
        match name.strip_suffix("_MODULE") {
            Some(option) => options.contains_key(option),
            None => options.contains_key(name) && !is_asked(before, &rest[name.len()..]),
        }
    })
}

/// Whether what stands around an option is `IS_ENABLED(` and `)`.
fn is_asked(before: &str, after: &str) -> bool {
    let called = before.trim_end().strip_suffix('(').map(str::trim_end);
    // GCC takes dollars and other alphabets' letters for parts of a name.
    let is_end_of_name = |c: char| is_of_word(c) || c == '$' || !c.is_ascii();
    let is_call = called
        .and_then(|text| text.strip_suffix("IS_ENABLED"))
        .is_some_and(|text| !text.ends_with(is_end_of_name) && !text.trim_end().ends_with('#'));
    is_call && after.trim_start().starts_with(')')
}

/// The word with which a text begins.
fn word(text: &str) -> &str {
    &text[..text.find(|c| !is_of_word(c)).unwrap_or(text.len())]
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// What kconfig wrote, with the new values of these options.
fn rewritten(written: &str, options: &Options) -> String {
    let renewed = |line: &str| {
        let name = line.strip_prefix("CONFIG_")?.split_once('=')?.0;
        Some(format!("CONFIG_{name}={}\n", options.get(name)?))
    };
    written
        .lines()
        .map(|line| renewed(line).unwrap_or_else(|| format!("{line}\n")))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The header that defines `IS_ENABLED()`, as far as it is looked at.
    fn defined() -> String {
        KNOWN.join("\n").replace("#define ", "#define\t")
    }

    fn options() -> Options {
        turned("CONFIG_A=m\nCONFIG_B_C=y\n", "CONFIG_A=y\nCONFIG_B_C=m\n")
    }

    #[test]
    fn only_what_is_there_before_and_after_turns() {
        let written = "CONFIG_A=m\nCONFIG_B_C=y\nCONFIG_GONE=m\nCONFIG_SAME=m\nCONFIG_TEXT=\"m\"\n";
        let config = "CONFIG_A=y\nCONFIG_B_C=m\n# CONFIG_GONE is not set\nCONFIG_SAME=m\nCONFIG_NEW=m\nCONFIG_TEXT=\"y\"\n";
        let options = turned(written, config);
        let expected =
            [("A", "y"), ("B_C", "m")].map(|(name, now)| (name.to_owned(), now.to_owned()));
        assert_eq!(options, Options::from(expected));
        let rewritten = rewritten(written, &options);
        let expected =
            "CONFIG_A=y\nCONFIG_B_C=m\nCONFIG_GONE=m\nCONFIG_SAME=m\nCONFIG_TEXT=\"m\"\n";
        assert_eq!(rewritten, expected);
    }

    #[test]
    fn what_asks_whether_an_option_is_enabled_shows_nothing() {
        for text in [
            "",
            "#if IS_ENABLED(CONFIG_A)\nint a;\n#endif /* CONFIG_A */\n",
            "  if (IS_ENABLED( CONFIG_A ) && !IS_ENABLED (CONFIG_B_C))\n",
            "#ifdef CONFIG_OTHER\n# else // CONFIG_A\n",
            "#ifdef CONFIG_AA\n#ifdef CONFIG_B\n#define IS_ENABLED_A 1\n",
        ] {
            assert!(!shows(text, &options()), "{text}");
        }
    }

    #[test]
    fn every_other_way_to_name_it_shows_it() {
        for text in [
            "#ifdef CONFIG_A\n",
            "#if defined(CONFIG_A) || defined(CONFIG_A_MODULE)\n",
            "#ifndef CONFIG_A_MODULE\n",
            "#if IS_ENABLED(CONFIG_A_MODULE)\n",
            "#if IS_BUILTIN(CONFIG_B_C)\n",
            "#if IS_REACHABLE(CONFIG_A)\n",
            "#if IS_ENABLED(CONFIG_A) && defined(CONFIG_A)\n",
            "#if NOT_IS_ENABLED(CONFIG_A)\n",
            "#if IS_ENABLED(CONFIG_A + 1)\n",
            "#if IS_ENABLED(\\\nCONFIG_A)\n",
            "#define LAST \\\n#endif CONFIG_A\n",
            "#elif CONFIG_A\n",
            "# undef IS_ENABLED\n",
            "  #  define IS_ENABLED(x) 0\n",
            "#define __or(x, y) x\n",
            "#if $IS_ENABLED(CONFIG_A)\n",
            "#define PASTED(x) x ## IS_ENABLED(CONFIG_A)\n",
            "/*\n#else */ int CONFIG_A;\n",
        ] {
            assert!(shows(text, &options()), "{text}");
        }
    }

    /// A build tree of objects with the text of their source each, and what was made of it with `CONFIG_A=m`.
    fn tree(folder: &Path, objects: &[(&str, &str)]) -> BuildPlan {
        let plan = BuildPlan {
            source: folder.join("src"),
            config: "CONFIG_A=y\nCONFIG_N=y\n".to_owned(),
            ..BuildPlan::example(folder.join("work"))
        };
        let put = |path: &Path, text: &str| {
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        };
        put(&plan.source.join(KCONFIG_H), &defined());
        let settings = plan.tree().join("include/config");
        put(&settings.join(WRITTEN), "CONFIG_A=m\n");
        put(&settings.join(WRITTEN_FROM), "");
        put(&settings.join("A"), "");
        for (name, source) in objects {
            put(&plan.source.join(format!("{name}.c")), source);
            put(&plan.tree().join(format!("{name}.o")), "");
            let asks = match source.contains("CONFIG_A") {
                true => "    $(wildcard include/config/A) \\\n",
                false => "",
            };
            let noted = format!(
                "cmd_{name}.o := gcc\n\nsource_{name}.o := /src/{name}.c\n\ndeps_{name}.o := \\\n{asks}  /src/{KCONFIG_H} \\\n\n"
            );
            put(&plan.tree().join(format!(".{name}.o.cmd")), &noted);
        }
        plan
    }

    fn left(plan: &BuildPlan, names: &[&str]) -> Vec<String> {
        let is_there = |name: &&&str| plan.tree().join(format!("{name}.o")).exists();
        names
            .iter()
            .filter(is_there)
            .map(|name| (*name).to_owned())
            .collect()
    }

    const OBJECTS: [(&str, &str); 3] = [
        ("blind", "#if IS_ENABLED(CONFIG_A)\n#endif\n"),
        ("seeing", "#ifdef CONFIG_A\n#endif\n"),
        ("foreign", "int main;\n"),
    ];

    #[test]
    fn what_sees_a_difference_is_removed_before_kconfig_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let plan = tree(folder.path(), &OBJECTS);
        let expected = Turned {
            options: 1,
            spared: 1,
            removed: 1,
        };
        assert_eq!(spare(&plan).expect("spared"), expected);
        assert_eq!(
            left(&plan, &["blind", "seeing", "foreign"]),
            ["blind", "foreign"]
        );
        let settings = plan.tree().join("include/config");
        assert_eq!(
            files::read(&settings.join(WRITTEN)).expect("read"),
            "CONFIG_A=y\n"
        );
        assert!(!settings.join(WRITTEN_FROM).exists(), "kconfig is to run");
        assert_eq!(
            spare(&plan).expect("again"),
            Turned::default(),
            "nothing turns any more"
        );
    }

    #[test]
    fn what_nobody_understands_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let plan = tree(folder.path(), &OBJECTS);
        fs::write(
            plan.tree().join(".foreign.o.cmd"),
            "$(wildcard include/config/A)",
        )
        .expect("written");
        fs::write(plan.tree().join(".vmlinux.o.cmd"), "cmd_vmlinux.o := ld\n").expect("written");
        fs::write(plan.tree().join("vmlinux.o"), "").expect("written");
        fs::remove_file(plan.source.join("blind.c")).expect("removed");
        assert_eq!(spare(&plan).expect("spared").removed, 3);
        assert_eq!(
            left(&plan, &["blind", "seeing", "foreign", "vmlinux"]),
            ["vmlinux"]
        );
    }

    #[test]
    fn what_is_no_object_is_removed_and_so_is_every_module() {
        let folder = tempfile::tempdir().expect("a folder");
        let plan = tree(folder.path(), &OBJECTS);
        let put = |name: &str, text: &str| {
            fs::write(plan.tree().join(name), text).expect("written");
        };
        let noted = files::read(&plan.tree().join(".blind.o.cmd")).expect("there");
        put("bindings.rs", "");
        put(".bindings.rs.cmd", &noted.replace("blind.o", "bindings.rs"));
        put("seeing.ko", "");
        put(".seeing.ko.cmd", "cmd_seeing.ko := ld\n");
        put("....cmd", "$(wildcard include/config/A)");
        let expected = Turned {
            options: 1,
            spared: 1,
            removed: 2,
        };
        assert_eq!(spare(&plan).expect("spared"), expected);
        for gone in ["bindings.rs", "seeing.ko", "seeing.o"] {
            assert!(!plan.tree().join(gone).exists(), "{gone}");
        }
    }

    #[test]
    fn nothing_is_done_to_what_a_link_leads_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let plan = tree(folder.path(), &OBJECTS);
        let (settings, others) = (
            plan.tree().join("include/config"),
            folder.path().join("others"),
        );
        fs::rename(&settings, &others).expect("moved");
        std::os::unix::fs::symlink(&others, &settings).expect("linked");
        assert_eq!(spare(&plan).expect("spared"), Turned::default());
        assert_eq!(
            files::read(&others.join(WRITTEN)).expect("read"),
            "CONFIG_A=m\n"
        );
        assert!(others.join(WRITTEN_FROM).exists());
    }

    #[test]
    fn kconfig_runs_wherever_the_configuration_is_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut plan = tree(folder.path(), &OBJECTS);
        let settings = plan.tree().join("include/config");
        fs::write(settings.join(WRITTEN), "CONFIG_A=y\nCONFIG_TEXT=a b\n").expect("written");
        plan.config = "CONFIG_A=y\nCONFIG_TEXT=\"a b\"\n".to_owned();
        spare(&plan).expect("nothing");
        assert!(settings.join(WRITTEN_FROM).exists(), "the same");
        plan.config.push_str("CONFIG_Z=y\n");
        spare(&plan).expect("nothing");
        assert!(!settings.join(WRITTEN_FROM).exists(), "another");
    }

    #[test]
    fn where_it_is_not_known_what_enabled_means_nothing_is_done() {
        let folder = tempfile::tempdir().expect("a folder");
        let plan = tree(folder.path(), &OBJECTS);
        let nothing = |why: &str| {
            assert_eq!(spare(&plan).expect(why), Turned::default(), "{why}");
            assert_eq!(
                left(&plan, &["blind", "seeing"]),
                ["blind", "seeing"],
                "{why}"
            );
        };
        let settings = plan.tree().join("include/config");
        fs::write(plan.source.join(KCONFIG_H), "#define IS_ENABLED(x) 1\n").expect("written");
        nothing("another meaning");
        fs::write(plan.source.join(KCONFIG_H), defined()).expect("written");
        fs::remove_file(settings.join("A")).expect("removed");
        nothing("make would not learn of the option");
        fs::write(settings.join("A"), "").expect("written");
        fs::remove_file(settings.join(WRITTEN)).expect("removed");
        nothing("kconfig was never here");
    }

    proptest! {
        /// fixdep takes every `CONFIG_A` for a dependency, whatever stands around it.
        #[test]
        fn no_mention_is_overlooked(before in "[ -~]{0,20}", after in "([^a-zA-Z0-9_\n][ -~]{0,20})?") {
            let line = format!("{before}CONFIG_A{after}");
            prop_assert!(shows(&line, &options()) || is_end(&line) || before.contains("IS_ENABLED"), "{}", line);
        }
    }
}
