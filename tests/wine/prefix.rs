//! wine and its one prefix, made by the first test that needs it and kept beside the build.
//!
//! Tests take turns: they share the registry, and wine on two cores gets no faster by two.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than any story takes on a loaded machine.
const LIMIT: Duration = Duration::from_secs(300);

/// The prefix, while a test has it.
#[derive(Debug)]
pub struct Wine {
    prefix: &'static Path,
    _turn: MutexGuard<'static, ()>,
    // For other runs of these tests.
    _lock: File,
}

/// What a command of Windows did.
#[derive(Debug)]
pub struct Ran {
    /// The exit code, or nothing if it was killed.
    pub code: Option<i32>,
    /// What it wrote to both streams.
    pub text: String,
}

/// wine, when it is this test's turn; nothing where there is no wine, which is said.
pub fn wine(test: &str) -> Option<Wine> {
    static PREFIX: OnceLock<Option<PathBuf>> = OnceLock::new();
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(prefix) = PREFIX.get_or_init(prefix) else {
        eprintln!("SKIPPED: {test}: wine is not installed, or could not make its folder");
        return None;
    };
    let lock = File::create(prefix.join("turn")).expect("a lock's file");
    lock.lock().expect("our turn comes");
    Some(Wine {
        prefix,
        _turn: turn,
        _lock: lock,
    })
}

fn prefix() -> Option<PathBuf> {
    let there = Command::new("wine").arg("--version").output();
    there.ok().filter(|output| output.status.success())?;
    let prefix = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wine-prefix");
    let ready = prefix.join("ready");
    if !ready.is_file() {
        let _ = fs::remove_dir_all(&prefix);
        fs::create_dir_all(&prefix).ok()?;
        run_within(
            command(&prefix, &["wineboot", "-i"]),
            &prefix.join("boot.log"),
            LIMIT,
        )?;
        // The registry is written when the server ends, which it does by itself.
        let mut server = Command::new("wineserver");
        server.arg("-w").env("WINEPREFIX", &prefix).status().ok()?;
        prefix.join("system.reg").is_file().then_some(())?;
        fs::write(&ready, "").ok()?;
    }
    // Kept for the next command, or each would wait seconds for its services.
    let mut server = Command::new("wineserver");
    server
        .arg("-p60")
        .env("WINEPREFIX", &prefix)
        .stdin(Stdio::null());
    let _ = server.stdout(Stdio::null()).stderr(Stdio::null()).status();
    Some(prefix)
}

/// A program of Windows; no window, no chatter, and the letters of UTF-8.
fn command(prefix: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("wine");
    command.args(arguments).stdin(Stdio::null());
    command.env("WINEPREFIX", prefix).env("WINEDEBUG", "-all");
    command
        .env("WINEDLLOVERRIDES", "mscoree,mshtml=")
        .env("LC_ALL", "C.UTF-8");
    command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    command
}

/// Runs it with its output in a file: wine's services inherit a pipe, and hold it open long after.
fn run_within(mut command: Command, log: &Path, limit: Duration) -> Option<Ran> {
    let output = File::create(log).expect("a log");
    command
        .stderr(output.try_clone().expect("a second handle"))
        .stdout(output);
    let mut child = command.process_group(0).spawn().ok()?;
    let end = Instant::now() + limit;
    let code = loop {
        match child.try_wait().expect("a child can be waited for") {
            Some(status) => break status.code(),
            None if Instant::now() > end => {
                let _ = child.kill();
                break child.wait().expect("it ended").code();
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    Some(Ran { code, text })
}

impl Wine {
    /// The drive C:.
    pub fn drive(&self) -> PathBuf {
        self.prefix.join("drive_c")
    }

    /// Runs a line of `cmd.exe` in a folder.
    pub fn cmd(&self, folder: &Path, words: &[&str], env: &[(&str, String)], log: &Path) -> Ran {
        let words: Vec<&str> = ["cmd", "/d", "/c"].iter().chain(words).copied().collect();
        let mut command = command(self.prefix, &words);
        command.current_dir(folder);
        command.envs(env.iter().map(|(name, value)| (name, value)));
        run_within(command, log, LIMIT).expect("wine starts")
    }

    /// Runs it, and kills it and all that it started after a time, as a power cut would.
    pub fn cmd_cut_short(
        &self,
        folder: &Path,
        words: &[&str],
        env: &[(&str, String)],
        after: Duration,
    ) -> bool {
        let words: Vec<&str> = ["cmd", "/d", "/c"].iter().chain(words).copied().collect();
        let mut command = command(self.prefix, &words);
        command
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.envs(env.iter().map(|(name, value)| (name, value)));
        let mut child = command.spawn().expect("wine starts");
        thread::sleep(after);
        let cut = child
            .try_wait()
            .expect("a child can be waited for")
            .is_none();
        kill_all_with(env);
        let _ = child.kill();
        let _ = child.wait();
        cut
    }

    /// The next logon: what Windows was told to run then, it runs, and forgets. Whether there was something.
    pub fn log_on(&self, env: &[(&str, String)], log: &Path) -> bool {
        let key = r"HKCU\Software\Microsoft\Windows\CurrentVersion\RunOnce";
        let ran = self.run(&["reg", "query", key, "/v", "!wslk"], &[], log);
        let line = ran.text.lines().find_map(|line| line.split_once("REG_SZ"));
        let Some((_, line)) = line else { return false };
        self.run(&["reg", "delete", key, "/v", "!wslk", "/f"], &[], log);
        // wine leaves the user's own entries alone, and runs those of the machine, in the same way.
        let key = r"HKLM\Software\Microsoft\Windows\CurrentVersion\RunOnce";
        self.run(
            &["reg", "add", key, "/v", "wslk", "/d", line.trim(), "/f"],
            &[],
            log,
        );
        self.run(&["wineboot"], env, log);
        true
    }

    fn run(&self, words: &[&str], env: &[(&str, String)], log: &Path) -> Ran {
        let mut command = command(self.prefix, words);
        command.envs(env.iter().map(|(name, value)| (name, value)));
        run_within(command, log, LIMIT).expect("wine starts")
    }
}

/// Kills every process that has all of these in its environment: the script, and what it started.
pub fn kill_all_with(env: &[(&str, String)]) {
    let wanted: Vec<String> = env
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    for entry in fs::read_dir("/proc")
        .expect("processes")
        .filter_map(Result::ok)
    {
        let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
        let environ = String::from_utf8_lossy(&environ);
        let has = |line: &String| environ.split('\0').any(|found| found == line);
        let name = entry.file_name();
        if !wanted.is_empty() && wanted.iter().all(has) {
            let _ = Command::new("kill")
                .arg("-KILL")
                .arg(&name)
                .stderr(Stdio::null())
                .status();
        }
    }
}
