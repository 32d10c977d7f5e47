//! A component that calls another, on the same node and on another one, with every kind of value.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::{Duration, Instant};

use wattle_tests::manifest::ManifestText;
use wattle_tests::node::meet;
use wattle_tests::wait::{PATIENCE, eventually, holds};
use wattle_tests::{TestMesh, Up};

/// Arguments of `total`, and what comes back.
const TOTALS: [(&str, &str); 6] = [
    (
        r#"[{sku: "tea", quantity: 3, discount: some(multi-buy((3, 2)))}]"#,
        r#"ok({lines: [{sku: "tea", quantity: 3, unit-price: {amount: 450, currency: eur}, total: {amount: 900, currency: eur}, saved: some({amount: 450, currency: eur})}], total: {amount: 900, currency: eur}, handling: {}})"#,
    ),
    (
        r#"[{sku: "wine", quantity: 2, discount: some(percent(10))}]"#,
        r#"ok({lines: [{sku: "wine", quantity: 2, unit-price: {amount: 1499, currency: eur}, total: {amount: 2699, currency: eur}, saved: some({amount: 299, currency: eur})}], total: {amount: 2699, currency: eur}, handling: {fragile, age-checked}})"#,
    ),
    ("[]", "err(empty)"),
    (r#"[{sku: "nope", quantity: 1}]"#, r#"err(unknown-sku("nope"))"#),
    (
        r#"[{sku: "tea", quantity: 1}, {sku: "bagel", quantity: 1}]"#,
        "err(mixed-currencies((eur, usd)))",
    ),
    (
        r#"[{sku: "tea", quantity: 1, discount: some(fixed({amount: 1, currency: usd}))}]"#,
        r#"err(bad-discount(("tea", fixed({amount: 1, currency: usd}))))"#,
    ),
];

#[tokio::test]
async fn components_call_each_other_wherever_they_run() {
    let mesh = TestMesh::new().await;
    let [a, b] = Up::start_all([mesh.node("a"), mesh.node("b")]).await;
    meet(&[&a, &b], PATIENCE).await;
    let shop = || ManifestText::of_example("shop").on("component.basket", "a");
    let far = shop().named("far").on("component.pricing", "b").write(&mesh, "far.toml").await;
    let near = shop().named("near").on("component.pricing", "a").write(&mesh, "near.toml").await;
    a.apply(&far).await.ok();
    a.apply(&near).await.ok();
    for node in [&a, &b] {
        for (component, on) in
            [("far/basket", &a), ("far/pricing", &b), ("near/basket", &a), ("near/pricing", &a)]
        {
            node.sees_running(component, &[on]).await;
        }
    }

    // Asked on the basket's node and on the other one; pricing near and far.
    for (arguments, result) in TOTALS {
        for (asked, target) in [(&a, "near/basket"), (&a, "far/basket"), (&b, "far/basket")] {
            let answer = asked.call(target, "total", arguments).await.unwrap();
            assert_eq!(answer, result, "{target} on {}", asked.name());
        }
    }
    for (asked, target) in [(&a, "near/basket"), (&b, "far/basket")] {
        let cheapest = asked.call(target, "example:shop/basket#cheapest", r#"["tea", "milk"]"#);
        let expected = r#"ok(some(("milk", {amount: 129, currency: eur})))"#;
        assert_eq!(cheapest.await.unwrap(), expected);
    }

    // A trap far away is a trap here, is told at once, and ends nothing else.
    for (asked, target, pricing) in [
        (&a, "near/basket", "near/pricing"),
        (&a, "far/basket", "far/pricing"),
        (&b, "far/basket", "far/pricing"),
    ] {
        let begun = Instant::now();
        let error = asked.call(target, "total", r#"[{sku: "trap", quantity: 1}]"#).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind, "trapped", "{error:?}");
        assert!(error.error.contains(pricing), "who trapped is named: {error:?}");
        assert!(error.error.contains("unreachable"), "and by which instruction: {error:?}");
        assert!(begun.elapsed() < Duration::from_secs(5));
        asked.call(target, "total", "[]").await.unwrap();
    }

    // What a person got wrong is told with what there is.
    for asked in [&a, &b] {
        let error = asked.call("far/basket", "sum", "[]").await.unwrap_err();
        assert_eq!(error.kind, "not-linked", "{error:?}");
        assert!(error.error.contains("sum") && error.error.contains("total"), "{error:?}");
        let error = asked.call("far/basket", "total", "[{sku: 7}]").await.unwrap_err();
        assert!(error.error.contains("it takes (items)"), "{error:?}");
        let error = asked.call("far/nobody", "total", "[]").await.unwrap_err();
        assert_eq!(error.kind, "not-linked", "{error:?}");
    }
}

#[tokio::test]
async fn what_is_declared_is_listed_on_every_node_until_it_is_taken_back() {
    let mesh = TestMesh::new().await;
    let [a, b] = Up::start_all([mesh.node("a"), mesh.node("b")]).await;
    meet(&[&a, &b], PATIENCE).await;
    assert!(a.apps().await.apps.is_empty() && b.links().await.links.is_empty());
    let shop = ManifestText::of_example("shop")
        .on("component.basket", "a")
        .on("component.pricing", "b")
        .write(&mesh, "shop.toml")
        .await;
    a.apply(&shop).await.ok();
    for node in [&a, &b] {
        node.sees_running("shop/pricing", &[&b]).await;
        let apps = node.apps().await;
        let pricing = apps.component("shop/pricing").unwrap();
        assert_eq!(pricing.placed, [b.id()]);
        assert_eq!(pricing.publisher, mesh.publisher().public());
        let links = node.links().await.links;
        let [link] = links.as_slice() else { panic!("{links:?}") };
        assert_eq!((&*link.from, &*link.to), ("shop/basket", "shop/pricing"));
        assert_eq!(link.contract, "example:shop/pricing");
        assert_eq!(link.served_by, [b.id()]);
    }
    let state = |node: &wattle_tests::view::Apps, id: &str| {
        node.component(id).and_then(|found| found.here.clone()).map(|here| here.state)
    };
    assert_eq!(state(&b.apps().await, "shop/pricing").as_deref(), Some("running"));
    assert_eq!(state(&a.apps().await, "shop/pricing"), None);
    // For people, too.
    let table = b.verb(["apps"]).await.ok();
    assert!(table.contains("shop/basket") && table.contains("1/1"), "{table}");

    // Declared once more with a change: what runs follows.
    let moved = ManifestText::of_example("shop")
        .on("component.basket", "a")
        .on("component.pricing", "a")
        .write(&mesh, "shop.toml")
        .await;
    b.apply(&moved).await.ok();
    for node in [&a, &b] {
        node.sees_running("shop/pricing", &[&a]).await;
    }
    a.call("shop/basket", "cheapest", r#"["tea"]"#).await.unwrap();

    // Taken back where it was not declared.
    b.verb(["rm", "shop"]).await.ok();
    for node in [&a, &b] {
        eventually("it is gone", PATIENCE, async || {
            let (apps, nodes) = (node.apps().await, node.nodes().await);
            let idle = nodes.nodes.iter().all(|node| node.runs.is_empty());
            holds(apps.apps.is_empty() && idle, (&apps, &nodes))
        })
        .await;
        assert!(node.links().await.links.is_empty());
        let error = node.call("shop/basket", "total", "[]").await.unwrap_err();
        assert_eq!(error.kind, "not-linked", "{error:?}");
    }
    let said = b.verb(["rm", "shop"]).await.refused_in_one_line();
    assert!(said.contains("`shop`"), "{said}");
}

#[tokio::test]
async fn a_node_knows_at_once_what_it_was_told() {
    let mesh = TestMesh::new().await;
    let a = mesh.node("a").start().await;
    let text = "app = \"store\"\n\n[provider.counts]\ncontract = \"wasi:keyvalue\"\n";
    let store = mesh.write("store.toml", text);
    for _ in 0..20 {
        // It looks for the app right after it was declared.
        a.apply(&store).await.ok();
        a.verb(["rm", "store"]).await.ok();
        assert!(a.apps().await.apps.is_empty());
    }
}

#[tokio::test]
async fn a_component_whose_import_leads_nowhere_is_refused_with_what_there_is() {
    let mesh = TestMesh::new().await;
    let a = mesh.node("a").start().await;
    let link = "[[link]]\nfrom = \"basket\"\ncontract = \"example:shop/pricing\"\nto = \"pricing\"";
    let shop = ManifestText::of_example("shop").with(link, "").write(&mesh, "app.toml").await;
    let said = a.apply(&shop).await.refused();
    for part in [
        "app.toml:5:8: ",
        "`basket`",
        "`example:shop/pricing@0.1.0`",
        "component `basket` with `example:shop/basket@0.1.0`",
        "component `pricing` with `example:shop/pricing@0.1.0`",
    ] {
        assert!(said.contains(part), "no `{part}` in\n{said}");
    }

    // Linked to what has nothing of the kind.
    let wrong = link.replace("to = \"pricing\"", "to = \"basket\"");
    let shop = ManifestText::of_example("shop").with(link, &wrong).write(&mesh, "app.toml").await;
    let said = a.apply(&shop).await.refused();
    assert!(said.contains("linked to `basket`, which does not export it"), "{said}");

    // Something without a store where one is needed.
    let link = "[[link]]\nfrom = \"counter\"\ncontract = \"wasi:keyvalue\"\nto = \"counts\"";
    let counter = ManifestText::of_example("counter").with(link, "").write(&mesh, "app.toml").await;
    let said = a.apply(&counter).await.refused();
    assert!(said.contains("wasi:keyvalue/") && said.contains("provider `counts`"), "{said}");

    // What is to answer HTTP and can't.
    let route = "\n[[http]]\ncomponent = \"pricing\"\n[[link]]";
    let shop = ManifestText::of_example("shop").with("[[link]]", route);
    let shop = shop.write(&mesh, "app.toml").await;
    let said = a.apply(&shop).await.refused();
    assert!(said.contains("wasi:http/incoming-handler"), "{said}");

    assert!(a.apps().await.apps.is_empty());

    // A home that nobody can be.
    let nowhere = ManifestText::of_example("counter").on("provider.counts", "mars");
    let said = a.apply(&nowhere.write(&mesh, "app.toml").await).await.refused();
    assert!(said.contains("name=mars") && said.contains("name=a"), "{said}");
    assert!(a.apps().await.apps.is_empty());

    // A component that nobody can run may be declared, since somebody may come; it is told.
    let nowhere = ManifestText::of_example("shop").on("component.pricing", "mars");
    let said = a.apply(&nowhere.write(&mesh, "app.toml").await).await.refused_in_one_line();
    assert!(said.contains("shop/pricing") && said.contains("name=mars"), "{said}");
    let error = a.call("shop/basket", "cheapest", r#"["tea"]"#).await.unwrap_err();
    assert_eq!(error.kind, "unreachable", "{error:?}");
    assert!(error.error.contains("name=mars"), "{error:?}");
    let mars = mesh.node("mars").start().await;
    a.sees_running("shop/pricing", &[&mars]).await;
    a.call("shop/basket", "cheapest", r#"["tea"]"#).await.unwrap();
}
