//! Sizes and times over the tags, as plots.

use crate::nightly::ledger::{Entry, Ledger};
use crate::report::html::{Curve, Place, Plot};

/// Labels that fit below a plot.
const LABELS: usize = 3;
const MIB: f64 = 1024.0 * 1024.0;

/// The plots that have anything to show.
pub(super) fn plots(ledger: &Ledger) -> Vec<Plot> {
    let entries = ledger.entries();
    let size = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64 / MIB);
    let minutes = |seconds: f64| (seconds > 0.0).then_some(seconds / 60.0);
    let kernel = |entry: &Entry| size(entry.judged.kernel_bytes);
    let modules = |entry: &Entry| size(entry.judged.modules_bytes);
    let build = |entry: &Entry| minutes(entry.seconds.build);
    let boot = |entry: &Entry| minutes(entry.seconds.boot);
    [
        plot(
            entries,
            "Size in MiB",
            &[("kernel", &kernel), ("modules", &modules)],
        ),
        plot(
            entries,
            "Time in minutes",
            &[("build", &build), ("boot test", &boot)],
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

type Figure<'a> = (&'static str, &'a dyn Fn(&Entry) -> Option<f64>);

/// One plot of the tags that have a figure; nothing where one tag or none has.
fn plot(entries: &[Entry], title: &str, figures: &[Figure<'_>]) -> Option<Plot> {
    let has = |entry: &&Entry| figures.iter().any(|(_, of)| of(entry).is_some());
    let entries: Vec<&Entry> = entries.iter().filter(has).collect();
    let curves: Vec<Curve> = figures
        .iter()
        .map(|(label, of)| Curve {
            label: (*label).to_owned(),
            values: entries.iter().map(|entry| of(entry)).collect(),
            breaks: breaks(&entries),
        })
        .filter(|curve| curve.values.iter().any(Option::is_some))
        .collect();
    let spoken: Vec<String> = curves.iter().filter_map(spoken).collect();
    let places = places(&entries);
    (entries.len() > 1).then(|| Plot::new(title, spoken.join(", "), "tag", &places, &curves))
}

/// A series is another kernel: no line leads from one to the next.
fn breaks(entries: &[&Entry]) -> Vec<usize> {
    let another = |at: &usize| entries[*at].tag.series() != entries[*at - 1].tag.series();
    (1..entries.len()).filter(another).collect()
}

fn spoken(curve: &Curve) -> Option<String> {
    let mut values = curve.values.iter().flatten();
    let first = values.next()?;
    let last = values.next_back().unwrap_or(first);
    Some(format!("{} from {first:.1} to {last:.1}", curve.label))
}

fn places(entries: &[&Entry]) -> Vec<Place> {
    let last = entries.len().saturating_sub(1);
    let step = entries.len().div_ceil(LABELS).max(1);
    let place = |(number, entry): (usize, &&Entry)| Place {
        at: number as f64 / last.max(1) as f64,
        label: entry.tag.version(),
        // Counted from the newest, whose label is always there.
        shown: (last - number).is_multiple_of(step),
    };
    entries.iter().enumerate().map(place).collect()
}
