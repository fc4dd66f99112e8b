//! What can be wrong with a configuration file or fragment, said with file, line and caret.
//!
//! In: a file's text and the [`Problem`]s found in it. Out: an [`InputError`], which miette can draw
//! and which reads as one line without it. Must not look for the problems: parsers do.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, SourceCode};

use super::symbol::{Symbol, SymbolType, Value};

/// One thing that is wrong, with all that is needed to say so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The file has Windows line ends.
    CarriageReturn,
    /// `CONFIG_X = y`.
    BlanksAroundEquals,
    /// A setting that does not begin at the start of its line; kbuild overlooks such lines.
    Indented,
    /// Almost "# CONFIG_X is not set".
    NotSetMisspelt,
    /// What stands before `=` is no name.
    BadName(String),
    /// Nothing after `=`.
    NoValue(Symbol),
    /// A quote that is not closed, or something after the closing one.
    Quotes(Symbol),
    /// A bare word after `=`.
    Word {
        /// The option.
        symbol: Symbol,
        /// What stands there.
        word: String,
    },
    /// A number beyond 64 bits.
    TooLarge(Symbol),
    /// Something after the value.
    AfterValue(Symbol),
    /// A line that is neither setting nor comment.
    NotASetting,
    /// The option has a line already.
    Duplicate {
        /// The option.
        symbol: Symbol,
        /// Line of the first one.
        first: usize,
    },
    /// The tree has no such option.
    UnknownSymbol {
        /// The name as written.
        symbol: Symbol,
        /// Options of the tree with a similar name, nearest first.
        nearest: Vec<Symbol>,
    },
    /// The option's type does not take this value.
    WrongType {
        /// The option.
        symbol: Symbol,
        /// Its type in this tree.
        expected: SymbolType,
        /// What the line says.
        value: Value,
    },
    /// A comment that looks like a directive and is none that we know, or has a bad value.
    Directive {
        /// Its name.
        name: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A table of a TOML file is not as it must be.
    Table {
        /// What is wrong.
        message: String,
        /// The key that may have been meant.
        meant: Option<String>,
    },
}

impl Fault {
    /// What the caret's label says.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::CarriageReturn => "this line ends in CR LF".to_owned(),
            Self::BlanksAroundEquals => "blanks around `=`".to_owned(),
            Self::Indented => "begins with blanks".to_owned(),
            Self::NotSetMisspelt => "reads like \"is not set\", but is only a comment".to_owned(),
            Self::BadName(name) => format!("`{name}` is no name of an option"),
            Self::NoValue(symbol) => format!("CONFIG_{symbol} is given no value"),
            Self::Quotes(symbol) => format!("the quotes of CONFIG_{symbol} do not match"),
            Self::Word { symbol, word } => format!("`{word}` is no value for CONFIG_{symbol}"),
            Self::TooLarge(symbol) => {
                format!("the number for CONFIG_{symbol} does not fit 64 bits")
            }
            Self::AfterValue(symbol) => format!("something follows the value of CONFIG_{symbol}"),
            Self::NotASetting => "neither a setting nor a comment".to_owned(),
            Self::Duplicate { symbol, first } => {
                format!("CONFIG_{symbol} is set on line {first} already")
            }
            Self::UnknownSymbol { symbol, .. } => {
                format!("this kernel tree has no CONFIG_{symbol}")
            }
            Self::WrongType {
                symbol,
                expected,
                value,
            } => {
                format!("CONFIG_{symbol} is of type {expected}: it cannot be {value}")
            }
            Self::Directive { name, .. } => format!("`{name}` is not understood"),
            Self::Table { message, .. } => message.clone(),
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::CarriageReturn => r"convert the file to Unix line ends: sed -i 's/\r$//' FILE".to_owned(),
            Self::BlanksAroundEquals => "write CONFIG_NAME=value without blanks; kbuild ignores the line otherwise".to_owned(),
            Self::Indented => "let the setting begin at the start of the line; kbuild ignores it otherwise".to_owned(),
            Self::NotSetMisspelt => "write exactly `# CONFIG_NAME is not set`, or CONFIG_NAME=n".to_owned(),
            Self::BadName(_) => "names are letters, digits and `_`".to_owned(),
            Self::NoValue(_) => "to switch an option off write CONFIG_NAME=n; for an empty text CONFIG_NAME=\"\"".to_owned(),
            Self::Quotes(_) => r#"inside a text write \" for a quote and \\ for a backslash"#.to_owned(),
            Self::Word { .. } => "values are y, m, n, a number, 0x…, or a text in double quotes".to_owned(),
            Self::TooLarge(_) => "give a smaller number".to_owned(),
            Self::AfterValue(_) => "put comments on a line of their own and end the line after the value".to_owned(),
            Self::NotASetting => "settings are CONFIG_NAME=value, comments begin with #".to_owned(),
            Self::Duplicate { .. } => "keep one of the lines".to_owned(),
            Self::UnknownSymbol { nearest, .. } if nearest.is_empty() => {
                "check the name and the kernel series; an option of some series only takes `# Since: A.B` or `# Until: A.B` above it".to_owned()
            }
            Self::UnknownSymbol { nearest, .. } => format!("did you mean {}?", alternatives(nearest)),
            Self::WrongType { expected, .. } => format!("it takes {}", expected.legal_values()),
            Self::Directive { expected, .. } => (*expected).to_owned(),
            Self::Table { meant: Some(key), .. } => format!("did you mean `{key}`?"),
            Self::Table { .. } => "an entry is [[accept]] with symbol, from, to, since, why and who".to_owned(),
        }
    }
}

/// The known key nearest to an unknown one, out of serde's own list, so that there is no second list;
/// `None` where none is near, or where the message is about something else.
#[must_use]
pub fn nearest_key(message: &str) -> Option<String> {
    let mut words = message
        .strip_prefix("unknown field ")?
        .split('`')
        .skip(1)
        .step_by(2);
    let unknown = words.next()?;
    let (known, distance) = words
        .map(|known| (known, strsim::damerau_levenshtein(unknown, known)))
        .min_by_key(|(_, distance)| *distance)?;
    (distance <= known.len().div_ceil(2)).then(|| known.to_owned())
}

fn alternatives(nearest: &[Symbol]) -> String {
    let names: Vec<String> = nearest.iter().map(|s| format!("CONFIG_{s}")).collect();
    names.join(" or ")
}

/// A fault and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub fault: Fault,
    /// Line, counted from 1.
    pub line: usize,
    /// Bytes of the text that the caret points at.
    pub at: Range<usize>,
}

/// All that is wrong with one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputError {
    file: Arc<str>,
    text: Arc<str>,
    problems: Vec<Problem>,
}

impl InputError {
    /// An error about `file`, or nothing where no problem was found.
    pub(super) fn check(
        file: &Arc<str>,
        text: &Arc<str>,
        problems: Vec<Problem>,
    ) -> Result<(), Self> {
        match problems.is_empty() {
            true => Ok(()),
            false => Err(Self::new(file, text, problems)),
        }
    }

    /// An error about `file`; there is at least one problem.
    pub(super) fn new(file: &Arc<str>, text: &Arc<str>, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.at.start);
        Self {
            file: Arc::clone(file),
            text: Arc::clone(text),
            problems,
        }
    }

    /// The file's name as it was given.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What is wrong, in the order of the file; never empty.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The hints of all problems, each once.
    #[must_use]
    pub fn hint(&self) -> String {
        let mut hints: Vec<String> = Vec::new();
        for problem in &self.problems {
            let hint = problem.fault.hint();
            if !hints.contains(&hint) {
                hints.push(hint);
            }
        }
        hints.join("\n")
    }

    /// The error drawn with source lines and carets; without colour, for any terminal or log.
    #[must_use]
    pub fn drawn(&self) -> String {
        let handler =
            miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor());
        let mut text = String::new();
        match handler.with_links(false).render_report(&mut text, self) {
            Ok(()) => text,
            Err(fmt::Error) => self.to_string(),
        }
    }
}

/// The first problem as `file:line: what`, and how many more there are.
impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.problems.first() else {
            return f.write_str(&self.file);
        };
        write!(f, "{}:{}: {}", self.file, first.line, first.fault.label())?;
        match self.problems.len() {
            1 => Ok(()),
            n => write!(f, " (and {} more)", n - 1),
        }
    }
}

impl std::error::Error for InputError {}

impl Diagnostic for InputError {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.hint()))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = |problem: &Problem| {
            LabeledSpan::new_with_span(Some(problem.fault.label()), problem.at.clone())
        };
        Some(Box::new(self.problems.iter().map(label)))
    }
}

impl SourceCode for InputError {
    fn read_span<'a>(
        &'a self,
        span: &miette::SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn miette::SpanContents<'a> + 'a>, miette::MietteError> {
        let contents = self.text.as_ref().read_span(span, before, after)?;
        Ok(Box::new(miette::MietteSpanContents::new_named(
            self.file.to_string(),
            contents.data(),
            *contents.span(),
            contents.line(),
            contents.column(),
            contents.line_count(),
        )))
    }
}
