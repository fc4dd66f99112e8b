//! Takes a victim's first process to where it lives: into namespaces of its own.
//!
//! In: the process that the judge started, and an [`Entry`]. Out: another process, the victim, whose
//! number is left in the folder for the judge; the first one is done then. Must not change anything
//! outside: its mounts are private before the first one is made, and all of it ends with the victim.
//!
//! ```text
//! judge ─▶ main ─▶ own mounts ─▶ unshare ─▶ fork ─▶ inner: the victim, process 1 of its own world
//!            └─▶ mapper (outside, writes the id maps of a user namespace)
//! ```

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Stdio;

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{chdir, chroot, pivot_root};
use rustix::thread::UnshareFlags;
use serde::{Deserialize, Serialize};

use super::plan::Entry;
use super::stage::{INNER, MAPPER, Stage, lacking};
use crate::process;

/// Namespaces, what `/proc/PID/ns` calls them, and what gives the kernel the power to make them.
pub(super) const KINDS: &[(UnshareFlags, &str, &str)] = &[
    (UnshareFlags::NEWUSER, "user", "USER_NS"),
    (UnshareFlags::NEWNS, "mnt", "NAMESPACES"),
    (UnshareFlags::NEWPID, "pid", "PID_NS"),
    (UnshareFlags::NEWUTS, "uts", "UTS_NS"),
    (UnshareFlags::NEWIPC, "ipc", "IPC_NS"),
    (UnshareFlags::NEWNET, "net", "NET_NS"),
    (UnshareFlags::NEWTIME, "time", "TIME_NS"),
];
/// What the clocks of a time namespace are ahead of those outside, in seconds.
pub(super) const AHEAD: i64 = 1_000_000;
/// The id maps: root is root, so that it may use the victim's folder wherever that is; all others are
/// somebody else outside.
const ID_MAP: &str = "0 0 1\n1 200001 65535\n";

/// What the victim cannot find out from inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Outside {
    /// Process number of the victim.
    pub pid: u32,
    /// The namespaces outside, by name.
    pub namespaces: Vec<(String, String)>,
}

/// Where the judge and the victim find it.
pub(super) fn outside_file(dir: &Path) -> std::path::PathBuf {
    dir.join("outside")
}

/// The names of the namespaces that this process lives in.
pub(super) fn namespaces() -> Vec<(String, String)> {
    let name = |kind: &str| {
        let link = fs::read_link(format!("/proc/self/ns/{kind}")).ok()?;
        Some((kind.to_owned(), link.to_string_lossy().into_owned()))
    };
    KINDS.iter().filter_map(|(_, kind, _)| name(kind)).collect()
}

/// Starts the victim in `entry` and leaves. The caller is the process that the judge started.
pub(super) fn enter(entry: Entry, stage: &Stage) -> io::Result<u8> {
    let Entry::Namespaces(flags) = entry else {
        return Err(io::Error::other("nowhere to go"));
    };
    let namespaces = namespaces();
    let program = process::program()?;
    File::create(stage.dir().join("input"))?;
    let mapper = flags.contains(UnshareFlags::NEWUSER).then(|| {
        let mut command = stage.child(MAPPER)?;
        command.stdin(Stdio::piped()).spawn()
    });
    if entry.has_root() {
        own_root(entry, stage.dir(), &program)?;
    }
    unshare(flags)?;
    if let Some(mapper) = mapper {
        finish_mapping(mapper?)?;
    }
    if flags.contains(UnshareFlags::NEWTIME) {
        let offsets = format!("monotonic {AHEAD} 0\nboottime {AHEAD} 0\n");
        fs::write("/proc/self/timens_offsets", offsets)?;
    }
    // Asking for a group makes it a plain fork: a time namespace takes no child that shares our memory.
    let child = stage
        .as_role(INNER)
        .command(&program)?
        .stdin(File::open(stage.dir().join("input"))?)
        .gid(0)
        .spawn()?;
    let outside = Outside {
        pid: child.id(),
        namespaces,
    };
    super::victim::publish(&outside_file(stage.dir()), &outside)?;
    Ok(0)
}

/// What is left to do by the victim itself, inside.
pub(super) fn arrive(entry: Entry) -> io::Result<()> {
    let Entry::Namespaces(flags) = entry else {
        return Ok(());
    };
    if flags.contains(UnshareFlags::NEWPID | UnshareFlags::NEWNS) {
        rustix::mount::mount("proc", "/proc", "proc", MountFlags::empty(), None)?;
    }
    Ok(())
}

#[expect(deprecated, reason = "unsound only for UnshareFlags::FILES, which is not asked for")]
fn unshare(flags: UnshareFlags) -> io::Result<()> {
    let Err(whole) = rustix::thread::unshare(flags) else {
        return Ok(());
    };
    // Which of them it is that the kernel does not have.
    let single = |(flag, _, _): &&(UnshareFlags, &str, &str)| {
        flags.contains(*flag) && !Path::new("/proc/self/ns").join(kind_name(*flag)).exists()
    };
    match KINDS.iter().find(single) {
        Some((_, _, option)) => Err(lacking(option, whole.into())),
        None => Err(whole.into()),
    }
}

fn kind_name(flag: UnshareFlags) -> &'static str {
    KINDS
        .iter()
        .find(|(known, _, _)| *known == flag)
        .map_or("", |(_, name, _)| *name)
}

/// Makes the root file system alone our root: nothing else is mounted there but windows to the
/// victim's folder and the program, where these lie elsewhere.
fn own_root(entry: Entry, dir: &Path, program: &Path) -> io::Result<()> {
    unshare(UnshareFlags::NEWNS)?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private)?;
    let root = dir.join("root");
    fs::create_dir_all(&root)?;
    rustix::mount::mount_bind("/", &root)?;
    for window in entry.windows(&[dir, program]) {
        let at = root.join(window.strip_prefix("/").unwrap_or(&window));
        make_place(&window, &at)?;
        rustix::mount::mount_bind(&window, &at)?;
    }
    chdir(&root)?;
    match pivot_root(".", ".") {
        Ok(()) => rustix::mount::unmount(".", UnmountFlags::DETACH)?,
        // The first root of all cannot be put elsewhere, only covered.
        Err(rustix::io::Errno::INVAL) => {
            rustix::mount::mount_move(".", "/")?;
            chroot(".")?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(chdir("/")?)
}

/// A mount point for `window`; on the root file system it would stay, so there it is only looked for.
fn make_place(window: &Path, at: &Path) -> io::Result<()> {
    if at.exists() {
        return Ok(());
    }
    if window.is_dir() {
        return fs::create_dir_all(at);
    }
    if let Some(folder) = at.parent() {
        fs::create_dir_all(folder)?;
    }
    File::create(at).map(drop)
}

/// The role outside: waits until its parent has a user namespace, and writes the maps.
pub(super) fn map_ids() -> io::Result<u8> {
    let parent = rustix::process::getppid().ok_or_else(|| io::Error::other("no parent"))?;
    for _end in io::BufRead::lines(process::stdin()) {}
    let folder = format!("/proc/{}", parent.as_raw_nonzero());
    fs::write(format!("{folder}/uid_map"), ID_MAP)?;
    fs::write(format!("{folder}/gid_map"), ID_MAP)?;
    Ok(0)
}

fn finish_mapping(mut mapper: std::process::Child) -> io::Result<()> {
    drop(mapper.stdin.take());
    let status = mapper.wait()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("the id maps cannot be written: {status}")))
    }
}
