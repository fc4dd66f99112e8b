//! The options of a tree seen under one configuration: what is visible, what depends on what.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::kconfig::index::{Definition, Entry, Expr, Scope, ScopeKind, Selector, SymbolIndex};
use crate::kconfig::parse::ConfigFile;
use crate::kconfig::symbol::{SymbolType, Tristate, Value};

/// A tree's options under a configuration.
#[derive(Debug)]
pub struct View<'a> {
    index: &'a SymbolIndex,
    config: &'a ConfigFile,
    /// Explaining asks for the same few entries again and again.
    entries: RefCell<HashMap<String, Option<Rc<Entry>>>>,
}

/// One of the conditions under which an option can be set.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    pub expr: Expr,
    pub place: Place,
}

/// Where a condition stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// `depends on` of the option itself.
    DependsOn,
    /// `if` behind its prompt.
    Prompt,
    /// A menu, `if` or choice around it: said as people say it.
    Around(String),
}

impl<'a> View<'a> {
    /// The options of `index` under `config`.
    #[must_use]
    pub fn new(index: &'a SymbolIndex, config: &'a ConfigFile) -> Self {
        Self {
            index,
            config,
            entries: RefCell::default(),
        }
    }

    pub(super) fn index(&self) -> &'a SymbolIndex {
        self.index
    }

    pub(super) fn config(&self) -> &'a ConfigFile {
        self.config
    }

    pub(super) fn entry(&self, name: &str) -> Option<Rc<Entry>> {
        if let Some(known) = self.entries.borrow().get(name) {
            return known.clone();
        }
        let entry = self.index.entry(name).map(Rc::new);
        self.entries
            .borrow_mut()
            .insert(name.to_owned(), entry.clone());
        entry
    }

    /// The value as a tristate; off where there is no line.
    pub(super) fn tristate(&self, name: &str) -> Tristate {
        self.config
            .value(name)
            .and_then(Value::tristate)
            .unwrap_or(Tristate::No)
    }

    /// The value for people: `n` where there is no line.
    pub(super) fn shown(&self, name: &str) -> String {
        self.config
            .value(name)
            .map_or_else(|| "n".to_owned(), ToString::to_string)
    }

    /// All conditions of a definition, those of its prompt included where `prompt` says so.
    pub(super) fn conditions(&self, definition: &Definition, prompt: bool) -> Vec<Condition> {
        let mut conditions = Vec::new();
        let mut add = |expr: &Expr, place: &Place| {
            let parts = expr.conjuncts().iter();
            conditions.extend(parts.map(|expr| Condition {
                expr: expr.clone(),
                place: place.clone(),
            }));
        };
        definition
            .depends
            .iter()
            .for_each(|expr| add(expr, &Place::DependsOn));
        if prompt {
            definition
                .prompt_if
                .iter()
                .for_each(|expr| add(expr, &Place::Prompt));
        }
        for scope in self.index.scopes_of(definition) {
            let place = Place::Around(around(&scope));
            scope.depends.iter().for_each(|expr| add(expr, &place));
            if prompt {
                scope.visible.iter().for_each(|expr| add(expr, &place));
            }
        }
        conditions
    }

    /// What an option depends on, in Kconfig's notation; several definitions are alternatives.
    #[must_use]
    pub fn depends_on(&self, entry: &Entry) -> String {
        let one = |definition: &Definition| {
            let mut conditions: Vec<Expr> = Vec::new();
            for condition in self.conditions(definition, true) {
                if !conditions.contains(&condition.expr) {
                    conditions.push(condition.expr);
                }
            }
            match conditions.len() {
                0 => None,
                1 => conditions.pop(),
                _ => Some(Expr::And(conditions)),
            }
        };
        let all: Option<Vec<Expr>> = entry.definitions.iter().map(one).collect();
        match all {
            None => String::new(),
            Some(mut single) if single.len() == 1 => single
                .pop()
                .map(|expr| expr.to_string())
                .unwrap_or_default(),
            Some(several) => Expr::Or(several).to_string(),
        }
    }

    /// The most that a user can set the option to: the largest over its prompts. `None` where only
    /// kbuild knows.
    #[must_use]
    pub fn visible(&self, entry: &Entry) -> Option<Tristate> {
        let mut most = Tristate::No;
        let mut unknown = false;
        for definition in entry
            .definitions
            .iter()
            .filter(|definition| definition.prompt.is_some())
        {
            match self.least(&self.conditions(definition, true)) {
                Some(value) => most = most.max(value),
                None => unknown = true,
            }
        }
        let promoted = if most == Tristate::Module && !self.has_three(entry) {
            Tristate::Yes
        } else {
            most
        };
        (!unknown || promoted == Tristate::Yes).then_some(promoted)
    }

    /// Whether the option can be a module now.
    pub(super) fn has_three(&self, entry: &Entry) -> bool {
        entry.symbol_type == Some(SymbolType::Tristate) && self.tristate("MODULES") == Tristate::Yes
    }

    fn least(&self, conditions: &[Condition]) -> Option<Tristate> {
        let mut least = Some(Tristate::Yes);
        for condition in conditions {
            match condition.expr.value(self.config) {
                Some(Tristate::No) => return Some(Tristate::No),
                Some(value) => least = least.map(|least| least.min(value)),
                None => least = None,
            }
        }
        least
    }

    /// How far the selector raises its target now.
    #[must_use]
    pub fn pull(&self, selector: &Selector) -> Tristate {
        let condition = selector
            .condition
            .as_ref()
            .map_or(Some(Tristate::Yes), |expr| expr.value(self.config));
        self.tristate(&selector.by)
            .min(condition.unwrap_or(Tristate::No))
    }

    /// The choice that the option is a member of.
    pub(super) fn choice(&self, entry: &Entry, name: &str) -> Option<Scope> {
        let mut scopes = entry
            .definitions
            .iter()
            .flat_map(|definition| self.index.scopes_of(definition));
        scopes.find(|scope| scope.members.iter().any(|member| member == name))
    }
}

fn around(scope: &Scope) -> String {
    let Scope {
        title, file, line, ..
    } = scope;
    match scope.kind {
        ScopeKind::Menu => format!("its menu \"{title}\" ({file}:{line})"),
        ScopeKind::If => format!("an `if` around it ({file}:{line})"),
        ScopeKind::Choice | ScopeKind::OptionalChoice => {
            format!("its choice \"{title}\" ({file}:{line})")
        }
    }
}
