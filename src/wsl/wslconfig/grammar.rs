//! WSL's own grammar of `.wslconfig`: the text cut into statements, and what WSL makes of each.
//!
//! In: a text. Out: [`Statement`]s that follow each other without a gap, so that the text can be put
//! together again from them. Must not judge: which keys exist and what is unwise is the linter's to say.
//!
//! It is not INI: only `#` begins a comment, quotes may open in the middle of a value, a backslash
//! escapes, a line that breaks a rule is dropped as a whole, and after a bad section header no new
//! section begins. That last point has a twist. WSL keeps the *length* of the last good section's name
//! and the *letters* of the bad one, so that a key below `[wsl2 extra]` may still count as `wsl2.…`, and
//! one below `[experimental extra]` no longer. [`Scope`] holds both readings, because an edit must be
//! right in either.

use std::ops::Range;

/// Where WSL's C runtime sees the end of a text file, whatever follows.
pub(super) const END_OF_TEXT: char = '\u{1A}';

/// A stretch of the text that WSL's reader handles in one go: a line, with all its continuations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    /// Its part of the text, with its line end.
    pub(super) span: Range<usize>,
    /// Number of its first line, from 1.
    pub(super) line: usize,
    /// Whether a line end closes it. Else the text ends here.
    pub(super) closed: bool,
    pub(super) kind: Kind,
}

/// What a statement is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Blank,
    Comment,
    Section(Section),
    Setting(Setting),
    Bad(Bad),
}

/// `[name]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) name: Range<usize>,
}

/// `name = value # comment`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) name: Range<usize>,
    /// Where the text after `=` begins, blanks included.
    pub(super) after_equals: usize,
    /// The value as written, from its first character that is no blank to its last.
    pub(super) raw: Range<usize>,
    /// What WSL takes for the value.
    pub(super) value: String,
    /// Where a trailing comment begins.
    pub(super) comment: Option<usize>,
    pub(super) scope: Scope,
}

/// A line that WSL drops with a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bad {
    pub(super) fault: Fault,
    /// The character that broke the rule; empty at the end of the line.
    pub(super) at: Range<usize>,
    /// The name, of a section or of a key, where there is one.
    pub(super) name: Option<Range<usize>>,
    /// Where the value begins, where the line got that far.
    pub(super) value: Option<usize>,
    pub(super) scope: Scope,
}

/// The rule that a line breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A key begins with a letter.
    KeyStart(char),
    /// A key is letters and digits, then comes `=`.
    Equals,
    /// A section's name begins with a letter, right behind the bracket.
    SectionStart,
    /// A section's name is letters and digits, then comes `]`.
    Bracket,
    /// Behind a section's `]` there is nothing but a comment.
    AfterSection,
    /// A backslash before something that it does not escape; `None` at the end of the text.
    Escape(Option<char>),
    /// A quote that is not closed.
    Quote,
}

impl Fault {
    /// Whether the line was meant to be a section's header.
    pub(super) fn is_header(self) -> bool {
        matches!(
            self,
            Self::SectionStart | Self::Bracket | Self::AfterSection
        )
    }
}

/// The section that a line belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scope {
    /// The last good section header; none before the first one.
    pub(super) good: Option<String>,
    /// What WSL has instead of that name since a bad header; `Some(None)` where it is no name at all.
    pub(super) bent: Option<Option<String>>,
}

impl Scope {
    /// The section's name as WSL has it.
    pub(super) fn name(&self) -> Option<&str> {
        match &self.bent {
            None => self.good.as_deref(),
            Some(bent) => bent.as_deref(),
        }
    }

    fn bend(&mut self, letters: &str) {
        let Some(length) = self.good.as_ref().map(String::len) else {
            return;
        };
        self.bent = Some(letters.get(..length).map(str::to_owned));
    }
}

/// How sure it is that a setting is one of a given key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is.
    Certain,
    /// It stands below a bad section header, and one way to read that makes it so.
    Doubtful,
}

impl Setting {
    /// Whether this sets `section.name`.
    pub(super) fn standing(&self, text: &str, section: &str, name: &str) -> Option<Standing> {
        if !text[self.name.clone()].eq_ignore_ascii_case(name) {
            return None;
        }
        let is = |scope: Option<&str>| scope.is_some_and(|s| s.eq_ignore_ascii_case(section));
        match (is(self.scope.name()), is(self.scope.good.as_deref())) {
            (true, true) => Some(Standing::Certain),
            (false, false) => None,
            _ => Some(Standing::Doubtful),
        }
    }

    /// Whether WSL takes this for `section.name`.
    pub(super) fn is(&self, text: &str, section: &str, name: &str) -> bool {
        text[self.name.clone()].eq_ignore_ascii_case(name)
            && self
                .scope
                .name()
                .is_some_and(|s| s.eq_ignore_ascii_case(section))
    }
}

/// How far WSL reads.
pub(super) fn readable(text: &str) -> &str {
    text.split(END_OF_TEXT).next().unwrap_or_default()
}

/// Cuts a text into statements, as far as WSL reads it.
pub(super) fn statements(text: &str) -> Vec<Statement> {
    let mut reader = Reader {
        text: readable(text),
        at: 0,
        scope: Scope::default(),
    };
    let mut found = Vec::new();
    let mut line = 1;
    while reader.at < reader.text.len() {
        let start = reader.at;
        let (kind, closed) = reader.statement();
        let span = start..reader.at;
        let lines = reader.text[span.clone()].matches('\n').count();
        found.push(Statement {
            span,
            line,
            closed,
            kind,
        });
        line += lines;
    }
    found
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    scope: Scope,
}

impl Reader<'_> {
    /// The next character and where the one after it begins; CR LF is one line feed.
    fn peek(&self) -> Option<(char, usize)> {
        let rest = &self.text[self.at..];
        if rest.starts_with("\r\n") {
            return Some(('\n', self.at + 2));
        }
        let c = rest.chars().next()?;
        Some((c, self.at + c.len_utf8()))
    }

    fn skip_while(&mut self, wanted: impl Fn(char) -> bool) {
        while let Some((_, next)) = self.peek().filter(|(c, _)| wanted(*c)) {
            self.at = next;
        }
    }

    /// Goes behind the next line feed; says whether there is one.
    fn skip_line(&mut self) -> bool {
        self.skip_while(|c| c != '\n');
        self.skip_end()
    }

    /// Goes behind a line end, which may be a single CR here.
    fn skip_end(&mut self) -> bool {
        match self.peek() {
            Some(('\n' | '\r', next)) => {
                self.at = next;
                true
            }
            _ => false,
        }
    }

    fn statement(&mut self) -> (Kind, bool) {
        self.skip_while(is_blank);
        let kind = match self.peek() {
            None | Some(('\n' | '\r', _)) => Ok(Kind::Blank),
            Some(('#', _)) => return (Kind::Comment, self.skip_line()),
            Some(('[', next)) => {
                self.at = next;
                self.section()
            }
            Some((c, _)) if c.is_ascii_alphabetic() => self.setting(),
            Some((c, _)) => Err(self.bad(Fault::KeyStart(c), None, None)),
        };
        match kind {
            Ok(kind) => {
                let closed = match self.peek() {
                    Some(('#', _)) => self.skip_line(),
                    _ => self.skip_end(),
                };
                (kind, closed)
            }
            Err(bad) => (Kind::Bad(bad), self.skip_line()),
        }
    }

    fn bad(&self, fault: Fault, name: Option<Range<usize>>, value: Option<usize>) -> Bad {
        let end = match (fault, self.peek()) {
            (Fault::Escape(Some(c)), Some((_, next))) => next + c.len_utf8(),
            (_, Some((c, next))) if c != '\n' => next,
            _ => self.at,
        };
        Bad {
            fault,
            at: self.at..end,
            name,
            value,
            scope: self.scope.clone(),
        }
    }

    fn name(&mut self) -> Range<usize> {
        let start = self.at;
        self.skip_while(|c| c.is_ascii_alphanumeric());
        start..self.at
    }

    /// Behind `[`.
    fn section(&mut self) -> Result<Kind, Bad> {
        if !self.peek().is_some_and(|(c, _)| c.is_ascii_alphabetic()) {
            // WSL gives up before it has touched the name in force.
            return Err(self.bad(Fault::SectionStart, None, None));
        }
        let name = self.name();
        let fault = match self.peek() {
            Some((']', next)) => {
                self.at = next;
                self.skip_while(is_blank);
                match self.peek() {
                    None | Some(('\n' | '\r' | '#', _)) => None,
                    Some(_) => Some(Fault::AfterSection),
                }
            }
            _ => Some(Fault::Bracket),
        };
        let letters = &self.text[name.clone()];
        if let Some(fault) = fault {
            self.scope.bend(letters);
            return Err(self.bad(fault, Some(name), None));
        }
        self.scope = Scope {
            good: Some(letters.to_owned()),
            bent: None,
        };
        Ok(Kind::Section(Section { name }))
    }

    /// At the first letter of a key.
    fn setting(&mut self) -> Result<Kind, Bad> {
        let name = self.name();
        self.skip_while(is_blank);
        let Some(('=', after_equals)) = self.peek() else {
            return Err(self.bad(Fault::Equals, Some(name), None));
        };
        self.at = after_equals;
        self.skip_while(is_blank);
        let start = self.at;
        let mut value = Value {
            end: start,
            ..Value::default()
        };
        match self.value(&mut value) {
            Ok(()) => Ok(Kind::Setting(Setting {
                name,
                after_equals,
                raw: start..value.end,
                value: value.text(),
                comment: self.peek().filter(|(c, _)| *c == '#').map(|_| self.at),
                scope: self.scope.clone(),
            })),
            Err(fault) => Err(self.bad(fault, Some(name), Some(start))),
        }
    }

    /// Reads up to a line end or a comment.
    fn value(&mut self, value: &mut Value) -> Result<(), Fault> {
        let mut quoted = false;
        while let Some((c, next)) = self.peek() {
            match c {
                '\n' | '\r' => break,
                '#' if !quoted => break,
                '"' => quoted = !quoted,
                '\\' => {
                    let start = self.at;
                    self.at = next;
                    let escaped = self.peek();
                    value
                        .escape(escaped.map(|(c, _)| c))
                        .inspect_err(|_| self.at = start)?;
                    self.at = escaped.map_or(next, |(_, next)| next);
                    value.keep(self.at);
                    continue;
                }
                c => value.push(c),
            }
            self.at = next;
            if !is_blank(c) {
                value.keep(next);
            }
        }
        if quoted { Err(Fault::Quote) } else { Ok(()) }
    }
}

/// A value on its way: WSL keeps one byte of each character.
#[derive(Default)]
struct Value {
    bytes: Vec<u8>,
    /// Length without trailing blanks.
    kept: usize,
    /// Where its last character in the text ends that is no blank.
    end: usize,
}

impl Value {
    fn push(&mut self, c: char) {
        for unit in c.encode_utf16(&mut [0; 2]) {
            let [low, _] = unit.to_le_bytes();
            self.bytes.push(low);
        }
    }

    fn escape(&mut self, c: Option<char>) -> Result<(), Fault> {
        match c {
            Some(c @ ('\\' | '"')) => self.push(c),
            Some('b') => self.push('\u{8}'),
            Some('n') => self.push('\n'),
            Some('t') => self.push('\t'),
            // The value goes on in the next line.
            Some('\n') => {}
            _ => return Err(Fault::Escape(c)),
        }
        Ok(())
    }

    fn keep(&mut self, end: usize) {
        self.kept = self.bytes.len();
        self.end = end;
    }

    /// What is left: WSL handles it as a C string, and as UTF-8.
    fn text(&self) -> String {
        let kept = self.bytes.get(..self.kept).unwrap_or(&self.bytes);
        let string = kept.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(string).into_owned()
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A short form of each statement, for comparison.
    fn shapes(text: &str) -> Vec<String> {
        let shape = |statement: &Statement| match &statement.kind {
            Kind::Blank => "blank".to_owned(),
            Kind::Comment => "comment".to_owned(),
            Kind::Section(section) => format!("[{}]", &text[section.name.clone()]),
            Kind::Setting(setting) => format!(
                "{}.{}={}",
                setting.scope.name().unwrap_or("?"),
                &text[setting.name.clone()],
                setting.value
            ),
            Kind::Bad(bad) => format!("{:?}", bad.fault),
        };
        let found = statements(text);
        let whole: String = found.iter().map(|s| &text[s.span.clone()]).collect();
        assert_eq!(whole, readable(text));
        found.iter().map(shape).collect()
    }

    #[test]
    fn values_are_what_wsl_takes() {
        let cases = [
            ("a", "a"),
            (" \t a b\t ", "a b"),
            ("\" a \"", " a "),
            ("a\" b \"c", "a b c"),
            ("a#b", "a"),
            ("\"a#b\" # c", "a#b"),
            ("a;b ; c", "a;b ; c"),
            ("'a '", "'a '"),
            (r"C:\\x\\y", r"C:\x\y"),
            (r"C:\new\build\temp", "C:\new\u{8}uild\temp"),
            (r#"\"a\""#, "\"a\""),
            ("a\\\n  b", "a  b"),
            ("a \\\r\n", "a "),
            ("a\\t ", "a\t"),
            ("\"a\\\nb#\" c", "ab# c"),
            ("", ""),
            ("\"\"", ""),
            ("[x] = y", "[x] = y"),
            ("\u{FC}", "\u{FFFD}"),
            ("a\u{100}b", "a"),
            ("\u{162}\u{16F}", "bo"),
        ];
        for (written, expected) in cases {
            for end in ["", "\n", "\r\n", " # comment\n", "\r"] {
                if written.ends_with('\n') && end.starts_with(' ') {
                    continue;
                }
                let text = format!("[s]\nk={written}{end}");
                assert_eq!(shapes(&text)[1], format!("s.k={expected}"), "{text:?}");
            }
        }
    }

    #[test]
    fn lines_are_what_wsl_makes_of_them() {
        let cases: [(&str, &[&str]); 22] = [
            ("", &[]),
            ("\n \r\n\t", &["blank", "blank", "blank"]),
            ("# a\\\nk=1", &["comment", "?.k=1"]),
            (
                "[a]\nk=1\n[B9] # x\nk = 2",
                &["[a]", "a.k=1", "[B9]", "B9.k=2"],
            ),
            ("; a\n", &["KeyStart(';')"]),
            (
                "9=1\n-k=1\n\"k\"=1",
                &["KeyStart('9')", "KeyStart('-')", "KeyStart('\"')"],
            ),
            ("k\nk-x=1\nk x=1\nk#=1", &["Equals"; 4]),
            ("\u{FC}=1\nk\u{FC}=1", &["KeyStart('\u{FC}')", "Equals"]),
            ("[ a]\n[]\n[\n[1a]", &["SectionStart"; 4]),
            ("[a-b]\n[a ]\n[a", &["Bracket"; 3]),
            ("[a]]\n[a] k=1\n[a];", &["AfterSection"; 3]),
            ("k=C:\\Users\nj=1", &["Escape(Some('U'))", "?.j=1"]),
            ("k=\\x\\\nj=1", &["Escape(Some('x'))", "?.j=1"]),
            ("k=\\", &["Escape(None)"]),
            ("k=\\\rj=1\nl=1", &["Escape(Some('\\r'))", "?.l=1"]),
            ("k=\"a\nj=1", &["Quote", "?.j=1"]),
            ("k=\"a\rj=1\nl=1", &["Quote", "?.l=1"]),
            ("k=\"a\\\nj=1\nl=1", &["Quote", "?.l=1"]),
            ("k=1\rj=2\r\nl=3", &["?.k=1", "?.j=2", "?.l=3"]),
            ("# a\rk=1\nj=2", &["comment", "?.j=2"]),
            ("k\rj=2\nl=3", &["Equals", "?.l=3"]),
            ("k=1\n\u{1A}\nj=2", &["?.k=1"]),
        ];
        for (text, expected) in cases {
            assert_eq!(shapes(text), expected, "{text:?}");
        }
    }

    /// WSL keeps the length of the good name and the letters of the bad one.
    #[test]
    fn a_bad_header_bends_the_section() {
        let cases = [
            ("[wsl2]\n[ x]\nk=1", "wsl2", Some(Standing::Certain)),
            ("[wsl2]\n[wsl2 x]\nk=1", "wsl2", Some(Standing::Certain)),
            (
                "[wsl2]\n[wsl2extra x]\nk=1",
                "wsl2",
                Some(Standing::Certain),
            ),
            ("[wsl2]\n[user x]\nk=1", "user", Some(Standing::Doubtful)),
            ("[wsl2]\n[wsl x]\nk=1", "?", Some(Standing::Doubtful)),
            ("[user]\n[wsl2]]\nk=1", "wsl2", Some(Standing::Doubtful)),
            ("[user]\n[wsl]]\n[ x]\nk=1", "?", None),
            (
                "[user]\n[wsl2]]\n[wsl2]\nk=1",
                "wsl2",
                Some(Standing::Certain),
            ),
            ("[wsl2]]\nk=1", "?", None),
        ];
        for (text, section, standing) in cases {
            let found = statements(text);
            let Some(Kind::Setting(setting)) = found.last().map(|s| &s.kind) else {
                panic!("{text:?}")
            };
            assert_eq!(setting.scope.name().unwrap_or("?"), section, "{text:?}");
            assert_eq!(setting.standing(text, "WSL2", "K"), standing, "{text:?}");
        }
    }
}
