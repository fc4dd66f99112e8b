//! Reasons that lie with others: selects, defaults, and options that nobody can set.
//!
//! In and out: as in [`super::reasons`], whose other half this is.

use super::StepKind;
use super::reasons::{NAMED, Reasons, listed, subject};
use super::view::{Condition, Place};
use crate::kconfig::index::{Definition, Entry, Expr, ScopeKind};
use crate::kconfig::symbol::Tristate;

impl Reasons<'_> {
    /// What to do so that `name` becomes at most `wanted`.
    pub(super) fn lower(&mut self, name: &str, wanted: Tristate, depth: usize) {
        let Some(entry) = self.view.entry(name) else {
            return;
        };
        if self.selected(name, &entry, wanted, depth) {
            return;
        }
        let visible = self
            .view
            .visible(&entry)
            .is_some_and(|visible| visible > Tristate::No);
        if visible {
            let wanted = if self.view.has_three(&entry) {
                wanted
            } else {
                Tristate::No
            };
            self.set(format!("CONFIG_{name}={wanted}"));
        } else {
            let text = format!("{name} cannot be set: it follows from other options");
            self.step(depth, StepKind::NotSettable, text, &[name]);
        }
    }

    /// Why `name` is more than `wanted`.
    pub(super) fn too_high(&mut self, name: &str, entry: &Entry, wanted: Tristate) {
        if self.selected(name, entry, wanted, 0) {
            return;
        }
        let value = self.view.tristate(name);
        if !entry.has_prompt() {
            let text = format!("it has no prompt and cannot be set: it is {value} by default");
            return self.step(0, StepKind::NotSettable, text, &[]);
        }
        if let Some(choice) = self.view.choice(entry, name)
            && choice.kind == ScopeKind::Choice
        {
            let others: Vec<&str> = choice
                .members
                .iter()
                .map(String::as_str)
                .filter(|member| *member != name)
                .collect();
            let text = format!(
                "one member of the choice \"{}\" must be on: {}",
                choice.title,
                listed(&others)
            );
            return self.step(0, StepKind::Choice, text, &others);
        }
        if self.view.visible(entry) == Some(Tristate::No) {
            let text =
                format!("its prompt is hidden, so that its default counts, which is {value}");
            self.step(0, StepKind::Unmet, text, &[]);
            return self.too_low(name, entry, Tristate::Yes, 0);
        }
        self.unexplained(name, 0);
    }

    /// Says who selects `name` beyond `wanted`; false where nobody does.
    fn selected(&mut self, name: &str, entry: &Entry, wanted: Tristate, depth: usize) -> bool {
        let pulling = entry
            .selected_by
            .iter()
            .filter(|selector| self.view.pull(selector) > wanted);
        let by: Vec<String> = pulling.map(|selector| selector.by.clone()).collect();
        if by.is_empty() {
            return false;
        }
        let shown: Vec<String> = by
            .iter()
            .map(|name| format!("{name} ({})", self.view.shown(name)))
            .collect();
        let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
        let by: Vec<&str> = by.iter().map(String::as_str).collect();
        let text = format!("{} is selected by {}", subject(name, depth), listed(&shown));
        self.step(depth, StepKind::Selected, text, &by);
        true
    }

    /// Why an option without a prompt is not up to `wanted`.
    pub(super) fn not_settable(
        &mut self,
        name: &str,
        entry: &Entry,
        wanted: Tristate,
        depth: usize,
    ) {
        let subject = subject(name, depth);
        let selectors: Vec<String> = entry
            .selected_by
            .iter()
            .map(|selector| selector.by.clone())
            .collect();
        let shown: Vec<String> = selectors
            .iter()
            .map(|by| format!("{by} ({})", self.view.shown(by)))
            .collect();
        let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
        let with_default = entry
            .definitions
            .iter()
            .find(|definition| !definition.defaults.is_empty());
        let how = match (selectors.is_empty(), with_default) {
            (false, _) => format!("it is on where it is selected, by {}", listed(&shown)),
            (true, Some(_)) => "it follows from other options".to_owned(),
            (true, None) => "nothing in this tree selects it".to_owned(),
        };
        let text = format!("{subject} has no prompt and cannot be set: {how}");
        let named: Vec<&str> = selectors.iter().map(String::as_str).take(NAMED).collect();
        self.step(depth, StepKind::NotSettable, text, &named);
        if let Some(definition) = with_default {
            self.default_of(name, entry, definition, wanted, depth + 1);
        } else {
            self.offer_selectors(entry, wanted);
        }
    }

    /// Why the default does not make it `wanted`.
    fn default_of(
        &mut self,
        name: &str,
        entry: &Entry,
        definition: &Definition,
        wanted: Tristate,
        depth: usize,
    ) {
        let wanted = self.condition_value(entry, wanted);
        let mut unmet = self.unmet(definition, false, wanted);
        if unmet.is_empty()
            && let Some(default) = definition.defaults.first()
        {
            let condition = match (&default.value, &default.condition) {
                (Expr::Text(_), Some(condition)) => condition.clone(),
                (value, None) => value.clone(),
                (value, Some(condition)) => value.clone().and(condition.clone()),
            };
            unmet.push(Condition {
                expr: condition,
                place: Place::DependsOn,
            });
        }
        // Deeper than the option itself, it is named.
        self.conditions(name, &unmet, wanted, depth.max(1));
    }

    /// Selectors that a user can switch on at once.
    fn offer_selectors(&mut self, entry: &Entry, wanted: Tristate) {
        let config = self.view.config();
        let ready = |by: &str| {
            self.view
                .entry(by)
                .and_then(|entry| self.view.visible(&entry))
                .is_some_and(|visible| visible >= wanted)
        };
        let holds = |condition: &Option<Expr>| {
            condition
                .as_ref()
                .is_none_or(|expr| expr.value(config).is_some_and(|value| value >= wanted))
        };
        let selectors = entry
            .selected_by
            .iter()
            .filter(|selector| holds(&selector.condition) && ready(&selector.by));
        let offers: Vec<String> = selectors
            .take(NAMED)
            .map(|selector| format!("CONFIG_{}={wanted}", selector.by))
            .collect();
        if !offers.is_empty() {
            self.set(offers.join(" or "));
        }
    }
}
