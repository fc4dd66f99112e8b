//! Fragments: small configuration files, one per concern, whose options carry a reason.
//!
//! In: a fragment's text. Out: a [`Fragment`]: its [`Request`]s, each with the comment above it as
//! reason, who needs it, and for which kernels it is meant. Must not look at a kernel tree: whether
//! a request can be met is the audit's to say.
//!
//! ```text
//! # unix sockets: the first comment, followed by an empty line, is about the whole fragment
//!
//! # Why the option is wanted, in as many lines as it takes.
//! # Since: 6.17            asked for from this series on
//! # Until: 6.16            asked for up to this series
//! # Arch: x86              asked for on this architecture only
//! # Where: present         asked for where the tree has the option; some are Microsoft's own
//! # Needed by: dump of unix sockets
//! CONFIG_UNIX_DIAG=y
//! ```

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::fault::{Fault, InputError, Problem};
use super::parse::{ConfigFile, Origin, Setting};
use super::symbol::{Symbol, Value};
use super::tree::{Arch, TreeFacts};
use crate::source::Series;

/// A named set of requests, from `kernel-configs/` or from the user.
#[derive(Debug, Clone)]
pub struct Fragment {
    name: String,
    about: String,
    file: ConfigFile,
    requests: Vec<Request>,
}

/// One option that a fragment asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The option.
    pub symbol: Symbol,
    /// The value asked for.
    pub value: Value,
    /// The line that asks.
    pub origin: Origin,
    /// Why, as the comment above the line says; empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Who needs it; empty where the fragment does not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub needed_by: String,
    /// The kernels that it is meant for.
    #[serde(skip)]
    pub condition: Condition,
}

/// The kernels that a request is meant for; empty for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    /// The first series.
    pub since: Option<Series>,
    /// The last series.
    pub until: Option<Series>,
    /// The only architecture.
    pub arch: Option<Arch>,
    /// Only where the tree has the option.
    pub present: bool,
}

impl Condition {
    /// Why a tree is not meant, or `None` where it is. `has` says whether the tree has the option.
    #[must_use]
    pub fn unmet(&self, tree: &TreeFacts, has: bool) -> Option<String> {
        if let Some(since) = self.since.filter(|&since| tree.series < since) {
            return Some(format!("from {since} on, and this is {}", tree.series));
        }
        if let Some(until) = self.until.filter(|&until| tree.series > until) {
            return Some(format!("up to {until}, and this is {}", tree.series));
        }
        if let Some(arch) = self.arch.filter(|&arch| arch != tree.arch) {
            return Some(format!("on {arch}, and this is {}", tree.arch));
        }
        let absent = self.present && !has;
        absent.then(|| "where the tree has the option, and this one has not".to_owned())
    }
}

impl Fragment {
    /// Reads a fragment; `name` stands for it in messages and origins.
    pub fn parse(name: &str, text: &str) -> Result<Self, InputError> {
        let file = ConfigFile::parse(name, text)?;
        let mut reader = Reader::default();
        let mut settings = file.settings().iter().peekable();
        let mut start = 0;
        for (index, line) in text.split_inclusive('\n').enumerate() {
            match settings.next_if(|setting| setting.line == index + 1) {
                Some(setting) => reader.setting(&file, setting),
                None => reader.comment(index + 1, start, line.trim_end()),
            }
            start += line.len();
        }
        file.check(reader.problems)?;
        let short = name.rsplit('/').next().unwrap_or(name);
        let name = short.strip_suffix(".config").unwrap_or(short).to_owned();
        Ok(Self {
            name,
            about: reader.about,
            file,
            requests: reader.requests,
        })
    }

    /// The file's name without folder and `.config`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the fragment's first comment says.
    #[must_use]
    pub fn about(&self) -> &str {
        &self.about
    }

    /// What it asks for, in its order.
    #[must_use]
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// The text, for digests.
    #[must_use]
    pub fn text(&self) -> &str {
        self.file.text()
    }

    /// The configuration file that it is.
    pub(super) fn file(&self) -> &ConfigFile {
        &self.file
    }
}

/// The comment above the settings being read.
#[derive(Debug, Clone, Default)]
struct Block {
    reason: String,
    needed_by: String,
    condition: Condition,
    /// A setting was seen: the next comment begins another block.
    used: bool,
    /// What a deeper indented line goes on with.
    last: Part,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Reason,
    NeededBy,
    Other,
}

#[derive(Default)]
struct Reader {
    about: String,
    begun: bool,
    block: Block,
    requests: Vec<Request>,
    problems: Vec<Problem>,
}

impl Reader {
    fn setting(&mut self, file: &ConfigFile, setting: &Setting) {
        self.begun = true;
        self.block.used = true;
        self.requests.push(Request {
            symbol: setting.symbol.clone(),
            value: setting.value.clone(),
            origin: file.origin(setting),
            reason: self.block.reason.clone(),
            needed_by: self.block.needed_by.clone(),
            condition: self.block.condition.clone(),
        });
    }

    /// Takes a line that is no setting: a comment, or an empty line.
    fn comment(&mut self, line: usize, start: usize, text: &str) {
        let Some(comment) = text.strip_prefix('#') else {
            let block = std::mem::take(&mut self.block);
            if !self.begun && !block.reason.is_empty() {
                self.about = block.reason;
                self.begun = true;
            }
            return;
        };
        if self.block.used {
            self.block = Block::default();
        }
        match directive(comment) {
            Some((name, value)) => {
                if let Err(expected) = self.block.direct(name, value) {
                    let at = start..start + text.len();
                    let fault = Fault::Directive {
                        name: format!("{name}: {value}"),
                        expected,
                    };
                    self.problems.push(Problem { fault, line, at });
                }
            }
            None => self.block.prose(comment),
        }
    }
}

impl Block {
    fn direct(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        self.last = Part::Other;
        match name {
            "Needed by" => {
                self.last = Part::NeededBy;
                append(&mut self.needed_by, value);
            }
            "Since" => self.condition.since = Some(value.parse().map_err(|_| SERIES)?),
            "Until" => self.condition.until = Some(value.parse().map_err(|_| SERIES)?),
            "Arch" => {
                self.condition.arch = Some(
                    value
                        .parse()
                        .map_err(|_| "write # Arch: x86 or # Arch: arm64")?,
                )
            }
            "Where" if value == "present" => self.condition.present = true,
            "Where" => return Err("the only place is # Where: present"),
            _ => return Err(DIRECTIVES),
        }
        Ok(())
    }

    fn prose(&mut self, comment: &str) {
        let goes_on = comment.starts_with("   ");
        match self.last {
            Part::NeededBy if goes_on => append(&mut self.needed_by, comment.trim()),
            Part::Reason | Part::NeededBy | Part::Other => append(&mut self.reason, comment.trim()),
        }
    }
}

const SERIES: &str = "a kernel series is written A.B, as in 6.6";
const DIRECTIVES: &str = "directives are # Since:, # Until:, # Arch:, # Where: and # Needed by:";
const KNOWN: [&str; 5] = ["Needed by", "Since", "Until", "Arch", "Where"];

/// Name and value of a directive, known or nearly so; `None` for prose.
fn directive(comment: &str) -> Option<(&str, &str)> {
    let (name, value) = comment.strip_prefix(' ')?.split_once(':')?;
    let near =
        |known: &&str| strsim::osa_distance(&known.to_lowercase(), &name.to_lowercase()) <= 1;
    KNOWN.iter().any(near).then_some((name, value.trim()))
}

fn append(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push(' ');
    }
    text.push_str(more);
}

impl FromStr for Fragment {
    type Err = InputError;

    fn from_str(text: &str) -> Result<Self, InputError> {
        Self::parse("fragment", text)
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.value.line(&self.symbol))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "\
# sockets: what inspection of sockets needs.

# Unix sockets. A module in stock 6.6,
# and lost without the modules disk.
# Needed by: dump of unix sockets,
#   that is of nearly every program
CONFIG_UNIX_DIAG=y

# Tracks changed pages.
# Arch: x86
# Since: 3.11
# Until: 6.99
CONFIG_MEM_SOFT_DIRTY=y
CONFIG_SECOND=m
# Another block without an empty line: see also: this is prose.
# CONFIG_OFF is not set

CONFIG_BARE=\"text\"
";

    #[test]
    fn requests_carry_their_comments() {
        let fragment = Fragment::parse("kernel-configs/sockets.config", TEXT).unwrap();
        assert_eq!(fragment.name(), "sockets");
        assert_eq!(
            fragment.about(),
            "sockets: what inspection of sockets needs."
        );
        let told: Vec<String> = fragment
            .requests()
            .iter()
            .map(|r| format!("{} {r} | {} | {}", r.origin.line, r.reason, r.needed_by))
            .collect();
        assert_eq!(
            told,
            [
                "7 CONFIG_UNIX_DIAG=y | Unix sockets. A module in stock 6.6, and lost without the modules disk. | dump of unix sockets, that is of nearly every program",
                "13 CONFIG_MEM_SOFT_DIRTY=y | Tracks changed pages. | ",
                "14 CONFIG_SECOND=m | Tracks changed pages. | ",
                "16 # CONFIG_OFF is not set | Another block without an empty line: see also: this is prose. | ",
                "18 CONFIG_BARE=\"text\" |  | ",
            ]
        );
    }

    #[test]
    fn conditions_name_what_is_not_met() {
        let fragment = Fragment::parse("f", TEXT).unwrap();
        let condition = &fragment.requests()[1].condition;
        let unmet = |series: &str, arch| {
            let tree = TreeFacts::new("/", "id", series.parse().unwrap(), arch);
            condition.unmet(&tree, true)
        };
        assert_eq!(unmet("6.6", Arch::X86), None);
        assert_eq!(
            unmet("3.10", Arch::X86).as_deref(),
            Some("from 3.11 on, and this is 3.10")
        );
        assert_eq!(
            unmet("7.0", Arch::X86).as_deref(),
            Some("up to 6.99, and this is 7.0")
        );
        assert_eq!(
            unmet("6.6", Arch::Arm64).as_deref(),
            Some("on x86, and this is arm64")
        );
    }

    #[test]
    fn a_directive_that_is_misspelt_is_not_taken_for_prose() {
        for text in [
            "# Sinse: 6.1\nCONFIG_A=y\n",
            "# Since: six\nCONFIG_A=y\n",
            "# Arch: mips\nCONFIG_A=y\n",
            "# needed by: x\nCONFIG_A=y\n",
        ] {
            let error = Fragment::parse("f", text).unwrap_err();
            assert!(
                matches!(error.problems()[0].fault, Fault::Directive { .. }),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(# (Since|Until|Arch|Where|Needed by|Sinse): ?[a-z0-9.]{0,4}|# [a-z ]{0,6}|CONFIG_[AB]=[ym]|#|.{0,5}|\n){0,20}") {
            match Fragment::parse("f", &text) {
                Ok(fragment) => prop_assert!(fragment.requests().len() <= text.lines().count()),
                Err(error) => prop_assert!(!error.drawn().is_empty()),
            }
        }

        #[test]
        fn what_is_printed_is_read_back(names in prop::collection::btree_set("[A-Z][A-Z0-9_]{0,9}", 1..8), reason in "[a-z]{1,9}( [a-z]{1,9}){0,9}") {
            let text: String = names.iter().map(|name| format!("# {reason}\n# Needed by: x\nCONFIG_{name}=y\n\n")).collect();
            let fragment = Fragment::parse("f", &format!("# about\n\n{text}")).expect("a fragment");
            let read: Vec<(String, &str)> = fragment.requests().iter().map(|r| (r.symbol.to_string(), r.reason.as_str())).collect();
            let written: Vec<(String, &str)> = names.into_iter().map(|name| (name, reason.as_str())).collect();
            prop_assert_eq!(read, written);
        }
    }
}
