//! What all pages for people share: a style (`style.css`), and plots of numbers (`plot.html`).
//!
//! In: values at places along an axis. Out: a [`Plot`], every coordinate decided, for the template to write
//! down. Must not know what is plotted. Colour never carries a meaning alone: each curve has a label, a dash
//! and a mark of its own.

#[cfg(test)]
pub(crate) mod harmless;

/// A plot's size, in the units of its drawing.
pub const WIDTH: u32 = 380;
/// Its height.
pub const HEIGHT: u32 = 230;
const LEFT: u32 = 40;
const RIGHT: u32 = WIDTH - 76;
const TOP: u32 = 14;
const BOTTOM: u32 = HEIGHT - 30;
/// Labels of curves keep this distance.
pub const APART: f64 = 15.0;
/// Marks of one curve keep this distance: where there are more values than that, the line tells of them.
const MARKS_APART: f64 = 12.0;

/// A place along the axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// Where it is, from 0 to 1.
    pub at: f64,
    /// What it is called.
    pub label: String,
    /// Whether the axis has room for its label; the table of numbers always has.
    pub shown: bool,
}

/// Values of one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// What they are.
    pub label: String,
    /// A value for each place; `None` where there is none.
    pub values: Vec<Option<f64>>,
    /// Numbers of places where a new line begins: what is before has nothing to do with what follows.
    pub breaks: Vec<usize>,
}

/// Values over places, drawn.
#[derive(Debug)]
pub struct Plot {
    /// What is plotted.
    pub title: String,
    /// The curves in words, for who does not see them.
    pub spoken: String,
    /// What the places are.
    pub across: &'static str,
    /// The drawing's width.
    pub width: u32,
    /// Its height.
    pub height: u32,
    /// Where the axes begin.
    pub left: u32,
    /// Where they end; labels of curves stand behind.
    pub right: u32,
    /// The axis of places.
    pub bottom: u32,
    /// Labels of places.
    pub x: Vec<Tick>,
    /// Labels of values.
    pub y: Vec<Tick>,
    /// The curves.
    pub lines: Vec<Line>,
    /// The values again, as a table: a row for each place.
    pub numbers: Vec<Vec<String>>,
}

/// A label of an axis.
#[derive(Debug)]
pub struct Tick {
    /// Where.
    pub at: f64,
    /// What.
    pub label: String,
}

/// A curve, drawn.
#[derive(Debug)]
pub struct Line {
    /// Its class in the style.
    pub class: &'static str,
    /// What it is.
    pub label: String,
    /// The height of its label.
    pub label_at: f64,
    /// Its parts, each a list of points.
    pub runs: Vec<String>,
    /// Marks at its values, as far as there is room for them.
    pub marks: Vec<Mark>,
}

/// A mark.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    /// From the left.
    pub x: f64,
    /// From the top.
    pub y: f64,
}

impl Plot {
    /// Draws up to two curves over `places`; `spoken` says in words what they show, `across` what the places
    /// are.
    #[must_use]
    pub fn new(
        title: impl Into<String>,
        spoken: String,
        across: &'static str,
        places: &[Place],
        curves: &[Curve],
    ) -> Self {
        let values = curves
            .iter()
            .flat_map(|curve| curve.values.iter().flatten());
        let scale = Scale::new(values.copied().fold(0.0, f64::max));
        let classes = ["first", "second"].into_iter().cycle();
        let mut lines: Vec<Line> = curves
            .iter()
            .zip(classes)
            .map(|(curve, class)| line(curve, class, places, &scale))
            .collect();
        keep_apart(&mut lines);
        let shown = places.iter().filter(|place| place.shown);
        let tick = |place: &Place| Tick {
            at: across_at(place.at),
            label: place.label.clone(),
        };
        Self {
            title: title.into(),
            spoken,
            across,
            width: WIDTH,
            height: HEIGHT,
            left: LEFT,
            right: RIGHT,
            bottom: BOTTOM,
            x: shown.map(tick).collect(),
            y: scale.ticks(),
            lines,
            numbers: numbers(places, curves),
        }
    }
}

fn across_at(at: f64) -> f64 {
    tenth(f64::from(LEFT + 10) + at * f64::from(RIGHT - LEFT - 20))
}

/// Where values lie, from nought up.
#[derive(Debug)]
struct Scale {
    step: f64,
    top: f64,
}

impl Scale {
    fn new(most: f64) -> Self {
        let step = round_step(most / 5.0);
        Self {
            step,
            top: ((most / step).ceil() * step).max(step),
        }
    }

    fn y(&self, value: f64) -> f64 {
        tenth(f64::from(BOTTOM) - value / self.top * f64::from(BOTTOM - TOP))
    }

    fn ticks(&self) -> Vec<Tick> {
        let count = (self.top / self.step).round() as u32;
        (0..=count)
            .map(|tick| {
                let value = f64::from(tick) * self.step;
                let label = match self.step < 1.0 {
                    true => format!("{value:.1}"),
                    false => format!("{value:.0}"),
                };
                Tick {
                    at: self.y(value),
                    label,
                }
            })
            .collect()
    }
}

/// The next of 0.1, 0.2, 0.5, 1, 2, 5, 10 … that is not below `step`.
#[must_use]
pub fn round_step(step: f64) -> f64 {
    let mut candidate = 0.1;
    for factor in [2.0, 2.5, 2.0].into_iter().cycle().take(18) {
        if candidate >= step {
            break;
        }
        candidate *= factor;
    }
    candidate
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn line(curve: &Curve, class: &'static str, places: &[Place], scale: &Scale) -> Line {
    let mut marks: Vec<Mark> = Vec::new();
    let mut last = None;
    let mut runs: Vec<Vec<String>> = vec![Vec::new()];
    for (number, (place, value)) in places.iter().zip(&curve.values).enumerate() {
        if curve.breaks.contains(&number) {
            runs.push(Vec::new());
        }
        if let Some(value) = value {
            let (x, y) = (across_at(place.at), scale.y(*value));
            if marks.last().is_none_or(|mark| x - mark.x >= MARKS_APART) {
                marks.push(Mark { x, y });
            }
            last = Some(y);
            runs.last_mut()
                .into_iter()
                .for_each(|run| run.push(format!("{x},{y}")));
        }
    }
    Line {
        class,
        label: curve.label.clone(),
        label_at: last.unwrap_or_default() + 4.0,
        runs: runs
            .iter()
            .filter(|run| run.len() > 1)
            .map(|run| run.join(" "))
            .collect(),
        marks,
    }
}

/// Moves labels from each other; the upper one stays above.
fn keep_apart(lines: &mut [Line]) {
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_by(|a, b| lines[*a].label_at.total_cmp(&lines[*b].label_at));
    for pair in order.windows(2) {
        let (upper, lower) = (lines[pair[0]].label_at, lines[pair[1]].label_at);
        let lacking = APART - (lower - upper);
        if lacking > 0.0 {
            lines[pair[0]].label_at = tenth(upper - lacking / 2.0);
            lines[pair[1]].label_at = tenth(lower + lacking / 2.0);
        }
    }
}

fn numbers(places: &[Place], curves: &[Curve]) -> Vec<Vec<String>> {
    // Counts have no decimals.
    let whole = |curve: &Curve| {
        let mut values = curve.values.iter().flatten();
        values.all(|value| value.fract() == 0.0)
    };
    let cell = |curve: &Curve, number: usize| {
        let value = curve.values.get(number).copied().flatten();
        let digits = if whole(curve) { 0 } else { 2 };
        value.map_or_else(String::new, |value| format!("{value:.digits$}"))
    };
    let row = |(number, place): (usize, &Place)| {
        let cells = curves.iter().map(|curve| cell(curve, number));
        std::iter::once(place.label.clone()).chain(cells).collect()
    };
    places.iter().enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_round() {
        for (step, round) in [
            (0.01, 0.1),
            (0.15, 0.2),
            (0.3, 0.5),
            (0.9, 1.0),
            (3.0, 5.0),
            (11.0, 20.0),
            (40.0, 50.0),
        ] {
            assert!(
                (round_step(step) - round).abs() < 1e-9,
                "{step}: {}",
                round_step(step)
            );
        }
        let scale = Scale::new(43.0);
        assert!((scale.top - 50.0).abs() < 1e-9);
        assert!((scale.y(0.0) - f64::from(BOTTOM)).abs() < 1e-9);
        assert!((scale.y(50.0) - f64::from(TOP)).abs() < 1e-9);
    }

    #[test]
    fn a_line_ends_where_what_follows_has_nothing_to_do_with_it() {
        let place = |number: u32| Place {
            at: f64::from(number) / 4.0,
            label: number.to_string(),
            shown: number.is_multiple_of(2),
        };
        let curve = Curve {
            label: "size".to_owned(),
            values: vec![Some(1.0), None, Some(3.0), Some(4.0), Some(2.0)],
            breaks: vec![3],
        };
        let places: Vec<Place> = (0..5).map(place).collect();
        let plot = Plot::new("Sizes", String::new(), "tag", &places, &[curve]);
        let runs: Vec<usize> = plot.lines[0]
            .runs
            .iter()
            .map(|run| run.split(' ').count())
            .collect();
        assert_eq!(runs, [2, 2]);
        assert_eq!(plot.lines[0].marks.len(), 4);
        let labels: Vec<&str> = plot.x.iter().map(|tick| tick.label.as_str()).collect();
        assert_eq!(labels, ["0", "2", "4"]);
        assert_eq!(plot.numbers[1], ["1", ""]);
    }

    #[test]
    fn marks_of_many_values_do_not_crowd() {
        let place = |number: u32| Place {
            at: f64::from(number) / 100.0,
            label: number.to_string(),
            shown: number.is_multiple_of(50),
        };
        let curve = Curve {
            label: "at once".to_owned(),
            values: (0..=100).map(|value| Some(f64::from(value))).collect(),
            breaks: Vec::new(),
        };
        let places: Vec<Place> = (0..=100).map(place).collect();
        let plot = Plot::new("Many", String::new(), "second", &places, &[curve]);
        let line = &plot.lines[0];
        assert_eq!(line.runs[0].split(' ').count(), 101);
        for pair in line.marks.windows(2) {
            assert!(pair[1].x - pair[0].x >= MARKS_APART);
        }
        // The label stands by the last value, marked or not.
        assert!((line.label_at - f64::from(TOP) - 4.0).abs() < 0.2);
    }
}
