//! What the record plane costs, and how fast it is, in virtual time: the state machines that a
//! real node runs, on a network that is made up.
//!
//! `cargo bench -p wattle-sim --bench records [NAME]`

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench that fails has failed")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use wattle_contracts::control::RecordMessage;
use wattle_contracts::id::NodeId;
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::{App, Hlc, Record, RecordBody, RecordKey};
use wattle_contracts::trust::UnixMillis;
use wattle_contracts::wire;
use wattle_mesh::core::records::{Limits, Output, Records, Stored};
use wattle_mesh::core::time::Time;
use wattle_sim::World;
use wattle_sim::network::Links;
use wattle_sim::rng::Seeded;

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

fn main() {
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let benches: [(&str, fn()); 4] =
        [("spread", spread), ("halves", halves), ("idle", idle), ("split", split)];
    for (name, bench) in benches {
        if only.as_ref().is_none_or(|only| name.contains(only.as_str())) {
            let begun = Instant::now();
            bench();
            println!("  ({name} took {:.1?} of real time)", begun.elapsed());
        }
    }
}

fn key(app: &str) -> RecordKey {
    RecordKey::App(app.parse().unwrap())
}

fn holds(world: &World, number: usize, key: &RecordKey) -> bool {
    world.records(number).is_some_and(|records| records.get(key).is_some())
}

/// A record put on one of 50 nodes: until it is seen on all. 20 ms on the way.
fn spread() {
    // `WATTLE_RUNS=200` for a full measurement.
    let runs = std::env::var("WATTLE_RUNS").ok().and_then(|text| text.parse().ok());
    let runs: usize = runs.unwrap_or(100);
    for (loss, limit) in [(0.0, 3), (0.3, 8)] {
        let links = Links { latency: 20 * MILLI..=20 * MILLI, loss, duplication: 0.0 };
        let mut times: Vec<Duration> = (0..runs as u64)
            .map(|seed| {
                let mut world = World::new(seed, 50, links.clone());
                world.run_for(3 * SECOND);
                world.run_until(SECOND, 60 * SECOND, World::agree).unwrap();
                world.run_for(5 * SECOND);
                world.declare(0, "fresh", true).unwrap();
                let key = key("fresh");
                let everywhere = |world: &mut World| (0..50).all(|n| holds(world, n, &key));
                world.run_until(10 * MILLI, 120 * SECOND, everywhere).unwrap()
            })
            .collect();
        times.sort();
        let at = |share: f64| times[((runs - 1) as f64 * share) as usize];
        println!(
            "spread: put on one of 50 nodes, seen on all, {:.0} % loss, {runs} runs: p50 {:?}, p99 \
             {:?}, worst {:?} (limit at p99: {limit} rounds of 1 s): {}",
            loss * 100.0,
            at(0.5),
            at(0.99),
            at(1.0),
            verdict(at(0.99) <= limit * SECOND)
        );
    }
}

/// Two halves of 100,000 records that changed 1,000 each while they were apart.
fn halves() {
    const ALL: usize = 100_000;
    const CHANGED: usize = 1_000;
    let wall = UnixMillis(1_800_000_000_000);
    let keys = [1, 2].map(|seed| SigningKey::from_seed([seed; 32]).unwrap());
    let body = |name: &str| RecordBody::App(Box::new(App::new(name.parse().unwrap())));
    let write = |key: &SigningKey, number: usize, after: Option<&Record>| {
        let name = format!("app-{number}");
        let millis = wall.0 - 1_000_000 + number as u64 + if after.is_some() { 500_000 } else { 0 };
        let about = RecordKey::App(name.parse().unwrap());
        Record::sign_after(key, about, Hlc { millis, counter: 0 }, after, body(&name)).unwrap()
    };
    let common: Vec<Record> = (0..ALL).map(|number| write(&keys[0], number, None)).collect();
    let mut bytes_changed = 0;
    let mut nodes: Vec<(NodeId, Records)> = Vec::new();
    let begun = Instant::now();
    for (half, key) in keys.iter().enumerate() {
        let mut records = common.clone();
        for changed in 0..CHANGED {
            let number = half * 50_000 + changed * 37;
            records[number] = write(key, number, Some(&common[number]));
            bytes_changed += wire::encode(&records[number]).unwrap().len();
        }
        let me = NodeId::from_bytes(key.public());
        let stored = |record| Stored { record, is_lost: false, is_verified: true };
        let stored = records.into_iter().map(stored);
        let mut out = Vec::new();
        let mut records = Records::load(me, Limits::default(), stored, &mut out);
        records.root();
        nodes.push((me, records));
    }
    let loading = begun.elapsed() / 2;
    let mut rng = Seeded::new(1);
    let latency = 20 * MILLI;
    let (mut now, mut messages, mut bytes) = (Time::ZERO, 0, 0);
    let mut wire_of: Vec<(usize, RecordMessage)> = Vec::new();
    let ids = [nodes[0].0, nodes[1].0];
    let mut peers_up = true;
    while nodes[0].1.root() != nodes[1].1.root() {
        assert!(now.elapsed() < 60 * SECOND, "they do not agree");
        let mut sent = Vec::new();
        let mut perform = |at: usize, out: Vec<Output>| {
            for output in out {
                if let Output::Send { message, .. } = output {
                    messages += 1;
                    bytes += wire::encode(&message).unwrap().len();
                    sent.push((1 - at, message));
                }
            }
        };
        for at in [0, 1] {
            let mut out = Vec::new();
            if peers_up {
                nodes[at].1.peer_up(now, ids[1 - at], &mut out);
            }
            if nodes[at].1.wake_at() <= now {
                nodes[at].1.tick(now, wall, &mut rng, &mut out);
            }
            perform(at, out);
        }
        peers_up = false;
        for (at, message) in std::mem::take(&mut wire_of) {
            let mut out = Vec::new();
            nodes[at].1.handle(now, wall, ids[1 - at], message, &mut rng, &mut out);
            perform(at, out);
        }
        wire_of = sent;
        now = now.plus(latency);
    }
    println!(
        "halves: {CHANGED} of {ALL} records changed on each side ({bytes_changed} bytes): equal \
         after {:?} at 20 ms one way, {messages} messages, {bytes} bytes, {:.2}x the bytes changed \
         (limit 5): {}; loading {ALL} records took {loading:?}",
        now.elapsed(),
        bytes as f64 / bytes_changed as f64,
        verdict(bytes <= 5 * bytes_changed),
    );
}

/// What a mesh says in which nothing happens.
fn idle() {
    for (nodes, degree) in [(100, 100), (1_000, 60), (10_000, 20)] {
        let links = Links::default();
        let mut world = World::with(3, nodes, links, Limits::default(), degree);
        world.run_for(3 * SECOND);
        for number in 0..20 {
            world.declare(number * nodes / 20, &format!("app-{number}"), true).unwrap();
        }
        let agreed = world.run_until(SECOND, 120 * SECOND, World::agree);
        // Rumours are told on for a few rounds.
        world.run_for(10 * SECOND);
        let (messages, bytes) = world.traffic();
        let seconds = 20;
        world.run_for(SECOND * seconds);
        let (messages_after, bytes_after) = world.traffic();
        let per = |sum: u64| sum as f64 / (nodes as f64 * f64::from(seconds));
        let rate = per(bytes_after - bytes);
        println!(
            "idle: {nodes} nodes, {} records, each with about {} peers (agreed: {agreed:?}): {:.2} \
             messages and {rate:.1} bytes per node and second (limit 200): {}",
            world.records(0).map_or(0, |records| records.size().0),
            if degree >= nodes { nodes - 1 } else { 2 * degree },
            per(messages_after - messages),
            verdict(rate < 200.0)
        );
    }
}

const NODES: usize = 1_000;

/// A mesh that is cut in half for a minute, in which both halves change a few records or many: the
/// plane of records alone. The bench `split` has all planes.
fn split() {
    let seeds = 9..12u64;
    for changes in [1, 10, 100] {
        let (mut slowest, mut most) = (Duration::ZERO, 0.0f64);
        for seed in seeds.clone() {
            let (agreed, storm) = split_with(seed, changes);
            (slowest, most) = (slowest.max(agreed), most.max(storm));
        }
        println!(
            "split: {NODES} nodes cut in half for 60 s, {} changes on each side, the worst of {} seeds: \
             records equal {slowest:?} after the heal (limit 3 s): {}; in a second at most {most:.1}x \
             the messages of idle (limit 5): {}",
            changes + 1,
            seeds.clone().count(),
            verdict(slowest <= 3 * SECOND),
            verdict(most <= 5.0),
        );
    }
}

/// How long it took until all agreed, and how many times as many messages as idle there were.
fn split_with(seed: u64, changes: usize) -> (Duration, f64) {
    let mut world = World::with(seed, NODES, Links::default(), Limits::default(), 60);
    world.run_for(3 * SECOND);
    world.declare(0, "before", true).unwrap();
    world.run_until(SECOND, 120 * SECOND, World::agree).unwrap();
    world.run_for(10 * SECOND);
    let rate = |world: &mut World, time: Duration| {
        let (before, _) = world.traffic();
        world.run_for(time);
        (world.traffic().0 - before) as f64 / (NODES as f64 * time.as_secs_f64())
    };
    let idle = rate(&mut world, 10 * SECOND);
    world.cut(&(0..NODES / 2).collect::<BTreeSet<usize>>());
    world.run_for(5 * SECOND);
    for change in 0..changes {
        world.declare(change, &format!("left-{change}"), true).unwrap();
        world.declare(NODES - 1 - change, &format!("right-{change}"), true).unwrap();
    }
    world.declare(0, "both", true).unwrap();
    world.declare(NODES - 1, "both", true).unwrap();
    world.run_for(55 * SECOND);
    world.heal();
    let (mut agreed, mut rates) = (None, Vec::new());
    for step in 1..=50u32 {
        rates.push(rate(&mut world, 200 * MILLI));
        if agreed.is_none() && world.agree() {
            agreed = Some(step * 200 * MILLI);
        }
    }
    // In any whole second.
    let worst = rates.windows(5).map(|second| second.iter().sum::<f64>() / 5.0).fold(0.0, f64::max);
    (agreed.unwrap_or(Duration::MAX), worst / idle)
}

fn verdict(is_so: bool) -> &'static str {
    if is_so { "reached" } else { "NOT REACHED" }
}
