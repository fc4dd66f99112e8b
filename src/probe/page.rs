//! The report as one page that needs nothing else: a table, plots, the machine's facts.
//!
//! In: a [`CapabilityReport`]. Out: HTML that is also well-formed XML. Must not fetch, run or embed anything,
//! and must not let text of a driver be anything but text: the template escapes all of it. Colour never carries
//! a meaning alone: each verdict has a word and a symbol.

use askama::Template;

use super::account::{Curve, Figure};
use super::{CapabilityReport, Machine, ProbeError, Row, Verdict};
use crate::report::html::{self, Place, Plot};

/// Draws the page.
///
/// # Errors
/// [`ProbeError::Page`] if the template cannot be filled, which no report should cause.
pub fn page(report: &CapabilityReport) -> Result<String, ProbeError> {
    let view = View {
        took: duration(report.seconds),
        counts: counts(&report.rows),
        facts: facts(&report.machine),
        rows: report.rows.iter().map(RowView::new).collect(),
        plots: plots(&report.rows),
        meanings: &MEANINGS,
        version: &report.machine.wslk,
    };
    view.render()
        .map_err(|error| ProbeError::Page(error.to_string()))
}

#[derive(Template)]
#[template(path = "page.html", config = "src/report/html/askama.toml")]
struct View<'a> {
    took: String,
    counts: Vec<Count>,
    facts: Vec<FactView>,
    rows: Vec<RowView<'a>>,
    plots: Vec<Plot>,
    meanings: &'a [Meaning],
    version: &'a str,
}

struct Meaning {
    word: Verdict,
    symbol: &'static str,
    label: &'static str,
    text: &'static str,
}

static MEANINGS: [Meaning; 4] = [
    Meaning {
        word: Verdict::Works,
        symbol: "✓",
        label: "works",
        text: "it was done, and the result is right.",
    },
    Meaning {
        word: Verdict::Refused,
        symbol: "⊘",
        label: "refused",
        text: "the driver or the system declined.",
    },
    Meaning {
        word: Verdict::Failed,
        symbol: "✕",
        label: "failed",
        text: "it broke, hung, or was not what it was said to be.",
    },
    Meaning {
        word: Verdict::NotTestable,
        symbol: "–",
        label: "not testable here",
        text: "nothing to try it on, or to try it with.",
    },
];

fn meaning(verdict: Verdict) -> &'static Meaning {
    match verdict {
        Verdict::Works => &MEANINGS[0],
        Verdict::Refused => &MEANINGS[1],
        Verdict::Failed => &MEANINGS[2],
        Verdict::NotTestable => &MEANINGS[3],
    }
}

struct Count {
    word: Verdict,
    symbol: &'static str,
    number: usize,
    label: &'static str,
}

fn counts(rows: &[Row]) -> Vec<Count> {
    let count = |meaning: &Meaning| Count {
        word: meaning.word,
        symbol: meaning.symbol,
        number: rows
            .iter()
            .filter(|row| row.verdict == meaning.word)
            .count(),
        label: match meaning.word {
            Verdict::Works => "work",
            _ => meaning.label,
        },
    };
    MEANINGS
        .iter()
        .map(count)
        .filter(|count| count.number > 0)
        .collect()
}

struct RowView<'a> {
    row: &'a Row,
    symbol: &'static str,
    label: String,
}

impl<'a> RowView<'a> {
    fn new(row: &'a Row) -> Self {
        let meaning = meaning(row.verdict);
        let label = match row.code {
            Some(code) if row.verdict != Verdict::Works => format!("{} ({code})", meaning.label),
            _ => meaning.label.to_owned(),
        };
        Self {
            row,
            symbol: meaning.symbol,
            label,
        }
    }
}

struct FactView {
    name: &'static str,
    value: String,
}

fn facts(machine: &Machine) -> Vec<FactView> {
    let memory = Figure {
        name: String::new(),
        value: machine.memory as f64,
        unit: "bytes".to_owned(),
    };
    let wsl = match machine.wsl {
        Some(version) if machine.dxg => format!("WSL{version}, with /dev/dxg"),
        Some(version) => format!("WSL{version}, without /dev/dxg"),
        None => "no WSL".to_owned(),
    };
    let processor = machine.processor.as_deref().unwrap_or("unknown");
    let mut facts = vec![
        ("Kernel", format!("{} ({wsl})", machine.kernel)),
        (
            "System",
            machine
                .system
                .clone()
                .unwrap_or_else(|| "unknown".to_owned()),
        ),
        (
            "Processor",
            format!("{processor}, {} to be used", machine.processors),
        ),
        ("Memory", memory.text()),
    ];
    let named = [
        ("gpu", "GPU"),
        ("driver", "Driver"),
        ("cuda", "CUDA of the driver"),
        ("library", "Library"),
    ];
    for (name, title) in named {
        let told = machine.driver.iter().filter(|fact| fact.name == name);
        facts.extend(told.map(|fact| (title, fact.value.clone())));
    }
    if machine.driver.is_empty() {
        facts.push(("GPU", "no driver told of one".to_owned()));
    }
    facts
        .into_iter()
        .map(|(name, value)| FactView { name, value })
        .collect()
}

fn duration(seconds: f64) -> String {
    match seconds {
        short if short < 100.0 => format!("{short:.1} s"),
        long => format!("{:.0} min {:02.0} s", (long / 60.0).floor(), long % 60.0),
    }
}

fn plots(rows: &[Row]) -> Vec<Plot> {
    let curves: Vec<&Curve> = rows.iter().flat_map(|row| &row.curves).collect();
    [
        ("to-device", "Host to device"),
        ("to-host", "Device to host"),
    ]
    .into_iter()
    .filter_map(|(direction, title)| {
        let of = |curve: &&&Curve| curve.direction == direction && !curve.points.is_empty();
        let curves: Vec<&Curve> = curves.iter().filter(of).copied().collect();
        (!curves.is_empty()).then(|| plot(title, &curves))
    })
    .collect()
}

fn plot(title: &'static str, curves: &[&Curve]) -> Plot {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let mut sizes: Vec<u64> = points().map(|point| point.bytes.max(1)).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let value = |curve: &Curve, size: u64| {
        let point = curve.points.iter().find(|point| point.bytes.max(1) == size);
        point.map(|point| point.gb_per_s)
    };
    let drawn = |curve: &&Curve| html::Curve {
        label: curve.memory.clone(),
        values: sizes.iter().map(|size| value(curve, *size)).collect(),
        breaks: Vec::new(),
    };
    let spoken = |curve: &&Curve| {
        let best = curve
            .points
            .iter()
            .map(|point| point.gb_per_s)
            .fold(0.0, f64::max);
        format!("{} reaches {best:.1} GB/s", curve.memory)
    };
    let spoken = curves.iter().map(spoken).collect::<Vec<_>>().join(", ");
    let drawn: Vec<html::Curve> = curves.iter().map(drawn).collect();
    Plot::new(title, spoken, "size", &places(&sizes), &drawn)
}

/// Sizes by their logarithm.
fn places(sizes: &[u64]) -> Vec<Place> {
    let log = |size: Option<&u64>| size.map_or(0.0, |size| (*size as f64).log2());
    let (least, greatest) = (log(sizes.first()), log(sizes.last()));
    let span = (greatest - least).max(1.0);
    let place = |size: &u64| Place {
        at: (log(Some(size)) - least) / span,
        label: short(*size),
        shown: true,
    };
    sizes.iter().map(place).collect()
}

/// 65536 is `64K`.
fn short(bytes: u64) -> String {
    match bytes {
        small if small < 1 << 20 => format!("{}K", small >> 10),
        middle if middle < 1 << 30 => format!("{}M", middle >> 20),
        large => format!("{}G", large >> 30),
    }
}

#[cfg(test)]
mod tests {
    use super::super::account::Point;
    use super::*;
    use crate::report::html::harmless::{EVIL, assert_harmless, parsed};
    use crate::report::html::{APART, HEIGHT, WIDTH};

    fn curve(memory: &str, direction: &str, peak: f64) -> Curve {
        let point = |power: u32| Point {
            bytes: 1 << power,
            gb_per_s: peak * f64::from(power - 14) / 16.0,
        };
        Curve {
            memory: memory.to_owned(),
            direction: direction.to_owned(),
            points: (16..=30).step_by(2).map(point).collect(),
        }
    }

    fn row(verdict: Verdict, code: Option<i32>) -> Row {
        Row {
            row: format!("row-{verdict}"),
            title: EVIL.to_owned(),
            verdict,
            code,
            summary: EVIL.to_owned(),
            stage: Some(EVIL.to_owned()),
            evidence: vec![EVIL.to_owned(), "plain".to_owned()],
            figures: vec![Figure {
                name: EVIL.to_owned(),
                value: 12.3,
                unit: "GB/s".to_owned(),
            }],
            curves: Vec::new(),
            documented: EVIL.to_owned(),
            seconds: 1.0,
        }
    }

    fn report() -> CapabilityReport {
        let mut works = row(Verdict::Works, Some(2));
        works.curves = vec![
            curve("pinned", "to-device", 55.0),
            curve("pinned", "to-host", 50.0),
            curve("pageable", "to-device", 12.0),
            curve("pageable", "to-host", 49.0),
        ];
        CapabilityReport {
            machine: Machine {
                kernel: EVIL.to_owned(),
                ..Machine::default()
            },
            rows: vec![
                works,
                row(Verdict::Refused, Some(801)),
                row(Verdict::Failed, None),
                row(Verdict::NotTestable, None),
            ],
            seconds: 123.0,
        }
    }

    #[test]
    fn the_page_is_well_formed_and_text_stays_text() {
        let text = page(&report()).unwrap();
        assert_harmless(&text);
        let summary = parsed(&text)
            .descendants()
            .filter(|node| node.is_element() && node.text() == Some("plain"))
            .count();
        assert_eq!(summary, 4, "evidence of every row");
    }

    #[test]
    fn verdicts_have_words_and_symbols() {
        let text = page(&report()).unwrap();
        for words in [
            "✓ works<",
            "⊘ refused (801)<",
            "✕ failed<",
            "– not testable here<",
            "✓ 1 work<",
        ] {
            assert!(text.contains(words), "{words}");
        }
    }

    #[test]
    fn plots_stay_in_their_frames() {
        let text = page(&report()).unwrap();
        let page = parsed(&text);
        let frames: Vec<_> = page
            .descendants()
            .filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "svg")))
            .collect();
        assert_eq!(frames.len(), 2);
        for node in frames.iter().flat_map(roxmltree::Node::descendants) {
            for (name, most) in [
                ("x", WIDTH),
                ("cx", WIDTH),
                ("x1", WIDTH),
                ("y", HEIGHT),
                ("cy", HEIGHT),
            ] {
                let value = node
                    .attribute(name)
                    .map(|text| text.parse::<f64>().unwrap());
                assert!(
                    value.is_none_or(|value| (0.0..=f64::from(most)).contains(&value)),
                    "{name} {value:?}"
                );
            }
        }
        let labels: Vec<f64> = frames[1]
            .descendants()
            .filter(|node| matches!(node.text(), Some("pinned" | "pageable")))
            .filter_map(|node| node.attribute("y")?.parse().ok())
            .collect();
        assert!((labels[0] - labels[1]).abs() >= APART - 0.2, "{labels:?}");
    }

    #[test]
    fn without_curves_there_are_no_plots() {
        let mut report = report();
        report.rows[0].curves.clear();
        let text = page(&report).unwrap();
        assert!(!text.contains("<svg"));
        parsed(&text);
    }

    #[test]
    fn sizes_lie_by_their_logarithm() {
        let at: Vec<f64> = places(&[1 << 16, 1 << 23, 1 << 30])
            .iter()
            .map(|place| place.at)
            .collect();
        assert!(at[0].abs() < 1e-9 && (at[1] - 0.5).abs() < 1e-9 && (at[2] - 1.0).abs() < 1e-9);
    }

    #[test]
    fn sizes_and_times_as_people_read_them() {
        assert_eq!(
            [short(65536), short(4 << 20), short(1 << 30)],
            ["64K", "4M", "1G"]
        );
        assert_eq!(duration(3.21), "3.2 s");
        assert_eq!(duration(123.0), "2 min 03 s");
    }
}
