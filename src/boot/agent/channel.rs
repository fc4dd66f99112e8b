//! The agent's two voices: JSON lines for the host on the second serial port, plain ones in the kernel's log.

use std::fs::File;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::{Event, Said};

/// The port that the host reads.
const PORT: &str = "/dev/ttyS1";
/// Where the events go when the kernel has no second port.
const CONSOLE: &str = "/dev/console";
/// What is written here is on the console as one whole line, whatever else the kernel has to say.
const LOG: &str = "/dev/kmsg";

/// Where the agent speaks. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Channel(Arc<Mutex<Voices>>);

#[derive(Debug, Default)]
struct Voices {
    port: Option<File>,
    log: Option<File>,
}

impl Channel {
    /// Opens both; needs `/dev`. A voice that cannot be opened is done without.
    pub(super) fn open() -> Self {
        let writer = |path| File::options().write(true).open(path).ok();
        let port = writer(PORT).or_else(|| writer(CONSOLE));
        Self(Arc::new(Mutex::new(Voices {
            port,
            log: writer(LOG),
        })))
    }

    /// Tells the host, and the log in short.
    pub(super) fn say(&self, event: Event) {
        self.log(&short(&event));
        let said = Said {
            at: uptime().as_secs_f64(),
            what: event,
        };
        let Ok(mut line) = serde_json::to_string(&said) else {
            return;
        };
        line.push('\n');
        let mut voices = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(port) = &mut voices.port {
            // Nobody is left to tell when this fails; the host takes silence for what it is.
            let _silent = port.write_all(line.as_bytes());
        }
    }

    /// Writes a line to the kernel's log only.
    pub(super) fn log(&self, text: &str) {
        let mut voices = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = &mut voices.log {
            let text: String = text.replace('\n', " | ").chars().take(800).collect();
            let _silent = log.write_all(format!("<5>wslk: {text}\n").as_bytes());
        }
    }

    /// Waits until all that was said has left the machine.
    pub(super) fn drain(&self) {
        let voices = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(port) = &voices.port {
            let _undrained = rustix::termios::tcdrain(port);
        }
    }
}

/// Time since the kernel started.
pub(super) fn uptime() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(
        now.tv_sec.unsigned_abs(),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

fn short(event: &Event) -> String {
    match event {
        Event::Started { release, .. } => format!("agent started on {release}"),
        Event::Phase { name } => format!("phase {name}"),
        Event::Failed { failure } => format!("failed: {}", failure.reason),
        Event::Untested { reason } => format!("untested: {reason}"),
        Event::Config { matches } => format!("config matches: {matches}"),
        Event::Modules { report } => {
            let word = |works| if works { "works" } else { "fails" };
            format!(
                "{} modules: flat {}, nested {}",
                report.count,
                word(report.flat.works),
                word(report.nested.works)
            )
        }
        Event::Scenario { name } => format!("scenario {name}"),
        Event::Judged { report } => {
            let reason = report
                .reason
                .as_deref()
                .map(|reason| format!(": {reason}"))
                .unwrap_or_default();
            format!("scenario {} {}{reason}", report.name, report.verdict)
        }
        Event::Smoke { report } => format!("smoke {}", report.verdict()),
        Event::Finished => "finished".to_owned(),
    }
}
