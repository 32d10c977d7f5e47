//! A page about one run, for somebody who did not write Wattle: one file, nothing loaded from
//! anywhere, light or dark as the browser asks.

mod curve;
mod page;
mod thoughts;
mod topology;

use std::fmt::Write as _;

use crate::run::Outcome;
use crate::scenario::Scenario;

/// The page.
pub fn html(scenario: &Scenario, outcome: &Outcome) -> String {
    let mut body = String::new();
    let broken: usize = outcome.verdicts.iter().filter(|v| !v.breaches.is_empty()).count();
    let verdict = match broken {
        0 => "<p class=\"good\">Every promise that was put to the test held.</p>".to_string(),
        1 => "<p class=\"bad\">1 promise was broken.</p>".to_string(),
        count => format!("<p class=\"bad\">{count} promises were broken.</p>"),
    };
    let _ = write!(
        body,
        "<h1>{}</h1><p class=\"about\">{}</p>{verdict}<p class=\"small\">A rehearsal in virtual time: \
         {} nodes, {} of a mesh's life, seed {}. The same scenario and seed give the same run, with \
         trace <code>{}</code>.</p>",
        text(&outcome.scenario),
        text(&scenario.about),
        outcome.nodes.len(),
        span(outcome.virtual_seconds),
        outcome.seed,
        text(&outcome.trace)
    );
    section(&mut body, "What was promised", &verdicts(outcome));
    section(&mut body, "Who is where", &topology::svg(scenario));
    section(&mut body, "What happened", &curve::all(outcome));
    section(&mut body, "Who thought what of whom", &thoughts::svg(outcome));
    section(&mut body, "What was sent", &sent(outcome));
    if !outcome.around.is_empty() {
        section(&mut body, "Before the first broken promise", &around(outcome));
    }
    page::whole(&outcome.scenario, &body)
}

fn section(body: &mut String, title: &str, inside: &str) {
    let _ = write!(body, "<section><h2>{title}</h2>{inside}</section>");
}

fn verdicts(outcome: &Outcome) -> String {
    let mut rows = String::new();
    for verdict in &outcome.verdicts {
        let (class, word) = match (verdict.checked, verdict.breaches.len()) {
            (_, 1..) => ("bad", "broken"),
            (0, _) => ("", "not put to the test"),
            _ => ("good", "held"),
        };
        let _ = write!(
            rows,
            "<tr><td class=\"{class}\">{word}</td><td>{}</td><td class=\"n\">{}</td><td><code>{}\
             </code></td></tr>",
            text(&verdict.promise),
            verdict.checked,
            verdict.oracle
        );
        for breach in &verdict.breaches {
            let _ = write!(
                rows,
                "<tr><td></td><td colspan=\"3\" class=\"bad\">at {}: {}</td></tr>",
                moment(breach.at_micros),
                text(&breach.text)
            );
        }
    }
    format!(
        "<table><thead><tr><th>Result</th><th>Promise</th><th class=\"n\">Times checked</th><th>Oracle\
         </th></tr></thead><tbody>{rows}</tbody></table>"
    )
}

fn sent(outcome: &Outcome) -> String {
    let seconds = outcome.virtual_seconds.max(1) as f64;
    let nodes = outcome.nodes.len().max(1) as f64;
    let bytes = &outcome.bytes;
    let kinds = [
        ("Gossip: what nodes say of themselves", bytes.gossip),
        ("Records: what people declare", bytes.records),
        ("Calls, and messages for components", bytes.calls),
        ("Questions whether somebody is there, and addresses", bytes.other),
    ];
    let mut rows = String::new();
    for (name, amount) in kinds {
        let _ = write!(
            rows,
            "<tr><td>{name}</td><td class=\"n\">{:.2}</td><td class=\"n\">{:.1}</td></tr>",
            amount as f64 / 1e6,
            amount as f64 / seconds / nodes
        );
    }
    let most = outcome.node_bytes.iter().copied().max().unwrap_or(0).max(1);
    let mut bars = String::new();
    let shown = outcome.nodes.iter().zip(&outcome.node_bytes).take(60);
    for (index, (name, amount)) in shown.enumerate() {
        let (y, width) = (index * 18, *amount as f64 / most as f64 * 520.0);
        let _ = write!(
            bars,
            "<text x=\"110\" y=\"{}\" class=\"end\">{}</text><rect x=\"118\" y=\"{}\" width=\"{width:.1}\" \
             height=\"12\" class=\"bar\"/><text x=\"{:.1}\" y=\"{}\">{:.0} B/s</text>",
            y + 13,
            text(name),
            y + 3,
            width + 124.0,
            y + 13,
            *amount as f64 / seconds
        );
    }
    let height = outcome.nodes.len().min(60) * 18 + 6;
    let more = match outcome.nodes.len().saturating_sub(60) {
        0 => String::new(),
        left => format!("<p class=\"small\">And {left} more nodes.</p>"),
    };
    format!(
        "<table><thead><tr><th>What</th><th class=\"n\">MB by all nodes</th><th class=\"n\">B/s per node\
         </th></tr></thead><tbody>{rows}</tbody></table><h3>By each node, on average over the run</h3>\
         <svg viewBox=\"0 0 760 {height}\" role=\"img\" aria-label=\"Bytes per second by node\">{bars}\
         </svg>{more}"
    )
}

fn around(outcome: &Outcome) -> String {
    let mut rows = String::new();
    for line in &outcome.around {
        let name = outcome.nodes.get(line.node).map_or("?", String::as_str);
        let _ = write!(
            rows,
            "<tr><td class=\"n\">{}</td><td>{}</td><td>{}</td></tr>",
            moment(line.at_micros),
            text(name),
            text(&line.text)
        );
    }
    let views: String =
        outcome.views.iter().map(|view| format!("<li>{}</li>", text(view))).collect();
    format!(
        "<table><thead><tr><th class=\"n\">When</th><th>Node</th><th>What</th></tr></thead><tbody>{rows}\
         </tbody></table><h3>What these nodes held and thought then</h3><ul>{views}</ul>"
    )
}

/// Text as HTML.
fn text(plain: &str) -> String {
    plain.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn moment(micros: u64) -> String {
    let seconds = micros / 1_000_000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let rest = format!("{:02}.{:03}", seconds % 60, micros / 1000 % 1000);
    if hours > 0 { format!("{hours}:{minutes:02}:{rest}") } else { format!("{minutes}:{rest}") }
}

fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{:.1} h", seconds as f64 / 3600.0),
        _ => format!("{:.1} days", seconds as f64 / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Options, run};

    const SCENARIO: &str = "name = \"<b> & co\"\nrun = \"3min\"\n[[nodes]]\ngroup = \"a\"\ncount = 2\n\
        [[nodes]]\ngroup = \"b\"\n[[link]]\nbetween = [\"a\", \"b\"]\nlatency = \"20ms\"\n\
        [[edit]]\nevery = \"2s\"\n[[fault]]\nat = \"40s\"\nfor = \"20s\"\ncut = \"b\"\n";

    #[test]
    fn the_page_stands_alone_names_what_happened_and_has_axes_with_units() {
        let scenario = Scenario::parse("s.toml", SCENARIO, &|name| Err(name.into())).unwrap();
        let outcome = run(&scenario, &Options::default(), |_| {});
        let page = html(&scenario, &outcome);
        // What SVG calls its language is the only address, and is not fetched.
        assert!(!page.contains("http://") && !page.contains("https://"));
        assert!(
            !page.contains("<script src") && !page.contains("<link") && !page.contains("@import")
        );
        assert!(page.contains("&lt;b&gt; &amp; co") && !page.contains("<b> & co"));
        for part in ["prefers-color-scheme: dark", "cut b", "20 ms", "bytes per second", "kB/s"] {
            assert!(page.contains(part), "{part}");
        }
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
        for verdict in &outcome.verdicts {
            assert!(page.contains(&text(&verdict.promise)));
        }
        assert!(!page.contains("NaN") && !page.contains("inf"));
    }
}
