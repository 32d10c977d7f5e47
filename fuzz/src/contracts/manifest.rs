//! Manifests.

use wattle_contracts::manifest::Manifest;

use super::place::{is_placed, stands};

const FILE: &str = "app.toml";

/// A manifest that is read is written and read as the same. Whatever is wrong with one that is
/// not, it is said where that stands, and the place is there.
pub fn holds(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    match Manifest::parse(FILE, text) {
        Ok(manifest) => {
            for component in manifest.components.values() {
                stands(text, component.position);
            }
            for link in &manifest.links {
                link.options.check().unwrap();
            }
            let written = manifest.to_string();
            let again = Manifest::parse(FILE, &written);
            let again = again.unwrap_or_else(|error| panic!("{error}\n{written}"));
            assert_eq!(anywhere(again), anywhere(manifest), "{written}");
        }
        Err(error) => is_placed(text, &error),
    }
}

/// The manifest without the places where things stand.
fn anywhere(mut manifest: Manifest) -> Manifest {
    manifest.components.values_mut().for_each(|component| component.position = (0, 0));
    manifest
}

pub fn seeds() -> Vec<Vec<u8>> {
    let whole = r#"app = "shop"

[component.basket]
wasm = "basket.wasm"
on = { role = "compute" }
replicas = 2
config = { bucket = "visits" }
limits = { memory = "64MiB", time = "10s", concurrency = 50, reuse = 100 }

[component.ledger]
wasm = "ledger.wasm"

[provider.store]
contract = "wasi:keyvalue"
on = { role = "store" }

[provider.web]
contract = "wasi:http/outgoing-handler"
hosts = ["*.example.com"]

[provider.news]
contract = "wattle:messaging"
subjects = ["orders.>"]

[[link]]
from = "basket"
contract = "wasi:keyvalue"
to = "store"
functions = ["get", "set"]
buckets = ["carts"]
keys = ["eu/"]
calls_per_second = 50
bytes_per_second = "64KiB"
bytes_per_call = "500B"

[[link]]
from = "basket"
contract = "wasi:http/outgoing-handler"
to = "web"
hosts = ["api.example.com"]
methods = ["GET", "HEAD"]

[[link]]
from = "basket"
contract = "wattle:messaging"
to = "news"
subjects = ["orders.eu.*"]

[[link]]
from = "basket"
contract = "example:shop/pricing@0.1.0"
to = "ledger"
name = "canary"
weight = 0
require = { zone = "a" }
prefer = { disk = "fast" }
idempotent = ["price"]
hedge = "50ms"

[[http]]
component = "basket"
host = "shop.example"
path = "/api"

[[subscribe]]
component = "ledger"
subjects = ["orders.*.placed", "stock.>"]
group = "watchers"
"#;
    let small = "app = \"a\"\n[component.b]\nwasm = 'b.wasm'\n";
    let mut seeds = vec![whole.to_string(), small.into()];
    // What stands under each heading, in a small manifest.
    for part in whole.split("\n\n").skip(3) {
        seeds.push(format!(
            "app = \"shop\"\n[component.basket]\nwasm = \"\"\"\nb\\u00e9\"\"\"\n\
             [component.ledger]\nwasm = \"l\"\n{part}"
        ));
    }
    seeds.push(small.replace('\n', "\r\n"));
    seeds.push(format!("{small}limits = {{ memory = \"5B\", time = \"1min\" }}\n"));
    seeds.push(format!("{small}colour = 1\n"));
    seeds.into_iter().map(String::into_bytes).collect()
}
