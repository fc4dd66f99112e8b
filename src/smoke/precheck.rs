//! Whether anything can be tested here at all, asked before the first victim starts.
//!
//! In: what the kernel says about us, and CRIU's version. Out: nothing, warnings, or what is in the
//! way. Whatever is in the way makes every scenario not-testable and no kernel bad.

use std::io;
use std::net::UdpSocket;

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::criu::{Criu, CriuError, Version};
use crate::exec::ExecError;

/// Why no scenario could be run here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// What is in the way.
    pub reason: String,
    /// What the user can do about it.
    pub hint: String,
}

impl Blocked {
    fn new(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            hint: hint.into(),
        }
    }
}

/// What the precheck learned on the way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ground {
    /// CRIU's version, where it could be asked.
    pub version: Option<Version>,
    /// What the user should know though we can go on.
    pub warnings: Vec<String>,
}

/// Capabilities that CRIU cannot do without, with their bit numbers (`linux/capability.h`).
const NEEDED: &[(&str, u32)] = &[
    ("CAP_SETUID", 7),
    ("CAP_NET_ADMIN", 12),
    ("CAP_SYS_PTRACE", 19),
    ("CAP_SYS_ADMIN", 21),
];
const CAP_SYS_RESOURCE: u32 = 24;

/// Looks at this process and its kernel. `release` is `uname -r`, `status` is `/proc/self/status`.
pub fn check(criu: &Criu<'_>, release: &str, status: &str) -> (Ground, Option<Blocked>) {
    let mut ground = Ground::default();
    if !random_is_ready() {
        ground.warnings.push(
            "the kernel has no random numbers yet: each call of CRIU will take seconds longer"
                .to_owned(),
        );
    }
    let blocked = privileges(status, &mut ground)
        .and_then(|()| no_seccomp(status))
        .and_then(|()| loopback(reachable()))
        .and_then(|()| version(&criu.version(), release, &mut ground))
        .err();
    (ground, blocked)
}

/// Whether a process with this `/proc/self/status` may do what CRIU does.
pub fn privileges(status: &str, ground: &mut Ground) -> Result<(), Blocked> {
    let caps = field(status, "CapEff")
        .and_then(|hex| u64::from_str_radix(hex, 16).ok())
        .unwrap_or(0);
    let lacks = |bit: u32| caps & (1 << bit) == 0;
    let missing: Vec<&str> = NEEDED
        .iter()
        .filter(|(_, bit)| lacks(*bit))
        .map(|(name, _)| *name)
        .collect();
    if !missing.is_empty() {
        return Err(Blocked::new(
            format!("this process lacks {}", missing.join(", ")),
            "run it as root, outside an unprivileged container",
        ));
    }
    if lacks(CAP_SYS_RESOURCE) {
        ground
            .warnings
            .push("CAP_SYS_RESOURCE is missing: CRIU may fail on limits".to_owned());
    }
    Ok(())
}

/// The kernel does not let a tracer that is filtered itself suspend the filters of others.
pub fn no_seccomp(status: &str) -> Result<(), Blocked> {
    let number = |name| {
        field(status, name)
            .and_then(|text| text.parse::<u64>().ok())
            .unwrap_or(0)
    };
    if number("Seccomp") == 0 && number("Seccomp_filters") == 0 {
        return Ok(());
    }
    Err(Blocked::new(
        "this session runs under a seccomp filter, which keeps CRIU from working",
        "on WSL set networkingMode=nat in .wslconfig, then run wsl --shutdown; in a container use seccomp=unconfined",
    ))
}

/// CRIU makes unique names by a library that sleeps until it gets random numbers; right after boot
/// the kernel may have none. Not waited for: a machine without any source would wait for ever.
fn random_is_ready() -> bool {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open("/dev/random", flags, Mode::empty())
        .and_then(|file| rustix::io::read(file, &mut [0; 1]))
        .is_ok()
}

fn reachable() -> io::Result<()> {
    UdpSocket::bind("127.0.0.1:0")?.connect("127.0.0.1:9")
}

fn loopback(reachable: io::Result<()>) -> Result<(), Blocked> {
    reachable.map_err(|error| {
        Blocked::new(
            format!("the loopback interface cannot be used: {error}"),
            "run `ip link set lo up`",
        )
    })
}

/// Whether a CRIU that answered so works on the kernel `release` at all.
pub fn version(
    answer: &Result<Version, CriuError>,
    release: &str,
    ground: &mut Ground,
) -> Result<(), Blocked> {
    let version = match answer {
        Ok(version) => *version,
        Err(CriuError::Exec(ExecError::NotFound { .. })) => {
            return Err(Blocked::new(
                "criu is not installed",
                "install CRIU 4.2 or later (Debian package criu)",
            ));
        }
        Err(error) => {
            return Err(Blocked::new(
                format!("criu does not run: {error}"),
                "try `criu --version` by hand",
            ));
        }
    };
    ground.version = Some(version);
    let Need { required, advised } = need(release);
    if version < required {
        return Err(Blocked::new(
            format!("CRIU {version} cannot work on kernel {release}"),
            format!("install CRIU {required} or later"),
        ));
    }
    if version < advised {
        ground.warnings.push(format!(
            "CRIU {version} is older than {advised}, which is advised for this kernel"
        ));
    }
    Ok(())
}

struct Need {
    required: Version,
    advised: Version,
}

/// Kernel 6.13 split a mapping that CRIU before 4.1 does not know, 6.16 restricted socket options
/// that CRIU before 4.2 asks for; 4.1.1 has a fix for mount propagation that stable kernels need too.
fn need(release: &str) -> Need {
    let mut numbers = release
        .split(['.', '-', '+', '_'])
        .map_while(|part| part.parse::<u32>().ok());
    let kernel = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let required = match kernel {
        kernel if kernel >= (6, 16) => Version::new(4, 2, 0),
        kernel if kernel >= (6, 13) => Version::new(4, 1, 1),
        _ => Version::new(3, 17, 1),
    };
    Need {
        required,
        advised: required.max(Version::new(4, 1, 1)),
    }
}

/// The value of a `Name:\tvalue` line.
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let value = |line: &'a str| line.strip_prefix(name)?.strip_prefix(':').map(str::trim);
    status.lines().find_map(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::Script;

    fn status(caps: &str, filters: u32) -> String {
        format!(
            "Name:\twslk\nCapEff:\t{caps}\nSeccomp:\t{}\nSeccomp_filters:\t{filters}\n",
            filters.min(1) * 2
        )
    }

    #[test]
    fn each_obstacle_has_its_own_words() {
        let none = Script::default();
        let criu = Criu::new("criu", &none);
        for (caps, filters, words) in [
            (
                "0000000000000000",
                0,
                "lacks CAP_SETUID, CAP_NET_ADMIN, CAP_SYS_PTRACE, CAP_SYS_ADMIN",
            ),
            ("000001ffffdfffff", 0, "lacks CAP_SYS_ADMIN"),
            ("000001ffffffffff", 1, "seccomp filter"),
        ] {
            let (_, blocked) = check(&criu, "6.6.1", &status(caps, filters));
            assert!(blocked.unwrap().reason.contains(words), "{words}");
        }
        assert!(
            loopback(Err(io::ErrorKind::NetworkUnreachable.into()))
                .unwrap_err()
                .hint
                .contains("lo up")
        );
    }

    #[test]
    fn a_missing_limit_capability_is_a_warning() {
        let mut ground = Ground::default();
        assert!(privileges(&status("000001fffeffffff", 0), &mut ground).is_ok());
        assert_eq!(ground.warnings.len(), 1);
    }

    #[test]
    fn the_kernel_decides_which_criu_will_do() {
        for (release, version, works, warns) in [
            ("6.18.20.1-microsoft-standard-WSL2", (4, 2, 0), true, false),
            ("6.18.20.1-microsoft-standard-WSL2", (4, 1, 1), false, false),
            ("6.16.0", (4, 1, 1), false, false),
            ("6.13.2", (4, 1, 0), false, false),
            ("6.13.2", (4, 1, 1), true, false),
            ("6.6.36.3-microsoft-standard-WSL2+", (3, 17, 1), true, true),
            ("5.15.90.1", (3, 16, 0), false, false),
        ] {
            let mut ground = Ground::default();
            let (major, minor, patch) = version;
            let answer =
                super::version(&Ok(Version::new(major, minor, patch)), release, &mut ground);
            assert_eq!(
                (answer.is_ok(), !ground.warnings.is_empty()),
                (works, warns),
                "{release} {version:?}"
            );
        }
    }

    #[test]
    fn a_missing_criu_is_named() {
        let script = Script::default().fails(
            "--version",
            ExecError::NotFound {
                program: "criu".into(),
            },
        );
        let answer = Criu::new("criu", &script).version();
        let blocked = version(&answer, "6.6.1", &mut Ground::default()).unwrap_err();
        assert_eq!(blocked.reason, "criu is not installed");
    }
}
