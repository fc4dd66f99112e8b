//! Checkpoint and restore of the device side of another process.
//!
//! In: a process. Out: its new state. Documented for Linux alone; present from driver 570 on.

use super::abi::{LockArgs, State};
use super::{Cuda, Refusal};

/// No options. All structures of options may be left out.
const NONE: super::Handle = std::ptr::null_mut();

impl Cuda {
    /// Where the process stands.
    pub fn state_of(self, process: i32) -> Result<State, Refusal> {
        let mut state = 0;
        // SAFETY: writes one int.
        unsafe { self.raw_state(process, &raw mut state) }?;
        Ok(State::from(state))
    }

    /// The thread of the process that has to run for a restore.
    pub fn restore_thread_of(self, process: i32) -> Result<i32, Refusal> {
        let mut thread = 0;
        // SAFETY: writes one int.
        unsafe { self.raw_restore_thread(process, &raw mut thread) }?;
        Ok(thread)
    }

    /// Finishes what the process has started and blocks its calls; running becomes locked.
    pub fn lock(self, process: i32, timeout_ms: u32) -> Result<(), Refusal> {
        let mut args = LockArgs {
            timeout_ms,
            ..LockArgs::default()
        };
        // SAFETY: reads 64 bytes, which the structure has.
        unsafe { self.raw_lock(process, &raw mut args) }
    }

    /// Moves the process's device memory to the host; locked becomes checkpointed.
    pub fn checkpoint(self, process: i32) -> Result<(), Refusal> {
        // SAFETY: no options.
        unsafe { self.raw_checkpoint(process, NONE) }
    }

    /// Moves it back; checkpointed becomes locked.
    pub fn restore(self, process: i32) -> Result<(), Refusal> {
        // SAFETY: no options.
        unsafe { self.raw_restore(process, NONE) }
    }

    /// Lets the process go on; locked becomes running.
    pub fn unlock(self, process: i32) -> Result<(), Refusal> {
        // SAFETY: no options.
        unsafe { self.raw_unlock(process, NONE) }
    }
}
