//! How verbs answer: tables for people, JSON for programs, log lines on standard error.

use std::io::{IsTerminal as _, Write as _};

use anyhow::Result;
use serde::Serialize;
use tracing_subscriber::EnvFilter;

use super::Verb;

/// Log lines go to standard error: what `WATTLE_LOG` names (tracing's filter syntax), else what
/// matters to whoever runs a node; the other verbs answer and are quiet.
pub(super) fn start_log(verb: &Verb) {
    let default = match verb {
        Verb::Up(_) => "info,libp2p_mdns=error,chitchat=warn,quinn=warn,libp2p_swarm=warn",
        _ => "error",
    };
    let filter = EnvFilter::try_from_env("WATTLE_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let json = matches!(verb, Verb::Up(up) if up.log_json());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if json { log.json().init() } else { log.init() }
}

/// Writes `text` as it is. A reader that went away (`| head`) is no error.
pub(super) fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Writes `value` as JSON.
pub(super) fn print_json(value: &impl Serialize) -> Result<()> {
    print(&(serde_json::to_string_pretty(value)? + "\n"))
}

/// Lines up `rows` under `header`.
pub(super) fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let header = header.map(String::from);
    let all = || std::iter::once(&header).chain(rows);
    let mut widths = [0; N];
    for row in all() {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in all() {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            line.push_str(cell);
            let pad = (width + 2).saturating_sub(cell.chars().count());
            line.extend(std::iter::repeat_n(' ', pad));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Labels as they are written on the command line.
pub(super) fn labels(labels: &wattle_contracts::record::Labels) -> String {
    let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if pairs.is_empty() { "-".into() } else { pairs.join(",") }
}

/// The last characters of each node's id, which are enough to tell nodes apart.
pub(super) fn short_ids(nodes: &[wattle_contracts::id::NodeId]) -> String {
    let ids: Vec<String> = nodes.iter().map(wattle_contracts::id::NodeId::short).collect();
    if ids.is_empty() { "-".into() } else { ids.join(",") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["é".into(), "2".into()], ["long one".into(), "3".into()]];
        assert_eq!(table(["A", "B"], &rows), "A         B\né         2\nlong one  3\n");
    }
}
