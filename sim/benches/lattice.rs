//! How much faster than real time a mesh is rehearsed, on one core: records, membership, probes,
//! dialling, routing and placement of every node, with mild faults. Without gossip, whose stand-in
//! would grow with the square of the nodes; each node has connections to a dozen others.
//!
//! `cargo bench -p wattle-sim --bench lattice [NODES]`

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench that fails has failed")]

use std::time::{Duration, Instant};

use rand::Rng as _;
use wattle_contracts::record::{Config, RecordBody, RecordKey};
use wattle_mesh::core::time::Time;
use wattle_sim::{Lattice, Scenario, Settings};

fn main() {
    let only = std::env::args().skip(1).find_map(|argument| argument.parse::<usize>().ok());
    for (nodes, seconds, target) in [(100, 300, 0.0), (1000, 120, 100.0), (10_000, 30, 5.0)] {
        if only.is_none_or(|only| only == nodes) {
            mild(nodes, seconds, target);
        }
    }
}

/// A mesh after it has come up: an edit every ten seconds, 0.5 % of packets lost, and one node
/// in a hundred killed and started again in each minute. Of an edit, each node checks the
/// signature: that is what a busier mesh would mostly spend its time on.
fn mild(nodes: usize, seconds: u64, target: f64) {
    let text = format!(
        "name = \"bench\"\nrun = \"1h\"\n[mesh]\ncircle = 12\n[mesh.links]\nlatency = \"10ms\"\n\
         jitter = \"20ms\"\nloss = \"0.5%\"\n[[nodes]]\ngroup = \"n\"\ncount = {nodes}\n"
    );
    let scenario = Scenario::parse("bench.toml", &text, &|name| Err(name.into())).unwrap();
    let settings = Settings { gossip: false, ..Settings::default() };
    let mut lattice = Lattice::new(1, &scenario.nodes, scenario.usual, settings);
    let begun = Instant::now();
    (0..nodes).for_each(|number| lattice.start(number));
    lattice.run_until(Time::since_start(Duration::from_secs(20)));
    lattice.run_until(Time::since_start(Duration::from_secs(20)));
    lattice.take_seen();
    let up = begun.elapsed();
    let (begun, events, traffic) = (Instant::now(), lattice.events(), lattice.traffic());
    let sent = |t: wattle_sim::lattice::Traffic| t.records + t.gossip + t.calls + t.other;
    let mut down: Vec<(u64, usize)> = Vec::new();
    for second in 0..seconds {
        let writer = lattice.rng().random_range(0..nodes);
        let key = lattice.rng().random_range(0..50);
        if second % 10 == 0 {
            let body = RecordBody::Config(Config { value: second.to_string() });
            let key = RecordKey::Config(format!("bench/load/k{key}").parse().unwrap());
            lattice.edit(writer, key, body);
        }
        for _ in 0..(nodes / 6000).max(usize::from(second % (6000 / nodes).max(1) as u64 == 0)) {
            let victim = lattice.rng().random_range(0..nodes);
            lattice.kill(victim);
            down.push((second + 5, victim));
        }
        for (_, number) in down.extract_if(.., |(at, _)| *at <= second) {
            lattice.start(number);
        }
        lattice.run_until(Time::since_start(Duration::from_secs(21 + second)));
        lattice.take_seen();
    }
    let took = begun.elapsed().as_secs_f64();
    let faster = seconds as f64 / took;
    let bytes = (sent(lattice.traffic()) - sent(traffic)) as f64;
    println!(
        "{nodes} nodes, {seconds} s of virtual time in {took:.2} s: {faster:.0} times real time{}; {:.0} \
         events per second; {:.0} bytes per node and second; up in {:.1} s; {} MiB resident",
        match target {
            0.0 => String::new(),
            target if faster >= target => format!(" (target {target:.0}: reached)"),
            target => format!(" (target {target:.0}: MISSED)"),
        },
        (lattice.events() - events) as f64 / took,
        bytes / nodes as f64 / seconds as f64,
        up.as_secs_f64(),
        resident_mebibytes()
    );
}

fn resident_mebibytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096 / (1 << 20)
}
