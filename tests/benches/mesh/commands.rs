//! What the benchmark is told on its command line.

use anyhow::{Context as _, Result, bail};

use crate::threads::Threads;

pub(crate) const HELP: &str = "\
usage: cargo xtask bench -- -- [--quick] [ROW]...

Measures all rows, or the named ones: across same-node http durable first-call idle.
--quick (or WATTLE_BENCH_QUICK=1) shortens every round, to see whether it works at all.
WATTLE_NATS_SERVER names the nats-server to compare with; else it is the one of the system.
Only a full run, without --quick and without names, writes docs/performance.md.";

const ROWS: [&str; 6] = ["across", "same-node", "http", "durable", "first-call", "idle"];

/// What to do.
pub(crate) enum Command {
    Help,
    Measure(Options),
    /// This process plays the other side of a measurement.
    Helper {
        role: String,
        threads: Threads,
        argument: Option<String>,
    },
}

/// What to measure, and how long.
pub(crate) struct Options {
    quick: bool,
    rows: Vec<String>,
}

impl Command {
    pub(crate) fn read(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let quick = std::env::var_os("WATTLE_BENCH_QUICK").is_some_and(|value| value == "1");
        let mut options = Options { quick, rows: Vec::new() };
        while let Some(word) = words.next() {
            match word.as_str() {
                // What cargo says to every benchmark.
                "--bench" => {}
                "--quick" => options.quick = true,
                "--help" | "-h" => return Ok(Self::Help),
                "--helper" => {
                    let role = words.next().context("--helper needs a role")?;
                    let threads = words.next().as_deref().and_then(Threads::from_word);
                    let threads = threads.context("--helper needs a number of threads")?;
                    return Ok(Self::Helper { role, threads, argument: words.next() });
                }
                row if ROWS.contains(&row) => options.rows.push(word),
                _ => bail!("`{word}` is neither a row nor an option\n{HELP}"),
            }
        }
        Ok(Self::Measure(options))
    }
}

impl Options {
    pub(crate) fn wants(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|wanted| wanted == row)
    }

    /// Whether the run says all that the document says.
    pub(crate) fn is_complete(&self) -> bool {
        self.rows.is_empty() && !self.quick
    }

    /// The first in a full run, the second in a quick one.
    pub(crate) fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}
