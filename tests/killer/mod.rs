//! SIGKILL at a chosen system call: strace injects the signal at the entry of the n-th call of a kind. With every
//! kind and every n until the program gets through, every point between two changes of a file is tried.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};

/// Every kind of call by which a file comes, goes or changes, but its opening.
pub const CALLS: [&str; 13] = [
    "write",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "rmdir",
    "mkdir",
    "fchmod",
    "ftruncate",
    "copy_file_range",
];
/// More calls of one kind than any command of ours makes.
pub const ENOUGH: u32 = 2000;

/// Who is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// The program's first thread; its others, and the tools that it starts, are left alone.
    Main,
    /// All of its threads and children.
    All,
}

/// The beginning of a command line: the program to be killed at its n-th `call` comes behind it. Says nothing.
pub fn strace(watch: Watch, call: &str, n: u32) -> Command {
    let mut strace = Command::new("strace");
    if watch == Watch::All {
        strace.arg("-f");
    }
    strace
        .args(["-qq", "-o", "/dev/null", "-e"])
        .arg(format!("trace={call}"))
        .arg("-e")
        .arg(format!("inject={call}:signal=KILL:when={n}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    strace
}

/// Whether the program under strace died of the signal.
pub fn died(status: ExitStatus) -> bool {
    status.signal() == Some(9) || status.code() == Some(137)
}

/// Whether that works on this machine; says so where it does not.
#[expect(clippy::print_stderr, reason = "a skip must be seen")]
pub fn can_kill() -> bool {
    let tried = strace(Watch::Main, "openat", 1).arg("true").status();
    let can = tried.is_ok_and(died);
    if !can {
        eprintln!("SKIPPED: strace cannot inject signals here");
    }
    can
}
