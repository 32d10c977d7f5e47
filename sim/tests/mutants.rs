//! Each oracle catches the rule that it stands for, when that is broken: with the seed that finds
//! it. And without a broken rule, the same scenario and seed are good.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use wattle_sim::mutant::Mutant;
use wattle_sim::{Options, Scenario, run};

/// A rough quarter of an hour in a small mesh.
const ROUGH: &str = r#"
name = "Everything at once"
run = "23min"

[mesh.links]
latency = "5ms"
jitter = "10ms"
loss = "1%"

[[nodes]]
group = "east"
count = 3
labels = { site = "east" }

[[nodes]]
group = "west"
count = 2
labels = { site = "west" }

[[app]]
manifest = "shop.toml"

[component."shop/pricing"]
takes = "900ms"

[[call]]
from = "shop/web"
contract = "example:shop/pricing"
function = "quote"
every = "300ms"
deadline = "3s"

[[publish]]
subject = "orders.placed"
every = "700ms"

[[edit]]
every = "700ms"
keys = 60
deletes = "40%"

[[fault]]
at = "1min"
for = "2min"
cut = "west"

[[fault]]
at = "4min"
for = "20s"
crash = "all"
each = "25s"

[[fault]]
at = "8min"
for = "90s"
slow-disk = "east"
by = "300ms"

[[fault]]
at = "510s"
for = "15s"
crash = "east"
each = "20s"

[[fault]]
at = "11min"
for = "20s"
leave = "all"
each = "25s"

[[fault]]
at = "15min"
for = "3min"
degrade = "all"
loss = "10%"

[[fault]]
at = "19min"
for = "90s"
cut = "west/1"

[[fault]]
at = "20min"
for = "10s"
crash = "east"

[[fault]]
at = "20min"
for = "10s"
crash = "west/0"

[expect]
bytes = "60kB/s"
"#;

/// The library's shop, with the web front in the west and prices in the east: calls must travel.
fn rough() -> Scenario {
    let app = include_str!("../scenarios/apps/shop.toml");
    let app = app
        .replace("wasm = \"web.wasm\"", "wasm = \"web.wasm\"\non = { site = \"west\" }")
        .replace("wasm = \"pricing.wasm\"", "wasm = \"pricing.wasm\"\non = { site = \"east\" }")
        .replace("replicas = 3", "replicas = 2");
    Scenario::parse("rough.toml", ROUGH, &|_| Ok(("shop.toml".into(), app.clone()))).unwrap()
}

/// The names of the oracles that found something, with the first seed with which `oracle` did.
fn caught(broken: Option<Mutant>, oracle: &str, seeds: u64) -> Option<(u64, String)> {
    let scenario = rough();
    (1..=seeds).find_map(|seed| {
        let options = Options { seed: Some(seed), broken, ..Options::default() };
        let outcome = run(&scenario, &options, |_| {});
        let verdict = outcome.verdicts.iter().find(|verdict| verdict.oracle == oracle).unwrap();
        let breach = verdict.breaches.first()?;
        Some((seed, format!("at {} s: {}", breach.at_micros / 1_000_000, breach.text)))
    })
}

#[test]
fn nothing_is_found_where_nothing_is_broken_and_every_rule_was_put_to_the_test() {
    let outcome = run(&rough(), &Options::default(), |_| {});
    let breaches: Vec<_> = outcome.verdicts.iter().flat_map(|v| &v.breaches).collect();
    assert!(breaches.is_empty(), "{breaches:#?}");
    let idle: Vec<_> = outcome.verdicts.iter().filter(|v| v.checked == 0).collect();
    assert!(idle.is_empty(), "{idle:#?}");
}

macro_rules! mutants {
    ($($name:ident: $mutant:ident, $oracle:literal;)*) => {
        $(
            #[test]
            fn $name() {
                let found = caught(Some(Mutant::$mutant), $oracle, 8);
                let Some((seed, what)) = found else { panic!("{} found nothing", $oracle) };
                println!("{:?} is found by {} with seed {seed}: {what}", Mutant::$mutant, $oracle);
            }
        )*

        #[test]
        fn every_oracle_has_a_mutant_and_every_mutant_an_oracle() {
            let oracles: std::collections::BTreeSet<&str> = [$($oracle),*].into();
            assert_eq!(oracles, wattle_sim::oracle::NAMES.into());
            let mutants: std::collections::BTreeSet<Mutant> = [$(Mutant::$mutant),*].into();
            assert_eq!(mutants, Mutant::ALL.into());
        }
    };
}

mutants! {
    records_that_are_never_compared_do_not_converge: NoReconciliation, "converge";
    a_mesh_that_does_not_dial_again_does_not_converge: NoRedial, "converge";
    what_is_acknowledged_before_it_is_on_disk_is_lost: SkipSync, "records-kept";
    an_older_change_that_wins_was_written_by_nobody: OlderWins, "records-kept";
    a_node_that_forgets_tombstones_raises_the_dead: ForgetTombstones, "deletes-stay";
    a_message_that_is_taken_for_handled_is_lost: LoseMessages, "messages-kept";
    a_message_that_is_handled_again_is_seen: HandleAgain, "messages-once";
    a_call_that_is_made_again_against_its_link_is_seen: RepeatEverything, "calls-once";
    a_call_without_a_deadline_does_not_end: NoDeadline, "deadlines";
    a_side_that_waits_for_a_majority_is_seen: NeedMajority, "both-sides";
    what_is_never_stopped_runs_too_often: NeverStop, "placement";
    a_lost_ping_that_is_taken_for_death_is_seen: SilenceIsDeath, "no-false-death";
    a_chatterbox_is_seen: Chatter, "bounds";
}
