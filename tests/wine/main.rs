//! The scripts of the Windows side, run as they are by wine's `cmd.exe` in a made-up Windows.
//!
//! A folder plays the user's profile, a registry of wine's plays the registry, and a `wsl` answered by the
//! test plays WSL: it reads `.wslconfig` when its virtual machine starts, and boots, hangs, or dies of what is
//! configured there. Without wine, every test here says that it was skipped.
//!
//! Two programs are not wine's: `fc`, since wine's compares nothing, and `wsl`. Names with a pair of `%` are
//! not tried, since wine 8 expands them again and again until it falls over; Windows does not.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stderr, reason = "skips and counts must be seen")]

mod kills;
mod machine;
mod prefix;
mod rollback;
mod trial;
mod windows;
