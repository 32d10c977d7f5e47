//! Many seeds over the whole library of scenarios, each with random faults of its own: what
//! `wattle sim explore` does, for all scenarios one after the other, and what came of it.
//!
//! `cargo bench -p wattle-sim --bench seeds -- [--seeds N] [--first SEED] [--only NAME]`
//!
//! Of N seeds, each scenario gets so many that all take about the same time: hundreds for five
//! nodes and an hour, a few for a thousand nodes. In slices: `--first` is the first seed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench that fails has failed"
)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use wattle_sim::Scenario;
use wattle_sim::explore::{Plan, explore, swarm};

/// The one of a node's binary, and so of `wattle sim`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// After so many, a scenario is left alone: they have most likely one cause.
const ENOUGH: usize = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let number = |name: &str| value(name).map(|text| text.parse::<u64>().unwrap());
    let (seeds, first) = (number("--seeds").unwrap_or(100), number("--first").unwrap_or(1));
    let only = value("--only").unwrap_or_default();
    let all: Vec<(String, Scenario)> = library()
        .into_iter()
        .map(|(name, path)| (name, Scenario::load(&path).unwrap()))
        .filter(|(name, _)| name.contains(&only))
        .collect();
    let shares: Vec<f64> = all.iter().map(|(_, scenario)| 1.0 / cost(scenario)).collect();
    let sum: f64 = shares.iter().sum();
    let mut total = Tally::default();
    for ((name, scenario), share) in all.iter().zip(shares) {
        let count = (seeds as f64 * share / sum).round().max(1.0) as u64;
        let tally = one(name, scenario, first, count);
        tally.print(name);
        total.add(&tally);
    }
    total.print("all");
    assert_eq!(total.found, 0, "a promise was broken: see above");
}

/// About how long a run takes: by how many pairs of nodes have to do with each other, and for how
/// many steps.
fn cost(scenario: &Scenario) -> f64 {
    let nodes = scenario.nodes.len() as f64;
    let known = scenario.nodes.iter().filter_map(|plan| plan.circle.as_ref().map(Vec::len)).max();
    let peers = known.map_or(nodes, |known| known as f64);
    nodes * peers * scenario.run.as_secs_f64() / f64::from(scenario.pace)
}

#[derive(Default)]
struct Tally {
    seeds: u64,
    simulated: Duration,
    faults: usize,
    found: usize,
    took: Duration,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.seeds += other.seeds;
        self.simulated += other.simulated;
        self.faults += other.faults;
        self.found += other.found;
        self.took += other.took;
    }

    fn print(&self, name: &str) {
        println!(
            "{name}: {} seeds, {:.1} days of virtual time, {} faults, {} found, {:.0} s",
            self.seeds,
            self.simulated.as_secs_f64() / 86_400.0,
            self.faults,
            self.found,
            self.took.as_secs_f64()
        );
    }
}

fn one(name: &str, scenario: &Scenario, first: u64, count: u64) -> Tally {
    let (begun, end) = (Instant::now(), first + count);
    let (mut at, mut tally) = (first, Tally::default());
    while at < end && tally.found < ENOUGH {
        let plan = Plan { first: at, seeds: end - at, jobs: 1, code: None, broken: None };
        let found = explore(scenario, &plan, |_| {});
        let next = found.as_ref().map_or(end, |found| found.seed + 1);
        tally.seeds += next - at;
        let faults = (at..next).map(|seed| swarm(scenario, seed).len() + scenario.faults.len());
        tally.faults += faults.sum::<usize>();
        tally.simulated += scenario.run * u32::try_from(next - at).unwrap();
        if let Some(found) = found {
            tally.found += 1;
            let breach = found.outcome.first_breach().unwrap();
            println!(
                "{name}, seed {}: {} at {} s: {}\n  wattle sim run sim/scenarios/{name}.toml \
                 --seed {} --swarm --keep {}",
                found.seed,
                breach.oracle,
                breach.at_micros / 1_000_000,
                breach.text,
                found.seed,
                found.kept.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
            );
            found
                .faults
                .iter()
                .for_each(|fault| println!("  with {} at {:?}", fault.text, fault.at));
            for line in found.outcome.around.iter().rev().take(12).rev() {
                let name = &found.outcome.nodes[line.node];
                println!("  {:.3} s {name} {}", line.at_micros as f64 / 1e6, line.text);
            }
            found.outcome.views.iter().for_each(|view| println!("  {view}"));
        }
        at = next;
    }
    tally.took = begun.elapsed();
    tally
}

fn library() -> Vec<(String, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "toml"));
    let mut named: Vec<_> =
        files.map(|path| (path.file_stem().unwrap().to_str().unwrap().to_string(), path)).collect();
    named.sort();
    named
}
