//! A runner in a hurry: no program gets more time than the screen has.
//!
//! In: another runner and a limit. Out: a [`Runner`]. Must not change anything else about a command.

use std::sync::Arc;
use std::time::Duration;

use crate::exec::{Cmd, ExecError, Output, Runner};

/// Runs everything under one limit.
#[derive(Debug, Clone)]
pub(super) struct Hurry {
    runner: Arc<dyn Runner>,
    limit: Duration,
}

impl Hurry {
    pub(super) fn new(runner: Arc<dyn Runner>, limit: Duration) -> Self {
        Self { runner, limit }
    }
}

impl Runner for Hurry {
    fn run_with(&self, cmd: &Cmd, on_line: &mut dyn FnMut(&str)) -> Result<Output, ExecError> {
        self.runner
            .run_with(&cmd.clone().total(self.limit), on_line)
    }
}
