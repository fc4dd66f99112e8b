//! Carries out a boot test: initramfs, accelerator, QEMU under its deadlines, verdict, evidence.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::agent::{self, Event, Orders, Said};
use super::judge::{Ending, Judgement, judge};
use super::plan::{self, Disk, Files, Plan};
use super::{
    Accel, AccelChoice, BootError, BootOptions, BootReport, GuestTools, Phase, SCHEMA, Subject,
    Verdict,
};
use super::{accel, console, initramfs};
use crate::digest::Sha256;
use crate::exec::{ExecError, Output, Runner};
use crate::files::{self, FileError};
use crate::report::{Reporter, Unit};

/// The evidence, in the folder of a test.
pub const REPORT: &str = "report.json";
/// The same as JUnit XML.
pub const JUNIT: &str = "report.junit.xml";
/// The same as a TAP stream.
pub const TAP: &str = "report.tap";
/// Time that the suite gives one scenario; an emulated processor is slow.
const SCENARIO_SECONDS: u64 = 240;

/// What a test is made with.
#[derive(Debug)]
pub struct Stand<'a> {
    /// This program, which becomes the guest's `/init`.
    pub program: PathBuf,
    /// CRIU and its libraries.
    pub tools: &'a GuestTools,
    /// The folder for `report.json`, `console.log` and `agent.jsonl`; made if missing, its files replaced.
    pub out: PathBuf,
    /// Runs QEMU.
    pub runner: &'a dyn Runner,
    /// Hears how it goes.
    pub reporter: &'a Reporter,
}

/// Boots `subject` and says whether it passed. A kernel that failed is in the report; an error means that the test
/// could not be made. Where the kernel came up and only part of the test could be made, the report is on disk all
/// the same.
pub fn test(
    subject: &Subject,
    options: &BootOptions,
    stand: &Stand<'_>,
) -> Result<BootReport, BootError> {
    check_kernel(&subject.kernel)?;
    files::create_dir(&stand.out)?;
    let scratch = tempfile::Builder::new()
        .prefix(".boot-")
        .tempdir_in(&stand.out)
        .map_err(|source| FileError::new("create a folder in", &stand.out, source))?;
    let files = prepare(subject, options, stand, scratch.path())?;
    let (accel, reason) = accel::choose(options, stand.runner, scratch.path())?;
    if let Some(reason) = reason {
        stand
            .reporter
            .note("emulated, since KVM does not work here; --verbose says why");
        stand.reporter.detail(reason);
    }
    let mut run = boot(options, &files, accel, stand)?;
    if options.accel == AccelChoice::Auto
        && accel == Accel::Kvm
        && !run.spoke()
        && run.ending != Ending::Exited
    {
        stand
            .reporter
            .warn("the kernel did not come up under KVM; trying once more with emulation");
        run = boot(options, &files, Accel::Tcg, stand)?;
    }
    let report = run.report(subject)?;
    let text = serde_json::to_string_pretty(&report).unwrap_or_default();
    files::replace(&stand.out.join(REPORT), text)?;
    let cases = report.cases();
    files::replace(&stand.out.join(JUNIT), cases.junit())?;
    files::replace(&stand.out.join(TAP), cases.tap())?;
    match report.verdict {
        Verdict::NotTestable => Err(BootError::Untested(report.untested)),
        Verdict::Passed | Verdict::Failed => Ok(report),
    }
}

/// The report that an earlier test left in `folder`.
pub fn read_report(folder: &Path) -> Result<BootReport, BootError> {
    let path = folder.join(REPORT);
    let text = files::read(&path)?;
    serde_json::from_str(&text).map_err(|error| {
        let source = std::io::Error::new(std::io::ErrorKind::InvalidData, error);
        FileError::new("understand", &path, source).into()
    })
}

/// What would be run, for a dry run; the initramfs does not exist yet.
pub fn plan(subject: &Subject, options: &BootOptions, out: &Path) -> Result<Plan, BootError> {
    let files = Files {
        kernel: subject.kernel.clone(),
        initramfs: out.join("initramfs"),
        modules: subject.modules.as_deref().map(disk).transpose()?,
        out: out.to_owned(),
    };
    let accel = if options.accel == AccelChoice::Kvm {
        Accel::Kvm
    } else {
        Accel::Tcg
    };
    Ok(Plan::new(options, &files, accel))
}

fn prepare(
    subject: &Subject,
    options: &BootOptions,
    stand: &Stand<'_>,
    scratch: &Path,
) -> Result<Files, BootError> {
    let config = files::read(&subject.config)?;
    let carried = config.lines().any(|line| line == "CONFIG_IKCONFIG_PROC=y");
    let orders = Orders {
        release: subject.release.clone(),
        config: carried.then(|| Sha256::of(&config)),
        modules: subject.modules.is_some(),
        scenarios: options.scenarios.clone(),
        cycles: options.cycles,
        tamper: options.tamper,
        parallel: usize::try_from(options.cpus).unwrap_or(1),
        scenario_seconds: SCENARIO_SECONDS,
    };
    let path = scratch.join("initramfs");
    let size = initramfs::write(&stand.program, stand.tools, &orders, &path)?;
    stand
        .reporter
        .detail(format!("initramfs of {} KiB", size / 1024));
    let absolute =
        |path: &Path| fs::canonicalize(path).map_err(|source| FileError::new("find", path, source));
    Ok(Files {
        kernel: absolute(&subject.kernel)?,
        initramfs: absolute(&path)?,
        modules: subject
            .modules
            .as_deref()
            .map(|path| disk(&absolute(path)?))
            .transpose()?,
        out: absolute(&stand.out)?,
    })
}

fn check_kernel(kernel: &Path) -> Result<(), BootError> {
    let head = part(kernel, SeekFrom::Start(0), 1024)?;
    match plan::no_bzimage(&head) {
        None => Ok(()),
        Some(reason) => Err(BootError::NotAKernel {
            path: kernel.to_owned(),
            reason,
        }),
    }
}

fn disk(path: &Path) -> Result<Disk, BootError> {
    let size = fs::metadata(path)
        .map_err(|source| FileError::new("read", path, source))?
        .len();
    let head = part(path, SeekFrom::Start(0), 512)?;
    let tail = part(path, SeekFrom::Start(size.saturating_sub(512)), 512)?;
    Ok(Disk {
        path: path.to_owned(),
        format: plan::disk_format(&head, &tail),
    })
}

fn part(path: &Path, from: SeekFrom, size: u64) -> Result<Vec<u8>, FileError> {
    let read = || {
        let mut file = File::open(path)?;
        file.seek(from)?;
        let mut bytes = Vec::new();
        file.take(size).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|source| FileError::new("read", path, source))
}

/// One run of QEMU and all that was seen of it.
struct Run {
    accel: Accel,
    ending: Ending,
    console: console::Reading,
    said: Vec<Said>,
    seconds: f64,
    userspace_seconds: Option<f64>,
}

fn boot(
    options: &BootOptions,
    files: &Files,
    accel: Accel,
    stand: &Stand<'_>,
) -> Result<Run, BootError> {
    let plan = Plan::new(options, files, accel);
    for name in [plan::CONSOLE, plan::AGENT] {
        // QEMU replaces them, too, but an older file must not speak for a QEMU that never started.
        files::replace(&files.out.join(name), "")?;
    }
    stand.reporter.detail(plan.cmd.to_string());
    let mut live = Live::new(stand.reporter);
    let answer = stand
        .runner
        .run_with(&plan.cmd, &mut |line| live.line(line));
    let seconds = live.started.elapsed().as_secs_f64();
    let userspace_seconds = live.userspace;
    drop(live);
    let ending = ending(answer)?;
    let read = |name| {
        fs::read(files.out.join(name))
            .map_err(|source| FileError::new("read", &files.out.join(name), source))
    };
    let console_text = String::from_utf8_lossy(&read(plan::CONSOLE)?).into_owned();
    let mut said = agent::parse(&String::from_utf8_lossy(&read(plan::AGENT)?));
    if said.is_empty() {
        // A kernel without a second serial port: the agent spoke on the console.
        said = agent::parse(&console_text);
    }
    Ok(Run {
        accel,
        ending,
        console: console::read(&console_text),
        said,
        seconds,
        userspace_seconds,
    })
}

/// How QEMU ended; an end that is QEMU's own fault is an error.
fn ending(answer: Result<Output, ExecError>) -> Result<Ending, BootError> {
    match answer {
        Ok(output) if output.status == Some(0) => Ok(Ending::Exited),
        Ok(output) => {
            let ours = |line: &&str| line.starts_with("qemu") || line.contains("qemu-system");
            let words: Vec<&str> = output.stderr.lines().filter(ours).collect();
            let words = if words.is_empty() {
                String::new()
            } else {
                format!(": {}", words.join("; "))
            };
            Err(BootError::Qemu(format!("{}{words}", output.ending())))
        }
        Err(ExecError::TimedOut { .. }) => Ok(Ending::OutOfTime),
        Err(ExecError::Silent { .. }) => Ok(Ending::Silent),
        Err(ExecError::NotFound { program }) => Err(BootError::NoQemu(program)),
        Err(e) => Err(e.into()),
    }
}

/// Follows the console while it grows.
struct Live<'a> {
    reporter: &'a Reporter,
    task: crate::report::Task,
    started: Instant,
    userspace: Option<f64>,
}

impl<'a> Live<'a> {
    fn new(reporter: &'a Reporter) -> Self {
        let task = reporter.task("booting and testing", Unit::Steps, None);
        Self {
            reporter,
            task,
            started: Instant::now(),
            userspace: None,
        }
    }

    fn line(&mut self, line: &str) {
        let Some((_, words)) = line.split_once(console::AGENT_MARK) else {
            return;
        };
        let words = words.trim_end();
        if self.userspace.is_none() {
            self.userspace = Some(self.started.elapsed().as_secs_f64());
        }
        self.task.advance_to(1, words);
        self.reporter.detail(format!("guest: {words}"));
    }
}

impl Run {
    fn spoke(&self) -> bool {
        !self.said.is_empty()
    }

    fn report(self, subject: &Subject) -> Result<BootReport, BootError> {
        let Judgement {
            verdict,
            failures,
            untested,
            warnings,
        } = judge(&self.said, &self.console, self.ending);
        let phases = self.phases();
        let mut report = BootReport {
            schema: SCHEMA,
            verdict,
            failures,
            untested,
            warnings,
            accel: self.accel,
            kernel: Sha256::of_file(&subject.kernel)?,
            modules_disk: subject
                .modules
                .as_deref()
                .map(Sha256::of_file)
                .transpose()?,
            kernel_release: None,
            config_matches: None,
            modules: None,
            smoke: None,
            seconds: milliseconds(self.seconds),
            userspace_seconds: self.userspace_seconds.map(milliseconds),
            phases,
        };
        for said in self.said {
            match said.what {
                Event::Started { release, .. } => report.kernel_release = Some(release),
                Event::Config { matches } => report.config_matches = Some(matches),
                Event::Modules { report: modules } => report.modules = Some(modules),
                Event::Smoke { report: smoke } => report.smoke = Some(smoke),
                _ => {}
            }
        }
        Ok(report)
    }

    /// Where the time went: the host's clock up to userspace and after the end, the guest's in between.
    fn phases(&self) -> Vec<Phase> {
        let phase = |name: &str, seconds: f64| Phase {
            name: name.to_owned(),
            seconds: milliseconds(seconds),
        };
        let marks: Vec<(&str, f64)> = self.said.iter().filter_map(mark).collect();
        let mut phases: Vec<Phase> = self
            .userspace_seconds
            .map(|seconds| phase("kernel", seconds))
            .into_iter()
            .collect();
        phases.extend(
            marks
                .windows(2)
                .map(|pair| phase(pair[0].0, pair[1].1 - pair[0].1)),
        );
        let spent: f64 = phases.iter().map(|phase| phase.seconds).sum();
        phases.push(phase("end", (self.seconds - spent).max(0.0)));
        phases
    }
}

/// Seconds as people want to read them.
fn milliseconds(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// The start of a phase; "end" is added from the host's clock.
fn mark(said: &Said) -> Option<(&str, f64)> {
    match &said.what {
        Event::Phase { name } => Some((name, said.at)),
        _ => None,
    }
}
