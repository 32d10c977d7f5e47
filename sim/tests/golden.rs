//! One small run, whose hash is written down: whatever changes it, changes how nodes behave, or what
//! is made up around them.
//!
//! Where that is meant, the new hash is in the message of the test that fails: write it here, and say
//! in the commit why it is another one.

#![allow(clippy::unwrap_used, reason = "tests")]

use wattle_sim::{Options, Scenario, run};

const SCENARIO: &str = r#"
name = "golden"
run = "4min"
seed = 1
[mesh.links]
jitter = "3ms"
loss = "1%"
duplicate = "0.5%"
reorder = "0.5%"
[[nodes]]
group = "here"
count = 4
labels = { cell = "here" }
[[nodes]]
group = "there"
count = 3
labels = { cell = "there" }
[[app]]
manifest = "app.toml"
on = "here"
[[call]]
from = "shop/web"
contract = "example:shop/pricing"
function = "price"
every = "1s"
deadline = "2s"
[[publish]]
subject = "orders.placed"
every = "2s"
[[edit]]
every = "1s"
keys = 10
deletes = "20%"
[[fault]]
at = "60s"
for = "30s"
cut = "here/0"
[[fault]]
at = "100s"
for = "20s"
crash = "there/1"
"#;

const APP: &str = r#"
app = "shop"
[component.web]
wasm = "web.wasm"
replicas = 2
[component.pricing]
wasm = "pricing.wasm"
replicas = 2
[component.ledger]
wasm = "ledger.wasm"
[[link]]
from = "web"
contract = "example:shop/pricing"
to = "pricing"
idempotent = ["price"]
[[subscribe]]
component = "ledger"
subjects = ["orders.>"]
"#;

const HASH: &str = "sha256:fb281f968ddc7d2e03eb6657639113bae802db1db73385e5d857e091c620c6f1";

#[test]
fn the_golden_run_is_what_it_was() {
    let read = |_: &str| Ok(("app.toml".to_string(), APP.to_string()));
    let scenario = Scenario::parse("golden.toml", SCENARIO, &read).unwrap();
    let outcome = run(&scenario, &Options::default(), |_| {});
    assert!(outcome.is_good(), "{:#?}", outcome.first_breach());
    assert!(outcome.counts.answered > 100 && outcome.counts.handled > 50);
    assert_eq!(outcome.trace, HASH, "after {} events", outcome.events);
}
