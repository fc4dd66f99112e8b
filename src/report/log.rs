//! The machine-readable log: one JSON object per line, each with its time since the start.

use std::fmt;
use std::io::Write;
use std::sync::Mutex;
use std::time::Instant;

use serde::Serialize;

use super::{Event, Sink};

/// Writes events as JSON lines.
pub struct Log<W: Write + Send> {
    out: Mutex<W>,
    started: Instant,
}

#[derive(Serialize)]
struct Entry<'a> {
    seconds: f64,
    #[serde(flatten)]
    event: &'a Event,
}

impl<W: Write + Send> Log<W> {
    /// Writes to `out`; times count from now.
    pub fn new(out: W) -> Self {
        Self {
            out: Mutex::new(out),
            started: Instant::now(),
        }
    }
}

impl<W: Write + Send> fmt::Debug for Log<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log")
    }
}

impl<W: Write + Send> Sink for Log<W> {
    fn take(&self, event: &Event) {
        // Thousands of objects would drown the log; start and end tell enough.
        if matches!(event, Event::Moved { .. }) {
            return;
        }
        let entry = Entry {
            seconds: self.started.elapsed().as_secs_f64(),
            event,
        };
        if let (Ok(line), Ok(mut out)) = (serde_json::to_string(&entry), self.out.lock()) {
            // A full disk must not stop the work that may be about to free it.
            let _full = writeln!(out, "{line}");
        }
    }
}
