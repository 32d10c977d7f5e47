//! The groups of nodes, and what is said of the links between them.

use std::fmt::Write as _;

use super::text;
use crate::lattice::fabric::Quality;
use crate::scenario::Scenario;

/// Of a larger group only so many nodes are drawn.
const DRAWN: usize = 40;

pub(super) fn svg(scenario: &Scenario) -> String {
    let groups: Vec<_> = scenario.groups.iter().collect();
    let columns = groups.len().clamp(1, 4);
    let (width, height) = (740.0 / columns as f64, 190.0);
    let centre = |index: usize| {
        let (column, row) = (index % columns, index / columns);
        (10.0 + (column as f64 + 0.5) * width, (row as f64 + 0.5) * height)
    };
    let mut inside = String::new();
    for link in &scenario.links {
        let place = |set: &crate::lattice::nodes::NodeSet| {
            groups.iter().position(|(_, group)| *group == set).map(centre)
        };
        let (Some(one), Some(other)) = (place(&link.one), place(&link.other)) else { continue };
        let _ = write!(
            inside,
            "<path class=\"wire\" d=\"M{:.1} {:.1}L{:.1} {:.1}\"/>",
            one.0, one.1, other.0, other.1
        );
    }
    for (index, (name, set)) in groups.iter().enumerate() {
        let (x, y) = centre(index);
        let radius = 62.0;
        let _ = write!(
            inside,
            "<circle class=\"group\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" \
             style=\"fill: var(--back)\"/>"
        );
        let count = set.len();
        let drawn = count.min(DRAWN);
        for place in 0..drawn {
            let turn = place as f64 / drawn as f64 * std::f64::consts::TAU;
            let (nx, ny) = (x + turn.cos() * (radius - 14.0), y + turn.sin() * (radius - 14.0));
            let _ = write!(
                inside,
                "<circle class=\"node\" cx=\"{nx:.1}\" cy=\"{ny:.1}\" r=\"{}\"/>",
                if drawn > 20 { 3 } else { 7 }
            );
        }
        let _ = write!(
            inside,
            "<text class=\"mid\" x=\"{x:.1}\" y=\"{:.1}\">{}</text><text class=\"mid soft\" x=\"{x:.1}\" \
             y=\"{:.1}\">{count} {}</text>",
            y - 1.0,
            text(name),
            y + 15.0,
            if count == 1 { "node" } else { "nodes" }
        );
    }
    let rows = groups.len().div_ceil(columns);
    let mut links = format!("<li>All others: {}</li>", quality(scenario.usual));
    for link in &scenario.links {
        let name = |set: &crate::lattice::nodes::NodeSet| {
            let group = groups.iter().find(|(_, group)| *group == set);
            group.map_or_else(|| format!("{} nodes", set.len()), |(name, _)| (*name).clone())
        };
        let (one, other) = (text(&name(&link.one)), text(&name(&link.other)));
        links = format!("<li>{one} and {other}: {}</li>{links}", quality(link.quality));
    }
    format!(
        "<figure><svg viewBox=\"0 0 760 {:.0}\" role=\"img\" aria-label=\"The groups of nodes and the \
         links between them\">{inside}</svg><figcaption>Links:<ul>{links}</ul></figcaption></figure>",
        rows as f64 * height
    )
}

fn quality(quality: Quality) -> String {
    let Quality { latency, jitter, loss_ppm, bandwidth, .. } = quality;
    let millis = |time: std::time::Duration| time.as_secs_f64() * 1000.0;
    let mut words = format!("{} ms one way", millis(latency));
    if !jitter.is_zero() {
        let _ = write!(words, " and up to {} ms more", millis(jitter));
    }
    if loss_ppm > 0 {
        let _ = write!(words, ", {} % lost", f64::from(loss_ppm) / 10_000.0);
    }
    if let Some(rate) = bandwidth {
        let _ = write!(words, ", {} kB/s", rate as f64 / 1000.0);
    }
    words
}
