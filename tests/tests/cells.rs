//! Two cells of three machines each, joined by one link. Needs root; without it, these tests say
//! that they were left out.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::path::Path;
use std::time::Duration;

use wattle_tests::manifest::ManifestText;
use wattle_tests::network::{Network, Place};
use wattle_tests::node::counts;
use wattle_tests::requirement::networks;
use wattle_tests::view::{Link, Node, Nodes};
use wattle_tests::wait::{PATIENCE, eventually, holds};
use wattle_tests::{TestMesh, TestNode, Up};

/// For so long the idle link is watched.
const WATCH: Duration = Duration::from_secs(30);

/// What the idle link may carry, in bytes per second, as the issue says.
const IDLE: u64 = 2_000;

struct Cells {
    mesh: TestMesh,
    network: Network,
    /// Three in the north, three in the south.
    nodes: Vec<TestNode>,
    places: Vec<Place>,
}

impl Cells {
    async fn start() -> Self {
        let mesh = TestMesh::new().await;
        let mut network = Network::new();
        network.lay_link();
        let mut places: Vec<Place> = (0..3).map(|_| network.place()).collect();
        places.extend((0..3).map(|_| network.place_behind_link()));
        let join = |at: usize| places[at].join_address();
        let up = |name: &str, cell: &str, at: usize, door: Option<usize>| {
            let node = mesh.node(name).at(&places[at]).label("cell", cell).http();
            match door {
                Some(door) => node.discovery(["--no-mdns", "--join", &join(door)]),
                None => node.discovery(["--no-mdns"]),
            }
        };
        let nodes = [
            up("n1", "north", 0, None),
            up("n2", "north", 1, Some(0)),
            up("n3", "north", 2, Some(0)),
            // One of them knows one of the other cell.
            up("s1", "south", 3, Some(0)),
            up("s2", "south", 4, Some(3)),
            up("s3", "south", 5, Some(3)),
        ];
        let nodes: Vec<TestNode> = Up::start_all(nodes).await.into();
        let cells = Self { mesh, network, nodes, places };
        for node in &cells.nodes {
            cells.sees_all(node).await;
        }
        cells
    }

    async fn sees_all(&self, node: &TestNode) {
        eventually(&format!("{} knows all six", node.name()), PATIENCE, async || {
            let nodes = node.nodes().await;
            let up = |other: &&Node| other.standing == "alive" && other.labels.contains_key("name");
            holds(nodes.nodes.iter().filter(up).count() == 6, nodes)
        })
        .await;
    }

    fn node(&self, name: &str) -> &TestNode {
        self.nodes.iter().find(|node| node.name() == name).unwrap()
    }

    /// Waits until all that crosses the link are the connections of two ambassadors on each side.
    async fn settle(&self) {
        for node in &self.nodes {
            eventually(&format!("{} keeps what it should", node.name()), PATIENCE, async || {
                let nodes = node.nodes().await;
                let me = nodes.get(node.id()).unwrap();
                let far = |other: &&Node| other.cell != me.cell && other.connected;
                let links = nodes.nodes.iter().filter(far).count();
                holds(links == usize::from(me.ambassador), nodes)
            })
            .await;
        }
    }

    async fn ambassadors(&self, seen_by: &TestNode) -> Vec<String> {
        let Nodes { nodes, .. } = seen_by.nodes().await;
        let named = |node: Node| node.labels.get("name").cloned();
        nodes.into_iter().filter(|node| node.ambassador).filter_map(named).collect()
    }

    /// What the gateway of a node answers, asked where it runs.
    async fn get(&self, name: &str) -> String {
        let node = self.node(name);
        let http = node.http().await;
        let at = self.nodes.iter().position(|other| other.name() == name).unwrap();
        let mut shell = self.places[at].command(Path::new("bash"));
        let ask = "printf 'GET / HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3; cat <&3";
        shell.args(["-c", &format!("exec 3<>/dev/tcp/127.0.0.1/{}; {ask}", http.port())]);
        let said = tokio::process::Command::from(shell).output().await.unwrap();
        String::from_utf8_lossy(&said.stdout).into_owned()
    }

    /// The number that the counter answers through a node, once it does.
    async fn counts(&self, name: &str) -> u64 {
        eventually("the counter answers", PATIENCE, async || {
            let said = self.get(name).await;
            let number = said.lines().last().and_then(|line| line.trim().parse::<u64>().ok());
            number.filter(|_| said.contains(" 200 ")).ok_or(said)
        })
        .await
    }
}

fn written(links: Vec<Link>) -> Vec<Link> {
    links.into_iter().map(|link| Link { served_by: Vec::new(), ..link }).collect()
}

#[tokio::test]
async fn two_cells_share_what_is_declared_and_call_each_other_over_a_link_that_is_idle_otherwise() {
    let test =
        "two_cells_share_what_is_declared_and_call_each_other_over_a_link_that_is_idle_otherwise";
    if !networks(test) {
        return;
    }
    let mut cells = Cells::start().await;
    cells.settle().await;
    println!("{}", cells.node("n1").verb(["nodes"]).await.ok());

    // Nothing but what keeps the two together.
    let before = cells.network.link_bytes();
    tokio::time::sleep(WATCH).await;
    let rate = (cells.network.link_bytes() - before) / WATCH.as_secs();
    println!("the idle link carries {rate} bytes per second, all in all");
    assert!(rate <= IDLE, "{rate} bytes per second");

    // A component in one cell, its store in the other, the route in any.
    let app = ManifestText::of_example("counter");
    let app = app.on("component.counter", "n3").on("provider.counts", "s3");
    let app = app.write(&cells.mesh, "counter.toml").await;
    cells.node("n2").apply(&app).await.ok();
    let n3 = cells.node("n3");
    for node in &cells.nodes {
        node.sees_running("counter/counter", &[n3]).await;
    }
    let mut last = 0;
    for name in ["n1", "s2", "n3", "s1"] {
        let count = cells.counts(name).await;
        assert!(count > last, "{count} after {last}");
        last = count;
    }
    // And a component there, with its code from here.
    let shop = ManifestText::of_example("shop");
    let shop = shop.on("component.basket", "n3").on("component.pricing", "s3");
    let shop = shop.write(&cells.mesh, "shop.toml").await;
    cells.node("n3").apply(&shop).await.ok();
    n3.sees_running("shop/pricing", &[cells.node("s3")]).await;
    n3.call("shop/basket", "cheapest", r#"["tea"]"#).await.unwrap();

    // An ambassador of the north dies. (Of two, one is not the one that serves here.)
    let ambassadors = cells.ambassadors(cells.node("n3")).await;
    println!("ambassadors: {ambassadors:?}");
    let dies = ["n1", "n2"].into_iter().find(|name| ambassadors.contains(&(*name).into())).unwrap();
    let stays = if dies == "n1" { "n2" } else { "n1" };
    let at = cells.nodes.iter().position(|node| node.name() == dies).unwrap();
    let dead = cells.nodes.remove(at);
    cells.places.remove(at);
    let id = dead.id().to_owned();
    let mut dead = dead;
    dead.kill();
    for _ in 0..20 {
        cells.node("n3").call("shop/basket", "cheapest", r#"["tea"]"#).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    cells
        .node(stays)
        .verb([
            "link",
            "put",
            "shop/basket",
            "example:shop/pricing",
            "shop/pricing",
            "--name",
            "one",
        ])
        .await
        .ok();
    eventually("it is on the far side", PATIENCE, async || {
        let links = cells.node("s2").links().await.links;
        holds(links.iter().any(|link| link.name == "one"), links)
    })
    .await;
    eventually("both that are left are ambassadors", PATIENCE, async || {
        let nodes = cells.node("s1").nodes().await;
        let is_so =
            |name: &str| nodes.get(cells.node(name).id()).is_some_and(|node| node.ambassador);
        let is_gone = nodes.get(&id).is_none_or(|node| node.standing != "alive");
        holds(is_so("n3") && is_so(stays) && is_gone, nodes)
    })
    .await;
    for name in [stays, "n3"] {
        counts(&[cells.node(name)], "ambassador_terms").await;
    }

    // A cut: both sides go on, and know.
    cells.network.unplug_link();
    let (n3, s3) = (cells.node("n3"), cells.node("s3"));
    eventually("the other cell is not reached", PATIENCE, async || {
        let (here, there) = (n3.nodes().await, s3.nodes().await);
        let cut =
            here.standing(s3.id()) == "unreachable" && there.standing(n3.id()) == "unreachable";
        holds(cut, (here, there))
    })
    .await;
    for (node, name) in [(n3, "north"), (s3, "south")] {
        let link =
            ["link", "put", "shop/basket", "example:shop/pricing", "shop/pricing", "--name", name];
        node.verb(link).await.ok();
    }
    cells.network.plug_link();
    eventually("all are equal", PATIENCE, async || {
        let mut seen = Vec::new();
        for node in &cells.nodes {
            seen.push(written(node.links().await.links));
        }
        let has = |name: &str| seen[0].iter().any(|link| link.name == name);
        holds(has("north") && has("south") && seen.iter().all(|links| *links == seen[0]), &seen)
    })
    .await;
    eventually("calls cross again", PATIENCE, async || {
        let asked = n3.call("shop/basket", "cheapest", r#"["tea"]"#).await;
        asked.map(drop).map_err(|error| format!("{error:?}"))
    })
    .await;
    println!("{}", n3.verb(["nodes"]).await.ok());
}

#[tokio::test]
async fn calls_go_through_the_ambassadors_where_nobody_else_may_use_the_link() {
    let test = "calls_go_through_the_ambassadors_where_nobody_else_may_use_the_link";
    if !networks(test) {
        return;
    }
    let cells = Cells::start().await;
    cells.settle().await;
    let ambassadors = cells.ambassadors(cells.node("n1")).await;
    let plain = |of: [&'static str; 3]| {
        of.into_iter().find(|name| !ambassadors.contains(&(*name).into())).unwrap()
    };
    let (north, south) = (plain(["n1", "n2", "n3"]), plain(["s1", "s2", "s3"]));
    for name in [north, south] {
        let at = cells.nodes.iter().position(|node| node.name() == name).unwrap();
        cells.network.keep_from_link(&cells.places[at]);
    }
    let app = ManifestText::of_example("counter");
    // A store needs no code of its own there.
    let app = app.on("component.counter", north).on("provider.counts", south);
    let app = app.write(&cells.mesh, "counter.toml").await;
    cells.node(north).apply(&app).await.ok();
    let mut last = 0;
    for _ in 0..20 {
        let count = cells.counts(north).await;
        assert!(count > last, "{count} after {last}");
        last = count;
    }
    let nodes = cells.node(north).nodes().await;
    let far = nodes.get(cells.node(south).id()).unwrap();
    assert!(!far.connected && far.via.is_some(), "{far:#?}");
    let detoured = cells.node(north).metrics().await.counter("calls_detoured");
    let mut relayed = 0;
    for node in &cells.nodes {
        relayed += node.metrics().await.counter("calls_relayed");
    }
    println!("{detoured} calls through ambassadors, passed on {relayed} times");
    assert!(detoured >= 20 && relayed >= 2 * 20);
}
