//! How often an installation waits for the disk: that, and not the copying, is what it takes its time for.

use std::fs;
use std::process::{Command, Stdio};

use crate::bench::{Bench, Kernel};
use crate::killer::can_kill;

/// The flushes of a command, as the threads that waited for them.
fn flushes(bench: &Bench, args: &[&str]) -> Vec<String> {
    let trace = bench.path("trace");
    let status = Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=fsync,fdatasync,syncfs", "-o"])
        .arg(&trace)
        .arg(assert_cmd::cargo::cargo_bin("wslk"))
        .args(args)
        .arg("--windows-home")
        .arg(bench.profile())
        .envs(bench.environment())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{args:?}: {status}");
    let text = fs::read_to_string(trace).unwrap();
    let begun = text.lines().filter(|line| line.contains("sync"));
    let begun = begun.filter(|line| !line.contains("resumed>"));
    let thread = |line: &str| line.split_whitespace().next().map(str::to_owned);
    begun.filter_map(thread).collect()
}

/// Three times for the journal, twice for us to remember where; the rest waits side by side.
#[test]
fn an_installation_waits_a_few_times_and_not_for_each_step() {
    if !can_kill() {
        return;
    }
    let bench = Bench::new();
    bench.publish(&Kernel::new("a"));
    for (args, most) in [
        (&["install"][..], 5),
        (&["rollback"], 3),
        (&["rollback"], 3),
    ] {
        let threads = flushes(&bench, args);
        let main = threads.first().cloned().unwrap();
        let alone = threads.iter().filter(|thread| **thread == main).count();
        assert!(alone <= most, "{args:?}: {alone} of {}", threads.len());
        assert!(threads.len() < 40, "{args:?}: {}", threads.len());
    }
}
