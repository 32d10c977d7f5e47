//! A member of the mesh that lies: it has papers, speaks the protocol, and says what it likes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod liar;

use liar::{Liar, rule};
use wattle_contracts::call::{Encoding, ErrorKind, Relay, Source};
use wattle_contracts::message::Delivery;
use wattle_contracts::provider::{KeyValueOperation as Op, KeyValueReply, KeyValueRequest};
use wattle_contracts::record::RecordKey;
use wattle_contracts::wire;
use wattle_mesh::net::{Declaration, Runs};
use wattle_tests::http::get;
use wattle_tests::manifest::ManifestText;
use wattle_tests::node::meet;
use wattle_tests::wait::{PATIENCE, eventually, holds};
use wattle_tests::{TestMesh, Up};

const PRICING: &str = "example:shop/pricing@0.1.0";

fn component(id: &str) -> Source {
    Source::Component(id.parse().unwrap())
}

/// The shop's basket on `basket`, its prices and a store on `far`.
fn shop(basket: &str) -> ManifestText {
    ManifestText::of_example("shop").on("component.basket", basket).on("component.pricing", "far")
}

#[tokio::test]
async fn a_node_that_calls_in_anothers_name_is_refused() {
    let mesh = TestMesh::new().await;
    let [near, far] = Up::start_all([mesh.node("near"), mesh.node("far")]).await;
    meet(&[&near, &far], PATIENCE).await;
    near.apply(&shop("near").write(&mesh, "shop.toml").await).await.ok();
    let honest = near.call("shop/basket", "cheapest", r#"["tea"]"#).await;
    honest.unwrap();

    let liar = Liar::join(&mesh, "liar", &far).await;
    liar.knows(&far, 1).await;
    let price = ("shop/pricing", PRICING, "price");
    let values = Encoding::Values;
    // As the basket, which runs elsewhere.
    let call = liar.call(&far, component("shop/basket"), price, values, Vec::new(), None).await;
    assert_eq!(rule(call), "speaker");
    // The same, in the name of the node on which it does.
    let to = far.id().parse().unwrap();
    let path = vec![near.id().parse().unwrap()];
    let passed_on = Relay { to, call: 7, path, proof: None };
    let call =
        liar.call(&far, component("shop/basket"), price, values, Vec::new(), Some(passed_on));
    assert_eq!(rule(call.await), "speaker");
    // And once it has told everybody that the basket is its own: it does not carry its labels.
    let key = RecordKey::App("shop".parse().unwrap());
    let app = liar.mesh.records().get(&key).map(|record| record.version.at);
    let declaration = Declaration { app: app.unwrap(), config: 0 };
    let components = [("shop/basket".parse().unwrap(), declaration)].into();
    let runs = Runs { components, ..Runs::default() };
    liar.mesh.say_runs(&runs).unwrap();
    eventually("the others have heard it", PATIENCE, async || {
        let nodes = far.nodes().await;
        let told = nodes.get(&liar.id()).is_some_and(|node| !node.runs.is_empty());
        holds(told, nodes)
    })
    .await;
    let call = liar.call(&far, component("shop/basket"), price, values, Vec::new(), None).await;
    assert_eq!(rule(call), "speaker");
    // As a component that is linked to nothing, as a gateway, and as a person.
    let call = liar.call(&far, component("shop/pricing"), price, values, Vec::new(), None).await;
    assert_eq!(rule(call), "contract");
    let incoming = ("shop/pricing", "wasi:http/incoming-handler@0.2.0", "handle");
    let call =
        liar.call(&far, Source::Gateway, incoming, Encoding::Message, Vec::new(), None).await;
    assert_eq!(rule(call), "route");
    let call = liar.call(&far, Source::Operator, price, values, Vec::new(), None).await;
    assert_eq!(rule(call), "operator");

    let metrics = far.metrics().await;
    assert_eq!(metrics.counter("calls_forged"), 1, "{metrics:#?}");
    assert_eq!(metrics.counter("calls_denied_in"), 5, "{metrics:#?}");
    assert_eq!(metrics.counter("calls_denied_in{rule=\"speaker\"}"), 2, "{metrics:#?}");
    let denied = far.written("call-denied", |entry| entry["from"] == liar.id()).await;
    assert_eq!(denied["caller"], "shop/basket", "{denied}");
    assert_eq!(denied["target"], "shop/pricing", "{denied}");
    assert!(denied["why"].as_str().unwrap().contains("rule: speaker"), "{denied}");
    // Messages carry their own proof. Of those that have none it is written down who brought them, and
    // not in whose name.
    let delivery = Delivery {
        publisher: near.id().parse().unwrap(),
        first: None,
        group: "shop/pricing".parse().unwrap(),
        floor: 0,
        subject: "a".parse().unwrap(),
        messages: vec![(1, b"text".to_vec())],
        proof: None,
    };
    let path = vec![near.id().parse().unwrap()];
    let passed_on = Relay { to, call: 8, path, proof: None };
    let payload = wire::encode(&delivery).unwrap();
    let (message, handle) = (Encoding::Message, ("shop/pricing", PRICING, "handle"));
    let call = liar.call(&far, Source::Messages, handle, message, payload, Some(passed_on)).await;
    assert_eq!(call.unwrap_err().kind, ErrorKind::NotAllowed);
    let caller = Source::Messages.to_string();
    let denied = far.written("call-denied", |entry| entry["caller"] == caller.as_str()).await;
    assert_eq!(denied["from"], liar.id().as_str(), "{denied}");
    // Whoever may call is answered as before.
    near.call("shop/basket", "cheapest", r#"["tea"]"#).await.unwrap();
}

#[tokio::test]
async fn a_node_that_does_run_a_component_calls_only_what_its_links_grant() {
    let mesh = TestMesh::new().await;
    let far = mesh.node("far").start().await;
    let text = r#"app = "shop"

[component.basket]
wasm = "basket.wasm"
on = { name = "liar" }

[component.pricing]
wasm = "pricing.wasm"
on = { name = "far" }

[component.counter]
wasm = "counter.wasm"
on = { name = "liar" }

[provider.counts]
contract = "wasi:keyvalue"
on = { name = "far" }

[[link]]
from = "basket"
contract = "example:shop/pricing"
to = "pricing"
functions = ["price"]
calls_per_second = 3
bytes_per_call = "100B"

[[link]]
from = "counter"
contract = "wasi:keyvalue"
to = "counts"
functions = ["open", "get", "set", "list-keys", "increment"]
buckets = ["visits"]
keys = ["eu/"]
bytes_per_call = "100B"
"#;
    let manifest = ManifestText::new(text).write(&mesh, "shop.toml").await;
    far.verb(["apply", manifest.to_str().unwrap(), "--wait", "0"]).await.ok();
    let liar = Liar::join(&mesh, "liar", &far).await;
    liar.knows(&far, 1).await;
    eventually("the liar is where it belongs", PATIENCE, async || {
        let apps = far.apps().await;
        holds(apps.component("shop/basket").unwrap().placed == [liar.id()], apps)
    })
    .await;

    let call_with = async |function, bytes| {
        let what = ("shop/pricing", PRICING, function);
        let (source, values) = (component("shop/basket"), Encoding::Values);
        liar.call(&far, source, what, values, vec![0; bytes], None).await
    };
    let call = async |function| call_with(function, 0).await;
    // What it may call fails for what it sends: there are no arguments.
    for _ in 0..6 {
        assert_ne!(call("price").await.unwrap_err().kind, ErrorKind::NotAllowed);
    }
    assert_eq!(rule(call("catalogue").await), "function");
    assert_eq!(rule(call_with("price", 101).await), "bytes-per-call");
    // Twice its rate at once; then it has to wait.
    let mut refused = 0;
    for _ in 0..20 {
        if call("price").await.unwrap_err().kind == ErrorKind::NotAllowed {
            refused += 1;
        }
    }
    assert!(refused > 0);

    let ask = async |bucket: &str, operation| {
        let request = KeyValueRequest { bucket: bucket.into(), operation };
        let payload = wire::encode(&request).unwrap();
        let what = ("shop/counts", "wasi:keyvalue/store", "handle");
        let source = component("shop/counter");
        let reply = liar.call(&far, source, what, Encoding::Message, payload, None).await;
        reply.map(|reply| wire::decode::<KeyValueReply>(&reply).unwrap())
    };
    let key = |text: &str| text.to_owned();
    assert_eq!(ask("visits", Op::Set(key("eu/a"), vec![1])).await, Ok(KeyValueReply::Done));
    assert_eq!(rule(ask("visits", Op::Get(key("us/a"))).await), "key-prefix");
    assert_eq!(rule(ask("visits", Op::Increment(key("e"), 1)).await), "key-prefix");
    assert_eq!(rule(ask("secrets", Op::Get(key("eu/a"))).await), "bucket");
    assert_eq!(rule(ask("visits", Op::Delete(key("eu/a"))).await), "function");
    assert_eq!(rule(ask("visits", Op::DeleteMany(vec![key("eu/a")])).await), "function");
    assert_eq!(rule(ask("visits", Op::Set(key("eu/b"), vec![0; 200])).await), "bytes-per-call");
    let keys = ask("visits", Op::ListKeys(None)).await.unwrap();
    assert_eq!(keys, KeyValueReply::Keys(vec![key("eu/a")], None));
    let metrics = far.metrics().await;
    for name in ["function", "key-prefix", "bucket", "bytes-per-call", "calls-per-second"] {
        assert!(metrics.counter(&format!("calls_denied_in{{rule=\"{name}\"}}")) > 0, "{name}");
    }

    // Taken back, it is refused at once, whatever was decided before.
    far.verb(["rm", "shop"]).await.ok();
    assert!(matches!(rule(call("price").await).as_str(), "contract"));
}

#[tokio::test]
async fn where_a_call_leaves_the_component_is_told_which_rule_is_missing() {
    let mesh = TestMesh::new().await;
    let [near, far] = Up::start_all([mesh.node("near").http(), mesh.node("far")]).await;
    meet(&[&near, &far], PATIENCE).await;
    let link = "contract = \"example:shop/pricing\"";
    let granting =
        |function: &str| shop("near").with(link, &format!("{link}\nfunctions = [\"{function}\"]"));
    let said = near.apply(&granting("discount").write(&mesh, "shop.toml").await).await.refused();
    assert!(said.contains("`discount`") && said.contains("`catalogue`"), "{said}");
    let manifest = granting("catalogue");
    near.apply(&manifest.write(&mesh, "shop.toml").await).await.ok();
    let cheapest = || near.call("shop/basket", "cheapest", r#"["tea"]"#);
    let error = cheapest().await.unwrap_err();
    assert_eq!(error.kind, "not-allowed", "{error:?}");
    assert!(error.error.contains("`price`") && error.error.contains("rule: function"), "{error:?}");
    let denied = near.written("call-denied", |entry| entry["caller"] == "shop/basket").await;
    assert!(denied["why"].as_str().unwrap().contains("rule: function"), "{denied}");
    assert_eq!(denied.get("from"), None, "{denied}");
    // It never left.
    assert_eq!(far.metrics().await.counter("calls_denied_in"), 0);
    let put = async |args: &[&str]| {
        let link = ["link", "put", "shop/basket", "example:shop/pricing", "pricing"];
        near.verb(link.iter().chain(args)).await
    };
    let said = put(&["--key-prefix", "eu/"]).await.refused_in_one_line();
    assert!(said.contains("has no `keys`"), "{said}");
    put(&["--function", "price", "--calls-per-second", "2"]).await.ok();
    let listed = near.verb(["link", "ls"]).await.ok();
    assert!(listed.contains("functions price; 2 calls/s"), "{listed}");
    // Each price is a call of its own, so these come faster than any verbs could.
    let eight = format!("[{}]", ["\"tea\""; 8].join(","));
    let error = near.call("shop/basket", "cheapest", &eight).await.unwrap_err();
    assert!(error.error.contains("rule: calls-per-second"), "{error:?}");
    eventually("one passes again", PATIENCE, async || {
        cheapest().await.map(drop).map_err(|error| error.error)
    })
    .await;
    assert_eq!(far.metrics().await.counter("calls_denied_in"), 0);

    put(&["--function", "price", "--bytes-per-call", "10"]).await.ok();
    let error = cheapest().await.unwrap_err();
    assert!(error.error.contains("rule: bytes-per-call"), "{error:?}");
    assert_eq!(far.metrics().await.counter("calls_denied_in"), 0);

    // A store, by what its keys begin with, over HTTP.
    let link = "contract = \"wasi:keyvalue\"\nto";
    let counter = ManifestText::of_example("counter")
        .on("component.counter", "near")
        .on("provider.counts", "far")
        .with(link, "contract = \"wasi:keyvalue\"\nkeys = [\"eu\"]\nto");
    near.run(&counter.write(&mesh, "counter.toml").await, "counter/counter", &near).await;
    let http = near.http().await;
    assert_eq!(get(http, "a", "/eu-visits").await.number(), 1);
    let answer = get(http, "a", "/us-visits").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    let log = near.verb(["logs", "counter/counter"]).await.ok();
    assert!(log.contains("`us-visits`") && log.contains("rule: key-prefix"), "{log}");
}

#[tokio::test]
async fn a_node_may_refuse_people_who_call_through_others() {
    let mesh = TestMesh::new().await;
    let strict = mesh.node("far").args(["--no-remote-operators"]);
    let [near, far] = Up::start_all([mesh.node("near"), strict]).await;
    meet(&[&near, &far], PATIENCE).await;
    let text = "app = \"echo\"\n\n[component.echo]\nwasm = \"echo.wasm\"\n";
    let manifest = ManifestText::new(text).on("component.echo", "far").write(&mesh, "e.toml").await;
    near.run(&manifest, "echo/echo", &far).await;
    assert_eq!(far.call("echo/echo", "echo", "[1]").await.unwrap(), "[1]");
    let error = near.call("echo/echo", "echo", "[1]").await.unwrap_err();
    assert_eq!(error.kind, "not-allowed", "{error:?}");
    assert!(error.error.contains("rule: operator"), "{error:?}");
}
