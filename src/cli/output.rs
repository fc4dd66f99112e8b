//! What goes to standard output and how an error looks.
//!
//! In: a verb's answer, as a document and as text. Out: one of the two on standard output; errors as
//! people read them on standard error, or as a document with `--json`.

use std::io::Write as _;

use miette::{GraphicalReportHandler, GraphicalTheme};
use serde::Serialize;

use crate::error::Error;
use crate::exit::Exit;
use crate::process;

/// Where answers go.
#[derive(Debug)]
pub(super) struct Output {
    json: bool,
    colour: bool,
}

#[derive(Serialize)]
struct Document<'a, T> {
    schema: String,
    #[serde(flatten)]
    body: &'a T,
}

#[derive(Serialize)]
struct Failure {
    schema: &'static str,
    code: u8,
    kind: &'static str,
    message: String,
    hint: Option<String>,
}

impl Output {
    pub(super) fn new(json: bool, colour: bool) -> Self {
        Self { json, colour }
    }

    /// Answers a verb: `body` as a JSON document with `--json`, else `text`.
    pub(super) fn answer(&self, verb: &str, body: &impl Serialize, text: &str) {
        if self.json {
            print(&document(verb, body));
        } else {
            print(text);
        }
    }

    /// Tells why there is no answer.
    pub(super) fn error(&self, error: &Error) {
        if self.json {
            print(&json(&Failure {
                schema: "wslk/error/1",
                code: error.exit() as u8,
                kind: error.kind(),
                message: error.chain(),
                hint: error.hint(),
            }));
        }
        self.talk(error);
    }

    /// Tells people on standard error what is wrong beside an answer that was given.
    pub(super) fn talk(&self, error: &Error) {
        let (bold, plain) = if self.colour {
            ("\x1b[1;31m", "\x1b[0m")
        } else {
            ("", "")
        };
        let mut text = format!("{bold}error:{plain} {}\n", error.chain());
        if let Some(diagnostic) = error.diagnostic() {
            text = drawn(diagnostic, self.colour).unwrap_or(text);
        } else if let Some(hint) = error.hint() {
            text.push_str(&format!("hint: {hint}\n"));
        }
        // Nobody is left to tell when standard error is closed.
        let _closed = process::stderr().write_all(text.as_bytes());
    }
}

/// The lines at fault with a mark under the place.
fn drawn(diagnostic: &dyn miette::Diagnostic, colour: bool) -> Option<String> {
    let theme = if colour {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let mut text = String::new();
    GraphicalReportHandler::new_themed(theme)
        .render_report(&mut text, diagnostic)
        .ok()?;
    Some(text)
}

/// Writes to standard output. A reader that has gone (`| head`) is no failure.
pub(super) fn print(text: &str) {
    let mut out = process::stdout();
    let _closed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// A verb's answer as a document.
pub(super) fn document(verb: &str, body: &impl Serialize) -> String {
    json(&Document {
        schema: format!("wslk/{verb}/1"),
        body,
    })
}

fn json(document: &impl Serialize) -> String {
    let text =
        serde_json::to_string_pretty(document).unwrap_or_else(|e| format!("{{\"bug\": \"{e}\"}}"));
    text + "\n"
}

/// Help and version go to standard output, bad usage to standard error.
pub(super) fn usage(error: &clap::Error, json: bool) -> u8 {
    let _closed = error.print();
    if error.use_stderr() {
        if json {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            print(&self::json(&Failure {
                schema: "wslk/error/1",
                code: Exit::Usage as u8,
                kind: "usage",
                message: first.trim_start_matches("error: ").to_owned(),
                hint: Some("wslk --help lists the verbs and flags".to_owned()),
            }));
        }
        Exit::Usage as u8
    } else {
        Exit::Done as u8
    }
}
