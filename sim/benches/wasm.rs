//! How much faster than real time a mesh is rehearsed whose components are real: 100 nodes with
//! everything, one app of two components, ten virtual minutes, a call every 200 ms.
//!
//! `cargo xtask guests && cargo bench -p wattle-sim --bench wasm`

#![allow(clippy::unwrap_used, reason = "a bench that fails has failed")]

use std::path::Path;
use std::time::Instant;

use wattle_sim::wasm::Code;
use wattle_sim::{Options, Outcome, Scenario, run};

const SCENARIO: &str = r#"
name = "a hundred nodes with real components"
run = "10min"
[[nodes]]
group = "n"
count = 100
[[app]]
manifest = "m.toml"
[[call]]
to = "shop/basket"
function = "cheapest"
arguments = '["tea", "coffee", "milk"]'
every = "200ms"
[[edit]]
every = "10s"
[expect]
bytes = "10MB/s"
"#;

/// The one of a node's binary, and so of `wattle sim`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/shop/app.toml");
    let text = std::fs::read_to_string(&manifest).unwrap().replace("replicas = 1", "replicas = 5");
    let read = |_: &str| Ok((manifest.display().to_string(), text.clone()));
    let scenario = Scenario::parse("bench.toml", SCENARIO, &read).unwrap();
    let begun = Instant::now();
    let code = Code::load(&scenario).unwrap();
    let compiled = begun.elapsed().as_secs_f64();
    for code in [None, Some(code)] {
        let what = if code.is_some() { "everything plus wasm" } else { "the same made up" };
        let is_real = code.is_some();
        let begun = Instant::now();
        let outcome = run(&scenario, &Options { code, ..Options::default() }, |_| {});
        let took = begun.elapsed().as_secs_f64();
        assert!(outcome.is_good(), "{:?}", outcome.first_breach());
        let Outcome { virtual_seconds: seconds, counts, .. } = outcome;
        assert_eq!((seconds, counts.executed > 0), (600, is_real));
        println!(
            "{what}: 100 nodes, one app, 10 virtual minutes: {took:.1} s, {:.1} times real time; {} \
             calls, {} answered, {} executions",
            seconds as f64 / took,
            counts.calls,
            counts.answered,
            counts.executed
        );
    }
    println!("the components were compiled in {compiled:.1} s");
}
