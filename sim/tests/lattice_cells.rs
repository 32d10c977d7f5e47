//! Nodes of several cells, with everything that a node does: what goes from one to another, and what
//! does not.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use wattle_contracts::record::{Config, RecordBody, RecordKey};
use wattle_mesh::core::time::Time;
use wattle_sim::lattice::CallPlan;
use wattle_sim::lattice::happening::Happening;
use wattle_sim::lattice::nodes::NodeSet;
use wattle_sim::{Lattice, Scenario, Settings};

/// So many cells of so many nodes, of which the first of each knows the first of the others.
fn cells(seed: u64, count: usize, size: usize, app: &str) -> (Lattice, Scenario) {
    let group = |cell: usize| {
        format!(
            "[[nodes]]\ngroup = \"c{cell}\"\ncount = {size}\nlabels = {{ cell = \"c{cell}\" }}\n"
        )
    };
    let groups: String = (0..count).map(group).collect();
    let text =
        format!("name = \"cells\"\nrun = \"1h\"\n{groups}[[app]]\nmanifest = \"app.toml\"\n");
    let read = |_: &str| Ok(("app.toml".to_string(), app.to_string()));
    let scenario = Scenario::parse("cells.toml", &text, &read).unwrap();
    let mut lattice = Lattice::new(seed, &scenario.nodes, scenario.usual, Settings::default());
    (0..lattice.len()).for_each(|number| lattice.start(number));
    (lattice, scenario)
}

fn run_to(lattice: &mut Lattice, seconds: u64) {
    lattice.run_until(Time::since_start(Duration::from_secs(seconds)));
}

fn edit(lattice: &mut Lattice, number: usize, name: &str) -> RecordKey {
    let key = RecordKey::Config(format!("test/load/{name}").parse().unwrap());
    let body = RecordBody::Config(Config { value: "1".into() });
    assert!(lattice.edit(number, key.clone(), body));
    key
}

fn holders(lattice: &Lattice, key: &RecordKey) -> usize {
    (0..lattice.len()).filter(|number| lattice.record(*number, key).is_some()).count()
}

const APP: &str = "app = \"shop\"\n[component.prices]\nwasm = \"p.wasm\"\non = { cell = \"c0\" }\n";

#[test]
fn gossip_stays_in_its_cell_and_records_do_not() {
    let (mut lattice, _) = cells(1, 3, 6, APP);
    run_to(&mut lattice, 60);
    let key = edit(&mut lattice, 0, "k");
    run_to(&mut lattice, 65);
    assert_eq!(holders(&lattice, &key), 18);
    // Of other cells a node knows those that it has or had a connection to: most nodes none.
    let known: Vec<usize> = (0..18).map(|number| lattice.census(number).0).collect();
    assert!(known.iter().filter(|known| **known == 6).count() >= 9, "{known:?}");
    assert!(known.iter().all(|known| (6..18).contains(known)), "{known:?}");
}

#[test]
fn ambassadors_die_a_cell_is_cut_off_and_all_is_equal_again() {
    let (mut lattice, _) = cells(2, 4, 5, APP);
    run_to(&mut lattice, 60);
    // Everybody in turn, three of the five of each cell at most at once.
    for round in 0..5 {
        for cell in 0..4 {
            lattice.kill(cell * 5 + round);
        }
        run_to(&mut lattice, 80 + 60 * round as u64);
        let key = edit(&mut lattice, (round + 1) % 5, &format!("after-{round}"));
        run_to(&mut lattice, 85 + 60 * round as u64);
        assert_eq!(holders(&lattice, &key), 16, "round {round}");
        (0..4).for_each(|cell| lattice.start(cell * 5 + round));
        run_to(&mut lattice, 120 + 60 * round as u64);
    }
    let now = 360;
    let (inside, outside) = (NodeSet::of(10..15), NodeSet::of((0..10).chain(15..20)));
    let ways = [(inside.clone(), outside.clone()), (outside, inside)];
    let cut = ways.map(|(from, to)| lattice.block(from, to));
    run_to(&mut lattice, now + 10);
    let keys = [edit(&mut lattice, 11, "inside"), edit(&mut lattice, 3, "outside")];
    run_to(&mut lattice, now + 60);
    assert_eq!(keys.each_ref().map(|key| holders(&lattice, key)), [5, 15]);
    cut.into_iter().for_each(|id| lattice.undo(id));
    run_to(&mut lattice, now + 90);
    assert_eq!(keys.each_ref().map(|key| holders(&lattice, key)), [20, 20]);
}

#[test]
fn a_call_goes_to_another_cell() {
    let (mut lattice, scenario) = cells(3, 2, 4, APP);
    run_to(&mut lattice, 60);
    let app = scenario.apps[0].app.clone();
    lattice.edit(5, RecordKey::App(app.name.clone()), RecordBody::App(Box::new(app)));
    run_to(&mut lattice, 90);
    let prices = "shop/prices".parse().unwrap();
    let runs: Vec<usize> = (0..8).filter(|n| lattice.running(*n).contains(&prices)).collect();
    assert!(runs.len() == 1 && runs[0] < 4, "{runs:?}");
    lattice.take_seen();
    let plan = CallPlan {
        arguments: None,
        from: None,
        to: Some(prices),
        contract: "example:shop/pricing".parse().unwrap(),
        function: "price".into(),
        bytes: 10,
        time: Duration::from_secs(2),
    };
    // Nodes without a connection to that cell call through the gate first, and then over their own.
    for second in 0..10 {
        (4..8).for_each(|number| assert!(lattice.call(number, &plan)));
        run_to(&mut lattice, 91 + second);
    }
    run_to(&mut lattice, 105);
    let seen = lattice.take_seen();
    let count = |is: fn(&Happening) -> bool| seen.iter().filter(|one| is(&one.what)).count();
    assert_eq!(count(|what| matches!(what, Happening::CallBegan { .. })), 40);
    let answered = count(|what| matches!(what, Happening::CallEnded { outcome: Ok(()), .. }));
    assert!(answered >= 36, "{answered} of 40 calls were answered");
}

/// Two sites behind NATs reach each other, brought together by a node that both reach.
#[test]
fn two_nodes_behind_nats_are_introduced() {
    let text = "name = \"nats\"\nrun = \"1h\"\n[[nodes]]\ngroup = \"open\"\n[[nodes]]\ngroup = \"a\"\nnat = true\n\
                [[nodes]]\ngroup = \"b\"\nnat = true\n";
    let scenario = Scenario::parse("nats.toml", text, &|name| Err(name.into())).unwrap();
    let mut lattice = Lattice::new(1, &scenario.nodes, scenario.usual, Settings::default());
    scenario.nats.iter().for_each(|inside| lattice.hide(inside.clone()));
    (0..3).for_each(|number| lattice.start(number));
    run_to(&mut lattice, 60);
    let (a, b) = (lattice.id_of(1).unwrap(), lattice.id_of(2).unwrap());
    let seen = lattice.take_seen();
    let linked = |node: usize, peer| {
        seen.iter().any(|one| one.node == node && one.what == Happening::Linked(peer))
    };
    assert!(linked(1, b) && linked(2, a));
}
