//! What `wattle sim explore` has found, each with the seed and the random faults that showed it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::path::Path;
use std::time::Duration;

use wattle_contracts::record::{App, RecordBody, RecordKey};
use wattle_mesh::core::time::Time;
use wattle_sim::explore::swarm;
use wattle_sim::lattice::CallPlan;
use wattle_sim::lattice::happening::Happening;
use wattle_sim::{Lattice, Options, Scenario, Settings, run};

/// The scenario with this seed, and of the random faults these, counted from 1.
fn holds(scenario: &str, seed: u64, keep: &[usize]) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(scenario);
    let scenario = Scenario::load(&file).unwrap();
    let all = swarm(&scenario, seed);
    let faults = keep.iter().map(|number| all[number - 1].clone()).collect();
    let outcome =
        run(&scenario, &Options { seed: Some(seed), faults, ..Options::default() }, |_| {});
    assert!(outcome.is_good(), "{:#?}", outcome.first_breach());
}

/// As long as a node had rumours to tell, it compared with nobody: where somebody wrote in every
/// second, what a cut or a restart had kept from a node did not come for minutes.
#[test]
fn rumours_do_not_keep_nodes_from_comparing() {
    holds("rolling-restart.toml", 3, &[1]);
    holds("branch-behind-nat.toml", 4, &[1]);
    holds("slow-disk.toml", 20, &[2, 3]);
    holds("one-way-firewall.toml", 12, &[4, 5, 6, 7]);
}

/// A simulated node wrote what each message brought by itself, where a real one writes what has come
/// meanwhile in one batch. With a disk that takes more than a second for each, what waited for it
/// became too much, and a change was refused.
#[test]
fn what_comes_while_a_slow_disk_writes_goes_with_the_next_write() {
    holds("slow-disk.toml", 25025, &[2]);
}

/// A node whose clock was set back goes on after what it has heard of others. After a restart it knew
/// that by their records only, and had replaced these by its own: it took no more changes.
#[test]
fn a_node_with_its_clock_set_back_takes_changes_after_a_restart_too() {
    holds("clock-off.toml", 108_013, &[1]);
}

/// A machine without a battery for its clock comes up with an earlier time than it went down with.
/// What its node then said of itself was numbered lower than before, and nobody took it: for the
/// others it ran nothing, until its clock was where it had been.
/// A run of `clock-off` in which a component ran twice led to it.
#[test]
fn a_node_that_starts_again_with_its_clock_set_back_is_believed_about_itself() {
    let app = "app = \"shop\"\n[component.till]\nwasm = \"till.wasm\"\non = { role = \"till\" }\n";
    let text = "name = \"battery\"\nrun = \"1h\"\n[[nodes]]\ngroup = \"office\"\ncount = 2\n[[nodes]]\n\
                group = \"till\"\nlabels = { role = \"till\" }\n[[app]]\nmanifest = \"app.toml\"\n";
    let read = |_: &str| Ok(("app.toml".to_string(), app.to_string()));
    let scenario = Scenario::parse("battery.toml", text, &read).unwrap();
    let mut lattice = Lattice::new(1, &scenario.nodes, scenario.usual, Settings::default());
    let run_to = |lattice: &mut Lattice, seconds| {
        lattice.run_until(Time::since_start(Duration::from_secs(seconds)));
    };
    (0..3).for_each(|number| lattice.start(number));
    run_to(&mut lattice, 10);
    let app = scenario.apps[0].app.clone();
    lattice.edit(0, RecordKey::App(app.name.clone()), RecordBody::App(Box::new(app.clone())));
    run_to(&mut lattice, 20);
    lattice.kill(2);
    lattice.set_clock(2, -3_600_000, 0);
    run_to(&mut lattice, 40);
    lattice.start(2);
    run_to(&mut lattice, 60);
    // One more app. Declared there: its clock is too far behind to take what others write.
    let other = App { name: "other".parse().unwrap(), ..app };
    lattice.edit(2, RecordKey::App(other.name.clone()), RecordBody::App(Box::new(other)));
    run_to(&mut lattice, 70);
    let plan = CallPlan {
        arguments: None,
        from: None,
        to: Some("other/till".parse().unwrap()),
        contract: "example:shop/till".parse().unwrap(),
        function: "open".into(),
        bytes: 10,
        time: Duration::from_secs(2),
    };
    lattice.take_seen();
    assert!(lattice.call(0, &plan));
    run_to(&mut lattice, 75);
    let is_answer = |what: &Happening| matches!(what, Happening::CallEnded { outcome: Ok(()), .. });
    assert!(lattice.take_seen().iter().any(|one| is_answer(&one.what)));
}
