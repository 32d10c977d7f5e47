//! How verbs answer: tables for people, JSON for programs, log lines on standard error.

use std::io::{IsTerminal as _, Write as _};

use anyhow::Result;
use serde::Serialize;
use tracing_subscriber::EnvFilter;

use super::Verb;
use crate::api::ChangeReply;

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

/// A moment in milliseconds since the Unix epoch, as people write it (UTC). Days become a date by
/// Howard Hinnant's `civil_from_days`.
pub(super) fn when(millis: u64) -> String {
    let (days, second) = (millis / 86_400_000, millis / 1000 % 86_400);
    // Counted from the first of March of the year 0, in eras of 400 years.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
}

/// Tells what a change has done.
pub(super) fn changed(reply: &ChangeReply, what: &str, json: bool) -> Result<()> {
    if json {
        return print_json(reply);
    }
    let changed: String = reply.changed.iter().map(|one| format!("{what} {one}\n")).collect();
    print(&(changed + &notes(&reply.notes)))
}

/// What whoever changed something should know.
pub(super) fn notes(notes: &[String]) -> String {
    notes.iter().map(|note| format!("note: {note}\n")).collect()
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
    fn a_moment_has_its_date() {
        for (seconds, date) in [
            (0, "1970-01-01 00:00:00Z"),
            (951_782_399, "2000-02-28 23:59:59Z"),
            (951_782_400, "2000-02-29 00:00:00Z"),
            (951_868_800, "2000-03-01 00:00:00Z"),
            (1_735_689_599, "2024-12-31 23:59:59Z"),
            (4_107_542_400, "2100-03-01 00:00:00Z"),
        ] {
            assert_eq!(when(seconds * 1000 + 999), date);
        }
        // A clock from nowhere is shown, too.
        assert!(when(u64::MAX).ends_with('Z'));
    }

    #[test]
    fn columns_line_up() {
        let rows = [["é".into(), "2".into()], ["long one".into(), "3".into()]];
        assert_eq!(table(["A", "B"], &rows), "A         B\né         2\nlong one  3\n");
    }
}
