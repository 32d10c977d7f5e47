//! Links and configuration values changed by hand, one by one: while what they are about runs, and
//! on both sides of a cut.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;
use std::time::Instant;

use wattle_tests::http::{get, served};
use wattle_tests::manifest::ManifestText;
use wattle_tests::network::Network;
use wattle_tests::node::meet;
use wattle_tests::requirement::networks;
use wattle_tests::view::{Link, Value};
use wattle_tests::wait::{PATIENCE, eventually, holds};
use wattle_tests::{TestMesh, TestNode, Up};

const PRICING: &str = "example:shop/pricing";

/// The shop, under a name that is no part of its contracts', with a second component that knows
/// prices.
fn shop(basket: &str, pricing: &str, second: &str) -> ManifestText {
    let component = "[component.pricing]\nwasm = \"../../target/guests/pricing.wasm\"";
    let two = format!("{component}\n\n{}", component.replace(".pricing", ".second"));
    ManifestText::of_example("shop")
        .named("market")
        .with(component, &two)
        .on("component.basket", basket)
        .on("component.pricing", pricing)
        .on("component.second", second)
}

/// The counter with a second store.
fn counter(component: &str, store: &str) -> ManifestText {
    let provider = "[provider.counts]\ncontract = \"wasi:keyvalue\"";
    let two = format!("{provider}\n\n{}", provider.replace(".counts", ".second"));
    ManifestText::of_example("counter")
        .with(provider, &two)
        .on("component.counter", component)
        .on("provider.counts", store)
        .on("provider.second", store)
}

/// Which component the basket asks: the one that traps says its name.
async fn asked(node: &TestNode) -> String {
    let error = node.call("market/basket", "total", r#"[{sku: "trap", quantity: 1}]"#).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind, "trapped", "{error:?}");
    let asked = ["market/pricing", "market/second"].into_iter().find(|id| error.error.contains(id));
    asked.unwrap_or_else(|| panic!("{error:?}")).to_owned()
}

/// All that is to be equal on all nodes: who serves a link is each node's own view.
fn written(links: &[Link]) -> Vec<Link> {
    links.iter().map(|link| Link { served_by: Vec::new(), ..link.clone() }).collect()
}

#[tokio::test]
async fn links_that_were_put_on_both_sides_of_a_cut_are_on_all_nodes_after_it() {
    let test = "links_that_were_put_on_both_sides_of_a_cut_are_on_all_nodes_after_it";
    if !networks(test) {
        return;
    }
    let mesh = TestMesh::new().await;
    let mut network = Network::new();
    let places = [network.place(), network.place(), network.place()];
    let [a, b, c] = ["a", "b", "c"];
    let [a, b, c] = Up::start_all([
        mesh.node(a).at(&places[0]),
        mesh.node(b).at(&places[1]),
        mesh.node(c).at(&places[2]),
    ])
    .await;
    meet(&[&a, &b, &c], PATIENCE).await;
    a.apply(&shop("a", "b", "b").write(&mesh, "shop.toml").await).await.ok();
    eventually("all know the app", PATIENCE, async || {
        let links = c.links().await.links;
        holds(links.len() == 1, links)
    })
    .await;

    places[2].unplug();
    eventually("both sides notice", PATIENCE, async || {
        let (here, there) = (a.nodes().await, c.nodes().await);
        let apart = !here.get(c.id()).unwrap().connected && !there.get(a.id()).unwrap().connected;
        holds(apart, (&here, &there))
    })
    .await;
    let put = async |node: &TestNode, target: &str, name: &str| {
        let args = ["link", "put", "market/basket", PRICING, target, "--name", name];
        node.verb(args).await.ok();
    };
    put(&a, "second", "here").await;
    put(&c, "second", "there").await;
    // The same one, twice; the later one counts.
    put(&a, "market/second", "both").await;
    put(&c, "market/pricing", "both").await;
    // An app that only one side knows.
    let ahead = ["link", "put", "new/one", "a:b", "new/two"];
    let said = c.verb(ahead).await.refused_in_one_line();
    assert!(said.contains("`new`") && said.contains("--ahead"), "{said}");
    let said = c.verb(ahead.into_iter().chain(["--ahead"])).await.ok();
    assert!(said.contains("note: ") && said.contains("`new`"), "{said}");

    places[2].plug();
    let begun = Instant::now();
    eventually("the links are equal", PATIENCE, async || {
        let (one, two, three) =
            (a.links().await.links, b.links().await.links, c.links().await.links);
        let equal = written(&one) == written(&two) && written(&two) == written(&three);
        holds(equal && one.len() == 5, (&one, &two, &three))
    })
    .await;
    eprintln!("the links were equal {:?} after the heal", begun.elapsed());
    let links = b.links().await.links;
    let of = |name: &str| links.iter().find(|link| link.name == name).unwrap();
    assert_eq!((&*of("here").to, &*of("here").writer), ("market/second", a.id()));
    assert_eq!((&*of("there").to, &*of("there").writer), ("market/second", c.id()));
    assert_eq!((&*of("both").to, &*of("both").writer), ("market/pricing", c.id()));
    assert_eq!(of("both").origin, "record");
    let manifest = links.iter().find(|link| link.from == "market/basket" && link.name == "default");
    assert_eq!(manifest.unwrap().origin, "manifest");

    // The one of the two that lost is in the history, on every node, and nothing else is.
    let history = async |node: &TestNode, name: &str| -> serde_json::Value {
        let key = format!("link/market/basket/{PRICING}/{name}");
        node.verb(["history", &key, "--json"]).await.json()
    };
    eventually("all tell the same history", PATIENCE, async || {
        let told =
            [history(&a, "both").await, history(&b, "both").await, history(&c, "both").await];
        let lost = told[0]["lost"].as_array().map(Vec::len);
        holds(told[0] == told[1] && told[1] == told[2] && lost == Some(1), told)
    })
    .await;
    let both = history(&b, "both").await;
    let says = |change: &serde_json::Value, target: &str, writer: &TestNode| {
        change["writer"] == writer.id() && change["body"].to_string().contains(target)
    };
    assert!(says(&both["current"], "pricing", &c), "{both}");
    assert!(says(&both["lost"][0], "second", &a), "{both}");
    for name in ["here", "there"] {
        assert_eq!(history(&b, name).await["lost"], serde_json::json!([]));
    }
}

#[tokio::test]
async fn the_next_call_goes_along_the_new_link_and_the_apps_own_comes_back() {
    let mesh = TestMesh::new().await;
    let [a, b] = Up::start_all([mesh.node("a"), mesh.node("b")]).await;
    meet(&[&a, &b], PATIENCE).await;
    let manifest = shop("a", "b", "b").write(&mesh, "shop.toml").await;
    a.apply(&manifest).await.ok();
    a.sees_running("market/second", &[&b]).await;
    assert_eq!(asked(&a).await, "market/pricing");

    for _ in 0..5 {
        // At once, although the other node has to hear of it before it answers.
        a.verb(["link", "put", "market/basket", PRICING, "second"]).await.ok();
        assert_eq!(asked(&a).await, "market/second");
        let said = a.verb(["link", "rm", "market/basket", PRICING]).await.ok();
        assert!(said.contains("counts again: to `market/pricing`"), "{said}");
        assert_eq!(asked(&a).await, "market/pricing");
    }

    a.verb(["link", "put", "market/basket", PRICING, "second"]).await.ok();
    let links = a.links().await.links;
    let [link] = links.as_slice() else { panic!("{links:?}") };
    assert_eq!((&*link.to, &*link.origin), ("market/second", "record"));
    assert_eq!(link.instead_of.as_deref(), Some("market/pricing"));
    assert_eq!((&*link.writer, link.served_by.as_slice()), (a.id(), &[b.id().to_owned()][..]));
    let table = a.verb(["link", "ls"]).await.ok();
    assert!(table.contains("record, not market/pricing") && table.contains("20"), "{table}");
    eventually("the other has heard of it", PATIENCE, async || {
        let there = b.links().await.links;
        holds(written(&there) == written(&links), there)
    })
    .await;
    // Whoever applies the app is told that its own link does not count.
    let said = b.apply(&manifest).await.ok();
    assert!(said.contains("1 link put by hand"), "{said}");
    assert_eq!(asked(&b).await, "market/second");
}

#[tokio::test]
async fn several_links_share_the_calls_of_an_import_and_a_spare_waits() {
    let mesh = TestMesh::new().await;
    let [a, mut b, c] = Up::start_all([mesh.node("a"), mesh.node("b"), mesh.node("c")]).await;
    meet(&[&a, &b, &c], PATIENCE).await;
    a.apply(&shop("a", "b", "c").write(&mesh, "shop.toml").await).await.ok();
    let put = async |weight: &str| {
        let args = ["link", "put", "market/basket", PRICING, "second", "--name", "two", "--weight"];
        a.verb(args.into_iter().chain([weight])).await.ok();
    };
    put("1").await;
    // That one of two is not taken once has a chance of one in 2^39.
    let mut taken = BTreeSet::new();
    for _ in 0..40 {
        taken.insert(asked(&a).await);
    }
    assert_eq!(taken.len(), 2, "{taken:?}");

    put("0").await;
    for _ in 0..10 {
        assert_eq!(asked(&a).await, "market/pricing");
    }
    b.kill();
    eventually("the spare is taken", PATIENCE, async || {
        let error = a.call("market/basket", "total", r#"[{sku: "trap", quantity: 1}]"#).await;
        let error = error.unwrap_err();
        holds(error.kind == "trapped" && error.error.contains("market/second"), error)
    })
    .await;
}

#[tokio::test]
async fn a_link_says_which_nodes_it_wants_called() {
    let mesh = TestMesh::new().await;
    let [a, mut b] = Up::start_all([mesh.node("a"), mesh.node("b")]).await;
    meet(&[&a, &b], PATIENCE).await;
    let both = ManifestText::of_example("shop")
        .named("market")
        .on("component.basket", "a")
        .with("replicas = 1", "replicas = 2");
    a.apply(&both.write(&mesh, "shop.toml").await).await.ok();
    a.sees_running("market/pricing", &[&a, &b]).await;
    let ask = async || a.call("market/basket", "cheapest", r#"["tea"]"#).await;
    // How many of ten calls leave the node.
    let leaving = async || {
        let sent = async || a.metrics().await.counter("calls_out{outcome=\"ok\"}");
        let before = sent().await;
        for _ in 0..10 {
            ask().await.unwrap();
        }
        sent().await - before
    };
    let put = async |option: &str, label: &str| {
        a.verb(["link", "put", "market/basket", PRICING, "pricing", option, label]).await.ok();
    };
    assert_eq!(leaving().await, 0, "this node comes first");
    put("--prefer", "name=b").await;
    assert_eq!(leaving().await, 10, "unless another one is preferred");
    put("--prefer", "name=mars").await;
    assert_eq!(leaving().await, 0, "who prefers what nobody is, is not held up");
    put("--require", "name=b").await;
    assert_eq!(leaving().await, 10);
    put("--require", "name=mars").await;
    let error = ask().await.unwrap_err();
    assert_eq!(error.kind, "unreachable", "{error:?}");
    assert!(
        error.error.contains("market/pricing") && error.error.contains("name=mars"),
        "{error:?}"
    );

    // With the node gone that is wanted, preferring and requiring part.
    put("--prefer", "name=b").await;
    b.kill();
    eventually("calls are answered here", PATIENCE, async || {
        ask().await.map_err(|error| format!("{error:?}"))
    })
    .await;
    put("--require", "name=b").await;
    assert_eq!(ask().await.unwrap_err().kind, "unreachable");
}

#[tokio::test]
async fn of_several_stores_the_name_of_the_bucket_says_which() {
    let mesh = TestMesh::new().await;
    let a = mesh.node("a").http().start().await;
    a.apply(&counter("a", "a").write(&mesh, "counter.toml").await).await.ok();
    let http = a.http().await;
    let count = async || get(http, "a", "/").await.number();
    assert_eq!((count().await, count().await), (1, 2));
    // A store of another name than the bucket's changes nothing, call after call.
    let put = async |name: &str| {
        let args = ["link", "put", "counter/counter", "wasi:keyvalue", "second", "--name", name];
        a.verb(args).await.ok();
    };
    put("other").await;
    for number in 3..10 {
        assert_eq!(count().await, number);
    }
    put("visits").await;
    assert_eq!((count().await, count().await), (1, 2));
    let args = ["link", "rm", "counter/counter", "wasi:keyvalue", "--name", "visits"];
    a.verb(args).await.ok();
    assert_eq!(count().await, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configuration_changes_while_a_component_runs_and_no_call_is_lost() {
    let mesh = TestMesh::new().await;
    let [a, mut b] = Up::start_all([mesh.node("a").http(), mesh.node("b")]).await;
    meet(&[&a, &b], PATIENCE).await;
    let manifest = counter("b", "a").write(&mesh, "counter.toml").await;
    a.apply(&manifest).await.ok();
    let http = a.http().await;
    let peek = async || get(http, "a", "/peek").await.number();
    for number in 1..=3 {
        assert_eq!(get(http, "a", "/").await.number(), number);
    }

    // Requests all the while, through the node that does not run it.
    let (done, mut told) = tokio::sync::watch::channel(false);
    let requests = tokio::spawn(async move {
        let mut answered = 0;
        while !*told.borrow_and_update() {
            let answer = get(http, "a", "/all-the-while").await;
            assert_eq!(answer.status, 200, "{answer:?}");
            answered += 1;
        }
        answered
    });
    for round in 0..10 {
        let value = format!("bucket=round-{round}");
        let node = if round % 2 == 0 { &a } else { &b };
        node.verb(["config", "put", "counter/counter", &value, "other=x y"]).await.ok();
        eventually("the new bucket is empty", PATIENCE, async || {
            let number = peek().await;
            holds(number == 0, number)
        })
        .await;
        assert_eq!(get(http, "a", "/").await.number(), 1);
    }
    done.send(true).unwrap();
    let answered = requests.await.unwrap();
    assert!(answered > 10, "{answered}");

    let expected = |writer: &TestNode, values: &[Value]| {
        let [bucket, other] = values else { return false };
        (&*bucket.component, &*bucket.name, &*bucket.value, &*bucket.origin)
            == ("counter/counter", "bucket", "round-9", "record")
            && bucket.instead_of.as_deref() == Some("visits")
            && bucket.writer == writer.id()
            && (&*other.name, &*other.value, &other.instead_of) == ("other", "x y", &None)
    };
    for node in [&a, &b] {
        eventually("both tell the same", PATIENCE, async || {
            let values = node.config().await.values;
            holds(expected(&b, &values), values)
        })
        .await;
    }
    let table = a.verb(["config", "ls", "counter/counter"]).await.ok();
    assert!(table.contains("round-9") && table.contains("record, not visits"), "{table}");

    // It is on disk.
    b.restart().await;
    meet(&[&a, &b], PATIENCE).await;
    // What the other knows of it may still be from before the restart.
    assert_eq!(served(http, "a", "/peek").await.number(), 1);
    // Taken back, the app's own value counts again.
    b.verb(["config", "rm", "counter/counter", "bucket", "other"]).await.ok();
    eventually("the first bucket is back", PATIENCE, async || {
        let number = peek().await;
        holds(number == 3, number)
    })
    .await;
    let values = b.config().await.values;
    assert_eq!((values.len(), &*values[0].value, &*values[0].origin), (1, "visits", "manifest"));
    let said = b.verb(["config", "rm", "counter/counter", "bucket"]).await.refused_in_one_line();
    assert!(said.contains("the app's own"), "{said}");
}

#[tokio::test]
async fn what_can_not_be_linked_or_configured_is_refused_with_what_there_is() {
    let mesh = TestMesh::new().await;
    let a = mesh.node("a").start().await;
    a.apply(&shop("a", "a", "a").write(&mesh, "shop.toml").await).await.ok();
    let long = "x".repeat(70_000);
    let big = format!("currency={long}");
    let label = format!("zone={}", "x".repeat(129));
    for (args, parts) in [
        (
            &["link", "put", "none/basket", PRICING, "market/pricing"][..],
            &["`none`", "`market`"][..],
        ),
        (
            &["link", "put", "market/none", PRICING, "pricing"],
            &["`none`", "`market/basket`", "--ahead"],
        ),
        (
            &["link", "put", "market/basket", PRICING, "none"],
            &["`none`", "component `pricing` with"],
        ),
        (
            &["link", "put", "market/basket", PRICING, "basket"],
            &["does not serve", "`pricing` with"],
        ),
        (&["link", "put", "market/basket", "a:b", "pricing"], &["does not serve `a:b`"]),
        (
            &["link", "put", "market/pricing", PRICING, "second"],
            &["`market/pricing` does not import `example:shop/pricing`", "nothing", "--ahead"],
        ),
        (
            &["link", "put", "market/basket", "example:shop/basket", "basket"],
            &["does not import `example:shop/basket`", "`example:shop/pricing@0.1.0`"],
        ),
        (
            &["link", "put", "market/basket", PRICING, "pricing", "--idempotent", "prise"],
            &["`idempotent` names `prise`", "it has `price`"],
        ),
        (
            &["link", "put", "market/basket", "wasi:config", "pricing"],
            &["`wasi:config`", "the node"],
        ),
        (
            &["link", "put", "market/basket", PRICING, "pricing", "--weight", "1000001"],
            &["0 to 1000000"],
        ),
        (
            &["link", "put", "market/basket", PRICING, "pricing", "--require", &label],
            &["`zone`", "1 to 128 bytes"],
        ),
        (&["link", "rm", "market/basket", PRICING], &["the app's own", "manifest"]),
        (&["link", "rm", "market/basket", PRICING, "--name", "x"], &["no link `x`", "it has none"]),
        (&["config", "put", "market/none", "a=b"], &["`none`", "`market/basket`"]),
        (&["config", "put", "market/basket", &big], &["70000 bytes", "65536"]),
        (&["config", "rm", "market/basket", "currency"], &["no value `currency`", "it has none"]),
    ] {
        let said = a.verb(args).await.refused_in_one_line();
        for part in parts {
            assert!(said.contains(part), "no `{part}` in\n{said}");
        }
    }
    // What a newer version of the app will import may be linked before.
    let ahead = ["link", "put", "market/pricing", PRICING, "second", "--ahead"];
    let said = a.verb(ahead).await.ok();
    assert!(said.contains("note: ") && said.contains("does not import"), "{said}");
    a.verb(["link", "rm", "market/pricing", PRICING]).await.ok();
    // In a manifest, too.
    let misspelt =
        shop("a", "a", "a").with("to = \"pricing\"", "to = \"pricing\"\nidempotent = [\"prise\"]");
    let said = a.apply(&misspelt.write(&mesh, "misspelt.toml").await).await.refused();
    assert!(said.contains("component `basket`: `idempotent` names `prise`"), "{said}");

    // What is no name or contract at all never reaches a node.
    let key = format!("{}=1", "x".repeat(257));
    for (args, part) in [
        (&["link", "put", "market/basket", "pricing", "pricing"][..], "there is no `:`"),
        (&["link", "put", "basket", PRICING, "pricing"], "there is no `/`"),
        (&["config", "put", "market/basket", &key], "257 bytes"),
        (&["config", "put", "market/basket", "currency"], "KEY=VALUE"),
    ] {
        let answer = a.verb(args).await;
        assert_eq!(answer.code, Some(2), "{answer:?}");
        assert!(answer.stderr.contains(part), "no `{part}` in\n{}", answer.stderr);
    }
    let links = a.links().await.links;
    assert_eq!((links.len(), &*links[0].origin), (1, "manifest"));
    assert!(a.config().await.values.is_empty());
}
