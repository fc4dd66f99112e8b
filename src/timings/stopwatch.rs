//! Notes when the stretches of a run began and were over.
//!
//! In: a reporter's events. Out: [`Span`]s. Must not draw, nor know what a stretch is.

use std::sync::Mutex;
use std::time::Instant;

use crate::report::{Event, Sink};

/// A stretch of work, in seconds since the clock was started.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// What was done.
    pub name: &'static str,
    /// When it began.
    pub start: f64,
    /// When it was over.
    pub end: f64,
}

/// A clock that a reporter tells.
#[derive(Debug)]
pub struct Stopwatch {
    started: Instant,
    spans: Mutex<Vec<Running>>,
}

#[derive(Debug)]
struct Running {
    number: u64,
    name: &'static str,
    start: f64,
    end: Option<f64>,
}

impl Stopwatch {
    /// Starts the clock.
    #[must_use]
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
            spans: Mutex::default(),
        }
    }

    /// When it was started.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Seconds since then.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// All stretches, in the order in which they began; what is not over ends now.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        let now = self.seconds();
        let Ok(spans) = self.spans.lock() else {
            return Vec::new();
        };
        let span = |running: &Running| Span {
            name: running.name,
            start: running.start,
            end: running.end.unwrap_or(now),
        };
        spans.iter().map(span).collect()
    }
}

impl Sink for Stopwatch {
    fn take(&self, event: &Event) {
        let now = self.seconds();
        let Ok(mut spans) = self.spans.lock() else {
            return;
        };
        match event {
            Event::Began { span, name } => spans.push(Running {
                number: *span,
                name,
                start: now,
                end: None,
            }),
            Event::Over { span } => {
                let running = spans.iter_mut().rev();
                running
                    .filter(|running| running.number == *span)
                    .for_each(|running| running.end = Some(now));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::report::{Reporter, Unit};

    #[test]
    fn stretches_are_noted_side_by_side_too() {
        let watch = Arc::new(Stopwatch::start());
        let reporter = Reporter::silent().and(Box::new(Arc::clone(&watch)));
        let answer = reporter.timed("fetch", || {
            thread::sleep(Duration::from_millis(15));
            reporter.note("nothing to measure");
            drop(reporter.task("unpacking", Unit::Files, None));
            7
        });
        let ((begun, wait_for_it), (over, wait_for_end)) = (channel(), channel());
        thread::scope(|scope| {
            let check = move || {
                begun.send(()).unwrap();
                wait_for_end.recv().unwrap();
            };
            let reporter = &reporter;
            scope.spawn(move || reporter.timed("check", check));
            wait_for_it.recv().unwrap();
            reporter.timed("config", || ());
            over.send(()).unwrap();
        });
        let spans = watch.spans();
        let names: Vec<&str> = spans.iter().map(|span| span.name).collect();
        assert_eq!((answer, names), (7, vec!["fetch", "check", "config"]));
        assert!(spans[0].end >= spans[0].start + 0.015);
        assert!(spans[1].start <= spans[2].start && spans[1].end >= spans[2].end);
        assert!(spans[2].end <= watch.seconds());
    }
}
