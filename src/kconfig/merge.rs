//! Laying fragments over a base configuration.
//!
//! In: the base, the fragments in order, and which options the tree has. Out: a [`Merged`] text for
//! the tree's own `olddefconfig`, with the origin of every value. Two fragments that disagree are an
//! error, whatever their order: silently letting the later one win is how contracts get broken.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::Arc;

use super::fault::{Fault, InputError, Problem};
use super::fragment::{Fragment, Request};
use super::parse::{ConfigFile, Origin};
use super::symbol::{Symbol, SymbolType};
use super::tree::TreeFacts;

/// What merging must know of a tree's options.
pub trait Symbols {
    /// Whether the tree has the option.
    fn has(&self, symbol: &Symbol) -> bool;

    /// The option's type, where it is known.
    fn symbol_type(&self, symbol: &Symbol) -> Option<SymbolType>;

    /// Options with a similar name, nearest first, a handful at most.
    fn nearest(&self, symbol: &Symbol) -> Vec<Symbol>;
}

/// A base configuration with the fragments laid over it; not yet seen by the tree's own tool.
#[derive(Debug, Clone)]
pub struct Merged {
    /// The configuration file.
    pub text: String,
    /// Where each value was written.
    pub origins: BTreeMap<Symbol, Origin>,
    /// What is asked for of this tree, each option once.
    pub requests: Vec<Request>,
    /// What is not asked for of this tree, and why.
    pub skipped: Vec<Skipped>,
}

/// A request that is not meant for this tree.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Skipped {
    /// The request.
    pub request: Request,
    /// "from 6.17 on, and this is 6.1".
    pub why: String,
}

/// Two lines that ask for different values of one option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The line that comes first.
    pub first: Request,
    /// The line that disagrees.
    pub second: Request,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, second } = self;
        write!(
            f,
            "CONFIG_{} is {} at {} and {} at {}",
            first.symbol, first.value, first.origin, second.value, second.origin
        )
    }
}

/// Why fragments cannot be laid over a base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MergeError {
    /// A fragment asks for something that cannot be.
    Input(Box<InputError>),
    /// Fragments disagree; never empty.
    Conflicts(Vec<Conflict>),
}

/// Lays `fragments` over `base`.
///
/// A base line that a fragment overrules is dropped and the fragment's line comes at the end: of the
/// members of a choice, kbuild takes the one that it reads last.
pub fn merge(
    base: &ConfigFile,
    fragments: &[Fragment],
    tree: &TreeFacts,
    symbols: &dyn Symbols,
) -> Result<Merged, MergeError> {
    let (requests, skipped) = collect(fragments, tree, symbols)?;
    Ok(lay_over(base, requests, skipped))
}

/// Lays requests, each option once, over `base`.
pub(super) fn lay_over(base: &ConfigFile, requests: Vec<Request>, skipped: Vec<Skipped>) -> Merged {
    let mut by_symbol: BTreeMap<&Symbol, &Request> =
        requests.iter().map(|r| (&r.symbol, r)).collect();
    let mut origins = BTreeMap::new();
    let mut text = String::with_capacity(base.text().len() + 40 * requests.len());
    let mut settings = base.settings().iter().peekable();
    for (index, line) in base.text().lines().enumerate() {
        if let Some(setting) = settings.next_if(|setting| setting.line == index + 1) {
            match by_symbol.get(&setting.symbol) {
                Some(request) if request.value != setting.value => continue,
                _ => by_symbol.remove(&setting.symbol),
            };
            origins.insert(setting.symbol.clone(), base.origin(setting));
        }
        text.push_str(line);
        text.push('\n');
    }
    for (symbol, request) in by_symbol {
        text.push_str(&request.to_string());
        text.push('\n');
        origins.insert(symbol.clone(), request.origin.clone());
    }
    Merged {
        text,
        origins,
        requests,
        skipped,
    }
}

/// The requests that are meant for the tree, each option once, and those that are not.
pub(super) fn collect(
    fragments: &[Fragment],
    tree: &TreeFacts,
    symbols: &dyn Symbols,
) -> Result<(Vec<Request>, Vec<Skipped>), MergeError> {
    let (mut wanted, mut skipped) = (BTreeMap::<Symbol, Request>::new(), Vec::new());
    let mut conflicts = Vec::new();
    for fragment in fragments {
        let meant = meant_for(fragment, tree, symbols, &mut skipped)?;
        for request in meant {
            match wanted.entry(request.symbol.clone()) {
                Entry::Vacant(place) => {
                    place.insert(request.clone());
                }
                Entry::Occupied(first) if first.get().value == request.value => {}
                Entry::Occupied(first) => {
                    conflicts.push(Conflict {
                        first: first.get().clone(),
                        second: request.clone(),
                    });
                }
            }
        }
    }
    if !conflicts.is_empty() {
        return Err(MergeError::Conflicts(conflicts));
    }
    Ok((wanted.into_values().collect(), skipped))
}

/// The requests of one fragment that are meant for the tree, checked against its options.
pub(super) fn meant_for<'a>(
    fragment: &'a Fragment,
    tree: &TreeFacts,
    symbols: &dyn Symbols,
    skipped: &mut Vec<Skipped>,
) -> Result<Vec<&'a Request>, MergeError> {
    let mut meant = Vec::new();
    let mut problems = Vec::new();
    for request in fragment.requests() {
        if let Some(why) = request.condition.unmet(tree, symbols.has(&request.symbol)) {
            skipped.push(Skipped {
                request: request.clone(),
                why,
            });
        } else if let Some(fault) = fault(request, symbols) {
            let at = fragment
                .file()
                .setting(request.symbol.as_str())
                .map(|s| s.at.clone());
            problems.push(Problem {
                fault,
                line: request.origin.line,
                at: at.unwrap_or_default(),
            });
        } else {
            meant.push(request);
        }
    }
    fragment
        .file()
        .check(problems)
        .map_err(|error| MergeError::Input(Box::new(error)))?;
    Ok(meant)
}

fn fault(request: &Request, symbols: &dyn Symbols) -> Option<Fault> {
    let symbol = request.symbol.clone();
    if !symbols.has(&symbol) {
        let nearest = symbols.nearest(&symbol);
        return Some(Fault::UnknownSymbol { symbol, nearest });
    }
    let expected = symbols.symbol_type(&symbol)?;
    let wrong = || Fault::WrongType {
        symbol,
        expected,
        value: request.value.clone(),
    };
    (!expected.accepts(&request.value)).then(wrong)
}

/// A request that wslk itself makes, not a file.
pub(super) fn own_request(symbol: &str, value: super::symbol::Value, reason: &str) -> Request {
    Request {
        symbol: Symbol::cut(symbol),
        value,
        origin: Origin {
            file: Arc::from("wslk"),
            line: 0,
        },
        reason: reason.to_owned(),
        needed_by: String::new(),
        condition: super::fragment::Condition::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kconfig::tree::Arch;

    struct Few;

    impl Symbols for Few {
        fn has(&self, symbol: &Symbol) -> bool {
            self.symbol_type(symbol).is_some()
        }

        fn symbol_type(&self, symbol: &Symbol) -> Option<SymbolType> {
            match symbol.as_str() {
                "A" | "B" | "NEW" => Some(SymbolType::Tristate),
                "S" => Some(SymbolType::String),
                _ => None,
            }
        }

        fn nearest(&self, _: &Symbol) -> Vec<Symbol> {
            vec![Symbol::cut("A")]
        }
    }

    fn tree() -> TreeFacts {
        TreeFacts::new("/", "id", "6.1".parse().unwrap(), Arch::X86)
    }

    fn merged(fragments: &[(&str, &str)]) -> Result<Merged, MergeError> {
        let base = "# Linux\nCONFIG_A=m\n# CONFIG_B is not set\nCONFIG_S=\"x\"\n";
        let base = ConfigFile::parse("base", base).unwrap();
        let fragments: Vec<Fragment> = fragments
            .iter()
            .map(|(name, text)| Fragment::parse(name, text).unwrap())
            .collect();
        merge(&base, &fragments, &tree(), &Few)
    }

    #[test]
    fn base_lines_that_are_overruled_make_room_at_the_end() {
        let merged = merged(&[
            ("f", "CONFIG_A=y\nCONFIG_NEW=y\n"),
            ("g", "\nCONFIG_A=y\nCONFIG_S=\"x\"\n"),
        ])
        .unwrap();
        assert_eq!(
            merged.text,
            "# Linux\n# CONFIG_B is not set\nCONFIG_S=\"x\"\nCONFIG_A=y\nCONFIG_NEW=y\n"
        );
        let origins: Vec<String> = merged
            .origins
            .iter()
            .map(|(s, o)| format!("{s} {o}"))
            .collect();
        assert_eq!(origins, ["A f:1", "B base:3", "NEW f:2", "S base:4"]);
    }

    #[test]
    fn fragments_that_disagree_are_both_named() {
        let Err(MergeError::Conflicts(conflicts)) =
            merged(&[("f", "CONFIG_A=y\n"), ("g", "\n# CONFIG_A is not set\n")])
        else {
            panic!("must be a conflict")
        };
        let told: Vec<String> = conflicts.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["CONFIG_A is y at f:1 and n at g:2"]);
    }

    #[test]
    fn what_the_tree_has_not_is_named_with_its_neighbour() {
        let Err(MergeError::Input(error)) = merged(&[("f", "CONFIG_AA=y\nCONFIG_S=y\n")]) else {
            panic!("must be refused")
        };
        assert_eq!(
            error.to_string(),
            "f:1: this kernel tree has no CONFIG_AA (and 1 more)"
        );
        assert_eq!(
            error.hint(),
            "did you mean CONFIG_A?\nit takes a text in double quotes"
        );
    }

    #[test]
    fn a_request_for_other_kernels_is_skipped() {
        let merged = merged(&[("f", "# Since: 6.17\nCONFIG_LATER=y\n\n# Where: present\nCONFIG_A=y\n\n# Where: present\nCONFIG_GONE=y\n")]).unwrap();
        let skipped: Vec<String> = merged
            .skipped
            .iter()
            .map(|s| format!("{} {}", s.request.symbol, s.why))
            .collect();
        assert_eq!(
            skipped,
            [
                "LATER from 6.17 on, and this is 6.1",
                "GONE where the tree has the option, and this one has not"
            ]
        );
        assert_eq!(merged.requests.len(), 1);
    }
}
