//! Every scenario of the library holds: with its own seed, and the small ones with more.
//! `WATTLE_SCENARIO=NAME` takes one, `WATTLE_SEEDS=N` so many seeds of each.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::path::{Path, PathBuf};

use wattle_sim::{Options, Outcome, Scenario, run};

fn library() -> Vec<(String, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "toml"));
    let mut named: Vec<_> =
        files.map(|path| (path.file_stem().unwrap().to_str().unwrap().to_string(), path)).collect();
    named.sort();
    named
}

fn with_seed(scenario: &Scenario, seed: u64) -> Outcome {
    run(scenario, &Options { seed: Some(seed), ..Options::default() }, |_| {})
}

#[test]
fn every_scenario_of_the_library_holds() {
    let only = std::env::var("WATTLE_SCENARIO").unwrap_or_default();
    let asked: Option<u64> = std::env::var("WATTLE_SEEDS").ok().and_then(|n| n.parse().ok());
    let scenarios = library();
    assert!(scenarios.len() >= 12);
    let mut broken = Vec::new();
    for (name, path) in scenarios.iter().filter(|(name, _)| name.contains(&only)) {
        let scenario = Scenario::load(path).unwrap();
        // Hundreds of nodes, or days, once.
        let is_large = scenario.nodes.len() > 100 || scenario.run.as_secs() > 12 * 3600;
        let seeds = asked.unwrap_or(if is_large { 1 } else { 3 });
        for seed in scenario.seed..scenario.seed + seeds {
            let outcome = with_seed(&scenario, seed);
            let breaches = outcome.verdicts.iter().flat_map(|verdict| &verdict.breaches);
            broken.extend(breaches.take(5).map(|breach| {
                let at = breach.at_micros / 1_000_000;
                format!("{name}, seed {seed}, {} at {at} s: {}", breach.oracle, breach.text)
            }));
            assert!(outcome.counts.edits > 0, "{name}: nothing was done");
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn a_seed_is_a_run_and_another_seed_another_one() {
    for name in ["two-data-centres", "slow-disk"] {
        let (_, path) = library().into_iter().find(|(known, _)| known == name).unwrap();
        let scenario = Scenario::load(&path).unwrap();
        let trace = |seed| with_seed(&scenario, seed).trace;
        assert_eq!(trace(7), trace(7));
        assert_ne!(trace(7), trace(8));
    }
}

/// Nothing of a run depends on the thread, or on what ran before.
#[test]
fn the_trace_is_the_same_on_another_thread() {
    let text = "name = \"golden\"\nrun = \"4min\"\n[[nodes]]\ngroup = \"n\"\ncount = 4\n[[edit]]\n\
                every = \"1s\"\n[[fault]]\nat = \"60s\"\nfor = \"30s\"\ncut = \"n/0\"\n";
    let scenario = Scenario::parse("golden.toml", text, &|name| Err(name.into())).unwrap();
    let one = with_seed(&scenario, 1);
    // On another thread, in another order of everything that has none.
    let other = std::thread::spawn(move || with_seed(&scenario, 1)).join().unwrap();
    assert!(one.is_good());
    assert_eq!((one.trace, one.events), (other.trace, other.events));
}
