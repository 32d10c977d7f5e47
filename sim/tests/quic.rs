//! Real QUIC connections in virtual time: the same seed is the same run, and what becomes of a
//! mesh is the same as with pipes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use wattle_contracts::id::Digest;
use wattle_mesh::core::membership::Standing;
use wattle_sim::lattice::fabric::Quality;
use wattle_sim::lattice::happening::Happening;
use wattle_sim::lattice::nodes::NodeSet;
use wattle_sim::lattice::{Lattice, Plan};
use wattle_sim::{Fidelity, Options, Scenario, Settings, run};

fn mesh(seed: u64, nodes: usize, loss_ppm: u32) -> Lattice {
    let plan = |n: usize| Plan { name: format!("n{n}"), join: vec![0], ..Plan::default() };
    let plans: Vec<Plan> = (0..nodes).map(plan).collect();
    let settings = Settings { fidelity: Fidelity::Quic, ..Settings::default() };
    let quality = Quality { loss_ppm, ..Quality::default() };
    let mut mesh = Lattice::new(seed, &plans, quality, settings);
    (0..nodes).for_each(|n| mesh.start(n));
    mesh
}

fn pass(mesh: &mut Lattice, seconds: u64) {
    let end = mesh.now().plus(Duration::from_secs(seconds));
    mesh.run_until(end);
}

/// Twenty nodes, 1 % of all datagrams lost, a cut, a kill and a restart.
fn eventful(seed: u64) -> (Digest, u64) {
    let mut mesh = mesh(seed, 20, 10_000);
    pass(&mut mesh, 10);
    assert!((0..20).all(|n| mesh.census(n).0 == 20));
    let sides = (NodeSet::of(0..5), NodeSet::of(5..20));
    let cuts = [mesh.block(sides.0.clone(), sides.1.clone()), mesh.block(sides.1, sides.0)];
    mesh.kill(7);
    pass(&mut mesh, 12);
    cuts.into_iter().for_each(|cut| mesh.undo(cut));
    mesh.start(7);
    pass(&mut mesh, 25);
    assert!((0..20).all(|n| mesh.census(n) == (20, 20)));
    (mesh.trace(), mesh.events())
}

#[test]
fn the_same_seed_is_the_same_run_though_the_keys_of_connections_are_others() {
    let one = eventful(3);
    let other = std::thread::spawn(|| eventful(3)).join().unwrap();
    assert_eq!(one, other);
}

#[test]
fn a_cut_in_one_direction_ends_connections_on_both_sides_by_their_idle_time_out() {
    let mut mesh = mesh(1, 3, 0);
    pass(&mut mesh, 15);
    mesh.take_seen();
    let cut = mesh.now();
    let block = mesh.block(NodeSet::of([0]), NodeSet::of([1, 2]));
    pass(&mut mesh, 30);
    let ids: Vec<_> = mesh.ids().collect();
    let seen = mesh.take_seen();
    for (node, peer) in [(0, 1), (0, 2), (1, 0), (2, 0)] {
        let unlinked = seen.iter().find(|happened| {
            happened.node == node
                && matches!(happened.what, Happening::Unlinked(of) if of == ids[peer])
        });
        let after = unlinked.unwrap_or_else(|| panic!("{node} is linked to {peer}")).at.since(cut);
        // Nothing more is heard there of who is cut off, 5 s after the last packet; who hears
        // still, hears nothing acknowledged, and is told nothing: it too gives up by itself.
        assert!(after >= Duration::from_secs(3), "{node} {peer} {after:?}");
        assert!(after <= Duration::from_secs(25), "{node} {peer} {after:?}");
    }
    assert_ne!(mesh.standing(1, 0), Some(Standing::Left));
    assert!(
        !seen
            .iter()
            .any(|h| matches!(h.what, Happening::Unlinked(of) if h.node == 1 && of == ids[2]))
    );
    mesh.undo(block);
    pass(&mut mesh, 40);
    assert!((0..3).all(|n| mesh.census(n) == (3, 3)));
}

#[test]
fn a_node_that_leaves_is_heard_and_one_that_was_killed_is_missed() {
    let mut mesh = mesh(2, 4, 0);
    pass(&mut mesh, 15);
    mesh.leave(3);
    mesh.kill(2);
    pass(&mut mesh, 30);
    assert_eq!(mesh.standing(0, 3), Some(Standing::Left));
    assert_ne!(mesh.standing(0, 2), Some(Standing::Alive));
}

const SCENARIO: &str = r#"
name = "a cut, by pipes and by QUIC"
run = "4min"
[mesh]
links = { latency = "5ms", jitter = "5ms", loss = "0.5%" }
[[nodes]]
group = "east"
count = 4
labels = { site = "east" }
[[nodes]]
group = "west"
count = 4
labels = { site = "west" }
nat = true
[[link]]
between = ["east", "west"]
latency = "40ms"
bandwidth = "1MB/s"
[[app]]
manifest = "apps/shop.toml"
on = "east"
[[publish]]
on = "east"
subject = "orders.placed"
every = "5s"
[[edit]]
every = "4s"
keys = 20
[[fault]]
at = "60s"
for = "40s"
cut = "east"
[[fault]]
at = "110s"
for = "5s"
crash = "west/0"
"#;

#[test]
fn what_becomes_of_a_scenario_is_the_same_with_both() {
    let app = include_str!("../scenarios/apps/shop.toml");
    let read = |_: &str| Ok(("shop.toml".into(), app.to_owned()));
    let scenario = Scenario::parse("both.toml", SCENARIO, &read).unwrap();
    let go = |fidelity| run(&scenario, &Options { fidelity, ..Options::default() }, |_| {});
    let (pipes, quic) = (go(Fidelity::Pipes), go(Fidelity::Quic));
    assert_ne!(pipes.trace, quic.trace);
    let found = |outcome: &wattle_sim::Outcome| {
        let all = outcome.verdicts.iter();
        all.map(|v| (v.oracle, v.checked > 0, v.breaches.len())).collect::<Vec<_>>()
    };
    assert_eq!(found(&pipes), found(&quic), "{:#?}", quic.verdicts);
    assert!(quic.verdicts.iter().all(|verdict| verdict.breaches.is_empty()));
    assert_eq!(quic.trace, go(Fidelity::Quic).trace);
}
