//! Makes the guest look like a system: the mounts that WSL's init makes, and a loopback interface.

use std::ffi::CString;
use std::fs;
use std::io;

use rustix::mount::{MountFlags, mount};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, recv, sendto, socket};

use crate::boot::{Failure, FailureKind};

/// A file system that has to be there.
struct Mount {
    at: &'static str,
    kind: &'static str,
    data: &'static str,
    /// What it needs of the kernel.
    option: &'static str,
}

/// In order. WSL's init makes the same ones and gives up where one of them fails (devpts, mqueue and `/dev/shm`
/// aside, which every distribution mounts); `binfmt_misc` is fatal to it, too.
const MOUNTS: [Mount; 10] = [
    Mount {
        at: "/proc",
        kind: "proc",
        data: "",
        option: "PROC_FS",
    },
    Mount {
        at: "/sys",
        kind: "sysfs",
        data: "",
        option: "SYSFS",
    },
    Mount {
        at: "/dev",
        kind: "devtmpfs",
        data: "",
        option: "DEVTMPFS",
    },
    Mount {
        at: "/dev/pts",
        kind: "devpts",
        data: "newinstance,ptmxmode=0666,mode=0620,gid=5",
        option: "UNIX98_PTYS",
    },
    Mount {
        at: "/dev/shm",
        kind: "tmpfs",
        data: "mode=1777",
        option: "TMPFS",
    },
    Mount {
        at: "/run",
        kind: "tmpfs",
        data: "mode=0755",
        option: "TMPFS",
    },
    Mount {
        at: "/tmp",
        kind: "tmpfs",
        data: "mode=1777",
        option: "TMPFS",
    },
    Mount {
        at: "/sys/fs/cgroup",
        kind: "cgroup2",
        data: "",
        option: "CGROUPS",
    },
    Mount {
        at: "/proc/sys/fs/binfmt_misc",
        kind: "binfmt_misc",
        data: "",
        option: "BINFMT_MISC",
    },
    Mount {
        at: "/dev/mqueue",
        kind: "mqueue",
        data: "",
        option: "POSIX_MQUEUE",
    },
];

/// Whether new network namespaces get the devices of the tunnels that are built in.
const TUNNELS: &str = "/proc/sys/net/core/fb_tunnels_only_for_init_net";

/// Makes all mounts; returns what failed.
pub(super) fn mounts() -> Vec<Failure> {
    MOUNTS
        .iter()
        .filter_map(|it| it.make().err().map(|e| it.failure(&e)))
        .collect()
}

impl Mount {
    fn make(&self) -> io::Result<()> {
        if mounted(self.at) {
            return Ok(());
        }
        // In /proc and /sys the kernel makes the folder, or there is none.
        let _there = fs::create_dir_all(self.at);
        let data = CString::new(self.data)?;
        let data = (!self.data.is_empty()).then_some(data.as_c_str());
        Ok(mount(
            self.kind,
            self.at,
            self.kind,
            MountFlags::NOSUID,
            data,
        )?)
    }

    fn failure(&self, error: &io::Error) -> Failure {
        Failure {
            kind: FailureKind::Setup,
            reason: format!("{} cannot be mounted at {}: {error}", self.kind, self.at),
            scenario: None,
            options: vec![self.option.to_owned()],
            excerpt: Vec::new(),
        }
    }
}

/// Whether something is mounted right there; false as long as there is no `/proc`.
fn mounted(at: &str) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts
        .lines()
        .any(|line| line.split(' ').nth(1) == Some(at))
}

/// Small conveniences that nothing depends on: links in `/dev`, no limit on the log of one process.
pub(super) fn conveniences() {
    for (target, link) in [
        ("/proc/self/fd", "/dev/fd"),
        ("/proc/self/fd/0", "/dev/stdin"),
        ("/proc/self/fd/1", "/dev/stdout"),
        ("/proc/self/fd/2", "/dev/stderr"),
    ] {
        let _there = std::os::unix::fs::symlink(target, link);
    }
    // Microsoft's configurations have tunnels built in, and a device of each in every network namespace: CRIU
    // cannot dump these. The setting is one that a user of containers makes as well.
    let _no_tunnels = fs::write(TUNNELS, "1");
    // The kernel's own /dev/ptmx belongs to another instance of devpts than the one that is mounted.
    let _missing = fs::remove_file("/dev/ptmx");
    let _there = std::os::unix::fs::symlink("pts/ptmx", "/dev/ptmx");
}

/// Brings up the loopback interface; the kernel adds its addresses by itself.
pub(super) fn loopback() -> io::Result<()> {
    const LOOPBACK: i32 = 1;
    // No protocol is protocol 0, which is NETLINK_ROUTE.
    let socket = socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    sendto(
        &socket,
        &up(LOOPBACK),
        SendFlags::empty(),
        &SocketAddrNetlink::new(0, 0),
    )?;
    let mut answer = [0; 1024];
    let (size, _) = recv(&socket, &mut answer[..], RecvFlags::empty())?;
    acknowledged(&answer[..size])
}

/// `RTM_NEWLINK` with `IFF_UP` for one interface, acknowledged: a `nlmsghdr` and an `ifinfomsg` (rtnetlink(7)).
fn up(index: i32) -> Vec<u8> {
    const RTM_NEWLINK: u16 = 16;
    const REQUEST_AND_ACK: u16 = 1 | 4;
    const IFF_UP: u32 = 1;
    let mut message = Vec::with_capacity(32);
    message.extend(32_u32.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(REQUEST_AND_ACK.to_ne_bytes());
    message.extend(1_u32.to_ne_bytes());
    message.extend(0_u32.to_ne_bytes());
    message.extend([0; 4]);
    message.extend(index.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    message
}

/// Reads the error number of a `nlmsgerr`; 0 is the acknowledgement.
fn acknowledged(answer: &[u8]) -> io::Result<()> {
    let number = answer
        .get(16..20)
        .and_then(|bytes| bytes.try_into().ok())
        .map(i32::from_ne_bytes);
    match number {
        Some(0) => Ok(()),
        Some(number) => Err(io::Error::from_raw_os_error(-number)),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_32_bytes_and_the_answer_is_understood() {
        assert_eq!(up(1).len(), 32);
        let answer = |number: i32| [&[0; 16][..], &number.to_ne_bytes()].concat();
        assert!(acknowledged(&answer(0)).is_ok());
        assert_eq!(
            acknowledged(&answer(-1)).unwrap_err().kind(),
            io::ErrorKind::PermissionDenied
        );
        assert!(acknowledged(&[]).is_err());
    }

    #[test]
    fn every_mount_names_its_option() {
        let failure = MOUNTS[7].failure(&io::ErrorKind::NotFound.into());
        assert_eq!(failure.options, ["CGROUPS"]);
        assert!(mounted("/proc"));
    }
}
