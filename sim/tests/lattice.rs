//! A mesh with every state machine of its nodes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use wattle_contracts::record::{Config, RecordBody, RecordKey};
use wattle_mesh::core::membership::Standing;
use wattle_sim::Settings;
use wattle_sim::lattice::fabric::Quality;
use wattle_sim::lattice::happening::Happening;
use wattle_sim::lattice::nodes::NodeSet;
use wattle_sim::lattice::{Lattice, Plan};

fn mesh(seed: u64, nodes: usize) -> Lattice {
    let plan = |n: usize| Plan { name: format!("n{n}"), join: vec![0], ..Plan::default() };
    let plans: Vec<Plan> = (0..nodes).map(plan).collect();
    let mut mesh = Lattice::new(seed, &plans, Quality::default(), Settings::default());
    (0..nodes).for_each(|n| mesh.start(n));
    run(&mut mesh, 20);
    mesh
}

fn run(mesh: &mut Lattice, seconds: u64) {
    let end = mesh.now().plus(Duration::from_secs(seconds));
    mesh.run_until(end);
}

fn key(name: &str) -> RecordKey {
    RecordKey::Config(format!("a/b/{name}").parse().unwrap())
}

fn set(mesh: &mut Lattice, node: usize, name: &str) -> bool {
    mesh.edit(node, key(name), RecordBody::Config(Config { value: "x".into() }))
}

fn holders(mesh: &Lattice, name: &str) -> Vec<usize> {
    (0..mesh.len()).filter(|n| mesh.record(*n, &key(name)).is_some()).collect()
}

#[test]
fn nodes_find_each_other_and_what_one_is_told_all_hold() {
    let mut mesh = mesh(1, 12);
    assert!((0..12).all(|n| mesh.census(n) == (12, 12)));
    assert!(set(&mut mesh, 5, "k"));
    run(&mut mesh, 3);
    assert_eq!(holders(&mesh, "k").len(), 12);
}

#[test]
fn a_cut_is_noticed_on_both_sides_and_forgotten_when_it_heals() {
    let mut mesh = mesh(2, 6);
    let sides = (NodeSet::of([0, 1]), NodeSet::of([2, 3, 4, 5]));
    let cuts = [mesh.block(sides.0.clone(), sides.1.clone()), mesh.block(sides.1, sides.0)];
    run(&mut mesh, 40);
    assert_eq!(mesh.standing(0, 3), Some(Standing::Unreachable));
    assert_eq!(mesh.standing(3, 0), Some(Standing::Unreachable));
    assert_eq!(mesh.standing(0, 1), Some(Standing::Alive));
    assert!(set(&mut mesh, 0, "here") && set(&mut mesh, 5, "there"));
    run(&mut mesh, 5);
    assert_eq!((holders(&mesh, "here"), holders(&mesh, "there")), (vec![0, 1], vec![2, 3, 4, 5]));
    cuts.into_iter().for_each(|cut| mesh.undo(cut));
    run(&mut mesh, 40);
    assert!((0..6).all(|n| mesh.census(n) == (6, 6)));
    assert_eq!((holders(&mesh, "here").len(), holders(&mesh, "there").len()), (6, 6));
}

#[test]
fn a_one_way_cut_is_told_from_a_dead_node() {
    let mut mesh = mesh(3, 4);
    mesh.block(NodeSet::of([0]), NodeSet::of([1]));
    run(&mut mesh, 60);
    // Both are reached through the others.
    assert_eq!(mesh.standing(0, 1), Some(Standing::Alive));
    assert_eq!(mesh.standing(1, 0), Some(Standing::Alive));
    mesh.kill(3);
    run(&mut mesh, 60);
    assert_eq!(mesh.standing(0, 3), Some(Standing::Unreachable));
}

#[test]
fn what_a_node_has_acknowledged_it_holds_after_a_crash() {
    let mut mesh = mesh(4, 3);
    (0..3).for_each(|n| mesh.set_disk_time(n, Duration::from_millis(300)));
    for round in 0..30 {
        set(&mut mesh, 0, &format!("k{round}"));
        let moment = Duration::from_millis(40 * round);
        let end = mesh.now().plus(moment);
        mesh.run_until(end);
        mesh.kill(0);
        let seen = mesh.take_seen();
        let acknowledged = seen.iter().filter_map(|event| match &event.what {
            Happening::Acknowledged { key, .. } => Some(key.clone()),
            _ => None,
        });
        let acknowledged: Vec<RecordKey> = acknowledged.collect();
        mesh.start(0);
        assert!(acknowledged.iter().all(|key| mesh.record(0, key).is_some()), "round {round}");
    }
}

/// Found by the scenario of clocks that are off: a node whose wall clock was set back refuses
/// changes until it is there again, and what it had refused came true an hour later.
#[test]
fn a_change_that_was_refused_does_not_come_true_later() {
    let mut mesh = mesh(5, 3);
    assert!(set(&mut mesh, 1, "before"));
    run(&mut mesh, 2);
    mesh.set_clock(1, -600_000, 0);
    mesh.take_seen();
    set(&mut mesh, 1, "refused");
    let is_refused = |event: &Happening| matches!(event, Happening::EditRefused { .. });
    assert!(mesh.take_seen().iter().any(|event| is_refused(&event.what)));
    run(&mut mesh, 900);
    assert!(holders(&mesh, "refused").is_empty());
    assert!(set(&mut mesh, 1, "after"));
    run(&mut mesh, 5);
    assert_eq!(holders(&mesh, "after").len(), 3);
}

#[test]
fn a_node_whose_clock_was_set_back_goes_on_after_what_it_has_seen() {
    let mut mesh = mesh(5, 3);
    assert!(set(&mut mesh, 0, "before"));
    run(&mut mesh, 2);
    mesh.set_clock(1, -600_000, 0);
    assert!(set(&mut mesh, 1, "before") && set(&mut mesh, 1, "meanwhile"));
    run(&mut mesh, 5);
    assert_eq!(holders(&mesh, "meanwhile").len(), 3);
    let version = |n| mesh.record(n, &key("before")).unwrap().version;
    assert!((0..3).all(|n| version(n).writer == mesh.id_of(1).unwrap()));
}

#[test]
fn the_same_seed_is_the_same_run() {
    let trace = |seed| {
        let mut mesh = mesh(seed, 5);
        set(&mut mesh, 2, "k");
        mesh.kill(3);
        run(&mut mesh, 30);
        mesh.trace()
    };
    assert_eq!(trace(6), trace(6));
    assert_ne!(trace(6), trace(7));
}
