//! The order of the stages, and nothing else: the one place that hands each stage the product of the
//! one before it.
//!
//! In: [`Settings`] and what is wanted. Out: the product of the last stage asked for. Must not do the
//! work of a stage, and must not draw.

mod control;
mod doors;
pub mod drift;
mod inputs;
mod outlook;
mod prepared;
pub mod probe;
pub mod publication;
pub mod running;
mod tampered;
mod timing;
pub mod trial;
pub mod verify;
pub mod windows;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::control::{Controlled, boot_report, boot_with_control};
use self::doors::GuestToolsDoor;
pub use self::outlook::{Goal, Step, outlook};
use self::prepared::Prepared;
pub use self::tampered::boot_tampered;
use self::timing::Timing;
use crate::artefact::{Build, BuildRef, Store};
use crate::boot::{self, BootReport, GuestTools, Stand, Subject};
use crate::build::{Builder, Engine, Image};
use crate::error::Error;
use crate::exec::Runner;
use crate::files::{Lock, LockError};
use crate::home::Home;
use crate::kconfig::{Arch, Card, KernelConfig, NotAnArch, Symbol};
use crate::process::{self, Interrupt};
use crate::report::Reporter;
use crate::settings::Settings;
use crate::source::{
    self, FetchRequest, Patience, RemoteTag, Series, SourceTree, Sources, TagQuery,
};
use crate::timings::{self, Written};

/// What every stage works with.
#[derive(Debug, Clone)]
pub struct Context {
    /// Where everything lives.
    pub home: Home,
    /// Who is told.
    pub reporter: Reporter,
    /// What runs programs.
    pub runner: Arc<dyn Runner>,
    /// Whether to stop.
    pub interrupt: Interrupt,
    /// This very program, which the guest of a boot test runs too.
    pub program: PathBuf,
}

impl Context {
    /// The lock of the home; another command is waited for a few seconds.
    fn lock(&self) -> Result<Lock, LockError> {
        Lock::wait(&self.home.lock(), &|| self.waits())
    }

    /// The same, and that of the cache, for who works there too.
    fn locks(&self) -> Result<[Lock; 2], LockError> {
        let cache = || Lock::wait(&self.home.cache_lock(), &|| self.waits());
        Ok([self.lock()?, cache()?])
    }

    fn waits(&self) {
        self.reporter
            .note("another wslk is at work: waiting a few seconds for it");
    }
}

/// A source tree and its audited configuration.
#[derive(Debug)]
pub struct Configured {
    /// The tree, as fetched.
    pub tree: SourceTree,
    /// The configuration and its audit.
    pub config: KernelConfig,
}

/// What came of a build.
#[derive(Debug)]
pub struct Built {
    /// The finished build.
    pub build: Build,
    /// Whether anything had to be built.
    pub fresh: bool,
    /// The evidence of its boot test, unless none was wanted.
    pub report: Option<BootReport>,
    /// Where its time went, if that was wanted and there was anything to time.
    pub timings: Option<Written>,
}

/// What a build comes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extras {
    /// Its boot test.
    pub boot: bool,
    /// Where its time went.
    pub timings: bool,
}

/// The tags of the upstream, newest first.
pub fn tags(
    context: &Context,
    settings: &Settings,
    series: Option<&Series>,
) -> Result<Vec<RemoteTag>, Error> {
    let mut tags = source::list_tags(&settings.upstream, &context.interrupt)?;
    tags.retain(|tag| series.is_none_or(|series| tag.tag.series() == *series));
    Ok(tags)
}

/// The source tree: fetched, checked, pinned.
pub fn fetch(
    context: &Context,
    settings: &Settings,
    want: Option<TagQuery>,
) -> Result<SourceTree, Error> {
    let _locks = context.locks()?;
    fetch_locked(context, settings, want)
}

/// The final configuration of a tree, and its audit.
pub fn configure(
    context: &Context,
    settings: &Settings,
    want: Option<TagQuery>,
) -> Result<Configured, Error> {
    let _locks = context.locks()?;
    let prepared = Prepared::new(context, settings, want)?;
    let config = prepared.configure(context, settings)?;
    Ok(Configured {
        tree: prepared.tree,
        config,
    })
}

/// What an option is under the final configuration, and why.
pub fn explain(
    context: &Context,
    settings: &Settings,
    want: Option<TagQuery>,
    symbol: &Symbol,
) -> Result<Card, Error> {
    let _locks = context.locks()?;
    Prepared::new(context, settings, want)?.explain(context, settings, symbol)
}

/// A finished, boot-tested build of what is wanted; made only as far as it is not there yet.
///
/// # Errors
/// [`Error::KernelFailed`] when the kernel fails its boot test; the build is kept, and stays unproven.
pub fn build(
    context: &Context,
    settings: &Settings,
    want: Option<TagQuery>,
    extras: Extras,
) -> Result<Built, Error> {
    let _locks = context.locks()?;
    let timing = extras.timings.then(Timing::start);
    let watched = timing.as_ref().map(|timing| timing.watched(context));
    let context = watched.as_ref().unwrap_or(context);
    let prepared = Prepared::new(context, settings, want)?;
    let store = Store::new(&context.home);
    let (build, trace) = match prepared.known(context, &store)? {
        Some(build) => (build, None),
        None => {
            let made = prepared.make(context, settings, &store)?;
            (made.build, Some(made.trace))
        }
    };
    let report = extras
        .boot
        .then(|| proof(context, settings, &prepared.builder, &build))
        .transpose();
    // Also where the boot test failed: the build is there.
    let timings = timing.and_then(|timing| timing.write(context, &build, trace.as_ref()));
    Ok(Built {
        fresh: trace.is_some(),
        build,
        report: report?,
        timings,
    })
}

/// Boot-tests a finished build again.
pub fn boot(
    context: &Context,
    settings: &Settings,
    name: &BuildRef,
) -> Result<(Build, BootReport), Error> {
    let _locks = context.locks()?;
    let build = Store::new(&context.home).find(name)?;
    let builder = builder(context, settings)?;
    let report = boot_test(context, settings, &builder, &build)?;
    Ok((build, report))
}

fn fetch_locked(
    context: &Context,
    settings: &Settings,
    want: Option<TagQuery>,
) -> Result<SourceTree, Error> {
    let request = request(settings, want);
    let sources = sources(context, settings);
    let fetched = || source::fetch(&request, &sources);
    Ok(context.reporter.timed("fetch", fetched)?)
}

fn request(settings: &Settings, want: Option<TagQuery>) -> FetchRequest {
    FetchRequest {
        upstream: settings.upstream.clone(),
        want,
        transport: settings.transport,
        offline: settings.offline,
        refresh: false,
    }
}

fn sources<'a>(context: &'a Context, settings: &Settings) -> Sources<'a> {
    Sources {
        home: &context.home,
        lock_file: settings.lock_file.clone(),
        reporter: context.reporter.clone(),
        interrupt: context.interrupt.clone(),
        patience: Patience::default(),
    }
}

fn engine(context: &Context, settings: &Settings) -> Result<Engine, Error> {
    Ok(Engine::find(
        settings.engine,
        Arc::clone(&context.runner),
        &context.reporter,
    )?)
}

fn builder(context: &Context, settings: &Settings) -> Result<Builder, Error> {
    context.reporter.timed("builder", || {
        let engine = engine(context, settings)?;
        let image = Image::ensure(&engine, &context.reporter)?;
        Ok(Builder::new(engine, image, settings.limits, &context.home))
    })
}

/// The architecture that kernels are built for: this machine's.
fn host_arch() -> Result<Arch, Error> {
    process::ARCH
        .parse()
        .map_err(|error: NotAnArch| Error::Architecture(error.to_string()))
}

/// The evidence that there is, if it is about these very bytes and good; else that of a new test.
fn proof(
    context: &Context,
    settings: &Settings,
    builder: &Builder,
    build: &Build,
) -> Result<BootReport, Error> {
    if build.is_proven()? {
        return Ok(boot::read_report(&build.boot_folder())?);
    }
    boot_test(context, settings, builder, build)
}

fn boot_test(
    context: &Context,
    settings: &Settings,
    builder: &Builder,
    build: &Build,
) -> Result<BootReport, Error> {
    let report = boot_test_of(context, settings, builder, build)?;
    if report.passed() {
        Ok(report)
    } else {
        Err(Error::KernelFailed(Box::new(report)))
    }
}

/// The boot test's report, whatever the verdict.
fn boot_test_of(
    context: &Context,
    settings: &Settings,
    builder: &Builder,
    build: &Build,
) -> Result<BootReport, Error> {
    boot_test_into(&build.boot_folder(), context, settings, builder, build)
}

/// The same, with the evidence in a folder that is not the build's own.
fn boot_test_into(
    out: &Path,
    context: &Context,
    settings: &Settings,
    builder: &Builder,
    build: &Build,
) -> Result<BootReport, Error> {
    context
        .reporter
        .stage("boot", build.manifest().release.clone());
    context.reporter.timed(timings::BOOT_TEST, || {
        boot_tested(out, context, settings, builder, build)
    })
}

fn boot_tested(
    out: &Path,
    context: &Context,
    settings: &Settings,
    builder: &Builder,
    build: &Build,
) -> Result<BootReport, Error> {
    build.verify()?;
    builder.remove_leftovers(&context.reporter)?;
    let tools = GuestTools::from(
        &GuestToolsDoor(builder),
        &context.home.guest_tools(),
        &context.reporter,
    )?;
    let subject = subject(build);
    let stand = Stand {
        program: context.program.clone(),
        tools: &tools,
        out: out.to_owned(),
        runner: context.runner.as_ref(),
        reporter: &context.reporter,
    };
    Ok(boot::test(&subject, &settings.boot, &stand)?)
}

fn subject(build: &Build) -> Subject {
    Subject {
        kernel: build.kernel(),
        config: build.config(),
        modules: build.modules_disk(),
        release: build.manifest().release.clone(),
    }
}
