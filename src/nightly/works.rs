//! The line that works: each stage of a night's job is the pipeline's.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use super::books::Books;
use super::ledger::{Blame, DriftFacts, Entry, Failure, Row, Stage};
use super::line::{Booted, Job, Line, Made};
use crate::artefact::{self, Build, BuildId, BuildRef};
use crate::boot::{self, BootReport};
use crate::digest::Sha256;
use crate::error::Error;
use crate::exit::Exit;
use crate::files::{self, FileError};
use crate::kconfig::Profiles;
use crate::kconfig::drift::{Change, Kind};
use crate::pipeline::drift::{Drifted, Version};
use crate::pipeline::publication::{self, Wish};
use crate::pipeline::{self, Context, Controlled, Extras};
use crate::publish::Outlet;
use crate::report::Lines;
use crate::settings::Settings;
use crate::smoke::{self, ScenarioReport, Verdict};
use crate::source::{RemoteTag, Tag, TagQuery};

/// A line of the real stages.
#[derive(Debug)]
pub struct Works<'a> {
    /// What every stage works with.
    pub context: &'a Context,
    /// What the stages are to do.
    pub settings: &'a Settings,
    /// Where logs and reports go.
    pub books: &'a Books,
    /// The key that signs what is published, and its password if it is locked.
    pub sign_key: Option<(PathBuf, Option<String>)>,
}

/// One tag on its way.
#[derive(Debug)]
struct Task<'a> {
    context: Context,
    books: &'a Books,
    sign_key: Option<&'a (PathBuf, Option<String>)>,
    settings: &'a Settings,
    tag: Tag,
}

impl Line for Works<'_> {
    fn tags(&self) -> Result<Vec<RemoteTag>, Error> {
        pipeline::tags(self.context, self.settings, None)
    }

    fn judged_by(&self) -> Result<String, Error> {
        let mut rules = vec![
            env!("CARGO_PKG_VERSION").to_owned(),
            self.settings.profile.clone(),
            format!(
                "{:?} {:?}",
                self.settings.base, self.settings.nightly.control
            ),
            self.settings.boot.cycles.to_string(),
        ];
        let profiles = Profiles::embedded();
        let profile = profiles.profile(&self.settings.profile)?;
        let fragments = profiles.fragments(profile)?;
        rules.extend(fragments.iter().map(|fragment| fragment.text().to_owned()));
        for path in &self.settings.fragments {
            rules.push(files::read(path)?);
        }
        rules.extend(files::read_if_there(&self.settings.reviews)?);
        rules.extend(smoke::suite::names());
        Ok(Sha256::of(rules.join("\n")).to_string())
    }

    fn begin(&self, tag: Tag, log: &Path) -> Result<Box<dyn Job + '_>, Error> {
        let folder = log.parent().unwrap_or(Path::new("."));
        files::create_dir(folder)?;
        let open = OpenOptions::new().create(true).append(true).open(log);
        let log = open.map_err(|error| FileError::new("write", log, error))?;
        let reporter = self.context.reporter.and(Box::new(Lines::new(log, true)));
        reporter.stage("nightly", tag.to_string());
        Ok(Box::new(Task {
            context: Context {
                reporter,
                ..self.context.clone()
            },
            books: self.books,
            sign_key: self.sign_key.as_ref(),
            settings: self.settings,
            tag,
        }))
    }

    fn stopped(&self) -> bool {
        self.context.interrupt.is_set()
    }
}

impl Task<'_> {
    /// For readers: below the site, in the two forms.
    fn write_drift(&self, drifted: &Drifted) -> Result<(), Error> {
        let Drifted { drift, reviews, .. } = drifted;
        files::replace(&self.books.drift(self.tag, "md"), drift.markdown(reviews))?;
        let json = serde_json::to_string_pretty(drift).unwrap_or_default();
        Ok(files::replace(&self.books.drift(self.tag, "json"), json)?)
    }

    fn want(&self) -> Option<TagQuery> {
        Some(TagQuery::Exact(self.tag))
    }

    fn built(&self) -> Result<Build, Error> {
        let built = pipeline::build(&self.context, self.settings, self.want(), Extras::default())?;
        Ok(built.build)
    }
}

impl Job for Task<'_> {
    fn fetch(&self) -> Result<(), Error> {
        pipeline::fetch(&self.context, self.settings, self.want()).map(|_tree| ())
    }

    fn configure(&self, before: Option<Tag>) -> Result<Option<DriftFacts>, Error> {
        pipeline::configure(&self.context, self.settings, self.want())?;
        let Some(before) = before else {
            return Ok(None);
        };
        let version = |tag| Version::Tag(TagQuery::Exact(tag));
        let sides = [version(before), version(self.tag)];
        let drifted = pipeline::drift::drift(&self.context, self.settings, &sides[0], &sides[1])?;
        self.write_drift(&drifted)?;
        Ok(Some(drift_facts(before, &drifted)))
    }

    fn build(&self) -> Result<Made, Error> {
        let build = self.built()?;
        let manifest = build.manifest();
        let size = |name| manifest.outputs.get(name).map(|output| output.size);
        Ok(Made {
            build: manifest.id.clone(),
            release: manifest.release.clone(),
            kernel_bytes: size(artefact::KERNEL),
            modules_bytes: size(artefact::MODULES_DISK),
        })
    }

    fn boot(&self, build: &BuildId) -> Result<Booted, Error> {
        let name = named(build);
        let Some(control) = &self.settings.nightly.control else {
            let (_, report) = pipeline::boot_report(&self.context, self.settings, &name)?;
            return Ok(alone(&report));
        };
        let both = pipeline::boot_with_control(&self.context, self.settings, &name, control)?;
        Ok(beside(&both))
    }

    fn retry(&self, scenario: &str) -> Result<Verdict, Error> {
        let name = named(&self.built()?.manifest().id);
        let (_, report) = pipeline::boot_report(&self.context, self.settings, &name)?;
        let scenarios = report.smoke.iter().flat_map(|smoke| &smoke.scenarios);
        let found = scenarios.into_iter().find(|found| found.name == scenario);
        Ok(found.map_or(Verdict::NotTestable, |found| found.verdict))
    }

    fn publish(&self, entry: &Entry) -> Result<String, Error> {
        let build = match &entry.judged.build {
            Some(build) => build.clone(),
            None => self.built()?.manifest().id.clone(),
        };
        let outlet = Outlet::new(self.books.site());
        // What is published stays as it is, also where somebody wanted its tag judged afresh.
        if let Some(published) = outlet.find(&self.tag, &build)? {
            return Ok(published.path());
        }
        let drift = ["md", "json"].map(|form| self.books.drift(self.tag, form));
        let wish = Wish {
            build: named(&build),
            to: self.books.site().to_owned(),
            key: self.sign_key.cloned(),
            documents: drift.into_iter().filter(|path| path.exists()).collect(),
            control: entry.judged.control.as_ref().map(named),
        };
        let published = publication::publish(&self.context, self.settings, wish)?;
        Ok(published.entry.path())
    }
}

fn drift_facts(since: Tag, drifted: &Drifted) -> DriftFacts {
    let Drifted { drift, reviews, .. } = drifted;
    let change = |change: &&Change| {
        let (symbol, from, to) = (change.known_as(), &change.from, &change.to);
        format!("{symbol}: {from} -> {to}")
    };
    let changed = [Kind::Renamed, Kind::Type, Kind::Module, Kind::Value];
    DriftFacts {
        since,
        new: drift.count(Kind::New),
        gone: drift.count(Kind::Gone),
        changed: changed.into_iter().map(|kind| drift.count(kind)).sum(),
        unreviewed: drift.unreviewed(reviews).iter().map(change).collect(),
    }
}

fn named(build: &BuildId) -> BuildRef {
    BuildRef::Prefix(build.to_string())
}

fn alone(report: &BootReport) -> Booted {
    let row = |found: &ScenarioReport| Row {
        name: found.name.clone(),
        verdict: found.verdict,
        control: None,
        reason: found.reason.clone(),
    };
    let scenarios = report.smoke.iter().flat_map(|smoke| &smoke.scenarios);
    Booted {
        failure: failure(report),
        control: None,
        scenarios: scenarios.map(row).collect(),
        conclusion: None,
    }
}

fn beside(both: &Controlled) -> Booted {
    let row = |found: &smoke::Compared| Row {
        name: found.name.clone(),
        verdict: found.verdict,
        control: Some(found.control),
        reason: found.reason.clone(),
    };
    Booted {
        failure: failure(&both.report),
        control: Some(both.control.manifest().id.clone()),
        scenarios: both.comparison.rows.iter().map(row).collect(),
        conclusion: Some(both.comparison.conclusion.clone()),
    }
}

/// Why it is not a pass. What could not be tried says nothing about the kernel.
fn failure(report: &BootReport) -> Option<Failure> {
    let (blame, code, reason) = match report.verdict {
        boot::Verdict::Passed => return None,
        boot::Verdict::Failed => (
            Blame::Kernel,
            Exit::KernelFailed,
            report.reasons().join("; "),
        ),
        boot::Verdict::NotTestable => {
            (Blame::Harness, Exit::CannotTest, report.untested.join("; "))
        }
    };
    Some(Failure {
        blame,
        stage: Stage::Booted,
        code: code as u8,
        reason,
        hint: Some(report.hint()),
    })
}
