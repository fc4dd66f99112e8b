//! The only ambient state: environment, current folder, standard streams, signals.
//!
//! In: the running process. Out: plain values for everybody else. Must not hold any policy.

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether somebody asked us to stop (Ctrl-C, SIGTERM, SIGHUP). Cheap to clone and to ask.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens for the signals from now on. A second signal ends the process at once.
    pub fn listen() -> io::Result<Self> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&flag))?;
            signal_hook::flag::register(signal, Arc::clone(&flag))?;
        }
        Ok(Self(flag))
    }

    /// True from the first signal on.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Behaves as if a signal had come; for tests.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The command line, the program's own name first.
pub fn arguments() -> impl Iterator<Item = OsString> {
    env::args_os()
}

/// An environment variable that is set and not empty.
#[must_use]
pub fn env_var(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// The folder that relative paths of the command line are relative to.
pub fn current_dir() -> io::Result<PathBuf> {
    env::current_dir()
}

/// The architecture of this machine, by the name that `uname -m` uses.
pub const ARCH: &str = env::consts::ARCH;

/// `uname -r`: the running kernel.
#[must_use]
pub fn kernel_release() -> String {
    rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned()
}

/// The path of the running program.
pub fn program() -> io::Result<PathBuf> {
    env::current_exe()
}

/// The data folder of the user by the XDG rules, for a folder of our own below it.
#[must_use]
pub fn data_home() -> PathBuf {
    xdg("XDG_DATA_HOME", ".local/share")
}

/// The cache folder of the user by the XDG rules.
#[must_use]
pub fn cache_home() -> PathBuf {
    xdg("XDG_CACHE_HOME", ".cache")
}

/// The settings folder of the user by the XDG rules.
#[must_use]
pub fn config_home() -> PathBuf {
    xdg("XDG_CONFIG_HOME", ".config")
}

fn xdg(variable: &str, below_home: &str) -> PathBuf {
    let home = || {
        // Where nobody said, the account's own: a service or `env -i` has no HOME.
        std::env::home_dir().unwrap_or_else(|| PathBuf::from("/"))
    };
    env_var(variable)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .unwrap_or_else(|| home().join(below_home))
}

/// Whether standard error is a terminal, so that progress may be drawn there.
#[must_use]
pub fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Standard input, line by line.
#[must_use]
pub fn stdin() -> impl io::BufRead {
    io::stdin().lock()
}

/// Whether standard input is a terminal, so that a question may be asked.
#[must_use]
pub fn stdin_is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// The numbers of the user and the group that we run as; 0 is root.
#[must_use]
pub fn user() -> (u32, u32) {
    (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    )
}

/// Number of processors that this process may use.
#[must_use]
pub fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Standard output.
pub fn stdout() -> impl io::Write + Send {
    io::stdout()
}

/// Standard error.
pub fn stderr() -> impl io::Write + Send {
    io::stderr()
}
