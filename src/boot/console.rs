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
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let mut reading = Reading { lines: lines.len(), ..Reading::default() };
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| !line.contains(AGENT_MARK)) {
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
    reading.tail = lines[lines.len().saturating_sub(TAIL)..].iter().map(|line| (*line).to_owned()).collect();
    if let Some(panic) = &mut reading.panic {
        panic.options = panic_options(text);
    }
    reading
}

fn sign(lines: &[&str]) -> Sign {
    let excerpt: Vec<String> = lines.iter().take(EXCERPT).map(|line| (*line).to_owned()).collect();
    Sign { line: lines.first().map(|line| words(line).to_owned()).unwrap_or_default(), excerpt, options: Vec::new() }
}

/// A line without its time: `[    1.234567] text`, with `T1` or `C0` inside where the kernel says who speaks.
pub fn words(line: &str) -> &str {
    let Some(rest) = line.strip_prefix('[') else { return line };
    let is_stamp = |stamp: &str| stamp.trim_start().starts_with(|c: char| c.is_ascii_digit());
    match rest.split_once(']') {
        Some((stamp, text)) if is_stamp(stamp) => text.trim_start(),
        _ => line,
    }
}

/// Signs that the fault is not the kernel's. An `/init` that is not found lacks its loader, one that ends with
/// 127 lacks a library, and 101 is a panic of this program.
fn ours(line: &str) -> Option<String> {
    let reason = match () {
        () if line.contains("Failed to execute /init (error -2)") => "our /init has no loader in the initramfs",
        () if line.contains("Attempted to kill init! exitcode=0x00007f00") => "our /init lacks a library in the initramfs",
        () if line.contains("Attempted to kill init! exitcode=0x00006500") => "our /init panicked",
        () if line.contains("Initramfs unpacking failed: write error") => "the guest's memory is too small for the initramfs",
        () if line.contains("System is deadlocked on memory") => "the guest's memory is too small",
        () => return None,
    };
    Some(reason.to_owned())
}

/// The options whose absence is the usual cause of a panic, known by its words.
fn panic_options(text: &str) -> Vec<String> {
    let known: [(&str, &[&str]); 4] = [
        ("Unable to mount root fs", &["BLK_DEV_INITRD"]),
        ("Initramfs unpacking failed", &["BLK_DEV_INITRD", "RD_GZIP"]),
        ("Failed to execute /init (error -8)", &["BINFMT_ELF"]),
        ("No working init found", &["BLK_DEV_INITRD", "BINFMT_ELF"]),
    ];
    let options = known.iter().find(|(words, _)| text.contains(words)).map(|(_, options)| *options);
    options.unwrap_or_default().iter().map(|option| (*option).to_owned()).collect()
}
