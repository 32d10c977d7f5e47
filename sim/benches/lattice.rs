//! How much faster than real time a mesh is rehearsed, on one core.
//!
//! - `mild`: records, membership, probes, dialling, routing and placement of every node, with mild
//!   faults. Without gossip, which would grow with the square of the nodes; each node has connections
//!   to a dozen others.
//! - `cells`: everything that a node does, a thousand of them in twenty cells.
//! - `ping`: three nodes with everything, of which each calls the two others every ten milliseconds;
//!   `sim/benches/turmoil` does the same in turmoil.
//!
//! `cargo bench -p wattle-sim --bench lattice [NODES]`, where 20 stands for
//! `cells`, and 3 for `ping`

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench that fails has failed")]

use std::time::{Duration, Instant};

use rand::Rng as _;
use wattle_contracts::record::{Config, RecordBody, RecordKey};
use wattle_mesh::core::time::Time;
use wattle_sim::lattice::CallPlan;
use wattle_sim::lattice::happening::Happening;
use wattle_sim::{Lattice, Options, Scenario, Settings, run};

/// The one of a node's binary, and so of `wattle sim`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let only = std::env::args().skip(1).find_map(|argument| argument.parse::<usize>().ok());
    for (nodes, seconds, target) in [(100, 300, 0.0), (1000, 120, 100.0), (10_000, 30, 5.0)] {
        if only.is_none_or(|only| only == nodes) {
            mild(nodes, seconds, target);
        }
    }
    if only.is_none_or(|only| only == 20) {
        cells();
    }
    if only.is_none_or(|only| only == 3) {
        ping();
    }
}

/// A thousand nodes in twenty cells, with everything that a node does, of which one is cut off for a
/// minute; the oracles included.
fn cells() {
    let group = |cell: usize| {
        let labels = format!("labels = {{ cell = \"cell-{cell}\" }}");
        format!("[[nodes]]\ngroup = \"cell-{cell}\"\ncount = 50\n{labels}\n")
    };
    let groups: String = (0..20).map(group).collect();
    let text = format!(
        "name = \"cells\"\nrun = \"4min\"\nseed = 1\n[mesh.links]\nlatency = \"10ms\"\njitter = \"10ms\"\n\
         loss = \"0.1%\"\n{groups}[[edit]]\nevery = \"2s\"\nkeys = 50\n[[fault]]\nat = \"90s\"\nfor = \"60s\"\n\
         cut = \"cell-7\"\n[expect]\nbytes = \"500kB/s\"\n"
    );
    let scenario = Scenario::parse("cells.toml", &text, &|name| Err(name.into())).unwrap();
    let (begun, before) = (Instant::now(), worked());
    let outcome = run(&scenario, &Options::default(), |_| {});
    let (took, worked) = (begun.elapsed().as_secs_f64(), worked() - before);
    let faster = scenario.run.as_secs_f64() / worked;
    println!(
        "1000 nodes in 20 cells, a cut and a heal, everything, {} s of virtual time in {took:.1} s, \
         {worked:.1} s of them on a core: {faster:.1} times real time (target 1: {}); {}; at most {} MiB resident",
        scenario.run.as_secs(),
        if faster >= 1.0 { "reached" } else { "MISSED" },
        outcome.first_breach().map_or("all promises held", |breach| &breach.text),
        resident_mebibytes()
    );
}

/// Three nodes, with everything that a node does, that call each other.
fn ping() {
    const EVERY: Duration = Duration::from_millis(10);
    const TIME: Duration = Duration::from_secs(600);
    let names = ["a", "b", "c"];
    let groups = names
        .map(|name| format!("[[nodes]]\ngroup = \"{name}\"\nlabels = {{ node = \"{name}\" }}\n"));
    let components = names.map(|name| {
        format!("[component.{name}]\nwasm = \"{name}.wasm\"\non = {{ node = \"{name}\" }}\n")
    });
    let manifest = format!("app = \"ping\"\n{}", components.concat());
    let text = format!(
        "name = \"ping\"\nrun = \"1h\"\n{}[[app]]\nmanifest = \"app.toml\"\n",
        groups.concat()
    );
    let scenario =
        Scenario::parse("ping.toml", &text, &|_| Ok(("app.toml".into(), manifest.clone())))
            .unwrap();
    let mut lattice = Lattice::new(1, &scenario.nodes, scenario.usual, Settings::default());
    (0..3).for_each(|number| lattice.start(number));
    lattice.run_until(Time::since_start(Duration::from_secs(10)));
    let app = scenario.apps[0].app.clone();
    let key = RecordKey::App(app.name.clone());
    lattice.edit(0, key, RecordBody::App(Box::new(app)));
    lattice.run_until(Time::since_start(Duration::from_secs(20)));
    lattice.take_seen();
    let calls = names.map(|name| CallPlan {
        arguments: None,
        from: None,
        to: Some(format!("ping/{name}").parse().unwrap()),
        contract: "wattle:bench/ping".parse().unwrap(),
        function: "ping".into(),
        bytes: 64,
        time: Duration::from_secs(1),
    });
    let (before, mut at, mut answered) = (worked(), lattice.now(), 0u64);
    let end = at.plus(TIME);
    while at < end {
        for number in 0..3 {
            for (_, call) in calls.iter().enumerate().filter(|(other, _)| *other != number) {
                assert!(lattice.call(number, call));
            }
        }
        at = at.plus(EVERY);
        lattice.run_until(at);
        let seen = lattice.take_seen();
        let is_answer =
            |what: &Happening| matches!(what, Happening::CallEnded { outcome: Ok(()), .. });
        answered += seen.iter().filter(|happened| is_answer(&happened.what)).count() as u64;
    }
    let took = worked() - before;
    println!(
        "three nodes, {answered} calls answered in {} s of virtual time, in {took:.2} s of a core: \
         {:.0} messages of calls per second",
        TIME.as_secs(),
        2.0 * answered as f64 / took
    );
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
    let worked_before = worked();
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
    let (took, worked) = (begun.elapsed().as_secs_f64(), worked() - worked_before);
    // The machine may have something else to do.
    let faster = seconds as f64 / worked;
    let bytes = (sent(lattice.traffic()) - sent(traffic)) as f64;
    println!(
        "{nodes} nodes, {seconds} s of virtual time in {took:.2} s, {worked:.2} s of them on a core: \
         {faster:.0} times real time{}; {:.0} \
         events per second; {:.0} bytes per node and second; up in {:.1} s; at most {} MiB resident",
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

/// How many seconds of a core this process has used, to the hundredth.
fn worked() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// The most that this process ever held.
fn resident_mebibytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = peak.and_then(|rest| rest.trim().split(' ').next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) / 1024
}
