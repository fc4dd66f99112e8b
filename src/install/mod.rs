//! Install: a kernel on the Windows side, tried, and taken back.
//!
//! In: nothing yet. Out: the scripts of the Windows side ([`rescue`]). Must not compile or boot anything.

pub mod rescue;
