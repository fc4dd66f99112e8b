//! The lock of one Windows side: whoever changes something there, or undoes it, holds it.
//!
//! In: the layout. Out: a [`Hold`], released when dropped, also by a kill. Must not wait
//! for longer than a person would.
//!
//! The lock of a `WSLK_HOME` is not enough: journal, kernels and `.wslconfig` belong to a Windows user, and two
//! homes (two distributions, root beside a user) see the same ones.
//!
//! It is `flock` on a file in our folder. Within one distribution that is sure. Whether two distributions see
//! each other's locks depends on how WSL mounts the drive, 9p or virtiofs, and is not established. So the
//! [journal](super::journal) is looked at again before every step as well, and a change that somebody else has
//! settled meanwhile stops there.

use super::InstallError;
use super::layout::Layout;
use crate::files::{Lock, LockError};

/// The right to change this Windows side.
#[derive(Debug)]
pub struct Hold {
    /// Nothing where the file system knows no locks.
    _lock: Option<Lock>,
}

impl Hold {
    /// Takes the lock, and makes our folder if it is not there yet. [`InstallError::Busy`] if somebody else
    /// has it.
    pub fn take(layout: &Layout) -> Result<Self, InstallError> {
        Self::taken(Lock::take(&layout.lock()), layout)
    }

    /// The same, but waits a few seconds for somebody else; `tell` is called once, if it comes to that.
    pub fn wait(layout: &Layout, tell: &dyn Fn()) -> Result<Self, InstallError> {
        Self::taken(Lock::wait(&layout.lock(), tell), layout)
    }

    fn taken(lock: Result<Lock, LockError>, layout: &Layout) -> Result<Self, InstallError> {
        let lock = match lock {
            Ok(lock) => Some(lock),
            Err(LockError::Held(_)) => {
                return Err(InstallError::Busy(layout.folder().linux.clone()));
            }
            Err(LockError::File(error)) if error.kind() == std::io::ErrorKind::Unsupported => None,
            Err(LockError::File(error)) => return Err(error.into()),
        };
        Ok(Self { _lock: lock })
    }
}
