//! What a node costs that has nothing to do, in cells of many and in many cells, in virtual time:
//! gossip by chitchat's own code, records, probes, pings and reports, with a quality of links as
//! between sites. What whole processes cost, with QUIC, is measured by `tests/benches/idle_mesh.rs`,
//! which a machine of two cores bears for a hundred nodes, and not for a thousand.
//!
//! `cargo bench -p wattle-sim --bench idle [NODES]`

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench that fails has failed")]

use std::time::{Duration, Instant};

use wattle_mesh::core::time::Time;
use wattle_sim::{GossipBy, Lattice, Scenario, Settings};

/// The one of a node's binary, and so of `wattle sim`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Until all have found each other, and what that brought has died down.
const REST: Duration = Duration::from_secs(60);
/// How long is measured.
const WATCH: Duration = Duration::from_secs(30);

fn main() {
    let only = std::env::args().skip(1).find_map(|argument| argument.parse::<usize>().ok());
    for (cells, each) in [(1, 50), (1, 100), (20, 50)] {
        if only.is_none_or(|only| only == cells * each) {
            idle(cells, each);
        }
    }
}

fn idle(cells: usize, each: usize) {
    let group = |cell: usize| {
        format!(
            "[[nodes]]\ngroup = \"cell-{cell}\"\ncount = {each}\nlabels = {{ cell = \"cell-{cell}\" }}\n"
        )
    };
    let groups: String = (0..cells).map(group).collect();
    let text = format!(
        "name = \"idle\"\nrun = \"1h\"\n[mesh.links]\nlatency = \"10ms\"\njitter = \"10ms\"\nloss = \"0.1%\"\n{groups}"
    );
    let scenario = Scenario::parse("idle.toml", &text, &|name| Err(name.into())).unwrap();
    let settings = Settings { gossip_by: GossipBy::Chitchat, ..Settings::default() };
    let mut lattice = Lattice::new(1, &scenario.nodes, scenario.usual, settings);
    let nodes = cells * each;
    (0..nodes).for_each(|number| lattice.start(number));
    let mut pass = |time: Duration| {
        let end = lattice.now().plus(time);
        // What was seen is kept until it is asked for.
        while lattice.now() < end {
            let step = lattice.now().plus(Duration::from_secs(1)).min(end);
            lattice.run_until(step);
            lattice.take_seen();
        }
        let sent: Vec<u64> = (0..nodes).map(|number| lattice.bytes_of(number)).collect();
        (sent, lattice.traffic())
    };
    let (before, planes_before) = pass(REST);
    let begun = Instant::now();
    let (after, planes) = pass(WATCH);
    let worked = begun.elapsed();
    let known: Vec<(usize, usize)> = (0..nodes).map(|number| lattice.census(number)).collect();
    let cell = |number: usize| number / each;
    let reaches = |a: usize| (0..nodes).any(|b| cell(a) != cell(b) && lattice.is_linked(a, b));
    let doors = (0..nodes).filter(|number| reaches(*number)).count();
    let seconds = WATCH.as_secs();
    let each_sent: Vec<u64> =
        after.iter().zip(&before).map(|(after, before)| (after - before) / seconds).collect();
    let per_node = |bytes: u64| bytes / nodes as u64 / seconds;
    println!(
        "{nodes} nodes in {cells} cells, idle for {seconds} s of virtual time: a node sends {} bytes per \
         second (at most {}), of them gossip {}, records {}, other {}; {:.0} ms of a core per node and \
         minute, without encryption and system calls; of its own cell, a node knows, and holds to be alive, at least {:?}; \
         {doors} nodes have connections to other cells",
        each_sent.iter().sum::<u64>() / nodes as u64,
        each_sent.iter().max().unwrap(),
        per_node(planes.gossip - planes_before.gossip),
        per_node(planes.records - planes_before.records),
        per_node(planes.other - planes_before.other),
        worked.as_secs_f64() * 1000.0 * 60.0 / (nodes as u64 * seconds) as f64,
        known.iter().min().unwrap(),
    );
    assert!(lattice.now() == Time::since_start(REST + WATCH));
}
