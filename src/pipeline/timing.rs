//! Where the time of a build went, as the pipeline knows it.
//!
//! In: a context whose reporter is to be listened to, then the build that came of it and the trace of make. Out: the
//! two files in the build's folder. Must not fail a build: what cannot be written is told.

use std::sync::Arc;

use super::Context;
use crate::artefact::Build;
use crate::build::Trace;
use crate::timings::{self, Stopwatch, Subject, Timings, Written};

/// A build whose time is taken.
#[derive(Debug)]
pub(super) struct Timing {
    clock: Arc<Stopwatch>,
}

impl Timing {
    /// Starts the clock.
    pub(super) fn start() -> Self {
        Self {
            clock: Arc::new(Stopwatch::start()),
        }
    }

    /// The same context, with the clock among those who are told.
    pub(super) fn watched(&self, context: &Context) -> Context {
        Context {
            reporter: context.reporter.and(Box::new(Arc::clone(&self.clock))),
            ..context.clone()
        }
    }

    /// Writes down what was measured. A build that was there already has nothing to time.
    pub(super) fn write(
        &self,
        context: &Context,
        build: &Build,
        trace: Option<&Trace>,
    ) -> Option<Written> {
        let Some(trace) = trace else {
            context.reporter.note(nothing(build));
            return None;
        };
        let timings = Timings::new(
            subject(build),
            &self.clock.spans(),
            self.clock.seconds(),
            trace,
            trace.since(self.clock.started()).as_secs_f64(),
        );
        match timings::write(build.folder(), &timings) {
            Ok(written) => Some(written),
            Err(error) => {
                let said = error.chain();
                context
                    .reporter
                    .warn(format!("the timings were not written: {said}"));
                None
            }
        }
    }
}

fn subject(build: &Build) -> Subject {
    let manifest = build.manifest();
    Subject {
        build: manifest.id.to_string(),
        release: manifest.release.clone(),
        engine: build.run().engine.clone(),
    }
}

/// What is said where nothing was built.
fn nothing(build: &Build) -> String {
    let before = Written::in_folder(build.folder()).page;
    match before.exists() {
        true => format!(
            "nothing was built, so there is nothing to time; of when it was: {}",
            before.display()
        ),
        false => "nothing was built, so there is nothing to time".to_owned(),
    }
}
