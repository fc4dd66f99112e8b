//! What runs inside the guest: this very program, first as `/init`, then as the agent that does the work.
//!
//! In: [`Orders`] from the initramfs. Out: [`Event`]s, one JSON line each, on the second serial port, and a plain
//! line each on the kernel's log. Every failure is an event, never a silent end: the host judges by what it
//! reads, and takes silence for a hang. Must not decide what a failure means; must not run outside a guest.
//!
//! `/init` (`init`) stays small, since its death is a panic: it starts the agent, reaps what is orphaned (a
//! restored process needs its old number, which a zombie would hold) and restarts the machine, which ends QEMU.

mod channel;
mod init;
mod modules;
mod session;
mod setup;

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Failure, ModulesReport};
use crate::digest::Sha256;
use crate::smoke::{ScenarioReport, SmokeReport, stage};

/// The name that `/init` starts the agent by.
const AGENT: &str = "wslk-agent";

/// What the agent is told to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// What `uname -r` has to say.
    pub release: String,
    /// SHA-256 of the config that was built, where the kernel carries its config.
    pub config: Option<Sha256>,
    /// Whether a modules disk is attached.
    pub modules: bool,
    /// The scenarios to run; all of them when empty.
    pub scenarios: Vec<String>,
    /// Cycles of each scenario.
    pub cycles: u32,
    /// Whether the victims' data is tampered with.
    pub tamper: bool,
    /// How many scenarios run at once.
    pub parallel: usize,
    /// Time for one scenario, in seconds.
    pub scenario_seconds: u64,
}

impl Orders {
    /// Where the agent finds them.
    pub const PATH: &str = "/wslk/orders.json";

    /// As the initramfs carries them.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }
}

/// Something that the agent found out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Event {
    /// Userspace is there.
    Started {
        /// `uname -r`.
        release: String,
        /// `uname -v`.
        version: String,
        /// `/proc/cmdline`.
        cmdline: String,
    },
    /// A part of the work begins.
    Phase {
        /// Its name.
        name: String,
    },
    /// The kernel did something wrong.
    Failed {
        /// What it was.
        failure: Failure,
    },
    /// Something could not be tested, and that is not the kernel's fault.
    Untested {
        /// Why not.
        reason: String,
    },
    /// The running kernel's config was compared with the one that was built.
    Config {
        /// Whether they are the same.
        matches: bool,
    },
    /// The modules disk was tried.
    Modules {
        /// What it does.
        report: ModulesReport,
    },
    /// A scenario begins.
    Scenario {
        /// Its name.
        name: String,
    },
    /// A scenario was judged.
    Judged {
        /// The verdict and all that belongs to it.
        report: ScenarioReport,
    },
    /// The whole suite has been run.
    Smoke {
        /// What it found.
        report: SmokeReport,
    },
    /// All orders were carried out.
    Finished,
}

/// One line of the agent's channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// Seconds since the kernel started.
    pub at: f64,
    /// What was found out.
    pub what: Event,
}

/// Reads the agent's channel. A last line that broke off is left out; what is no event of ours is, too.
#[must_use]
pub fn parse(text: &str) -> Vec<Said> {
    text.lines()
        .filter_map(|line| serde_json::from_str(line.trim()).ok())
        .collect()
}

/// Plays the guest's part where this process is a guest's `/init` or its agent, and returns the exit code;
/// `None` for everybody else. A container may well start wslk as process 1, so the orders decide; and so may a
/// victim in the guest itself be one, in a process namespace of its own.
#[must_use]
pub fn run_if_called(args: &[OsString]) -> Option<u8> {
    let victim = args.get(1).is_some_and(|verb| verb == stage::VERB);
    if victim || !Path::new(Orders::PATH).is_file() {
        return None;
    }
    let name = args.first();
    if rustix::process::getpid().is_init() {
        return Some(init::run());
    }
    (name.is_some_and(|name| name == AGENT)).then(|| session::run(&orders()))
}

fn orders() -> Result<Orders, String> {
    let path = Orders::PATH;
    let text = fs::read_to_string(path).map_err(|e| format!("cannot read {path}: {e}"))?;
    serde_json::from_str(&text).map_err(|e| format!("cannot understand {path}: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_line_does_not_hide_the_others() {
        let text = "{\"at\":8.5,\"what\":{\"event\":\"phase\",\"name\":\"modules\"}}\r\nrubbish\r\n{\"at\":9.0,\"wh";
        let said = parse(text);
        assert_eq!(
            said,
            [Said {
                at: 8.5,
                what: Event::Phase {
                    name: "modules".into()
                }
            }]
        );
    }

    #[test]
    fn orders_there_and_back() {
        let orders = Orders {
            release: "6.1.21.2-microsoft-standard-WSL2".into(),
            config: Some(Sha256::of("CONFIG_UNIX=y\n")),
            modules: true,
            scenarios: vec!["memory".into()],
            cycles: 2,
            tamper: false,
            parallel: 2,
            scenario_seconds: 60,
        };
        assert_eq!(
            serde_json::from_slice::<Orders>(&orders.to_json()).unwrap(),
            orders
        );
    }

    #[test]
    fn nobody_is_an_agent_outside_a_guest() {
        assert_eq!(run_if_called(&[AGENT.into()]), None);
    }
}
