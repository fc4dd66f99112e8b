//! The victim's side.
use std::ffi::OsString;

/// Runs the hidden verb `victim NAME DIR [ROLE]`; returns the exit code.
#[must_use]
pub fn run(args: &[OsString]) -> u8 {
    let _ = args;
    2
}
