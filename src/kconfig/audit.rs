//! The audit: what was asked for, guarded or inherited, against what the tree's own tool made of it.
//!
//! In: base, merged and final configuration, the guards, and the tree's options. Out: an [`Audit`]:
//! one [`Finding`] per option of interest, with a verdict. Must not change a configuration, and must
//! not explain: [`super::explain`] says why.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::KconfigError;
use super::blame::INSTEAD;

use super::explain::Explanation;
use super::fragment::Request;
use super::merge::{Merged, Skipped, Symbols};
use super::parse::{ConfigFile, Origin};
use super::symbol::{Symbol, SymbolType, Tristate, Value};
use super::tree::Arch;

/// Lines of advice that a hint holds.
const NAMED: usize = 6;

/// The answer to "is this the kernel configuration that was wanted?"; written as `audit.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Name and version of this format.
    pub schema: String,
    /// The git tree id of the sources.
    pub tree: String,
    /// Their series.
    pub series: String,
    /// The architecture configured for.
    pub arch: Arch,
    /// Where the base came from.
    pub base: String,
    /// Whether every option of the base must still be there; else the base is only a starting point.
    pub keep_base: bool,
    /// Every option that a fragment asks for.
    pub requested: Vec<Finding>,
    /// Every option that must be built in for WSL to start.
    pub guarded: Vec<Finding>,
    /// Options that the base has and the result has not, or has weaker; empty where the base is only a
    /// starting point.
    pub lost: Vec<Finding>,
    /// Requests and guards that are not meant for this tree.
    pub skipped: Vec<Skipped>,
    /// How many options the base sets.
    pub base_options: usize,
    /// Kconfig files that could not be read, so that some reasons may be missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
}

/// One option: wanted, found, and what to think of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The option, its wanted value, who wants it and why.
    #[serde(flatten)]
    pub request: Request,
    /// Its value in the final configuration; `None` where it has no line there.
    pub found: Option<Value>,
    /// Its value in the base; `None` where it has no line there.
    pub base: Option<Value>,
    /// What to think of it.
    pub verdict: Verdict,
    /// Why it is not as wanted, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Explanation>,
}

/// What to think of an option's final value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As wanted.
    Met,
    /// Asked for or guarded, and not so.
    Missed,
    /// The base had it, nobody asked otherwise, and it is gone, weaker or different.
    Lost,
    /// The base had it; it now depends on an option that the base's kernel did not know.
    NewDependency,
    /// The base had it; this tree has no such option, or one of another type under that name.
    Absent,
    /// The base had it; nobody can set it: it follows from other options or from the compiler.
    Derived,
    /// The base had it; a fragment asks otherwise.
    Overruled,
}

impl Verdict {
    /// Whether this breaks the contract.
    #[must_use]
    pub fn fails(self) -> bool {
        matches!(self, Self::Missed | Self::Lost)
    }

    /// Whether the user should see it although the contract holds.
    #[must_use]
    pub fn warns(self) -> bool {
        matches!(self, Self::NewDependency | Self::Absent)
    }
}

impl Audit {
    /// Name and version of the format.
    pub const SCHEMA: &str = "wslk/audit/1";

    /// The document that `audit.json` holds.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Nothing in an audit is without a JSON form; tests write whole audits.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Reads back what [`Audit::to_json`] wrote to `path`.
    pub fn from_json(path: &Path, text: &str) -> Result<Self, KconfigError> {
        serde_json::from_str(text).map_err(|source| KconfigError::BadAudit {
            path: path.to_owned(),
            source,
        })
    }

    /// Whether the contract is met.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures().next().is_none()
    }

    /// All findings: requested, guarded, lost.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.requested.iter().chain(&self.guarded).chain(&self.lost)
    }

    /// The findings that break the contract.
    pub fn failures(&self) -> impl Iterator<Item = &Finding> {
        self.findings().filter(|finding| finding.verdict.fails())
    }

    /// The findings that the user should see although the contract holds.
    pub fn warnings(&self) -> impl Iterator<Item = &Finding> {
        self.findings().filter(|finding| finding.verdict.warns())
    }

    /// What would mend the failures, where that is known.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        let mut lines: Vec<&str> = Vec::new();
        for line in self
            .failures()
            .filter_map(|finding| finding.why.as_ref())
            .flat_map(|why| &why.set)
        {
            if !lines.contains(&line.as_str()) {
                lines.push(line);
            }
        }
        // Where a fragment's line stands behind it all, the rest follows from that line.
        if lines.iter().any(|line| line.contains(INSTEAD)) {
            lines.retain(|line| line.contains(INSTEAD));
        }
        lines.truncate(NAMED);
        let mut advice = Vec::new();
        if !lines.is_empty() {
            advice.push(format!("put into a fragment: {}", lines.join(", ")));
        }
        let lost = self
            .lost
            .iter()
            .find(|finding| finding.verdict == Verdict::Lost);
        advice.extend(lost.map(|finding| {
            let line = Value::No.line(&finding.request.symbol);
            format!("to give up an option of the base, say so in a fragment: {line}")
        }));
        (!advice.is_empty()).then(|| advice.join("\n"))
    }

    /// The findings whose explanation is worth the time.
    pub(super) fn unexplained(&mut self) -> impl Iterator<Item = &mut Finding> {
        let all = self
            .requested
            .iter_mut()
            .chain(&mut self.guarded)
            .chain(&mut self.lost);
        all.filter(|finding| matches!(finding.verdict, Verdict::Missed | Verdict::Lost))
    }
}

/// What an audit compares.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// The base configuration.
    pub base: &'a ConfigFile,
    /// Whether every option of the base must still be there.
    pub keep_base: bool,
    /// Base and fragments.
    pub merged: &'a Merged,
    /// What must be built in.
    pub guards: &'a [Request],
    /// The final configuration.
    pub result: &'a ConfigFile,
}

impl Evidence<'_> {
    /// The findings about what fragments ask for.
    #[must_use]
    pub fn requested(&self) -> Vec<Finding> {
        self.merged
            .requests
            .iter()
            .map(|request| self.wanted(request))
            .collect()
    }

    /// The findings about what is guarded.
    #[must_use]
    pub fn guarded(&self) -> Vec<Finding> {
        self.guards
            .iter()
            .map(|request| self.wanted(request))
            .collect()
    }

    /// The options that the base has and the result has not, or has weaker or different.
    #[must_use]
    pub fn lost(&self, symbols: &dyn Symbols, settable: &dyn Fn(&Symbol) -> bool) -> Vec<Finding> {
        if !self.keep_base {
            return Vec::new();
        }
        let settings = self.base.settings().iter();
        let lost = settings
            .filter(|setting| is_lost(&setting.value, self.result.value(setting.symbol.as_str())));
        lost.map(|setting| {
            let request = inherited(&setting.symbol, &setting.value, self.base.origin(setting));
            let verdict = self.judge(&setting.symbol, &setting.value, symbols, settable);
            self.finding(&request, verdict)
        })
        .collect()
    }

    fn judge(
        &self,
        symbol: &Symbol,
        value: &Value,
        symbols: &dyn Symbols,
        settable: &dyn Fn(&Symbol) -> bool,
    ) -> Verdict {
        // A number of yesterday may be a switch of today; a module that became one is another matter.
        let fits = |known: SymbolType| known.accepts(value) || *value == Value::Module;
        let known = symbols.has(symbol) && symbols.symbol_type(symbol).is_none_or(fits);
        let asked = self
            .merged
            .requests
            .binary_search_by(|request| request.symbol.cmp(symbol))
            .is_ok();
        if asked {
            Verdict::Overruled
        } else if !known {
            Verdict::Absent
        } else if !settable(symbol) {
            Verdict::Derived
        } else {
            Verdict::Lost
        }
    }

    fn wanted(&self, request: &Request) -> Finding {
        let found = self.result.value(request.symbol.as_str());
        let verdict = if is_met(&request.value, found) {
            Verdict::Met
        } else {
            Verdict::Missed
        };
        self.finding(request, verdict)
    }

    fn finding(&self, request: &Request, verdict: Verdict) -> Finding {
        let name = request.symbol.as_str();
        Finding {
            request: request.clone(),
            found: self.result.value(name).cloned(),
            base: self.base.value(name).cloned(),
            verdict,
            why: None,
        }
    }
}

/// The wish that a line of the base stands for.
fn inherited(symbol: &Symbol, value: &Value, origin: Origin) -> Request {
    Request {
        symbol: symbol.clone(),
        value: value.clone(),
        origin,
        reason: String::new(),
        needed_by: String::new(),
        condition: super::fragment::Condition::default(),
    }
}

/// Off and "no line at all" are the same: kbuild leaves out what cannot be set.
fn is_met(wanted: &Value, found: Option<&Value>) -> bool {
    match found {
        Some(found) => wanted == found,
        None => *wanted == Value::No,
    }
}

/// Whether an option has become less: off or a module where it was more, or another text or number.
fn is_lost(base: &Value, found: Option<&Value>) -> bool {
    let found_tristate = found.map_or(Some(Tristate::No), Value::tristate);
    match (base.tristate(), found_tristate) {
        (Some(base), Some(found)) => found < base,
        _ => found != Some(base),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_before_is_lost() {
        let text = |t: &str| Value::Text(t.to_owned());
        for (base, found, expected) in [
            (Value::Yes, Some(Value::Yes), false),
            (Value::Yes, Some(Value::Module), true),
            (Value::Yes, None, true),
            (Value::Module, Some(Value::Yes), false),
            (Value::Module, Some(Value::No), true),
            (Value::No, None, false),
            (Value::No, Some(Value::Yes), false),
            (Value::Number(8), Some(Value::Number(8)), false),
            (Value::Number(8), Some(Value::Number(9)), true),
            (Value::Number(8), None, true),
            (text("a"), Some(text("b")), true),
        ] {
            assert_eq!(is_lost(&base, found.as_ref()), expected, "{base} {found:?}");
        }
    }

    #[test]
    fn no_line_means_off() {
        assert!(is_met(&Value::No, None));
        assert!(!is_met(&Value::Yes, None));
        assert!(!is_met(&Value::Module, Some(&Value::Yes)));
    }
}
