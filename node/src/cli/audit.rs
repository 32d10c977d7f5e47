//! `wattle audit`: what was let in, refused, changed and run on a node. Read from its data folder,
//! whether it runs or not.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde::Serialize;
use wattle_contracts::audit::{Entry, Header};
use wattle_contracts::id::NodeId;

use super::output::{print, print_json, when};
use crate::audit::{Folder, Found, Report, cross_check};
use crate::home::Home;

#[derive(Subcommand)]
pub(super) enum AuditVerb {
    /// Checks that nothing in the log was changed, taken out or put in. Of several logs, exported on
    /// several nodes, also that each holds what the others have seen of it.
    Verify(Verify),
    /// Shows entries.
    Query(Query),
    /// Writes the log out as it is, for whoever checks or keeps it elsewhere.
    Export(Export),
}

/// Whose log it is.
#[derive(Args)]
struct Data {
    /// The node's data folder.
    #[arg(long, value_name = "FOLDER", default_value_os_t = Home::default_root())]
    data: PathBuf,
}

impl Data {
    fn folder(&self) -> Folder {
        Folder::new(Home::audit_of(&self.data))
    }
}

#[derive(Args)]
pub(super) struct Verify {
    /// Exported logs; the log in the data folder if none is given.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    data: Data,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct Query {
    /// Only what is called so, for instance `refused`. Repeatable.
    #[arg(long, value_name = "NAME")]
    what: Vec<String>,
    /// Only entries with this text in them: a node, an app, a key ...
    #[arg(long, value_name = "TEXT")]
    about: Option<String>,
    /// Only what is not older: a time such as `2h` or `7d`, or a moment such as 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<u64>,
    /// Only what is older.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<u64>,
    /// How many of the last ones.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 100)]
    last: usize,
    #[command(flatten)]
    data: Data,
    /// Answer in JSON, one entry per line.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct Export {
    /// Begin with the first entry that is not older: a time such as `2h` or `7d`, or a moment such
    /// as 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<u64>,
    /// Write to this file, which must not be there yet; to standard output if none is given.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    data: Data,
}

impl AuditVerb {
    pub(super) fn run(self) -> Result<ExitCode> {
        match self {
            AuditVerb::Verify(verb) => verb.run(),
            AuditVerb::Query(verb) => verb.run(),
            AuditVerb::Export(verb) => verb.run(),
        }
    }
}

/// What `verify` says of one log.
#[derive(Serialize)]
struct Verdict {
    node: NodeId,
    first: u64,
    last: u64,
    hash: String,
    signatures: u64,
    problems: Vec<String>,
    more_problems: u64,
}

impl Verify {
    fn run(self) -> Result<ExitCode> {
        let keep = |_: Found<'_>| Ok(());
        let mut reports = Vec::new();
        match self.files.is_empty() {
            true => reports.push(Report::of_folder(&self.data.folder(), keep)?),
            false => {
                for file in &self.files {
                    reports.push(Report::of_files(std::slice::from_ref(file), keep)?);
                }
            }
        }
        let between = cross_check(&reports);
        let is_good = between.is_empty() && reports.iter().all(Report::is_good);
        let verdicts: Vec<Verdict> = reports
            .into_iter()
            .map(|report| Verdict {
                node: report.node,
                first: report.first,
                last: report.last.number,
                hash: report.last.hash.to_string(),
                signatures: report.checkpoints,
                problems: report.problems,
                more_problems: report.more,
            })
            .collect();
        if self.json {
            print_json(&serde_json::json!({
                "good": is_good, "logs": verdicts, "between": between
            }))?;
        } else {
            let text: String = verdicts.iter().map(told).collect();
            let between: String = between.iter().map(|one| format!("  {one}\n")).collect();
            print(&(text + &between))?;
        }
        Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn told(verdict: &Verdict) -> String {
    let Verdict { node, first, last, hash, signatures, problems, more_problems } = verdict;
    let mut text = format!(
        "{node}: entries {first} to {last}, {signatures} signatures; the last one is {hash}\n"
    );
    match problems.is_empty() {
        true => text.push_str("  whole\n"),
        false => problems.iter().for_each(|problem| text.push_str(&format!("  {problem}\n"))),
    }
    if *more_problems > 0 {
        text.push_str(&format!("  and {more_problems} more\n"));
    }
    text
}

impl Query {
    fn run(self) -> Result<ExitCode> {
        let mut last = VecDeque::new();
        let report = Report::of_folder(&self.data.folder(), |Found { line, entry, .. }| {
            if let Some(entry) = entry.filter(|entry| self.wants(line, entry)) {
                if last.len() == self.last {
                    last.pop_front();
                }
                last.push_back(entry.clone());
            }
            Ok(())
        })?;
        for entry in last.iter().take(self.last) {
            let line = match self.json {
                true => serde_json::to_string(entry)?,
                false => {
                    let details = entry.happening.iter().filter(|(name, _)| *name != "what");
                    let details: Vec<String> = details.map(|(k, v)| format!("{k}={v}")).collect();
                    let (at, what) = (when(entry.at), entry.what());
                    format!("{:>7}  {at}  {what:18} {}", entry.n, details.join(" "))
                }
            };
            print(&(line + "\n"))?;
        }
        if !report.is_good() {
            eprintln!("wattle: this log is not whole: see `wattle audit verify`");
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn wants(&self, line: &str, entry: &Entry) -> bool {
        (self.what.is_empty() || self.what.iter().any(|what| what == entry.what()))
            && self.about.as_ref().is_none_or(|text| line.contains(text.as_str()))
            && self.since.is_none_or(|since| entry.at >= since)
            && self.until.is_none_or(|until| entry.at < until)
    }
}

impl Export {
    fn run(self) -> Result<ExitCode> {
        let folder = self.data.folder();
        // Of a log that is not whole, too: it is evidence.
        let mut out: Box<dyn Write> = match &self.out {
            Some(path) => {
                let file = File::create_new(path)
                    .with_context(|| format!("can't make {}", path.display()))?;
                Box::new(BufWriter::new(file))
            }
            None => Box::new(BufWriter::new(std::io::stdout().lock())),
        };
        let node = Report::of_folder(&folder, |_| Ok(()))?.node;
        let mut begun = false;
        let report = Report::of_folder(&folder, |Found { line, entry, before }| {
            let is_older = |entry: &Entry| self.since.is_some_and(|since| entry.at < since);
            if !begun && entry.is_some_and(is_older) {
                return Ok(());
            }
            if !begun {
                begun = true;
                writeln!(out, "{}", Header { node, after: before })?;
            }
            Ok(writeln!(out, "{line}")?)
        })?;
        out.flush()?;
        if !report.is_good() {
            eprintln!("wattle: this log is not whole: see `wattle audit verify`");
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A moment, in milliseconds since the Unix epoch: RFC 3339, or how long ago.
fn moment(text: &str) -> Result<u64, String> {
    let at = match humantime::parse_rfc3339_weak(text) {
        Ok(at) => at,
        Err(_) => {
            let ago = humantime::parse_duration(text).map_err(|_| {
                "expected a time ago such as 90s, 2h or 7d, or a moment such as \
                 2026-01-31T12:00:00Z"
                    .to_string()
            })?;
            SystemTime::now().checked_sub(ago).unwrap_or(UNIX_EPOCH)
        }
    };
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_date_or_a_time_ago() {
        assert_eq!(moment("1970-01-02T00:00:00Z"), Ok(86_400_000));
        let hour_ago = moment("1h").unwrap();
        assert!(moment("2h").unwrap() < hour_ago && hour_ago < moment("0s").unwrap());
        assert!(moment("yesterday").unwrap_err().contains("2h"));
    }
}
