//! Starts wslk.

fn main() {}
