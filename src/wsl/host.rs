//! The Windows around a Linux process: the user's profile, by both of its names, and Windows' own commands.
//!
//! In: what the process knows of itself ([`Surroundings`]), or a folder that is said to be the profile.
//! Out: a [`Profile`], and [`Windows`], which asks `wsl.exe`, `reg.exe`, `cmd.exe` and `icacls.exe`.
//! Must not change anything but what a caller asks for by name.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::decode::decode;
use super::path::WindowsPath;
use super::policy::{self, Policy};
use super::version::WslVersion;
use crate::exec::{Cmd, ExecError, Output, Runner};

/// Windows' own programs, where they are not in the PATH of this distribution.
const SYSTEM32: &str = "/mnt/c/Windows/System32";
/// A Windows program that does not answer in this time will not.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which WSL this is, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wsl {
    /// No WSL.
    No,
    /// WSL1: no Linux kernel at all.
    One,
    /// WSL2.
    Two,
}

/// What a process can know of where it runs.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// `uname -r`.
    pub release: String,
    /// `WSL_DISTRO_NAME`: the distribution's name.
    pub distro: Option<String>,
    /// `/proc/sys/kernel/random/boot_id`: which start of the virtual machine this is.
    pub boot: String,
}

impl Surroundings {
    /// WSL1 calls itself `Microsoft`, WSL2's kernels `microsoft`; a kernel of another name is told by
    /// what WSL's init leaves in the environment.
    #[must_use]
    pub fn wsl(&self) -> Wsl {
        match () {
            () if self.release.contains("Microsoft") => Wsl::One,
            () if self.release.contains("microsoft") || self.distro.is_some() => Wsl::Two,
            () => Wsl::No,
        }
    }
}

/// A Windows drive, as Linux sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drive {
    letter: char,
    root: PathBuf,
}

impl Drive {
    /// The drive `letter`, whose files are below `root`.
    #[must_use]
    pub fn new(letter: char, root: impl Into<PathBuf>) -> Self {
        Self {
            letter: letter.to_ascii_uppercase(),
            root: root.into(),
        }
    }

    /// The drive that a folder lies on, as far as can be told: `/mnt/<letter>`, or what is below a folder that
    /// holds `Users` or `Windows` (a Windows disk mounted anywhere, a wine prefix). Nothing for any other: Windows
    /// would not find it, and WSL would not start.
    #[must_use]
    pub fn of(folder: &Path) -> Option<Self> {
        if let Ok(rest) = folder.strip_prefix("/mnt")
            && let Some(letter) = rest.iter().next().and_then(single_letter)
        {
            let root = Path::new("/mnt").join(letter.to_ascii_lowercase().to_string());
            return Some(Self::new(letter, root));
        }
        let users = |part: &Path| {
            part.file_name()
                .is_some_and(|name| name.eq_ignore_ascii_case("users"))
        };
        // A user may be called Users as well: it is the folder above that counts.
        let profiles = folder.ancestors().skip(1).find(|part| users(part));
        let looks_like_one = |part: &&Path| {
            let known = ["Users", "users", "Windows", "windows"];
            known.iter().any(|name| part.join(name).is_dir())
        };
        let root = profiles
            .and_then(Path::parent)
            .or_else(|| folder.ancestors().skip(1).find(looks_like_one))?;
        let name = root.file_name().unwrap_or_default();
        let letter = name.to_str().and_then(|name| name.strip_prefix("drive_"));
        let letter = letter.and_then(|name| name.chars().next()).unwrap_or('C');
        Some(Self::new(letter, root))
    }

    /// The drive of a folder that is mounted beside this one, as WSL mounts them all: `/mnt/c` and `/mnt/d`, or
    /// `/c` and `/d` where `/etc/wsl.conf` says so.
    #[must_use]
    pub fn beside(&self, folder: &Path) -> Option<Self> {
        let own = self.root.file_name().and_then(single_letter)?;
        if !own.eq_ignore_ascii_case(&self.letter) {
            return None;
        }
        let mounts = self.root.parent()?;
        let name = folder.strip_prefix(mounts).ok()?.iter().next()?;
        let letter = single_letter(name)?;
        let root = mounts.join(name);
        root.is_dir().then(|| Self::new(letter, root))
    }

    /// How Windows calls a file on this drive.
    #[must_use]
    pub fn windows(&self, path: &Path) -> Option<WindowsPath> {
        let rest = path.strip_prefix(&self.root).ok()?;
        let names: Vec<&str> = rest.iter().map(OsStr::to_str).collect::<Option<_>>()?;
        WindowsPath::parse(&format!("{}:\\{}", self.letter, names.join("\\"))).ok()
    }

    /// How Linux calls a file on this drive.
    #[must_use]
    pub fn linux(&self, path: &WindowsPath) -> Option<PathBuf> {
        let (letter, rest) = path.as_str().split_once(':')?;
        let same =
            letter.len() == 1 && letter.starts_with(|c: char| c.eq_ignore_ascii_case(&self.letter));
        let names = rest.split(['\\', '/']).filter(|name| !name.is_empty());
        same.then(|| self.root.join(names.collect::<PathBuf>()))
    }

    /// Its letter and its root, to be remembered.
    #[must_use]
    pub fn parts(&self) -> (char, &Path) {
        (self.letter, &self.root)
    }

    /// The drive's root, by both of its names.
    #[must_use]
    pub fn root(&self) -> Option<Place> {
        Some(Place {
            windows: self.windows(&self.root)?,
            linux: self.root.clone(),
        })
    }
}

fn single_letter(name: &OsStr) -> Option<char> {
    let mut chars = name.to_str()?.chars();
    let letter = chars.next().filter(char::is_ascii_alphabetic)?;
    chars.next().is_none().then_some(letter)
}

/// A folder or file by both of its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// For us.
    pub linux: PathBuf,
    /// For Windows.
    pub windows: WindowsPath,
}

impl Place {
    /// What lies below; `name` may hold several names, with `/` between them.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        Self {
            linux: self.linux.join(name),
            // Only our own names come here, and Windows takes them all.
            windows: self
                .windows
                .join(&name.replace('/', "\\"))
                .unwrap_or_else(|_| self.windows.clone()),
        }
    }
}

/// A Windows user's profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// `C:\Users\<name>`, where `.wslconfig` lies.
    pub home: Place,
    /// `%LOCALAPPDATA%`.
    pub local: Place,
    /// The drive that the profile is on.
    pub drive: Drive,
}

/// Why there is no Windows to work on.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A Linux that Windows knows nothing of.
    #[error("this is not WSL")]
    NotWsl,
    /// WSL1 has no kernel to replace.
    #[error("this distribution runs under WSL1, which has no Linux kernel")]
    Wsl1,
    /// Windows did not say where the profile is.
    #[error("Windows does not say where the user's profile is: {0}")]
    NoProfile(String),
    /// The folder given is none.
    #[error("{} is no folder", .0.display())]
    NoFolder(PathBuf),
    /// No Windows path leads to the folder.
    #[error("Windows has no name for {}", .0.display())]
    NoName(PathBuf),
    /// The folder is on no drive of Windows.
    #[error(
        "{} is on no Windows drive: neither below /mnt/<letter> nor on a disk that holds Users or Windows",
        .0.display()
    )]
    NoDrive(PathBuf),
}

impl HostError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NotWsl => {
                "run it inside WSL, or name the Windows profile with --windows-home DIR, such as \
                 /mnt/c/Users/<name>"
            }
            Self::Wsl1 => "`wsl --set-version <distribution> 2` in Windows makes it WSL2",
            Self::NoProfile(_) => {
                "check that Windows programs start here (`cmd.exe /c ver`), or name the profile with \
                 --windows-home DIR"
            }
            Self::NoFolder(_) | Self::NoName(_) | Self::NoDrive(_) => {
                "--windows-home takes the folder that holds .wslconfig, such as /mnt/c/Users/<name>"
            }
        }
        .to_owned()
    }
}

impl Profile {
    /// The profile that is said to be in `folder`.
    pub fn at(folder: &Path) -> Result<Self, HostError> {
        if !folder.is_dir() {
            return Err(HostError::NoFolder(folder.to_owned()));
        }
        let drive = Drive::of(folder).ok_or_else(|| HostError::NoDrive(folder.to_owned()))?;
        let home = Place {
            windows: drive
                .windows(folder)
                .ok_or_else(|| HostError::NoName(folder.to_owned()))?,
            linux: folder.to_owned(),
        };
        Ok(Self {
            local: home.join("AppData/Local"),
            home,
            drive,
        })
    }

    /// The profile of the Windows user who runs this distribution.
    pub fn find(surroundings: &Surroundings, windows: &Windows<'_>) -> Result<Self, HostError> {
        match surroundings.wsl() {
            Wsl::No => return Err(HostError::NotWsl),
            Wsl::One => return Err(HostError::Wsl1),
            Wsl::Two => {}
        }
        let home = windows.place_of("USERPROFILE")?;
        let local = windows.place_of("LOCALAPPDATA")?;
        let drive = drive_of(&home)?;
        Ok(Self { home, local, drive })
    }
}

fn drive_of(place: &Place) -> Result<Drive, HostError> {
    mounted_drive(place)
        .or_else(|| Drive::of(&place.linux))
        .ok_or_else(|| HostError::NoDrive(place.linux.clone()))
}

/// The drive of a place whose names end alike: what is left of the Linux name is the drive's root.
fn mounted_drive(place: &Place) -> Option<Drive> {
    let (letter, rest) = place.windows.as_str().split_once(":\\")?;
    let names: PathBuf = rest.split('\\').filter(|name| !name.is_empty()).collect();
    let linux = place.linux.to_str()?;
    let root = linux.strip_suffix(names.to_str()?)?;
    Some(Drive::new(
        letter.chars().next()?,
        root.trim_end_matches('/'),
    ))
}

/// A distribution, as `wsl.exe --list --verbose` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distro {
    /// Its name.
    pub name: String,
    /// 1 or 2.
    pub version: u32,
    /// Whether it is the default.
    pub default: bool,
}

/// Windows' own programs, called from inside WSL.
#[derive(Debug, Clone, Copy)]
pub struct Windows<'a> {
    runner: &'a dyn Runner,
}

impl<'a> Windows<'a> {
    /// Calls them through `runner`.
    #[must_use]
    pub fn new(runner: &'a dyn Runner) -> Self {
        Self { runner }
    }

    /// The version of WSL; the WSL that came with Windows itself does not know it.
    pub fn version(&self) -> Result<Option<WslVersion>, ExecError> {
        let output = self.ask("wsl.exe", &["--version"])?;
        let told = output.status == Some(0);
        Ok(WslVersion::from_output(&decode(&output.stdout)).filter(|_| told))
    }

    /// The policy of this computer. A key that is not there allows everything.
    pub fn policy(&self) -> Result<Policy, ExecError> {
        let output = self.ask("reg.exe", &["query", policy::KEY])?;
        Ok(match output.status {
            Some(0) => Policy::from_output(&decode(&output.stdout)),
            _ => Policy::default(),
        })
    }

    /// All distributions.
    pub fn distros(&self) -> Result<Vec<Distro>, ExecError> {
        let output = self.ask("wsl.exe", &["--list", "--verbose"])?;
        Ok(decode(&output.stdout).lines().filter_map(distro).collect())
    }

    /// The names of the distributions that run now.
    pub fn running(&self) -> Result<Vec<String>, ExecError> {
        let output = self.ask("wsl.exe", &["--list", "--running", "--quiet"])?;
        let text = decode(&output.stdout);
        let names = text.lines().map(str::trim).filter(|name| !name.is_empty());
        Ok(match output.status {
            Some(0) => names.map(str::to_owned).collect(),
            _ => Vec::new(),
        })
    }

    /// Lets every user's virtual machine read a file: Users, and all application packages.
    pub fn let_read(&self, file: &WindowsPath) -> Result<(), ExecError> {
        let groups = ["S-1-5-32-545", "S-1-15-2-1", "S-1-15-2-2"];
        let mut args = vec![file.as_str().to_owned(), "/grant".to_owned()];
        args.extend(groups.map(|group| format!("*{group}:(RX)")));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let cmd = command("icacls.exe", &args);
        self.run(&cmd)?.success(&cmd).map(|_| ())
    }

    /// Starts a script of `folder` in a window of its own, which outlives us and all of WSL. Its words
    /// must need no quotes: `start` and `cmd` each have rules of their own.
    pub fn start_script(&self, folder: &Path, words: &[&str]) -> Result<(), ExecError> {
        let mut args = vec!["/d", "/c", "start", "wslk trial", "/min"];
        // By itself `start` would leave the window of a script open for ever.
        args.extend(["cmd.exe", "/d", "/c"]);
        args.extend(words);
        let cmd = command("cmd.exe", &args).dir(folder);
        self.run(&cmd)?.success(&cmd).map(|_| ())
    }

    /// The profile's folder and its drive, without the other folders of a [`Profile`]: half the questions.
    pub fn home(&self) -> Result<(Place, Drive), HostError> {
        let home = self.place_of("USERPROFILE")?;
        let drive = drive_of(&home)?;
        Ok((home, drive))
    }

    /// The folder in a Windows variable. `set` prints it whatever characters are in it, `echo` does not.
    fn place_of(&self, variable: &str) -> Result<Place, HostError> {
        let silent = |error: ExecError| HostError::NoProfile(error.to_string());
        let output = self
            .ask("cmd.exe", &["/d", "/u", "/c", "set", variable])
            .map_err(silent)?;
        let text = decode(&output.stdout);
        let value = text
            .lines()
            .find_map(|line| {
                let (name, value) = line.trim_end().split_once('=')?;
                name.eq_ignore_ascii_case(variable)
                    .then(|| value.to_owned())
            })
            .ok_or_else(|| HostError::NoProfile(format!("%{variable}% is not set")))?;
        let windows =
            WindowsPath::parse(&value).map_err(|error| HostError::NoProfile(error.to_string()))?;
        let cmd = Cmd::new("wslpath").args(["-u", &value]);
        let output = self.runner.run(&cmd).map_err(silent)?;
        let linux = PathBuf::from(output.text().trim_end_matches(['\r', '\n']));
        match linux.is_dir() {
            true => Ok(Place { linux, windows }),
            false => Err(HostError::NoFolder(linux)),
        }
    }

    fn ask(&self, program: &str, args: &[&str]) -> Result<Output, ExecError> {
        self.run(&command(program, args))
    }

    /// By name, then where Windows has it: not every distribution takes over Windows' PATH.
    fn run(&self, cmd: &Cmd) -> Result<Output, ExecError> {
        match self.runner.run_with(cmd, &mut |_| {}) {
            Err(ExecError::NotFound { .. }) => {
                let there = Path::new(SYSTEM32).join(cmd.program());
                self.runner.run_with(&cmd.clone().named(there), &mut |_| {})
            }
            answer => answer,
        }
    }
}

/// WSL_UTF8 reaches a Windows program only if WSLENV names it.
fn command(program: &str, args: &[&str]) -> Cmd {
    Cmd::new(program)
        .args(args)
        .env("WSL_UTF8", "1")
        .env("WSLENV", "WSL_UTF8")
        .total(PATIENCE)
}

/// `* Ubuntu-24.04    Running         2`; the heading and its translation end in no number.
fn distro(line: &str) -> Option<Distro> {
    let line = line.trim();
    let (default, rest) = match line.strip_prefix('*') {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let words: Vec<&str> = rest.split_whitespace().collect();
    let version = words.last()?.parse().ok().filter(|n| (1..=2).contains(n))?;
    Some(Distro {
        name: (*words.first()?).to_owned(),
        version,
        default,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::Script;

    #[test]
    fn a_drive_is_told_by_its_path() {
        let table = [
            ("/mnt/c/Users/me", r"C:\Users\me"),
            ("/mnt/d/x", r"D:\x"),
            ("/tmp/p/drive_c/users/a b", r"C:\users\a b"),
            ("/media/win/Users/me", r"C:\Users\me"),
        ];
        for (linux, windows) in table {
            let drive = Drive::of(Path::new(linux)).expect("a drive");
            let named = drive.windows(Path::new(linux)).expect("a name");
            assert_eq!(named.as_str(), windows);
            assert_eq!(drive.linux(&named).as_deref(), Some(Path::new(linux)));
        }
        let other = WindowsPath::parse(r"D:\x").expect("a path");
        let drive = Drive::of(Path::new("/mnt/c/x")).expect("a drive");
        assert_eq!(drive.linux(&other), None);
    }

    #[test]
    fn a_folder_of_linux_is_on_no_drive() {
        let disk = tempfile::tempdir().expect("a folder");
        let folder = disk.path().join("tools/wslk");
        for linux in [
            folder.as_path(),
            Path::new("/mnt/disk/profile"),
            Path::new("/"),
        ] {
            assert_eq!(Drive::of(linux), None, "{}", linux.display());
        }
        std::fs::create_dir(disk.path().join("Windows")).expect("made");
        let drive = Drive::of(&folder).expect("it looks like a drive now");
        let named = drive.windows(&folder).map(|path| path.to_string());
        assert_eq!(named.as_deref(), Some(r"C:\tools\wslk"));
    }

    #[test]
    fn a_drive_is_mounted_beside_another() {
        let mounts = tempfile::tempdir().expect("a folder");
        let (c, d) = (mounts.path().join("c"), mounts.path().join("d"));
        std::fs::create_dir(&d).expect("made");
        let drive = Drive::new('C', c);
        assert_eq!(drive.beside(&d.join("wslk")), Some(Drive::new('D', d)));
        for elsewhere in ["e/wslk", "data/wslk"] {
            assert_eq!(drive.beside(&mounts.path().join(elsewhere)), None);
        }
        assert_eq!(drive.beside(Path::new("/tmp/wslk")), None);
        assert_eq!(Drive::new('C', "/x/d").beside(Path::new("/x/d/y")), None);
    }

    #[test]
    fn which_wsl() {
        let table = [
            ("6.6.87.2-microsoft-standard-WSL2", None, Wsl::Two),
            ("4.4.0-19041-Microsoft", Some("Ubuntu"), Wsl::One),
            ("6.1.0-custom", Some("Ubuntu"), Wsl::Two),
            ("6.1.0-custom", None, Wsl::No),
        ];
        for (release, distro, wsl) in table {
            let surroundings = Surroundings {
                release: release.to_owned(),
                distro: distro.map(str::to_owned),
                boot: String::new(),
            };
            assert_eq!(surroundings.wsl(), wsl, "{release}");
        }
    }

    #[test]
    fn distributions_are_listed_in_either_encoding() {
        let text = "  NAME              STATE           VERSION\r\n\
                    * Ubuntu-24.04      Running         2\r\n  docker-desktop    Stopped         2\r\n\
                      Old               Stopped         1\r\n";
        let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for stdout in [text.as_bytes().to_vec(), wide] {
            let output = Output {
                status: Some(0),
                stdout,
                ..Output::default()
            };
            let script = Script::default().expect("--list --verbose", output);
            let distros = Windows::new(&script).distros().expect("listed");
            let names: Vec<(&str, u32, bool)> = distros
                .iter()
                .map(|d| (d.name.as_str(), d.version, d.default))
                .collect();
            let expected = [
                ("Ubuntu-24.04", 2, true),
                ("docker-desktop", 2, false),
                ("Old", 1, false),
            ];
            assert_eq!(names, expected);
        }
    }

    #[test]
    fn a_policy_that_is_not_there_allows() {
        let absent = Output {
            status: Some(1),
            stdout: b"ERROR: The system was unable to find the specified registry key".to_vec(),
            ..Output::default()
        };
        let script = Script::default().expect(r"Policies\WSL", absent).says(
            "reg.exe query",
            "    AllowKernelUserSetting    REG_DWORD    0x0\r\n",
        );
        let windows = Windows::new(&script);
        assert!(windows.policy().expect("asked").kernel);
        assert!(!windows.policy().expect("asked").kernel);
    }

    #[test]
    fn programs_are_found_outside_the_path() {
        let missing = ExecError::NotFound {
            program: "wsl.exe".to_owned(),
        };
        let script = Script::default().fails("wsl.exe", missing).says(
            "/mnt/c/Windows/System32/wsl.exe --version",
            "WSL version: 2.6.1.0\n",
        );
        let version = Windows::new(&script).version().expect("asked");
        assert_eq!(version.map(|v| v.to_string()).as_deref(), Some("2.6.1"));
    }
}
