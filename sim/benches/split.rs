//! A mesh of a thousand nodes that is cut in half for a minute: records, membership, probes and
//! dialling together, in virtual time, over several seeds.
//!
//! `cargo bench -p wattle-sim --bench split [SEEDS [CHANGES]]`
//!
//! What is counted: each message of the plane of records; each ping and each answer to it; each
//! question whether a node is there, and each answer; and for each attempt to dial, what the
//! handshake and the papers take. Idle is counted in the same way.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench that fails has failed")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rand::seq::index;
use wattle_contracts::record::{Config, RecordBody, RecordKey};
use wattle_mesh::core::membership::Standing;
use wattle_sim::lattice::fabric::Quality;
use wattle_sim::lattice::nodes::NodeSet;
use wattle_sim::lattice::{Plan, Traffic};
use wattle_sim::rng::Seeded;
use wattle_sim::{Lattice, Settings};

const NODES: usize = 1_000;
/// Each node has connections to so many of its choice, and to those that chose it.
const CHOSEN: usize = 30;
const SECOND: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(200);

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|text| text.parse::<u64>().ok());
    let (seeds, only) = (numbers.next().unwrap_or(5), numbers.next());
    let mut all_reached = true;
    for changes in [2, 11, 101] {
        if only.is_some_and(|only| only != changes as u64) {
            continue;
        }
        let mut worst = Healed::default();
        for seed in 1..=seeds {
            let begun = Instant::now();
            let healed = split(seed, changes);
            println!("  seed {seed}: {healed} ({:.0?} of real time)", begun.elapsed());
            worst = worst.or_worse(healed);
        }
        println!(
            "split: {NODES} nodes cut in half for 60 s, {changes} changes on each side, the worst of \
             each: {worst}: {}",
            if worst.is_good() { "reached" } else { "NOT REACHED" }
        );
        all_reached &= worst.is_good();
    }
    if !all_reached {
        std::process::exit(1);
    }
}

/// What a heal took, and cost.
#[derive(Clone, Copy, Default)]
struct Healed {
    /// Until all held the same records.
    records: Duration,
    /// Until all held all of their peers to be alive.
    alive: Duration,
    /// Until each had a connection to each of its peers.
    linked: Duration,
    idle: Rates,
    worst: Rates,
}

/// Messages per node and second.
#[derive(Clone, Copy, Default)]
struct Rates {
    all: f64,
    records: f64,
    probes: f64,
    dials: f64,
}

impl Rates {
    fn between(before: Traffic, after: Traffic, time: Duration) -> Self {
        let per = |count: u64| count as f64 / (NODES as f64 * time.as_secs_f64());
        let records = after.record_messages - before.record_messages;
        let messages = after.messages - before.messages;
        let (pings, dials) = (after.pings - before.pings, after.dials - before.dials);
        Self {
            all: per(messages + pings + dials),
            records: per(records),
            probes: per(messages - records),
            dials: per(dials),
        }
    }

    fn or_more(self, other: Self) -> Self {
        Self {
            all: self.all.max(other.all),
            records: self.records.max(other.records),
            probes: self.probes.max(other.probes),
            dials: self.dials.max(other.dials),
        }
    }
}

impl Healed {
    fn or_worse(self, other: Self) -> Self {
        Self {
            records: self.records.max(other.records),
            alive: self.alive.max(other.alive),
            linked: self.linked.max(other.linked),
            idle: self.idle.or_more(other.idle),
            worst: self.worst.or_more(other.worst),
        }
    }

    fn is_good(&self) -> bool {
        self.records <= 3 * SECOND
            && self.alive.max(self.linked) <= 10 * SECOND
            && self.worst.all <= 5.0 * self.idle.all
            && self.worst.records <= 5.0 * self.idle.records
    }
}

impl std::fmt::Display for Healed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { records, alive, linked, idle, worst } = self;
        write!(
            f,
            "records equal after {records:?} (limit 3 s), all held to be alive after {alive:?}, all \
             connected after {linked:?} (limit 10 s); in a second at most {:.1} messages per node, \
             idle {:.1}: {:.2}x (limit 5); of records alone {:.2}, idle {:.2}: {:.2}x (limit 5); of \
             probes {:.2}, of dialling {:.2}",
            worst.all,
            idle.all,
            worst.all / idle.all,
            worst.records,
            idle.records,
            worst.records / idle.records,
            worst.probes,
            worst.dials,
        )
    }
}

fn split(seed: u64, changes: usize) -> Healed {
    let (mut mesh, peers) = form(seed);
    run(&mut mesh, 20 * SECOND);
    let before = mesh.traffic();
    run(&mut mesh, 20 * SECOND);
    let idle = Rates::between(before, mesh.traffic(), 20 * SECOND);

    let halves = [NodeSet::of(0..NODES / 2), NodeSet::of(NODES / 2..NODES)];
    let [left, right] = halves;
    let cuts = [mesh.block(left.clone(), right.clone()), mesh.block(right, left)];
    run(&mut mesh, 5 * SECOND);
    for change in 0..changes - 1 {
        put(&mut mesh, change, &format!("left-{change}"));
        put(&mut mesh, NODES - 1 - change, &format!("right-{change}"));
    }
    // Of these two, one loses and goes into the history.
    put(&mut mesh, 0, "both");
    put(&mut mesh, NODES - 1, "both");
    run(&mut mesh, 55 * SECOND);
    assert!(!agree(&mut mesh), "the halves know nothing of each other");
    assert!(!all_alive(&mesh, &peers), "and hold each other to be unreachable");
    mesh.take_seen();

    cuts.into_iter().for_each(|cut| mesh.undo(cut));
    let mut healed = Healed { idle, ..Healed::default() };
    let (mut records, mut alive, mut linked) = (None, None, None);
    let mut counts = vec![mesh.traffic()];
    let heal = mesh.now();
    for _ in 0..150 {
        run(&mut mesh, STEP);
        counts.push(mesh.traffic());
        let after = mesh.now().since(heal);
        let note = |slot: &mut Option<Duration>, holds: bool| {
            *slot = slot.filter(|_| holds).or(holds.then_some(after));
        };
        note(&mut records, agree(&mut mesh));
        note(&mut alive, all_alive(&mesh, &peers));
        note(&mut linked, all_linked(&mesh, &peers));
        mesh.take_seen();
    }
    let never = Duration::MAX;
    healed.records = records.unwrap_or(never);
    (healed.alive, healed.linked) = (alive.unwrap_or(never), linked.unwrap_or(never));
    for second in counts.windows(6) {
        healed.worst = healed.worst.or_more(Rates::between(second[0], second[5], SECOND));
    }
    healed
}

/// A mesh that has come up, and who is whose peer.
fn form(seed: u64) -> (Lattice, Vec<BTreeSet<usize>>) {
    let mut rng = Seeded::new(seed);
    let mut peers = vec![BTreeSet::new(); NODES];
    for number in 0..NODES {
        for other in index::sample(&mut rng, NODES, CHOSEN).into_iter().filter(|o| *o != number) {
            peers[number].insert(other);
            peers[other].insert(number);
        }
    }
    let plan = |(number, peers): (usize, &BTreeSet<usize>)| Plan {
        name: format!("n{number}"),
        circle: Some(peers.iter().copied().collect()),
        ..Plan::default()
    };
    let plans: Vec<Plan> = peers.iter().enumerate().map(plan).collect();
    let millis = Duration::from_millis;
    let usual = Quality { latency: millis(10), jitter: millis(20), ..Quality::default() };
    // Gossip is inside of a cell, and none of this.
    let settings = Settings { gossip: false, ..Settings::default() };
    let mut mesh = Lattice::new(seed, &plans, usual, settings);
    (0..NODES).for_each(|number| mesh.start(number));
    for (number, others) in peers.iter().enumerate() {
        others.iter().for_each(|other| mesh.introduce(number, *other));
    }
    run(&mut mesh, 20 * SECOND);
    put(&mut mesh, 0, "before");
    run(&mut mesh, 10 * SECOND);
    assert!(agree(&mut mesh) && all_linked(&mesh, &peers) && all_alive(&mesh, &peers));
    mesh.take_seen();
    (mesh, peers)
}

fn run(mesh: &mut Lattice, time: Duration) {
    let end = mesh.now().plus(time);
    mesh.run_until(end);
}

fn put(mesh: &mut Lattice, node: usize, name: &str) {
    let key = RecordKey::Config(format!("bench/split/{name}").parse().unwrap());
    assert!(mesh.edit(node, key, RecordBody::Config(Config { value: node.to_string() })));
}

fn agree(mesh: &mut Lattice) -> bool {
    let roots: BTreeSet<_> = (0..NODES).map(|number| mesh.root_of(number)).collect();
    roots.len() == 1
}

fn all_alive(mesh: &Lattice, peers: &[BTreeSet<usize>]) -> bool {
    pairs(peers).all(|(one, other)| mesh.standing(one, other) == Some(Standing::Alive))
}

fn all_linked(mesh: &Lattice, peers: &[BTreeSet<usize>]) -> bool {
    pairs(peers).all(|(one, other)| mesh.is_linked(one, other))
}

fn pairs(peers: &[BTreeSet<usize>]) -> impl Iterator<Item = (usize, usize)> + '_ {
    let of = |(one, others): (usize, &'_ BTreeSet<usize>)| {
        let others: Vec<usize> = others.iter().copied().collect();
        others.into_iter().map(move |other| (one, other))
    };
    peers.iter().enumerate().flat_map(of)
}
