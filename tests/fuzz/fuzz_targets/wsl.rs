//! The part of wslk under test, alone: so it builds in a minute and all coverage is its own.

#[path = "../../../src/wsl/path.rs"]
pub mod path;
#[path = "../../../src/wsl/wslconfig/mod.rs"]
pub mod wslconfig;
