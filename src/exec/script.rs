//! A runner for tests that plays a prepared part: which command is expected, what it answers.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::{Cmd, ExecError, Output, Runner};

/// Answers in the order prepared; each answer names a text that its command line must contain.
#[derive(Debug, Default)]
pub struct Script {
    scenes: Mutex<VecDeque<(String, Result<Output, ExecError>)>>,
    played: Mutex<Vec<String>>,
}

impl Script {
    /// Expects a command line that contains `needle` and answers it with this output.
    #[must_use]
    pub fn expect(self, needle: &str, output: Output) -> Self {
        self.scene(needle, Ok(output))
    }

    /// Expects a command line that contains `needle`, answered with success and this text.
    #[must_use]
    pub fn says(self, needle: &str, stdout: &str) -> Self {
        self.scene(
            needle,
            Ok(Output {
                status: Some(0),
                stdout: stdout.into(),
                ..Output::default()
            }),
        )
    }

    /// Expects a command line that contains `needle` and fails it this way.
    #[must_use]
    pub fn fails(self, needle: &str, error: ExecError) -> Self {
        self.scene(needle, Err(error))
    }

    fn scene(self, needle: &str, answer: Result<Output, ExecError>) -> Self {
        if let Ok(mut scenes) = self.scenes.lock() {
            scenes.push_back((needle.to_owned(), answer));
        }
        self
    }

    /// The command lines that were run, in order.
    #[must_use]
    pub fn played(&self) -> Vec<String> {
        self.played
            .lock()
            .map(|lines| lines.clone())
            .unwrap_or_default()
    }
}

impl Runner for Script {
    fn run_with(&self, cmd: &Cmd, on_line: &mut dyn FnMut(&str)) -> Result<Output, ExecError> {
        let line = cmd.to_string();
        if let Ok(mut played) = self.played.lock() {
            played.push(line.clone());
        }
        let scene = self
            .scenes
            .lock()
            .ok()
            .and_then(|mut scenes| scenes.pop_front());
        match scene {
            Some((needle, answer)) if line.contains(&needle) => {
                if let Ok(output) = &answer {
                    output.text().lines().for_each(on_line);
                }
                answer
            }
            Some((needle, _)) => panic!("expected a command with `{needle}`, got `{line}`"),
            None => panic!("no more commands were expected, got `{line}`"),
        }
    }
}
