//! Progress bars and messages on a terminal; the only user of indicatif.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{Event, Sink, Unit};

/// Draws events on standard error.
#[derive(Debug)]
pub struct Terminal {
    bars: MultiProgress,
    tasks: Mutex<BTreeMap<u64, ProgressBar>>,
    details: bool,
    colour: bool,
}

impl Terminal {
    /// `details` adds what `-v` shows; `colour` allows it (it never carries meaning alone).
    #[must_use]
    pub fn new(details: bool, colour: bool) -> Self {
        Self {
            bars: MultiProgress::new(),
            tasks: Mutex::default(),
            details,
            colour,
        }
    }

    fn say(&self, text: &str) {
        // A terminal that is gone must not stop the work.
        let _gone = self.bars.println(text);
    }

    fn start(&self, task: u64, label: &str, unit: Unit, total: Option<u64>) {
        let bar = self
            .bars
            .add(total.map_or_else(ProgressBar::new_spinner, ProgressBar::new));
        bar.set_style(style(unit, total.is_some()));
        bar.set_prefix(label.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        if let Ok(mut tasks) = self.tasks.lock() {
            tasks.insert(task, bar);
        }
    }

    fn bar(&self, task: u64) -> Option<ProgressBar> {
        self.tasks.lock().ok()?.get(&task).cloned()
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

impl Sink for Terminal {
    fn take(&self, event: &Event) {
        match event {
            Event::Stage { stage, what } => {
                self.say(&format!("{} {what}", self.paint("1", &format!("{stage}:"))))
            }
            Event::Note { text } => self.say(&format!("  {text}")),
            Event::Warning { text } => {
                self.say(&format!("  {} {text}", self.paint("33", "warning:")))
            }
            Event::Detail { text } if self.details => self.say(&format!("  {text}")),
            Event::Detail { .. } | Event::Began { .. } | Event::Over { .. } => {}
            Event::Started {
                task,
                label,
                unit,
                total,
            } => self.start(*task, label, *unit, *total),
            Event::Moved {
                task,
                done,
                current,
            } => {
                let Some(bar) = self.bar(*task) else { return };
                bar.set_position(*done);
                if let Some(current) = current {
                    bar.set_message(current.clone());
                }
            }
            Event::Ended {
                task,
                done,
                seconds,
            } => {
                let Some(bar) = self
                    .tasks
                    .lock()
                    .ok()
                    .and_then(|mut tasks| tasks.remove(task))
                else {
                    return;
                };
                bar.finish_and_clear();
                self.bars.remove(&bar);
                if *done > 0 && *seconds >= 1.0 {
                    self.say(&format!("  {}: {seconds:.1} s", bar.prefix()));
                }
            }
        }
    }
}

fn style(unit: Unit, bounded: bool) -> ProgressStyle {
    let template = match (unit, bounded) {
        (Unit::Bytes, true) => {
            "  {prefix} {bar:28} {bytes}/{total_bytes} {bytes_per_sec} {eta} left"
        }
        (Unit::Bytes, false) => "  {prefix} {spinner} {bytes} {bytes_per_sec}",
        (_, true) => "  {prefix} {bar:28} {pos}/{len} {elapsed} {eta} left {wide_msg}",
        (_, false) => "  {prefix} {spinner} {pos} {elapsed} {wide_msg}",
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
