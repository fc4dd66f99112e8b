//! Which options that are gone and which that are new are the same under another name: a guess.
//!
//! In: both lists. Out: pairs, each with the [`Sign`]s that speak for it. No Kconfig file says that an
//! option was renamed, so a pair needs its prompt or its help text in common, and more than that.

use std::collections::BTreeSet;

use super::{Likeness, Sign, help, prompt};
use crate::kconfig::Symbol;
use crate::kconfig::index::Entry;

/// What the signs of a pair must be worth together.
const ENOUGH: u32 = 5;
/// A help text shorter than this many words says the same of many options.
const FEW_WORDS: usize = 5;

/// An option that only one of the trees has.
#[derive(Debug)]
pub(super) struct Named {
    symbol: Symbol,
    entry: Entry,
    /// The words of its help text.
    words: BTreeSet<String>,
}

impl Named {
    pub(super) fn new(symbol: Symbol, entry: Entry) -> Self {
        let words = help(&entry).split_whitespace().map(str::to_lowercase);
        Self {
            words: words.collect(),
            symbol,
            entry,
        }
    }
}

/// The pairs, each new name with its old one; every name at most once, the most alike first.
pub(super) fn pairs(gone: &[Named], new: &[Named]) -> Vec<(Symbol, Likeness)> {
    let mut candidates: Vec<(u32, &Named, &Named, Vec<Sign>)> = Vec::new();
    for old in gone.iter().filter(|old| prompt(&old.entry).is_some()) {
        for new in new.iter().filter(|new| prompt(&new.entry).is_some()) {
            let signs = signs(old, new);
            let worth = signs.iter().map(|sign| worth(*sign)).sum();
            if worth >= ENOUGH {
                candidates.push((worth, old, new, signs));
            }
        }
    }
    candidates.sort_by(|a, b| {
        let order = |c: &(u32, &Named, &Named, Vec<Sign>)| (c.1.symbol.clone(), c.2.symbol.clone());
        b.0.cmp(&a.0).then_with(|| order(a).cmp(&order(b)))
    });
    let mut taken: BTreeSet<&Symbol> = BTreeSet::new();
    let mut pairs = Vec::new();
    for (_, old, new, signs) in candidates {
        if taken.contains(&old.symbol) || taken.contains(&new.symbol) {
            continue;
        }
        taken.extend([&old.symbol, &new.symbol]);
        let symbol = old.symbol.clone();
        pairs.push((new.symbol.clone(), Likeness { symbol, signs }));
    }
    pairs
}

/// Prompt or help weigh most; without either a pair never gets there.
fn worth(sign: Sign) -> u32 {
    match sign {
        Sign::Prompt | Sign::Help => 4,
        Sign::HelpMostly => 3,
        Sign::File | Sign::Name | Sign::DependsOn => 1,
    }
}

fn signs(old: &Named, new: &Named) -> Vec<Sign> {
    let (before, after) = (&old.entry, &new.entry);
    let mut signs = Vec::new();
    if prompt(before) == prompt(after) {
        signs.push(Sign::Prompt);
    }
    signs.extend(likeness(&old.words, &new.words));
    // The rest only confirms; most pairs end here.
    if signs.is_empty() {
        return signs;
    }
    let file = |entry: &Entry| entry.definitions.first().map(|d| d.file.clone());
    if file(before) == file(after) {
        signs.push(Sign::File);
    }
    if similar(old.symbol.as_str(), new.symbol.as_str()) {
        signs.push(Sign::Name);
    }
    let own = |entry: &Entry| {
        let all = entry.definitions.iter().flat_map(|d| &d.depends);
        all.map(ToString::to_string).collect::<Vec<_>>()
    };
    if !own(before).is_empty() && own(before) == own(after) {
        signs.push(Sign::DependsOn);
    }
    signs
}

fn likeness(before: &BTreeSet<String>, after: &BTreeSet<String>) -> Option<Sign> {
    let (fewer, more) = (before.len().min(after.len()), before.len().max(after.len()));
    if fewer < FEW_WORDS || fewer * 10 < more * 8 {
        return None;
    }
    let same = before.intersection(after).count();
    let all = before.len() + after.len() - same;
    match (same, all) {
        _ if same == all => Some(Sign::Help),
        _ if same * 10 >= all * 8 => Some(Sign::HelpMostly),
        _ => None,
    }
}

/// Half of the words of the longer name, or a typing error's distance.
fn similar(old: &str, new: &str) -> bool {
    let words = |name: &str| -> BTreeSet<String> { name.split('_').map(str::to_owned).collect() };
    let (before, after) = (words(old), words(new));
    let same = before.intersection(&after).count();
    same * 2 >= before.len().max(after.len()) || strsim::normalized_levenshtein(old, new) >= 0.7
}
