//! Nodes on machines of their own: network namespaces on one bridge. Needs root; without it, these
//! tests say that they were left out.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::{Duration, Instant};

use wattle_tests::manifest::ManifestText;
use wattle_tests::network::Network;
use wattle_tests::node::meet;
use wattle_tests::requirement::networks;
use wattle_tests::view::Nodes;
use wattle_tests::wait::{PATIENCE, eventually, holds};
use wattle_tests::{TestMesh, TestNode, Up};

/// Both see both within so long. The issue says ten seconds; here nodes start within it, and each
/// look is a process, on a machine that is busy with other tests.
const SOON: Duration = PATIENCE;

/// What is left of it.
fn rest(begun: Instant) -> Duration {
    SOON.saturating_sub(begun.elapsed())
}

#[tokio::test]
async fn two_machines_on_one_network_find_each_other_by_multicast() {
    if !networks("two_machines_on_one_network_find_each_other_by_multicast") {
        return;
    }
    let mesh = TestMesh::new().await;
    let mut network = Network::new();
    let (here, there) = (network.place(), network.place());
    here.watch();
    there.watch();
    let nodes = [mesh.node("a").at(&here), mesh.node("b").at(&there)];
    let begun = Instant::now();
    let [a, mut b] = Up::start_all(nodes).await;
    meet(&[&a, &b], rest(begun)).await;
    let by_multicast = async |one: &TestNode, other: &TestNode| {
        one.nodes().await.get(other.id()).unwrap().found_by == "mdns"
    };
    assert!(by_multicast(&a, &b).await || by_multicast(&b, &a).await);

    let id = b.id().to_owned();
    b.kill();
    let begun = Instant::now();
    b.restart_without_flags().await;
    assert_eq!(b.id(), id);
    eventually("it is back", rest(begun), async || {
        let (here, there) = (a.nodes().await, b.nodes().await);
        let up = |nodes: &Nodes, id: &str| {
            nodes.nodes.len() == 2
                && nodes.get(id).is_some_and(|node| node.connected && node.standing == "alive")
        };
        holds(up(&here, &id) && up(&there, a.id()), (&here, &there))
    })
    .await;
    // Nobody was phoned but the neighbours.
    assert_eq!((here.strange_packets(), there.strange_packets()), (0, 0));
}

#[tokio::test]
async fn without_multicast_an_address_to_join_at_does_the_same() {
    if !networks("without_multicast_an_address_to_join_at_does_the_same") {
        return;
    }
    let mesh = TestMesh::new().await;
    let mut network = Network::new();
    let (here, there) = (network.place(), network.place());
    here.watch();
    there.watch();
    let a = mesh.node("a").at(&here).discovery(["--no-mdns"]);
    let b = mesh.node("b").at(&there).discovery(["--no-mdns", "--join", &here.join_address()]);
    let begun = Instant::now();
    let [mut a, mut b] = Up::start_all([a, b]).await;
    meet(&[&a, &b], rest(begun)).await;

    // And it is not needed a second time, nor when the power was out for all.
    b.discover(["--no-mdns"]);
    for all in [false, true] {
        b.kill();
        if all {
            a.kill();
        }
        let begun = Instant::now();
        if all {
            a.restart().await;
        }
        b.restart().await;
        meet(&[&a, &b], rest(begun)).await;
    }
    assert_eq!((here.strange_packets(), there.strange_packets()), (0, 0));
}

#[tokio::test]
async fn calls_survive_a_pulled_cable_and_a_machine_that_is_heard_by_nobody() {
    let test = "calls_survive_a_pulled_cable_and_a_machine_that_is_heard_by_nobody";
    if !networks(test) {
        return;
    }
    let mesh = TestMesh::new().await;
    let mut network = Network::new();
    let (here, there) = (network.place(), network.place());
    let nodes = [mesh.node("a").at(&here), mesh.node("b").at(&there)];
    let [a, b] = Up::start_all(nodes).await;
    meet(&[&a, &b], SOON).await;
    let shop = ManifestText::of_example("shop").on("component.pricing", "b");
    let shop = shop.on("component.basket", "a").write(&mesh, "shop.toml").await;
    a.apply(&shop).await.ok();
    a.sees_running("shop/pricing", &[&b]).await;
    a.sees_running("shop/basket", &[&a]).await;
    let ask = async || a.call("shop/basket", "cheapest", r#"["tea"]"#).await;
    ask().await.unwrap();

    for cut in ["pulled", "mute"] {
        match cut {
            "pulled" => there.unplug(),
            _ => there.mute(),
        }
        // The first may still wait for an answer; each ends as what it is.
        eventually("callers are told", PATIENCE, async || match ask().await {
            Err(error) if error.kind == "unreachable" => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        // The node that is cut off knows it too: nothing comes back to it.
        eventually("both sides notice", PATIENCE, async || {
            let nodes = b.nodes().await;
            holds(!nodes.get(a.id()).is_some_and(|node| node.connected), nodes)
        })
        .await;
        match cut {
            "pulled" => there.plug(),
            _ => there.unmute(),
        }
        eventually("calls arrive again", PATIENCE, async || {
            ask().await.map_err(|error| format!("{error:?}"))
        })
        .await;
        meet(&[&a, &b], PATIENCE).await;
    }
}
