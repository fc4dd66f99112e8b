//! Steps of make along the time: what ran when, how much of it at once, and what a moment counts for.
//!
//! In: steps with their beginnings and ends. Out: times by [`Kind`], and [`Moment`]s at equal distances. Pure.

use serde::Serialize;

use super::{Kind, KindTimes, Timed, compiles, share};
use crate::build::{Asked, Phase};
use crate::report::html::round_step;

/// About so many moments.
const MOMENTS: f64 = 60.0;
/// Pauses of a kind shorter than this share of make's time cannot be seen.
const UNSEEN: f64 = 1.0 / 500.0;

/// A moment of make, and the stretch up to the next one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moment {
    /// When it is, in seconds since the beginning of make.
    pub at: f64,
    /// Compilations of the kernel's objects that ran at the same time, in the mean of the stretch; nothing at the end.
    pub compiling: Option<f64>,
    /// Everything else likewise.
    pub others: Option<f64>,
    /// Files that the compiler cache was asked for before this moment, and had.
    pub found: u64,
    /// Files that it was asked for, and had not.
    pub missed: u64,
}

/// Stretches as one list in order; what is no further apart than `near` is joined.
pub(super) fn union(mut spans: Vec<(f64, f64)>, near: f64) -> Vec<(f64, f64)> {
    spans.retain(|(start, end)| end >= start);
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut joined: Vec<(f64, f64)> = Vec::new();
    for (start, end) in spans {
        match joined.last_mut() {
            Some(last) if start <= last.1 + near => last.1 = last.1.max(end),
            _ => joined.push((start, end)),
        }
    }
    joined
}

/// What lies between stretches that are in order, from nought to `end`.
pub(super) fn gaps(spans: &[(f64, f64)], end: f64) -> Vec<(f64, f64)> {
    let starts = std::iter::once(0.0).chain(spans.iter().map(|span| span.1));
    let ends = spans.iter().map(|span| span.0).chain(std::iter::once(end));
    starts
        .zip(ends)
        .filter(|(start, end)| end > start)
        .collect()
}

pub(super) fn length(spans: &[(f64, f64)]) -> f64 {
    spans.iter().map(|(start, end)| end - start).sum()
}

/// A stretch in which nothing begins and nothing ends, and how many of each kind run.
struct Stretch {
    start: f64,
    end: f64,
    running: [u32; Kind::ALL.len()],
}

impl Stretch {
    fn runs(&self, kind: Kind) -> bool {
        self.running[kind as usize] > 0
    }

    /// What its time counts for.
    fn counts_for(&self, phases: &[Phase]) -> Kind {
        let running = Kind::ALL.into_iter().filter(|kind| self.runs(*kind));
        running
            .min_by_key(|kind| kind.precedence())
            .unwrap_or_else(|| {
                let began = |phase: &&Phase| phase.start <= self.start;
                let phase = phases.iter().rfind(began);
                Kind::idle(phase.map_or("", |phase| phase.name.as_str()))
            })
    }
}

/// The time from `start` to `end`, cut wherever a step or a run of make begins or ends.
fn stretches(steps: &[Timed], phases: &[Phase], start: f64, end: f64) -> Vec<Stretch> {
    let clamp = |at: f64| at.clamp(start, end.max(start));
    let mut changes: Vec<(f64, Option<(Kind, bool)>)> = vec![(start, None), (end, None)];
    changes.extend(phases.iter().map(|phase| (clamp(phase.start), None)));
    for timed in steps {
        if let Some(over) = timed.step.end {
            changes.push((clamp(timed.step.start), Some((timed.kind, true))));
            changes.push((clamp(over), Some((timed.kind, false))));
        }
    }
    changes.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut running = [0_u32; Kind::ALL.len()];
    let mut found = Vec::new();
    for pair in changes.windows(2) {
        let [(at, change), (next, _)] = pair else {
            continue;
        };
        match change {
            Some((kind, true)) => running[*kind as usize] += 1,
            Some((kind, false)) => {
                let count = &mut running[*kind as usize];
                *count = count.saturating_sub(1);
            }
            None => {}
        }
        if next > at {
            found.push(Stretch {
                start: *at,
                end: *next,
                running,
            });
        }
    }
    found
}

/// What make's time went into; kinds without any are left out.
pub(super) fn kinds(steps: &[Timed], phases: &[Phase], start: f64, end: f64) -> Vec<KindTimes> {
    let stretches: Vec<(Kind, Stretch)> = stretches(steps, phases, start, end)
        .into_iter()
        .map(|stretch| (stretch.counts_for(phases), stretch))
        .collect();
    let of = |kind: Kind| {
        let steps = || steps.iter().filter(move |timed| timed.kind == kind);
        let counts = stretches.iter().filter(|(of, _)| *of == kind);
        let seconds: f64 = counts.map(|(_, stretch)| stretch.end - stretch.start).sum();
        let seen = |(of, stretch): &&(Kind, Stretch)| *of == kind || stretch.runs(kind);
        let spans = stretches
            .iter()
            .filter(seen)
            .map(|(_, stretch)| (stretch.start, stretch.end));
        KindTimes {
            kind,
            steps: steps().count() as u64,
            seconds,
            share: share(seconds, end - start),
            work: steps().filter_map(|timed| timed.step.seconds()).sum(),
            spans: union(spans.collect(), (end - start) * UNSEEN),
        }
    };
    let any = |times: &KindTimes| times.steps > 0 || times.seconds > 0.0;
    Kind::ALL.into_iter().map(of).filter(any).collect()
}

/// How much ran at the same time, and how the compiler cache did, at round distances.
pub(super) fn moments(steps: &[Timed], start: f64, end: f64) -> Vec<Moment> {
    let length = (end - start).max(0.0);
    let width = round_step(length / MOMENTS);
    let count = (length / width).ceil() as usize;
    let mut found = counted(steps, Asked::Found);
    let mut missed = counted(steps, Asked::Missed);
    let moment = |number: usize| {
        let at = (number as f64 * width).min(length);
        let to = (at + width).min(length);
        let mean = |compile: bool| {
            let overlap = |timed: &Timed| {
                let (from, over) = (timed.step.start, timed.step.end?);
                Some((over.min(start + to) - from.max(start + at)).max(0.0))
            };
            let of_kind = |timed: &&Timed| (timed.kind == Kind::Compile) == compile;
            let all: f64 = steps.iter().filter(of_kind).filter_map(overlap).sum();
            (to > at).then(|| (all / (to - at) * 100.0).round() / 100.0)
        };
        Moment {
            at: (at * 10.0).round() / 10.0,
            compiling: mean(true),
            others: mean(false),
            found: found.before(start + at, number == count),
            missed: missed.before(start + at, number == count),
        }
    };
    (0..=count).map(moment).collect()
}

/// Beginnings in order, and how many were counted already.
struct Counted {
    starts: Vec<f64>,
    passed: usize,
}

fn counted(steps: &[Timed], answer: Asked) -> Counted {
    let asked = |timed: &&Timed| compiles(&timed.step) && timed.step.cache == Some(answer);
    let mut starts: Vec<f64> = steps
        .iter()
        .filter(asked)
        .map(|timed| timed.step.start)
        .collect();
    starts.sort_by(f64::total_cmp);
    Counted { starts, passed: 0 }
}

impl Counted {
    /// How many there were before a moment that is later than the last one asked for; all of them at the `last`.
    fn before(&mut self, moment: f64, last: bool) -> u64 {
        let rest = &self.starts[self.passed..];
        self.passed += rest
            .iter()
            .take_while(|start| last || **start < moment)
            .count();
        self.passed as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{step, timings};
    use super::*;

    #[test]
    fn stretches_are_joined_and_left_between() {
        let spans = vec![(3.0, 4.0), (0.0, 1.0), (0.5, 2.0), (4.2, 5.0), (9.0, 8.0)];
        assert_eq!(
            union(spans.clone(), 0.0),
            [(0.0, 2.0), (3.0, 4.0), (4.2, 5.0)]
        );
        let joined = union(spans, 0.5);
        assert_eq!(joined, [(0.0, 2.0), (3.0, 5.0)]);
        assert_eq!(gaps(&joined, 6.0), [(2.0, 3.0), (5.0, 6.0)]);
        assert_eq!(gaps(&[], 6.0), [(0.0, 6.0)]);
    }

    #[test]
    fn time_counts_for_what_takes_precedence() {
        let kinds = timings().make.kinds;
        let found: Vec<(Kind, u64, f64, f64)> = kinds
            .iter()
            .map(|times| (times.kind, times.steps, times.seconds, times.work))
            .collect();
        let expected = [
            (Kind::Kconfig, 1, 1.5, 0.4),
            (Kind::Tools, 2, 0.9, 0.9),
            (Kind::Compile, 2, 6.0, 7.0),
            (Kind::Archive, 1, 0.5, 0.5),
            (Kind::Link, 1, 3.0, 3.0),
            (Kind::Modules, 1, 1.0, 3.0),
            (Kind::Image, 1, 1.0, 1.0),
            (Kind::Install, 1, 1.5, 0.5),
            (Kind::Depmod, 1, 1.0, 1.0),
            (Kind::Make, 0, 3.6, 0.0),
        ];
        assert_eq!(found, expected);
        let whole: f64 = kinds.iter().map(|times| times.seconds).sum();
        assert!((whole - 20.0).abs() < 1e-6, "{whole}");
        // Modules are linked beside vmlinux, and that is seen.
        assert_eq!(kinds[5].spans, [(14.0, 17.0)]);
    }

    #[test]
    fn moments_are_round_and_count() {
        let moments = timings().make.moments;
        assert_eq!(moments.len(), 41);
        assert!((moments[1].at - 0.5).abs() < 1e-9);
        // A compilation from 3 to 9 and one from 4 to 5, of a make that began at 0.5.
        let at = |second: f64| {
            let number = moments.iter().position(|moment| moment.at >= second);
            &moments[number.unwrap()]
        };
        assert_eq!(at(2.5).compiling, Some(1.0));
        assert_eq!(at(3.5).compiling, Some(2.0));
        assert_eq!(at(10.5).others, Some(2.0));
        let last = moments.last().unwrap();
        assert_eq!((last.compiling, last.found, last.missed), (None, 1, 1));
        assert_eq!((at(3.0).found, at(3.0).missed), (0, 1));
    }

    proptest! {
        #[test]
        fn all_of_makes_time_is_told(
            steps in prop::collection::vec((0_u8..7, 0.0_f64..20.0, 0.0_f64..9.0), 0..30),
            length in 0.1_f64..30.0,
        ) {
            let names = ["init/a.o", "init/built-in.a", "vmlinux", "x.ko", "scripts/x", "a.h", "arch/x86/boot/a.o"];
            let timed = |(kind, start, seconds): &(u8, f64, f64)| {
                let step = step("CC", names[usize::from(*kind)], *start, start + seconds);
                Timed { kind: Kind::of(&step), step }
            };
            let steps: Vec<Timed> = steps.iter().map(timed).collect();
            let kinds = kinds(&steps, &[], 0.0, length);
            let whole: f64 = kinds.iter().map(|times| times.seconds).sum();
            prop_assert!((whole - length).abs() < 1e-6);
            for times in &kinds {
                prop_assert!(times.seconds <= length + 1e-9);
                prop_assert!(times.spans.iter().all(|(start, end)| 0.0 <= *start && start <= end && *end <= length + 1e-9));
            }
            let moments = moments(&steps, 0.0, length);
            prop_assert!(moments.len() <= 302);
            let most = steps.len() as f64 + 0.01;
            prop_assert!(moments.iter().all(|moment| moment.compiling.is_none_or(|mean| (0.0..=most).contains(&mean))));
        }
    }
}
