//! A source file as tokens: what it names, where its functions begin and end, which lines are tests.
//!
//! Tokens and not a syntax tree: names inside macros count as well, and a tree does not hold those.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A path as written, its `{…}` groups spelled out: `use a::{b, c}` gives `a::b` and `a::c`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub segments: Vec<String>,
    pub line: usize,
}

/// A function with a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    pub line: usize,
    pub lines: usize,
}

/// An attribute: its name and the text of its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    pub name: String,
    pub arguments: String,
    pub line: usize,
}

/// What a file consists of. Paths and functions leave out what is compiled for tests alone.
#[derive(Debug, Default)]
pub struct Parts {
    pub paths: Vec<Named>,
    pub functions: Vec<Function>,
    pub attributes: Vec<Attribute>,
    pub test_lines: usize,
}

/// Takes a file apart.
pub fn parts(text: &str) -> Parts {
    let stream: TokenStream = text.parse().expect("the compiler has read it");
    let mut parts = Parts::default();
    walk(&stream.into_iter().collect::<Vec<_>>(), false, &mut parts);
    parts
}

fn walk(tokens: &[TokenTree], in_tests: bool, parts: &mut Parts) {
    let mut at = 0;
    while at < tokens.len() {
        if let Some(attribute) = attribute(tokens, at) {
            let tests_only = attribute.name == "cfg" && attribute.arguments == "test";
            parts.attributes.push(attribute);
            if tests_only && !in_tests {
                let end = item_end(tokens, at);
                parts.test_lines += tokens[end - 1].span().end().line + 1 - line(&tokens[at]);
                walk(&tokens[at + 2..end], true, parts);
                at = end;
                continue;
            }
        }
        if !in_tests {
            parts.functions.extend(function(tokens, at));
            if let Some((found, next)) = paths(tokens, at) {
                parts.paths.extend(found);
                at = next;
                continue;
            }
        }
        if let TokenTree::Group(group) = &tokens[at] {
            walk(&inside(group), in_tests, parts);
        }
        at += 1;
    }
}

fn inside(group: &Group) -> Vec<TokenTree> {
    group.stream().into_iter().collect()
}

fn line(token: &TokenTree) -> usize {
    token.span().start().line
}

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

/// `#[name(arguments)]` or `#![name(arguments)]` at this token.
fn attribute(tokens: &[TokenTree], at: usize) -> Option<Attribute> {
    if !is_punct(tokens.get(at), '#') {
        return None;
    }
    let group = tokens[at + 1..]
        .iter()
        .take(2)
        .find_map(|token| match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket => Some(group),
            _ => None,
        })?;
    let content = inside(group);
    let TokenTree::Ident(name) = content.first()? else {
        return None;
    };
    let arguments = match content.get(1) {
        Some(TokenTree::Group(group)) => group.stream().to_string(),
        _ => String::new(),
    };
    Some(Attribute {
        name: name.to_string(),
        arguments,
        line: line(&tokens[at]),
    })
}

/// One past the end of the item that the attribute at this token belongs to.
fn item_end(tokens: &[TokenTree], at: usize) -> usize {
    let ends = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(punct) => punct.as_char() == ';',
        _ => false,
    };
    tokens[at..]
        .iter()
        .position(ends)
        .map_or(tokens.len(), |length| at + length + 1)
}

/// `fn name … { … }` at this token.
fn function(tokens: &[TokenTree], at: usize) -> Option<Function> {
    let (TokenTree::Ident(keyword), TokenTree::Ident(name)) =
        (tokens.get(at)?, tokens.get(at + 1)?)
    else {
        return None;
    };
    let end = item_end(tokens, at);
    let body = tokens.get(end - 1)?;
    let has_body = keyword == "fn" && matches!(body, TokenTree::Group(_));
    let lines = body.span().end().line + 1 - line(&tokens[at]);
    has_body.then(|| Function {
        name: name.to_string(),
        line: line(&tokens[at]),
        lines,
    })
}

/// The paths that begin at this token, and where to go on reading.
fn paths(tokens: &[TokenTree], at: usize) -> Option<(Vec<Named>, usize)> {
    let TokenTree::Ident(_) = &tokens[at] else {
        return None;
    };
    // What follows a `::` or a `.` is no beginning. A path that starts with `::` is one.
    let after_dot = at > 0 && is_punct(tokens.get(at - 1), '.');
    if after_dot {
        return None;
    }
    let mut found = Vec::new();
    let next = tree(tokens, at, &[], &mut found);
    Some((found, next))
}

/// Reads `a::b`, `a::{b, c::d}` and `a::*`.
fn tree(tokens: &[TokenTree], mut at: usize, prefix: &[String], found: &mut Vec<Named>) -> usize {
    let start = line(&tokens[at]);
    let mut segments = prefix.to_vec();
    loop {
        match tokens.get(at) {
            Some(TokenTree::Ident(ident)) => segments.push(ident.to_string()),
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                branches(&inside(group), &segments, found);
                return at + 1;
            }
            _ => break,
        }
        at += 1;
        let goes_on = is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':');
        if !goes_on {
            break;
        }
        at += 2;
    }
    found.push(Named {
        segments,
        line: start,
    });
    at
}

fn branches(tokens: &[TokenTree], prefix: &[String], found: &mut Vec<Named>) {
    for branch in tokens
        .split(|token| is_punct(Some(token), ','))
        .filter(|branch| !branch.is_empty())
    {
        tree(branch, 0, prefix, found);
    }
}
