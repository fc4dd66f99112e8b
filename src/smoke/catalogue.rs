//! Known ways in which CRIU fails, and what each says about the kernel.
//!
//! In: the error texts of a CRIU log. Out: the [`Cause`], told by message text and never by line
//! number. Must not know scenarios. A text that is not listed here is a failure of the kernel under
//! test: the cautious reading, since a pass is never inferred.

use super::Verdict;
use super::diag;

/// What an error means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Whose fault it is.
    pub verdict: Verdict,
    /// One clause in plain words.
    pub text: String,
    /// The error line that told it.
    pub line: String,
    /// The kernel options that would help, without the `CONFIG_` prefix.
    pub options: Vec<&'static str>,
    /// What the user can do.
    pub hint: Option<&'static str>,
}

struct Entry {
    /// All of these must occur in one error line.
    needles: &'static [&'static str],
    verdict: Verdict,
    text: &'static str,
    options: &'static [&'static str],
    hint: Option<&'static str>,
}

const NEWER_CRIU: Option<&str> = Some("install CRIU 4.2 or later; kernels from 6.16 on need it");
const NAT: Option<&str> = Some(
    "a seccomp filter is inherited from the session; on WSL set networkingMode=nat in .wslconfig, then run wsl --shutdown",
);

/// Surroundings first: where they are at fault, nothing follows about the kernel.
const ENTRIES: &[Entry] = &[
    Entry {
        needles: &["Unexpected rt vDSO area bounds"],
        verdict: Verdict::NotTestable,
        text: "this CRIU does not understand the vDSO of this kernel",
        options: &[],
        hint: NEWER_CRIU,
    },
    Entry {
        needles: &["Can't get 1:16 opt"],
        verdict: Verdict::NotTestable,
        text: "this CRIU asks sockets for an option that this kernel keeps to unix sockets",
        options: &[],
        hint: NEWER_CRIU,
    },
    Entry {
        needles: &["Failed to make mount", "slave"],
        verdict: Verdict::NotTestable,
        text: "this CRIU does not know the mount propagation rules of this kernel",
        options: &[],
        hint: NEWER_CRIU,
    },
    Entry {
        needles: &["suspend seccomp"],
        verdict: Verdict::NotTestable,
        text: "CRIU runs under a seccomp filter",
        options: &[],
        hint: NAT,
    },
    Entry {
        needles: &["suspending seccomp failed"],
        verdict: Verdict::NotTestable,
        text: "CRIU runs under a seccomp filter",
        options: &[],
        hint: NAT,
    },
    Entry {
        needles: &["No space left on device"],
        verdict: Verdict::NotTestable,
        text: "the disk for the images is full",
        options: &[],
        hint: Some("free some space in the work folder"),
    },
    Entry {
        needles: &["Can't lookup mount="],
        verdict: Verdict::NotTestable,
        text: "a file of the victim lies on a mount that CRIU cannot see",
        options: &[],
        hint: Some("use a work folder on ext4 or tmpfs, not on a Windows drive"),
    },
    Entry {
        needles: &["Network is unreachable"],
        verdict: Verdict::NotTestable,
        text: "the loopback interface is down",
        options: &[],
        hint: Some("run `ip link set lo up`"),
    },
    Entry {
        needles: &["RLIMIT", "Operation not permitted"],
        verdict: Verdict::NotTestable,
        text: "CAP_SYS_RESOURCE is missing here, so CRIU cannot set limits",
        options: &[],
        hint: Some("run on a machine or in a container that grants CAP_SYS_RESOURCE"),
    },
    Entry {
        needles: &["Can't fork", "File exists"],
        verdict: Verdict::NotTestable,
        text: "a process number of the victim was taken while it was down",
        options: &[],
        hint: Some("run it again"),
    },
    Entry {
        needles: &["Tracking memory is not available"],
        verdict: Verdict::Fails,
        text: "the kernel does not track memory changes",
        options: &["MEM_SOFT_DIRTY"],
        hint: None,
    },
    Entry {
        needles: &["UFFD is not supported"],
        verdict: Verdict::Fails,
        text: "the kernel does not let another process serve page faults",
        options: &["USERFAULTFD"],
        hint: None,
    },
    Entry {
        needles: &["Lazy pages are not available"],
        verdict: Verdict::Fails,
        text: "the kernel does not let another process serve page faults",
        options: &["USERFAULTFD"],
        hint: None,
    },
    Entry {
        needles: &["Lazy pages are not permitted"],
        verdict: Verdict::NotTestable,
        text: "this session may not use userfaultfd",
        options: &[],
        hint: Some("set vm.unprivileged_userfaultfd=1, or grant CAP_SYS_PTRACE"),
    },
    Entry {
        needles: &["-22 reported by netlink"],
        verdict: Verdict::Fails,
        text: "the kernel does not list tracked connections, which belong to a network namespace",
        options: &["NF_CT_NETLINK"],
        hint: None,
    },
    Entry {
        needles: &["Unsupported link"],
        verdict: Verdict::Fails,
        text: "every network namespace of this kernel holds a device that CRIU cannot dump",
        options: &[],
        hint: Some(
            "tunnels that are built in put one there: set net.core.fb_tunnels_only_for_init_net=1, and start the container anew",
        ),
    },
    Entry {
        needles: &["ime namespaces are not supported"],
        verdict: Verdict::Fails,
        text: "the kernel has no time namespaces",
        options: &["TIME_NS"],
        hint: None,
    },
    Entry {
        needles: &["Dumping seccomp filters not supported"],
        verdict: Verdict::Fails,
        text: "the kernel does not show the filters of a process",
        options: &["SECCOMP_FILTER", "CHECKPOINT_RESTORE"],
        hint: None,
    },
    Entry {
        needles: &["timers file is missing"],
        verdict: Verdict::Fails,
        text: "the kernel does not list the timers of a process",
        options: &["POSIX_TIMERS", "CHECKPOINT_RESTORE"],
        hint: None,
    },
    Entry {
        needles: &["Can't dump that handle"],
        verdict: Verdict::Fails,
        text: "the kernel does not tell by which handle a watched file can be found",
        options: &["FHANDLE", "INOTIFY_USER"],
        hint: None,
    },
    Entry {
        needles: &["Can't dump file", "chr "],
        verdict: Verdict::Refused,
        text: "CRIU does not know how to dump a device that is open",
        options: &[],
        hint: None,
    },
    Entry {
        needles: &["has rseq but kernel lacks get_rseq_conf"],
        verdict: Verdict::Fails,
        text: "the kernel cannot tell the restartable sequences of a process",
        options: &["RSEQ"],
        hint: None,
    },
    Entry {
        needles: &["Could not initialize kernel features detection"],
        verdict: Verdict::Fails,
        text: "CRIU finds the kernel unusable",
        options: &["CHECKPOINT_RESTORE"],
        hint: None,
    },
];

/// What the errors of one dump or restore mean, where that is known.
#[must_use]
pub fn cause(errors: &[String]) -> Option<Cause> {
    let of = |entry: &Entry| {
        errors
            .iter()
            .find(|line| entry.matches(line))
            .map(|line| entry.cause(line))
    };
    ENTRIES
        .iter()
        .find_map(of)
        .or_else(|| errors.iter().find_map(|line| uncollected(line)))
}

impl Entry {
    fn matches(&self, line: &str) -> bool {
        self.needles.iter().all(|needle| line.contains(needle))
    }

    fn cause(&self, line: &str) -> Cause {
        Cause {
            verdict: self.verdict,
            text: self.text.to_owned(),
            line: line.to_owned(),
            options: self.options.to_vec(),
            hint: self.hint,
        }
    }
}

/// CRIU met a socket of a family about which the kernel told it nothing:
/// `Sockets (family 1 proto 0) are not collected`.
fn uncollected(line: &str) -> Option<Cause> {
    let (_, rest) = line.split_once("(family ")?;
    let (numbers, rest) = rest.split_once(')')?;
    let (number, protocol) = numbers.split_once(" proto ")?;
    let family = diag::family(number.parse().ok()?, protocol.parse().ok()?)?;
    rest.contains("not collected").then(|| Cause {
        verdict: Verdict::Fails,
        text: format!(
            "the kernel does not describe {} sockets to CRIU",
            family.name
        ),
        line: line.to_owned(),
        options: vec![family.option],
        hint: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn a_socket_that_is_not_collected_names_its_option() {
        for (line, option) in [
            (
                "sockets: Sockets (family 1 proto 0) are not collected",
                "UNIX_DIAG",
            ),
            (
                "sockets: Sockets (family 2 proto 6) are not collected",
                "INET_TCP_DIAG",
            ),
            (
                "sockets: Sockets (family 2 proto 17) are not collected",
                "INET_UDP_DIAG",
            ),
        ] {
            let cause = cause(&errors(&[line, "Dumping FAILED."])).unwrap();
            assert_eq!(
                (cause.verdict, cause.options),
                (Verdict::Fails, vec![option]),
                "{line}"
            );
        }
    }

    #[test]
    fn an_option_that_is_missing_is_named() {
        for (line, option) in [
            (
                "Tracking memory is not available. Consider omitting --track-mem option.",
                "MEM_SOFT_DIRTY",
            ),
            ("UFFD is not supported", "USERFAULTFD"),
            ("uffd: Lazy pages are not available", "USERFAULTFD"),
            ("Time namespaces are not supported", "TIME_NS"),
            ("-22 reported by netlink: Invalid argument", "NF_CT_NETLINK"),
            (
                "Dumping seccomp filters not supported: Permission denied",
                "SECCOMP_FILTER",
            ),
            ("fsnotify: \tCan't dump that handle", "FHANDLE"),
        ] {
            let cause = cause(&errors(&[line])).unwrap();
            assert_eq!(cause.verdict, Verdict::Fails, "{line}");
            assert_eq!(cause.options[0], option, "{line}");
        }
    }

    #[test]
    fn surroundings_outweigh_what_follows_from_them() {
        let lines = errors(&[
            "vdso: Unexpected rt vDSO area bounds",
            "Could not initialize kernel features detection.",
        ]);
        assert_eq!(cause(&lines).unwrap().verdict, Verdict::NotTestable);
        assert_eq!(cause(&lines[1..]).unwrap().verdict, Verdict::Fails);
    }

    #[test]
    fn what_is_not_listed_has_no_cause() {
        assert_eq!(
            cause(&errors(&["a new kind of trouble", "Dumping FAILED."])),
            None
        );
        assert_eq!(
            cause(&errors(&["Sockets (family x proto y) are not collected"])),
            None
        );
        assert_eq!(cause(&[]), None);
    }
}
