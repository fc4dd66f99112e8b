//! What would have to change for an expression to reach a value.
//!
//! In: an expression, the wanted value, a configuration. Out: a [`Need`], `None` where the value is
//! reached already. Pure logic on Kconfig's three values.

use crate::kconfig::index::Expr;
use crate::kconfig::parse::ConfigFile;
use crate::kconfig::symbol::Tristate;

/// A change that is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Need {
    /// Each of these.
    All(Vec<Need>),
    /// One of these.
    Any(Vec<Need>),
    /// The option must be at least this.
    AtLeast(String, Tristate),
    /// The option must be at most this.
    AtMost(String, Tristate),
    /// The comparison must hold, or must not.
    Compare { text: String, holds: bool },
    /// A tool must answer otherwise.
    Tool(String),
    /// A constant stands in the way.
    Never,
}

/// What `expr` needs to be at least `wanted`.
pub(super) fn at_least(expr: &Expr, wanted: Tristate, config: &ConfigFile) -> Option<Need> {
    if expr.value(config).is_some_and(|value| value >= wanted) {
        return None;
    }
    Some(match expr {
        Expr::Symbol(name) => Need::AtLeast(name.clone(), wanted),
        Expr::Text(_) => Need::Never,
        Expr::Macro(call) => Need::Tool(call.clone()),
        Expr::Not(inner) => return at_most(inner, !wanted, config),
        Expr::And(terms) => all(terms
            .iter()
            .filter_map(|term| at_least(term, wanted, config))
            .collect()),
        Expr::Or(terms) => any(terms
            .iter()
            .filter_map(|term| at_least(term, wanted, config))
            .collect()),
        Expr::Compare(..) => compared(expr, true),
    })
}

/// What `expr` needs to be at most `wanted`.
fn at_most(expr: &Expr, wanted: Tristate, config: &ConfigFile) -> Option<Need> {
    if expr.value(config).is_some_and(|value| value <= wanted) {
        return None;
    }
    Some(match expr {
        Expr::Symbol(name) => Need::AtMost(name.clone(), wanted),
        Expr::Text(_) => Need::Never,
        Expr::Macro(call) => Need::Tool(call.clone()),
        Expr::Not(inner) => return at_least(inner, !wanted, config),
        Expr::And(terms) => any(terms
            .iter()
            .filter_map(|term| at_most(term, wanted, config))
            .collect()),
        Expr::Or(terms) => all(terms
            .iter()
            .filter_map(|term| at_most(term, wanted, config))
            .collect()),
        Expr::Compare(..) => compared(expr, false),
    })
}

/// `A = y` and the like say nothing else than `A`; all other comparisons stay as they are.
fn compared(expr: &Expr, holds: bool) -> Need {
    use crate::kconfig::index::Operator::{Equal, NotEqual};
    if let Expr::Compare(left, operator @ (Equal | NotEqual), right) = expr
        && let (Expr::Symbol(name), Expr::Text(text)) = (left.as_ref(), right.as_ref())
    {
        let same = (*operator == Equal) == holds;
        match (text.as_str(), same) {
            ("y", true) => return Need::AtLeast(name.clone(), Tristate::Yes),
            ("n", true) => return Need::AtMost(name.clone(), Tristate::No),
            ("n", false) => return Need::AtLeast(name.clone(), Tristate::Module),
            _ => {}
        }
    }
    Need::Compare {
        text: expr.to_string(),
        holds,
    }
}

fn all(needs: Vec<Need>) -> Need {
    one_or(needs, Need::All)
}

/// What can never be is no alternative, as long as there is another.
fn any(needs: Vec<Need>) -> Need {
    let possible: Vec<Need> = needs
        .iter()
        .filter(|need| **need != Need::Never)
        .cloned()
        .collect();
    if possible.is_empty() {
        Need::Never
    } else {
        one_or(possible, Need::Any)
    }
}

fn one_or(mut needs: Vec<Need>, many: fn(Vec<Need>) -> Need) -> Need {
    match (needs.len(), needs.pop()) {
        (1, Some(need)) => need,
        (_, last) => {
            needs.extend(last);
            many(needs)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kconfig::index::Operator;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn s(name: &str) -> Expr {
        Expr::Symbol(name.to_owned())
    }

    fn not(inner: Expr) -> Expr {
        Expr::Not(Box::new(inner))
    }

    fn up(name: &str, value: Tristate) -> Need {
        Need::AtLeast(name.to_owned(), value)
    }

    fn down(name: &str, value: Tristate) -> Need {
        Need::AtMost(name.to_owned(), value)
    }

    #[test]
    fn what_is_missing_is_named_and_no_more() {
        use Tristate::{Module, No, Yes};
        let config = ConfigFile::parse("x", "CONFIG_Y=y\nCONFIG_M=m\n").unwrap();
        let is = |name: &str, text: &str| {
            Expr::Compare(
                Box::new(s(name)),
                Operator::Equal,
                Box::new(Expr::Text(text.into())),
            )
        };
        for (expr, wanted, expected) in [
            (s("Y"), Yes, None),
            (s("M"), Module, None),
            (s("M"), Yes, Some(up("M", Yes))),
            (
                Expr::And(vec![s("Y"), s("A"), s("M")]),
                Yes,
                Some(Need::All(vec![up("A", Yes), up("M", Yes)])),
            ),
            (
                Expr::And(vec![s("Y"), s("A"), s("M")]),
                Module,
                Some(up("A", Module)),
            ),
            (
                Expr::Or(vec![s("A"), s("B")]),
                Yes,
                Some(Need::Any(vec![up("A", Yes), up("B", Yes)])),
            ),
            (not(s("Y")), Yes, Some(down("Y", No))),
            (not(s("M")), Module, None),
            (
                not(Expr::And(vec![s("Y"), s("M")])),
                Yes,
                Some(Need::Any(vec![down("Y", No), down("M", No)])),
            ),
            (
                not(Expr::Or(vec![s("Y"), s("A")])),
                Yes,
                Some(down("Y", No)),
            ),
            (is("Y", "n"), Yes, Some(down("Y", No))),
            (
                is("STR", "x"),
                Yes,
                Some(Need::Compare {
                    text: "STR = \"x\"".into(),
                    holds: true,
                }),
            ),
            (Expr::Text("n".into()), Yes, Some(Need::Never)),
            (
                Expr::Macro("$(cc)".into()),
                Yes,
                Some(Need::Tool("$(cc)".into())),
            ),
        ] {
            assert_eq!(
                at_least(&expr, wanted, &config),
                expected,
                "{expr} {wanted}"
            );
        }
    }

    fn any_expr() -> impl Strategy<Value = Expr> {
        let leaf = prop_oneof!["[A-D]".prop_map(Expr::Symbol), "[ymn]".prop_map(Expr::Text),];
        leaf.prop_recursive(4, 24, 3, |inner| {
            prop_oneof![
                inner.clone().prop_map(not),
                prop::collection::vec(inner.clone(), 1..4).prop_map(Expr::And),
                prop::collection::vec(inner, 1..4).prop_map(Expr::Or),
            ]
        })
    }

    /// The options that a need asks to change, all of those of a choice of ways being one way.
    fn satisfy(need: &Need, values: &mut BTreeMap<String, Tristate>) -> bool {
        match need {
            Need::All(needs) => needs.iter().all(|need| satisfy(need, values)),
            Need::Any(needs) => needs.first().is_some_and(|need| satisfy(need, values)),
            Need::AtLeast(name, value) | Need::AtMost(name, value) => {
                // Two needs that pull one option to different sides cannot both be met.
                values
                    .insert(name.clone(), *value)
                    .is_none_or(|before| before == *value)
            }
            Need::Compare { .. } | Need::Tool(_) | Need::Never => false,
        }
    }

    fn config(values: &BTreeMap<String, Tristate>) -> ConfigFile {
        let line = |(name, value): (&String, &Tristate)| format!("CONFIG_{name}={value}\n");
        let text: String = values.iter().map(line).collect();
        ConfigFile::parse("x", &format!("CONFIG_MODULES=y\n{text}")).expect("a configuration")
    }

    proptest! {
        /// Nothing is needed exactly where the value is reached; and where every option of an
        /// expression stands in it once, doing what is needed reaches it.
        #[test]
        fn needs_are_what_is_missing(expr in any_expr(), values in prop::collection::btree_map("[A-D]", 0..3_usize, 4), wanted in 1..3_usize) {
            let three = [Tristate::No, Tristate::Module, Tristate::Yes];
            let mut values: BTreeMap<String, Tristate> = values.into_iter().map(|(name, value)| (name, three[value])).collect();
            let wanted = three[wanted];
            let before = config(&values);
            let need = at_least(&expr, wanted, &before);
            prop_assert_eq!(need.is_none(), expr.value(&before) >= Some(wanted));
            let once = format!("{expr} ").matches(|c: char| c.is_ascii_uppercase()).count() == expr.symbols().len();
            let mut asked = BTreeMap::new();
            if let Some(need) = need && once && satisfy(&need, &mut asked) {
                values.extend(asked);
                prop_assert!(expr.value(&config(&values)) >= Some(wanted), "{} needs {:?}", expr, need);
            }
        }
    }
}
