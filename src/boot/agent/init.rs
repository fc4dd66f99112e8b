//! Process 1 of the guest: starts the agent, reaps, restarts the machine.

use std::os::unix::process::CommandExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus};

use rustix::mount::{MountFlags, mount, mount_bind, mount_move};
use rustix::process::{WaitOptions, chdir, chroot, wait};
use rustix::system::{RebootCommand, reboot};

use super::channel::Channel;
use super::{AGENT, Event};

/// Where the root is mounted for a moment.
const ROOT: &str = "/wslk/root";

/// Runs the agent and ends the machine. Returns only where the machine does not let itself be ended.
pub(super) fn run() -> u8 {
    let rooted = own_root();
    // Without /dev there is no channel to complain on; the agent tries again and says so on the console.
    let _told_by_the_agent = mount("devtmpfs", "/dev", "devtmpfs", MountFlags::NOSUID, None);
    let channel = Channel::open();
    if let Err(e) = rooted {
        channel.log(&format!("the root cannot be mounted on itself: {e}"));
    }
    match agent() {
        Ok(status) if status.success() => {}
        Ok(status) => channel.say(untested(format!("the agent ended with {status}"))),
        Err(e) => channel.say(untested(format!("the agent could not be started: {e}"))),
    }
    channel.drain();
    rustix::fs::sync();
    // A restart needs no ACPI, and QEMU is told to end on it.
    let refused = reboot(RebootCommand::Restart);
    channel.log(&format!("cannot restart: {refused:?}"));
    1
}

/// Mounts the root on itself and moves there. The very first root cannot be exchanged for another one, and that is
/// what a container's start and restore do.
fn own_root() -> std::io::Result<()> {
    std::fs::create_dir_all(ROOT)?;
    mount_bind("/", ROOT)?;
    chdir(ROOT)?;
    mount_move(".", "/")?;
    Ok(chroot(".")?)
}

fn untested(reason: String) -> Event {
    Event::Untested { reason }
}

/// Starts the agent and reaps every child, our own and the orphans, until the agent is done. This is the one
/// place that starts a program by itself: a runner would wait for its own child only, and `wait` for any child
/// would take that child away from it.
fn agent() -> std::io::Result<ExitStatus> {
    let agent = Command::new("/init")
        .arg0(AGENT)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .spawn()?;
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid.as_raw_pid().unsigned_abs() == agent.id() => {
                return Ok(ExitStatus::from_raw(status.as_raw()));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}
