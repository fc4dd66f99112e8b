//! WSL's grammar a second time, from its description alone: a machine that takes one character after
//! another and knows nothing of edits. It shares no code with what it judges.
//!
//! In: a text. Out: its [`Line`]s, each with what WSL would set by it. The description leaves one thing
//! open, the section in force after a bad header; [`AfterBadHeader`] has both ways to take it.

/// What is in force below a bad section header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterBadHeader {
    /// The section before it.
    PreviousSection,
    /// So many of its letters as the name of the section before it is long, or nothing if it has fewer.
    PreviousLength,
}

/// A line, with the lines that it goes on in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// All of it, with its line end.
    pub text: String,
    /// Its comment, from `#` on, without the line end.
    pub comment: Option<String>,
    pub meaning: Meaning,
}

/// What WSL makes of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing: empty, or a comment.
    Nothing,
    Section,
    /// `section.key`, in lower case, and its value. Without a section the key stands alone.
    Set(String, String),
    /// Dropped with a warning.
    Dropped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Comment,
    HeaderStart,
    Header,
    HeaderDone,
    Key,
    KeyDone,
    ValueStart,
    Value { quoted: bool },
    Escape { quoted: bool },
    Drop,
}

/// Where a character leads: on in the line, or to its end.
enum Step {
    Go(State),
    End(Meaning),
}

use Step::{End, Go};

/// Reads a text up to the character that ends a text file for the C runtime.
pub fn lines(text: &str, after_bad_header: AfterBadHeader) -> Vec<Line> {
    let text = text.split('\x1A').next().unwrap_or_default();
    let mut machine = Machine::new(after_bad_header);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        machine.text.push(c);
        // Text mode: CR LF is one line feed.
        if c != '\r' || characters.peek() != Some(&'\n') {
            machine.take(c);
        }
    }
    machine.finish();
    machine.lines
}

/// The value of a key: the first line of it counts, and an empty value is none.
pub fn value(lines: &[Line], wanted: &str) -> Option<String> {
    let set = |line: &Line| match &line.meaning {
        Meaning::Set(key, value) if key == wanted => Some(value.clone()),
        _ => None,
    };
    lines.iter().find_map(set).filter(|value| !value.is_empty())
}

struct Machine {
    after_bad_header: AfterBadHeader,
    state: State,
    /// The last section whose header was good, and what is in force.
    good: Option<String>,
    section: Option<String>,
    text: String,
    name: String,
    value: Vec<u8>,
    /// Length of the value without the blanks at its end.
    solid: usize,
    /// What the line means if nothing but a comment follows.
    meaning: Meaning,
    comment: Option<String>,
    lines: Vec<Line>,
}

impl Machine {
    fn new(after_bad_header: AfterBadHeader) -> Self {
        Self {
            after_bad_header,
            state: State::Start,
            good: None,
            section: None,
            text: String::new(),
            name: String::new(),
            value: Vec::new(),
            solid: 0,
            meaning: Meaning::Nothing,
            comment: None,
            lines: Vec::new(),
        }
    }

    fn take(&mut self, c: char) {
        let step = match self.state {
            State::Start => self.start(c),
            State::Comment => self.comment(c),
            State::HeaderStart | State::Header | State::HeaderDone => self.header(c),
            State::Key | State::KeyDone => self.key(c),
            State::ValueStart if is_blank(c) => Go(State::ValueStart),
            State::ValueStart => self.value(c, false),
            State::Value { quoted } => self.value(c, quoted),
            State::Escape { quoted } => self.escape(c, quoted),
            State::Drop => dropped(c),
        };
        match step {
            Go(state) => self.state = state,
            End(meaning) => self.end(meaning),
        }
    }

    /// The text ends: so does the line.
    fn finish(&mut self) {
        let meaning = match self.state {
            State::Start if self.text.is_empty() => return,
            State::Start | State::Comment => self.meaning.clone(),
            State::HeaderDone => self.good_header(),
            State::HeaderStart | State::Header => {
                self.bad_header();
                Meaning::Dropped
            }
            State::ValueStart | State::Value { quoted: false } => self.set(),
            State::Key
            | State::KeyDone
            | State::Value { quoted: true }
            | State::Escape { .. }
            | State::Drop => Meaning::Dropped,
        };
        self.end(meaning);
    }

    fn end(&mut self, meaning: Meaning) {
        self.lines.push(Line {
            text: std::mem::take(&mut self.text),
            comment: self.comment.take(),
            meaning,
        });
        self.state = State::Start;
        self.meaning = Meaning::Nothing;
        self.name.clear();
        self.value.clear();
        self.solid = 0;
    }

    fn start(&mut self, c: char) -> Step {
        match c {
            '\n' | '\r' => End(Meaning::Nothing),
            '#' => self.comment(c),
            '[' => Go(State::HeaderStart),
            c if is_blank(c) => Go(State::Start),
            c if c.is_ascii_alphabetic() => self.key(c),
            c => dropped(c),
        }
    }

    fn comment(&mut self, c: char) -> Step {
        if c == '\n' {
            return End(self.meaning.clone());
        }
        self.comment.get_or_insert_default().push(c);
        Go(State::Comment)
    }

    fn header(&mut self, c: char) -> Step {
        match (self.state, c) {
            (State::HeaderStart, c) if c.is_ascii_alphabetic() => self.letter(c, State::Header),
            (State::Header, c) if c.is_ascii_alphanumeric() => self.letter(c, State::Header),
            (State::Header, ']') => Go(State::HeaderDone),
            (State::HeaderDone, c) if is_blank(c) => Go(State::HeaderDone),
            (State::HeaderDone, '\n' | '\r') => End(self.good_header()),
            (State::HeaderDone, '#') => {
                self.meaning = self.good_header();
                self.comment(c)
            }
            _ => {
                self.bad_header();
                dropped(c)
            }
        }
    }

    fn good_header(&mut self) -> Meaning {
        self.good = Some(self.name.clone());
        self.section = self.good.clone();
        Meaning::Section
    }

    fn bad_header(&mut self) {
        let Some(good) = self.good.as_ref().filter(|_| !self.name.is_empty()) else {
            return;
        };
        if self.after_bad_header == AfterBadHeader::PreviousLength {
            let letters = self.name.get(..good.len());
            // Too short: the rest is filled with zeroes, and the name is no longer one.
            self.section = Some(letters.unwrap_or("\0").to_owned());
        }
    }

    fn key(&mut self, c: char) -> Step {
        match (self.state, c) {
            (State::Start | State::Key, c) if c.is_ascii_alphanumeric() => {
                self.letter(c, State::Key)
            }
            (_, ' ' | '\t') => Go(State::KeyDone),
            (_, '=') => Go(State::ValueStart),
            _ => dropped(c),
        }
    }

    fn letter(&mut self, c: char, state: State) -> Step {
        self.name.push(c.to_ascii_lowercase());
        Go(state)
    }

    fn value(&mut self, c: char, quoted: bool) -> Step {
        match c {
            '\n' | '\r' if quoted => return dropped(c),
            '\n' | '\r' => return End(self.set()),
            '#' if !quoted => {
                self.meaning = self.set();
                return self.comment(c);
            }
            '\\' => return Go(State::Escape { quoted }),
            '"' => {
                self.solid = self.value.len();
                return Go(State::Value { quoted: !quoted });
            }
            c => self.keep(c),
        }
        if !is_blank(c) {
            self.solid = self.value.len();
        }
        Go(State::Value { quoted })
    }

    fn escape(&mut self, c: char, quoted: bool) -> Step {
        match c {
            '\\' | '"' => self.keep(c),
            'b' => self.keep('\x08'),
            'n' => self.keep('\n'),
            't' => self.keep('\t'),
            '\n' => {}
            // A CR alone ends no dropped line.
            _ => return Go(State::Drop),
        }
        self.solid = self.value.len();
        Go(State::Value { quoted })
    }

    /// Wide characters are cut to a byte each.
    fn keep(&mut self, c: char) {
        let mut units = [0; 2];
        let bytes = c
            .encode_utf16(&mut units)
            .iter()
            .map(|unit| (unit & 0xFF) as u8);
        self.value.extend(bytes);
    }

    fn set(&self) -> Meaning {
        // A C string: a character whose byte is zero ends it.
        let value = self.value[..self.solid].split(|byte| *byte == 0).next();
        let value = String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
        let key = match &self.section {
            Some(section) => format!("{section}.{}", self.name),
            None => self.name.clone(),
        };
        Meaning::Set(key, value)
    }
}

/// A bad line goes on to its line feed.
fn dropped(c: char) -> Step {
    match c {
        '\n' => End(Meaning::Dropped),
        _ => Go(State::Drop),
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}
