//! The capability report: the probe with this process's surroundings, and the files it leaves.

use std::path::Path;

use super::{Context, windows};
use crate::error::Error;
use crate::probe::{self, CapabilityReport, Options};
use crate::{files, process};

/// Variables by which a user chooses devices and libraries; every part sees them.
const HANDED_ON: [&str; 4] = [
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "LD_LIBRARY_PATH",
    "VLLM_WSL2_ENABLE_PIN_MEMORY",
];

/// Options for this machine: everything is probed, by each row's own deadline.
#[must_use]
pub fn options(context: &Context) -> Options {
    let variable = |name: &&str| {
        let value = process::env_var(name)?.into_string().ok()?;
        Some(((*name).to_owned(), value))
    };
    let own = rustix::process::getpid().as_raw_nonzero();
    Options {
        program: context.program.clone(),
        work: context.home.work().join(format!("probe-{own}")),
        only: Vec::new(),
        library: None,
        hold: None,
        pin: None,
        deadline: None,
        criu: "criu".into(),
        python: "python3".into(),
        surroundings: windows::surroundings(),
        environment: HANDED_ON.iter().filter_map(variable).collect(),
    }
}

/// Probes, and writes the report as a page and as JSON beside it if asked for.
pub fn probe(
    context: &Context,
    options: &Options,
    report: Option<&Path>,
) -> Result<CapabilityReport, Error> {
    let found = probe::run(options, context.runner.as_ref(), &context.reporter)?;
    if let Some(path) = report {
        files::replace(path, probe::page(&found)?)?;
        files::replace(&path.with_extension("json"), found.document()?)?;
    }
    Ok(found)
}
