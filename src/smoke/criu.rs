//! CRIU's command line: dump, restore, version, single features.
//!
//! In: a process and a folder for images. Out: success, or what CRIU itself gave as the reason. Must
//! not judge: an exit status of 0 says only that CRIU is content. Reasons come from the `Error` lines
//! of its log, without times and line numbers, which differ from version to version.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Pid;

use crate::exec::{Cmd, ExecError, Runner};

/// Where CRIU and the iptables that it calls live, whatever `PATH` we were given.
pub(super) const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// CRIU keeps here what it learned about a kernel, keyed to its own build and not to that kernel.
const KERNEL_CACHE: &str = "/run/criu.kdat";
/// Where the daemon of lazy pages listens, in its images' folder.
pub const LAZY_SOCKET: &str = "lazy-pages.socket";
/// At most so many error lines are kept: the first ones are nearest to the cause.
const KEPT_ERRORS: usize = 12;

/// A CRIU program and how to run it.
#[derive(Debug, Clone)]
pub struct Criu<'a> {
    program: PathBuf,
    runner: &'a dyn Runner,
}

/// Which part of a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// `criu pre-dump`
    PreDump,
    /// `criu dump`
    Dump,
    /// `criu lazy-pages`
    LazyPages,
    /// `criu restore`
    Restore,
}

/// One dump or restore.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// Where the images are or will be.
    pub images: &'a Path,
    /// CRIU's log; an absolute path.
    pub log: PathBuf,
    /// Further arguments, such as `--tcp-established`.
    pub extra: &'a [String],
    /// Time for it.
    pub limit: Duration,
    /// What starts CRIU in its stead, and then its own command line: a program with its arguments.
    pub through: Vec<OsString>,
}

/// Why CRIU did not do it.
#[derive(Debug, thiserror::Error)]
pub enum CriuError {
    /// It ran, and refused or failed.
    #[error("criu {step} failed: {}", summary(errors))]
    Failed {
        /// The half of the cycle.
        step: Step,
        /// Its error lines, first cause first.
        errors: Vec<String>,
    },
    /// It could not be run, or did not end in time.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// Its first line was no version.
    #[error("cannot read a version from `{0}`")]
    Version(String),
}

/// What CRIU answers about a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// Offered by this kernel and this build.
    Supported,
    /// Not offered.
    Unsupported,
    /// This CRIU does not know the name.
    Unknown,
}

/// A version of CRIU, such as 4.1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 4 in 4.1.1
    pub major: u32,
    /// 1 in 4.1.1
    pub minor: u32,
    /// The last 1 in 4.1.1; 0 where it is not given.
    pub patch: u32,
}

impl<'a> Criu<'a> {
    /// CRIU by name or path, run through `runner`.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>, runner: &'a dyn Runner) -> Self {
        Self {
            program: program.into(),
            runner,
        }
    }

    /// Which CRIU this is.
    pub fn version(&self) -> Result<Version, CriuError> {
        let output = self.runner.run(&self.cmd().arg("--version"))?;
        let text = output.text();
        parse_version(&text).ok_or_else(|| CriuError::Version(text.trim().to_owned()))
    }

    /// Asks about one feature. Never ask for `--all`: its exit status fails good kernels.
    pub fn feature(&self, name: &str) -> Result<Feature, CriuError> {
        let cmd = self.cmd().args(["check", "--feature", name]);
        let output = self.runner.run_with(&cmd, &mut |_| {})?;
        let said = output.text() + &output.stderr;
        Ok(match output.status {
            Some(0) => Feature::Supported,
            _ if said.contains("Unknown feature") => Feature::Unknown,
            _ => Feature::Unsupported,
        })
    }

    /// Dumps the tree below `root` and kills it.
    pub fn dump(&self, root: Pid, call: &Call<'_>) -> Result<(), CriuError> {
        let tree = root.as_raw_nonzero().to_string();
        self.call(Step::Dump, &["--tree", &tree], call)
    }

    /// Dumps what the tree below `root` has in memory, and lets it go on.
    pub fn pre_dump(&self, root: Pid, call: &Call<'_>) -> Result<(), CriuError> {
        let tree = root.as_raw_nonzero().to_string();
        self.call(Step::PreDump, &["--tree", &tree], call)
    }

    /// Serves memory to a restore until all of it is there. Listens on [`LAZY_SOCKET`].
    pub fn lazy_pages(&self, call: &Call<'_>) -> Result<(), CriuError> {
        self.call(Step::LazyPages, &[], call)
    }

    /// Brings the tree back; it goes on as a child of our subreaper. Returns the number of its first
    /// process, as we see it.
    pub fn restore(&self, call: &Call<'_>) -> Result<Option<Pid>, CriuError> {
        let file = call.log.with_extension("pid");
        let name = file.to_string_lossy();
        // CRIU does not replace a file.
        let _none_there = fs::remove_file(&file);
        let own = ["--restore-detached", "--pidfile", &name];
        self.call(Step::Restore, &own, call)?;
        let number = fs::read_to_string(&file).ok();
        let number = number.and_then(|text| text.trim().parse().ok());
        Ok(number.and_then(Pid::from_raw))
    }

    fn call(&self, step: Step, own: &[&str], call: &Call<'_>) -> Result<(), CriuError> {
        let cmd = match &call.through[..] {
            [] => self.cmd(),
            [program, words @ ..] => system(Cmd::new(program)).args(words).arg(&self.program),
        };
        let cmd = cmd
            .arg(step.verb())
            .args(own)
            .arg("--images-dir")
            .arg(call.images)
            .arg("--log-file")
            .arg(&call.log)
            .arg("-v4")
            .args(call.extra)
            .total(call.limit);
        self.finish(step, &cmd, &call.log)
    }

    /// Lets a container engine do a step. CRIU writes its log where the engine says.
    pub(super) fn by_engine(
        &self,
        step: Step,
        words: &[OsString],
        call: &Call<'_>,
    ) -> Result<(), CriuError> {
        let [program, words @ ..] = words else {
            return Ok(());
        };
        let cmd = system(Cmd::new(program)).args(words).total(call.limit);
        self.finish(step, &cmd, &call.log)
    }

    fn finish(&self, step: Step, cmd: &Cmd, log: &Path) -> Result<(), CriuError> {
        let output = self.runner.run_with(cmd, &mut |_| {})?;
        if output.status == Some(0) {
            return Ok(());
        }
        let log = fs::read(log).unwrap_or_default();
        let mut errors = error_lines(&String::from_utf8_lossy(&log));
        if errors.is_empty() {
            errors = last_words(&output.stderr, &output.ending());
        }
        Err(CriuError::Failed { step, errors })
    }

    fn cmd(&self) -> Cmd {
        system(Cmd::new(&self.program))
    }
}

fn system(cmd: Cmd) -> Cmd {
    cmd.env("PATH", SYSTEM_PATH)
}

/// Whether a program is found where CRIU would look for it.
#[must_use]
pub fn tool_exists(name: &str) -> bool {
    find_tool(name).is_some()
}

/// The path of a program of the system.
#[must_use]
pub fn find_tool(name: &str) -> Option<PathBuf> {
    SYSTEM_PATH
        .split(':')
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists())
}

/// Makes the next CRIU look at the kernel anew. Needed after every change of kernel or modules.
pub fn forget_kernel() -> io::Result<()> {
    match fs::remove_file(KERNEL_CACHE) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The texts of the error lines of a CRIU log, first cause first, each once.
#[must_use]
pub fn error_lines(log: &str) -> Vec<String> {
    let mut errors: Vec<String> = Vec::new();
    for text in log.lines().filter_map(error_text) {
        if errors.len() < KEPT_ERRORS
            && !harmless(text)
            && !errors.iter().any(|known| known == text)
        {
            errors.push(text.to_owned());
        }
    }
    errors
}

/// What stands behind `Error (criu/file.c:123): `.
fn error_text(line: &str) -> Option<&str> {
    let (_, place_and_text) = line.split_once("Error (")?;
    let (_, text) = place_and_text.split_once("): ")?;
    Some(text.trim()).filter(|text| !text.is_empty())
}

/// Seen in runs that succeed: CRIU tries to raise its own limit, looks whether there are tun devices,
/// and goes on without.
fn harmless(text: &str) -> bool {
    [
        "rlimit: Can't setup RLIMIT_NOFILE",
        "tun: Unable to create tun",
    ]
    .iter()
    .any(|known| text.starts_with(known))
}

fn last_words(stderr: &str, ending: &str) -> Vec<String> {
    match stderr
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty())
    {
        Some(line) => vec![line.to_owned()],
        None => vec![format!("{ending} without a word")],
    }
}

fn summary(errors: &[String]) -> &str {
    errors.first().map_or("no reason given", String::as_str)
}

fn parse_version(text: &str) -> Option<Version> {
    let word = text
        .lines()
        .next()?
        .strip_prefix("Version:")?
        .split_whitespace()
        .next()?;
    let numbers = word.split(['-', '+', '~']).next()?;
    let mut parts = numbers.split('.').map(str::parse::<u32>);
    let major = parts.next()?.ok()?;
    let minor = parts.next().unwrap_or(Ok(0)).ok()?;
    let patch = parts.next().unwrap_or(Ok(0)).ok()?;
    Some(Version {
        major,
        minor,
        patch,
    })
}

impl Version {
    /// The version `major.minor.patch`.
    #[must_use]
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        if self.patch > 0 {
            write!(f, ".{}", self.patch)
        } else {
            Ok(())
        }
    }
}

impl Step {
    fn verb(self) -> &'static str {
        match self {
            Self::PreDump => "pre-dump",
            Self::Dump => "dump",
            Self::LazyPages => "lazy-pages",
            Self::Restore => "restore",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.verb())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::{Output, Script};

    const NO_UNIX_DIAG: &str = "\
(00.004200) Will dump/restore TCP connections
(00.021300) Warn  (criu/kerndat.c:1234): something that is missing
(00.052100)    123 fdinfo 3: pos: 0 flags: 2/0x1
(00.052200)    123: Error (criu/sk-queue.c:99): sockets: Sockets (family 1 proto 0) are not collected
(00.052201)    123: Error (criu/sk-queue.c:99): sockets: Sockets (family 1 proto 0) are not collected
(00.052300)    123: Error (criu/cr-dump.c:1): Dump files (pid: 123) failed with -1
(00.060000) Error (criu/cr-dump.c:2): Dumping FAILED.
";

    #[test]
    fn takes_the_reasons_from_a_log() {
        let errors = error_lines(NO_UNIX_DIAG);
        assert_eq!(
            errors,
            [
                "sockets: Sockets (family 1 proto 0) are not collected",
                "Dump files (pid: 123) failed with -1",
                "Dumping FAILED.",
            ]
        );
    }

    #[test]
    fn leaves_out_what_is_harmless_or_no_error() {
        for (log, expected) in [
            ("", &[][..]),
            (
                "(00.1) Error (criu/rlimit.c:20): rlimit: Can't setup RLIMIT_NOFILE for self: x\n",
                &[],
            ),
            (
                "pie: 12: Error (criu/pie/restorer.c:7): nothing mapped\n",
                &["nothing mapped"],
            ),
            ("Error (half a line", &[]),
            ("Error (a.c:1): \n", &[]),
        ] {
            assert_eq!(error_lines(log), expected, "{log}");
        }
    }

    #[test]
    fn reads_versions() {
        for (text, version) in [
            ("Version: 4.2.1\n", Some(Version::new(4, 2, 1))),
            (
                "Version: 4.2\nGitID: v4.2-3-gabc\n",
                Some(Version::new(4, 2, 0)),
            ),
            ("Version: 3.17.1-rc1\n", Some(Version::new(3, 17, 1))),
            ("criu: not found", None),
            ("Version: new", None),
            ("", None),
        ] {
            assert_eq!(parse_version(text), version, "{text}");
        }
        assert!(Version::new(4, 1, 1) < Version::new(4, 2, 0));
        assert_eq!(Version::new(4, 2, 0).to_string(), "4.2");
    }

    #[test]
    fn a_failed_dump_gives_the_reasons_of_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("dump.log");
        fs::write(&log, NO_UNIX_DIAG).unwrap();
        let script = Script::default().expect(
            "dump --tree 7",
            Output {
                status: Some(1),
                ..Output::default()
            },
        );
        let call = Call {
            images: folder.path(),
            log: log.clone(),
            extra: &["--tcp-established".to_owned()],
            limit: Duration::MAX,
            through: Vec::new(),
        };
        let error = Criu::new("criu", &script)
            .dump(Pid::from_raw(7).unwrap(), &call)
            .expect_err("fails");
        assert_eq!(
            error.to_string(),
            "criu dump failed: sockets: Sockets (family 1 proto 0) are not collected"
        );
        assert!(
            script.played()[0].ends_with("-v4 --tcp-established"),
            "{:?}",
            script.played()
        );
    }

    #[test]
    fn tells_an_unknown_feature_from_a_missing_one() {
        let answer = |status, stdout: &str| Output {
            status: Some(status),
            stdout: stdout.into(),
            ..Output::default()
        };
        let script = Script::default()
            .expect("check --feature tun", answer(0, "tun is supported\n"))
            .expect("check --feature mem_dirty_track", answer(1, ""))
            .expect(
                "check --feature flying",
                answer(1, "Unknown feature flying\n"),
            );
        let criu = Criu::new("criu", &script);
        assert_eq!(criu.feature("tun").unwrap(), Feature::Supported);
        assert_eq!(
            criu.feature("mem_dirty_track").unwrap(),
            Feature::Unsupported
        );
        assert_eq!(criu.feature("flying").unwrap(), Feature::Unknown);
    }
}
