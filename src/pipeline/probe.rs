//! The capability report: the probe with this process's surroundings, and the files it leaves.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Context, Step, windows};
use crate::error::Error;
use crate::probe::{self, CapabilityReport, Options};
use crate::{files, process};

/// Variables by which a user chooses devices and libraries; every part sees them.
const HANDED_ON: [&str; 6] = [
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "LD_LIBRARY_PATH",
    "PYTHONPATH",
    "VIRTUAL_ENV",
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

/// The rows that a probe would try, and the most time that each may take.
#[must_use]
pub fn outlook(options: &Options) -> Vec<Step> {
    let line = |(row, limit): (&str, Duration)| format!("try {row}, {} s at most", limit.as_secs());
    vec![Step::planned("probe", options.plan().map(line).collect())]
}

/// Probes, and writes the report as a page and as JSON beside it if asked for.
pub fn probe(
    context: &Context,
    options: &Options,
    report: Option<&Path>,
) -> Result<CapabilityReport, Error> {
    let found = probe::run(options, context.runner.as_ref(), &context.reporter)?;
    if let Some(path) = report {
        let (page, document) = beside(path);
        files::replace(&page, probe::page(&found)?)?;
        files::replace(&document, found.document()?)?;
    }
    Ok(found)
}

/// The page where it was asked for, and the document beside it; whoever names the document gets the page beside
/// that.
fn beside(path: &Path) -> (PathBuf, PathBuf) {
    let is_document = path.extension().is_some_and(|ending| ending == "json");
    let page = match is_document {
        true => path.with_extension("html"),
        false => path.to_owned(),
    };
    (page, path.with_extension("json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_and_the_document_are_two_files() {
        for (path, page, document) in [
            ("a/report.html", "a/report.html", "a/report.json"),
            ("report.json", "report.html", "report.json"),
            ("report", "report", "report.json"),
        ] {
            let files = beside(Path::new(path));
            assert_eq!(files, (PathBuf::from(page), PathBuf::from(document)));
        }
    }
}
