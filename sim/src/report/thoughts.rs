//! Who thought what of whom: for each node, how many of the others did not hold it for alive.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::curve::Axis;
use super::{moment, text};
use crate::run::Outcome;

/// Of a larger mesh only so many nodes are drawn.
const DRAWN: usize = 40;
/// So many changes of mind are listed.
const LISTED: usize = 200;

pub(super) fn svg(outcome: &Outcome) -> String {
    let axis = Axis::of(outcome);
    let end = outcome.virtual_seconds * 1_000_000;
    let others = outcome.nodes.len().saturating_sub(1).max(1) as f64;
    let mut rows = String::new();
    for (node, name) in outcome.nodes.iter().take(DRAWN).enumerate() {
        let y = node as f64 * 16.0;
        let (from, to) = (axis.x(0), axis.x(end));
        let _ = write!(
            rows,
            "<text class=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text><rect class=\"lane\" x=\"{from:.1}\" \
             y=\"{:.1}\" width=\"{:.1}\" height=\"12\"/>",
            from - 6.0,
            y + 12.0,
            text(name),
            y + 2.0,
            to - from
        );
        for (begin, finish, doubters) in doubts(outcome, node, end) {
            let (x, width) = (axis.x(begin), (axis.x(finish) - axis.x(begin)).max(0.6));
            let _ = write!(
                rows,
                "<rect class=\"doubt\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"12\" \
                 opacity=\"{:.2}\"/>",
                y + 2.0,
                (doubters as f64 / others).clamp(0.12, 1.0)
            );
        }
    }
    let height = outcome.nodes.len().min(DRAWN) as f64 * 16.0 + 4.0;
    let more = match outcome.nodes.len().saturating_sub(DRAWN) {
        0 => String::new(),
        left => format!(" {left} more nodes are not drawn."),
    };
    format!(
        "<figure><svg viewBox=\"0 0 760 {:.0}\" role=\"img\" aria-label=\"For each node, when others did \
         not hold it for alive\">{rows}{}</svg><figcaption>For each node, when others took it for \
         suspect, unreachable or gone: the fuller the colour, the more of them.{more}</figcaption>\
         </figure>{}",
        height + 22.0,
        axis.ticks(height),
        list(outcome)
    )
}

/// From when to when how many others did not hold a node for alive.
fn doubts(outcome: &Outcome, node: usize, end: u64) -> Vec<(u64, u64, usize)> {
    let mut thinks: BTreeMap<usize, bool> = BTreeMap::new();
    let (mut spans, mut since, mut count) = (Vec::new(), 0, 0);
    for thought in outcome.thoughts.iter().filter(|t| t.of == node && t.by != node) {
        thinks.insert(thought.by, thought.stands != "alive");
        let now = thinks.values().filter(|doubts| **doubts).count();
        if now != count {
            if count > 0 && thought.at_micros > since {
                spans.push((since, thought.at_micros, count));
            }
            (since, count) = (thought.at_micros, now);
        }
    }
    if count > 0 {
        spans.push((since, end, count));
    }
    spans
}

fn list(outcome: &Outcome) -> String {
    let name = |node: usize| outcome.nodes.get(node).map_or("?", String::as_str);
    let mut rows = String::new();
    for thought in outcome.thoughts.iter().filter(|t| t.by != t.of).take(LISTED) {
        let _ = write!(
            rows,
            "<tr><td class=\"n\">{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            moment(thought.at_micros),
            text(name(thought.by)),
            text(name(thought.of)),
            thought.stands
        );
    }
    format!(
        "<details><summary>The first {LISTED} changes of mind, of {}</summary><table><thead><tr><th \
         class=\"n\">When</th><th>Who</th><th>Of whom</th><th>Thinks it</th></tr></thead><tbody>{rows}\
         </tbody></table></details>",
        outcome.thoughts.len()
    )
}
