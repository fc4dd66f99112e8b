//! What can be wrong with `.wslconfig`, said to people: with line, caret, what WSL does, and what to write.
//!
//! In: the [`Problem`]s that the linter has found. Out: [`Finding`]s, and a [`Report`] of them that miette
//! can draw. Must not look for problems.

use std::fmt;
use std::ops::Range;

use miette::{Diagnostic, LabeledSpan, NamedSource, Severity, SourceCode};

use super::encoding::Encoding;
use super::grammar::Fault;

/// So many findings are drawn; of a file with more, people mend these first. Drawing takes longer with each.
const DRAWN: usize = 50;

/// One thing that is wrong, or not what it seems.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// WSL drops the line.
    Dropped(Fault),
    /// A line that begins with `;`: no comment in this grammar.
    Semicolon,
    /// `;` inside a value, where it looks like a comment and is part of the value.
    SemicolonInValue,
    /// An escape that WSL takes, inside a path that it spoils: `C:\new`.
    SpoiltPath,
    /// More backslashes than one between two names of the path.
    DoubledBackslashes,
    /// `%USERPROFILE%`: not expanded.
    Variable,
    /// No drive at its head.
    NotAFullPath,
    /// `C:/…`: whether the host takes that for a kernel is not established.
    Slashes,
    /// WSL keeps one byte of each character.
    NotAscii,
    /// Nothing is there.
    Missing(String),
    /// WSL refuses to start.
    ModulesWithoutKernel,
    /// The kernel runs without a single module.
    KernelWithoutModules,
    /// Only the first line of a key counts.
    Duplicate {
        /// The key.
        key: String,
        /// The line that counts.
        first: usize,
    },
    /// No such key.
    UnknownKey {
        /// `section.name`.
        key: String,
        /// The key that was meant, perhaps.
        nearest: Option<String>,
    },
    /// No such section.
    UnknownSection {
        /// Its name.
        name: String,
        /// The section that was meant, perhaps.
        nearest: Option<String>,
    },
    /// A key before any section.
    NoSection {
        /// The section that it belongs into.
        section: Option<String>,
    },
    /// A key below a header that WSL has dropped.
    BelowBadHeader {
        /// The section that WSL counts it to, if that is a name at all.
        counted: Option<String>,
    },
    /// The computer's policy empties the setting.
    Forbidden(String),
    /// `safeMode=true` boots the stock kernel whatever else is set.
    SafeMode,
    /// Not what the key takes.
    BadValue {
        /// The key.
        key: String,
        /// What it takes.
        expected: String,
    },
    /// An empty value where the key needs one.
    Empty(String),
    /// An encoding that not every WSL reads.
    Encoding(Encoding),
    /// Bytes that are no UTF-8.
    ForeignBytes,
    /// A character that ends the text for WSL, with more behind it.
    EndOfText,
}

impl Problem {
    /// How bad it is: an error keeps WSL from doing what the line says.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::KernelWithoutModules | Self::Slashes | Self::ForeignBytes => Severity::Advice,
            Self::Encoding(Encoding::Utf8 | Encoding::Utf8Mark) => Severity::Advice,
            Self::Encoding(Encoding::Utf16Le)
            | Self::BelowBadHeader { .. }
            | Self::Semicolon
            | Self::SemicolonInValue
            | Self::DoubledBackslashes
            | Self::SafeMode => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// What WSL does with it.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Dropped(fault) => format!("WSL drops this line: {}", fault_label(*fault)),
            Self::Semicolon => {
                "`;` begins no comment: WSL drops the line with a warning".to_owned()
            }
            Self::SemicolonInValue => "`;` begins no comment: it is part of the value".to_owned(),
            Self::SpoiltPath => {
                r"\n, \t and \b are characters of their own here, not part of a path".to_owned()
            }
            Self::DoubledBackslashes => "WSL reads two backslashes here".to_owned(),
            Self::Variable => "WSL does not expand variables".to_owned(),
            Self::NotAFullPath => "no full path: a drive and a backslash come first".to_owned(),
            Self::Slashes => "slashes: it is not established that Hyper-V takes them".to_owned(),
            Self::NotAscii => "WSL spoils every character that is not ASCII".to_owned(),
            Self::Missing(path) => format!("{path} does not exist"),
            Self::ModulesWithoutKernel => {
                "kernelModules without kernel: WSL refuses to start".to_owned()
            }
            Self::KernelWithoutModules => {
                "without kernelModules this kernel has no modules at all".to_owned()
            }
            Self::Duplicate { key, first } => {
                format!("{key} is set on line {first} already; WSL takes that one")
            }
            Self::UnknownKey { key, .. } => format!("WSL knows no {key} and ignores it"),
            Self::UnknownSection { name, .. } => {
                format!("WSL knows no section [{name}] and ignores its keys")
            }
            Self::NoSection { .. } => "before the first section WSL ignores every key".to_owned(),
            Self::BelowBadHeader {
                counted: Some(section),
            } => format!("the header above is dropped: this counts to [{section}]"),
            Self::BelowBadHeader { counted: None } => {
                "the header above is dropped: this counts to no section".to_owned()
            }
            Self::Forbidden(key) => format!("this computer's policy empties {key}"),
            Self::SafeMode => {
                "safe mode boots the stock kernel, without /mnt/c, GPU and network".to_owned()
            }
            Self::BadValue { key, expected } => format!("{key} takes {expected}"),
            Self::Empty(key) => format!("{key} has no value"),
            Self::Encoding(encoding) => format!("the file is {encoding}"),
            Self::ForeignBytes => "bytes of another encoding".to_owned(),
            Self::EndOfText => "the text ends here for WSL".to_owned(),
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Dropped(fault) => fault_hint(*fault).to_owned(),
            Self::Semicolon | Self::SemicolonInValue => "comments begin with #".to_owned(),
            Self::SpoiltPath | Self::DoubledBackslashes => r"write each backslash of a path twice: C:\\folder\\file".to_owned(),
            Self::Variable | Self::NotAFullPath => r"write the whole path: C:\\folder\\file".to_owned(),
            Self::Slashes => r"write C:\\folder\\file".to_owned(),
            Self::NotAscii => r"put the file into a folder with plain letters, like C:\\wslk".to_owned(),
            Self::Missing(_) => "correct the path, or remove the line to boot the stock kernel".to_owned(),
            Self::ModulesWithoutKernel => "set both or neither".to_owned(),
            Self::KernelWithoutModules => "set kernelModules to the disk that was built with this kernel".to_owned(),
            Self::Duplicate { .. } => "keep one of the lines".to_owned(),
            Self::UnknownKey { nearest: Some(name), .. } | Self::UnknownSection { nearest: Some(name), .. } => format!("did you mean {name}?"),
            Self::UnknownKey { .. } => "remove the line, or comment it out with #".to_owned(),
            Self::UnknownSection { .. } => "sections are [wsl2], [experimental] and [general]; those of /etc/wsl.conf belong there".to_owned(),
            Self::NoSection { section: Some(section) } => format!("move it below [{section}]"),
            Self::NoSection { .. } => "move it below its section".to_owned(),
            Self::BelowBadHeader { .. } => "correct the header first".to_owned(),
            Self::Forbidden(_) => r"ask who manages this computer (HKLM\Software\Policies\WSL)".to_owned(),
            Self::SafeMode => "remove safeMode once WSL starts again".to_owned(),
            Self::BadValue { expected, .. } => format!("write {expected}"),
            Self::Empty(_) => "give it a value, or remove the line".to_owned(),
            Self::Encoding(Encoding::Utf16Be) => "WSL cannot open such a file and takes its defaults: save it as UTF-8".to_owned(),
            Self::Encoding(_) => "early WSL versions ignore such a file; UTF-8 without a mark is read by all".to_owned(),
            Self::ForeignBytes => "harmless in a comment; save the file as UTF-8 to be sure".to_owned(),
            Self::EndOfText => "remove the character (Ctrl-Z): what follows is not read".to_owned(),
        }
    }
}

fn fault_label(fault: Fault) -> String {
    match fault {
        Fault::KeyStart(c) => format!("a key cannot begin with {c:?}"),
        Fault::Equals => "`=` expected behind a key of letters and digits".to_owned(),
        Fault::SectionStart => "a letter expected right behind `[`".to_owned(),
        Fault::Bracket => "`]` expected behind a name of letters and digits".to_owned(),
        Fault::AfterSection => "nothing but a comment may follow `]`".to_owned(),
        Fault::Escape(Some(c)) => format!("`\\{}` is no escape", c.escape_default()),
        Fault::Escape(None) => "nothing follows the backslash".to_owned(),
        Fault::Quote => "the quote is not closed".to_owned(),
    }
}

fn fault_hint(fault: Fault) -> &'static str {
    match fault {
        Fault::KeyStart(_) | Fault::Equals => "write name = value; comments begin with #",
        Fault::SectionStart | Fault::Bracket | Fault::AfterSection => {
            "write [wsl2], without blanks inside and nothing behind it"
        }
        Fault::Escape(_) => r"write each backslash of a path twice: C:\\folder\\file",
        Fault::Quote => r#"close it with ", or write \" for a quote that is part of the value"#,
    }
}

/// A problem and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub problem: Problem,
    /// Line, from 1.
    pub line: usize,
    /// Bytes of the file's text ([`super::WslConfig::text`]) that the caret points at.
    pub at: Range<usize>,
    /// The line as it should be, where that is plain.
    pub corrected: Option<String>,
}

impl Finding {
    /// Whether WSL does not do what the line says.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.problem.severity() == Severity::Error
    }
}

/// `line 3: what WSL does`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem.label())
    }
}

/// All findings of one file, to be drawn.
#[derive(Debug)]
pub struct Report {
    source: NamedSource<String>,
    findings: Vec<Finding>,
    /// Findings beyond those that are drawn.
    more: usize,
}

impl Report {
    /// A report on the file called `name`; `None` where nothing was found.
    #[must_use]
    pub fn new(name: &str, text: &str, findings: &[Finding]) -> Option<Self> {
        (!findings.is_empty()).then(|| Self {
            source: NamedSource::new(name, text.to_owned()),
            findings: findings.iter().take(DRAWN).cloned().collect(),
            more: findings.len().saturating_sub(DRAWN),
        })
    }

    /// Source lines and carets; without colour, for any terminal or log.
    #[must_use]
    pub fn drawn(&self) -> String {
        let theme = miette::GraphicalTheme::unicode_nocolor();
        let handler = miette::GraphicalReportHandler::new_themed(theme).with_links(false);
        let mut text = String::new();
        match handler.render_report(&mut text, self) {
            Ok(()) => text,
            Err(fmt::Error) => self.to_string(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.findings.as_slice() {
            [] => Ok(()),
            [only] => write!(f, "{}: {only}", self.source.name()),
            [first, rest @ ..] => {
                write!(
                    f,
                    "{}: {first} (and {} more)",
                    self.source.name(),
                    rest.len() + self.more
                )
            }
        }
    }
}

impl std::error::Error for Report {}

impl Diagnostic for Report {
    fn severity(&self) -> Option<Severity> {
        self.findings.iter().map(|f| f.problem.severity()).max()
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let advice = |finding: &Finding| {
            let hint = format!("line {}: {}", finding.line, finding.problem.hint());
            match &finding.corrected {
                Some(line) => format!("{hint}\n    {line}"),
                None => hint,
            }
        };
        let mut advice: Vec<String> = self.findings.iter().map(advice).collect();
        if self.more > 0 {
            advice.push(format!("and {} more findings below", self.more));
        }
        Some(Box::new(advice.join("\n")))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = |finding: &Finding| {
            LabeledSpan::new_with_span(Some(finding.problem.label()), finding.at.clone())
        };
        Some(Box::new(self.findings.iter().map(label)))
    }
}
