//! Making one Kconfig file digestible for nom-kconfig, which knows the syntax but not kbuild's macros.
//!
//! In: the file's text and the variables that kbuild sets. Out: [`Prepared`]: the same entries without
//! help texts, comments and macro definitions, with every quoted text, macro and `source` replaced by
//! a short token. Lines and help texts of entries are noted on the way, for nom-kconfig does not keep
//! them. Must not change what an entry means.

/// A Kconfig file ready to be parsed.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    /// What nom-kconfig gets.
    pub text: String,
    /// What the tokens `"t0"`, `"t1"` … stand for.
    pub tokens: Vec<Token>,
    /// Entries in the order of the file.
    pub marks: Vec<Mark>,
}

/// What a token stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A quoted text.
    Text(String),
    /// A macro call, or a text with one inside: only kbuild knows its value.
    Macro(String),
    /// The path of a `source` line.
    Source(String),
}

/// Where an entry begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    /// What it is.
    pub keyword: Keyword,
    /// The option's name; empty for other entries.
    pub name: String,
    /// Line, counted from 1.
    pub line: u32,
    /// The help text without its indentation; empty where there is none.
    pub help: String,
}

/// The entries whose lines we keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    Config,
    Menu,
    If,
    Choice,
}

/// Prepares `text`; `variables` are replaced wherever `$(NAME)` stands.
pub(super) fn prepare(text: &str, variables: &[(&str, &str)]) -> Prepared {
    let mut preparation = Preparation {
        out: Prepared::default(),
        variables,
    };
    let mut lines = Logical {
        lines: text.lines().enumerate().peekable(),
    };
    while let Some((number, line)) = lines.next() {
        if is_help(&line) {
            preparation.help(lines.help());
        } else {
            preparation.line(u32::try_from(number + 1).unwrap_or(u32::MAX), &line);
        }
    }
    preparation.out
}

/// Lines, with those joined that end in a backslash.
struct Logical<'a, I: Iterator<Item = (usize, &'a str)>> {
    lines: std::iter::Peekable<I>,
}

impl<'a, I: Iterator<Item = (usize, &'a str)>> Logical<'a, I> {
    fn next(&mut self) -> Option<(usize, std::borrow::Cow<'a, str>)> {
        let (number, first) = self.lines.next()?;
        let Some(begin) = first.strip_suffix('\\') else {
            return Some((number, first.into()));
        };
        let mut joined = begin.to_owned();
        for (_, line) in self.lines.by_ref() {
            joined.push(' ');
            match line.strip_suffix('\\') {
                Some(more) => joined.push_str(more),
                None => {
                    joined.push_str(line);
                    break;
                }
            }
        }
        Some((number, joined.into()))
    }

    /// A help text lasts as long as its lines are indented no less than its first.
    fn help(&mut self) -> String {
        let mut first = None;
        let mut text = String::new();
        while let Some((_, line)) = self.lines.peek() {
            if !line.trim().is_empty() {
                let depth = indentation(line);
                let outer = *first.get_or_insert(depth);
                if depth == 0 || depth < outer {
                    break;
                }
                text.extend(std::iter::repeat_n(' ', depth - outer));
                text.push_str(line.trim());
            }
            text.push('\n');
            self.lines.next();
        }
        text.trim_matches('\n').to_owned()
    }
}

fn is_help(line: &str) -> bool {
    matches!(line.trim(), "help" | "---help---")
}

fn indentation(line: &str) -> usize {
    let mut depth = 0;
    for c in line.chars() {
        match c {
            ' ' => depth += 1,
            '\t' => depth = depth / 8 * 8 + 8,
            _ => break,
        }
    }
    depth
}

struct Preparation<'a> {
    out: Prepared,
    variables: &'a [(&'a str, &'a str)],
}

impl Preparation<'_> {
    fn line(&mut self, number: u32, line: &str) {
        let line = line.trim();
        let word_end = line
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-')
            .unwrap_or(line.len());
        let (word, rest) = line.split_at(word_end);
        if line.starts_with('#') || word == "mainmenu" || is_statement(word, rest) {
            return;
        }
        match word {
            "source" | "osource" | "rsource" | "orsource" => return self.source(rest),
            "config" | "menuconfig" => {
                let name: String = rest
                    .trim_start()
                    .chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                    .collect();
                self.mark(Keyword::Config, name, number);
            }
            "menu" => self.mark(Keyword::Menu, String::new(), number),
            "if" => self.mark(Keyword::If, String::new(), number),
            "choice" => self.mark(Keyword::Choice, String::new(), number),
            _ => {}
        }
        self.copy(line);
        self.out.text.push('\n');
    }

    fn mark(&mut self, keyword: Keyword, name: String, line: u32) {
        self.out.marks.push(Mark {
            keyword,
            name,
            line,
            help: String::new(),
        });
    }

    /// A help text belongs to the entry above it.
    fn help(&mut self, text: String) {
        if let Some(mark) = self.out.marks.last_mut() {
            mark.help = text;
        }
    }

    fn source(&mut self, rest: &str) {
        let path = rest
            .split('#')
            .next()
            .unwrap_or_default()
            .trim()
            .trim_matches('"');
        let path = self.substituted(path);
        self.out.text.push_str("comment ");
        self.token(Token::Source(path));
        self.out.text.push('\n');
    }

    /// Copies a line up to its comment, with texts and macros replaced by tokens.
    fn copy(&mut self, line: &str) {
        let mut rest = line;
        while let Some(at) = rest.find(['"', '\'', '$', '#']) {
            let (plain, special) = rest.split_at(at);
            self.out.text.push_str(plain);
            rest = match special.as_bytes().first() {
                Some(b'"') => self.quoted(special, '"'),
                Some(b'\'') => self.quoted(special, '\''),
                Some(b'$') => self.macro_call(special),
                _ => return,
            };
        }
        self.out.text.push_str(rest);
    }

    fn quoted<'a>(&mut self, text: &'a str, quote: char) -> &'a str {
        let mut inside = String::new();
        let mut chars = text.char_indices().skip(1);
        let mut depth = 0_usize;
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => inside.extend(chars.next().map(|(_, c)| c)),
                // Quotes inside a macro call belong to the call.
                '(' if depth > 0 || inside.ends_with('$') => {
                    depth += 1;
                    inside.push(c);
                }
                ')' if depth > 0 => {
                    depth -= 1;
                    inside.push(c);
                }
                c if c == quote && depth == 0 => {
                    self.text_token(&inside);
                    return &text[at + 1..];
                }
                c => inside.push(c),
            }
        }
        self.text_token(&inside);
        ""
    }

    fn text_token(&mut self, inside: &str) {
        let text = self.substituted(inside);
        let token = if text.contains("$(") {
            Token::Macro(text)
        } else {
            Token::Text(text)
        };
        self.token(token);
    }

    fn macro_call<'a>(&mut self, text: &'a str) -> &'a str {
        let end = call_end(text);
        let (call, rest) = text.split_at(end);
        let known = self.variables.iter().find(|(name, _)| {
            call.strip_prefix("$(").and_then(|c| c.strip_suffix(')')) == Some(name)
        });
        match known {
            Some((_, value)) => self.out.text.push_str(value),
            None => self.token(Token::Macro(call.to_owned())),
        }
        rest
    }

    fn token(&mut self, token: Token) {
        use std::fmt::Write as _;
        let _infallible = write!(self.out.text, "\"t{}\"", self.out.tokens.len());
        self.out.tokens.push(token);
    }

    /// Both spellings: `$(NAME)`, and `$NAME` of kernels before 4.18.
    fn substituted(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in self.variables {
            text = text
                .replace(&format!("$({name})"), value)
                .replace(&format!("${name}"), value);
        }
        text
    }
}

/// Definitions and calls of macros on lines of their own.
fn is_statement(word: &str, rest: &str) -> bool {
    let operator = rest.trim_start();
    let assigns = ["=", ":=", "+="]
        .iter()
        .any(|sign| operator.starts_with(sign));
    rest.starts_with("$(") && word.is_empty() || assigns && !word.is_empty()
}

/// The length of the macro call that `text` begins with.
fn call_end(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth <= 1 => return at + 1,
            ')' => depth -= 1,
            ' ' | '\t' if depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_whole_file() {
        let text = r#"# SPDX
mainmenu "Linux/$(ARCH)"
cc-option = $(success,$(CC) -Werror \
	$(1))
$(error-if,$(success,false),no)

menu "Sockets"	# trailing "comment"
	depends on NET

config UNIX
	tristate "Unix domain sockets: it's \"local\""
	default $(cc-option,-fx(1)) if "$(ARCH)" = "x86" && \
		!BROKEN
	help
	  Say "Y.

	   config NOT_HERE
	  end
	depends on A

source "arch/$(SRCARCH)/Kconfig"
endmenu
"#;
        let prepared = prepare(text, &[("ARCH", "x86"), ("SRCARCH", "x86")]);
        let expected = "\nmenu \"t0\"\t\ndepends on NET\n\nconfig UNIX\ntristate \"t1\"\ndefault \"t2\" if \"t3\" = \"t4\" &&  \t\t!BROKEN\ndepends on A\n\ncomment \"t5\"\nendmenu\n";
        assert_eq!(prepared.text, expected);
        assert_eq!(
            prepared.tokens,
            [
                Token::Text("Sockets".into()),
                Token::Text("Unix domain sockets: it's \"local\"".into()),
                Token::Macro("$(cc-option,-fx(1))".into()),
                Token::Text("x86".into()),
                Token::Text("x86".into()),
                Token::Source("arch/x86/Kconfig".into()),
            ]
        );
        let marks: Vec<(Keyword, &str, u32)> = prepared
            .marks
            .iter()
            .map(|m| (m.keyword, m.name.as_str(), m.line))
            .collect();
        assert_eq!(
            marks,
            [(Keyword::Menu, "", 7), (Keyword::Config, "UNIX", 10)]
        );
        let helps: Vec<&str> = prepared.marks.iter().map(|m| m.help.as_str()).collect();
        assert_eq!(helps, ["", "Say \"Y.\n\n config NOT_HERE\nend"]);
    }

    proptest! {
        #[test]
        fn any_text_is_prepared(text in "(config A|\t?help|\"|\\$\\(|\\)|'|#|\\\\|\n|  x|[^\n]{0,4}){0,40}") {
            let _prepared = prepare(&text, &[("ARCH", "x86")]);
        }
    }
}
