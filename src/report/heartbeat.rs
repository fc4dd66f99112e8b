//! A sign of life in a log: what is going on, once a minute in which nothing else was said.
//!
//! In: the plain lines to watch. Out: a line of theirs. Ends when it is dropped.

use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Lines;

/// How long a log may be silent.
pub const SILENCE: Duration = Duration::from_secs(60);

/// Watches over a log's silence.
#[derive(Debug)]
pub struct Heartbeat {
    /// Dropped to end the thread.
    alive: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
    /// Has `lines` say what is going on whenever they were silent for `silence`.
    #[must_use]
    pub fn over<W: Write + Send + 'static>(lines: Arc<Lines<W>>, silence: Duration) -> Self {
        let (alive, ended) = channel();
        Self {
            alive: Some(alive),
            thread: Some(thread::spawn(move || watch(&lines, silence, &ended))),
        }
    }
}

fn watch<W: Write + Send>(lines: &Lines<W>, silence: Duration, ended: &Receiver<()>) {
    let mut wait = silence;
    while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(wait) {
        wait = lines.beat(silence);
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.alive.take();
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}
