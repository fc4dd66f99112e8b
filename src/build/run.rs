//! Compiles a kernel as planned.
//!
//! In: a [`BuildPlan`] and a [`Builder`]. Out: [`Compiled`]. The build tree stays whatever happens,
//! so that the next run goes on from it; products are only named after make ended well.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::digest::Sha256;
use crate::files::{self, FileError};
use crate::report::Reporter;

use super::ccache_log::Call;
use super::failure::{Cause, Clues};
use super::help::Help;
use super::plan::{BuildPlan, PHASE_MARK, RELEASE_MARK, image_path};
use super::progress::Progress;
use super::trace::{Recorder, Trace};
use super::underway::Underway;
use super::{
    BuildError, Builder, CacheStats, CompilerCache, HostStats, Shelves, Taken, cache_record,
    ccache_log, objects, turned, units,
};

/// What a compilation leaves, all of it below the plan's work folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Compiled {
    /// The kernel image.
    pub bzimage: PathBuf,
    /// The kernel's symbols.
    pub system_map: PathBuf,
    /// The configuration, the same as the plan's.
    pub config: PathBuf,
    /// The staged modules, `…/lib/modules/<release>`; `None` for a kernel without module support.
    pub modules_dir: Option<PathBuf>,
    /// The release string as the tree's own makefile tells it.
    pub release: String,
    /// Everything make said.
    pub log: PathBuf,
    /// What it took.
    pub stats: Stats,
    /// What make did meanwhile.
    pub trace: Trace,
}

/// What a compilation took.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Object files made in this run.
    pub units: u64,
    /// Object files that were there already.
    pub kept: u64,
    /// Seconds in all.
    pub seconds: f64,
    /// How the compiler cache did; `None` where there is none.
    pub cache: Option<CacheStats>,
    /// What became of each machine that compiled for this one.
    pub hosts: Vec<HostStats>,
    /// Where the whole kernel was; then nothing was compiled.
    pub taken: Option<Taken>,
}

/// Compiles, installs the modules into a staging folder and asks for the release string.
///
/// Goes on from what an earlier run of the same work folder left. Objects are taken from the `shelves` and left there
/// if the plan has a compiler cache. Errors: [`BuildError::Compile`]
/// with the compiler's words, or what else stopped it; then nothing is named as a product.
pub fn run(
    plan: &BuildPlan,
    builder: &Builder,
    shelves: &Arc<Shelves>,
    reporter: &Reporter,
) -> Result<Compiled, BuildError> {
    let started = Instant::now();
    let (underway, kept) = reporter.timed("preparation", || begin(plan, reporter))?;
    let help = Help::open(plan, builder, shelves, reporter)?;
    let job = help.job(plan, builder);
    reporter.detail(builder.reproduce(&plan.again(builder, None)));
    let there = kept.len() as u64;
    let mut listener = Listener::new(plan, reporter, kept)?;
    let ended = builder.job_with(&job, &mut |line| {
        listener.take(line);
        shelves.tell(reporter);
    });
    shelves.tell(reporter);
    let heard = listener.finish();
    let output = ended.map_err(|error| with_log(error, plan))?;
    if output.status != Some(0) {
        let cause = heard.clues.cause(output.status);
        // A make below may have been killed alone, and what it had started wrote on.
        if matches!(cause, Cause::Errors { .. } | Cause::NoTool { .. }) {
            underway.settle(output.status)?;
        }
        return Err(judge(plan, builder, cause));
    }
    underway.settle(output.status)?;
    let calls = calls(plan);
    let trace = heard.recorder.finish(plan, there, &calls);
    let cache = reporter.timed("reasons of misses", || {
        remember_units(plan, &plan.config);
        let told = |cache| cache_stats(plan, cache, &calls, &heard.release);
        plan.ccache.as_ref().map(told)
    });
    let stats = Stats {
        units: heard.units,
        kept: there,
        seconds: started.elapsed().as_secs_f64(),
        cache,
        hosts: help.hosts(),
        taken: None,
    };
    collect(plan, &heard.release, stats, trace)
}

/// What make finds: a tree that it may go on from, and which object files are there already.
fn begin(plan: &BuildPlan, reporter: &Reporter) -> Result<(Underway, HashSet<String>), BuildError> {
    let (underway, removed) = Underway::begin(&plan.work, &plan.tree())?;
    if removed > 0 {
        reporter.note(format!(
            "an earlier run was cut off; the {removed} files that it wrote last are made again"
        ));
    }
    prepare(plan)?;
    let turned = turned::spare(plan)?;
    if turned.options > 0 {
        reporter.detail(turned.to_string());
    }
    let kept = objects::units(&plan.tree())?;
    if !kept.is_empty() {
        reporter.note(format!(
            "going on from {} object files of an earlier run",
            kept.len()
        ));
    }
    Ok((underway, kept))
}

/// Folders, an empty staging folder, and the configuration; an unchanged one keeps its time, or make
/// would do its work again.
fn prepare(plan: &BuildPlan) -> Result<(), BuildError> {
    files::create_dir(&plan.tree())?;
    files::remove_dir(&plan.staged())?;
    files::create_dir(&plan.staged())?;
    if let Some(ccache) = &plan.ccache {
        files::create_dir(&ccache.folder)?;
    }
    // The job makes a new one: it could not write to a file of ours.
    files::remove_if_there(&plan.tree().join(ccache_log::FILE))?;
    let path = plan.tree().join(".config");
    let before = files::read_if_there(&path)?;
    if before.as_deref() != Some(&plan.config) {
        files::replace(&path, &plan.config)?;
        // Made at the very end, so what packs all headers (IKHEADERS) finds it only where make has been before.
        files::remove_if_there(&plan.tree().join("include/generated/utsversion.h"))?;
        // Also of a build that did not end well.
        if let Some(before) = before {
            remember_units(plan, &before);
        }
    }
    Ok(())
}

/// What the compiler cache was asked, as it told itself. A log that is not there was of a build that compiled nothing.
fn calls(plan: &BuildPlan) -> Vec<Call> {
    // A name of a file that is no text must not cost all the rest.
    let told = fs::read(plan.tree().join(ccache_log::FILE)).unwrap_or_default();
    ccache_log::parse(&String::from_utf8_lossy(&told))
}

/// How the compiler cache did.
fn cache_stats(
    plan: &BuildPlan,
    cache: &CompilerCache,
    calls: &[Call],
    release: &str,
) -> CacheStats {
    CacheStats {
        reasons: cache_record::explain(plan, cache, calls, release),
        ..CacheStats::of(calls)
    }
}

/// What the lines of make told.
struct Heard {
    clues: Clues,
    release: String,
    units: u64,
    recorder: Recorder,
}

/// Hears make: log, progress, clues, and what it did when.
struct Listener {
    log: File,
    recorder: Recorder,
    progress: Progress,
    clues: Clues,
    release: String,
}

impl Listener {
    fn new(
        plan: &BuildPlan,
        reporter: &Reporter,
        kept: HashSet<String>,
    ) -> Result<Self, BuildError> {
        let path = plan.log();
        let log = File::create(&path).map_err(|source| FileError::new("create", &path, source))?;
        // Of another configuration's objects nobody knows how many will do.
        let there = match is_of_another_config(plan) {
            true => HashSet::new(),
            false => kept,
        };
        let progress = Progress::start(reporter, expected(plan), there);
        Ok(Self {
            log,
            recorder: Recorder::start(),
            progress,
            clues: Clues::default(),
            release: String::new(),
        })
    }

    fn take(&mut self, line: &str) {
        // One write a line, so that the log tells the truth also of a hang or a kill. A log that
        // cannot be written must not stop a build; a disk full for it is full for make too.
        let _unwritten = self.log.write_all(format!("{line}\n").as_bytes());
        self.recorder.take(line);
        if let Some(release) = line.strip_prefix(RELEASE_MARK) {
            release.trim().clone_into(&mut self.release);
        } else if !line.starts_with(PHASE_MARK) && !self.progress.take(line) {
            self.clues.take(line);
        }
    }

    fn finish(mut self) -> Heard {
        self.recorder.stop();
        Heard {
            clues: self.clues,
            release: self.release,
            units: self.progress.finish(),
            recorder: self.recorder,
        }
    }
}

/// About how many object files there will be: as many as last time, or what the makefiles list.
fn expected(plan: &BuildPlan) -> u64 {
    let known = files::read_if_there(&record(plan)).ok().flatten();
    let same_config = known.and_then(|text| {
        let (config, units) = text.trim().split_once(' ')?;
        (config == plan.config_digest().to_string()).then(|| units.parse().ok())?
    });
    same_config.unwrap_or_else(|| units::estimate(&plan.source, &plan.config, plan.arch))
}

/// Whether the objects that lie there are those of another configuration.
fn is_of_another_config(plan: &BuildPlan) -> bool {
    let known = files::read_if_there(&record(plan)).ok().flatten();
    known.is_some_and(|text| !text.starts_with(&plan.config_digest().to_string()))
}

/// Keeps the number of object files, and whose they are, for the next run. Losing it costs an estimate, no more.
fn remember_units(plan: &BuildPlan, config: &str) {
    let (digest, units) = (
        Sha256::of(config),
        objects::units(&plan.tree()).map_or(0, |units| units.len()),
    );
    let _lost = files::replace(&record(plan), format!("{digest} {units}\n"));
}

fn record(plan: &BuildPlan) -> PathBuf {
    plan.work.join("units")
}

fn with_log(error: BuildError, plan: &BuildPlan) -> BuildError {
    match error {
        BuildError::Silent { label, limit, .. } => BuildError::Silent {
            label,
            limit,
            log: Some(plan.log()),
        },
        other => other,
    }
}

/// Says why make failed.
fn judge(plan: &BuildPlan, builder: &Builder, cause: Cause) -> BuildError {
    match cause {
        Cause::DiskFull => BuildError::DiskFull {
            path: full_disk(plan),
        },
        Cause::OutOfMemory { victim } => BuildError::OutOfMemory {
            victim,
            log: plan.log(),
        },
        Cause::Killed => BuildError::Killed {
            label: "make".to_owned(),
            log: plan.log(),
        },
        Cause::NoTool { said } => BuildError::NoTool {
            label: "make".to_owned(),
            said,
        },
        Cause::Errors { lines, target } => {
            // Only an object can be asked for by its own name.
            let object = target.filter(|target| target.ends_with(".o") && !target.starts_with('/'));
            let reproduce = builder.reproduce(&plan.again(builder, object.as_deref()));
            BuildError::Compile {
                errors: lines,
                log: plan.log(),
                reproduce,
            }
        }
    }
}

/// Which disk is full: the one of the build, else the job's own `/tmp`.
fn full_disk(plan: &BuildPlan) -> PathBuf {
    const LITTLE: u64 = 64 << 20;
    let has_room =
        rustix::fs::statvfs(&plan.work).is_ok_and(|disk| disk.f_bavail * disk.f_frsize > LITTLE);
    if has_room {
        PathBuf::from("/tmp")
    } else {
        plan.work.clone()
    }
}

/// Names the products.
fn collect(
    plan: &BuildPlan,
    release: &str,
    stats: Stats,
    trace: Trace,
) -> Result<Compiled, BuildError> {
    let tree = plan.tree();
    let modules_dir = plan
        .has_modules()
        .then(|| plan.staged().join("lib/modules").join(release));
    let compiled = Compiled {
        bzimage: image_path(&tree, plan.arch),
        system_map: tree.join("System.map"),
        config: tree.join(".config"),
        modules_dir,
        release: release.to_owned(),
        log: plan.log(),
        stats,
        trace,
    };
    checked(plan, compiled)
}

/// Products that are there, and of the planned configuration.
pub(super) fn checked(plan: &BuildPlan, compiled: Compiled) -> Result<Compiled, BuildError> {
    let changed = first_difference(&plan.config, &files::read(&compiled.config)?);
    if let Some(line) = changed {
        return Err(BuildError::ConfigChanged { line });
    }
    let index = compiled
        .modules_dir
        .as_ref()
        .map(|folder| folder.join("modules.dep"));
    let products = [
        Some(&compiled.bzimage),
        Some(&compiled.system_map),
        index.as_ref(),
    ];
    let missing = products
        .into_iter()
        .flatten()
        .find(|path| !path.exists())
        .cloned();
    missing.map_or(Ok(compiled), |path| Err(BuildError::NoProduct { path }))
}

/// The first setting of one configuration that the other has not, either way.
fn first_difference(planned: &str, built: &str) -> Option<String> {
    let settings = |text: &str| -> std::collections::BTreeSet<String> {
        let is_setting = |line: &&str| line.starts_with("CONFIG_") || line.starts_with("# CONFIG_");
        text.lines().filter(is_setting).map(str::to_owned).collect()
    };
    settings(planned)
        .symmetric_difference(&settings(built))
        .next()
        .cloned()
}

/// Removes what a work folder holds, to build from nothing.
pub fn forget(work: &Path) -> Result<(), BuildError> {
    Ok(files::remove_dir(work)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_of_another_configuration_are_known_also_after_a_failure() {
        let folder = tempfile::tempdir().expect("a folder");
        let plan = |config: &str| BuildPlan {
            config: config.to_owned(),
            ..BuildPlan::example(folder.path().to_owned())
        };
        let (first, second) = (plan("CONFIG_A=y\n"), plan("CONFIG_A=m\n"));
        let are_others = |plan: &BuildPlan| {
            prepare(plan).expect("prepared");
            is_of_another_config(plan)
        };
        assert!(!are_others(&first) && !are_others(&first), "its own");
        assert!(are_others(&second) && are_others(&second), "until it ends");
        remember_units(&second, &second.config);
        assert!(!are_others(&second));
        assert!(are_others(&first));
    }
}
