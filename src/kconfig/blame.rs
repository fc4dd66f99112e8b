//! Which lines of fragments stand behind a reason.
//!
//! In: an explanation, which knows options and values only, and the requests. Out: the explanation
//! with the lines named. Must not find reasons of its own.

use super::Request;
use super::explain::{Explanation, StepKind};
use super::symbol::{Symbol, Value};

/// Names in `why` the requests that are to blame, and drops advice that they follow already.
pub(super) fn named(mut why: Explanation, wanted: &Request, requests: &[Request]) -> Explanation {
    let asking = |name: &str| {
        requests
            .iter()
            .find(|request| request.symbol.as_str() == name)
    };
    let own = asking(wanted.symbol.as_str()).filter(|own| own.value != wanted.value);
    if let (Some(own), Some(step)) = (own, why.steps.first_mut())
        && step.kind == StepKind::Unexplained
    {
        step.kind = StepKind::Asked;
        step.text = asks(own);
    }
    for step in &mut why.steps {
        let symbols = std::mem::take(&mut step.symbols);
        for (name, value) in &symbols {
            // Who asked for another value is a victim as well.
            if let Some(request) =
                asking(name).filter(|request| request.value.to_string() == *value)
            {
                step.text.push_str(&format!("; {}", asks(request)));
            }
        }
        step.symbols = symbols;
    }
    let set = std::mem::take(&mut why.set).into_iter();
    why.set = set.filter_map(|line| beside(line, &asking)).collect();
    why
}

/// The advice beside what is asked already: nothing new, or another line to change.
fn beside<'a>(line: String, asking: &dyn Fn(&str) -> Option<&'a Request>) -> Option<String> {
    let parts = line
        .strip_prefix(Symbol::PREFIX)
        .and_then(|rest| rest.split_once('='));
    let Some((name, value)) = parts else {
        return Some(line);
    };
    match asking(name) {
        Some(request) if value.parse() == Ok(request.value.clone()) => None,
        Some(request) => Some(format!("{line}{INSTEAD}{}", request.origin)),
        None => Some(line),
    }
}

/// Stands in advice between a line and the one that it replaces.
pub(super) const INSTEAD: &str = " in place of ";

fn asks(request: &Request) -> String {
    let Request {
        symbol,
        value,
        origin,
        ..
    } = request;
    let value: &Value = value;
    format!("{origin} asks for CONFIG_{symbol}={value}")
}
