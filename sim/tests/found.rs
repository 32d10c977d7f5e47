//! What `wattle sim explore` has found, each with the seed and the random faults that showed it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::path::Path;

use wattle_sim::explore::swarm;
use wattle_sim::{Options, Scenario, run};

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
