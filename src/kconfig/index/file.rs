//! One Kconfig file: from text to the options it defines, without looking at other files.
//!
//! In: the file's text. Out: a [`KconfigText`]: definitions, the scopes (menus, ifs, choices) around
//! them, and the files it sources. Must not fail as a whole: a file that nom-kconfig cannot parse still
//! yields names, types and sources, and says so.

use nom_kconfig::attribute::depends_on::DependsOn;
use nom_kconfig::attribute::r#type::{ConfigType, Type};
use nom_kconfig::attribute::{Attribute, Expression};
use nom_kconfig::{Entry as NomEntry, KconfigFile, KconfigInput, parse_kconfig};

use super::expr::{Converter, Expr};
use super::prepare::{Keyword, Mark, Prepared, Token, prepare};
use super::{Default, Definition, Range, Scope, ScopeKind};
use crate::kconfig::symbol::SymbolType;

/// What one file says.
#[derive(Debug, std::default::Default)]
pub(super) struct KconfigText {
    pub scopes: Vec<Scope>,
    pub items: Vec<Item>,
    /// Why the file could not be parsed, and near which line.
    pub unread: Option<String>,
}

/// Options and sourced files in the order of the file.
#[derive(Debug)]
pub(super) enum Item {
    Config(Box<Config>),
    Source { path: String, scope: Option<u32> },
}

/// One definition of an option, with what it does to others.
#[derive(Debug)]
pub(super) struct Config {
    pub name: String,
    pub symbol_type: Option<SymbolType>,
    pub definition: Definition,
    pub selects: Vec<(String, Option<Expr>)>,
    pub implies: Vec<(String, Option<Expr>)>,
}

/// Reads the text of `file`.
pub(super) fn read(file: &str, text: &str, variables: &[(&str, &str)]) -> KconfigText {
    let prepared = prepare(text, variables);
    let input = KconfigInput::new_extra(&prepared.text, KconfigFile::default());
    match parse_kconfig(input) {
        Ok((_, kconfig)) => {
            let mut reader = Reader::new(file, &prepared);
            reader.entries(&kconfig.entries, None);
            reader.out
        }
        Err(error) => by_lines(file, &prepared, error.input.len()),
    }
}

struct Reader<'a> {
    file: &'a str,
    converter: Converter<'a>,
    marks: std::slice::Iter<'a, Mark>,
    out: KconfigText,
}

impl<'a> Reader<'a> {
    fn new(file: &'a str, prepared: &'a Prepared) -> Self {
        Self {
            file,
            converter: Converter(&prepared.tokens),
            marks: prepared.marks.iter(),
            out: KconfigText::default(),
        }
    }

    /// Entries are visited in the order of the file, so their marks come in the same order.
    fn mark(&mut self, keyword: Keyword, name: &str) -> Option<&'a Mark> {
        let found = self
            .marks
            .clone()
            .position(|mark| mark.keyword == keyword && mark.name == name);
        found.and_then(|skip| self.marks.nth(skip))
    }

    fn line(&mut self, keyword: Keyword) -> u32 {
        self.mark(keyword, "").map_or(0, |mark| mark.line)
    }

    fn entries(&mut self, entries: &[NomEntry], scope: Option<u32>) {
        for entry in entries {
            match entry {
                NomEntry::Config(config) => self.config(&config.symbol, &config.attributes, scope),
                NomEntry::MenuConfig(config) => {
                    self.config(&config.symbol, &config.attributes, scope)
                }
                NomEntry::If(block) => {
                    let line = self.line(Keyword::If);
                    let depends = vec![self.converter.expression(&block.condition)];
                    let inner =
                        self.scope(ScopeKind::If, String::new(), line, depends, None, scope);
                    self.entries(&block.entries, Some(inner));
                }
                NomEntry::Menu(menu) => {
                    let line = self.line(Keyword::Menu);
                    let depends = menu.depends_on.iter().map(|on| self.depends(on)).collect();
                    let visible = menu
                        .visible
                        .as_ref()
                        .and_then(Option::as_ref)
                        .map(|e| self.converter.expression(e));
                    let title = self.text(&menu.prompt);
                    let inner = self.scope(ScopeKind::Menu, title, line, depends, visible, scope);
                    self.entries(&menu.entries, Some(inner));
                }
                NomEntry::Choice(choice) => self.choice(choice, scope),
                NomEntry::Comment(comment) => {
                    if let Some(Token::Source(path)) = self.converter.lookup(&comment.prompt) {
                        self.out.items.push(Item::Source {
                            path: path.clone(),
                            scope,
                        });
                    }
                }
                _ => {}
            }
        }
    }

    fn choice(&mut self, choice: &nom_kconfig::entry::Choice, scope: Option<u32>) {
        let line = self.line(Keyword::Choice);
        let parts = self.parts(&choice.options);
        let (title, visible) = match parts.definition.prompt {
            Some(title) => (title, parts.definition.prompt_if),
            None => (String::new(), None),
        };
        let kind = if parts.optional {
            ScopeKind::OptionalChoice
        } else {
            ScopeKind::Choice
        };
        let inner = self.scope(kind, title, line, parts.definition.depends, visible, scope);
        self.entries(&choice.entries, Some(inner));
    }

    fn scope(
        &mut self,
        kind: ScopeKind,
        title: String,
        line: u32,
        depends: Vec<Expr>,
        visible: Option<Expr>,
        parent: Option<u32>,
    ) -> u32 {
        let file = self.file.to_owned();
        self.out.scopes.push(Scope {
            parent,
            kind,
            title,
            file,
            line,
            depends,
            visible,
            members: Vec::new(),
        });
        u32::try_from(self.out.scopes.len() - 1).unwrap_or(u32::MAX)
    }

    fn config(&mut self, name: &str, attributes: &[Attribute], scope: Option<u32>) {
        let name = name.trim().to_owned();
        let mark = self.mark(Keyword::Config, &name);
        let mut parts = self.parts(attributes);
        parts.definition.file = self.file.to_owned();
        parts.definition.line = mark.map_or(0, |mark| mark.line);
        parts.definition.help = mark.map(|mark| mark.help.clone()).unwrap_or_default();
        parts.definition.scope = scope;
        self.out.items.push(Item::Config(Box::new(Config {
            name,
            symbol_type: parts.symbol_type,
            definition: parts.definition,
            selects: parts.selects,
            implies: parts.implies,
        })));
    }

    fn parts(&self, attributes: &[Attribute]) -> Parts {
        let mut parts = Parts::default();
        for attribute in attributes {
            self.attribute(attribute, &mut parts);
        }
        parts
    }

    fn attribute(&self, attribute: &Attribute, parts: &mut Parts) {
        let condition = |e: &Option<Expression>| e.as_ref().map(|e| self.converter.expression(e));
        match attribute {
            Attribute::Type(declared) => self.declared(declared, parts),
            Attribute::Prompt(prompt) => {
                parts.definition.prompt = Some(self.text(&prompt.prompt));
                parts.definition.prompt_if = condition(&prompt.r#if);
            }
            Attribute::DependsOn(on) => parts.definition.depends.push(self.depends(on)),
            Attribute::Default(default) => parts.definition.defaults.push(Default {
                value: self.converter.expression(&default.expression),
                condition: condition(&default.r#if),
            }),
            Attribute::Select(select) => parts
                .selects
                .push((select.symbol.trim().to_owned(), condition(&select.r#if))),
            Attribute::Imply(imply) => {
                if let Expr::Symbol(name) = self.converter.symbol(&imply.symbol) {
                    parts.implies.push((name, condition(&imply.r#if)));
                }
            }
            Attribute::Range(range) => parts.definition.ranges.push(Range {
                low: bound(&range.lower_bound.to_string()),
                high: bound(&range.upper_bound.to_string()),
                condition: condition(&range.r#if),
            }),
            Attribute::Optional => parts.optional = true,
            _ => {}
        }
    }

    fn declared(&self, declared: &ConfigType, parts: &mut Parts) {
        let condition = declared.r#if.as_ref().map(|e| self.converter.expression(e));
        let (symbol_type, prompt, value) = match &declared.r#type {
            Type::Bool(prompt) => (SymbolType::Bool, prompt.as_ref(), None),
            Type::Tristate(prompt) => (SymbolType::Tristate, prompt.as_ref(), None),
            Type::String(prompt) => (SymbolType::String, prompt.as_ref(), None),
            Type::Hex(prompt) => (SymbolType::Hex, prompt.as_ref(), None),
            Type::Int(prompt) => (SymbolType::Int, prompt.as_ref(), None),
            Type::DefBool(value) => (SymbolType::Bool, None, Some(value)),
            Type::DefTristate(value) => (SymbolType::Tristate, None, Some(value)),
            Type::DefInt(value) => (SymbolType::Int, None, Some(value)),
            Type::DefHex(value) => (SymbolType::Hex, None, Some(value)),
            Type::DefString(value) => (SymbolType::String, None, Some(value)),
        };
        parts.symbol_type = Some(symbol_type);
        if let Some(prompt) = prompt {
            parts.definition.prompt = Some(self.text(prompt));
            parts.definition.prompt_if.clone_from(&condition);
        }
        if let Some(value) = value {
            let value = self.converter.expression(value);
            parts.definition.defaults.push(Default { value, condition });
        }
    }

    /// `depends on A if B` (newer kernels) holds where B does not.
    fn depends(&self, on: &DependsOn) -> Expr {
        let expr = self.converter.expression(&on.expression);
        match &on.r#if {
            None => expr,
            Some(condition) => Expr::Or(vec![
                expr,
                Expr::Not(Box::new(self.converter.expression(condition))),
            ]),
        }
    }

    fn text(&self, prompt: &str) -> String {
        match self.converter.token(prompt) {
            Expr::Text(text) | Expr::Macro(text) => text,
            other => other.to_string(),
        }
    }
}

#[derive(std::default::Default)]
struct Parts {
    symbol_type: Option<SymbolType>,
    definition: Definition,
    selects: Vec<(String, Option<Expr>)>,
    implies: Vec<(String, Option<Expr>)>,
    optional: bool,
}

fn bound(text: &str) -> Expr {
    let is_number = text
        .trim_start_matches('-')
        .starts_with(|c: char| c.is_ascii_digit());
    let is_name = text.bytes().any(|b| b.is_ascii_uppercase())
        && !text.starts_with("0x")
        && !text.starts_with("0X");
    if is_number && !is_name || text.starts_with("0x") || text.starts_with("0X") {
        Expr::Text(text.to_owned())
    } else {
        Expr::Symbol(text.to_owned())
    }
}

/// Names, types and sources by a look at each line, where parsing failed with `rest` bytes to go.
fn by_lines(file: &str, prepared: &Prepared, rest: usize) -> KconfigText {
    let reached = prepared.text.len().saturating_sub(rest);
    let before = prepared.text.get(..reached).unwrap_or_default();
    let is_entry = |line: &&str| {
        matches!(
            line.split_whitespace().next(),
            Some("config" | "menuconfig" | "menu" | "if" | "choice")
        )
    };
    let near = before.lines().filter(is_entry).count().saturating_sub(1);
    let line = prepared.marks.get(near).map_or(1, |mark| mark.line);
    let mut out = KconfigText {
        unread: Some(format!("{file}: not understood from about line {line} on")),
        ..KconfigText::default()
    };
    let mut marks = prepared
        .marks
        .iter()
        .filter(|mark| mark.keyword == Keyword::Config);
    let converter = Converter(&prepared.tokens);
    for line in prepared.text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("config" | "menuconfig") => out
                .items
                .extend(marks.next().map(|mark| unread_config(file, mark))),
            Some("comment") => {
                if let Some(Token::Source(path)) =
                    words.next().and_then(|word| converter.lookup(word))
                {
                    out.items.push(Item::Source {
                        path: path.clone(),
                        scope: None,
                    });
                }
            }
            Some(word) => {
                if let (Some(Item::Config(config)), Some(found)) =
                    (out.items.last_mut(), type_of(word))
                {
                    config.symbol_type.get_or_insert(found);
                }
            }
            None => {}
        }
    }
    out
}

fn unread_config(file: &str, mark: &Mark) -> Item {
    let definition = Definition {
        file: file.to_owned(),
        line: mark.line,
        help: mark.help.clone(),
        unread: true,
        ..Definition::default()
    };
    let (selects, implies) = (Vec::new(), Vec::new());
    Item::Config(Box::new(Config {
        name: mark.name.clone(),
        symbol_type: None,
        definition,
        selects,
        implies,
    }))
}

fn type_of(word: &str) -> Option<SymbolType> {
    match word.strip_prefix("def_").unwrap_or(word) {
        "bool" | "boolean" => Some(SymbolType::Bool),
        "tristate" => Some(SymbolType::Tristate),
        "int" => Some(SymbolType::Int),
        "hex" => Some(SymbolType::Hex),
        "string" => Some(SymbolType::String),
        _ => None,
    }
}
