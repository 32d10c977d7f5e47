//! What was found, as tables.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::machine::{self, Machine};

/// Everything that one run found.
#[derive(Default)]
pub(crate) struct Report {
    comparisons: Vec<Comparison>,
    figures: Vec<(String, String)>,
}

/// One thing, done by Wattle and by another.
pub(crate) struct Comparison {
    pub(crate) what: &'static str,
    pub(crate) ours: String,
    /// Nothing where the other is not there to be measured: the text says why.
    pub(crate) theirs: String,
    /// Ours through theirs.
    pub(crate) ratio: Option<f64>,
    pub(crate) target: Target,
}

/// What the ratio shall be.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
}

impl Target {
    fn text(self) -> String {
        match self {
            Self::AtMost(limit) => format!("at most {limit}x"),
            Self::AtLeast(limit) => format!("at least {limit}x"),
        }
    }

    fn verdict(self, ratio: Option<f64>) -> &'static str {
        let reached = match (self, ratio) {
            (_, None) => return "not measured",
            (Self::AtMost(limit), Some(ratio)) => ratio <= limit,
            (Self::AtLeast(limit), Some(ratio)) => ratio >= limit,
        };
        if reached { "yes" } else { "**no**" }
    }
}

impl Report {
    /// Adds a comparison, and shows it.
    pub(crate) fn compare(&mut self, comparison: Comparison) {
        let Comparison { what, ours, theirs, ratio, target } = &comparison;
        let ratio = ratio.map_or_else(String::new, |ratio| format!(": {ratio:.2}x"));
        eprintln!("  {what}: {ours}, against {theirs}{ratio} ({})", target.text());
        self.comparisons.push(comparison);
    }

    /// Adds a figure without a target, and shows it.
    pub(crate) fn print(&mut self, what: impl Into<String>, figure: impl Into<String>) {
        let (what, figure) = (what.into(), figure.into());
        eprintln!("  {what}: {figure}");
        self.figures.push((what, figure));
    }

    pub(crate) fn tables(&self) -> String {
        let mut text = String::new();
        if !self.comparisons.is_empty() {
            text.push_str("| what | Wattle | the other | ratio | target | reached |\n");
            text.push_str("| --- | --- | --- | --- | --- | --- |\n");
        }
        for Comparison { what, ours, theirs, ratio, target } in &self.comparisons {
            let verdict = target.verdict(*ratio);
            let ratio = ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}x"));
            let target = target.text();
            let _ =
                writeln!(text, "| {what} | {ours} | {theirs} | {ratio} | {target} | {verdict} |");
        }
        if !self.figures.is_empty() {
            text.push_str("\n| printed beside | figure |\n| --- | --- |\n");
        }
        for (what, figure) in &self.figures {
            let _ = writeln!(text, "| {what} | {figure} |");
        }
        text
    }

    /// Writes the whole document.
    pub(crate) fn write(&self, path: &Path, machine: &Machine) -> Result<()> {
        let ended = machine::load_average().unwrap_or_else(|| "unknown".into());
        let text = format!(
            "# Performance\n\n\
             `cargo xtask bench` measured all of this in one run, and wrote this page. Trust the ratios: both sides\n\
             of each ran on the same machine, in turns. The other figures are this machine's.\n\n\
             {}. {machine}, when it ended: {ended}.\n\n\
             {}\n{METHOD}",
            machine.date,
            self.tables()
        );
        fs::write(path, text).with_context(|| format!("can't write {}", path.display()))
    }
}

const METHOD: &str = "\
## How it is measured

All on loopback, release profile, everything that is compared in separate processes on the same cores. Rounds alternate
between the sides; each figure is the median of its rounds' values.

- **Two nodes**: two `wattle up`, the component `relay` on one, `echo` on the other, linked by an app. Each call of the
  guest's import crosses the mesh, runs and comes back. `echo` lets its instances be used again
  (`limits = { reuse = 1000 }`); beside it stands the default, an instance for each call. One in flight: `relay` takes
  the time of each call with `wasi:clocks/monotonic-clock`, so what is measured is what a component sees. 64 in flight:
  64 calls of `relay.many` at once through the node's API, all calls of `echo` through the time that all of them took.
- **NATS**: the `nats-server` that is named above, a responder in a process of its own, `async-nats` in both, core
  request/reply without TLS, on the runtime that `#[tokio::main]` makes. *One thread each* is the same with a
  single-threaded runtime in client and responder, which spares them waking threads. Wattle's calls are encrypted,
  authenticated, checked against the app's links and end in a sandbox; NATS's responder gives back the bytes.
- **quinn, framed**: the least that crosses between two processes with encryption: one stream, a length and a number
  before each payload, frames written together where several wait. Nothing decides, checks or runs.
- **Same node**: `relay` and `echo` as two actors of `wattle-runtime`, against both composed with `wasm-compose` into
  one component, which wasmtime runs with the same engine settings, typed functions and a fresh store and instance for
  each outer call. *Calls after the first* is what one more inner call costs: Wattle gives each an instance of its own,
  a composed component calls within the instance that it has.
- **HTTP**: `hello` behind `wattle up --http`, against a hyper server with wasmtime's own `wasi:http` handler
  (`ProxyPre`, as its documentation shows it), same engine settings, same component, same client: 32 connections
  kept alive, one request at a time on each.
- **Durable**: one `wattle up`; the component `announcer` publishes durable messages of 100 bytes for a group whose
  node has left, so that each is written and none is delivered. 64 calls at once, each publishing one after the other, and one
  alone; `announcer` takes the time of each. Against a JetStream file stream with one replica, `async-nats`, 64 tasks
  and one, each waiting for the acknowledgement of a message before the next. The same disk; synced before each
  acknowledgement on both sides (`sync_interval: always`). nats-server knows that setting from 2.10 on, which
  `nats-server --version` tells: with an older one (Debian 12's), which syncs every two minutes, there is no ratio, and its
  figures are printed as what they are. `WATTLE_NATS_SERVER` names another one than the system's.
- **First call**: an engine that has not seen the component, its compiled code in the cache on disk, the file in the
  system's page cache. *Instantiate* ends when the component makes its first call out; *call* is from there until the
  answer.
- **Idle**: from `/proc`, after ten seconds of rest.

## Again

```
cargo xtask bench                    # everything; writes this page
cargo xtask bench -- -- --quick      # whether it works at all
cargo xtask bench -- -- across http  # some rows
WATTLE_NATS_SERVER=/opt/nats/nats-server cargo xtask bench   # beside that nats-server
```
";
