//! The main job: a component on one node, its store on another, HTTP on a third.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use wattle_tests::http::{HttpConnection, get, served};
use wattle_tests::manifest::ManifestText;
use wattle_tests::node::meet;
use wattle_tests::paths::has_guest;
use wattle_tests::requirement::left_out;
use wattle_tests::wait::{PATIENCE, eventually, holds};
use wattle_tests::wire::{Wire, Wires};
use wattle_tests::{TestMesh, TestNode, Up};

/// Three nodes, any of which can be cut off.
struct Site {
    edge: TestNode,
    compute: TestNode,
    store: TestNode,
    compute_wire: Wire,
    _wires: [Wire; 2],
    network: Wires,
    mesh: TestMesh,
}

impl Site {
    async fn new() -> Self {
        let (mesh, network) = (TestMesh::new().await, Wires::default());
        let wires = [network.string().await, network.string().await, network.string().await];
        let [edge_wire, compute_wire, store_wire] = wires;
        let edge = mesh.node("edge").behind(&edge_wire).http();
        let compute = mesh.node("compute").behind(&compute_wire);
        let store = mesh.node("store").behind(&store_wire);
        let [edge, compute, store] = Up::start_all([edge, compute, store]).await;
        meet(&[&edge, &compute, &store], PATIENCE).await;
        let _wires = [edge_wire, store_wire];
        Self { edge, compute, store, compute_wire, _wires, network, mesh }
    }

    /// Declares one of the examples, whose requests are those for `host`.
    async fn apply(&self, example: &str, host: &str) {
        let manifest = ManifestText::of_example(example)
            .on("component.counter", "compute")
            .on("provider.counts", "store")
            .at_host(host);
        let manifest = manifest.write(&self.mesh, &format!("{example}.toml")).await;
        self.edge.apply(&manifest).await.ok();
        self.edge.sees_running(&format!("{example}/counter"), &[&self.compute]).await;
        let apps = self.edge.apps().await;
        let home = apps.provider(&format!("{example}/counts")).unwrap().home.as_deref();
        assert_eq!(home, Some(self.store.id()));
    }
}

/// Sends `count` requests over eight connections at once.
async fn numbers(http: SocketAddr, host: &'static str, count: u32) -> Vec<u64> {
    let sent = Arc::new(AtomicU32::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let sent = Arc::clone(&sent);
        clients.spawn(async move {
            let mut connection = HttpConnection::open(http).await;
            let mut numbers = Vec::new();
            while sent.fetch_add(1, Ordering::Relaxed) < count {
                numbers.push(connection.get(host, "/").await.number());
            }
            numbers
        });
    }
    clients.join_all().await.into_iter().flatten().collect()
}

fn assert_counted(mut numbers: Vec<u64>, to: u64) {
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(1..=to), "none twice, none lost: {numbers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_requests_count_to_a_hundred_and_a_killed_store_goes_on_where_it_was() {
    let mut site = Site::new().await;
    site.apply("counter", "rust.example").await;
    let http = site.edge.http().await;
    assert_counted(numbers(http, "rust.example", 100).await, 100);

    site.store.kill();
    let begun = Instant::now();
    let answer = get(http, "rust.example", "/").await;
    let took = begun.elapsed();
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert!(answer.text.contains("counter/counts"), "who is missing is named: {answer:?}");
    site.store.restart().await;
    assert_eq!(served(http, "rust.example", "/").await.number(), 101);
    assert_eq!(get(http, "rust.example", "/peek").await.number(), 101);

    // An app that is taken back leaves what it stored, and finds it again.
    site.store.verb(["rm", "counter"]).await.ok();
    eventually("it is not served any more", PATIENCE, async || {
        let answer = get(http, "rust.example", "/").await;
        holds(answer.error.as_deref() == Some("not-linked"), answer)
    })
    .await;
    site.apply("counter", "rust.example").await;
    assert_eq!(get(http, "rust.example", "/").await.number(), 102);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_in_another_language_counts_the_same() {
    if !has_guest("counter_c") {
        left_out("a_component_in_another_language_counts_the_same", "its guest was not built");
        return;
    }
    let site = Site::new().await;
    site.apply("counter", "rust.example").await;
    site.apply("counter-c", "c.example").await;
    let http = site.edge.http().await;
    assert_counted(numbers(http, "c.example", 100).await, 100);
    // Its own store: the two apps do not know each other.
    assert_eq!(get(http, "rust.example", "/").await.number(), 1);
    assert_eq!(get(http, "c.example", "/peek").await.number(), 100);

    // What no route names is not found, and says so by its kind.
    let answer = get(http, "other.example", "/").await;
    assert_eq!((answer.status, answer.error.as_deref()), (404, Some("not-linked")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mesh_that_was_killed_as_a_whole_comes_back_with_its_apps_and_what_they_stored() {
    let mut site = Site::new().await;
    site.apply("counter", "rust.example").await;
    assert_counted(numbers(site.edge.http().await, "rust.example", 20).await, 20);
    for node in [&mut site.edge, &mut site.compute, &mut site.store] {
        node.kill();
    }
    for node in [&mut site.store, &mut site.compute, &mut site.edge] {
        node.restart().await;
    }
    let http = site.edge.http().await;
    assert_eq!(served(http, "rust.example", "/").await.number(), 21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_is_told_in_time_and_after_it_the_count_goes_on() {
    let site = Site::new().await;
    site.apply("counter", "rust.example").await;
    let http = site.edge.http().await;
    assert_counted(numbers(http, "rust.example", 8).await, 8);

    site.network.cut_off(&site.compute_wire);
    let mut kinds = BTreeSet::new();
    for _ in 0..3 {
        let begun = Instant::now();
        let answer = get(http, "rust.example", "/").await;
        let took = begun.elapsed();
        // The gateway alone would tell it after 30 seconds.
        assert!(took < Duration::from_secs(20), "{took:?}: {answer:?}");
        assert_eq!(answer.status, 503, "{answer:?}");
        kinds.insert(answer.error);
    }
    assert!(kinds.into_iter().eq([Some("unreachable".to_owned())]));

    site.network.heal();
    assert_eq!(served(http, "rust.example", "/").await.number(), 9);
    meet(&[&site.edge, &site.compute, &site.store], PATIENCE).await;
}
