//! Starts wslk and turns its answer into an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(wslk::cli::run(wslk::process::arguments()))
}
