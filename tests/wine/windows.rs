//! A made-up Windows for one user: the profile, our folder in it as `install` would leave it, and the two
//! programs that wine lacks.
//!
//! The programs are scripts that leave their command line in a folder; a thread of the test answers there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wslk::install::rescue;

use crate::machine::{Answer, Machine};
use crate::prefix::{Ran, Wine, kill_all_with};

/// The number of the change that is tried or undone.
pub const NUMBER: &str = "0007";
/// What `uname -r` should say.
pub const RELEASE: &str = "6.6.87.2-wslk";

/// The bytes of `.wslconfig` for each way; `Some(None)` for no file, nothing for a way that is not known.
#[derive(Debug, Clone, Default)]
pub struct Ways {
    pub new: Option<Option<Vec<u8>>>,
    pub blessed: Option<Option<Vec<u8>>>,
    pub good: Option<Option<Vec<u8>>>,
    pub stock: Option<Option<Vec<u8>>>,
}

impl Ways {
    fn each(&self) -> [(&'static str, &Option<Option<Vec<u8>>>); 4] {
        [
            ("new", &self.new),
            ("blessed", &self.blessed),
            ("good", &self.good),
            ("stock", &self.stock),
        ]
    }
}

/// The made-up Windows.
#[derive(Debug)]
pub struct Windows<'w> {
    wine: &'w Wine,
    root: tempfile::TempDir,
    home: PathBuf,
    machine: Arc<Mutex<Machine>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<'w> Windows<'w> {
    /// A user's profile with our scripts in it.
    pub fn new(wine: &'w Wine, user: &str, machine: Machine) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let home = root.path().join("Users").join(user);
        let folder = home.join("AppData/Local/wslk");
        for name in ["state", "backups", "candidates", "console"] {
            fs::create_dir_all(folder.join(name)).expect("made");
        }
        fs::create_dir(root.path().join("asked")).expect("made");
        put_say(root.path());
        for program in ["fc", "wsl"] {
            let text = program_text(program, &root.path().join("asked"));
            fs::write(root.path().join(format!("{program}.cmd")), text).expect("written");
        }
        let machine = Arc::new(Mutex::new(machine));
        let over = Arc::new(AtomicBool::new(false));
        let desk = Desk {
            asked: root.path().join("asked"),
            folder,
            drive: wine.drive(),
            config: home.join(".wslconfig"),
            machine: Arc::clone(&machine),
            over: Arc::clone(&over),
        };
        let thread = Some(thread::spawn(move || desk.serve()));
        let windows = Self {
            wine,
            root,
            home,
            machine,
            over,
            thread,
        };
        windows.put_scripts(|_, bytes| bytes);
        windows
    }

    /// Writes the scripts, changed.
    pub fn put_scripts(&self, change: impl Fn(&str, Vec<u8>) -> Vec<u8>) {
        for (name, bytes) in rescue::files() {
            fs::write(self.path(name), change(name, bytes)).expect("written");
        }
    }

    /// A file of our folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.join("AppData/Local/wslk").join(name)
    }

    /// A text of our folder, or nothing.
    pub fn text(&self, name: &str) -> Option<String> {
        let bytes = fs::read(self.path(name)).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A value of `verdict.txt`.
    pub fn verdict(&self, key: &str) -> Option<String> {
        let text = self.text("state/verdict.txt")?;
        let value = |line: &str| line.strip_prefix(key)?.strip_prefix('=').map(str::to_owned);
        text.lines().find_map(value)
    }

    /// The bytes of `.wslconfig`.
    pub fn config(&self) -> Option<Vec<u8>> {
        fs::read(self.home.join(".wslconfig")).ok()
    }

    /// Writes or removes `.wslconfig`.
    pub fn configure(&self, bytes: Option<&[u8]>) {
        let path = self.home.join(".wslconfig");
        match bytes {
            Some(bytes) => fs::write(path, bytes).expect("written"),
            None => drop(fs::remove_file(path)),
        }
    }

    /// The ways back, as `install` leaves them.
    pub fn put_ways(&self, ways: &Ways) {
        let mut text = format!(
            "number={NUMBER}\r\nwslconfig={}\\.wslconfig\r\n",
            name(&self.home)
        );
        for (way, bytes) in ways.each() {
            let Some(bytes) = bytes else { continue };
            let file = self.path(&format!("candidates/{NUMBER}-{way}.wslconfig"));
            let value = bytes.as_ref().map_or("none".to_owned(), |_| name(&file));
            text += &format!("{way}={value}\r\n");
            if let Some(bytes) = bytes {
                text += &format!("{way}-size={}\r\n", bytes.len());
            }
            bytes
                .iter()
                .for_each(|bytes| fs::write(&file, bytes).expect("written"));
        }
        fs::write(self.path("state/undo.txt"), text).expect("written");
    }

    /// A trial that waits, after [`Self::put_ways`].
    pub fn put_trial(&self, deadline: u32, check: &str) {
        let undo = self.text("state/undo.txt").expect("the ways come first");
        let text = format!(
            "{undo}build=b1\r\nrelease={RELEASE}\r\nkernel=C:\\k\r\ndistro=De bian-12\r\n\
             deadline={deadline}\r\nphase=pending\r\ncheck={check}\r\n"
        );
        fs::write(self.path("state/trial.txt"), text).expect("written");
    }

    /// Runs a script in our folder.
    pub fn run(&self, words: &[&str]) -> Ran {
        self.run_in(&self.path(""), words)
    }

    /// Runs a line in a folder.
    pub fn run_in(&self, folder: &Path, words: &[&str]) -> Ran {
        self.wine
            .cmd(folder, words, &self.env(), &self.root.path().join("log"))
    }

    /// Runs a script in our folder, and cuts the power after a time. Whether it was still at it.
    pub fn run_cut_short(&self, words: &[&str], after: Duration) -> bool {
        let cut = self
            .wine
            .cmd_cut_short(&self.path(""), words, &self.env(), after);
        self.machine().ask("wsl --shutdown", None);
        cut
    }

    /// Stops all that still runs in the background, and the virtual machine.
    pub fn cut_power(&self) {
        kill_all_with(&self.env());
        self.machine().ask("wsl --shutdown", None);
    }

    /// The next logon. Whether there was something to run.
    pub fn log_on(&self) -> bool {
        self.wine.log_on(&self.env(), &self.root.path().join("log"))
    }

    /// The made-up WSL.
    pub fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().expect("no thread panicked")
    }

    /// Makes a folder of ours one that nobody can write to, or ends that; no rights hold root back, but this does
    /// where the disk knows it. Whether it does.
    pub fn freeze(&self, name: &str, frozen: bool) -> bool {
        let flag = if frozen { "+i" } else { "-i" };
        let mut command = std::process::Command::new("chattr");
        let ran = command.arg(flag).arg(self.path(name)).output();
        let probe = self.path(name).join("probe");
        let stays = fs::write(&probe, "").is_ok();
        let _ = fs::remove_file(probe);
        ran.is_ok_and(|ran| ran.status.success()) && stays != frozen
    }

    /// Our scripts' own litter, if there is any.
    pub fn litter(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for folder in [self.home.clone(), self.path("state")] {
            let entries = fs::read_dir(folder)
                .expect("a folder")
                .filter_map(Result::ok);
            names.extend(entries.map(|entry| entry.file_name().to_string_lossy().into_owned()));
        }
        let litter = |name: &String| {
            [".tmp", ".new", ".wslk-new"]
                .iter()
                .any(|ending| name.ends_with(ending))
        };
        names.retain(litter);
        names
    }

    /// The saved copies of what the user had written.
    pub fn saved(&self) -> Vec<Vec<u8>> {
        let entries = fs::read_dir(self.path("backups")).expect("a folder");
        entries
            .map(|entry| fs::read(entry.expect("an entry").path()).expect("read"))
            .collect()
    }

    fn env(&self) -> Vec<(&'static str, String)> {
        vec![
            ("WSLK_WSL", name(&self.root.path().join("wsl.cmd"))),
            ("WSLK_FC", name(&self.root.path().join("fc.cmd"))),
            ("WSLK_TICK", "1".to_owned()),
        ]
    }
}

impl Drop for Windows<'_> {
    fn drop(&mut self) {
        kill_all_with(&self.env());
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Windows' name of a path.
pub fn name(path: &Path) -> String {
    format!("Z:{}", path.to_string_lossy().replace('/', "\\"))
}

/// Prints a file byte by byte: the `type` of wine stops at a NUL. wine starts a Unix program, and does not wait.
fn put_say(root: &Path) {
    let path = root.join("say.exe");
    fs::write(&path, "#!/bin/sh\ncat \"$1\"; : >\"$1.said\"\n").expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it can be run");
}

/// A program that leaves its command line, and waits for what to say.
fn program_text(program: &str, asked: &Path) -> String {
    include_str!("program.cmd")
        .replace("PROGRAM", program)
        .replace("ASKED", &name(asked))
        .replace("UNIX", &asked.to_string_lossy())
        .replace("SAY", &name(&asked.with_file_name("say.exe")))
        .lines()
        .map(|line| format!("{line}\r\n"))
        .collect()
}

/// Where the programs' questions are answered.
#[derive(Debug)]
struct Desk {
    asked: PathBuf,
    folder: PathBuf,
    /// The drive C:, with the temporary files.
    drive: PathBuf,
    config: PathBuf,
    machine: Arc<Mutex<Machine>>,
    over: Arc<AtomicBool>,
}

impl Desk {
    fn serve(&self) {
        while !self.over.load(Ordering::Relaxed) {
            for entry in fs::read_dir(&self.asked)
                .expect("a folder")
                .filter_map(Result::ok)
            {
                let path = entry.path();
                if path.extension().is_some_and(|ending| ending == "ask") {
                    self.answer(&path);
                }
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn answer(&self, question: &Path) {
        let line = fs::read(question).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).trim().to_owned();
        fs::rename(question, question.with_extension("taken")).expect("taken");
        let answer = if line.starts_with("fc ") {
            Some(Answer {
                code: self.compare(&line),
                out: Vec::new(),
            })
        } else {
            let config = fs::read(&self.config).ok();
            let mut machine = self.machine.lock().expect("no thread panicked");
            machine.ask(&line, config.as_deref())
        };
        let Some(answer) = answer else { return };
        if !answer.out.is_empty() {
            fs::write(question.with_extension("out"), answer.out).expect("written");
        }
        let code = question.with_extension("code.new");
        fs::write(&code, format!("{}\r\n", answer.code)).expect("written");
        fs::rename(code, question.with_extension("code")).expect("answered");
    }

    /// `fc /b "a" "b"`: 0 the same, 1 not, 2 a file is not there.
    fn compare(&self, line: &str) -> i32 {
        let names = line.split('"').skip(1).step_by(2);
        let read = |name: &str| {
            let name = name.trim_start_matches("Z:").replace('\\', "/");
            let path = match name.strip_prefix("C:/") {
                Some(name) => self.drive.join(name),
                None => self.folder.join(name),
            };
            fs::read(path).ok()
        };
        let files: Vec<Option<Vec<u8>>> = names.map(read).collect();
        match files.as_slice() {
            [Some(one), Some(other)] => i32::from(one != other),
            _ => 2,
        }
    }
}
