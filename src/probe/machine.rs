//! The facts of the machine that the rows are about, and what its kernel says about the GPU meanwhile.
//!
//! In: `/proc`, and what the first part told about the driver. Out: a [`Machine`]. Must not judge.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::exec::{Cmd, Runner};
use crate::process;
use crate::wsl::host::{Surroundings, Wsl};

/// What was measured on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// `uname -r`.
    pub kernel: String,
    /// 1 or 2 inside WSL; nothing outside.
    pub wsl: Option<u32>,
    /// `PRETTY_NAME` of the distribution.
    pub system: Option<String>,
    /// The processor's own name.
    pub processor: Option<String>,
    /// How many of them this process may use.
    pub processors: usize,
    /// Memory in bytes.
    pub memory: u64,
    /// Whether `/dev/dxg` is there, through which WSL reaches the GPU.
    pub dxg: bool,
    /// Facts told by the driver, by name: `library`, `driver`, `cuda`, one `gpu` for each.
    pub driver: Vec<Fact>,
    /// Our own version.
    pub wslk: String,
}

/// A fact by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl Machine {
    /// Looks around, and adds what the driver told.
    pub(super) fn look(surroundings: &Surroundings, told: Vec<(String, String)>) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self {
            kernel: surroundings.release.clone(),
            wsl: match surroundings.wsl() {
                Wsl::No => None,
                Wsl::One => Some(1),
                Wsl::Two => Some(2),
            },
            system: quoted(&read("/etc/os-release"), "PRETTY_NAME="),
            processor: after_colon(&read("/proc/cpuinfo"), "model name"),
            processors: process::cpus(),
            memory: memory(&read("/proc/meminfo")),
            dxg: Path::new("/dev/dxg").exists(),
            driver: told
                .into_iter()
                .map(|(name, value)| Fact { name, value })
                .collect(),
            wslk: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

fn quoted(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim_matches('"').to_owned())
}

fn after_colon(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn memory(meminfo: &str) -> u64 {
    let value = after_colon(meminfo, "MemTotal");
    let kib = value.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Text that was written over several lines of source.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The kernel's own lines about GPUs up to a moment.
#[derive(Debug)]
pub(super) struct KernelTalk(usize);

/// Lines that are kept.
const KEPT: usize = 4;

impl KernelTalk {
    /// As much as there is by now.
    pub(super) fn now(runner: &dyn Runner) -> Self {
        Self(gpu_lines(runner).len())
    }

    /// What was added since: the last lines.
    pub(super) fn since(&self, runner: &dyn Runner) -> Vec<String> {
        let lines = gpu_lines(runner);
        let new = lines.get(self.0..).unwrap_or_default();
        let last = new.len().saturating_sub(KEPT);
        new[last..]
            .iter()
            .map(|line| format!("kernel: {line}"))
            .collect()
    }
}

/// Who may not read the kernel's log, or has no `dmesg`, sees none.
fn gpu_lines(runner: &dyn Runner) -> Vec<String> {
    let cmd = Cmd::new("dmesg").total(Duration::from_secs(5));
    let Ok(output) = runner.run(&cmd) else {
        return Vec::new();
    };
    let about_gpus = |line: &&str| {
        ["dxgk", "NVRM", "nvidia"]
            .iter()
            .any(|word| line.contains(word))
    };
    output
        .text()
        .lines()
        .filter(about_gpus)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::Script;

    #[test]
    fn reads_the_usual_files() {
        assert_eq!(
            quoted(
                "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n",
                "PRETTY_NAME="
            )
            .as_deref(),
            Some("Debian GNU/Linux 12")
        );
        assert_eq!(
            after_colon(
                "processor\t: 0\nmodel name\t: A CPU @ 2 GHz\n",
                "model name"
            )
            .as_deref(),
            Some("A CPU @ 2 GHz")
        );
        assert_eq!(memory("MemTotal:       16 kB\nMemFree: 1 kB\n"), 16 * 1024);
        assert_eq!(memory(""), 0);
        assert_eq!(one_line("a  b\n   c"), "a b c");
    }

    #[test]
    fn only_new_lines_about_gpus_are_told() {
        let script = Script::default()
            .says("dmesg", "[1] dxgk: old\n[1] eth0\n")
            .says(
                "dmesg",
                "[1] dxgk: old\n[1] eth0\n[2] dxgkio_make_resident: -12\n[3] usb\n",
            );
        let talk = KernelTalk::now(&script);
        assert_eq!(
            talk.since(&script),
            ["kernel: [2] dxgkio_make_resident: -12"]
        );
    }
}
