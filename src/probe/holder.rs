//! The process whose device memory is checkpointed, and how a part deals with it.
//!
//! In: a folder and a size. Out: `ready`, then one `answer-N` for each `ask-N` that appears in the folder: how
//! many words of its device memory are wrong, and whether its kernel still runs. All that is compared is made
//! and read by this process, so that an answer after a restore proves what was restored. It keeps no pipe and
//! no terminal, which CRIU would have to be told about. Must not outlive its folder.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::account::Finding;
use super::driver::abi::mixed;
use super::driver::{Context, Cuda, DeviceBlock, Kernel, OnDevice as _};
use super::measure::{count_wrong, fill, unchanged};
use super::part::{Orders, Setback};
use crate::files::hand_over;
use crate::process;

/// The role of this process.
pub(super) const ROLE: &str = "holder";
/// Bytes that are filled and compared at a time.
const CHUNK: usize = 16 << 20;
/// Words that the kernel works on at the end of the memory.
const WORDS: u32 = 1 << 16;
const TICK: Duration = Duration::from_millis(5);
/// A holder that nobody ended ends itself.
const LIFE: Duration = Duration::from_secs(900);

/// What the holder says when it is set up.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Ready {
    bytes: u64,
}

/// What the holder finds in its own memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer {
    /// Words that are not what they were.
    pub wrong: u64,
    /// Words that a kernel launch just now got wrong.
    pub miscomputed: u64,
}

/// Lives as the holder; returns the exit code.
pub(super) fn run(orders: &Orders) -> u8 {
    match live(orders) {
        Ok(()) => 0,
        Err(setback) => {
            let _nobody_to_tell = hand_over(&orders.work.join("error"), &Finding::from(setback));
            1
        }
    }
}

fn live(orders: &Orders) -> Result<(), Setback> {
    let dir = &orders.work;
    rustix::process::setsid().map_err(io::Error::from)?;
    hand_over(
        &dir.join("pid"),
        &rustix::process::getpid().as_raw_nonzero().get(),
    )?;
    let scene = Scene::set(orders)?;
    let bytes = scene.block.bytes() as u64;
    hand_over(&dir.join("ready"), &Ready { bytes })?;
    let born = Instant::now();
    let mut next = 1;
    while dir.exists() && born.elapsed() < LIFE {
        std::thread::sleep(TICK);
        if dir.join(format!("ask-{next}")).exists() {
            let answer = scene.look(next);
            hand_over(&dir.join(format!("answer-{next}")), &answer?)?;
            next += 1;
        }
    }
    Ok(())
}

struct Scene {
    block: DeviceBlock,
    kernel: Kernel,
    context: Context,
}

impl Scene {
    fn set(orders: &Orders) -> Result<Self, Setback> {
        let cuda = Cuda::load(orders.library())?;
        cuda.init()?;
        let context = cuda.device(0)?.enter()?;
        let kernel = context.kernel()?;
        let bytes = orders.hold.unwrap_or(0).max(CHUNK as u64) as usize;
        let block = context.allocate(bytes)?;
        let mut chunk = vec![0; CHUNK];
        for (place, seed) in chunks(bytes) {
            let chunk = &mut chunk[..CHUNK.min(bytes - place)];
            fill(chunk, 0, seed);
            block.upload(place, chunk)?;
        }
        context.synchronize()?;
        Ok(Self {
            block,
            kernel,
            context,
        })
    }

    fn look(&self, key: u32) -> Result<Answer, Setback> {
        let bytes = self.block.bytes();
        let (mut chunk, mut wrong) = (vec![0; CHUNK], 0);
        for (place, seed) in chunks(bytes) {
            let chunk = &mut chunk[..CHUNK.min(bytes - place)];
            self.block.download(place, chunk)?;
            wrong += count_wrong(chunk, 0, seed, unchanged);
        }
        Ok(Answer {
            wrong,
            miscomputed: self.compute(key)?,
        })
    }

    /// Launches the kernel on memory that was allocated just now: the restored context can do both.
    fn compute(&self, key: u32) -> Result<u64, Setback> {
        let block = self.context.allocate(WORDS as usize * 4)?;
        let mut bytes = vec![0; WORDS as usize * 4];
        fill(&mut bytes, 0, key);
        block.upload(0, &bytes)?;
        self.kernel.mix(&block, WORDS, key)?;
        block.download(0, &mut bytes)?;
        Ok(count_wrong(&bytes, 0, key, |word, place| {
            mixed(word, place, key)
        }))
    }
}

/// The beginnings of the chunks, and a seed for each.
fn chunks(bytes: usize) -> impl Iterator<Item = (usize, u32)> {
    (0..bytes).step_by(CHUNK).zip(1_u32..)
}

/// A holder, as the part that started it sees it.
#[derive(Debug)]
pub(super) struct Holder {
    child: Child,
    dir: PathBuf,
    /// Bytes of device memory that it holds.
    pub bytes: u64,
    asked: u32,
    patience: Duration,
}

impl Holder {
    /// Starts a holder of `bytes` and waits until its memory is filled.
    pub(super) fn start(orders: &Orders, bytes: u64) -> Result<Self, Setback> {
        let dir = orders.work.join(ROLE);
        fs::create_dir_all(&dir)?;
        let output = File::create(dir.join("output"))?;
        let own = Orders {
            work: dir.clone(),
            hold: Some(bytes),
            ..orders.clone()
        };
        let child = Command::new(process::program()?)
            .args(own.arguments(ROLE)?)
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        let mut holder = Self {
            child,
            dir,
            bytes: 0,
            asked: 0,
            patience: orders.patience(),
        };
        let ready: Ready = holder.wait_for("ready")?;
        holder.bytes = ready.bytes;
        Ok(holder)
    }

    /// Its process.
    pub(super) fn process(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(0)
    }

    /// Its folder.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Has it compare its memory and launch its kernel.
    pub(super) fn look(&mut self) -> Result<Answer, Setback> {
        self.asked += 1;
        hand_over(&self.dir.join(format!("ask-{}", self.asked)), &())?;
        self.wait_for(&format!("answer-{}", self.asked))
    }

    /// Takes it from the list of processes once it is dead, so that a restore can have its number.
    pub(super) fn bury(&mut self) -> Result<(), Setback> {
        let began = Instant::now();
        while self.child.try_wait()?.is_none() {
            if began.elapsed() > Duration::from_secs(10) {
                let why = "after the dump the process is still there".to_owned();
                return Err(Setback::Broken(why));
            }
            std::thread::sleep(TICK);
        }
        Ok(())
    }

    fn wait_for<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, Setback> {
        let (path, began) = (self.dir.join(name), Instant::now());
        loop {
            // Asked before the last look at the file: it may be the last thing that the holder did.
            let running = is_running(self.process());
            if let Ok(text) = fs::read(&path) {
                return serde_json::from_slice(&text).map_err(|error| {
                    Setback::Broken(format!("its answer makes no sense: {error}"))
                });
            }
            if let Ok(text) = fs::read(self.dir.join("error")) {
                return Err(Setback::Broken(last_words(&text)));
            }
            match () {
                () if !running => {
                    return Err(Setback::Broken(format!(
                        "the process died before its {name}"
                    )));
                }
                () if began.elapsed() > self.patience => {
                    return Err(Setback::Broken(format!(
                        "the process hung before its {name}"
                    )));
                }
                () => std::thread::sleep(TICK),
            }
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        end(&self.dir);
        let _gone = self.child.try_wait();
    }
}

/// Ends the holder of a folder, whoever its parent is by now. Its number may have been given to somebody else
/// since: only a process whose arguments name the folder is ended.
pub(super) fn end(dir: &Path) {
    let text = fs::read(dir.join("pid")).unwrap_or_default();
    let Some(pid) = serde_json::from_slice(&text).ok().and_then(Pid::from_raw) else {
        return;
    };
    let number = pid.as_raw_nonzero();
    let arguments = fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
    let arguments = String::from_utf8_lossy(&arguments);
    if arguments.contains(&*dir.to_string_lossy()) {
        let _gone_already = rustix::process::kill_process(pid, Signal::KILL);
        bury(pid);
    }
}

/// Takes a killed process from the list, if it is a child of ours. Not for ever: who is stuck in the driver does
/// not die.
fn bury(pid: Pid) {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(2) {
        match rustix::process::waitpid(Some(pid), WaitOptions::NOHANG) {
            Ok(None) => std::thread::sleep(TICK),
            Ok(Some(_)) | Err(_) => return,
        }
    }
}

/// A zombie does not run.
fn is_running(process: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| state != 'Z')
}

fn last_words(text: &[u8]) -> String {
    let finding = serde_json::from_slice::<Finding>(text);
    let summary = finding.map_or_else(|_| "no reason".to_owned(), |finding| finding.summary);
    format!("the process with the memory ended: {summary}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_the_memory_once() {
        for bytes in [1, CHUNK, CHUNK + 1, 3 * CHUNK] {
            let all: Vec<(usize, u32)> = chunks(bytes).collect();
            assert_eq!(all.len(), bytes.div_ceil(CHUNK));
            assert_eq!(all[0], (0, 1));
        }
    }

    #[test]
    fn nobody_is_ended_for_a_number_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let own = rustix::process::getpid().as_raw_nonzero().get();
        hand_over(&folder.path().join("pid"), &own).expect("written");
        end(folder.path());
        end(Path::new("/nowhere"));
        assert!(is_running(own));
    }
}
