//! What happened over time: curves over one axis, with the faults shaded.

use std::fmt::Write as _;

use super::{span, text};
use crate::run::{Outcome, Sample};

const WIDTH: f64 = 760.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 10.0;
const HEIGHT: f64 = 130.0;
/// Above the curves.
const TOP: f64 = 12.0;
/// At most so many points of a curve.
const POINTS: usize = 1200;

/// The axis of time, of which all figures have the same.
#[derive(Clone, Copy)]
pub(super) struct Axis {
    seconds: f64,
}

impl Axis {
    pub(super) fn of(outcome: &Outcome) -> Self {
        Self { seconds: outcome.virtual_seconds.max(1) as f64 }
    }

    pub(super) fn x(self, micros: u64) -> f64 {
        LEFT + (micros as f64 / 1e6 / self.seconds).min(1.0) * (WIDTH - LEFT - RIGHT)
    }

    /// Ticks at whole and even times, with their names, below `y`.
    pub(super) fn ticks(self, y: f64) -> String {
        let steps =
            [5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400];
        let step = steps.into_iter().find(|step| self.seconds / f64::from(*step) <= 9.0);
        let step = u64::from(step.unwrap_or(172_800u32));
        let mut ticks = String::new();
        let count = (self.seconds / step as f64) as u64;
        for at in (0..=count).map(|tick| tick * step) {
            let (x, name) = (self.x(at * 1_000_000), named(at, step));
            let class = if x > WIDTH - 30.0 { "end" } else { "mid" };
            let _ = write!(
                ticks,
                "<path class=\"axis\" d=\"M{x:.1} {y:.1}v4\"/><text class=\"soft {class}\" x=\"{x:.1}\" \
                 y=\"{:.1}\">{name}</text>",
                y + 17.0
            );
        }
        ticks
    }
}

fn named(seconds: u64, step: u64) -> String {
    match step {
        86_400.. => format!("{} d", seconds / 86_400),
        3600.. => format!("{} h", seconds / 3600),
        60.. => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}

/// What a curve shows of a sample, which may depend on the one before.
type Value<'a> = Box<dyn Fn(&Sample, Option<&Sample>) -> f64 + 'a>;

/// One curve, with its name in the legend.
type Curve<'a> = (&'a str, Value<'a>);

fn total<'a>(pick: fn(&Sample) -> u64) -> Value<'a> {
    Box::new(move |now, _| pick(now) as f64)
}

fn count<'a>(pick: fn(&Sample) -> usize) -> Value<'a> {
    Box::new(move |now, _| pick(now) as f64)
}

pub(super) fn all(outcome: &Outcome) -> String {
    let nodes = outcome.nodes.len().max(1) as f64;
    let rate = move |now: &Sample, before: Option<&Sample>| {
        let before = before.map_or((0, 0), |one| (one.at_seconds, one.bytes));
        let time = now.at_seconds.saturating_sub(before.0).max(1) as f64;
        now.bytes.saturating_sub(before.1) as f64 / time / nodes / 1000.0
    };
    let figures: [(&str, &str, Vec<Curve<'_>>); 4] = [
        (
            "Agreement",
            "nodes",
            vec![("up", count(|s| s.up)), ("hold the very same records", count(|s| s.agree))],
        ),
        (
            "Durable messages, for all groups together",
            "messages",
            vec![("published", total(|s| s.published)), ("handled", total(|s| s.handled))],
        ),
        ("Calls", "calls", vec![("made", total(|s| s.calls)), ("answered", total(|s| s.answered))]),
        (
            "Sent by the average node, in bytes per second",
            "kB/s",
            vec![("sent", Box::new(rate) as Value<'_>)],
        ),
    ];
    let mut page = faults(outcome);
    for (title, unit, curves) in &figures {
        let figure = figure(outcome, title, unit, curves);
        page += &figure.unwrap_or_default();
    }
    page
}

/// The faults, one line each, over the axis of time.
fn faults(outcome: &Outcome) -> String {
    let axis = Axis::of(outcome);
    let spans = spans(outcome);
    if spans.is_empty() {
        return "<p>Nothing goes wrong in this run.</p>".into();
    }
    let shown = spans.iter().take(40);
    let mut rows = String::new();
    let mut y = 4.0;
    for (from, to, what) in shown {
        let (x, end) = (axis.x(*from), axis.x(*to));
        // The name stands where there is room for it.
        let (at, class) = if x < WIDTH / 2.0 { (x + 4.0, "") } else { (end - 4.0, "end") };
        let _ = write!(
            rows,
            "<rect class=\"cut\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"16\"/><path \
             class=\"edge\" d=\"M{x:.1} {y:.1}v16\"/><text class=\"{class}\" x=\"{at:.1}\" y=\"{:.1}\">{}\
             </text>",
            (end - x).max(1.0),
            y + 12.5,
            text(what)
        );
        y += 20.0;
    }
    let more = match spans.len().saturating_sub(40) {
        0 => String::new(),
        left => format!(" {left} more are not shown."),
    };
    format!(
        "<figure><svg viewBox=\"0 0 {WIDTH} {:.0}\" role=\"img\" aria-label=\"Faults over time\">{rows}\
         {}</svg><figcaption>What goes wrong, and how long.{more} Below, the same times are shaded. \
         Time is virtual time since the start, {} in all.</figcaption></figure>",
        y + 22.0,
        axis.ticks(y),
        span(outcome.virtual_seconds)
    )
}

/// From when to when, in microseconds, and what.
fn spans(outcome: &Outcome) -> Vec<(u64, u64, String)> {
    let end = outcome.virtual_seconds * 1_000_000;
    let mut spans: Vec<(u64, u64, String)> = Vec::new();
    for line in &outcome.faults {
        if line.begins == Some(true) {
            spans.push((line.at_micros, end, line.text.clone()));
        } else if let Some(open) =
            spans.iter_mut().find(|(_, to, what)| *to == end && *what == line.text)
        {
            open.1 = line.at_micros;
        }
    }
    spans
}

fn figure(outcome: &Outcome, title: &str, unit: &str, curves: &[Curve<'_>]) -> Option<String> {
    let axis = Axis::of(outcome);
    let samples: Vec<&Sample> = thin(&outcome.samples);
    let values: Vec<Vec<f64>> = curves.iter().map(|(_, value)| series(&samples, value)).collect();
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    if most <= 0.0 {
        return None;
    }
    let top = round_up(most);
    let y = |value: f64| TOP + (1.0 - value / top) * HEIGHT;
    let mut inside = String::new();
    for (from, to, _) in spans(outcome) {
        let (x, end) = (axis.x(from), axis.x(to));
        let width = (end - x).max(1.0);
        let _ = write!(
            inside,
            "<rect class=\"cut\" x=\"{x:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{HEIGHT}\"/>"
        );
    }
    for part in 0..=2 {
        let value = top * f64::from(part) / 2.0;
        let _ = write!(
            inside,
            "<path class=\"axis\" d=\"M{LEFT} {:.1}H{}\"/><text class=\"soft end\" x=\"{}\" y=\"{:.1}\">\
             {}</text>",
            y(value),
            WIDTH - RIGHT,
            LEFT - 6.0,
            y(value) + 4.0,
            number(value)
        );
    }
    for (values, class) in values.iter().zip(["one", "two"]) {
        let mut path = String::new();
        for (sample, value) in samples.iter().zip(values) {
            let command = if path.is_empty() { 'M' } else { 'L' };
            let x = axis.x(sample.at_seconds * 1_000_000);
            let _ = write!(path, "{command}{x:.1} {:.1}", y(*value));
        }
        let _ = write!(inside, "<path class=\"{class}\" d=\"{path}\"/>");
    }
    let keys: String = curves
        .iter()
        .zip(["--one", "--two"])
        .zip(["solid", "dashed"])
        .map(|(((name, _), colour), line)| {
            format!(
                "<span class=\"key\" style=\"border-color: var({colour}); border-top-style: {line}\">\
                 </span>{name}"
            )
        })
        .collect();
    let bottom = TOP + HEIGHT;
    Some(format!(
        "<figure><h3>{title} <span class=\"small\">({unit})</span></h3><svg viewBox=\"0 0 {WIDTH} {:.0}\" role=\"img\" aria-label=\"{title}, \
         in {unit}, over time\">{inside}{}</svg><figcaption>{keys}</figcaption></figure>",
        bottom + 22.0,
        axis.ticks(bottom)
    ))
}

fn series(samples: &[&Sample], value: &dyn Fn(&Sample, Option<&Sample>) -> f64) -> Vec<f64> {
    let before = std::iter::once(None).chain(samples.iter().map(|sample| Some(*sample)));
    samples.iter().zip(before).map(|(now, before)| value(now, before)).collect()
}

/// At most so many of them, evenly.
fn thin(samples: &[Sample]) -> Vec<&Sample> {
    let step = samples.len().div_ceil(POINTS).max(1);
    samples.iter().step_by(step).chain(samples.last()).collect()
}

/// The next of 1, 2, 4, 5 or 10 times a power of ten.
fn round_up(value: f64) -> f64 {
    let mut power = 0.001;
    while power * 10.0 < value {
        power *= 10.0;
    }
    let steps = [1.0, 2.0, 4.0, 5.0, 10.0];
    steps.into_iter().map(|step| step * power).find(|step| *step >= value).unwrap_or(value)
}

fn number(value: f64) -> String {
    match value {
        0.0 => "0".into(),
        ..1.0 => format!("{value:.3}"),
        ..10.0 if value.fract() != 0.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
