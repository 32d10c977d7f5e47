//! How nodes on one machine find each other, without multicast.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::{Duration, Instant};

use wattle_tests::node::meet;
use wattle_tests::wait::{PATIENCE, eventually, holds};
use wattle_tests::{TestMesh, TestNode, Up, ports};

/// Back, or seen, within so long. The issue says ten seconds; here nodes start within it, and each
/// look is a process, on a machine that is busy with other tests.
const SOON: Duration = PATIENCE;

async fn three(mesh: &TestMesh) -> [TestNode; 3] {
    let begun = Instant::now();
    let nodes = Up::start_all(["a", "b", "c"].map(|name| mesh.node(name))).await;
    meet(&nodes.each_ref(), rest(begun)).await;
    nodes
}

/// What is left of [`SOON`].
fn rest(begun: Instant) -> Duration {
    SOON.saturating_sub(begun.elapsed())
}

#[tokio::test]
async fn three_nodes_find_each_other_without_addresses_and_one_that_was_killed_comes_back() {
    let mesh = TestMesh::new().await;
    let [a, mut b, c] = three(&mesh).await;
    let id = b.id().to_owned();
    // Some were found, and some were found by them.
    let seen = a.nodes().await;
    let found_by = |node: &TestNode| seen.get(node.id()).unwrap().found_by.clone();
    for way in [found_by(&b), found_by(&c)] {
        assert!(["host-directory", "knocked", "peer"].contains(&&*way), "{seen:#?}");
    }

    b.kill();
    for other in [&a, &c] {
        eventually("the others notice", PATIENCE, async || {
            let nodes = other.nodes().await;
            holds(!nodes.get(&id).is_some_and(|node| node.connected), nodes)
        })
        .await;
    }
    // Back from nothing but its data folder, under its old name, and not as a fourth node. It
    // carries no labels now.
    let begun = Instant::now();
    b.restart_without_flags().await;
    assert_eq!(b.id(), id);
    let (everybody, here) = ([&a, &b, &c], b.id());
    for node in everybody {
        eventually("all are connected again", rest(begun), async || {
            let nodes = node.nodes().await;
            let up = |other: &&TestNode| {
                let seen = nodes.get(other.id());
                seen.is_some_and(|seen| {
                    let connected = seen.connected || seen.is_self;
                    let heard = seen.labels.is_empty() == (other.id() == here);
                    seen.standing == "alive" && connected && heard
                })
            };
            holds(nodes.nodes.len() == 3 && everybody.iter().all(up), nodes)
        })
        .await;
    }
}

#[tokio::test]
async fn a_node_that_stops_is_seen_to_have_left_at_once() {
    let mesh = TestMesh::new().await;
    let [a, mut b, c] = three(&mesh).await;
    let status = b.stop(PATIENCE).await;
    assert_eq!(status.code(), Some(0), "{status}");
    for other in [&a, &c] {
        eventually("it has left", PATIENCE, async || {
            let nodes = other.nodes().await;
            holds(nodes.standing(b.id()) == "left", nodes)
        })
        .await;
    }
    // It does not come back by hearsay.
    for _ in 0..10 {
        for other in [&a, &c] {
            assert_eq!(other.nodes().await.standing(b.id()), "left");
        }
    }
    b.restart().await;
    meet(&[&a, &b, &c], SOON).await;
}

#[tokio::test]
async fn one_address_to_join_at_is_enough_and_is_not_needed_again() {
    let mesh = TestMesh::new().await;
    let alone = ["--no-mdns", "--host-directory", "off"];
    let first = ports::udp();
    let join = first.to_string();
    let a = mesh.node("a").discovery(alone).listen(first);
    let begun = Instant::now();
    let joining = alone.into_iter().chain(["--join", &join]);
    let b = mesh.node("b").discovery(joining.clone());
    let c = mesh.node("c").discovery(joining);
    let [a, b, mut c] = Up::start_all([a, b, c]).await;
    meet(&[&a, &b, &c], rest(begun)).await;
    assert_eq!(b.nodes().await.get(a.id()).unwrap().found_by, "join");

    // The mesh is remembered: nothing is left of where it was to begin.
    c.kill();
    c.discover(alone);
    let begun = Instant::now();
    c.restart().await;
    meet(&[&a, &b, &c], rest(begun)).await;
}

#[tokio::test]
async fn a_node_can_join_before_there_is_anybody_to_join() {
    let mesh = TestMesh::new().await;
    let alone = ["--no-mdns", "--host-directory", "off"];
    let address = ports::udp();
    let join = address.to_string();
    let early = mesh.node("early").discovery(alone.into_iter().chain(["--join", &join]));
    let early = early.start().await;
    assert_eq!(early.nodes().await.nodes.len(), 1);
    let late = mesh.node("late").discovery(alone).listen(address).start().await;
    meet(&[&early, &late], SOON).await;
}
