//! What libFuzzer said of a run.

use std::path::PathBuf;
use std::time::Duration;

/// What came of a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// How much CPU the target has had.
    pub(crate) had: Duration,
    /// How many inputs were tried.
    runs: u64,
    /// How many edges of the code were reached.
    coverage: u64,
    /// How many inputs are kept, each of which reaches something of its own.
    inputs: u64,
    /// The input for which something did not hold.
    pub(crate) found: Option<PathBuf>,
}

impl Outcome {
    pub(crate) const HEADING: &str = "target          CPU       runs  coverage    inputs  found";

    /// Reads it out of what libFuzzer printed.
    pub(crate) fn read(said: &str) -> Self {
        let mut outcome = Self::default();
        for line in said.lines() {
            if let Some(runs) = line.strip_prefix("stat::number_of_executed_units:") {
                outcome.runs = runs.trim().parse().unwrap_or(0);
            }
            if let Some((_, path)) = line.split_once("Test unit written to ") {
                outcome.found = Some(path.trim().into());
            }
            if line.starts_with('#') {
                outcome.coverage = after(line, "cov: ").unwrap_or(outcome.coverage);
                outcome.inputs = after(line, "corp: ").unwrap_or(outcome.inputs);
                let runs = line.trim_start_matches('#').split_whitespace().next();
                outcome.runs = runs.and_then(|n| n.parse().ok()).unwrap_or(0).max(outcome.runs);
            }
        }
        outcome
    }

    /// This run and the one that followed on it.
    pub(crate) fn and(self, next: Self) -> Self {
        Self { runs: self.runs + next.runs, ..next }
    }

    /// One line of the table.
    pub(crate) fn line(&self, name: &str) -> String {
        let found = self.found.as_ref().map_or("nothing".to_owned(), |at| at.display().to_string());
        let Self { runs, coverage, inputs, .. } = self;
        let seconds = self.had.as_secs();
        format!("{name:<12} {seconds:>4} s {runs:>10} {coverage:>9} {inputs:>9}  {found}")
    }
}

fn after(line: &str, word: &str) -> Option<u64> {
    let rest = line.split(word).nth(1)?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_run_and_found_is_read_out_of_the_log() {
        let said = "#2\tINITED cov: 100 ft: 120 corp: 5/60b exec/s: 0 rss: 30Mb\n\
            #8192\tpulse  cov: 345 ft: 900 corp: 41/2Kb lim: 4096 exec/s: 4096 rss: 40Mb\n";
        let found = "==1== ERROR: libFuzzer: deadly signal\nMS: 2 CrossOver-; base unit: 3f\n\
            artifact_prefix='a/'; Test unit written to a/crash-11\n";
        let end = "stat::number_of_executed_units: 9000\nstat::peak_rss_mb: 40\n";
        let good = Outcome { runs: 9000, coverage: 345, inputs: 41, ..Outcome::default() };
        assert_eq!(Outcome::read(&format!("{said}{end}")), good);
        let bad = Outcome { runs: 8192, found: Some("a/crash-11".into()), ..good };
        assert_eq!(Outcome::read(&format!("{said}{found}")), bad);
        let both = good.and(bad);
        assert_eq!(both.runs, 17_192);
        assert!(both.line("frame").ends_with("a/crash-11"));
    }
}
