//! Plain lines, for logs, pipes and CI: a stage, a note, a warning each on a line of its own, and long
//! tasks a line now and then.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::{Event, Sink, Unit, size};

/// A running task says so no more often than this.
const EVERY: Duration = Duration::from_secs(15);

/// Writes events as plain lines.
pub struct Lines<W: Write + Send> {
    state: Mutex<State<W>>,
    details: bool,
}

struct State<W> {
    out: W,
    tasks: BTreeMap<u64, Running>,
    /// The last stage that began.
    stage: String,
    /// When the last line was written.
    said: Instant,
}

struct Running {
    label: String,
    unit: Unit,
    total: Option<u64>,
    said: Instant,
}

impl<W: Write + Send> Lines<W> {
    /// Writes to `out`; `details` adds what `-v` shows.
    pub fn new(out: W, details: bool) -> Self {
        Self {
            state: Mutex::new(State {
                out,
                tasks: BTreeMap::new(),
                stage: String::new(),
                said: Instant::now(),
            }),
            details,
        }
    }

    /// Says what is going on if nothing was said for `silence`, and returns how long it can wait to look again.
    pub fn beat(&self, silence: Duration) -> Duration {
        let Ok(mut state) = self.state.lock() else {
            return silence;
        };
        match silence.checked_sub(state.said.elapsed()) {
            Some(left) if !left.is_zero() => left,
            _ => {
                let line = state.going_on();
                state.say(&line);
                silence
            }
        }
    }
}

impl<W: Write + Send> fmt::Debug for Lines<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lines")
    }
}

impl<W: Write + Send> Sink for Lines<W> {
    fn take(&self, event: &Event) {
        let Ok(mut state) = self.state.lock() else {
            return;
        };
        if let Some(line) = state.line(event, self.details) {
            state.say(&line);
        }
    }
}

impl<W: Write> State<W> {
    fn say(&mut self, line: &str) {
        self.said = Instant::now();
        // A closed pipe on the other side must not stop the work.
        let _closed = writeln!(self.out, "{line}");
    }
}

impl<W> State<W> {
    /// What is being done, for a log that was silent.
    fn going_on(&self) -> String {
        let tasks: Vec<_> = self
            .tasks
            .values()
            .map(|task| task.label.as_str())
            .collect();
        let stage = match self.stage.as_str() {
            "" => "at work",
            stage => stage,
        };
        match tasks.as_slice() {
            [] => format!("  still at it: {stage}"),
            tasks => format!("  still at it: {stage}, {}", tasks.join(", ")),
        }
    }

    fn line(&mut self, event: &Event, details: bool) -> Option<String> {
        match event {
            Event::Stage { stage, what } => {
                self.stage = format!("{stage} {what}");
                Some(format!("{stage}: {what}"))
            }
            Event::Note { text } => Some(format!("  {text}")),
            Event::Warning { text } => Some(format!("  warning: {text}")),
            Event::Detail { text } => details.then(|| format!("  {text}")),
            Event::Began { .. } | Event::Over { .. } => None,
            Event::Started {
                task,
                label,
                unit,
                total,
            } => {
                let running = Running {
                    label: label.clone(),
                    unit: *unit,
                    total: *total,
                    said: Instant::now(),
                };
                self.tasks.insert(*task, running);
                None
            }
            Event::Moved {
                task,
                done,
                current,
            } => self.moved(*task, *done, current.as_deref()),
            Event::Ended {
                task,
                done,
                seconds,
            } => {
                let task = self.tasks.remove(task)?;
                Some(format!(
                    "  {}: {} in {seconds:.1} s",
                    task.label,
                    amount(*done, task.unit)
                ))
            }
        }
    }

    fn moved(&mut self, task: u64, done: u64, current: Option<&str>) -> Option<String> {
        let task = self
            .tasks
            .get_mut(&task)
            .filter(|task| task.said.elapsed() >= EVERY)?;
        task.said = Instant::now();
        let of = task
            .total
            .map(|total| format!(" of {}", amount(total, task.unit)))
            .unwrap_or_default();
        let current = current
            .map(|current| format!(" ({current})"))
            .unwrap_or_default();
        Some(format!(
            "  {}: {}{of}{current}",
            task.label,
            amount(done, task.unit)
        ))
    }
}

/// An amount with its unit, as people write it.
pub(super) fn amount(n: u64, unit: Unit) -> String {
    match unit {
        Unit::Bytes => size(n),
        Unit::Files => format!("{n} files"),
        Unit::Objects => format!("{n} objects"),
        Unit::Steps => format!("{n} steps"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Heartbeat, Reporter};
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0
                .lock()
                .map_err(|_| std::io::ErrorKind::Other)?
                .extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_whole_story() {
        let out = Shared::default();
        let reporter = Reporter::new(vec![Box::new(Lines::new(out.clone(), false))]);
        reporter.stage("source", "6.1.21.2");
        let task = reporter.task("unpacking", Unit::Files, Some(3));
        task.advance(3);
        drop(task);
        reporter.warn("look");
        reporter.detail("not shown");
        let text = String::from_utf8(out.0.lock().expect("not poisoned").clone()).expect("text");
        assert_eq!(
            text,
            "source: 6.1.21.2\n  unpacking: 3 files in 0.0 s\n  warning: look\n"
        );
    }

    #[test]
    fn a_silent_log_shows_signs_of_life() {
        let out = Shared::default();
        let lines = Arc::new(Lines::new(out.clone(), false));
        let reporter = Reporter::new(vec![Box::new(Arc::clone(&lines))]);
        let heartbeat = Heartbeat::over(Arc::clone(&lines), Duration::from_millis(20));
        reporter.stage("build", "6.1.21.2");
        let task = reporter.task("compiling", Unit::Objects, None);
        std::thread::sleep(Duration::from_millis(200));
        drop(heartbeat);
        drop(task);
        let text = String::from_utf8(out.0.lock().expect("not poisoned").clone()).expect("text");
        let beats = text
            .matches("still at it: build 6.1.21.2, compiling\n")
            .count();
        assert!((1..=10).contains(&beats), "{text}");
        assert!(text.ends_with("compiling: 0 objects in 0.2 s\n"), "{text}");
    }

    #[test]
    fn amounts() {
        assert_eq!(amount(5, Unit::Bytes), "5 B");
        assert_eq!(amount(2048, Unit::Bytes), "2 KiB");
        assert_eq!(amount(3 * (1 << 20) / 2, Unit::Bytes), "1.5 MiB");
    }
}
