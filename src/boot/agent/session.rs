//! What the agent does, in order.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::channel::Channel;
use super::{Event, Orders, modules, setup};
use crate::boot::{Failure, FailureKind};
use crate::digest::Sha256;
use crate::exec::Duct;
use crate::process::Interrupt;
use crate::smoke::{self, Progress, SuiteOptions};

/// The agent says something at least this often.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Carries out the orders; whatever goes wrong is said. Returns the exit code.
pub(super) fn run(orders: &Result<Orders, String>) -> u8 {
    let failures = setup::mounts();
    let session = Session {
        channel: Channel::open(),
        phase: Arc::default(),
    };
    session.report_panics();
    session.channel.say(started());
    session.phase("setup");
    for failure in failures {
        session.fail(failure);
    }
    match orders {
        Ok(orders) => session.carry_out(orders),
        Err(reason) => session.channel.say(Event::Untested {
            reason: reason.clone(),
        }),
    }
    session.channel.say(Event::Finished);
    session.channel.drain();
    0
}

fn started() -> Event {
    let name = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let cmdline = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    Event::Started {
        release: text(name.release()),
        version: text(name.version()),
        cmdline: cmdline.trim().to_owned(),
    }
}

struct Session {
    channel: Channel,
    /// What is being done, and since when.
    phase: Arc<Mutex<Option<(String, Instant)>>>,
}

impl Session {
    fn carry_out(&self, orders: &Orders) {
        setup::conveniences();
        if let Err(e) = setup::loopback() {
            let reason = format!("the loopback interface cannot be brought up: {e}");
            self.fail(failure(FailureKind::Setup, reason, &["NET", "INET"]));
        }
        self.keep_talking();
        self.identity(orders);
        if orders.modules {
            self.phase("modules");
            self.modules(&release());
        }
        self.phase("smoke");
        self.smoke(orders);
        self.phase("end");
    }

    /// Whether this is the kernel that was built.
    fn identity(&self, orders: &Orders) {
        if release() != orders.release {
            let reason = format!(
                "the running kernel calls itself {}, built was {}",
                release(),
                orders.release
            );
            self.fail(failure(FailureKind::Identity, reason, &["LOCALVERSION"]));
        }
        let Some(wanted) = orders.config else { return };
        match config_digest() {
            Ok(found) => {
                self.channel.say(Event::Config {
                    matches: found == wanted,
                });
                if found != wanted {
                    let reason = "/proc/config.gz is not the config that was built".to_owned();
                    self.fail(failure(FailureKind::Identity, reason, &[]));
                }
            }
            Err(e) => {
                self.channel.say(Event::Config { matches: false });
                let reason = format!("/proc/config.gz cannot be read: {e}");
                self.fail(failure(FailureKind::Identity, reason, &["IKCONFIG_PROC"]));
            }
        }
    }

    fn modules(&self, release: &str) {
        match modules::prove(release, &Duct::new(Interrupt::default())) {
            Ok(report) => {
                for (layout, found) in [("flat", &report.flat), ("nested", &report.nested)] {
                    if !found.works {
                        let reason =
                            format!("the {layout} modules layout: {}", found.problems.join("; "));
                        self.fail(failure(
                            FailureKind::Modules,
                            reason,
                            &["MODULES", "OVERLAY_FS"],
                        ));
                    }
                }
                self.channel.say(Event::Modules { report });
            }
            Err(reason) => {
                let options = ["SCSI_VIRTIO", "VIRTIO_PCI", "BLK_DEV_SD", "EXT4_FS"];
                self.fail(failure(FailureKind::Modules, reason, &options));
            }
        }
    }

    fn smoke(&self, orders: &Orders) {
        let mut options = SuiteOptions::new("/init", "/tmp/wslk-smoke");
        options.only.clone_from(&orders.scenarios);
        options.cycles = orders.cycles;
        options.tamper = orders.tamper;
        options.parallel = orders.parallel;
        options.deadline = Duration::from_secs(orders.scenario_seconds);
        let runner = Duct::new(Interrupt::default());
        let report = smoke::run(&options, &runner, &mut |progress| match progress {
            Progress::Started { name } => self.channel.say(Event::Scenario { name }),
            Progress::Judged { report } => self.channel.say(Event::Judged { report }),
            Progress::Planned { .. } | Progress::Cycle { .. } => {}
        });
        self.channel.say(Event::Smoke { report });
    }

    fn phase(&self, name: &str) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((name.to_owned(), Instant::now()));
        self.channel.say(Event::Phase {
            name: name.to_owned(),
        });
    }

    fn fail(&self, failure: Failure) {
        self.channel.say(Event::Failed { failure });
    }

    /// A panic of ours is news, too: without this it would only be a text on the console.
    fn report_panics(&self) {
        let channel = self.channel.clone();
        std::panic::set_hook(Box::new(move |panic| {
            channel.say(Event::Untested {
                reason: format!("the agent panicked: {panic}"),
            });
        }));
    }

    /// Lets the host tell long work from a hang.
    fn keep_talking(&self) {
        let (channel, phase) = (self.channel.clone(), Arc::clone(&self.phase));
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(HEARTBEAT);
                let phase = phase.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some((name, since)) = phase.as_ref() {
                    channel.log(&format!(
                        "still in phase {name} after {} s",
                        since.elapsed().as_secs()
                    ));
                }
            }
        });
    }
}

fn release() -> String {
    rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned()
}

fn config_digest() -> std::io::Result<Sha256> {
    let mut text = Vec::new();
    let file = fs::File::open(Path::new("/proc/config.gz"))?;
    flate2::read::GzDecoder::new(file).read_to_end(&mut text)?;
    Ok(Sha256::of(text))
}

fn failure(kind: FailureKind, reason: String, options: &[&str]) -> Failure {
    let options = options.iter().map(|option| (*option).to_owned()).collect();
    Failure {
        kind,
        reason,
        scenario: None,
        options,
        excerpt: Vec::new(),
    }
}
