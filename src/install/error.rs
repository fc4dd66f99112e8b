//! Everything by which an installation is refused or stopped, each by its own name and with what to do.

use std::io::ErrorKind;
use std::path::PathBuf;

use crate::digest::Sha256;
use crate::exec::ExecError;
use crate::files::FileError;
use crate::wsl::host::HostError;
use crate::wsl::version::WslVersion;

/// Why nothing was changed, or why what was begun has been undone.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// There is no Windows to install on.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A Windows program did not do what it was asked.
    #[error("Windows does not answer")]
    Windows(#[from] ExecError),
    /// The disk refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The computer's policy empties `wsl2.kernel`.
    #[error("the policy of this computer forbids {what} (`{value}` is 0 in {key})", key = crate::wsl::policy::KEY)]
    Policy {
        /// What it forbids.
        what: &'static str,
        /// The value in the registry.
        value: &'static str,
    },
    /// `kernelModules` is not understood.
    #[error("{} does not take a modules disk: WSL {} or later does", version(.0), WslVersion::MODULES)]
    OldWsl(Option<WslVersion>),
    /// The virtual machine cannot open the modules disk, and its rights cannot be widened.
    #[error("WSL {0} cannot open a modules disk in a user's folder")]
    HiddenDisk(WslVersion),
    /// The distribution that is to be started for the trial is not there or is WSL1.
    #[error("{0}")]
    Distro(String),
    /// WSL would not read the path.
    #[error("WSL cannot read a path that is not ASCII: {0}")]
    NotAscii(String),
    /// No Windows path leads there.
    #[error("Windows has no name for {}: it is on no Windows drive that is known here", .0.display())]
    NoWindowsName(PathBuf),
    /// The files would not fit.
    #[error("{needed} bytes are needed in {} and {free} are free", folder.display())]
    NoSpace {
        /// Our folder.
        folder: PathBuf,
        /// Bytes needed.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// The build has not passed a boot test, or another one did.
    #[error("build {build} has no boot test that counts: {reason}")]
    Unproven {
        /// The build.
        build: String,
        /// What is missing.
        reason: String,
    },
    /// A waiver without a reason.
    #[error(
        "--untested needs a reason: it is recorded, and shown for as long as the kernel is there"
    )]
    NoReason,
    /// The file is no image that Hyper-V boots.
    #[error("{} is no kernel image that Hyper-V boots", .0.display())]
    NotAnImage(PathBuf),
    /// WSL's init needs what this kernel has not built in.
    #[error("this kernel cannot start WSL: {} must be built in", .0.join(", "))]
    Lacks(Vec<String>),
    /// The build's release string makes programs take WSL2 for WSL1, or hides WSL.
    #[error("the release `{0}` is not one that WSL knows")]
    Release(String),
    /// The user's file cannot be read, so it cannot be edited either.
    #[error("{} cannot be edited: {reason}", file.display())]
    WslConfig {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// After the edit WSL would not read what we meant.
    #[error("WSL would read `{found}` as {key} instead of `{meant}`")]
    Misread {
        /// The key.
        key: &'static str,
        /// What we meant.
        meant: String,
        /// What it would read.
        found: String,
    },
    /// A copy is not what was copied.
    #[error("{} reads back differently: {found} instead of {expected}", path.display())]
    Differs {
        /// The copy.
        path: PathBuf,
        /// The digest that was expected.
        expected: Sha256,
        /// The digest found.
        found: Sha256,
    },
    /// A name that must be free is taken.
    #[error("{} is there already and is not ours", .0.display())]
    Taken(PathBuf),
    /// The user stopped it.
    #[error("stopped")]
    Interrupted,
    /// The user stopped it when it was installed already, and before WSL went down for the trial.
    #[error(
        "stopped before WSL was restarted: {0} is installed and configured, and has not run yet"
    )]
    NotRestarted(String),
    /// It failed on the way, and what was begun is undone.
    #[error(transparent)]
    Undone(Box<Self>),
    /// It failed on the way, and so did the way back.
    #[error("{source}; what was begun could not be undone: {undo}")]
    NotUndone {
        /// Why it failed.
        source: Box<Self>,
        /// Why it could not be undone.
        undo: Box<Self>,
    },
    /// Another wslk holds the lock of this Windows side.
    #[error("another wslk is at work on {}", .0.display())]
    Busy(PathBuf),
    /// Another wslk wrote into the journal in the middle of a change, so it has settled that change too.
    #[error("another wslk has changed {} meanwhile", .0.display())]
    Overtaken(PathBuf),
    /// A file that a change relies on has gone.
    #[error("{} has gone", .0.display())]
    Gone(PathBuf),
    /// The journal cannot be followed.
    #[error("{} is damaged{}, so change {number:04} can be neither finished nor undone", file.display(), at(lines))]
    Journal {
        /// The journal.
        file: PathBuf,
        /// The lines that are damaged.
        lines: Vec<usize>,
        /// The change that was cut off.
        number: u32,
    },
    /// What is known of the generations cannot be read.
    #[error("{} is damaged: {reason}", file.display())]
    Generations {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No generation of that name is there.
    #[error("no installed build matches `{0}`")]
    NoSuchGeneration(String),
    /// More than one does.
    #[error("`{name}` fits {} installed builds", builds.len())]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// The builds that it fits.
        builds: Vec<String>,
    },
    /// There is nothing to go back to.
    #[error("there is nothing to go back to")]
    NoPrevious,
    /// The answer to a question was not yes, or nobody could be asked.
    #[error("{0}")]
    NotAgreed(String),
    /// `--restart` where there is no WSL to restart.
    #[error("WSL can only be restarted from inside WSL")]
    NothingToRestart,
    /// The running system is not what the trial asked for.
    #[error("{}", .0.join("; "))]
    Checks(Vec<String>),
}

fn version(version: &Option<WslVersion>) -> String {
    match version {
        Some(version) => format!("WSL {version}"),
        None => "the WSL that came with Windows".to_owned(),
    }
}

fn at(lines: &[usize]) -> String {
    match lines {
        [] => String::new(),
        [line] => format!(" (line {line})"),
        lines => format!(
            " (lines {})",
            lines
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        ),
    }
}

const NO_INTEROP: &str = "check that Windows programs start here (`cmd.exe /c ver`); [interop] in \
    /etc/wsl.conf can switch that off";

impl InstallError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Host(error) => return Some(error.hint()),
            Self::Undone(error) => return Some(undone(error)),
            Self::NotRestarted(build) => return Some(not_restarted(build)),
            Self::Ambiguous { builds, .. } => {
                return Some(format!("name more of it: {}", builds.join(", ")));
            }
            Self::Windows(_)
            | Self::Policy { .. }
            | Self::OldWsl(_)
            | Self::HiddenDisk(_)
            | Self::Distro(_)
            | Self::NothingToRestart => self.about_windows()?,
            Self::NotAscii(_)
            | Self::NoWindowsName(_)
            | Self::NoSpace { .. }
            | Self::WslConfig { .. }
            | Self::Misread { .. }
            | Self::Differs { .. }
            | Self::Taken(_)
            | Self::Gone(_)
            | Self::Journal { .. }
            | Self::Generations { .. } => self.about_files()?,
            Self::Unproven { .. }
            | Self::NoReason
            | Self::NotAnImage(_)
            | Self::Lacks(_)
            | Self::Release(_)
            | Self::NoSuchGeneration(_)
            | Self::NoPrevious => self.about_the_build()?,
            Self::NotUndone { .. } | Self::Busy(_) | Self::Overtaken(_) => {
                self.about_the_change()?
            }
            Self::File(error) => file_hint(error.kind()),
            Self::NotAgreed(_) => "--yes agrees in advance",
            Self::Checks(_) => "`wslk rollback` goes back to what worked",
            Self::Interrupted => return None,
        };
        Some(text.to_owned())
    }

    /// Of Windows and WSL as they are here.
    fn about_windows(&self) -> Option<&'static str> {
        Some(match self {
            Self::Windows(_) => NO_INTEROP,
            Self::Policy { .. } => {
                "ask whoever administers this computer; until then only the stock kernel boots"
            }
            Self::OldWsl(_) => "run `wsl --update` in Windows",
            Self::HiddenDisk(_) => {
                "run `wsl --update` in Windows: 2.7.5 and 2.8.6 mend it; or run wslk as the owner of that folder"
            }
            Self::Distro(_) => {
                "`wsl --list --verbose` shows the distributions; --distro names one of them"
            }
            Self::NothingToRestart => {
                "without --restart it is installed, and tried at the next start of WSL"
            }
            _ => return None,
        })
    }

    /// Of our folder, and the files in it and beside it.
    fn about_files(&self) -> Option<&'static str> {
        Some(match self {
            Self::NotAscii(_) | Self::NoWindowsName(_) => {
                "name a folder of plain letters on a Windows drive: --windows-dir /mnt/c/wslk"
            }
            Self::NoSpace { .. } => {
                "`wslk clean` removes old kernels; --windows-dir names another folder"
            }
            Self::WslConfig { .. } | Self::Misread { .. } => {
                "mend the file by hand, or move it away; `wslk install` then begins a new one"
            }
            Self::Differs { .. } => {
                "the disk or something that watches it changed the file; try again"
            }
            Self::Taken(_) => "look at what it is, and move it away",
            Self::Gone(_) => "`wslk rollback stock` needs none of our files",
            Self::Journal { .. } | Self::Generations { .. } => {
                "`wslk rollback` needs neither: it goes to the stock kernel then, and begins a new one"
            }
            _ => return None,
        })
    }

    /// Of the build that was named, and what there is of it.
    fn about_the_build(&self) -> Option<&'static str> {
        Some(match self {
            Self::Unproven { .. } => {
                "`wslk boot BUILD` tests it; --untested \"reason\" installs it nevertheless"
            }
            Self::NoReason => "say why, such as --untested \"no QEMU here\"",
            Self::NotAnImage(_) | Self::Lacks(_) | Self::Release(_) => {
                "build it with the profile criu from Microsoft's own configuration"
            }
            Self::NoSuchGeneration(_) => {
                "`wslk status` lists what is installed; `wslk install BUILD` installs another"
            }
            Self::NoPrevious => "`wslk status` lists what is installed",
            _ => return None,
        })
    }

    /// Of what came in the way of a change: what has become of that.
    fn about_the_change(&self) -> Option<&'static str> {
        Some(match self {
            Self::NotUndone { .. } => {
                "free some space, and close what holds files open in Windows; the next `wslk status` undoes \
                 the rest"
            }
            Self::Busy(_) => {
                "wait for it: it may be another user's or another distribution's, on the same Windows side"
            }
            Self::Overtaken(_) => {
                "`wslk status` says what is configured now; then try again, one wslk at a time"
            }
            _ => return None,
        })
    }
}

fn undone(error: &InstallError) -> String {
    let undone = "what was begun is undone";
    match error.hint() {
        Some(hint) => format!("{hint}; {undone}"),
        None => undone.to_owned(),
    }
}

fn not_restarted(build: &str) -> String {
    format!(
        "`wslk install {build} --restart` goes on; `wsl --shutdown` in Windows starts it too, on trial; \
         `wslk rollback` takes it back"
    )
}

/// What can be done about a file that the system refused.
fn file_hint(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "free some space there"
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "see who may read and write there, and what holds the file open in Windows"
        }
        ErrorKind::IsADirectory
        | ErrorKind::NotADirectory
        | ErrorKind::NotFound
        | ErrorKind::InvalidInput => {
            "look at what is there in place of the file or folder, and move it away"
        }
        _ => "look at the file: close what holds it open in Windows, or move it away",
    }
}
