//! What became of two changes of one key that were made on both sides of a cut.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use serde::Deserialize;
use wattle_tests::manifest::ManifestText;
use wattle_tests::network::Network;
use wattle_tests::node::meet;
use wattle_tests::requirement::networks;
use wattle_tests::wait::{PATIENCE, eventually, holds};
use wattle_tests::{TestMesh, TestNode, Up};

/// `wattle history KEY --json`.
#[derive(Debug, PartialEq, Deserialize)]
struct History {
    current: Option<Change>,
    lost: Vec<Change>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Change {
    at_millis: u64,
    writer: String,
    is_delete: bool,
    body: Option<serde_json::Value>,
}

impl Change {
    fn says(&self, text: &str) -> bool {
        self.body.as_ref().is_some_and(|body| body.to_string().contains(text))
    }
}

async fn history(node: &TestNode, key: &str) -> History {
    node.verb(["history", key, "--json"]).await.json()
}

#[tokio::test]
async fn of_two_changes_on_both_sides_of_a_cut_the_one_that_lost_is_in_the_history_of_both() {
    let test = "of_two_changes_on_both_sides_of_a_cut_the_one_that_lost_is_in_the_history_of_both";
    if !networks(test) {
        return;
    }
    let mesh = TestMesh::new().await;
    let mut network = Network::new();
    let (here, there) = (network.place(), network.place());
    let nodes = [mesh.node("a").at(&here), mesh.node("b").at(&there)];
    let [a, b] = Up::start_all(nodes).await;
    meet(&[&a, &b], PATIENCE).await;
    let counter = ManifestText::of_example("counter").on("component.counter", "a");
    let counter = counter.on("provider.counts", "a").write(&mesh, "counter.toml").await;
    a.apply(&counter).await.ok();
    let colour = async |node: &TestNode, value: &str| {
        node.verb(["config", "put", "counter/counter", value]).await.ok();
    };
    colour(&a, "colour=white").await;
    const KEY: &str = "config/counter/counter/colour";
    eventually("both know the first value", PATIENCE, async || {
        let known = history(&b, KEY).await;
        holds(known.current.as_ref().is_some_and(|change| change.says("white")), known)
    })
    .await;

    there.unplug();
    eventually("both sides notice", PATIENCE, async || {
        let (one, other) = (a.nodes().await, b.nodes().await);
        let apart = !one.get(b.id()).unwrap().connected && !other.get(a.id()).unwrap().connected;
        holds(apart, (&one, &other))
    })
    .await;
    colour(&a, "colour=blue").await;
    colour(&b, "colour=green").await;
    // Within a side, a change that is replaced by who knew it has not lost.
    colour(&b, "colour=red").await;
    assert_eq!(history(&a, KEY).await.lost, []);
    there.plug();

    eventually("both tell the same history", Duration::from_secs(30), async || {
        let (one, other) = (history(&a, KEY).await, history(&b, KEY).await);
        holds(one == other && one.lost.len() == 1, (&one, &other))
    })
    .await;
    for node in [&a, &b] {
        let History { current, lost } = history(node, KEY).await;
        let current = current.unwrap();
        assert!(current.says("red") && current.writer == b.id(), "{current:?}");
        assert!(lost[0].says("blue") && lost[0].writer == a.id(), "{lost:?}");
        assert!(lost[0].at_millis < current.at_millis && !lost[0].is_delete);
        let shown = node.verb(["history", KEY]).await.ok();
        let line = |id: &str| shown.lines().find(|line| line.contains(id)).unwrap().to_owned();
        assert!(line(b.id()).contains("current"), "{shown}");
        assert!(line(a.id()).contains("lost to one made at the same time"), "{shown}");
    }
}
