//! Declaring apps: what is listed, what is refused, and when it is done.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use wattle_tests::http::HttpConnection;
use wattle_tests::manifest::ManifestText;
use wattle_tests::node::meet;
use wattle_tests::wait::{PATIENCE, eventually, holds};
use wattle_tests::{TestMesh, Up};

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
    let [a, b] = Up::start_all([mesh.node("a"), mesh.node("b")]).await;
    meet(&[&a, &b], PATIENCE).await;
    let shop = ManifestText::of_example("shop")
        .on("component.basket", "b")
        .on("component.pricing", "b")
        .write(&mesh, "shop.toml")
        .await;
    for _ in 0..10 {
        // It looks for the app right after it was declared.
        a.apply(&shop).await.ok();
        a.verb(["rm", "shop"]).await.ok();
        assert!(a.apps().await.apps.is_empty());
    }
}

#[tokio::test]
async fn apply_returns_when_what_was_declared_runs_and_not_what_ran_before() {
    let mesh = TestMesh::new().await;
    let [a, b] = Up::start_all([mesh.node("a").http(), mesh.node("b")]).await;
    meet(&[&a, &b], PATIENCE).await;
    let mut connection = HttpConnection::open(a.http().await).await;
    for round in 0..10 {
        // The first five change what is declared, the others come after it was taken back.
        if round >= 5 {
            a.verb(["rm", "counter"]).await.ok();
        }
        let counter = ManifestText::of_example("counter")
            .on("component.counter", "b")
            .on("provider.counts", "a")
            .with("bucket = \"visits\"", &format!("bucket = \"{round}\""));
        a.apply(&counter.write(&mesh, "counter.toml").await).await.ok();
        let answer = connection.get("a", "/").await;
        assert_eq!((answer.status, &*answer.text), (200, "1\n"), "in round {round}: {answer:?}");
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
