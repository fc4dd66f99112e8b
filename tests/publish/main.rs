//! Publications from outside: the real program publishes builds of a few bytes, a real server hands them out, and
//! the real program takes them or says why not.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod again;
#[expect(dead_code, reason = "made for the tests of the installation")]
#[path = "../install/bench.rs"]
mod bench;
mod disk;
mod formats;
#[path = "../killer/mod.rs"]
mod killer;
mod kills;
mod refusals;
mod server;
mod story;
mod yard;
