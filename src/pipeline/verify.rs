//! What is proved of a build, found out again: its files, its inputs, its evidence, its signature; and with
//! patience the build itself, made once more and compared bit by bit.
//!
//! In: a finished build. Out: [`Check`]s that say what holds, what does not, and what nobody knows. Must not
//! change the build, nor repair anything.

mod again;

use serde::Serialize;

pub use self::again::{Difference, Rebuilt, VerifyError, rebuild, rebuild_outlook};
use super::Context;
use crate::artefact::sums::{self, SUMS};
use crate::artefact::{Build, BuildRef, Store};
use crate::boot;
use crate::digest::Sha256;
use crate::error::Error;
use crate::files;
use crate::publish::sign::{self, About, Fault};
use crate::publish::{CONTROL, ENTRY, Entry, SIGNATURE, TrustedKey};
use crate::settings::Settings;
use crate::source;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It holds.
    Ok,
    /// It does not.
    Fail,
    /// It cannot be found out here.
    Unknown,
    /// There is nothing of the kind to check.
    NotApplicable,
}

/// One question and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What is checked, in one word.
    pub id: &'static str,
    /// How it came out.
    pub status: Status,
    /// One clause.
    pub summary: String,
    /// What it rests on, line by line.
    pub evidence: Vec<String>,
    /// What the user can do about it.
    pub hint: Option<&'static str>,
}

impl Check {
    fn new(id: &'static str, status: Status, summary: impl Into<String>) -> Self {
        Self {
            id,
            status,
            summary: summary.into(),
            evidence: Vec::new(),
            hint: None,
        }
    }

    fn because(mut self, evidence: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }
}

/// What is proved of one build.
#[derive(Debug)]
pub struct Verified {
    /// The build.
    pub build: Build,
    /// The checks, in the order in which they build on each other.
    pub checks: Vec<Check>,
}

/// Finds out what is proved, from the bytes on.
pub fn verify(context: &Context, settings: &Settings, name: &BuildRef) -> Result<Verified, Error> {
    let build = Store::new(&context.home).find(name)?;
    context.reporter.stage("verify", build.id().to_string());
    let checks = vec![
        files(&build),
        inputs(&build),
        source(context, &build),
        evidence(&build)?,
        control(&build)?,
        signature(&build, settings)?,
    ];
    Ok(Verified { build, checks })
}

fn files(build: &Build) -> Check {
    let outputs = build.manifest().outputs.iter();
    let lines = outputs.map(|(name, output)| format!("{name} {}", output.sha256));
    match build.verify() {
        Ok(()) => {
            let count = build.manifest().outputs.len();
            let summary = format!("{count} files are byte for byte what was built");
            Check::new("files", Status::Ok, summary).because(lines)
        }
        Err(error) => Check::new("files", Status::Fail, error.to_string())
            .hint("remove the build's folder, and build or fetch it again"),
    }
}

/// The id ends in the digest of the inputs, and the kernel's release string in the id's digits.
fn inputs(build: &Build) -> Check {
    let manifest = build.manifest();
    let lines = manifest.inputs.iter();
    let lines: Vec<String> = lines
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let named = manifest.id.hex() == manifest.inputs.hex();
    let (status, summary) = match named {
        true => (
            Status::Ok,
            format!("the name follows from {} inputs", lines.len()),
        ),
        false => (
            Status::Fail,
            format!(
                "the inputs lead to …-{}, and the build is named …-{}",
                manifest.inputs.hex(),
                manifest.id.hex()
            ),
        ),
    };
    Check::new("inputs", status, summary).because(lines)
}

/// Whether the very tree that was compiled is here.
fn source(context: &Context, build: &Build) -> Check {
    let facts = &build.manifest().source;
    let origin = &build.run().origin;
    let said = format!("{origin}, tree {}", facts.tree);
    let tree = source::stored(&context.home, &facts.tree, origin);
    let check = match tree.map(|tree| tree.verify()) {
        Ok(Ok(())) => Check::new(
            "source",
            Status::Ok,
            "the tree that was compiled is here, unchanged",
        ),
        Ok(Err(error)) => Check::new("source", Status::Fail, error.to_string())
            .hint("remove that tree; it is fetched again when it is needed"),
        Err(_) => Check::new(
            "source",
            Status::Unknown,
            "the tree that was compiled is not here",
        )
        .hint("`wslk verify BUILD --rebuild` fetches it"),
    };
    check.because([said])
}

fn evidence(build: &Build) -> Result<Check, Error> {
    let hint = "`wslk boot BUILD` tests it";
    let proven = match build.clone().proven() {
        Ok(proven) => proven,
        Err(unproven) => {
            let said = format!("no boot test counts: {}", unproven.reason);
            return Ok(Check::new("boot test", Status::Fail, said).hint(hint));
        }
    };
    // Evidence of an early wslk says less than today's, and counts all the same.
    let Ok(report) = boot::read_report(&proven.build().boot_folder()) else {
        let summary = "passed, by these very files";
        return Ok(Check::new("boot test", Status::Ok, summary));
    };
    let scenarios = report
        .smoke
        .as_ref()
        .map_or(&[][..], |smoke| &smoke.scenarios);
    let works = scenarios
        .iter()
        .filter(|found| found.verdict == crate::smoke::Verdict::Works);
    let summary = format!(
        "passed by these very files under {}: {} of {} scenarios dumped and restored",
        report.accel,
        works.count(),
        scenarios.len()
    );
    let lines = scenarios.iter().map(|found| {
        let reason = found.reason.as_ref().map(|reason| format!(": {reason}"));
        format!(
            "{} {}{}",
            found.name,
            found.verdict,
            reason.unwrap_or_default()
        )
    });
    Ok(Check::new("boot test", Status::Ok, summary).because(lines))
}

/// The comparison with a control, where one came with the build.
fn control(build: &Build) -> Result<Check, Error> {
    #[derive(serde::Deserialize)]
    struct Said {
        build: String,
        conclusion: String,
    }
    let text = files::read_if_there(&build.folder().join(CONTROL))?;
    let said: Option<Said> = text.and_then(|text| serde_json::from_str(&text).ok());
    Ok(match said {
        Some(said) => Check::new("control", Status::Ok, said.conclusion)
            .because([format!("beside {}", said.build)]),
        None => Check::new(
            "control",
            Status::NotApplicable,
            "no comparison came with it",
        )
        .hint("`wslk boot BUILD --control` makes one"),
    })
}

/// What was published must be what is here, and somebody trusted must have said so.
fn signature(build: &Build, settings: &Settings) -> Result<Check, Error> {
    let at = |name: &str| build.folder().join(name);
    let Some(entry) = files::read_if_there(&at(ENTRY))? else {
        let here = "it was built here";
        return Ok(publication(Status::NotApplicable, here));
    };
    let list = files::read(&at(SUMS))?;
    let entry: Entry = match serde_json::from_str(&entry) {
        Ok(entry) => entry,
        Err(error) => {
            return Ok(publication(
                Status::Fail,
                format!("{ENTRY} is damaged: {error}"),
            ));
        }
    };
    let sums = match sums::parse(&list) {
        Ok(sums) => sums,
        Err(error) => {
            return Ok(publication(
                Status::Fail,
                format!("{SUMS} is damaged: {error}"),
            ));
        }
    };
    let about = About {
        tag: entry.tag,
        build: build.id().clone(),
    };
    let signature = files::read_if_there(&at(SIGNATURE))?;
    let verdict = signature.map(|text| sign::check(&list, &text, &about, &settings.trust).cloned());
    let differs = |(name, digest): &(&String, &Sha256)| {
        Sha256::of_file(&at(name)).ok().as_ref() != Some(*digest)
    };
    let others = sums.iter().filter(differs);
    let changed: Vec<String> = others.map(|(name, _)| name.clone()).collect();
    // A boot test made here replaces the published evidence, and is as good.
    let grave = changed.iter().any(|name| !name.starts_with("boot/"));
    let check = match grave {
        true => publication(Status::Fail, "files are not what was published"),
        false => signed(verdict),
    };
    let told = |name: &String| format!("{name} is not the published one");
    Ok(check.because(changed.iter().map(told)))
}

fn publication(status: Status, summary: impl Into<String>) -> Check {
    Check::new("publication", status, summary)
}

fn signed(verdict: Option<Result<TrustedKey, Fault>>) -> Check {
    match verdict {
        None => publication(Status::Unknown, "nobody signed it"),
        Some(Ok(key)) => publication(Status::Ok, format!("signed by {key}")),
        Some(Err(Fault::UnknownKey(id))) => {
            let said = format!("signed by the key {id}, which is not trusted here");
            publication(Status::Unknown, said).hint("--trust KEY, or [trust] keys in the settings")
        }
        Some(Err(Fault::Wrong)) => publication(Status::Fail, "its signature is wrong"),
        Some(Err(Fault::OtherEntry(said))) => {
            let said = format!("its signature is about something else: {said}");
            publication(Status::Fail, said)
        }
        Some(Err(Fault::Unreadable(said))) => publication(Status::Fail, said),
    }
}
