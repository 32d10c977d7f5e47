//! `wattle sim`, as a person runs it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use serde_json::Value;
use wattle_tests::command::wattle;
use wattle_tests::paths;

fn scenario(name: &str) -> String {
    paths::in_repository("sim/scenarios").join(name).display().to_string()
}

#[tokio::test]
async fn the_same_seed_has_the_same_hash_and_another_seed_another_one() {
    let file = scenario("shop-uplink.toml");
    let run = async |seed: &str| -> Value {
        wattle(["sim", "run", &file, "--seed", seed, "--json"]).await.json()
    };
    let (one, again, other) = (run("7").await, run("7").await, run("8").await);
    assert_eq!(one["trace"], again["trace"]);
    assert_ne!(one["trace"], other["trace"]);
    assert_eq!(one["virtual_seconds"], 26 * 3600);
    let broken = |verdict: &Value| !verdict["breaches"].as_array().unwrap().is_empty();
    assert!(!one["verdicts"].as_array().unwrap().iter().any(broken));
}

#[tokio::test]
async fn a_run_is_told_in_words_and_as_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("out.html");
    let file = scenario("two-data-centres.toml");
    let said = wattle(["sim", "run", &file, "--report", page.to_str().unwrap()]).await.ok();
    assert!(said.starts_with("Two data centres and a cut\nseed 2: 50 min in "), "{said}");
    assert!(said.contains("\ntrace sha256:") && said.contains("converge        held"), "{said}");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("Two data centres and a cut"));
}

#[tokio::test]
async fn real_components_run_in_virtual_time_and_the_same_seed_has_the_same_hash() {
    let file = scenario("real-shop.toml");
    let run = async |more: &[&str]| -> Value {
        wattle(["sim", "run", &file, "--json"].iter().chain(more)).await.json()
    };
    let (one, again) = (run(&["--wasm"]).await, run(&["--wasm"]).await);
    assert_eq!(one["trace"], again["trace"]);
    assert!(one["counts"]["executed"].as_u64() > Some(300), "{}", one["counts"]);
    let made_up = run(&[]).await;
    assert_ne!(one["trace"], made_up["trace"]);
    assert_eq!(made_up["counts"]["executed"], 0);
    // A scenario whose components were never built says so.
    let file = scenario("shop-uplink.toml");
    let said = wattle(["sim", "run", &file, "--wasm"]).await.refused_in_one_line();
    assert!(said.contains("--wasm can't run this scenario: can't read"), "{said}");
}

#[tokio::test]
async fn many_seeds_are_explored() {
    let file = scenario("bad-radio.toml");
    let args = ["sim", "explore", &file, "--seeds", "4", "--jobs", "2"];
    let said = wattle(args).await.ok();
    assert!(said.contains("every promise held with seeds 1 to 4"), "{said}");
}

#[tokio::test]
async fn an_error_in_a_scenario_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.toml");
    let text = "name = \"x\"\nrun = \"1h\"\n[[nodes]]\ngroup = \"a\"\n[[fault]]\nat = \"5min\"\n\
                cut = \"b\"\n";
    std::fs::write(&file, text).unwrap();
    let said = wattle(["sim", "run", file.to_str().unwrap()]).await.refused();
    let place = format!("wattle: {}:7:7: no node is called `b`", file.display());
    assert!(said.starts_with(&place), "{said}");
    let said = wattle(["sim", "run", "nowhere.toml"]).await.refused_in_one_line();
    assert!(said.contains("can't read the scenario nowhere.toml"), "{said}");
}
