//! All there is to know about one option: what `explain` shows.
//!
//! In: a configuration that was made, and the fragments that there are. Out: a [`Card`]. Must not make
//! anything itself.

use std::fmt::Write as _;

use serde::Serialize;

use super::explain::{Explanation, StepKind, View, explain};
use super::index::{Definition, Entry};
use super::merge::Symbols as _;
use super::symbol::{Tristate, Value};
use super::{Configured, Fragment, KconfigError, Origin, Request, Symbol, SymbolType};

/// Selectors that are named before the rest becomes a number.
const NAMED: usize = 8;

/// One option of a tree under one configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Card {
    /// The option.
    pub symbol: Symbol,
    /// Its type; `None` where the file that says so could not be read.
    #[serde(rename = "type")]
    pub symbol_type: Option<SymbolType>,
    /// What `menuconfig` shows; `None` where a user cannot set it.
    pub prompt: Option<String>,
    /// Each `file:line` that defines it.
    pub defined: Vec<String>,
    /// What it depends on, in Kconfig's notation, menus and `if`s included; empty for nothing.
    pub depends_on: String,
    /// Its value in the base; `None` where it has no line there.
    pub base: Option<Value>,
    /// Its final value; `None` where it has no line.
    pub value: Option<Value>,
    /// Where the final value was written; `None` for a default or the work of other options.
    pub origin: Option<Origin>,
    /// The options that select it now, each with its value.
    pub selected_by: Vec<(String, String)>,
    /// What the fragments in use ask for.
    pub requests: Vec<Request>,
    /// What fragments that are not in use ask for.
    pub elsewhere: Vec<Request>,
    /// Why it is not as asked, or not on.
    pub why: Option<Explanation>,
}

impl Card {
    /// The card of `symbol`; `fragments` are all that wslk knows, in use or not.
    pub fn of(
        symbol: &Symbol,
        configured: &Configured,
        fragments: &[Fragment],
    ) -> Result<Self, KconfigError> {
        let Configured {
            base,
            result,
            index,
            requests,
            config,
        } = configured;
        let name = symbol.as_str();
        let Some(entry) = index.entry(name) else {
            return Err(KconfigError::NoSymbol {
                symbol: symbol.clone(),
                nearest: index.nearest(symbol),
            });
        };
        let view = View::new(index, result);
        let requests: Vec<Request> = requests
            .iter()
            .filter(|request| request.symbol == *symbol)
            .cloned()
            .collect();
        let others = fragments
            .iter()
            .flat_map(Fragment::requests)
            .filter(|request| request.symbol == *symbol);
        let elsewhere = others.filter(|other| {
            requests
                .iter()
                .all(|request| request.origin != other.origin)
        });
        let value = result.value(name).cloned();
        let origin = config
            .origins
            .get(symbol)
            .filter(|_| given(symbol, configured));
        Ok(Self {
            symbol_type: entry.symbol_type,
            prompt: entry
                .definitions
                .iter()
                .find_map(|definition| definition.prompt.clone()),
            defined: entry.definitions.iter().map(place).collect(),
            depends_on: view.depends_on(&entry),
            base: base.value(name).cloned(),
            origin: origin.cloned(),
            selected_by: pulling(&view, &entry, result),
            elsewhere: elsewhere.cloned().collect(),
            why: why(symbol, requests.first(), value.as_ref(), &entry, configured),
            symbol: symbol.clone(),
            requests,
            value,
        })
    }

    /// The card for people; ends in a line end.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = format!("CONFIG_{}\n", self.symbol);
        let mut row = |name: &str, value: &str| {
            let mut name = name;
            for line in wrapped(value) {
                let _infallible = writeln!(text, "  {name:<11} {line}");
                name = "";
            }
        };
        row(
            "prompt",
            self.prompt
                .as_deref()
                .unwrap_or("none: it cannot be set, it follows from others"),
        );
        row("type", self.symbol_type.map_or("unknown", SymbolType::name));
        row("defined", &self.defined.join(", "));
        row("depends on", &self.depends_on);
        row("base", &shown(self.base.as_ref()));
        let origin = self.origin.as_ref().map_or_else(
            || "by default or by other options".to_owned(),
            ToString::to_string,
        );
        row(
            "value",
            &format!("{} ({origin})", shown(self.value.as_ref())),
        );
        row("selected by", &self.selectors());
        for (requests, note) in [(&self.requests, ""), (&self.elsewhere, ", not in use")] {
            for request in requests {
                row(
                    "asked for",
                    &format!("{request} ({}{note})", request.origin),
                );
                row("  because", &request.reason);
                row("  needed by", &request.needed_by);
            }
        }
        if let Some(why) = &self.why {
            let title = format!("  why {}\n", shown(self.value.as_ref()));
            text.push_str(&title);
            for line in why.to_string().lines() {
                let _infallible = writeln!(text, "    {line}");
            }
        }
        text
    }

    fn selectors(&self) -> String {
        let named = self
            .selected_by
            .iter()
            .take(NAMED)
            .map(|(name, value)| format!("{name} ({value})"));
        let named = named.collect::<Vec<_>>().join(", ");
        match self.selected_by.len().saturating_sub(NAMED) {
            0 => named,
            more => format!("{named} and {more} more"),
        }
    }
}

/// Words in lines of a width that people read; no line for no words.
fn wrapped(text: &str) -> Vec<String> {
    const WIDTH: usize = 88;
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "not set".to_owned(), ToString::to_string)
}

fn place(definition: &Definition) -> String {
    format!("{}:{}", definition.file, definition.line)
}

/// Whether the line that was written is what the option has: the tree's own tool may have overruled it.
fn given(symbol: &Symbol, configured: &Configured) -> bool {
    let name = symbol.as_str();
    let asked = configured
        .requests
        .iter()
        .find(|request| request.symbol == *symbol)
        .map(|request| &request.value);
    let written = asked.or_else(|| configured.base.value(name));
    let off = Value::No;
    written == Some(configured.result.value(name).unwrap_or(&off))
}

fn pulling(view: &View<'_>, entry: &Entry, result: &super::ConfigFile) -> Vec<(String, String)> {
    let pulling = entry
        .selected_by
        .iter()
        .filter(|selector| view.pull(selector) > Tristate::No);
    pulling
        .map(|selector| (selector.by.clone(), shown(result.value(&selector.by))))
        .collect()
}

/// Why it is not as asked; where nobody asks, why it is off.
fn why(
    symbol: &Symbol,
    request: Option<&Request>,
    value: Option<&Value>,
    entry: &Entry,
    configured: &Configured,
) -> Option<Explanation> {
    let three = matches!(
        entry.symbol_type,
        Some(SymbolType::Bool | SymbolType::Tristate) | None
    );
    let wanted = match (request, value) {
        (Some(request), _) => &request.value,
        (None, None | Some(Value::No)) if three => &Value::Yes,
        _ => return None,
    };
    let mut why = explain(symbol, wanted, &configured.index, &configured.result);
    if request.is_none() {
        why.steps.retain(|step| step.kind != StepKind::Unexplained);
        if entry.has_prompt() {
            why.set.push(wanted.line(symbol));
        }
    }
    (!why.steps.is_empty() || !why.set.is_empty()).then_some(why)
}
