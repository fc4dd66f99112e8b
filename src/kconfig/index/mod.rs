//! The options of a kernel tree: what its Kconfig files say, ready to be asked.
//!
//! In: a tree's folder, or the cached index of one read before. Out: a [`SymbolIndex`]. Must not
//! evaluate anything: [`super::explain`] does, against a configuration.
//!
//! The cache is one compressed text file per tree and architecture, a line of JSON per option. Only
//! the lines that are asked for are parsed, so loading costs a few milliseconds for 18 000 options.

mod expr;
mod file;
mod prepare;
mod walk;

use std::ops::Range as Span;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use self::expr::{Expr, Operator};
use super::merge::Symbols;
use super::symbol::{Symbol, SymbolType};
use super::tree::TreeFacts;
use crate::files::{self, FileError};

/// Changes when an index written before cannot be used any more.
const FORMAT: &str = "wslk kconfig index 2";

/// What a tree's Kconfig files say about one option.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its type; `None` where the file that says so could not be read.
    #[serde(rename = "t")]
    pub symbol_type: Option<SymbolType>,
    /// Each place that defines it, in the order of the tree.
    #[serde(rename = "d")]
    pub definitions: Vec<Definition>,
    /// The options that select it.
    #[serde(rename = "s", default, skip_serializing_if = "Vec::is_empty")]
    pub selected_by: Vec<Selector>,
    /// The options that imply it.
    #[serde(rename = "i", default, skip_serializing_if = "Vec::is_empty")]
    pub implied_by: Vec<Selector>,
}

impl Entry {
    /// Whether a user can ever set it.
    #[must_use]
    pub fn has_prompt(&self) -> bool {
        self.definitions
            .iter()
            .any(|definition| definition.prompt.is_some())
    }

    /// Whether the file of one of its definitions could not be parsed.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        self.definitions.iter().any(|definition| definition.unread)
    }
}

/// One `config` entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// The file, relative to the tree.
    #[serde(rename = "f")]
    pub file: String,
    /// Line, counted from 1; 0 where it is not known.
    #[serde(rename = "l")]
    pub line: u32,
    /// What `menuconfig` shows; an option without a prompt cannot be set.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// When the prompt is shown.
    #[serde(rename = "pi", default, skip_serializing_if = "Option::is_none")]
    pub prompt_if: Option<Expr>,
    /// Its own `depends on` lines.
    #[serde(rename = "on", default, skip_serializing_if = "Vec::is_empty")]
    pub depends: Vec<Expr>,
    /// Its defaults; the first whose condition holds counts.
    #[serde(rename = "de", default, skip_serializing_if = "Vec::is_empty")]
    pub defaults: Vec<self::Default>,
    /// Limits of a number; the first whose condition holds counts.
    #[serde(rename = "r", default, skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<Range>,
    /// The innermost menu, `if` or choice around it.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<u32>,
    /// Its help text, without the indentation; empty where there is none.
    #[serde(rename = "h", default, skip_serializing_if = "String::is_empty")]
    pub help: String,
    /// The file could not be parsed: all but name, type, help and place is unknown.
    #[serde(rename = "u", default, skip_serializing_if = "std::ops::Not::not")]
    pub unread: bool,
}

/// A `default` or `def_bool` line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Default {
    /// The value.
    #[serde(rename = "v")]
    pub value: Expr,
    /// When it counts.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Expr>,
}

/// A `range` line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// The least value.
    #[serde(rename = "l")]
    pub low: Expr,
    /// The greatest value.
    #[serde(rename = "h")]
    pub high: Expr,
    /// When it counts.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Expr>,
}

/// An option that selects or implies another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selector {
    /// Its name.
    #[serde(rename = "b")]
    pub by: String,
    /// When it does.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Expr>,
}

/// A menu, `if` or choice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// The scope around it.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u32>,
    /// What it is.
    #[serde(rename = "k")]
    pub kind: ScopeKind,
    /// The prompt of a menu or choice.
    #[serde(rename = "t", default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// The file, relative to the tree.
    #[serde(rename = "f")]
    pub file: String,
    /// Line, counted from 1.
    #[serde(rename = "l")]
    pub line: u32,
    /// What everything inside depends on.
    #[serde(rename = "on", default, skip_serializing_if = "Vec::is_empty")]
    pub depends: Vec<Expr>,
    /// When the prompts inside are shown.
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none")]
    pub visible: Option<Expr>,
    /// The options of a choice.
    #[serde(rename = "m", default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
}

/// Kinds of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScopeKind {
    /// `menu`.
    Menu,
    /// `if`.
    If,
    /// `choice`: exactly one member is on.
    Choice,
    /// `choice` with `optional`: at most one member is on.
    OptionalChoice,
}

/// All options of a tree for one architecture.
#[derive(Debug, Clone)]
pub struct SymbolIndex {
    text: String,
    unread: Vec<String>,
    scopes: Vec<Span<usize>>,
    /// Name and entry of each option, sorted by name.
    symbols: Vec<(Span<usize>, Span<usize>)>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: String,
    scopes: usize,
    symbols: usize,
    unread: Vec<String>,
}

impl SymbolIndex {
    /// The index of `tree`: from `cache` where one was kept, else read from the tree and kept there.
    pub fn of(tree: &TreeFacts, cache: &Path) -> Result<Self, FileError> {
        if let Some(index) = Self::cached(tree, cache) {
            return Ok(index);
        }
        let path = place(tree, cache);
        let index = Self::read(tree)?;
        // A fast level: the index is read more often than kept, and 5 MB become less than one.
        let packed = zstd::encode_all(index.text.as_bytes(), 1)
            .map_err(|e| FileError::new("compress", &path, e))?;
        files::replace(&path, packed)?;
        Ok(index)
    }

    /// The index of `tree`, read from its Kconfig files.
    pub fn read(tree: &TreeFacts) -> Result<Self, FileError> {
        let (entries, scopes, unread) = walk::walk(&tree.root, tree.arch)?;
        let header = Header {
            format: FORMAT.to_owned(),
            scopes: scopes.len(),
            symbols: entries.len(),
            unread,
        };
        let mut text = json(&header);
        for scope in &scopes {
            text.push('\n');
            text.push_str(&json(scope));
        }
        for (name, entry) in &entries {
            text.push('\n');
            text.push_str(name);
            text.push('\t');
            text.push_str(&json(entry));
        }
        let broken = || FileError::new("index", &tree.root, std::io::ErrorKind::InvalidData.into());
        Self::from_text(text).ok_or_else(broken)
    }

    /// The index of `tree` where one was kept; anything wrong with it means that there is none.
    #[must_use]
    pub fn cached(tree: &TreeFacts, cache: &Path) -> Option<Self> {
        let packed = std::fs::read(place(tree, cache)).ok()?;
        let text = zstd::decode_all(packed.as_slice()).ok()?;
        Self::from_text(String::from_utf8(text).ok()?)
    }

    fn from_text(text: String) -> Option<Self> {
        let mut at = 0;
        let mut lines = text.split('\n').map(|line| {
            let span = at..at + line.len();
            at = span.end + 1;
            span
        });
        let header: Header = serde_json::from_str(&text[lines.next()?]).ok()?;
        let scopes: Vec<Span<usize>> = lines.by_ref().take(header.scopes).collect();
        let named = |span: Span<usize>| {
            let tab = text[span.clone()].find('\t')?;
            Some((span.start..span.start + tab, span.start + tab + 1..span.end))
        };
        let symbols = lines.map(named).collect::<Option<Vec<_>>>()?;
        let whole = header.format == FORMAT
            && scopes.len() == header.scopes
            && symbols.len() == header.symbols;
        whole.then_some(())?;
        Some(Self {
            unread: header.unread,
            scopes,
            symbols,
            text,
        })
    }

    /// What the tree says about `symbol`; `None` where it has no such option.
    #[must_use]
    pub fn entry(&self, symbol: &str) -> Option<Entry> {
        let (_, entry) = self.symbols.get(self.position(symbol)?)?;
        serde_json::from_str(&self.text[entry.clone()]).ok()
    }

    /// The scope with this number.
    #[must_use]
    pub fn scope(&self, number: u32) -> Option<Scope> {
        let span = self.scopes.get(usize::try_from(number).ok()?)?;
        serde_json::from_str(&self.text[span.clone()]).ok()
    }

    /// The scopes around a definition, innermost first.
    #[must_use]
    pub fn scopes_of(&self, definition: &Definition) -> Vec<Scope> {
        let mut scopes: Vec<Scope> = Vec::new();
        let mut next = definition.scope;
        while let Some(scope) = next.and_then(|number| self.scope(number)) {
            next = scope.parent;
            scopes.push(scope);
        }
        scopes
    }

    /// The names of all options.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.symbols
            .iter()
            .map(|(name, _)| &self.text[name.clone()])
    }

    /// How many options the tree has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.symbols.len()
    }

    /// Whether the tree has no option at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.symbols.is_empty()
    }

    /// The Kconfig files that could not be parsed, each with what is wrong.
    #[must_use]
    pub fn unread(&self) -> &[String] {
        &self.unread
    }

    fn position(&self, symbol: &str) -> Option<usize> {
        self.symbols
            .binary_search_by(|(name, _)| self.text[name.clone()].cmp(symbol))
            .ok()
    }
}

impl Symbols for SymbolIndex {
    fn has(&self, symbol: &Symbol) -> bool {
        self.position(symbol.as_str()).is_some()
    }

    fn symbol_type(&self, symbol: &Symbol) -> Option<SymbolType> {
        self.entry(symbol.as_str())?.symbol_type
    }

    fn nearest(&self, symbol: &Symbol) -> Vec<Symbol> {
        const SHOWN: usize = 3;
        let wanted = symbol.as_str().to_ascii_uppercase();
        let limit = 1 + wanted.len() / 6;
        let near = |name: &str| {
            let close = name.len().abs_diff(wanted.len()) <= limit;
            let distance =
                close.then(|| strsim::osa_distance(&wanted, &name.to_ascii_uppercase()))?;
            (distance <= limit).then(|| (distance, name.to_owned()))
        };
        let mut found: Vec<(usize, String)> = self.names().filter_map(near).collect();
        found.sort();
        found
            .into_iter()
            .take(SHOWN)
            .map(|(_, name)| Symbol::cut(&name))
            .collect()
    }
}

fn place(tree: &TreeFacts, cache: &Path) -> PathBuf {
    cache.join(format!("{}-{}.zst", tree.id, tree.arch))
}

/// Our own types always have a JSON form; an empty line makes the index unusable, which is noticed.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kconfig::tree::Arch;

    fn tree(root: impl Into<PathBuf>, arch: Arch) -> TreeFacts {
        TreeFacts::new(root, "id", "6.1".parse().expect("a series"), arch)
    }

    fn fixture(arch: Arch) -> TreeFacts {
        tree(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kconfig"),
            arch,
        )
    }

    #[test]
    fn a_tree_is_read_as_kbuild_reads_it() {
        let index = SymbolIndex::read(&fixture(Arch::X86)).expect("the fixture");
        assert_eq!(index.unread(), [] as [&str; 0]);
        let place = |name: &str| {
            let entry = index.entry(name)?;
            let definition = entry.definitions.first()?;
            Some(format!("{}:{}", definition.file, definition.line))
        };
        assert_eq!(place("X86").as_deref(), Some("arch/x86/Kconfig:1"));
        assert_eq!(place("UNIX_DIAG").as_deref(), Some("net/Kconfig:19"));
        assert_eq!(place("TICK_1000").as_deref(), Some("Kconfig:93"));
        assert_eq!(place("NOT_AN_OPTION"), None);
        assert_eq!(place("ARM64"), None);
        let entry = index.entry("HIDDEN").expect("an option");
        let selectors: Vec<&str> = entry
            .selected_by
            .iter()
            .map(|selector| selector.by.as_str())
            .collect();
        assert_eq!(selectors, ["USER_ONE", "USER_TWO"]);
        let tick = index.entry("TICK_100").expect("an option");
        let choice = index.scopes_of(&tick.definitions[0]);
        assert_eq!(choice[0].members, ["TICK_100", "TICK_250", "TICK_1000"]);
    }

    #[test]
    fn another_architecture_is_another_tree() {
        let index = SymbolIndex::read(&fixture(Arch::Arm64)).expect("the fixture");
        assert!(index.entry("ARM64").is_some() && index.entry("X86").is_none());
        assert!(!index.entry("SMP").expect("an option").has_prompt());
    }

    #[test]
    fn what_is_kept_is_what_was_read_and_damage_is_noticed() {
        let cache = tempfile::tempdir().expect("a folder");
        let tree = fixture(Arch::X86);
        assert!(SymbolIndex::cached(&tree, cache.path()).is_none());
        let read = SymbolIndex::of(&tree, cache.path()).expect("the fixture");
        let kept = SymbolIndex::cached(&tree, cache.path()).expect("kept");
        assert_eq!(kept.text, read.text);
        let path = place(&tree, cache.path());
        let packed = std::fs::read(&path).expect("kept");
        std::fs::write(&path, &packed[..packed.len() / 2]).expect("written");
        assert!(SymbolIndex::cached(&tree, cache.path()).is_none());
        let shorter = read.text.rsplit_once('\n').expect("lines").0;
        assert!(SymbolIndex::from_text(shorter.to_owned()).is_none());
        assert_eq!(
            SymbolIndex::of(&tree, cache.path()).expect("again").text,
            read.text
        );
    }

    #[test]
    fn a_file_that_is_not_understood_costs_only_its_own_reasons() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = "source \"bad\"\nsource \"gone\"\nconfig GOOD\n\tbool \"Good\"\n";
        let bad = "config FIRST\n\ttristate \"First\"\n\nconfig SECOND\n\tbool \"Second\"\n\tdepends !!! on\n\nsource \"more\"\n";
        for (name, text) in [
            ("Kconfig", root),
            ("bad", bad),
            ("more", "config MORE\n\tint \"More\"\n"),
        ] {
            std::fs::write(folder.path().join(name), text).expect("written");
        }
        let index = SymbolIndex::read(&tree(folder.path(), Arch::X86)).expect("a tree");
        let unread = index.unread();
        assert_eq!(unread[0], "bad: not understood from about line 4 on");
        assert!(unread[1].starts_with("gone: "), "{unread:?}");
        assert_eq!(
            index.names().collect::<Vec<_>>(),
            ["FIRST", "GOOD", "MORE", "SECOND"]
        );
        let first = index.entry("FIRST").expect("an option");
        assert_eq!(
            (first.symbol_type, first.is_unread()),
            (Some(SymbolType::Tristate), true)
        );
        assert!(!index.entry("MORE").expect("an option").is_unread());
    }
}
