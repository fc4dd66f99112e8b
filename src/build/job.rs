//! What is run with the builder image's tools, as plain data.
//!
//! In: a program or a script, and the folders it sees. Out: a [`Job`] for [`super::Builder::job`].
//! Pure. A job names folders by where it sees them, so it need not know the engine; without a
//! container its arguments are turned into real paths.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::exec::Stdout;

/// What a job may do with a mounted folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read it.
    Read,
    /// Read and write it.
    Write,
}

/// A folder or file of this machine that a job sees at a place of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Its real, absolute path.
    pub host: PathBuf,
    /// Where the job sees it; also what the job's arguments call it.
    pub inside: String,
    /// What the job may do with it.
    pub access: Access,
}

impl Mount {
    /// A folder that the job can only read.
    #[must_use]
    pub fn read(host: impl Into<PathBuf>, inside: &str) -> Self {
        Self {
            host: host.into(),
            inside: inside.to_owned(),
            access: Access::Read,
        }
    }

    /// A folder that the job may write to. Where the caller is root the folder is handed to the
    /// ordinary user that the job runs as; what is in it already keeps its owner.
    #[must_use]
    pub fn write(host: impl Into<PathBuf>, inside: &str) -> Self {
        Self {
            host: host.into(),
            inside: inside.to_owned(),
            access: Access::Write,
        }
    }

    /// The value of `--mount`, in the CSV that both engines read: a field with a comma is quoted.
    pub(super) fn option(&self) -> String {
        let source = format!("src={}", self.host.display());
        let source = match source.contains([',', '"']) {
            true => format!("\"{}\"", source.replace('"', "\"\"")),
            false => source,
        };
        let access = match self.access {
            Access::Read => ",readonly",
            Access::Write => "",
        };
        format!("type=bind,{source},dst={}{access}", self.inside)
    }
}

/// What a job may use of the machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Processors, in units of one; `None` for all.
    pub cpus: Option<f64>,
    /// Memory in bytes; `None` for all.
    pub memory: Option<u64>,
    /// Processes and threads.
    pub pids: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpus: None,
            memory: None,
            pids: 8192,
        }
    }
}

/// What a job runs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Program {
    /// A program of the image, by name.
    Named(String),
    /// A text for the shell.
    Script(String),
}

/// One run of a program of the builder image. Arguments, environment and working folder name mounted
/// folders by their inside paths, whatever the engine. Default limits: 120 s in all, any silence.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub(super) label: String,
    program: Program,
    args: Vec<String>,
    pub(super) mounts: Vec<Mount>,
    pub(super) env: BTreeMap<String, String>,
    dir: Option<String>,
    pub(super) stdout: Stdout,
    pub(super) total: Option<Duration>,
    pub(super) silence: Option<Duration>,
}

impl Job {
    /// A job that runs `program`; `label` names it for people and in the container's name: "make",
    /// "mke2fs".
    #[must_use]
    pub fn new(label: &str, program: &str) -> Self {
        Self {
            label: label.to_owned(),
            program: Program::Named(program.to_owned()),
            args: Vec::new(),
            mounts: Vec::new(),
            env: BTreeMap::new(),
            dir: None,
            stdout: Stdout::Capture,
            total: Some(Duration::from_secs(120)),
            silence: None,
        }
    }

    /// A job that runs a POSIX shell script; further arguments are its `$1`, `$2` … Mounted folders
    /// belong there and not in the text, which is run as it stands.
    #[must_use]
    pub fn script(label: &str, text: &str) -> Self {
        Self {
            program: Program::Script(text.to_owned()),
            ..Self::new(label, "sh")
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Mounts a folder.
    #[must_use]
    pub fn mount(mut self, mount: Mount) -> Self {
        self.mounts.push(mount);
        self
    }

    /// Sets an environment variable. No secrets: a container's environment is on its command line.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.insert(name.to_owned(), value.into());
        self
    }

    /// The working folder, an inside path; default is `/tmp`.
    #[must_use]
    pub fn dir(mut self, inside: &str) -> Self {
        self.dir = Some(inside.to_owned());
        self
    }

    /// Where standard output goes. [`Stdout::File`] names a real path.
    #[must_use]
    pub fn stdout(mut self, stdout: Stdout) -> Self {
        self.stdout = stdout;
        self
    }

    /// The time in all.
    #[must_use]
    pub fn total(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.total = limit.into();
        self
    }

    /// The longest silence; only watched with [`Stdout::Lines`].
    #[must_use]
    pub fn silence(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.silence = limit.into();
        self
    }

    /// The working folder inside.
    pub(super) fn folder(&self) -> &str {
        self.dir.as_deref().unwrap_or("/tmp")
    }

    /// The whole command line; `each` turns what stands in an argument.
    pub(super) fn argv(&self, each: impl Fn(&str) -> String) -> Vec<String> {
        let head = match &self.program {
            Program::Named(program) => vec![program.clone()],
            Program::Script(text) => vec![
                "sh".to_owned(),
                "-c".to_owned(),
                text.clone(),
                self.label.clone(),
            ],
        };
        head.into_iter()
            .chain(self.args.iter().map(|arg| each(arg)))
            .collect()
    }

    /// `text` with inside paths turned into real ones, for a job without a container.
    pub(super) fn real(&self, text: &str) -> String {
        self.mounts.iter().fold(text.to_owned(), |text, mount| {
            replace_path(&text, &mount.inside, &mount.host.to_string_lossy())
        })
    }
}

/// Replaces the path `from` where it stands as a path of its own: not within a longer name.
fn replace_path(text: &str, from: &str, to: &str) -> String {
    let of_a_name = |c: char| c.is_alphanumeric() || "-_./".contains(c);
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(from) {
        let (before, after) = (&rest[..at], &rest[at + from.len()..]);
        result.push_str(before);
        let starts = !result.chars().next_back().is_some_and(of_a_name);
        let ends = !after
            .chars()
            .next()
            .is_some_and(|c| c != '/' && of_a_name(c));
        result.push_str(if starts && ends { to } else { from });
        rest = after;
    }
    result + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside_paths_become_real_ones_where_they_stand_alone() {
        let job = Job::new("x", "x")
            .mount(Mount::read("/real/tree", "/src"))
            .mount(Mount::write("/real/out", "/build"));
        let table = [
            ("/src", "/real/tree"),
            ("O=/build", "O=/real/out"),
            ("/build/a:/src/b", "/real/out/a:/real/tree/b"),
            ("/usr/src", "/usr/src"),
            ("/srcs", "/srcs"),
            ("/src-old", "/src-old"),
            ("--x", "--x"),
        ];
        for (inside, real) in table {
            assert_eq!(job.real(inside), real);
        }
    }

    #[test]
    fn a_script_is_run_as_it_stands() {
        let job = Job::script("look", "ls /src")
            .arg("/src")
            .mount(Mount::read("/real", "/src"));
        assert_eq!(
            job.argv(|arg| job.real(arg)),
            ["sh", "-c", "ls /src", "look", "/real"]
        );
    }

    #[test]
    fn a_mount_with_a_comma_stays_one_field() {
        assert_eq!(
            Mount::read("/a,b", "/in").option(),
            "type=bind,\"src=/a,b\",dst=/in,readonly"
        );
        assert_eq!(
            Mount::write("/a b", "/out").option(),
            "type=bind,src=/a b,dst=/out"
        );
    }
}
