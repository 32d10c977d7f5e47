//! What it costs to find out where a call goes: 10,000 links of 1,000 components in one table, and
//! as many of a single one; how long a lookup takes, how long the table takes to build, and what
//! it holds in memory.
//!
//! `cargo bench -p wattle-mesh --bench links`. Fails if a lookup takes more than 2 µs at the
//! median of ten rounds.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a measurement")]

use std::hint::black_box;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use wattle_contracts::id::{ComponentId, ContractId, NodeId};
use wattle_contracts::record::{App, Hlc, Link, LinkKey, LinkOptions, LinkSpec, Version};
use wattle_mesh::core::links::Links;

const LIMIT: Duration = Duration::from_micros(2);
const LINKS: usize = 10_000;
const LOOKUPS: usize = 100_000;
const ROUNDS: usize = 10;

fn main() -> ExitCode {
    let alone = std::env::args().nth(1).and_then(|components| components.parse().ok());
    let reached = match alone {
        Some(components) => measure(components),
        // Each in a process of its own: memory that the first gave back would hide the second's.
        None => [1000, 1].into_iter().all(|components: usize| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.arg(components.to_string()).status().unwrap().success()
        }),
    };
    if reached { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn measure(components: usize) -> bool {
    let (apps, records) = declared(components);
    let version =
        Version { at: Hlc { millis: 1, counter: 0 }, writer: NodeId::from_bytes([1; 32]) };
    let before = resident_kib();
    let begun = Instant::now();
    let links = Links::new(
        apps.iter().map(|app| (app, version)),
        records.iter().map(|(key, link)| (key, link, version)),
    );
    let built = begun.elapsed();
    let memory = resident_kib().saturating_sub(before);
    assert_eq!(links.len(), LINKS);

    let wanted = wanted(components);
    let mut rounds: Vec<Duration> = (0..ROUNDS).map(|_| round(&links, &wanted)).collect();
    rounds.sort();
    let (median, worst) = (rounds[ROUNDS / 2], rounds[ROUNDS - 1]);
    println!(
        "{LINKS} links of {components} components: a lookup takes {median:?} (the slowest of {ROUNDS} rounds: \
         {worst:?}; the limit is {LIMIT:?}); the table was built in {built:?} and holds about \
         {memory} KiB"
    );
    median <= LIMIT
}

/// The mean of many lookups, in an order that no cache foresees.
fn round(links: &Links, wanted: &[(ComponentId, ContractId)]) -> Duration {
    let begun = Instant::now();
    for (from, contract) in wanted {
        let import = links.get(black_box(from), black_box(contract));
        assert!(black_box(import).is_some());
    }
    begun.elapsed() / u32::try_from(wanted.len()).unwrap()
}

/// Ten components to an app. Every tenth link is a record of its own in the place of the app's,
/// so that the table holds `LINKS` in all.
fn declared(components: usize) -> (Vec<App>, Vec<(LinkKey, Link)>) {
    let mut apps: Vec<App> = (0..components.div_ceil(10))
        .map(|app| App::new(format!("app-{app}").parse().unwrap()))
        .collect();
    let mut records = Vec::new();
    for number in 0..LINKS {
        let (component, import) = (number % components, number / components);
        let from = name(component);
        let contract: ContractId = format!("example:package-{import}/api").parse().unwrap();
        let to = format!("target-{}", number % 7);
        if number % 10 == 0 {
            let key = LinkKey {
                from: from.clone(),
                contract: contract.clone(),
                name: Default::default(),
            };
            let to = format!("other/{to}").parse().unwrap();
            records.push((key, Link { to, options: LinkOptions::default() }));
        }
        apps[component / 10].links.push(LinkSpec {
            from: from.name,
            contract,
            name: Default::default(),
            to: to.parse().unwrap(),
            options: LinkOptions::default(),
        });
    }
    (apps, records)
}

fn name(component: usize) -> ComponentId {
    format!("app-{}/component-{component}", component / 10).parse().unwrap()
}

/// What components ask for: the version that they were built against is named.
fn wanted(components: usize) -> Vec<(ComponentId, ContractId)> {
    let mut random = SmallRng::seed_from_u64(7);
    let one = |_| {
        let component = random.random_range(0..components);
        let import = random.random_range(0..LINKS / components);
        let contract = format!("example:package-{import}/api@0.1.{}", import % 5);
        (name(component), contract.parse().unwrap())
    };
    (0..LOOKUPS).map(one).collect()
}

/// What this process has in RAM (proc(5)), in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
