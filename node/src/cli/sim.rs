//! `wattle sim`: rehearses a mesh in virtual time.

mod from_mesh;
mod load;
mod topology;
mod undeclare;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use wattle_sim::explore::{self, Found};
use wattle_sim::scenario::Fault;
use wattle_sim::wasm::Code;
use wattle_sim::{Fidelity, Options, Outcome, Scenario, report};

use super::output::{print, print_json, table};

#[derive(Subcommand)]
pub(super) enum SimVerb {
    /// Runs a scenario, and says which of the mesh's promises held. The same seed is the same run.
    Run(Run),
    /// Runs a scenario with many seeds and random faults on top, until a promise does not hold.
    Explore(Explore),
    /// Writes a running mesh down as a scenario: its nodes, what was measured between them, its
    /// apps.
    FromMesh(from_mesh::FromMesh),
}

#[derive(Args)]
pub(super) struct Run {
    /// The scenario.
    #[arg(value_name = "SCENARIO.toml")]
    scenario: PathBuf,
    /// The seed; the scenario's own if none is given.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// With the random faults that `explore` makes up from the seed.
    #[arg(long)]
    swarm: bool,
    /// Of these only some, counted from 1: what `explore` has found to matter.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', requires = "swarm")]
    keep: Option<Vec<usize>>,
    /// What connections are: `pipes` with the timing of QUIC, or real `quic` connections over
    /// made-up datagrams, which takes longer.
    #[arg(long, value_enum, default_value = "pipes")]
    fidelity: Connections,
    /// Write a page about the run that a browser shows.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Run the apps' real components, in virtual time: the files that the manifests name. Calls
    /// need `arguments` then.
    #[arg(long)]
    wasm: bool,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Connections {
    Pipes,
    Quic,
}

#[derive(Args)]
pub(super) struct Explore {
    /// The scenario.
    #[arg(value_name = "SCENARIO.toml")]
    scenario: PathBuf,
    /// How many seeds.
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    seeds: u64,
    /// The first of them.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    first: u64,
    /// How many runs at once; as many as there are processors if none is given.
    #[arg(long, value_name = "NUMBER")]
    jobs: Option<usize>,
    /// Run the apps' real components, in virtual time: the files that the manifests name. Calls
    /// need `arguments` then.
    #[arg(long)]
    wasm: bool,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

/// What `explore --json` answers.
#[derive(Serialize)]
struct Explored<'a> {
    scenario: &'a str,
    first: u64,
    seeds: u64,
    seconds: f64,
    found: Option<&'a Outcome>,
    replay: Option<&'a str>,
}

impl SimVerb {
    pub(super) async fn run(self) -> Result<ExitCode> {
        match self {
            SimVerb::Run(run) => apart(|| run.run()),
            SimVerb::Explore(explore) => apart(|| explore.run()),
            SimVerb::FromMesh(verb) => verb.run().await.map(|()| ExitCode::SUCCESS),
        }
    }
}

/// Does it on a thread of its own: a simulated node's gossip has a runtime with a clock of its own,
/// and none can be run inside of another.
fn apart<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(act).join() {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

impl Run {
    fn run(self) -> Result<ExitCode> {
        let scenario = Scenario::load(&self.scenario)?;
        let seed = self.seed.unwrap_or(scenario.seed);
        let faults = match self.swarm {
            true => kept(explore::swarm(&scenario, seed), self.keep.as_deref())?,
            false => Vec::new(),
        };
        let code = code(&scenario, self.wasm)?;
        let bar = bar(scenario.run.as_secs(), "{wide_bar} {percent} % of the virtual time")?;
        let begun = Instant::now();
        let fidelity = match self.fidelity {
            Connections::Pipes => Fidelity::Pipes,
            Connections::Quic => Fidelity::Quic,
        };
        let options = Options { seed: Some(seed), faults, fidelity, code, ..Options::default() };
        let outcome = wattle_sim::run(&scenario, &options, |at| bar.set_position(at.as_secs()));
        bar.finish_and_clear();
        let took = begun.elapsed();
        if let Some(file) = &self.report {
            std::fs::write(file, report::html(&scenario, &outcome))
                .with_context(|| format!("can't write the report {}", file.display()))?;
        }
        if self.json {
            print_json(&outcome)?;
        } else {
            print(&told(&outcome, took))?;
            if let Some(file) = &self.report {
                print(&format!("report: {}\n", file.display()))?;
            }
        }
        Ok(if outcome.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The real components, if they are to be run.
fn code(scenario: &Scenario, wasm: bool) -> Result<Option<Code>> {
    wasm.then(|| Code::load(scenario)).transpose().context("--wasm can't run this scenario")
}

fn kept(all: Vec<Fault>, keep: Option<&[usize]>) -> Result<Vec<Fault>> {
    let Some(keep) = keep else { return Ok(all) };
    let one = |number: &usize| {
        let fault = number.checked_sub(1).and_then(|index| all.get(index));
        fault.cloned().with_context(|| {
            format!("--keep {number}: with this seed there are random faults 1 to {}", all.len())
        })
    };
    keep.iter().map(one).collect()
}

impl Explore {
    fn run(self) -> Result<ExitCode> {
        let scenario = Scenario::load(&self.scenario)?;
        if self.seeds == 0 {
            bail!("--seeds 0: expected at least one seed");
        }
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = self.jobs.unwrap_or(processors).max(1);
        let code = code(&scenario, self.wasm)?;
        let style = "{wide_bar} {pos} of {len} seeds, {eta} left";
        let bar = bar(self.seeds, style)?;
        let begun = Instant::now();
        let plan = explore::Plan { first: self.first, seeds: self.seeds, jobs, code, broken: None };
        let found = explore::explore(&scenario, &plan, |done| bar.set_position(done));
        bar.finish_and_clear();
        let took = begun.elapsed();
        let replay = found.as_ref().map(|found| self.replay(found));
        if self.json {
            print_json(&Explored {
                scenario: &scenario.name,
                first: self.first,
                seeds: self.seeds,
                seconds: took.as_secs_f64(),
                found: found.as_ref().map(|found| &found.outcome),
                replay: replay.as_deref(),
            })?;
        } else if let (Some(found), Some(replay)) = (&found, &replay) {
            print(&told(&found.outcome, took))?;
            let faults = found.faults.iter().map(|fault| {
                let lasts = fault.lasts.unwrap_or_default();
                format!("  at {:?} for {lasts:?}: {}\n", fault.at, fault.text)
            });
            let faults: String = faults.collect();
            let (left, before) = (found.kept.len(), found.before);
            print(&format!(
                "\nOf {before} random faults, {left} are needed:\n{faults}\nThe same run again: \
                 {replay}\n"
            ))?;
        } else {
            let each = took.as_secs_f64() / self.seeds as f64;
            print(&format!(
                "{}: every promise held with seeds {} to {} ({:.1} s, {each:.2} s each)\n",
                scenario.name,
                self.first,
                self.first + self.seeds - 1,
                took.as_secs_f64()
            ))?;
        }
        Ok(if found.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn replay(&self, found: &Found) -> String {
        let (file, seed) = (self.scenario.display(), found.seed);
        let kept: Vec<String> = found.kept.iter().map(ToString::to_string).collect();
        let swarm = match kept.is_empty() {
            true => String::new(),
            false => format!(" --swarm --keep {}", kept.join(",")),
        };
        let wasm = if self.wasm { " --wasm" } else { "" };
        format!("wattle sim run {file}{wasm} --seed {seed}{swarm}")
    }
}

/// A bar on standard error, where that is a terminal.
fn bar(length: u64, style: &str) -> Result<ProgressBar> {
    Ok(ProgressBar::new(length).with_style(ProgressStyle::with_template(style)?))
}

/// What came of a run, for a person.
fn told(outcome: &Outcome, took: Duration) -> String {
    let rows: Vec<[String; 4]> = outcome
        .verdicts
        .iter()
        .map(|verdict| {
            let found = match (verdict.checked, verdict.breaches.len()) {
                (_, 1..) => "BROKEN",
                (0, _) => "not put to the test",
                _ => "held",
            };
            let (checked, promise) = (verdict.checked.to_string(), verdict.promise.clone());
            [verdict.oracle.to_string(), found.into(), checked, promise]
        })
        .collect();
    let Outcome { scenario, seed, trace, events, virtual_seconds, counts, .. } = outcome;
    let faster = (*virtual_seconds as f64 / took.as_secs_f64().max(0.001)).round();
    let mut text = format!(
        "{scenario}\nseed {seed}: {} in {:.1} s of real time, {faster} times as fast; {events} \
         events\ntrace {trace}\n{} changes taken, {} refused; {} messages published, {} handled; \
         {} of {} calls answered\n\n{}",
        span(*virtual_seconds),
        took.as_secs_f64(),
        counts.edits,
        counts.edits_refused,
        counts.published,
        counts.handled,
        counts.answered,
        counts.calls,
        table(["ORACLE", "RESULT", "CHECKS", "PROMISE"], &rows)
    );
    if counts.executed > 0 {
        text += &format!("\n{} calls were executed by real components\n", counts.executed);
    }
    if !outcome.responses.is_empty() {
        let counted = outcome.responses.iter().map(|(status, count)| format!("{count} x {status}"));
        let counted: Vec<String> = counted.collect();
        text += &format!("requests from outside were answered: {}\n", counted.join(", "));
    }
    let name = |node: usize| outcome.nodes.get(node).map_or("?", String::as_str);
    let at = |micros: u64| format!("{:>12.3} s", micros as f64 / 1e6);
    for breach in outcome.verdicts.iter().flat_map(|verdict| &verdict.breaches) {
        text += &format!("\n{}  {}: {}", at(breach.at_micros), breach.oracle, breach.text);
    }
    if !outcome.around.is_empty() {
        text += "\n\nBefore the first of these:\n";
        for line in &outcome.around {
            text += &format!("{}  {} {}\n", at(line.at_micros), name(line.node), line.text);
        }
        text += "\nAnd then:\n";
        outcome.views.iter().for_each(|view| text += &format!("  {view}\n"));
    }
    text
}

fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{:.1} h", seconds as f64 / 3600.0),
    }
}
