//! Putting reasons into words, from an option down to what a user can set.
//!
//! In: a [`View`]. Out: an [`Explanation`]. Each option is explained once, and a long story is cut:
//! the nearest reasons are the useful ones.

use super::need::{Need, at_least};
use super::view::{Condition, Place, View};
use super::{Explanation, Step, StepKind};
use crate::kconfig::index::{Definition, Entry, Expr};
use crate::kconfig::merge::Symbols as _;
use crate::kconfig::symbol::{Symbol, SymbolType, Tristate, Value};

/// A reason this deep is of no use to anybody.
const DEEPEST: usize = 6;
/// Steps of one explanation.
const LONGEST: usize = 20;
/// Selectors and alternatives named.
pub(super) const NAMED: usize = 4;

pub(super) struct Reasons<'a> {
    pub(super) view: View<'a>,
    out: Explanation,
    /// Options that are explained, or being so.
    seen: Vec<String>,
    /// Conditions that are told: an `if` around a whole file must not come back with every option in it.
    told: Vec<Expr>,
    /// What advice asks for: built in, unless a module was wanted.
    advised: Tristate,
}

impl<'a> Reasons<'a> {
    pub(super) fn new(view: View<'a>) -> Self {
        Self {
            view,
            out: Explanation::default(),
            seen: Vec::new(),
            told: Vec::new(),
            advised: Tristate::Yes,
        }
    }

    pub(super) fn explain(mut self, symbol: &Symbol, wanted: &Value) -> Explanation {
        let name = symbol.as_str();
        match self.view.entry(name) {
            None => self.absent(symbol),
            Some(entry) => match (wanted.tristate(), is_number_or_text(&entry)) {
                (Some(wanted), false) => self.tristate(name, &entry, wanted),
                _ => self.number_or_text(name, &entry, wanted),
            },
        }
        self.out
    }

    fn absent(&mut self, symbol: &Symbol) {
        let nearest: Vec<String> = self
            .view
            .index()
            .nearest(symbol)
            .iter()
            .map(ToString::to_string)
            .collect();
        let text = if nearest.is_empty() {
            "this tree has no such option".to_owned()
        } else {
            format!(
                "this tree has no such option; similar: {}",
                nearest.join(", ")
            )
        };
        self.step(0, StepKind::Absent, text, &[]);
    }

    fn tristate(&mut self, name: &str, entry: &Entry, wanted: Tristate) {
        if wanted == Tristate::Module {
            self.advised = wanted;
        }
        let found = self.view.tristate(name);
        if found < wanted {
            self.too_low(name, entry, wanted, 0);
        } else if found > wanted {
            self.too_high(name, entry, wanted);
        }
    }

    /// Why `name` is not up to `wanted`.
    pub(super) fn too_low(&mut self, name: &str, entry: &Entry, wanted: Tristate, depth: usize) {
        self.seen.push(name.to_owned());
        if entry.is_unread() {
            return self.unread(name, entry, depth);
        }
        let wanted_of_conditions = self.condition_value(entry, wanted);
        let settable = entry
            .definitions
            .iter()
            .filter(|definition| definition.prompt.is_some());
        let unmet = settable
            .map(|definition| self.unmet(definition, true, wanted_of_conditions))
            .min_by_key(Vec::len);
        match unmet {
            None => self.not_settable(name, entry, wanted, depth),
            Some(unmet) if unmet.is_empty() => self.nothing_in_the_way(name, entry, wanted, depth),
            Some(unmet) => self.conditions(name, &unmet, wanted_of_conditions, depth),
        }
    }

    /// A bool is promoted: what is limited to `m` may be `y`.
    pub(super) fn condition_value(&self, entry: &Entry, wanted: Tristate) -> Tristate {
        if self.view.has_three(entry) {
            wanted
        } else {
            wanted.min(Tristate::Module)
        }
    }

    pub(super) fn unmet(
        &self,
        definition: &Definition,
        prompt: bool,
        wanted: Tristate,
    ) -> Vec<Condition> {
        let mut conditions = self.view.conditions(definition, prompt);
        conditions.retain(|condition| {
            condition
                .expr
                .value(self.view.config())
                .is_none_or(|value| value < wanted)
        });
        let mut unique: Vec<Condition> = Vec::new();
        for condition in conditions {
            if unique.iter().all(|other| other.expr != condition.expr) {
                unique.push(condition);
            }
        }
        unique
    }

    pub(super) fn conditions(
        &mut self,
        name: &str,
        unmet: &[Condition],
        wanted: Tristate,
        depth: usize,
    ) {
        let unmet: Vec<&Condition> = unmet
            .iter()
            .filter(|condition| !self.told.contains(&condition.expr))
            .collect();
        self.told
            .extend(unmet.iter().map(|condition| condition.expr.clone()));
        for condition in unmet {
            let Some(need) = at_least(&condition.expr, wanted, self.view.config()) else {
                continue;
            };
            let subject = subject(name, depth);
            let verb = match &condition.place {
                Place::DependsOn => format!("{subject} depends on"),
                Place::Prompt if depth == 0 => "its prompt depends on".to_owned(),
                Place::Prompt => format!("the prompt of {name} depends on"),
                Place::Around(what) => format!("{subject} stands in {what}, which depends on"),
            };
            let kind = if matches!(need, Need::Tool(_)) {
                StepKind::Tool
            } else {
                StepKind::Unmet
            };
            let text = format!("{verb} {}", self.with_values(&condition.expr));
            self.step(depth, kind, text, &condition.expr.symbols());
            self.need(&need, depth + 1);
        }
    }

    /// "PACKET, which is n", or a whole expression with the values of its options.
    fn with_values(&self, expr: &Expr) -> String {
        match expr {
            Expr::Symbol(name) => format!("{name}, which is {}", self.view.shown(name)),
            Expr::Macro(call) => format!("{call}, which the compiler or another tool decides"),
            _ => {
                let value = |name: &&str| format!("{name} is {}", self.view.shown(name));
                let values: Vec<String> = expr.symbols().iter().map(value).collect();
                if values.is_empty() {
                    expr.to_string()
                } else {
                    format!("{expr} ({})", values.join(", "))
                }
            }
        }
    }

    fn need(&mut self, need: &Need, depth: usize) {
        match need {
            Need::All(needs) => needs.iter().for_each(|need| self.need(need, depth)),
            Need::Any(needs) => self.alternatives(needs, depth),
            Need::AtLeast(name, wanted) => self.raise(name, *wanted, depth),
            Need::AtMost(name, wanted) => self.lower(name, *wanted, depth),
            Need::Compare { .. } | Need::Tool(_) | Need::Never => {}
        }
    }

    /// Each way on its own; what they would set is offered as one choice. Ways that a user can go at
    /// once make the others uninteresting.
    fn alternatives(&mut self, needs: &[Need], depth: usize) {
        let mut ways: Vec<Explanation> = Vec::new();
        for need in needs {
            let outer = std::mem::take(&mut self.out);
            self.need(need, depth);
            ways.push(std::mem::replace(&mut self.out, outer));
        }
        let direct = ways
            .iter()
            .any(|way| way.steps.is_empty() && !way.set.is_empty());
        ways.retain(|way| !direct || way.steps.is_empty());
        let offers: Vec<String> = ways
            .iter()
            .filter(|way| !way.set.is_empty())
            .map(|way| way.set.join(" and "))
            .collect();
        for way in ways {
            self.out.steps.extend(way.steps);
        }
        if !offers.is_empty() {
            self.set(
                offers
                    .into_iter()
                    .take(NAMED)
                    .collect::<Vec<_>>()
                    .join(" or "),
            );
        }
    }

    /// What to do so that `name` becomes at least `wanted`.
    fn raise(&mut self, name: &str, wanted: Tristate, depth: usize) {
        if self.seen.iter().any(|seen| seen == name) || depth > DEEPEST {
            return;
        }
        let Some(entry) = self.view.entry(name) else {
            let text = format!("this tree has no {name}");
            return self.step(depth, StepKind::Absent, text, &[]);
        };
        let wanted = wanted.max(self.advised_for(&entry));
        if self
            .view
            .visible(&entry)
            .is_none_or(|visible| visible < wanted)
            || self.rival(name, &entry).is_some()
        {
            self.too_low(name, &entry, wanted, depth);
        }
        if entry.has_prompt() {
            self.set(format!("CONFIG_{name}={wanted}"));
        }
    }

    /// A module only where one was wanted and can be had.
    fn advised_for(&self, entry: &Entry) -> Tristate {
        if self.view.has_three(entry) {
            self.advised
        } else {
            Tristate::Yes
        }
    }

    /// The prompt is visible, and still the value is not up to `wanted`.
    fn nothing_in_the_way(&mut self, name: &str, entry: &Entry, wanted: Tristate, depth: usize) {
        if let Some((title, rival)) = self.rival(name, entry) {
            let subject = subject(name, depth);
            let text = format!(
                "{subject} is a member of the choice \"{title}\", of which only one can be on, and {rival} is"
            );
            self.step(depth, StepKind::Choice, text, &[&rival]);
        } else if wanted == Tristate::Module && self.view.tristate("MODULES") == Tristate::No {
            let text = "modules are switched off: MODULES is n".to_owned();
            self.step(depth, StepKind::Unmet, text, &["MODULES"]);
            self.set("CONFIG_MODULES=y".to_owned());
        } else if depth == 0 {
            self.unexplained(name, depth);
        }
    }

    /// The choice of `name` and the other member that is on.
    fn rival(&self, name: &str, entry: &Entry) -> Option<(String, String)> {
        let choice = self.view.choice(entry, name)?;
        let on = |member: &&String| *member != name && self.view.tristate(member) == Tristate::Yes;
        let rival = choice.members.iter().find(on)?.clone();
        Some((choice.title, rival))
    }

    fn number_or_text(&mut self, name: &str, entry: &Entry, wanted: &Value) {
        if self.view.config().value(name) == Some(wanted) {
            return;
        }
        if entry.is_unread() {
            return self.unread(name, entry, 0);
        }
        if !entry.has_prompt() {
            let text = "it has no prompt and cannot be set: it follows from other options or from the compiler".to_owned();
            return self.step(0, StepKind::NotSettable, text, &[]);
        }
        if self.view.visible(entry) == Some(Tristate::No) {
            return self.too_low(name, entry, Tristate::Yes, 0);
        }
        if let Some((low, high)) = self.range(entry) {
            let text = format!("it must be between {low} and {high}");
            return self.step(0, StepKind::Range, text, &[]);
        }
        self.unexplained(name, 0);
    }

    /// The limits that hold now.
    fn range(&self, entry: &Entry) -> Option<(String, String)> {
        let config = self.view.config();
        let mut ranges = entry
            .definitions
            .iter()
            .flat_map(|definition| &definition.ranges);
        let holds = |condition: &Expr| {
            condition
                .value(config)
                .is_some_and(|value| value > Tristate::No)
        };
        let range = ranges.find(|range| range.condition.as_ref().is_none_or(holds))?;
        Some((range.low.text(config)?, range.high.text(config)?))
    }

    fn unread(&mut self, name: &str, entry: &Entry, depth: usize) {
        let file = entry
            .definitions
            .iter()
            .find(|d| d.unread)
            .map_or("its Kconfig file", |d| d.file.as_str());
        let text = format!(
            "what {} depends on is not known: {file} could not be read",
            subject(name, depth)
        );
        self.step(depth, StepKind::Unread, text, &[]);
    }

    pub(super) fn unexplained(&mut self, name: &str, depth: usize) {
        let value = self.view.shown(name);
        let text = format!(
            "all that {} depends on is met, and still the tree's own tool left it at {value}",
            subject(name, depth)
        );
        self.step(depth, StepKind::Unexplained, text, &[]);
    }

    pub(super) fn step(&mut self, depth: usize, kind: StepKind, text: String, symbols: &[&str]) {
        if self.out.steps.len() < LONGEST {
            let symbols = symbols
                .iter()
                .map(|name| ((*name).to_owned(), self.view.shown(name)))
                .collect();
            self.out.steps.push(Step {
                depth,
                kind,
                text,
                symbols,
            });
        }
    }

    pub(super) fn set(&mut self, line: String) {
        if !self.out.set.contains(&line) {
            self.out.set.push(line);
        }
    }
}

fn is_number_or_text(entry: &Entry) -> bool {
    matches!(
        entry.symbol_type,
        Some(SymbolType::Int | SymbolType::Hex | SymbolType::String)
    )
}

/// The option itself is "it", those below have names.
pub(super) fn subject(name: &str, depth: usize) -> &str {
    if depth == 0 { "it" } else { name }
}

pub(super) fn listed(names: &[&str]) -> String {
    let shown = names
        .iter()
        .take(NAMED)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
