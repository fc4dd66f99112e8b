//! The comparison: option by option, first what it is, then what its tree says of it.

use std::collections::BTreeSet;

use rayon::prelude::*;

use super::rename::{self, Named};
use super::{Change, Concern, Drift, Facts, Kind, Side, State, help, prompt};
use crate::kconfig::explain::View;
use crate::kconfig::index::{Entry, SymbolIndex};
use crate::kconfig::{Request, Symbol, Value};

/// What stands between the stock ending of a release and the digits that name a build.
const BUILD_SUFFIX: &str = "-wslk-";

pub(super) fn between(old: &Side<'_>, new: &Side<'_>) -> Drift {
    let trees = old.index.zip(new.index);
    let pair = Pair { old, new, trees };
    let names: Vec<&str> = pair.names().into_iter().collect();
    let found: Vec<Found> = names
        .into_par_iter()
        .filter_map(|name| pair.found(name))
        .collect();
    let found = pair.with_renames(found);
    let views = trees.map(|(before, after)| {
        let before = View::new(before, old.config);
        (before, View::new(after, new.config))
    });
    let told = |found: Found| pair.change(found, views.as_ref());
    let mut changes: Vec<Change> = found.into_iter().map(told).collect();
    let order = |change: &Change| (change.concern, change.kind(), !change.offered);
    changes.sort_by(|a, b| (order(a), &a.symbol).cmp(&(order(b), &b.symbol)));
    Drift {
        old: old.release.clone(),
        new: new.release.clone(),
        trees: trees.is_some(),
        changes,
    }
}

struct Pair<'a> {
    old: &'a Side<'a>,
    new: &'a Side<'a>,
    trees: Option<(&'a SymbolIndex, &'a SymbolIndex)>,
}

/// An option that changed, before anything is said about it.
struct Found {
    symbol: Symbol,
    kinds: Vec<Kind>,
    from: State,
    to: State,
    before: Option<Entry>,
    after: Option<Entry>,
    was: Option<super::Likeness>,
}

impl<'a> Pair<'a> {
    fn names(&self) -> BTreeSet<&'a str> {
        let lines = |side: &Side<'a>| side.config.settings().iter().map(|s| s.symbol.as_str());
        let known = |index: &'a SymbolIndex| index.names();
        let trees = self
            .trees
            .into_iter()
            .flat_map(|(old, new)| known(old).chain(known(new)));
        lines(self.old)
            .chain(lines(self.new))
            .chain(trees)
            .collect()
    }

    fn found(&self, name: &str) -> Option<Found> {
        let (before, after) = match self.trees {
            Some((old, new)) => (old.entry(name), new.entry(name)),
            None => (None, None),
        };
        let (from, to) = (
            self.state(self.old, name, before.is_some()),
            self.state(self.new, name, after.is_some()),
        );
        let mut kinds = Vec::from_iter(by_value(&from, &to));
        if let (Some(before), Some(after)) = (&before, &after) {
            kinds.extend(by_tree(before, after));
        }
        kinds.sort();
        let symbol = name.parse().ok()?;
        (!kinds.is_empty()).then_some(Found {
            symbol,
            kinds,
            from,
            to,
            before,
            after,
            was: None,
        })
    }

    /// Without trees only a line tells that there is such an option.
    fn state(&self, side: &Side<'_>, name: &str, known: bool) -> State {
        match side.config.value(name) {
            Some(value) => State::Value(without_build(name, value)),
            None if known => State::Value(Value::No),
            None => State::Absent,
        }
    }

    /// Puts options that were renamed, by the look of it, in the place of one that is gone and one that is new.
    fn with_renames(&self, mut found: Vec<Found>) -> Vec<Found> {
        let named = |found: &Found, kind: Kind| {
            let entry = match kind {
                Kind::Gone => found.before.as_ref(),
                _ => found.after.as_ref(),
            };
            let is = found.kinds.first() == Some(&kind);
            entry
                .filter(|_| is)
                .map(|entry| Named::new(found.symbol.clone(), entry.clone()))
        };
        let of = |kind: Kind| {
            found
                .iter()
                .filter_map(|found| named(found, kind))
                .collect()
        };
        let (gone, new): (Vec<Named>, Vec<Named>) = (of(Kind::Gone), of(Kind::New));
        for (symbol, likeness) in rename::pairs(&gone, &new) {
            let at = |symbol: &Symbol| found.iter().position(|found| found.symbol == *symbol);
            let Some(old) = at(&likeness.symbol).map(|at| found.swap_remove(at)) else {
                continue;
            };
            if let Some(new) = found.iter_mut().find(|found| found.symbol == symbol) {
                new.kinds = vec![Kind::Renamed];
                new.from = old.from;
                new.before = old.before;
                new.was = Some(likeness);
            }
        }
        found
    }

    fn change(&self, found: Found, views: Option<&(View<'_>, View<'_>)>) -> Change {
        let old_name = found.was.as_ref().map(|was| &was.symbol);
        let names = || old_name.into_iter().chain([&found.symbol]);
        let asked = names().find_map(|name| self.concern(name));
        let (concern, wanted) = match asked {
            Some((concern, request)) => (concern, Some(request.clone())),
            None => (Concern::Other, None),
        };
        let offered = names().any(|name| {
            let line = |side: &Side<'_>| side.config.setting(name.as_str()).is_some();
            line(self.old) || line(self.new)
        });
        let facts = |view: Option<&View<'_>>, entry: Option<&Entry>| {
            view.zip(entry).map(|(view, entry)| facts(view, entry))
        };
        Change {
            old: facts(views.map(|(old, _)| old), found.before.as_ref()),
            new: facts(views.map(|(_, new)| new), found.after.as_ref()),
            symbol: found.symbol,
            kinds: found.kinds,
            concern,
            from: found.from,
            to: found.to,
            was: found.was,
            offered,
            wanted,
        }
    }

    /// Who cares about an option, and the line that says so: of the new kernel, else of the old one.
    fn concern(&self, symbol: &Symbol) -> Option<(Concern, &'a Request)> {
        let line = |requests: &'a [Request]| requests.iter().find(|r| r.symbol == *symbol);
        let either =
            |of: fn(&Side<'a>) -> &'a [Request]| line(of(self.new)).or_else(|| line(of(self.old)));
        let contract = either(|side| side.contract).map(|request| (Concern::Contract, request));
        contract.or_else(|| either(|side| side.guarded).map(|r| (Concern::Guarded, r)))
    }
}

/// The end of the release names the build, which is another every time.
fn without_build(name: &str, value: &Value) -> Value {
    match value {
        Value::Text(text) if name == "LOCALVERSION" => {
            let stock = text.split(BUILD_SUFFIX).next().unwrap_or(text);
            Value::Text(stock.to_owned())
        }
        value => value.clone(),
    }
}

fn by_value(from: &State, to: &State) -> Option<Kind> {
    match (from, to) {
        _ if from == to => None,
        (State::Absent, _) => Some(Kind::New),
        (_, State::Absent) => Some(Kind::Gone),
        (State::Value(Value::Yes), State::Value(Value::Module))
        | (State::Value(Value::Module), State::Value(Value::Yes)) => Some(Kind::Module),
        _ => Some(Kind::Value),
    }
}

/// What is different about an option that both trees have; nothing is said of what could not be read.
fn by_tree(before: &Entry, after: &Entry) -> Vec<Kind> {
    if before.is_unread() || after.is_unread() {
        return Vec::new();
    }
    let mut kinds = Vec::new();
    if before.symbol_type != after.symbol_type {
        kinds.push(Kind::Type);
    }
    if defaults(before) != defaults(after) {
        kinds.push(Kind::Default);
    }
    kinds
}

/// The defaults in Kconfig's notation.
fn defaults(entry: &Entry) -> Vec<String> {
    entry
        .definitions
        .iter()
        .flat_map(|definition| &definition.defaults)
        .map(|default| match &default.condition {
            Some(condition) => format!("{} if {condition}", default.value),
            None => default.value.to_string(),
        })
        .collect()
}

fn facts(view: &View<'_>, entry: &Entry) -> Facts {
    let place = |definition: &crate::kconfig::index::Definition| {
        format!("{}:{}", definition.file, definition.line)
    };
    Facts {
        symbol_type: entry.symbol_type,
        prompt: prompt(entry).map(str::to_owned),
        defaults: defaults(entry),
        depends_on: view.depends_on(entry),
        help: help(entry).to_owned(),
        defined: entry.definitions.iter().map(place).collect(),
    }
}
