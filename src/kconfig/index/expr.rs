//! Kconfig expressions and their values.
//!
//! In: nom-kconfig's syntax tree and the [tokens] of the file. Out: an [`Expr`], which can be kept and
//! evaluated against a configuration. Must not know menus, prompts or defaults.
//!
//! [tokens]: super::prepare::Token

use std::fmt;

use nom_kconfig::attribute::expression::CompareOperand;
use nom_kconfig::attribute::r#macro::Macro;
use nom_kconfig::attribute::{
    AndExpression, Atom, CompareExpression, CompareOperator, Expression, OrExpression, Term,
};
use nom_kconfig::symbol::{ConstantSymbol, Symbol as NomSymbol};
use serde::{Deserialize, Serialize};

use super::prepare::Token;
use crate::kconfig::parse::ConfigFile;
use crate::kconfig::symbol::{Tristate, Value};

/// A Kconfig expression.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expr {
    /// An option.
    #[serde(rename = "s")]
    Symbol(String),
    /// A constant: `y`, `m`, `n`, a number, a quoted text.
    #[serde(rename = "t")]
    Text(String),
    /// What only kbuild knows: a macro that asks the compiler or another tool.
    #[serde(rename = "x")]
    Macro(String),
    /// `!`.
    #[serde(rename = "n")]
    Not(Box<Expr>),
    /// `&&`.
    #[serde(rename = "a")]
    And(Vec<Expr>),
    /// `||`.
    #[serde(rename = "o")]
    Or(Vec<Expr>),
    /// A comparison.
    #[serde(rename = "c")]
    Compare(Box<Expr>, Operator, Box<Expr>),
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    /// `=`.
    #[serde(rename = "=")]
    Equal,
    /// `!=`.
    #[serde(rename = "!=")]
    NotEqual,
    /// `<`.
    #[serde(rename = "<")]
    Less,
    /// `<=`.
    #[serde(rename = "<=")]
    LessOrEqual,
    /// `>`.
    #[serde(rename = ">")]
    Greater,
    /// `>=`.
    #[serde(rename = ">=")]
    GreaterOrEqual,
}

impl Operator {
    fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

impl Expr {
    /// The value under `config`; `None` where only kbuild knows it.
    #[must_use]
    pub fn value(&self, config: &ConfigFile) -> Option<Tristate> {
        match self {
            Self::Symbol(name) => Some(symbol_tristate(name, config)),
            Self::Text(text) => Some(text_tristate(text, config)),
            Self::Macro(_) => None,
            Self::Not(inner) => inner.value(config).map(|value| !value),
            Self::And(terms) => fold(terms, config, Tristate::No, std::cmp::min, Tristate::Yes),
            Self::Or(terms) => fold(terms, config, Tristate::Yes, std::cmp::max, Tristate::No),
            Self::Compare(left, operator, right) => {
                let (left, right) = (left.text(config)?, right.text(config)?);
                Some(if operator.holds(compare(&left, &right)) {
                    Tristate::Yes
                } else {
                    Tristate::No
                })
            }
        }
    }

    /// The value as a text, as comparisons see it.
    #[must_use]
    pub fn text(&self, config: &ConfigFile) -> Option<String> {
        match self {
            Self::Symbol(name) => Some(symbol_text(name, config)),
            Self::Text(text) => Some(text.clone()),
            Self::Macro(_) => None,
            other => other.value(config).map(|value| value.to_string()),
        }
    }

    /// The options in the expression, in order, each once.
    #[must_use]
    pub fn symbols(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.collect(&mut names);
        names
    }

    fn collect<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Self::Symbol(name) if !names.contains(&name.as_str()) => names.push(name),
            Self::Symbol(_) | Self::Text(_) | Self::Macro(_) => {}
            Self::Not(inner) => inner.collect(names),
            Self::And(terms) | Self::Or(terms) => terms.iter().for_each(|term| term.collect(names)),
            Self::Compare(left, _, right) => {
                left.collect(names);
                right.collect(names);
            }
        }
    }

    /// Both must hold.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let mut terms = match self {
            Self::And(terms) => terms,
            single => vec![single],
        };
        match other {
            Self::And(more) => terms.extend(more),
            single => terms.push(single),
        }
        Self::And(terms)
    }

    /// The parts that must all hold.
    #[must_use]
    pub fn conjuncts(&self) -> &[Self] {
        match self {
            Self::And(terms) => terms,
            single => std::slice::from_ref(single),
        }
    }
}

/// One value decides (`n` for and, `y` for or); else an unknown term makes the whole unknown.
fn fold(
    terms: &[Expr],
    config: &ConfigFile,
    decisive: Tristate,
    join: fn(Tristate, Tristate) -> Tristate,
    empty: Tristate,
) -> Option<Tristate> {
    let mut result = Some(empty);
    for term in terms {
        match term.value(config) {
            Some(value) if value == decisive => return Some(decisive),
            Some(value) => result = result.map(|result| join(result, value)),
            None => result = None,
        }
    }
    result
}

fn symbol_tristate(name: &str, config: &ConfigFile) -> Tristate {
    config
        .value(name)
        .and_then(Value::tristate)
        .unwrap_or(Tristate::No)
}

/// What an option without a line is compared as: `n` fits the rule for options that are off, and no
/// text or number equals it.
fn symbol_text(name: &str, config: &ConfigFile) -> String {
    match config.value(name) {
        None => "n".to_owned(),
        Some(Value::Text(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}

/// `m` means nothing where modules are switched off.
fn text_tristate(text: &str, config: &ConfigFile) -> Tristate {
    match text {
        "y" => Tristate::Yes,
        "m" => symbol_tristate("MODULES", config).min(Tristate::Module),
        _ => Tristate::No,
    }
}

/// Numbers by value, all else by text.
fn compare(left: &str, right: &str) -> std::cmp::Ordering {
    match (number(left), number(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        _ => left.cmp(right),
    }
}

fn number(text: &str) -> Option<i128> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => i128::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Kconfig's own notation.
impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Symbol(name) => f.write_str(name),
            Self::Text(text)
                if matches!(text.as_str(), "y" | "m" | "n") || number(text).is_some() =>
            {
                f.write_str(text)
            }
            Self::Text(text) => write!(f, "\"{text}\""),
            Self::Macro(call) => f.write_str(call),
            Self::Not(inner) => write!(f, "!{}", Tight(inner)),
            Self::And(terms) => joined(f, terms, " && "),
            Self::Or(terms) => joined(f, terms, " || "),
            Self::Compare(left, operator, right) => write!(f, "{left} {} {right}", operator.sign()),
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, terms: &[Expr], sign: &str) -> fmt::Result {
    for (index, term) in terms.iter().enumerate() {
        let sign = if index == 0 { "" } else { sign };
        match term {
            Expr::Or(_) | Expr::And(_) => write!(f, "{sign}{}", Tight(term))?,
            _ => write!(f, "{sign}{term}")?,
        }
    }
    Ok(())
}

/// In parentheses where needed.
struct Tight<'a>(&'a Expr);

impl fmt::Display for Tight<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            single @ (Expr::Symbol(_) | Expr::Text(_) | Expr::Macro(_) | Expr::Not(_)) => {
                write!(f, "{single}")
            }
            compound => write!(f, "({compound})"),
        }
    }
}

/// Turns nom-kconfig's syntax into ours, putting back what tokens stand for.
pub(super) struct Converter<'a>(pub &'a [Token]);

impl Converter<'_> {
    pub(super) fn expression(&self, expression: &Expression) -> Expr {
        match expression {
            OrExpression::Term(and) => self.and(and),
            OrExpression::Expression(terms) => {
                Expr::Or(terms.iter().map(|and| self.and(and)).collect())
            }
        }
    }

    fn and(&self, and: &AndExpression) -> Expr {
        match and {
            AndExpression::Term(term) => self.term(term),
            AndExpression::Expression(terms) => {
                Expr::And(terms.iter().map(|term| self.term(term)).collect())
            }
        }
    }

    fn term(&self, term: &Term) -> Expr {
        match term {
            Term::Not(atom) => Expr::Not(Box::new(self.atom(atom))),
            Term::Atom(atom) => self.atom(atom),
        }
    }

    fn atom(&self, atom: &Atom) -> Expr {
        match atom {
            Atom::Symbol(symbol) => self.symbol(symbol),
            Atom::Compare(compare) => self.compare(compare),
            Atom::Macro(call) => call_text(call),
            Atom::Parenthesis(inner) => self.expression(inner),
        }
    }

    fn compare(&self, compare: &CompareExpression) -> Expr {
        let operator = match compare.operator {
            CompareOperator::Equal => Operator::Equal,
            CompareOperator::NotEqual => Operator::NotEqual,
            CompareOperator::LowerThan => Operator::Less,
            CompareOperator::LowerOrEqual => Operator::LessOrEqual,
            CompareOperator::GreaterThan => Operator::Greater,
            CompareOperator::GreaterOrEqual => Operator::GreaterOrEqual,
        };
        let side = |operand: &CompareOperand| match operand {
            CompareOperand::Symbol(symbol) => self.symbol(symbol),
            CompareOperand::Macro(call) => call_text(call),
        };
        Expr::Compare(
            Box::new(side(&compare.left)),
            operator,
            Box::new(side(&compare.right)),
        )
    }

    pub(super) fn symbol(&self, symbol: &NomSymbol) -> Expr {
        match symbol {
            NomSymbol::NonConstant(name) => Expr::Symbol(name.trim().to_owned()),
            NomSymbol::Constant(ConstantSymbol::String(text)) => self.token(text),
            NomSymbol::Constant(constant) => Expr::Text(constant.to_string()),
        }
    }

    /// What the inside of a quoted text stands for.
    pub(super) fn token(&self, text: &str) -> Expr {
        match self.lookup(text) {
            Some(Token::Text(text)) => Expr::Text(text.clone()),
            Some(Token::Macro(call) | Token::Source(call)) => Expr::Macro(call.clone()),
            None => Expr::Text(text.to_owned()),
        }
    }

    pub(super) fn lookup(&self, text: &str) -> Option<&Token> {
        let index: usize = text.trim_matches('"').strip_prefix('t')?.parse().ok()?;
        self.0.get(index)
    }
}

fn call_text(call: &Macro) -> Expr {
    Expr::Macro(call.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nom_kconfig::{KconfigInput, attribute::parse_expression};

    fn expr(text: &str) -> Expr {
        let prepared = super::super::prepare::prepare(&format!("depends on {text}"), &[]);
        let text = prepared.text.trim_start_matches("depends on ").trim();
        let input = KconfigInput::new_extra(text, nom_kconfig::KconfigFile::default());
        let (rest, expression) = parse_expression(input).unwrap();
        assert_eq!(*rest.fragment(), "", "{text}");
        Converter(&prepared.tokens).expression(&expression)
    }

    #[test]
    fn values_under_a_configuration() {
        let config = "CONFIG_Y=y\nCONFIG_M=m\n# CONFIG_N is not set\nCONFIG_NUM=12\nCONFIG_HEX=0x10\nCONFIG_STR=\"abc\"\n";
        let config = ConfigFile::parse("x", config).unwrap();
        for (text, expected) in [
            ("Y", Some("y")),
            ("M", Some("m")),
            ("N", Some("n")),
            ("GONE", Some("n")),
            ("y", Some("y")),
            ("!M", Some("m")),
            ("Y && M", Some("m")),
            ("N || M", Some("m")),
            ("Y && (N || !N)", Some("y")),
            ("!(Y && N)", Some("y")),
            ("M = m", Some("y")),
            ("M != n", Some("y")),
            ("GONE = n", Some("y")),
            ("STR = \"abc\"", Some("y")),
            ("STR != \"abc\"", Some("n")),
            ("NUM < 13", Some("y")),
            ("NUM >= 120000", Some("n")),
            ("HEX = 16", Some("y")),
            ("$(cc-option,-fx)", None),
            ("N && $(cc-option,-fx)", Some("n")),
            ("Y && $(cc-option,-fx)", None),
            ("Y || $(cc-option,-fx)", Some("y")),
        ] {
            let value = expr(text).value(&config).map(|value| value.to_string());
            assert_eq!(value.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn text_and_back() {
        for text in [
            "A",
            "!A",
            "A && (B || !C)",
            "!(A || B)",
            "A = \"x y\" || B < 12",
            "A && $(cc-option,-fx)",
        ] {
            assert_eq!(expr(text).to_string(), text);
            let json = serde_json::to_string(&expr(text)).unwrap();
            assert_eq!(serde_json::from_str::<Expr>(&json).unwrap(), expr(text));
        }
        assert_eq!(
            expr("A && (B || !A) && C = D").symbols(),
            ["A", "B", "C", "D"]
        );
    }
}
