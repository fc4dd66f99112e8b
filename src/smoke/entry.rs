//! Takes a victim's first process to where it lives: into namespaces of its own.
//!
//! In: the process that the judge started, and an [`Entry`]. Out: another process, the victim, whose
//! number is left in the folder for the judge; the first one is done then. Must not change anything
//! outside: its mounts are private before the first one is made, and all of it ends with the victim.
//!
//! ```text
//! judge ─▶ main ─▶ new process and time namespaces ─▶ fork ─▶ settler: mounts, all other namespaces
//!            └─ writes the id maps, tells the judge, ends        └─ exec ─▶ inner: the victim
//! ```
//!
//! The victim is a program started anew, since nothing that it has open, itself included, may lie on a mount
//! that is not its own.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{chdir, pivot_root};
use rustix::thread::UnshareFlags;
use serde::{Deserialize, Serialize};

use super::container;
use super::plan::Entry;
use super::stage::{INNER, SETTLER, Stage, lacking};
use crate::files::hand_over;
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
/// Those that a process enters by being born.
const FORKED: UnshareFlags = UnshareFlags::NEWPID.union(UnshareFlags::NEWTIME);
/// The other process does its part in so much time, or is dead.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(3);
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
pub(super) fn outside_file(dir: &Path) -> PathBuf {
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
    let flags = entry.flags();
    let namespaces = namespaces();
    File::create(stage.dir().join("input"))?;
    let pid = match entry {
        Entry::Container => container::start(stage)?,
        _ => fork(flags, stage)?,
    };
    let outside = Outside { pid, namespaces };
    hand_over(&outside_file(stage.dir()), &outside)?;
    Ok(0)
}

/// Starts the process that settles in the namespaces.
fn fork(flags: UnshareFlags, stage: &Stage) -> io::Result<u32> {
    unshare(flags & FORKED)?;
    if flags.contains(UnshareFlags::NEWTIME) {
        let offsets = format!("monotonic {AHEAD} 0\nboottime {AHEAD} 0\n");
        fs::write("/proc/self/timens_offsets", offsets)?;
    }
    // Asking for a group makes it a plain fork: a time namespace takes no child that shares our memory.
    let mut child = stage.child(SETTLER)?.gid(0).spawn()?;
    if flags.contains(UnshareFlags::NEWUSER) {
        map_ids(&mut child)?;
    }
    Ok(child.id())
}

/// The rest of the way, by the process that becomes the victim. Returns only where that fails.
pub(super) fn settle(entry: Entry, stage: &Stage) -> io::Result<u8> {
    let flags = entry.flags();
    let program = process::program()?;
    if entry.has_root() {
        unshare(UnshareFlags::NEWNS)?;
        own_root(entry, stage.dir(), &program)?;
    }
    let user = flags.contains(UnshareFlags::NEWUSER);
    // The mounts must belong to the user namespace as well.
    let mounts = if user {
        UnshareFlags::NEWNS
    } else {
        UnshareFlags::empty()
    };
    unshare(flags.difference(FORKED | UnshareFlags::NEWNS) | (flags & mounts))?;
    if user {
        wait_until(|| Ok(!fs::read("/proc/self/uid_map")?.is_empty()))?;
    }
    wait_until(|| Ok(outside_file(stage.dir()).exists()))?;
    let input = File::open(stage.dir().join("input"))?;
    let mut command = stage.as_role(INNER).command(&program)?;
    Err(command.stdin(input).exec())
}

fn wait_until(there: impl Fn() -> io::Result<bool>) -> io::Result<()> {
    let began = Instant::now();
    while !there()? {
        if began.elapsed() > PATIENCE {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// Runs CRIU where the root file system alone is mounted at [`root`]: what CRIU wants of a root that it is to
/// restore. Nobody else sees that mount. Returns only where that fails.
pub(super) fn beside_root(stage: &Stage, words: &[OsString]) -> io::Result<u8> {
    let [program, words @ ..] = words else {
        return Ok(2);
    };
    unshare(UnshareFlags::NEWNS)?;
    bind_root(stage.dir())?;
    Err(Command::new(program).args(words).exec())
}

#[expect(
    deprecated,
    reason = "unsound only for UnshareFlags::FILES, which is not asked for"
)]
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

/// Mounts the root file system alone where nobody else sees it.
fn bind_root(dir: &Path) -> io::Result<PathBuf> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private)?;
    let root = root(dir);
    fs::create_dir_all(&root)?;
    rustix::mount::mount_bind("/", &root)?;
    Ok(root)
}

/// Where the victim's root is seen from outside: beside its folder and not in it, for a user namespace takes no
/// folder in which something is mounted.
pub(super) fn root(dir: &Path) -> PathBuf {
    dir.with_extension("root")
}

/// Makes the root file system alone our root: nothing else is mounted there but `/proc`, and windows to
/// the victim's folder and the program where these lie elsewhere.
fn own_root(entry: Entry, dir: &Path, program: &Path) -> io::Result<()> {
    let root = bind_root(dir)?;
    for window in entry.windows(&[dir, program]) {
        let at = root.join(window.strip_prefix("/").unwrap_or(&window));
        make_place(&window, &at)?;
        rustix::mount::mount_bind(&window, &at)?;
    }
    if entry.flags().contains(UnshareFlags::NEWPID) {
        rustix::mount::mount("proc", root.join("proc"), "proc", MountFlags::empty(), None)?;
    }
    chdir(&root)?;
    pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
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

/// Writes the id maps of a child, as soon as it has a user namespace.
fn map_ids(child: &mut Child) -> io::Result<()> {
    let folder = format!("/proc/{}", child.id());
    let own = fs::read_link("/proc/self/ns/user")?;
    wait_until(|| match fs::read_link(format!("{folder}/ns/user")) {
        Ok(theirs) => Ok(theirs != own),
        // It has told why.
        Err(_) => Err(io::Error::other(
            "the process that was to be mapped is gone",
        )),
    })?;
    fs::write(format!("{folder}/uid_map"), ID_MAP)?;
    fs::write(format!("{folder}/gid_map"), ID_MAP)
}
