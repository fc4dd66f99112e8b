//! `shared-memory`: memory that two processes share: without a name, as a memory file, and under a name.
//!
//! Each writes to its half and must see the other's, before and after. Memory is reached through
//! `/proc/self/mem`, which is an open file for the moment of an access only.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{MemfdFlags, Mode, memfd_create};
use rustix::shm;
use serde::{Deserialize, Serialize};

use super::{Acts, Entry, Play, Scenario, Variant, same};
use crate::digest::Sha256;
use crate::smoke::payload::Pattern;
use crate::smoke::stage::{Stage, absent, needs};
use crate::smoke::talk::{self, Talk};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "shared-memory",
    about: "memory shared by two processes: anonymous, memfd, shm_open",
    options: &["SHMEM", "TMPFS", "MEMFD_CREATE"],
    families: &[],
    variants: &[Variant::PLAIN],
    entry: Entry::Plain,
    acts: Acts::of::<Shared>(),
};

const HALF: usize = 32 << 10;
const PEER: &str = "peer";

struct Shared {
    windows: Vec<Window>,
    /// Open for as long as the memory file is needed: it has no other name.
    _memory_file: File,
    peer: Talk,
    cycle: u64,
}

/// Shared memory, as one process sees it.
struct Window {
    name: &'static str,
    map: MmapRaw,
}

#[derive(Serialize, Deserialize)]
struct State {
    cycle: u64,
    /// Digests of each window, as its two sides see it.
    windows: Vec<Seen>,
    /// The same after both sides have written once more; only after a check.
    later: Option<Vec<Seen>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    name: String,
    here: Sha256,
    there: Sha256,
}

impl Play for Shared {
    type State = State;

    fn set(stage: &Stage) -> io::Result<Self> {
        let nameless = Window::map("anonymous memory", &open("/dev/zero".as_ref())?)?;
        let memory_file = needs("MEMFD_CREATE", memfd_create("wslk", MemfdFlags::CLOEXEC))?;
        let memory_file = sized(memory_file.into())?;
        let of_memory_file = Window::map("a memory file", &memory_file)?;
        let named = sized(open_named(stage)?)?;
        let of_named = Window::map("named memory", &named)?;
        let mut peer = Talk::start(&mut stage.child(PEER)?)?;
        let own = format!("/proc/{}", rustix::process::getpid().as_raw_nonzero());
        let paths = [
            format!("{own}/map_files/{}", nameless.range()),
            format!("{own}/fd/{}", memory_file.as_raw_fd()),
            Path::new("/dev/shm").join(stage.own_name()).to_string_lossy().into_owned(),
        ];
        let _opened: Vec<Sha256> = peer.ask(&serde_json::to_string(&paths)?)?;
        Ok(Self {
            windows: vec![nameless, of_memory_file, of_named],
            _memory_file: memory_file,
            peer,
            cycle: 0,
        })
    }

    fn role(stage: &Stage) -> io::Result<u8> {
        if stage.role() != PEER {
            return Ok(2);
        }
        let mut windows = Vec::new();
        talk::answer_lines(|line| {
            if windows.is_empty() {
                let paths: Vec<PathBuf> = serde_json::from_str(line)?;
                let window = |path: &PathBuf| Window::map("shared memory", &open(path)?);
                windows = paths.iter().map(window).collect::<io::Result<_>>()?;
            } else {
                let seed: Option<u64> = serde_json::from_str(line)?;
                seed.map_or(Ok(()), |seed| write(&windows, HALF, seed))?;
            }
            windows.iter().map(Window::digest).collect::<io::Result<Vec<_>>>()
        })?;
        Ok(0)
    }

    fn prepare(&mut self) -> io::Result<State> {
        self.cycle += 1;
        let windows = self.write(self.cycle * 100)?;
        Ok(State {
            cycle: self.cycle,
            windows,
            later: None,
        })
    }

    fn check(&mut self) -> io::Result<State> {
        let windows = self.look(None)?;
        let later = Some(self.write(self.cycle * 100 + 50)?);
        Ok(State {
            cycle: self.cycle,
            windows,
            later,
        })
    }

    fn tamper(&mut self) -> io::Result<()> {
        let byte = self.windows[0].read(7, 1)?[0];
        self.windows[0].write(7, &[byte ^ 1])
    }

    fn clear(stage: &Stage) {
        let _never_made = shm::unlink(stage.own_name());
    }

    fn judge(before: &State, after: &State) -> Vec<String> {
        let mut faults = Vec::new();
        faults.extend(same("the cycle", &before.cycle, &after.cycle));
        faults.extend(same("the shared memory", &before.windows, &after.windows));
        let later = after.later.as_deref().unwrap_or_default();
        for (when, seen) in [("before", &before.windows[..]), ("after", later)] {
            for Seen { name, here, there } in seen {
                if here != there {
                    faults.push(format!("{name} was not shared {when} the restore"));
                }
            }
        }
        if later.len() != before.windows.len() || before.windows.is_empty() {
            faults.push("it was not tried whether the memory is shared".to_owned());
        }
        faults
    }
}

impl Shared {
    /// Both sides write to their halves; then both look.
    fn write(&mut self, seed: u64) -> io::Result<Vec<Seen>> {
        write(&self.windows, 0, seed)?;
        self.look(Some(seed + 7))
    }

    /// Both look; with a seed the peer writes to its half before.
    fn look(&mut self, seed: Option<u64>) -> io::Result<Vec<Seen>> {
        let there: Vec<Sha256> = self.peer.ask(&serde_json::to_string(&seed)?)?;
        let seen = |(window, there): (&Window, Sha256)| {
            Ok(Seen {
                name: window.name.to_owned(),
                here: window.digest()?,
                there,
            })
        };
        self.windows.iter().zip(there).map(seen).collect()
    }
}

impl Window {
    fn map(name: &'static str, file: &File) -> io::Result<Self> {
        let map = MmapOptions::new().len(2 * HALF).map_raw(file)?;
        Ok(Self { name, map })
    }

    /// As `/proc/PID/map_files` names it.
    fn range(&self) -> String {
        let start = self.address(0);
        format!("{start:x}-{:x}", self.address(2 * HALF))
    }

    fn address(&self, at: usize) -> u64 {
        (self.map.as_ptr().addr() + at) as u64
    }

    fn read(&self, at: usize, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        File::open("/proc/self/mem")?.read_exact_at(&mut bytes, self.address(at))?;
        Ok(bytes)
    }

    fn write(&self, at: usize, bytes: &[u8]) -> io::Result<()> {
        let memory = File::options().write(true).open("/proc/self/mem")?;
        memory.write_all_at(bytes, self.address(at))
    }

    fn digest(&self) -> io::Result<Sha256> {
        Ok(Sha256::of(self.read(0, 2 * HALF)?))
    }
}

/// Fills one half of each window.
fn write(windows: &[Window], at: usize, seed: u64) -> io::Result<()> {
    let mut pattern = Pattern::new(seed);
    windows
        .iter()
        .try_for_each(|window| window.write(at, &pattern.take(HALF)))
}

fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).open(path)
}

fn open_named(stage: &Stage) -> io::Result<File> {
    if !Path::new("/dev/shm").is_dir() {
        return Err(absent("there is no /dev/shm"));
    }
    let flags = shm::OFlags::RDWR | shm::OFlags::CREATE | shm::OFlags::EXCL;
    let mode = Mode::RUSR | Mode::WUSR;
    Ok(shm::open(stage.own_name(), flags, mode)?.into())
}

fn sized(file: File) -> io::Result<File> {
    file.set_len(2 * HALF as u64)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(here: &str, there: &str) -> Vec<Seen> {
        vec![Seen {
            name: "memory".into(),
            here: Sha256::of(here),
            there: Sha256::of(there),
        }]
    }

    fn state(windows: Vec<Seen>, later: Option<Vec<Seen>>) -> State {
        State {
            cycle: 1,
            windows,
            later,
        }
    }

    #[test]
    fn each_fault_is_told() {
        let before = state(seen("a", "a"), None);
        for (after, fault) in [
            (state(seen("a", "a"), Some(seen("b", "b"))), None),
            (state(seen("x", "a"), Some(seen("b", "b"))), Some("the shared memory")),
            (
                state(seen("a", "a"), Some(seen("b", "c"))),
                Some("memory was not shared after the restore"),
            ),
            (state(seen("a", "a"), None), Some("not tried")),
        ] {
            let faults = Shared::judge(&before, &after).join("; ");
            assert_eq!(faults.is_empty(), fault.is_none(), "{faults}");
            assert!(faults.contains(fault.unwrap_or_default()), "{faults}");
        }
    }

    #[test]
    fn what_is_written_through_a_window_is_in_the_file() -> io::Result<()> {
        let file = sized(tempfile::tempfile()?)?;
        let window = Window::map("a file", &file)?;
        window.write(5, b"word")?;
        assert_eq!(window.read(5, 4)?, b"word");
        let mut bytes = [0; 4];
        file.read_exact_at(&mut bytes, 5)?;
        assert_eq!(&bytes, b"word");
        Ok(())
    }
}
