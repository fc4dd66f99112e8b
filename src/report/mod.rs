//! What stages have to say while they work, and the one place that draws it.
//!
//! In: [`Event`]s from the stages, through a [`Reporter`]. Out: whatever its [`Sink`]s make of them:
//! [`Terminal`] bars, plain [`Lines`], a machine-readable log. Must not know what the stages do.
//! Order: a task starts, moves on, ends; messages come in the order in which they were sent.

mod cases;
mod heartbeat;
pub mod html;
mod lines;
mod log;
mod size;
mod terminal;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

pub use self::cases::{Case, Cases, Outcome};
pub use self::heartbeat::{Heartbeat, SILENCE};
pub use self::lines::Lines;
pub use self::log::Log;
pub use self::size::size;
pub use self::terminal::Terminal;

/// What the numbers of a task count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Bytes moved.
    Bytes,
    /// Files written or read.
    Files,
    /// Compiled units of a kernel.
    Objects,
    /// Scenarios, checks and other whole steps.
    Steps,
}

/// Something a stage has to say.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Event {
    /// A stage begins: "source", "config", "build" …, and what it is about.
    Stage {
        /// The stage's name.
        stage: &'static str,
        /// What it works on.
        what: String,
    },
    /// Work with a known unit begins.
    Started {
        /// Number of the task, unique in this run.
        task: u64,
        /// What is done, as a verb in -ing: "downloading".
        label: String,
        /// What is counted.
        unit: Unit,
        /// How many there will be, when known.
        total: Option<u64>,
    },
    /// A task moved on.
    Moved {
        /// Number of the task.
        task: u64,
        /// How many are done by now.
        done: u64,
        /// What is being worked on, where that is of interest.
        current: Option<String>,
    },
    /// A task ended, well or not.
    Ended {
        /// Number of the task.
        task: u64,
        /// How many were done.
        done: u64,
        /// Time it took, in seconds.
        seconds: f64,
    },
    /// Something the user may like to know.
    Note {
        /// One sentence.
        text: String,
    },
    /// Something that the user should look at, though the work goes on.
    Warning {
        /// One sentence.
        text: String,
    },
    /// A detail for `-v` and the log: a command line, a tool's own words.
    Detail {
        /// One line.
        text: String,
    },
    /// A stretch of work begins. For whoever measures; nobody draws it.
    Began {
        /// Number of the stretch, unique in this run.
        span: u64,
        /// What is done, the same word each time it is done.
        name: &'static str,
    },
    /// A stretch of work is over, well or not.
    Over {
        /// Number of the stretch.
        span: u64,
    },
}

/// Takes events and draws, writes or keeps them.
pub trait Sink: Send + Sync + fmt::Debug {
    /// Takes the next event. Must not fail: a broken terminal must not stop a build.
    fn take(&self, event: &Event);
}

/// What stages hold to speak through. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Reporter {
    sinks: Arc<Vec<Box<dyn Sink>>>,
    next_task: Arc<AtomicU64>,
}

impl Reporter {
    /// A reporter that hands every event to each of `sinks`, in order.
    #[must_use]
    pub fn new(sinks: Vec<Box<dyn Sink>>) -> Self {
        Self {
            sinks: Arc::new(sinks),
            next_task: Arc::default(),
        }
    }

    /// A reporter that tells whom this one tells, and `sink`.
    #[must_use]
    pub fn and(&self, sink: Box<dyn Sink>) -> Self {
        Self {
            sinks: Arc::new(vec![Box::new(self.clone()), sink]),
            next_task: Arc::clone(&self.next_task),
        }
    }

    /// A reporter that tells nobody.
    #[must_use]
    pub fn silent() -> Self {
        Self::default()
    }

    /// Sends an event.
    pub fn send(&self, event: &Event) {
        self.sinks.iter().for_each(|sink| sink.take(event));
    }

    /// A stage begins.
    pub fn stage(&self, stage: &'static str, what: impl Into<String>) {
        self.send(&Event::Stage {
            stage,
            what: what.into(),
        });
    }

    /// Something the user may like to know.
    pub fn note(&self, text: impl Into<String>) {
        self.send(&Event::Note { text: text.into() });
    }

    /// Something the user should look at.
    pub fn warn(&self, text: impl Into<String>) {
        self.send(&Event::Warning { text: text.into() });
    }

    /// A detail for the curious and for the log.
    pub fn detail(&self, text: impl Into<String>) {
        self.send(&Event::Detail { text: text.into() });
    }

    /// Does `work` and lets whoever measures know how long it took.
    pub fn timed<T>(&self, name: &'static str, work: impl FnOnce() -> T) -> T {
        let span = self.next_task.fetch_add(1, Ordering::Relaxed);
        self.send(&Event::Began { span, name });
        let done = work();
        self.send(&Event::Over { span });
        done
    }

    /// Work with a known unit begins; it ends when the returned [`Task`] is dropped.
    #[must_use]
    pub fn task(&self, label: impl Into<String>, unit: Unit, total: Option<u64>) -> Task {
        let task = self.next_task.fetch_add(1, Ordering::Relaxed);
        self.send(&Event::Started {
            task,
            label: label.into(),
            unit,
            total,
        });
        Task {
            reporter: self.clone(),
            task,
            done: AtomicU64::new(0),
            started: Instant::now(),
        }
    }
}

impl<S: Sink> Sink for Arc<S> {
    fn take(&self, event: &Event) {
        self.as_ref().take(event);
    }
}

impl Sink for Reporter {
    fn take(&self, event: &Event) {
        self.send(event);
    }
}

/// Work in progress. May be moved on from several threads.
#[derive(Debug)]
pub struct Task {
    reporter: Reporter,
    task: u64,
    done: AtomicU64,
    started: Instant,
}

impl Task {
    /// `n` more are done.
    pub fn advance(&self, n: u64) {
        self.moved(n, None);
    }

    /// `n` more are done and `current` is being worked on.
    pub fn advance_to(&self, n: u64, current: &str) {
        self.moved(n, Some(current.to_owned()));
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn moved(&self, n: u64, current: Option<String>) {
        let done = self.done.fetch_add(n, Ordering::Relaxed) + n;
        self.reporter.send(&Event::Moved {
            task: self.task,
            done,
            current,
        });
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let done = self.done.load(Ordering::Relaxed);
        let seconds = self.elapsed().as_secs_f64();
        self.reporter.send(&Event::Ended {
            task: self.task,
            done,
            seconds,
        });
    }
}
