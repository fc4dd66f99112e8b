//! A Unix socket at which a job that has no network can ask wslk for something.
//!
//! In: a folder, a name, and who answers a connection. Out: a socket there, until it is dropped. Must not know what is
//! spoken at it.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::files;

/// How long to wait for a descriptor or a thread to come free.
const PAUSE: Duration = Duration::from_millis(20);

/// A socket for everybody who can reach its folder; nobody listens any more when it is dropped.
#[derive(Debug)]
pub(super) struct Socket {
    listener: Arc<UnixListener>,
    is_closed: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Socket {
    /// Listens as `name` in `folder`. Each connection is answered in a thread of its own, which ends with whoever made
    /// the connection; `about` names the thread that takes them.
    pub(super) fn open(
        folder: &Path,
        name: &str,
        about: String,
        answer: impl Fn(&UnixStream) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = Arc::new(listen(folder, name)?);
        let is_closed = Arc::new(AtomicBool::new(false));
        let serving = (Arc::clone(&listener), Arc::clone(&is_closed));
        let serve = move || serve(&serving.0, &serving.1, &Arc::new(answer));
        let thread = thread::Builder::new().name(about).spawn(serve)?;
        Ok(Self {
            listener,
            is_closed,
            thread: Some(thread),
        })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::Release);
        // Wakes the thread that waits for a connection.
        let _closed = rustix::net::shutdown(&*self.listener, rustix::net::Shutdown::Both);
        // If it panicked, it said so; the build is over all the same.
        let _panicked = self.thread.take().map(thread::JoinHandle::join);
    }
}

fn serve(
    listener: &UnixListener,
    is_closed: &AtomicBool,
    answer: &Arc<impl Fn(&UnixStream) + Send + Sync + 'static>,
) {
    for stream in listener.incoming() {
        if is_closed.load(Ordering::Acquire) {
            return;
        }
        let answer = Arc::clone(answer);
        let taken = stream.and_then(|stream| thread::Builder::new().spawn(move || answer(&stream)));
        // Out of descriptors or threads: who asks does without, and those that are open will end.
        if taken.is_err() {
            thread::sleep(PAUSE);
        }
    }
}

/// Its path may be too long for a socket: hence the short one, through the open folder.
fn listen(folder: &Path, name: &str) -> io::Result<UnixListener> {
    let opened = File::open(folder)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}/{name}", opened.as_raw_fd()));
    let listener = UnixListener::bind(short)?;
    allow(&folder.join(name), 0o666)?;
    Ok(listener)
}

/// A new folder that only we can enter, for what is in it that a job sees, whoever it is. Below `parent`, where nobody
/// else works, what a killed wslk left under `prefix` goes first; without one it is where temporary files are.
pub(super) fn folder(parent: Option<&Path>, prefix: &str) -> io::Result<tempfile::TempDir> {
    let mut name = tempfile::Builder::new();
    let name = name
        .prefix(prefix)
        .permissions(fs::Permissions::from_mode(0o700));
    match parent {
        Some(parent) => {
            fs::create_dir_all(parent)?;
            files::sweep_scratch(parent, prefix).map_err(io::Error::other)?;
            name.tempdir_in(parent)
        }
        None => name.tempdir(),
    }
}

/// Whatever the umask is.
pub(super) fn allow(path: &Path, bits: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(bits))
}
