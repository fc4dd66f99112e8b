//! wslk gives a WSL2 user a kernel that can checkpoint and restore processes, and proves it.
//!
//! Every arrow is a product on disk, bound to the digests of what it was made from:
//!
//! ```text
//! tag ─▶ source tree ─▶ config + audit ─▶ build (container) ─▶ artefacts ─▶ boot test ─▶ install ─▶ trial
//!        [source]       [kconfig]         [build]              [artefact]   [boot], [smoke]  [install]
//! ```
//!
//! Read on in the order of the modules below. Upper ones use those under them, never the reverse; a
//! stage takes the product types of the stages before it. `tests/architecture.rs` holds us to that.
//!
//! - edge: [`cli`] (the only one that knows clap)
//! - composition: [`pipeline`] (the order of stages), [`nightly`] (it, for every new tag), [`settings`], [`timings`] (where a build's time went), [`status`], [`doctor`], [`error`], [`exit`]
//! - stages: [`source`] → [`kconfig`] → [`build`] → [`artefact`] → [`smoke`] → [`boot`] → [`publish`] → [`install`]
//! - beside them: [`probe`] (what this machine and its GPU can do, each trial in a process of its own)
//! - Windows side: [`wsl`] (its paths and programs, and `.wslconfig` by WSL's own grammar)
//! - ports and values: [`download`], [`exec`], [`report`], [`files`], [`digest`], [`home`], [`process`], [`build_name`]

pub mod cli;

pub mod nightly;

pub mod doctor;
pub mod error;
pub mod exit;
pub mod pipeline;
pub mod settings;
pub mod status;
pub mod timings;

pub mod source;

pub mod kconfig;

pub mod build;

pub mod artefact;

pub mod smoke;

pub mod probe;

pub mod boot;

pub mod publish;

pub mod wsl;

pub mod install;

pub mod download;
pub mod exec;
pub mod report;

pub mod build_name;
pub mod digest;
pub mod files;
pub mod home;
pub mod process;
