//! Why make failed, from what was said: the compiler's own words, or what killed it.
//!
//! In: make's lines that announce no unit, as they come. Out: a [`Cause`]. Pure.

/// More error lines than this help nobody; the log has them all.
const KEPT: usize = 20;
/// Last lines kept for a failure without a word that we know.
const TAIL: usize = 12;

/// Why a build failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Errors in the sources, the configuration or the tools: the words of whoever found them.
    Errors {
        /// The error lines, in order.
        lines: Vec<String>,
        /// The make target that failed first.
        target: Option<String>,
    },
    /// A program was killed for memory.
    OutOfMemory {
        /// Which one.
        victim: String,
    },
    /// The whole job was killed, and not by us.
    Killed,
    /// No space left on some disk.
    DiskFull,
    /// A program of the builder is missing.
    NoTool {
        /// The shell's line.
        said: String,
    },
}

/// What the lines have told so far.
#[derive(Debug, Default)]
pub(super) struct Clues {
    errors: Vec<String>,
    tail: std::collections::VecDeque<String>,
    target: Option<String>,
    victim: Option<String>,
    missing: Option<String>,
    disk_full: bool,
}

impl Clues {
    /// Takes the next line.
    pub(super) fn take(&mut self, line: &str) {
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line.to_owned());
        self.disk_full |= ["No space left on device", "Disk quota exceeded"]
            .iter()
            .any(|words| line.contains(words));
        self.victim = self.victim.take().or_else(|| victim(line));
        self.missing = self
            .missing
            .take()
            .or_else(|| is_missing(line).then(|| line.trim().to_owned()));
        self.target = self.target.take().or_else(|| failed_target(line));
        if self.errors.len() < KEPT && is_error(line) {
            self.errors.push(line.trim_end().to_owned());
        }
    }

    /// The verdict for a make that ended with `status`. A full disk makes compilers fail in many
    /// ways and a missing one in more, so these go before the errors they cause.
    pub(super) fn cause(self, status: Option<i32>) -> Cause {
        const KILLED: i32 = 128 + 9;
        if self.disk_full {
            return Cause::DiskFull;
        }
        if let Some(victim) = self.victim {
            return Cause::OutOfMemory { victim };
        }
        if status == Some(KILLED) {
            return Cause::Killed;
        }
        if let (true, Some(said)) = (self.errors.is_empty(), self.missing) {
            return Cause::NoTool { said };
        }
        let lines = if self.errors.is_empty() {
            self.tail.into()
        } else {
            self.errors
        };
        Cause::Errors {
            lines,
            target: self.target,
        }
    }
}

/// The words of a compiler, an assembler, a linker or modpost that found an error.
fn is_error(line: &str) -> bool {
    const WITHIN: [&str; 6] = [
        ": error: ",
        ": fatal error: ",
        ": Error: ",
        "undefined reference to",
        "multiple definition of",
        "ld: cannot find",
    ];
    const AT_START: [&str; 5] = ["ERROR: ", "error: ", "error[", "FAILED: ", "BTFIDS: "];
    WITHIN.iter().any(|words| line.contains(words))
        || AT_START.iter().any(|words| line.starts_with(words))
}

/// The program that a line says was killed or found no memory.
fn victim(line: &str) -> Option<String> {
    // gcc: fatal error: Killed signal terminated program cc1
    if let Some((_, program)) = line.split_once("Killed signal terminated program ") {
        return Some(program.trim().to_owned());
    }
    // collect2: fatal error: ld terminated with signal 9 [Killed]
    if let Some((before, _)) = line.split_once(" terminated with signal 9") {
        return before.rsplit(' ').next().map(str::to_owned);
    }
    // cc1: out of memory allocating 65536 bytes
    const NO_MEMORY: [&str; 4] = [
        ": out of memory allocating",
        "virtual memory exhausted",
        "memory exhausted",
        "Cannot allocate memory",
    ];
    if NO_MEMORY.iter().any(|words| line.contains(words)) {
        return line
            .split(':')
            .next()
            .map(|program| program.trim().to_owned());
    }
    // Our own watchdog, from the container's cgroup.
    if line.starts_with("wslk: oom_kill ") {
        return Some("a program of the build".to_owned());
    }
    // make[3]: *** [scripts/Makefile.build:250: fs/inode.o] Killed
    let killed =
        line.contains("*** [") && (line.ends_with("] Killed") || line.ends_with("] Error 137"));
    killed.then(|| {
        failed_target(line).map_or_else(
            || "a program".to_owned(),
            |target| format!("the maker of {target}"),
        )
    })
}

fn is_missing(line: &str) -> bool {
    line.ends_with(": not found")
        || line.ends_with(": command not found")
        || line.ends_with(": No such file or directory") && line.starts_with("make: ")
}

/// The target in `make[2]: *** [scripts/Makefile.build:250: fs/inode.o] Error 1`.
fn failed_target(line: &str) -> Option<String> {
    let (_, within) = line.split_once("*** [")?;
    let (within, _) = within.split_once(']')?;
    let target = within.rsplit(": ").next()?.trim();
    (!target.is_empty()).then(|| target.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(lines: &[&str], status: i32) -> Cause {
        let mut clues = Clues::default();
        lines.iter().for_each(|line| clues.take(line));
        clues.cause(Some(status))
    }

    #[test]
    fn the_compilers_words_come_first() {
        let lines = [
            "/src/fs/inode.c: In function 'f':",
            "/src/fs/inode.c:3:5: error: 'x' undeclared (first use in this function)",
            "    3 |     x;",
            "make[3]: *** [/src/scripts/Makefile.build:250: fs/inode.o] Error 1",
            "make[2]: *** [/src/scripts/Makefile.build:500: fs] Error 2",
            "make: *** [Makefile:2026: .] Error 2",
        ];
        let expected = Cause::Errors {
            lines: vec![lines[1].to_owned()],
            target: Some("fs/inode.o".to_owned()),
        };
        assert_eq!(cause(&lines, 2), expected);
    }

    #[test]
    fn unknown_words_are_handed_on() {
        let lines = ["something odd", "make: *** [Makefile:1: vmlinux] Error 1"];
        let expected = Cause::Errors {
            lines: lines.map(str::to_owned).to_vec(),
            target: Some("vmlinux".to_owned()),
        };
        assert_eq!(cause(&lines, 2), expected);
    }

    #[test]
    fn killed_programs_have_a_name() {
        let table = [
            (
                "gcc: fatal error: Killed signal terminated program cc1",
                "cc1",
            ),
            (
                "collect2: fatal error: ld terminated with signal 9 [Killed]",
                "ld",
            ),
            (
                "cc1: out of memory allocating 65536 bytes after a total of 1",
                "cc1",
            ),
            (
                "make[3]: *** [/src/scripts/Makefile.build:250: fs/inode.o] Killed",
                "the maker of fs/inode.o",
            ),
            (
                "make[1]: *** [/src/Makefile:1: vmlinux] Error 137",
                "the maker of vmlinux",
            ),
        ];
        for (line, victim) in table {
            assert_eq!(
                cause(&[line], 2),
                Cause::OutOfMemory {
                    victim: victim.to_owned()
                },
                "{line}"
            );
        }
        let counted = cause(&["wslk: oom_kill 2"], 2);
        assert!(matches!(counted, Cause::OutOfMemory { .. }));
        assert_eq!(cause(&[], 137), Cause::Killed);
    }

    #[test]
    fn a_full_disk_explains_the_errors_it_causes() {
        let lines = [
            "fatal error: x.o: No space left on device",
            "x.c:1:1: error: no memory",
        ];
        assert_eq!(cause(&lines, 2), Cause::DiskFull);
    }

    #[test]
    fn a_missing_program_is_told_from_an_error() {
        let lines = [
            "/bin/sh: 1: flex: not found",
            "make[1]: *** [scripts/Makefile.host:9: lexer.lex.c] Error 127",
        ];
        assert_eq!(
            cause(&lines, 2),
            Cause::NoTool {
                said: lines[0].to_owned()
            }
        );
    }
}
