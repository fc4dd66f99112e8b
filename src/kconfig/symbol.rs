//! Names and values of kernel options.
//!
//! In: text as people and kbuild write it. Out: [`Symbol`], [`Value`] and [`SymbolType`], which cannot
//! be malformed. Must not know where a value came from, nor whether any tree has the option.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The name of a kernel option, without the `CONFIG_` of configuration files.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(Box<str>);

impl Symbol {
    /// What configuration files put before every name.
    pub const PREFIX: &str = "CONFIG_";

    /// The bare name: `CHECKPOINT_RESTORE`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name that is known to be well formed because a lexer cut it out by the same rule.
    pub(super) fn cut(name: &str) -> Self {
        debug_assert!(is_name(name), "{name}");
        Self(name.into())
    }
}

/// Whether `text` can be the name of an option.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The text cannot be the name of a kernel option.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no name of a kernel option: letters, digits and `_` expected")]
pub struct NotASymbol(String);

/// With or without `CONFIG_`.
impl FromStr for Symbol {
    type Err = NotASymbol;

    fn from_str(text: &str) -> Result<Self, NotASymbol> {
        let name = text.strip_prefix(Self::PREFIX).unwrap_or(text);
        if is_name(name) {
            Ok(Self(name.into()))
        } else {
            Err(NotASymbol(text.to_owned()))
        }
    }
}

/// The bare name.
impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for Symbol {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for Symbol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Symbol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// The type that an option has in Kconfig.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SymbolType {
    /// On or off.
    Bool,
    /// Built in, a module, or off.
    Tristate,
    /// A decimal number.
    Int,
    /// A hexadecimal number.
    Hex,
    /// A text.
    String,
}

impl SymbolType {
    /// The word that Kconfig uses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Tristate => "tristate",
            Self::Int => "int",
            Self::Hex => "hex",
            Self::String => "string",
        }
    }

    /// What a line for an option of this type may say.
    #[must_use]
    pub fn legal_values(self) -> &'static str {
        match self {
            Self::Bool => "y or n",
            Self::Tristate => "y, m or n",
            Self::Int => "a decimal number",
            Self::Hex => "a hexadecimal number that starts with 0x",
            Self::String => "a text in double quotes",
        }
    }

    /// Whether an option of this type can have this value. `n` is "not set" for every type.
    #[must_use]
    pub fn accepts(self, value: &Value) -> bool {
        match value {
            Value::No => true,
            Value::Module => self == Self::Tristate,
            Value::Yes => matches!(self, Self::Bool | Self::Tristate),
            Value::Number(_) => self == Self::Int,
            Value::Hex(_) => self == Self::Hex,
            Value::Text(_) => self == Self::String,
        }
    }
}

impl fmt::Display for SymbolType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Kconfig's three-valued logic: `&&` is the smaller, `||` the larger, `!` the mirror image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tristate {
    /// Off.
    #[serde(rename = "n")]
    No,
    /// As a module.
    #[serde(rename = "m")]
    Module,
    /// Built in.
    #[serde(rename = "y")]
    Yes,
}

impl std::ops::Not for Tristate {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Module => Self::Module,
            Self::Yes => Self::No,
        }
    }
}

impl fmt::Display for Tristate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::No => "n",
            Self::Module => "m",
            Self::Yes => "y",
        })
    }
}

/// The value of an option in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// `n`, or "is not set".
    No,
    /// `m`: a loadable module.
    Module,
    /// `y`: on, built in.
    Yes,
    /// A text, without quotes and escapes.
    Text(String),
    /// A decimal number.
    Number(i64),
    /// A hexadecimal number.
    Hex(u64),
}

impl Value {
    /// The value as one of Kconfig's three, where it is one.
    #[must_use]
    pub fn tristate(&self) -> Option<Tristate> {
        match self {
            Self::No => Some(Tristate::No),
            Self::Module => Some(Tristate::Module),
            Self::Yes => Some(Tristate::Yes),
            Self::Text(_) | Self::Number(_) | Self::Hex(_) => None,
        }
    }

    /// The line of a configuration file that gives `symbol` this value.
    #[must_use]
    pub fn line(&self, symbol: &Symbol) -> String {
        match self {
            Self::No => format!("# CONFIG_{symbol} is not set"),
            value => format!("CONFIG_{symbol}={value}"),
        }
    }
}

impl From<Tristate> for Value {
    fn from(value: Tristate) -> Self {
        match value {
            Tristate::No => Self::No,
            Tristate::Module => Self::Module,
            Tristate::Yes => Self::Yes,
        }
    }
}

/// As it stands after the `=`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No => f.write_str("n"),
            Self::Module => f.write_str("m"),
            Self::Yes => f.write_str("y"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Hex(number) => write!(f, "{number:#x}"),
            Self::Text(text) => {
                let escaped = text.replace('\\', r"\\").replace('"', "\\\"");
                write!(f, "\"{escaped}\"")
            }
        }
    }
}

/// Why the text after `=` is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAValue {
    /// Nothing there.
    Empty,
    /// A quote that is not closed, or something after the closing one.
    Quotes,
    /// A bare word: a text needs quotes.
    Word,
    /// A number that does not fit 64 bits.
    TooLarge,
}

impl FromStr for Value {
    type Err = NotAValue;

    fn from_str(text: &str) -> Result<Self, NotAValue> {
        match text {
            "" => Err(NotAValue::Empty),
            "y" => Ok(Self::Yes),
            "m" => Ok(Self::Module),
            "n" => Ok(Self::No),
            _ if text.starts_with('"') => unquoted(text).map(Self::Text).ok_or(NotAValue::Quotes),
            _ => number(text),
        }
    }
}

fn number(text: &str) -> Result<Value, NotAValue> {
    let digits = |text: &str, radix| !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        if !digits(hex, 16) {
            return Err(NotAValue::Word);
        }
        return u64::from_str_radix(hex, 16)
            .map(Value::Hex)
            .map_err(|_| NotAValue::TooLarge);
    }
    if !digits(text.strip_prefix('-').unwrap_or(text), 10) {
        // Kconfig files give some hexadecimal defaults without 0x, and kbuild writes them as they are.
        let bare = text.starts_with(|c: char| c.is_ascii_digit()) && digits(text, 16);
        let hex = bare.then(|| u64::from_str_radix(text, 16).map(Value::Hex));
        return hex.ok_or(NotAValue::Word)?.map_err(|_| NotAValue::TooLarge);
    }
    text.parse()
        .map(Value::Number)
        .map_err(|_| NotAValue::TooLarge)
}

/// The inside of a quoted text, by the rule of `scripts/kconfig/confdata.c`: a backslash protects the
/// character after it, the first bare quote ends the text, and nothing may follow.
fn unquoted(text: &str) -> Option<String> {
    let mut inside = String::with_capacity(text.len());
    let mut chars = text.strip_prefix('"')?.chars();
    loop {
        match chars.next()? {
            '"' => return chars.as_str().is_empty().then_some(inside),
            '\\' => inside.push(chars.next()?),
            c => inside.push(c),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let error = |_| serde::de::Error::custom(format!("`{text}` is no value of an option"));
        text.parse().map_err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_of_configuration_files() {
        let text = |t: &str| Ok(Value::Text(t.to_owned()));
        for (input, expected) in [
            ("y", Ok(Value::Yes)),
            ("m", Ok(Value::Module)),
            ("n", Ok(Value::No)),
            ("17", Ok(Value::Number(17))),
            ("-1", Ok(Value::Number(-1))),
            ("0x1000000", Ok(Value::Hex(0x0100_0000))),
            (r#""""#, text("")),
            (
                r#""-microsoft-standard-WSL2""#,
                text("-microsoft-standard-WSL2"),
            ),
            (r#""a \"b\" \\c""#, text(r#"a "b" \c"#)),
            ("", Err(NotAValue::Empty)),
            ("yes", Err(NotAValue::Word)),
            ("y # why", Err(NotAValue::Word)),
            ("34c", Ok(Value::Hex(0x34c))),
            ("0x", Err(NotAValue::Word)),
            ("-", Err(NotAValue::Word)),
            ("99999999999999999999", Err(NotAValue::TooLarge)),
            (r#""open"#, Err(NotAValue::Quotes)),
            (r#""a"b""#, Err(NotAValue::Quotes)),
            (r#""open\""#, Err(NotAValue::Quotes)),
        ] {
            assert_eq!(input.parse::<Value>(), expected, "{input}");
        }
    }

    #[test]
    fn names_with_and_without_prefix() {
        for text in ["CONFIG_64BIT", "64BIT"] {
            assert_eq!(
                text.parse::<Symbol>().map(|s| s.to_string()),
                Ok("64BIT".to_owned())
            );
        }
        for text in ["", "CONFIG_", "A B", "A-B", "Ä"] {
            assert!(text.parse::<Symbol>().is_err(), "{text}");
        }
    }

    #[test]
    fn types_and_their_values() {
        use SymbolType::{Bool, Hex, Int, String, Tristate};
        for (value, accepting) in [
            ("n", vec![Bool, Tristate, Int, Hex, String]),
            ("m", vec![Tristate]),
            ("y", vec![Bool, Tristate]),
            ("3", vec![Int]),
            ("0x3", vec![Hex]),
            (r#""3""#, vec![String]),
        ] {
            let parsed: Value = value.parse().unwrap_or(Value::No);
            for ty in [Bool, Tristate, Int, Hex, String] {
                assert_eq!(ty.accepts(&parsed), accepting.contains(&ty), "{ty} {value}");
            }
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::No),
            Just(Value::Module),
            Just(Value::Yes),
            any::<i64>().prop_map(Value::Number),
            any::<u64>().prop_map(Value::Hex),
            "[^\n\r]*".prop_map(Value::Text),
        ]
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(value in any_value()) {
            prop_assert_eq!(value.to_string().parse(), Ok(value));
        }

        #[test]
        fn any_text_is_a_value_or_an_error(text in ".*") {
            let _either = text.parse::<Value>();
        }
    }
}
