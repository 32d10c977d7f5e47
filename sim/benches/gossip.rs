//! How much faster than real time a whole mesh is rehearsed with the parts that are not Wattle's
//! own: chitchat's code, with 100 nodes in one cell; and with real QUIC connections, 20 nodes.
//! Everything else runs as well: records, membership, probes, dialling, routing, placement.
//!
//! `cargo bench -p wattle-sim --bench gossip`

#![allow(clippy::unwrap_used, reason = "a bench that fails has failed")]

use std::time::{Duration, Instant};

use wattle_contracts::record::{Config, RecordBody, RecordKey};
use wattle_sim::lattice::Plan;
use wattle_sim::lattice::fabric::Quality;
use wattle_sim::{Fidelity, GossipBy, Lattice, Settings};

/// The one of a node's binary, and so of `wattle sim`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    bench("chitchat, pipes", 100, 60, GossipBy::Chitchat, Fidelity::Pipes, 5.0);
    bench("stand-in, pipes", 100, 60, GossipBy::StandIn, Fidelity::Pipes, 0.0);
    bench("chitchat, QUIC", 20, 60, GossipBy::Chitchat, Fidelity::Quic, 0.0);
}

/// A mesh of one cell, from its start on: an edit every ten seconds, 0.5 % of packets lost, and
/// one node killed and started again in each minute.
fn bench(
    what: &str,
    nodes: usize,
    seconds: u64,
    gossip_by: GossipBy,
    fidelity: Fidelity,
    target: f64,
) {
    let plan = |n: usize| Plan { name: format!("n{n}"), join: vec![0], ..Plan::default() };
    let plans: Vec<Plan> = (0..nodes).map(plan).collect();
    let settings = Settings { gossip_by, fidelity, ..Settings::default() };
    let quality = Quality { loss_ppm: 5_000, ..Quality::default() };
    let mut lattice = Lattice::new(1, &plans, quality, settings);
    (0..nodes).for_each(|number| lattice.start(number));
    let begun = Instant::now();
    let pass = |lattice: &mut Lattice, seconds: u64| {
        let end = lattice.now().plus(Duration::from_secs(seconds));
        lattice.run_until(end);
        lattice.take_seen();
    };
    pass(&mut lattice, 20);
    let (up, before) = (begun.elapsed().as_secs_f64(), lattice.traffic());
    let begun = Instant::now();
    for second in 0..seconds {
        if second % 10 == 0 {
            let key = RecordKey::Config(format!("bench/load/k{second}").parse().unwrap());
            lattice.edit(1, key, RecordBody::Config(Config { value: second.to_string() }));
        }
        if second % 60 == 30 {
            lattice.kill(nodes - 1);
        }
        if second % 60 == 40 {
            lattice.start(nodes - 1);
        }
        pass(&mut lattice, 1);
    }
    let faster = seconds as f64 / begun.elapsed().as_secs_f64();
    let gossip = lattice.traffic().gossip - before.gossip;
    let known = (0..nodes).filter(|number| lattice.census(*number) == (nodes, nodes)).count();
    println!(
        "{what}: {nodes} nodes, {seconds} s of virtual time: {faster:.1} times real time{}; {} \
         bytes of gossip per node and second; the first 20 s took {up:.1} s; {known} nodes know \
         everybody alive",
        match target {
            0.0 => String::new(),
            target if faster >= target => format!(" (target {target:.0}: reached)"),
            target => format!(" (target {target:.0}: MISSED)"),
        },
        gossip / nodes as u64 / seconds,
    );
}
