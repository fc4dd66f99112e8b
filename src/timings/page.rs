//! The timings as one page that needs nothing else: lanes along the time, plots, a table of the slowest steps.
//!
//! In: [`Timings`]. Out: HTML that is also well-formed XML. Must not fetch, run or embed anything, and must not let
//! what make said be anything but text: the template escapes all of it. Colour never carries a meaning alone: each
//! lane has its name, each curve its label.

use askama::Template;

use super::{BOOT_TEST, Kind, KindTimes, MAKE, Stage, Timed, Timings};
use crate::build::Asked;
use crate::error::Error;
use crate::report::html::{Curve, Place, Plot, round_step};

/// Nothing is drawn narrower than this, in per cent of a lane.
const NARROWEST: f64 = 0.2;
/// Labels along an axis.
const LABELS: f64 = 5.0;

/// Draws the page.
///
/// # Errors
/// [`Error::Page`] if the template cannot be filled, which no build should cause.
pub fn page(timings: &Timings) -> Result<String, Error> {
    let make = &timings.make;
    let length = make.end - make.start;
    let view = View {
        timings,
        took: duration(timings.seconds),
        facts: facts(timings),
        whole: axis(timings.seconds),
        stages: lanes(&timings.stages, |stage| Lane::of_stage(stage, timings)),
        inside: axis(length),
        kinds: lanes(&make.kinds, |kind| Lane::of_kind(kind, make.start, length)),
        plots: plots(timings),
        slowest: timings.slowest().into_iter().map(Slow::new).collect(),
        version: env!("CARGO_PKG_VERSION"),
    };
    view.render()
        .map_err(|error| Error::Page(error.to_string()))
}

#[derive(Template)]
#[template(path = "timings.html", config = "src/report/html/askama.toml")]
struct View<'a> {
    timings: &'a Timings,
    took: String,
    facts: Vec<Fact>,
    whole: Vec<Tick>,
    stages: Vec<Lane>,
    inside: Vec<Tick>,
    kinds: Vec<Lane>,
    plots: Vec<Plot>,
    slowest: Vec<Slow<'a>>,
    version: &'static str,
}

struct Fact {
    name: &'static str,
    value: String,
}

/// A label of an axis.
struct Tick {
    /// From the left, in per cent.
    at: String,
    anchor: &'static str,
    label: String,
}

/// What was done along the time.
struct Lane {
    name: String,
    about: String,
    seconds: String,
    share: String,
    /// Where it is, in words.
    spoken: String,
    bars: Vec<Bar>,
}

/// A stretch, from the left and in width, in per cent.
struct Bar {
    x: String,
    width: String,
}

/// A step that took long.
struct Slow<'a> {
    target: &'a str,
    verb: &'a str,
    seconds: String,
    kind: &'static str,
    cache: &'static str,
}

fn lanes<T>(all: &[T], lane: impl Fn(&T) -> Lane) -> Vec<Lane> {
    all.iter().map(lane).collect()
}

impl Lane {
    fn of_stage(stage: &Stage, timings: &Timings) -> Self {
        let about = match stage.name.as_str() {
            MAKE => "kconfig, compile, link, install modules: below in detail",
            BOOT_TEST => "a test of the build, and no part of it",
            "builder" => "the engine and its image",
            "config" => "all of it, its parts below",
            "config: base" => "tinyconfig or the like, and reading it",
            "config: options" => "what the tree's Kconfig files say of each",
            "check of the tree" => "whether it is still what was fetched; beside the configuration",
            "kernels of before" => {
                "whether this very one was compiled before; keeping it for another time"
            }
            "reasons of misses" => "why the compiler cache had not what it had not",
            "publish" => "sums, everything to the disk, the name",
            "job start" => "the container, up to make's first word",
            "job end" => "from make's last word to the container's end",
            _ => "",
        };
        Self {
            name: stage.name.clone(),
            about: about.to_owned(),
            seconds: duration(stage.seconds),
            share: percent(stage.share),
            spoken: spoken(&stage.spans, 0.0),
            bars: bars(&stage.spans, 0.0, timings.seconds),
        }
    }

    fn of_kind(times: &KindTimes, start: f64, length: f64) -> Self {
        let counted = match (times.kind, times.steps) {
            (Kind::Make, _) => String::new(),
            (_, 1) => format!(" · 1 step, {} of work", duration(times.work)),
            (_, steps) => format!(" · {steps} steps, {} of work", duration(times.work)),
        };
        Self {
            name: times.kind.label().to_owned(),
            about: format!("{}{counted}", times.kind.about()),
            seconds: duration(times.seconds),
            share: percent(times.share),
            spoken: spoken(&times.spans, start),
            bars: bars(&times.spans, start, length),
        }
    }
}

fn spoken(spans: &[(f64, f64)], start: f64) -> String {
    match (spans.first(), spans.last()) {
        (Some(first), Some(last)) => format!(
            "from {} to {}",
            duration(first.0 - start),
            duration(last.1 - start)
        ),
        _ => "at no time".to_owned(),
    }
}

fn bars(spans: &[(f64, f64)], start: f64, length: f64) -> Vec<Bar> {
    let part = |seconds: f64| match length > 0.0 {
        true => (seconds / length * 100.0).clamp(0.0, 100.0),
        false => 0.0,
    };
    let bar = |(from, to): &(f64, f64)| {
        let width = part(to - from).max(NARROWEST);
        let x = part(from - start).min(100.0 - width);
        Bar {
            x: format!("{x:.2}%"),
            width: format!("{width:.2}%"),
        }
    };
    spans.iter().map(bar).collect()
}

/// Round seconds below lanes.
fn axis(length: f64) -> Vec<Tick> {
    let step = round_step(length / LABELS);
    let count = (length / step).floor() as u32;
    let tick = |number: u32| {
        let seconds = f64::from(number) * step;
        let at = match length > 0.0 {
            true => seconds / length * 100.0,
            false => 0.0,
        };
        Tick {
            at: format!("{at:.2}%"),
            anchor: match number {
                0 => "start",
                _ if at > 94.0 => "end",
                _ => "middle",
            },
            label: match step < 1.0 {
                true => format!("{seconds:.1} s"),
                false => format!("{seconds:.0} s"),
            },
        }
    };
    (0..=count).map(tick).collect()
}

impl<'a> Slow<'a> {
    fn new(timed: &'a Timed) -> Self {
        Self {
            target: &timed.step.target,
            verb: &timed.step.verb,
            seconds: duration(timed.step.seconds().unwrap_or_default()),
            kind: timed.kind.label(),
            cache: match timed.step.cache {
                Some(Asked::Found) => "found",
                Some(Asked::Missed) => "missed",
                Some(Asked::NoCase) => "no case for it",
                None => "not asked",
            },
        }
    }
}

fn facts(timings: &Timings) -> Vec<Fact> {
    let mut facts = vec![
        ("Build", timings.subject.build.clone()),
        ("Kernel", timings.subject.release.clone()),
        ("Wall time", duration(timings.seconds)),
    ];
    if timings.has_make() {
        facts.extend(facts_of_make(timings));
    }
    facts
        .into_iter()
        .map(|(name, value)| Fact { name, value })
        .collect()
}

fn facts_of_make(timings: &Timings) -> Vec<(&'static str, String)> {
    let totals = &timings.totals;
    let make = format!("{}{}", duration(totals.make), compiling(timings));
    let not_make = format!(
        "{} of the wall time, boot test apart",
        percent(totals.not_make)
    );
    let together = format!(
        "{:.2} steps in the mean, {} compilers at most, in {}",
        totals.concurrency, totals.jobs, timings.subject.engine
    );
    let mut facts = vec![
        ("make", make),
        ("Not make", not_make),
        ("At the same time", together),
        ("Units", format!("{} compiled or found", totals.units)),
    ];
    if totals.found + totals.missed > 0 {
        let rest = totals.units.saturating_sub(totals.found + totals.missed);
        let mut text = format!("{} found, {} missed", totals.found, totals.missed);
        if rest > 0 {
            text.push_str(&format!(", {rest} not asked for or no case for it"));
        }
        facts.push(("Compiler cache", text));
    }
    facts
}

/// How much of make's time is compiling.
fn compiling(timings: &Timings) -> String {
    let mut kinds = timings.make.kinds.iter();
    let compile = kinds.find(|times| times.kind == Kind::Compile);
    compile.map_or_else(String::new, |times| {
        format!(", {} of it with a compiler at work", percent(times.share))
    })
}

fn plots(timings: &Timings) -> Vec<Plot> {
    let totals = &timings.totals;
    let moments = &timings.make.moments;
    let places = places(timings);
    let curve = |label: &str, values: Vec<Option<f64>>| Curve {
        label: label.to_owned(),
        values,
        breaks: Vec::new(),
    };
    let ran = [
        curve(
            "compile",
            moments.iter().map(|moment| moment.compiling).collect(),
        ),
        curve(
            "the rest",
            moments.iter().map(|moment| moment.others).collect(),
        ),
    ];
    let spoken = format!("{:.2} steps in the mean", totals.concurrency);
    let title = "Steps of make at the same time";
    let mut plots = vec![Plot::new(title, spoken, "second", &places, &ran)];
    if totals.found + totals.missed > 0 {
        let count = |number: u64| Some(number as f64);
        let asked = [
            curve(
                "found",
                moments.iter().map(|moment| count(moment.found)).collect(),
            ),
            curve(
                "missed",
                moments.iter().map(|moment| count(moment.missed)).collect(),
            ),
        ];
        let spoken = format!(
            "{} found and {} missed at the end",
            totals.found, totals.missed
        );
        let title = "Compiler cache: files asked for so far";
        plots.push(Plot::new(title, spoken, "second", &places, &asked));
    }
    plots
}

/// Moments of make by their time; so many labels as fit.
fn places(timings: &Timings) -> Vec<Place> {
    let moments = &timings.make.moments;
    let length = timings.make.end - timings.make.start;
    let step = round_step(length / LABELS);
    let place = |(number, at): (usize, f64)| {
        let whole = (at / step).round() * step;
        Place {
            at: match length > 0.0 {
                true => (at / length).min(1.0),
                false => 0.0,
            },
            label: match step < 1.0 || (at - at.round()).abs() > 0.01 {
                true => format!("{at:.1}"),
                false => format!("{at:.0}"),
            },
            // The end is where it is, and seldom round.
            shown: (at - whole).abs() < 0.01 && number + 1 < moments.len().max(2),
        }
    };
    let times = moments.iter().map(|moment| moment.at);
    times.enumerate().map(place).collect()
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn duration(seconds: f64) -> String {
    match seconds {
        none if none < 0.0005 => "0 s".to_owned(),
        brief if brief < 0.1 => format!("{:.0} ms", brief * 1000.0),
        short if short < 10.0 => format!("{short:.2} s"),
        short if short < 100.0 => format!("{short:.1} s"),
        long => {
            let whole = long.round();
            format!("{:.0} min {:02.0} s", (whole / 60.0).floor(), whole % 60.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::timings;
    use super::*;
    use crate::report::html::harmless::{EVIL, assert_harmless, parsed};

    #[test]
    fn the_page_is_well_formed_and_text_stays_text() {
        let mut timings = timings();
        EVIL.clone_into(&mut timings.make.steps[2].step.target);
        EVIL.clone_into(&mut timings.make.steps[2].step.verb);
        EVIL.clone_into(&mut timings.subject.release);
        EVIL.clone_into(&mut timings.stages[0].name);
        let text = page(&timings).unwrap();
        assert_harmless(&text);
    }

    #[test]
    fn lanes_stay_in_their_frames() {
        let text = page(&timings()).unwrap();
        let page = parsed(&text);
        let per_cent = |node: &roxmltree::Node<'_, '_>, name: &str| {
            let value = node.attribute(name)?;
            value.strip_suffix('%')?.parse::<f64>().ok()
        };
        let bars: Vec<(f64, f64)> = page
            .descendants()
            .filter(|node| node.tag_name().name() == "rect")
            .filter_map(|node| Some((per_cent(&node, "x")?, per_cent(&node, "width")?)))
            .collect();
        assert!(bars.len() > 20, "{}", bars.len());
        for (x, width) in bars {
            assert!(
                x >= 0.0 && width >= NARROWEST && x + width <= 100.01,
                "{x} {width}"
            );
        }
    }

    #[test]
    fn every_lane_has_name_time_and_words() {
        let text = page(&timings()).unwrap();
        for said in [
            "check of the tree",
            "link vmlinux",
            "depmod",
            "40.0 %",
            "kconfig: from 0 s to 1.50 s",
            "33.3 % of the wall time, boot test apart",
            "1 found, 1 missed, 3 not asked for or no case for it",
            "init/main.o",
            "Steps of make at the same time",
        ] {
            assert!(text.contains(said), "{said}\n{text}");
        }
        assert!(!text.contains("are partial"));
    }

    #[test]
    fn what_a_build_went_on_from_is_said() {
        let mut timings = timings();
        timings.totals.kept = 1234;
        let text = page(&timings).unwrap();
        assert!(text.contains("are partial") && text.contains("1234 object files"));
    }

    #[test]
    fn without_a_compiler_cache_there_is_no_word_of_it() {
        let mut timings = timings();
        (timings.totals.found, timings.totals.missed) = (0, 0);
        let text = page(&timings).unwrap();
        assert!(!text.contains("asked for so far") && !text.contains("<dt>Compiler cache"));
    }

    #[test]
    fn axes_are_round() {
        let labels = |length: f64| -> Vec<String> {
            axis(length).into_iter().map(|tick| tick.label).collect()
        };
        assert_eq!(labels(405.0), ["0 s", "100 s", "200 s", "300 s", "400 s"]);
        assert_eq!(labels(65.0), ["0 s", "20 s", "40 s", "60 s"]);
        assert_eq!(labels(1.3), ["0.0 s", "0.5 s", "1.0 s"]);
        assert_eq!(labels(0.0), ["0.0 s"]);
    }

    #[test]
    fn times_as_people_read_them() {
        let table = [
            (0.0, "0 s"),
            (0.034, "34 ms"),
            (0.25, "0.25 s"),
            (12.34, "12.3 s"),
            (119.7, "2 min 00 s"),
            (405.0, "6 min 45 s"),
        ];
        for (seconds, expected) in table {
            assert_eq!(duration(seconds), expected);
        }
    }
}
