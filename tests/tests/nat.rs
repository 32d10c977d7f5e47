//! Nodes behind routers and firewalls that let nothing in: they join through a node that both
//! reach, everything arrives, and where the routers permit it they soon reach each other by
//! themselves. Needs root; without it, these tests say that they were left out.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::{Duration, Instant};

use wattle_tests::manifest::ManifestText;
use wattle_tests::network::{Nat, Network, Place};
use wattle_tests::requirement::networks;
use wattle_tests::wait::{PATIENCE, eventually, holds};
use wattle_tests::{TestMesh, TestNode, Up};

/// A node that everybody reaches, and two others that know its address and nothing else.
struct Site {
    mesh: TestMesh,
    network: Network,
    public: TestNode,
    a: TestNode,
    b: TestNode,
}

impl Site {
    async fn new(mut network: Network, [one, other]: [Place; 2]) -> Self {
        let (mesh, place) = (TestMesh::new().await, network.place());
        let public = mesh.node("public").at(&place).discovery(["--no-mdns"]);
        let join = ["--no-mdns", "--join", &place.join_address()];
        let a = mesh.node("a").at(&one).discovery(join);
        let b = mesh.node("b").at(&other).discovery(join);
        let [public, a, b] = Up::start_all([public, a, b]).await;
        Self { mesh, network, public, a, b }
    }

    /// Two nodes behind routers.
    async fn behind(nat: Nat) -> Self {
        let mut network = Network::new();
        let places = [network.place_behind(nat), network.place_behind(nat)];
        Self::new(network, places).await
    }

    /// Waits until each sees all others, by whatever way, and has heard from them.
    async fn know_each_other(&self) {
        let all = [&self.public, &self.a, &self.b];
        for node in all {
            eventually(&format!("{} sees all", node.name()), PATIENCE, async || {
                let nodes = node.nodes().await;
                let up = |other: &TestNode| {
                    nodes.get(other.id()).is_some_and(|one| {
                        let reached = one.is_self || one.connected || one.via.is_some();
                        one.standing == "alive" && one.labels.contains_key("name") && reached
                    })
                };
                holds(all.iter().all(|other| up(other)), nodes)
            })
            .await;
        }
    }

    /// Puts work on both, each of which needs the other: baskets of `a` ask for prices on `b`;
    /// what is published on `a` is handled on `b`, which writes it down on `a`.
    async fn share_work(&self) {
        let shop = ManifestText::of_example("shop").on("component.pricing", "b");
        let shop = shop.on("component.basket", "a").write(&self.mesh, "shop.toml").await;
        let messages = ManifestText::of_example("messages").on("component.ledger", "b");
        let messages = messages.on("component.announcer", "a").on("provider.book", "a");
        let messages = messages.write(&self.mesh, "messages.toml").await;
        for manifest in [shop, messages] {
            self.a.apply(&manifest).await.ok();
        }
        // Only where it was declared are the bytes of what `b` is to run.
        for node in [&self.a, &self.b] {
            node.sees_running("shop/pricing", &[&self.b]).await;
            node.sees_running("shop/basket", &[&self.a]).await;
            node.sees_running("messages/ledger", &[&self.b]).await;
            node.sees_running("messages/announcer", &[&self.a]).await;
        }
    }

    async fn ask(&self) -> Result<(), String> {
        let answer = self.a.call("shop/basket", "cheapest", r#"["tea"]"#).await;
        answer.map(drop).map_err(|error| format!("{error:?}"))
    }

    /// Calls, messages and records arrive, in both directions. `what` tells one time from another.
    async fn everything_arrives(&self, what: &str) {
        eventually("calls arrive", PATIENCE, async || self.ask().await).await;
        self.a.verb(["publish", "notes.a", what, "--durable"]).await.ok();
        eventually("the message is written down, through both", PATIENCE, async || {
            let entries = self.b.call("messages/ledger", "entries", "1, 100").await;
            let entries = entries.map_err(|error| format!("{error:?}"))?;
            let once = entries.matches(&format!("notes.a {what}")).count() == 1;
            holds(once, entries)
        })
        .await;
        for (from, to) in [(&self.a, &self.b), (&self.b, &self.a)] {
            let value = format!("{}={what}", from.name());
            from.verb(["config", "put", "shop/basket", &value]).await.ok();
            eventually("the record arrives", PATIENCE, async || {
                let config = to.config().await;
                let here = |v: &&wattle_tests::view::Value| v.name == from.name();
                let found = config.values.iter().find(here).map(|v| v.value.clone());
                holds(found.as_deref() == Some(what), config)
            })
            .await;
        }
    }

    /// Waits until `a` and `b` reach each other through `via`.
    async fn go_through(&self, via: Option<&TestNode>) {
        for (node, other) in [(&self.a, &self.b), (&self.b, &self.a)] {
            let wanted = via.map(TestNode::id);
            let what = format!("{} reaches {} through {wanted:?}", node.name(), other.name());
            eventually(&what, 2 * PATIENCE, async || {
                let nodes = node.nodes().await;
                let seen = nodes.get(other.id()).unwrap();
                let is_so = seen.via.as_deref() == wanted && seen.connected == via.is_none();
                holds(is_so && seen.standing == "alive", nodes)
            })
            .await;
        }
    }
}

impl Site {
    /// How often the two have dialled each other at the same moment.
    async fn together(&self) -> u64 {
        self.a.metrics().await.counter("dials_together")
    }

    /// Waits until several attempts to do without the node in between have come to nothing.
    async fn stay_with_the_one_in_between(&self) {
        let before = self.together().await;
        eventually("attempts are made", 2 * PATIENCE, async || {
            let together = self.together().await;
            holds(together >= before + 2, together)
        })
        .await;
        // As long as a handshake may take.
        tokio::time::sleep(Duration::from_secs(6)).await;
        self.go_through(Some(&self.public)).await;
    }
}

#[tokio::test]
async fn behind_nats_that_know_no_friends_everything_goes_through_the_node_that_both_reach() {
    let test = "behind_nats_that_know_no_friends_everything_goes_through_the_node_that_both_reach";
    if !networks(test) {
        return;
    }
    let mut site = Site::behind(Nat::Symmetric).await;
    site.know_each_other().await;
    site.share_work().await;
    site.go_through(Some(&site.public)).await;
    site.everything_arrives("once").await;
    let passed = site.public.metrics().await;
    println!(
        "passed on: {} calls, {} artifacts",
        passed.counter("calls_relayed"),
        passed.counter("artifacts_relayed")
    );
    assert!(passed.counter("calls_relayed") > 0);
    assert_eq!(passed.counter("artifacts_relayed"), 2, "pricing and ledger");
    println!("{}", site.a.verb(["nodes"]).await.ok());
    site.stay_with_the_one_in_between().await;
    site.everything_arrives("still").await;

    // Who leaves is known to have left by the one that it can't tell itself.
    assert!(site.a.stop(PATIENCE).await.success());
    let begun = Instant::now();
    eventually("the goodbye arrives", PATIENCE, async || {
        let nodes = site.b.nodes().await;
        holds(nodes.standing(site.a.id()) == "left", nodes)
    })
    .await;
    println!("known to have left {:?} after it had", begun.elapsed());
}

#[tokio::test]
async fn when_the_node_in_between_dies_another_that_both_reach_takes_its_place() {
    let test = "when_the_node_in_between_dies_another_that_both_reach_takes_its_place";
    if !networks(test) {
        return;
    }
    let mut site = Site::behind(Nat::Symmetric).await;
    site.know_each_other().await;
    site.share_work().await;
    site.everything_arrives("before").await;
    let place = site.network.place();
    let join = site.public.nodes().await.get(site.public.id()).unwrap().addresses.clone();
    let join = join.iter().find(|address| address.contains("10.77.")).unwrap();
    let second = site.mesh.node("second").at(&place);
    let second = second.discovery(["--no-mdns", "--join", join]).start().await;
    // Neither was told of it but by the mesh.
    for node in [&site.a, &site.b] {
        eventually(&format!("{} meets the second", node.name()), PATIENCE, async || {
            let nodes = node.nodes().await;
            holds(nodes.get(second.id()).is_some_and(|one| one.is_up()), nodes)
        })
        .await;
    }
    site.public.kill();
    let begun = Instant::now();
    eventually("calls arrive again", PATIENCE, async || site.ask().await).await;
    println!("calls arrive again {:?} after the kill", begun.elapsed());
    site.go_through(Some(&second)).await;
    site.everything_arrives("after").await;
}

#[tokio::test]
async fn behind_nats_that_keep_their_ports_two_nodes_soon_need_nobody_in_between() {
    let test = "behind_nats_that_keep_their_ports_two_nodes_soon_need_nobody_in_between";
    if !networks(test) {
        return;
    }
    let mut network = Network::new();
    let places = [network.place_behind(Nat::Cone), network.place_behind(Nat::Cone)];
    let mut site = Site::new(network, places.clone()).await;
    site.know_each_other().await;
    let begun = Instant::now();
    site.go_through(None).await;
    println!("direct {:?} after they had met", begun.elapsed());
    assert!(site.together().await > 0);
    site.share_work().await;
    site.everything_arrives("direct").await;
    println!("{}", site.a.verb(["nodes"]).await.ok());

    // The router of one gets another address from its provider.
    site.network.readdress(&places[0]);
    let begun = Instant::now();
    site.everything_arrives("moved").await;
    site.go_through(None).await;
    println!("direct again {:?} after one had moved", begun.elapsed());

    site.public.kill();
    tokio::time::sleep(Duration::from_secs(8)).await;
    site.everything_arrives("alone").await;
    site.go_through(None).await;
}

#[tokio::test]
async fn behind_firewalls_that_let_out_and_not_in_two_nodes_soon_need_nobody_in_between() {
    let test = "behind_firewalls_that_let_out_and_not_in_two_nodes_soon_need_nobody_in_between";
    if !networks(test) {
        return;
    }
    let mut network = Network::new();
    let places = [network.place(), network.place()];
    for place in &places {
        place.wall_in();
    }
    let site = Site::new(network, places).await;
    site.know_each_other().await;
    site.share_work().await;
    site.everything_arrives("once").await;
    site.go_through(None).await;
    site.everything_arrives("direct").await;
}

#[tokio::test]
async fn where_only_one_router_keeps_its_ports_the_other_side_decides() {
    let test = "where_only_one_router_keeps_its_ports_the_other_side_decides";
    if !networks(test) {
        return;
    }
    let mut network = Network::new();
    let walled = network.place();
    walled.wall_in();
    let places = [network.place_behind(Nat::Cone), walled];
    let site = Site::new(network, places).await;
    site.know_each_other().await;
    site.go_through(None).await;

    let mut network = Network::new();
    let places = [network.place_behind(Nat::Cone), network.place_behind(Nat::Symmetric)];
    let site = Site::new(network, places).await;
    site.know_each_other().await;
    site.stay_with_the_one_in_between().await;
}
