//! What wslk knows about the Windows side of WSL: paths there, and the file that chooses the kernel.
//!
//! In: bytes and texts that somebody else has read. Out: values, and bytes for somebody else to write.
//! Must not keep state of its own, must not decide what is installed, and must not need a running WSL:
//! rollback builds on this module and has to work when everything else is broken.
//!
//! Read on with [`wslconfig`] (WSL's own grammar, the lossless edit and the linter) and [`path`]; then
//! [`host`] (the profile, and Windows' own programs), [`version`], [`packaged`] and
//! [`policy`]; [`mounts`] tells its file systems.

pub mod decode;
pub mod host;
pub mod mounts;
pub mod packaged;
pub mod path;
pub mod policy;
pub mod version;
pub mod wslconfig;
