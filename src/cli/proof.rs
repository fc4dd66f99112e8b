//! The table of what was proved: a build, its contract and its boot test on one screen.
//!
//! In: a finished build and its evidence. Out: a document and its text. Must not judge; the verdicts
//! come from the stages.

use serde::Serialize;

use super::table::table;
use crate::artefact::{self, Build, BuildId, Manifest, RunDetails};
use crate::boot::BootReport;
use crate::build::{CacheStats, MissReason};
use crate::error::Error;
use crate::files;
use crate::kconfig::Audit;
use crate::report::size;
use crate::smoke::{Compared, Comparison, ScenarioReport};
use crate::timings::Written;

/// A build and what is known of it.
#[derive(Debug, Serialize)]
pub(super) struct Proof<'a> {
    /// Whether anything had to be built.
    fresh: bool,
    folder: String,
    manifest: &'a Manifest,
    run: &'a RunDetails,
    contract: Contract,
    boot: Option<&'a BootReport>,
    scenarios: &'a [ScenarioReport],
    /// Where its time went, if that was written down now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timings: Option<&'a Written>,
}

#[derive(Debug, Serialize)]
struct Contract {
    requested: usize,
    guarded: usize,
    keep_base: bool,
    base_options: usize,
    warnings: Vec<String>,
}

impl<'a> Proof<'a> {
    pub(super) fn new(
        build: &'a Build,
        fresh: bool,
        boot: Option<&'a BootReport>,
    ) -> Result<Self, Error> {
        let audit = Audit::from_json(&build.audit(), &files::read(&build.audit())?)?;
        let scenarios = boot
            .and_then(|boot| boot.smoke.as_ref())
            .map_or(&[][..], |smoke| &smoke.scenarios);
        Ok(Self {
            fresh,
            folder: build.folder().display().to_string(),
            manifest: build.manifest(),
            run: build.run(),
            contract: Contract::from(&audit),
            boot,
            scenarios,
            timings: None,
        })
    }

    /// On one screen, under what was done.
    pub(super) fn text(&self, done: &str) -> String {
        let mut text = format!("{done} {}\n\n", self.manifest.id);
        text.push_str(&table(&self.facts()));
        if let Some(cache) = self.cache().filter(|cache| !cache.reasons.is_empty()) {
            text.push('\n');
            text.push_str(&table(&miss_rows(cache)));
        }
        if !self.scenarios.is_empty() {
            text.push('\n');
            text.push_str(&table(&self.scenario_rows()));
        }
        text
    }

    /// The same, with the scenarios beside those of a control.
    pub(super) fn compared(&self, control: &BuildId, comparison: &Comparison) -> String {
        let head = ["dumped and restored", "here", "control", "why not"];
        let row = |row: &Compared| {
            vec![
                row.name.clone(),
                row.verdict.to_string(),
                row.control.to_string(),
                row.reason.clone().unwrap_or_default(),
            ]
        };
        let rows = std::iter::once(head.map(str::to_owned).to_vec());
        let rows: Vec<_> = rows.chain(comparison.rows.iter().map(row)).collect();
        let facts = table(&self.facts());
        let beside = table(&rows);
        format!(
            "{} beside its control {control}\n\n{facts}\n{beside}\n{}\n",
            self.manifest.id, comparison.conclusion
        )
    }

    fn facts(&self) -> Vec<Vec<String>> {
        let row = |name: &str, value: String| vec![name.to_owned(), value];
        let mut rows = vec![row(
            "kernel",
            format!(
                "{}, {}",
                self.manifest.release,
                self.size_of(artefact::KERNEL)
            ),
        )];
        if self.manifest.outputs.contains_key(artefact::MODULES_DISK) {
            rows.push(row("modules", self.modules()));
        }
        rows.push(row("contract", self.contract.text()));
        rows.push(row(
            "boot test",
            self.boot.map_or_else(|| "not made".to_owned(), boot_line),
        ));
        if let Some(taken) = self.run.taken.filter(|_| self.fresh) {
            rows.push(row(
                "compiled",
                format!("not now: the kernel of these very inputs was {taken}"),
            ));
        }
        if let Some(cache) = self.cache() {
            rows.push(row("compiler cache", cache.to_string()));
        }
        let servers = self.run.servers.iter().filter(|_| self.fresh);
        rows.extend(servers.map(|server| row("shared cache", server.to_string())));
        let hosts = self.run.hosts.iter().filter(|_| self.fresh);
        rows.extend(hosts.map(|host| row("compile host", host.to_string())));
        if let Some(timings) = self.timings {
            rows.push(row("timings", timings.page.display().to_string()));
        }
        rows.push(row("files", self.folder.clone()));
        rows
    }

    /// How the compiler cache did, if anything was compiled now.
    fn cache(&self) -> Option<&CacheStats> {
        self.run.cache.as_ref().filter(|_| self.fresh)
    }

    fn modules(&self) -> String {
        let disk = format!(
            "{}, {}",
            artefact::MODULES_DISK,
            self.size_of(artefact::MODULES_DISK)
        );
        match self.boot.and_then(|boot| boot.modules.as_ref()) {
            Some(modules) => format!(
                "{disk}: {} modules, flat layout {}, nested layout {}",
                modules.count,
                works(modules.flat.works),
                works(modules.nested.works)
            ),
            None => disk,
        }
    }

    fn size_of(&self, output: &str) -> String {
        self.manifest
            .outputs
            .get(output)
            .map_or_else(String::new, |output| size(output.size))
    }

    fn scenario_rows(&self) -> Vec<Vec<String>> {
        let head = ["dumped and restored", "verdict", "cycles", "seconds"]
            .map(str::to_owned)
            .to_vec();
        let row = |scenario: &ScenarioReport| {
            vec![
                scenario.name.clone(),
                scenario.verdict.to_string(),
                scenario.cycles.to_string(),
                format!("{:.1}", scenario.seconds),
                scenario.reason.clone().unwrap_or_default(),
            ]
        };
        std::iter::once(head)
            .chain(self.scenarios.iter().map(row))
            .collect()
    }
}

/// Why objects were compiled and not found, the reasons with the most of them first.
fn miss_rows(cache: &CacheStats) -> Vec<Vec<String>> {
    let head = ["not in the compiler cache because", "objects", "of"];
    let row = |reason: &MissReason| {
        vec![
            reason.what.clone(),
            reason.objects.to_string(),
            reason.of.to_string(),
        ]
    };
    std::iter::once(head.map(str::to_owned).to_vec())
        .chain(cache.reasons.iter().map(row))
        .collect()
}

impl Contract {
    fn text(&self) -> String {
        let mut text = format!(
            "{} options asked for and {} guarded are in the final configuration",
            self.requested, self.guarded
        );
        // tinyconfig is only a starting point: there is nothing in it to keep.
        if self.keep_base {
            text.push_str(&match self.warnings.as_slice() {
                [] => format!(", none of {} lost", self.base_options),
                foreign => format!(
                    "; {} of the base's {} do not fit this tree: {}",
                    foreign.len(),
                    self.base_options,
                    foreign.join(", ")
                ),
            });
        }
        text
    }
}

impl From<&Audit> for Contract {
    fn from(audit: &Audit) -> Self {
        Self {
            requested: audit.requested.len(),
            guarded: audit.guarded.len(),
            keep_base: audit.keep_base,
            base_options: audit.base_options,
            warnings: audit
                .warnings()
                .map(|finding| finding.request.symbol.to_string())
                .collect(),
        }
    }
}

fn boot_line(boot: &BootReport) -> String {
    let userspace = boot
        .userspace_seconds
        .map(|seconds| format!(", userspace after {seconds:.1} s"))
        .unwrap_or_default();
    let config = match boot.config_matches {
        Some(true) => ", runs the configuration that was built",
        _ => "",
    };
    format!(
        "{} in {:.1} s under {}{userspace}{config}",
        boot.verdict, boot.seconds, boot.accel
    )
}

fn works(works: bool) -> &'static str {
    if works { "works" } else { "fails" }
}
