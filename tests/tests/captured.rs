//! A running mesh is written down as a scenario, and that is rehearsed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use serde_json::Value;
use wattle_tests::command::wattle;
use wattle_tests::manifest::ManifestText;
use wattle_tests::node::meet;
use wattle_tests::wait::{PATIENCE, eventually, holds};
use wattle_tests::{TestMesh, Up};

#[tokio::test]
async fn a_running_mesh_is_written_down_and_what_was_written_runs() {
    let mesh = TestMesh::new().await;
    let nodes = [
        mesh.node("a").label("site", "shop").http(),
        mesh.node("b").label("site", "dc"),
        mesh.node("c").label("site", "dc"),
    ];
    let [a, b, c] = Up::start_all(nodes).await;
    meet(&[&a, &b, &c], PATIENCE).await;
    let shop = ManifestText::of_example("shop").with("replicas = 1", "replicas = 2");
    let shop = shop.on("component.pricing", "b").with("name = \"b\"", "site = \"dc\"");
    a.apply(&shop.write(&mesh, "shop.toml").await).await.ok();
    let counter = ManifestText::of_example("counter").on("provider.counts", "b");
    a.apply(&counter.write(&mesh, "counter.toml").await).await.ok();
    a.verb(["config", "put", "counter/counter", "bucket=others"]).await.ok();
    a.sees_running("shop/pricing", &[&b, &c]).await;
    eventually("round trips are measured", PATIENCE, async || {
        let mut known = 0;
        for node in [&a, &c] {
            let reply: Value = node.verb(["nodes", "--json"]).await.json();
            let nodes = reply["nodes"].as_array().unwrap().clone();
            known += nodes.iter().filter(|node| node["rtt_micros"].is_u64()).count();
        }
        holds(known == 4, known)
    })
    .await;

    let out = mesh.folder().join("own.toml");
    let file = out.to_str().unwrap();
    let also = c.data().to_str().unwrap();
    let args = ["sim", "from-mesh", "--out", file, "--also", also, "--json"];
    let written: Value = a.verb(args).await.json();
    assert_eq!((&written["nodes"], &written["measured"]), (&3.into(), &3.into()), "{written:#}");
    assert_eq!(written["manifests"].as_array().unwrap().len(), 2, "{written:#}");
    let text = std::fs::read_to_string(&out).unwrap();
    for part in [
        "group = \"a\"",
        "labels = { \"name\" = \"c\", \"site\" = \"dc\" }",
        "manifest = \"own-shop.toml\"",
        "from = \"shop/basket\"\ncontract = \"example:shop/pricing",
        "[[request]]\npath = \"/\"\non = \"a\"\nevery = \"5s\"",
        "# cut = \"a\"",
    ] {
        assert!(text.contains(part), "there is no {part} in\n{text}");
    }
    assert_eq!(text.matches("[[link]]").count(), 3, "{text}");
    let counter = std::fs::read_to_string(mesh.folder().join("own-counter.toml")).unwrap();
    assert!(counter.contains("\"bucket\" = \"others\""), "{counter}");
    assert!(counter.contains("on = { \"name\" = \"b\", \"site\" = \"dc\" }"), "{counter}");

    // As it is, and with the fault that is only suggested in it.
    let run = async |file: &str| -> Value { wattle(["sim", "run", file, "--json"]).await.json() };
    let calm = run(file).await;
    assert!(calm["counts"]["answered"].as_u64() > Some(100), "{}", calm["counts"]);
    assert_eq!(calm["counts"]["answered"], calm["counts"]["calls"]);
    let fault = text.lines().map(|line| match line.strip_prefix("# ") {
        Some(rest)
            if ["[[fault]]", "at = ", "for = ", "cut = "].iter().any(|s| rest.starts_with(s)) =>
        {
            rest
        }
        _ => line,
    });
    let cut = mesh.write("cut.toml", fault.collect::<Vec<_>>().join("\n"));
    let cut = run(cut.to_str().unwrap()).await;
    assert_eq!(cut["faults"].as_array().unwrap().len(), 2, "{}", cut["faults"]);

    // Nothing is written over that somebody may have changed.
    let said = a.verb(["sim", "from-mesh", "--out", file]).await.refused_in_one_line();
    assert!(said.contains("is there already; --force writes over it"), "{said}");
    let said = a.verb(["sim", "from-mesh", "--out", file, "--force"]).await.ok();
    assert!(said.contains("3 nodes, 2 round trips measured"), "{said}");
    assert!(said.contains("1 of 3 pairs of nodes are not known here"), "{said}");
    assert!(said.ends_with(&format!("Rehearse it: wattle sim run {file}\n")), "{said}");
}

#[tokio::test]
async fn without_a_node_there_is_nothing_to_write_down() {
    let mesh = TestMesh::new().await;
    let nowhere = mesh.folder().join("nowhere");
    let args = ["sim", "from-mesh", "--data", nowhere.to_str().unwrap()];
    let said = wattle(args).await.refused_in_one_line();
    assert!(said.contains("no node answers at"), "{said}");
}
