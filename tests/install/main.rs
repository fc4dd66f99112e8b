//! Installation, trial and rollback as users meet them: the real program, a folder that plays the Windows
//! side, and scripts that play Windows' programs.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod bench;
mod doctor;
mod flushes;
mod full;
#[path = "../killer/mod.rs"]
mod killer;
mod kills;
mod refusals;
mod requirements;
mod story;
mod torn;
mod trials;
mod two_homes;
mod ways;
