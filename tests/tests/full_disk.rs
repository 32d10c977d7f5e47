//! Declarations on a disk that is full in the middle of a write.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;

use wattle_tests::disk::SmallDisk;
use wattle_tests::http::HttpConnection;
use wattle_tests::manifest::ManifestText;
use wattle_tests::requirement::mounts;
use wattle_tests::wait::{PATIENCE, eventually, holds};
use wattle_tests::{TestMesh, TestNode};

/// As large as a value may be, nearly.
const LARGE: usize = 60_000;

/// What the node shows, by name.
async fn shown(node: &TestNode) -> BTreeMap<String, String> {
    let values = node.config().await.values;
    values.into_iter().map(|value| (value.name, value.value)).collect()
}

#[tokio::test]
async fn a_declaration_that_does_not_fit_is_refused_and_none_that_was_acknowledged_is_lost() {
    let test = "a_declaration_that_does_not_fit_is_refused_and_none_that_was_acknowledged_is_lost";
    if !mounts(test) {
        return;
    }
    let mesh = TestMesh::new().await;
    let disk = SmallDisk::new(&mesh, "filling", 32 * 1024);
    let mut node = mesh.node("a").data(disk.folder().join("a")).start().await;
    let counter = ManifestText::of_example("counter").write(&mesh, "counter.toml").await;
    node.run(&counter, "counter/counter", &node).await;
    let put = async |node: &TestNode, name: &str, value: &str| {
        node.verb(["config", "put", "counter/counter", &format!("{name}={value}")]).await
    };
    let mut acknowledged = shown(&node).await;
    let letter = |number: u8| String::from(char::from(b'a' + number)).repeat(LARGE);
    for number in 0..5 {
        let name = format!("before-{number}");
        put(&node, &name, &letter(number)).await.ok();
        acknowledged.insert(name, letter(number));
    }

    disk.fill();
    let mut refused = 0;
    for number in 0..100 {
        let (name, value) = (format!("full-{number}"), letter(number % 26));
        let answer = put(&node, &name, &value).await;
        match answer.code {
            Some(0) => drop(acknowledged.insert(name, value)),
            _ => {
                let said = answer.refused_in_one_line();
                let is_clear =
                    said.contains("No space left") || said.contains("the disk has failed");
                assert!(is_clear, "{said}");
                refused += 1;
            }
        }
        // Some fit into what the file has already.
        if refused == 5 {
            break;
        }
    }
    assert_eq!(refused, 5);
    eventually("what was acknowledged is shown, and nothing else", PATIENCE, async || {
        let shown = shown(&node).await;
        holds(shown == acknowledged, shown.keys())
    })
    .await;

    disk.empty();
    eventually("there is room again", PATIENCE, async || {
        let answer = put(&node, "after", "1").await;
        holds(answer.code == Some(0), answer)
    })
    .await;
    acknowledged.insert("after".into(), "1".into());
    node.kill();
    node.restart().await;
    assert_eq!(shown(&node).await, acknowledged);
}

/// The room that stores leave is a twentieth of a small disk: 1.6 MiB of this one.
#[tokio::test]
async fn what_components_store_leaves_room_for_what_a_node_must_write() {
    let test = "what_components_store_leaves_room_for_what_a_node_must_write";
    if !mounts(test) {
        return;
    }
    let mesh = TestMesh::new().await;
    let disk = SmallDisk::new(&mesh, "nearly", 32 * 1024);
    let node = mesh.node("a").http().data(disk.folder().join("a")).start().await;
    let counter = ManifestText::of_example("counter").write(&mesh, "counter.toml").await;
    node.run(&counter, "counter/counter", &node).await;
    let mut connection = HttpConnection::open(node.http().await).await;
    assert_eq!(connection.get("a", "/").await.number(), 1);

    disk.fill_but(1024);
    // The node looks once a second how much there is.
    let mut stored = 1;
    eventually("nothing more is stored", PATIENCE, async || {
        let answer = connection.get("a", "/").await;
        if answer.status == 200 {
            stored = answer.number();
        }
        holds(answer.status == 503, answer)
    })
    .await;
    // What is stored can be read, and what is declared is written down.
    assert_eq!(connection.get("a", "/peek").await.number(), stored);
    node.verb(["config", "put", "counter/counter", "declared=1"]).await.ok();
    assert_eq!(shown(&node).await.get("declared").map(String::as_str), Some("1"));

    disk.empty();
    eventually("the count goes on", PATIENCE, async || {
        let answer = connection.get("a", "/").await;
        holds(answer.status == 200, &answer)?;
        assert_eq!(answer.number(), stored + 1);
        Ok(())
    })
    .await;
}
