//! All Kconfig files of a tree, from its root down.
//!
//! In: the tree's folder and the architecture. Out: every option with its definitions, and who selects
//! it. Files are read and parsed in parallel, level by level, then joined in the order of the tree.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::Path;

use rayon::prelude::*;

use super::file::{Config, Item, KconfigText, read};
use super::{Entry, Scope, ScopeKind, Selector};
use crate::files::FileError;
use crate::kconfig::tree::Arch;

/// Options by name, scopes by number, and what could not be read.
pub(super) type Walked = (BTreeMap<String, Entry>, Vec<Scope>, Vec<String>);

/// Reads the tree at `root`. Only a missing root file is an error.
pub(super) fn walk(root: &Path, arch: Arch) -> Result<Walked, FileError> {
    let variables = variables(arch);
    let mut texts: HashMap<String, Result<KconfigText, io::Error>> = HashMap::new();
    let mut level = vec!["Kconfig".to_owned()];
    while !level.is_empty() {
        let parsed: Vec<(String, Result<KconfigText, io::Error>)> = level
            .into_par_iter()
            .map(|file| (file.clone(), load(root, &file, &variables)))
            .collect();
        let mut next = HashSet::new();
        for (file, text) in parsed {
            next.extend(sources(&text));
            texts.insert(file, text);
        }
        level = next
            .into_iter()
            .filter(|file| !texts.contains_key(file))
            .collect();
    }
    if let Some(Err(_)) = texts.get("Kconfig")
        && let Some(Err(error)) = texts.remove("Kconfig")
    {
        return Err(FileError::new("read", &root.join("Kconfig"), error));
    }
    Ok(Join::new(&texts).run())
}

/// What kbuild sets before it reads the first file.
fn variables(arch: Arch) -> [(&'static str, &'static str); 5] {
    let folder = arch.name();
    [
        ("SRCARCH", folder),
        ("HEADER_ARCH", folder),
        ("SUBARCH", folder),
        ("ARCH", arch.kbuild()),
        ("srctree", "."),
    ]
}

fn load(root: &Path, file: &str, variables: &[(&str, &str)]) -> Result<KconfigText, io::Error> {
    let bytes = std::fs::read(root.join(file))?;
    Ok(read(file, &String::from_utf8_lossy(&bytes), variables))
}

fn sources(text: &Result<KconfigText, io::Error>) -> Vec<String> {
    let items = text
        .as_ref()
        .map(|text| text.items.as_slice())
        .unwrap_or_default();
    let source = |item: &Item| match item {
        Item::Source { path, .. } => Some(path.clone()),
        Item::Config(_) => None,
    };
    items.iter().filter_map(source).collect()
}

/// Joins the files in the order in which kbuild reads them.
struct Join<'a> {
    texts: &'a HashMap<String, Result<KconfigText, io::Error>>,
    entries: BTreeMap<String, Entry>,
    scopes: Vec<Scope>,
    unread: Vec<String>,
    selects: Vec<(String, Selector)>,
    implies: Vec<(String, Selector)>,
}

impl<'a> Join<'a> {
    fn new(texts: &'a HashMap<String, Result<KconfigText, io::Error>>) -> Self {
        Self {
            texts,
            entries: BTreeMap::new(),
            scopes: Vec::new(),
            unread: Vec::new(),
            selects: Vec::new(),
            implies: Vec::new(),
        }
    }

    fn run(mut self) -> Walked {
        self.file("Kconfig", None, &mut Vec::new());
        for (target, selector) in std::mem::take(&mut self.selects) {
            self.entry(&target, |entry| entry.selected_by.push(selector));
        }
        for (target, selector) in std::mem::take(&mut self.implies) {
            self.entry(&target, |entry| entry.implied_by.push(selector));
        }
        (self.entries, self.scopes, self.unread)
    }

    /// A select of an option that the architecture does not have does nothing.
    fn entry(&mut self, name: &str, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries.get_mut(name) {
            change(entry);
        }
    }

    fn file(&mut self, file: &str, outer: Option<u32>, open: &mut Vec<String>) {
        // A file that sources itself, over whatever detour, would never end.
        if open.iter().any(|other| other == file) {
            return;
        }
        let text = match self.texts.get(file) {
            Some(Ok(text)) => text,
            Some(Err(error)) => return self.unread.push(format!("{file}: {error}")),
            None => return,
        };
        self.unread.extend(text.unread.clone());
        let offset = u32::try_from(self.scopes.len()).unwrap_or(u32::MAX);
        let place = |scope: Option<u32>| scope.map_or(outer, |number| Some(number + offset));
        for scope in &text.scopes {
            self.scopes.push(Scope {
                parent: place(scope.parent),
                ..scope.clone()
            });
        }
        open.push(file.to_owned());
        for item in &text.items {
            match item {
                Item::Config(config) => self.config(config, place(config.definition.scope)),
                Item::Source { path, scope } => self.file(path, place(*scope), open),
            }
        }
        open.pop();
    }

    fn config(&mut self, config: &Config, scope: Option<u32>) {
        let entry = self
            .entries
            .entry(config.name.clone())
            .or_insert_with(|| Entry {
                symbol_type: None,
                definitions: Vec::new(),
                selected_by: Vec::new(),
                implied_by: Vec::new(),
            });
        entry.symbol_type = entry.symbol_type.or(config.symbol_type);
        let mut definition = config.definition.clone();
        definition.scope = scope;
        entry.definitions.push(definition);
        self.join_choice(&config.name, scope);
        let selector = |condition: &Option<super::Expr>| Selector {
            by: config.name.clone(),
            condition: condition.clone(),
        };
        self.selects.extend(
            config
                .selects
                .iter()
                .map(|(target, condition)| (target.clone(), selector(condition))),
        );
        self.implies.extend(
            config
                .implies
                .iter()
                .map(|(target, condition)| (target.clone(), selector(condition))),
        );
    }

    /// Only what stands directly in a choice, or in an `if` directly in it, is a member.
    fn join_choice(&mut self, name: &str, scope: Option<u32>) {
        let mut next = scope;
        while let Some(index) = next.and_then(|number| usize::try_from(number).ok()) {
            let Some(scope) = self.scopes.get_mut(index) else {
                return;
            };
            match scope.kind {
                ScopeKind::If => next = scope.parent,
                ScopeKind::Menu => return,
                ScopeKind::Choice | ScopeKind::OptionalChoice => {
                    return scope.members.push(name.to_owned());
                }
            }
        }
    }
}
