//! A compiler cache that machines share: what ccache calls remote storage, on servers that speak Redis or HTTP.
//!
//! In: the servers of a user, a folder. Out: a [`Door`] for one build: a Unix socket for ccache, which speaks Redis to
//! it, and behind it the servers; then what became of each.
//!
//! ```text
//! ccache, no network ── GET, SET ─▶ Door ─▶ Shelf ─ sealed entries ─▶ server, and its password
//!                     Unix socket         └▶ Shelf ────────────────▶ another
//! ```
//!
//! So the container keeps having no network, and what runs in it can ask for entries and leave some, and nothing else.
//! Nothing here fails a build: a server that is dead, slow, full, or keeps other bytes than it was given, costs what
//! it would have saved, for a while, and is then left alone. It cannot give a wrong object by accident: entries are
//! sealed with their key ([`seal`]). Who can seal can also give wrong objects, on purpose; everybody can where there
//! is no secret.
//!
//! Must not know what is in an entry: which object fits which call is ccache's to say.

mod door;
#[cfg(test)]
pub(super) mod fake;
mod http;
mod redis;
mod resp;
mod seal;
mod server;
mod shelf;
mod shelves;

use std::fmt;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use self::server::CacheServer;
pub use self::shelf::ServerStats;
pub use self::shelves::Shelves;

pub(super) use self::door::Door;

/// For all of one question and its answer. The largest object files have 10 MB: a second on a slow network.
const DEADLINE: Duration = Duration::from_secs(5);
/// For a connection. A host that is there answers in milliseconds.
const CONNECT: Duration = Duration::from_secs(2);

/// Where builds of many machines leave what they compiled.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SharedCache {
    /// The servers, asked one after the other; none for no shared cache.
    pub servers: Vec<CacheServer>,
    /// With what entries are sealed: who does not know it can make none; reading them is not prevented. Empty for a seal
    /// that anybody can make, which holds against accidents only.
    pub secret: String,
    /// Whether to leave there what was compiled here.
    pub write: bool,
}

impl fmt::Debug for SharedCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedCache")
            .field("servers", &self.servers)
            .field("write", &self.write)
            .finish_non_exhaustive()
    }
}

/// What a server did instead of what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Fault {
    /// It gave no answer.
    #[error("{0}")]
    Silent(String),
    /// It gave another answer.
    #[error("it answered `{0}`")]
    Refused(String),
    /// It gave something that nobody of us had left there.
    #[error("it gave other bytes than were left there")]
    Damaged,
}

impl Fault {
    fn late() -> Self {
        Self::Silent(format!("no answer within {} s", DEADLINE.as_secs()))
    }

    /// What a server says is not for a terminal as it is.
    fn refused(said: &str) -> Self {
        let plain = said.chars().filter(|c| !c.is_control());
        Self::Refused(plain.take(100).collect())
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::late(),
            io::ErrorKind::ConnectionRefused => Self::Silent("connection refused".to_owned()),
            io::ErrorKind::UnexpectedEof => Self::Silent("the connection broke".to_owned()),
            _ => Self::Silent(error.to_string()),
        }
    }
}

/// What a thread left that panicked is as good as anything here: counters and connections.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
