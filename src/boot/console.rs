//! What a kernel says on its console when something goes wrong.
//!
//! In: the whole text of the serial console. Out: a [`Reading`]. Must not judge: whether a stall matters depends on
//! what the agent said, which this module never sees.

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// Lines that came from the guest at all.
    pub lines: usize,
    /// The kernel got as far as starting `/init`.
    pub userspace: bool,
    /// The first panic.
    pub panic: Option<Sign>,
    /// The first oops or BUG.
    pub oops: Option<Sign>,
    /// The first stall, lockup or hung task.
    pub stall: Option<Sign>,
    /// Something on our side of the fence: a guest without enough memory, a program of ours that cannot run.
    pub ours: Option<String>,
    /// The last lines.
    pub tail: Vec<String>,
}

/// A place on the console where something shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sign {
    /// The line itself, without its time.
    pub line: String,
    /// It and what follows, as it was written.
    pub excerpt: Vec<String>,
    /// Kernel options that it points at.
    pub options: Vec<String>,
}

/// Lines of an excerpt: a panic's registers and most of its trace.
const EXCERPT: usize = 24;
/// Lines of the tail.
const TAIL: usize = 12;

/// What each kind looks like. A line of userspace that quotes one of them would be taken for it, but nothing in
/// the guest does that, and the agent's own lines are left out.
const PANIC: &str = "Kernel panic - not syncing";
const OOPS: [&str; 9] = [
    "BUG: unable to handle",
    "BUG: kernel NULL pointer",
    "kernel BUG at ",
    "BUG: KASAN",
    "BUG: scheduling while atomic",
    "BUG: Bad page",
    "BUG: sleeping function",
    "Oops: ",
    " [#1]",
];
const STALL: [&str; 7] = [
    "BUG: soft lockup",
    "BUG: workqueue lockup",
    "hard LOCKUP",
    "detected stalls on CPUs",
    "self-detected stall on CPU",
    "rcu_sched kthread starved",
    "blocked for more than",
];
/// What the agent's own lines begin with, behind the time.
pub const AGENT_MARK: &str = "wslk: ";

/// Reads a console.
#[must_use]
pub fn read(text: &str) -> Reading {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    let mut reading = Reading {
        lines: lines.len(),
        ..Reading::default()
    };
    for (at, line) in lines
        .iter()
        .enumerate()
        .filter(|(_, line)| !line.contains(AGENT_MARK))
    {
        let has = |signs: &[&str]| signs.iter().any(|sign| line.contains(sign));
        let sign = || sign(&lines[at..]);
        reading.userspace |= line.contains("Run /init as init process");
        if line.contains(PANIC) {
            reading.panic.get_or_insert_with(sign);
        } else if has(&STALL) {
            reading.stall.get_or_insert_with(sign);
        } else if has(&OOPS) {
            reading.oops.get_or_insert_with(sign);
        }
        reading.ours = reading.ours.or_else(|| ours(line));
    }
    reading.tail = lines[lines.len().saturating_sub(TAIL)..]
        .iter()
        .map(|line| (*line).to_owned())
        .collect();
    if let Some(panic) = &mut reading.panic {
        panic.options = panic_options(text);
    }
    reading
}

fn sign(lines: &[&str]) -> Sign {
    let excerpt: Vec<String> = lines
        .iter()
        .take(EXCERPT)
        .map(|line| (*line).to_owned())
        .collect();
    Sign {
        line: lines
            .first()
            .map(|line| words(line).to_owned())
            .unwrap_or_default(),
        excerpt,
        options: Vec::new(),
    }
}

/// A line without its time, and without who speaks where the kernel says so: `[    1.234567][   T27] text`.
#[must_use]
pub fn words(line: &str) -> &str {
    let time = |stamp: &str| stamp.starts_with(|c: char| c.is_ascii_digit());
    let caller = |stamp: &str| stamp.starts_with(['T', 'C']);
    without(without(line, time), caller)
}

/// The line without the `[stamp]` that it begins with, if it is one of that kind.
fn without(line: &str, is_kind: impl Fn(&str) -> bool) -> &str {
    let parts = line.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    match parts {
        Some((stamp, text)) if is_kind(stamp.trim()) => text.strip_prefix(' ').unwrap_or(text),
        _ => line,
    }
}

/// Signs that the fault is not the kernel's. An `/init` that is not found lacks its loader, one that ends with
/// 127 lacks a library, and 101 is a panic of this program.
fn ours(line: &str) -> Option<String> {
    let reason = match () {
        () if line.contains("Failed to execute /init (error -2)") => {
            "our /init has no loader in the initramfs"
        }
        () if line.contains("Attempted to kill init! exitcode=0x00007f00") => {
            "our /init lacks a library in the initramfs"
        }
        () if line.contains("Attempted to kill init! exitcode=0x00006500") => "our /init panicked",
        () if line.contains("Initramfs unpacking failed: write error") => {
            "the guest's memory is too small for the initramfs"
        }
        () if line.contains("System is deadlocked on memory") => "the guest's memory is too small",
        () => return None,
    };
    Some(reason.to_owned())
}

/// The options whose absence is the usual cause of a panic, known by its words.
fn panic_options(text: &str) -> Vec<String> {
    let known: [(&str, &[&str]); 4] = [
        ("Initramfs unpacking failed", &["BLK_DEV_INITRD", "RD_GZIP"]),
        ("Unable to mount root fs", &["BLK_DEV_INITRD"]),
        ("Failed to execute /init (error -8)", &["BINFMT_ELF"]),
        ("No working init found", &["BLK_DEV_INITRD", "BINFMT_ELF"]),
    ];
    let options = known
        .iter()
        .find(|(words, _)| text.contains(words))
        .map(|(_, options)| *options);
    options
        .unwrap_or_default()
        .iter()
        .map(|option| (*option).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: [(&str, &str); 11] = [
        ("passed", include_str!("../../tests/console/passed.log")),
        ("oops", include_str!("../../tests/console/oops.log")),
        ("bug", include_str!("../../tests/console/bug.log")),
        (
            "general-protection",
            include_str!("../../tests/console/general-protection.log"),
        ),
        ("stall", include_str!("../../tests/console/stall.log")),
        (
            "no-initramfs",
            include_str!("../../tests/console/no-initramfs.log"),
        ),
        (
            "initramfs-not-unpacked",
            include_str!("../../tests/console/initramfs-not-unpacked.log"),
        ),
        (
            "init-exits",
            include_str!("../../tests/console/init-exits.log"),
        ),
        (
            "init-no-program",
            include_str!("../../tests/console/init-no-program.log"),
        ),
        (
            "init-without-loader",
            include_str!("../../tests/console/init-without-loader.log"),
        ),
        (
            "memory-too-small",
            include_str!("../../tests/console/memory-too-small.log"),
        ),
    ];

    /// One line a case: what was found, or `-`.
    fn summary(name: &str, text: &str) -> String {
        let reading = read(text);
        let line = |sign: &Option<Sign>| {
            sign.as_ref()
                .map_or("-".to_owned(), |sign| sign.line.clone())
        };
        let options = reading
            .panic
            .as_ref()
            .map(|panic| panic.options.join("+"))
            .unwrap_or_default();
        format!(
            "{name}: userspace {}, panic {} {options}, oops {}, stall {}, ours {}",
            reading.userspace,
            line(&reading.panic),
            line(&reading.oops),
            line(&reading.stall),
            reading.ours.as_deref().unwrap_or("-"),
        )
    }

    const EXPECTED: &str = include_str!("../../tests/console/expected.txt");

    #[test]
    fn every_console_is_read_right() {
        let found: Vec<String> = CASES
            .iter()
            .map(|(name, text)| summary(name, text))
            .collect();
        assert_eq!(found.join("\n") + "\n", EXPECTED);
    }

    #[test]
    fn times_and_callers_change_nothing() {
        for (name, text) in CASES {
            for stamp in [
                "[    1.234567] ",
                "[12345.678901][   T27] ",
                "[    0.000000][    C1] ",
            ] {
                let stamped: String = text
                    .lines()
                    .map(|line| format!("{stamp}{line}\r\n"))
                    .collect();
                assert_eq!(summary(name, &stamped), summary(name, text), "{stamp}");
            }
        }
    }

    #[test]
    fn what_the_agent_quotes_is_not_the_kernels_word() {
        let reading = read(
            "wslk: failed: dump.log says Kernel panic - not syncing and BUG: unable to handle\n",
        );
        assert_eq!(
            (reading.panic, reading.oops, reading.lines),
            (None, None, 1)
        );
        assert_eq!(read(""), Reading::default());
    }
}
