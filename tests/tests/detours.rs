//! Networks that are broken in part: calls go around what is cut, and what can't arrive is told.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::{Duration, Instant};

use wattle_tests::http::HttpConnection;
use wattle_tests::manifest::ManifestText;
use wattle_tests::network::{Network, Place};
use wattle_tests::node::meet;
use wattle_tests::requirement::networks;
use wattle_tests::wait::{PATIENCE, eventually, holds};
use wattle_tests::wire::{Wire, Wires};
use wattle_tests::{TestMesh, TestNode, Up};

/// Three machines on one network: the basket runs on the first, its prices are on the second.
async fn three_machines(mesh: &TestMesh, network: &mut Network) -> ([TestNode; 3], [Place; 3]) {
    let places = [network.place(), network.place(), network.place()];
    let [a, b, c] = ["a", "b", "c"].map(|name| mesh.node(name));
    let nodes = [a.at(&places[0]), b.at(&places[1]), c.at(&places[2])];
    let nodes = Up::start_all(nodes).await;
    meet(&[&nodes[0], &nodes[1], &nodes[2]], PATIENCE).await;
    let shop = ManifestText::of_example("shop").on("component.pricing", "b");
    let shop = shop.on("component.basket", "a").write(mesh, "shop.toml").await;
    nodes[0].apply(&shop).await.ok();
    nodes[0].sees_running("shop/pricing", &[&nodes[1]]).await;
    nodes[0].sees_running("shop/basket", &[&nodes[0]]).await;
    (nodes, places)
}

async fn ask(a: &TestNode) -> Result<(), String> {
    let answer = a.call("shop/basket", "cheapest", r#"["tea"]"#).await;
    answer.map(drop).map_err(|error| format!("{error:?}"))
}

/// Waits until, in the eyes of `node`, calls to `other` go through `via`.
async fn goes_through(node: &TestNode, other: &TestNode, via: Option<&TestNode>) {
    let wanted = via.map(TestNode::id);
    let what = format!("{} reaches {} through {wanted:?}", node.name(), other.name());
    eventually(&what, PATIENCE, async || {
        let nodes = node.nodes().await;
        let seen = nodes.get(other.id()).unwrap();
        let is_so = seen.via.as_deref() == wanted && (wanted.is_some() || seen.connected);
        holds(is_so && seen.standing == "alive", nodes)
    })
    .await;
}

#[tokio::test]
async fn calls_go_around_a_cut_between_two_of_three_and_straight_again_after() {
    let test = "calls_go_around_a_cut_between_two_of_three_and_straight_again_after";
    if !networks(test) {
        return;
    }
    let mesh = TestMesh::new().await;
    let mut network = Network::new();
    let ([a, b, c], places) = three_machines(&mesh, &mut network).await;
    ask(&a).await.unwrap();
    let detoured = async || a.metrics().await.counter("calls_detoured");
    assert_eq!(detoured().await, 0);

    network.cut_between(&places[0], &places[1]);
    let begun = Instant::now();
    eventually("calls arrive again", PATIENCE, async || {
        ask(&a).await?;
        holds(detoured().await > 0, "but not around")
    })
    .await;
    println!("around the cut after {:?}", begun.elapsed());
    goes_through(&a, &b, Some(&c)).await;
    goes_through(&b, &a, Some(&c)).await;
    for _ in 0..20 {
        ask(&a).await.unwrap();
    }
    assert!(c.metrics().await.counter("calls_relayed") >= 20);
    // Who sees what, in the words of each; nothing was moved for it.
    eventually("all is told", PATIENCE, async || {
        let nodes = a.nodes().await;
        let sees = |from: &TestNode, to: &TestNode| {
            nodes.get(from.id()).and_then(|node| node.sees.get(to.id())).cloned()
        };
        let relayed = [sees(&a, &b), sees(&b, &a)].iter().all(|s| s.as_deref() == Some("relayed"));
        let direct = [sees(&c, &a), sees(&c, &b)].iter().all(|s| s.as_deref() == Some("direct"));
        let differs = nodes.differs.iter().any(|differ| {
            (differ.by.as_str(), differ.of.as_str()) == (c.id(), b.id())
                && (differ.here.as_str(), differ.there.as_str()) == ("relayed", "direct")
        });
        holds(relayed && direct && differs, nodes)
    })
    .await;
    let said = a.verb(["nodes"]).await.ok();
    assert!(said.contains("alive (via ") && said.contains("who reaches whom:"), "{said}");
    println!("{said}");
    a.sees_running("shop/pricing", &[&b]).await;

    network.heal();
    let begun = Instant::now();
    goes_through(&a, &b, None).await;
    goes_through(&b, &a, None).await;
    println!("straight again after {:?}", begun.elapsed());
    let before = detoured().await;
    for _ in 0..5 {
        ask(&a).await.unwrap();
    }
    assert_eq!(detoured().await, before);
}

#[tokio::test]
async fn a_one_way_cut_is_told_for_what_it_is_and_gone_around() {
    let test = "a_one_way_cut_is_told_for_what_it_is_and_gone_around";
    if !networks(test) {
        return;
    }
    let mesh = TestMesh::new().await;
    let mut network = Network::new();
    let ([a, b, c], places) = three_machines(&mesh, &mut network).await;
    network.cut_one_way(&places[1], &places[0]);
    eventually("calls arrive again", PATIENCE, async || ask(&a).await).await;
    goes_through(&a, &b, Some(&c)).await;
    goes_through(&b, &a, Some(&c)).await;
    // The one that is not heard hears the other knock, and tells.
    eventually("it is known as a one-way cut", 2 * PATIENCE, async || {
        let (here, there) = (b.nodes().await, a.nodes().await);
        let known = here.get(a.id()).is_some_and(|node| node.one_way);
        let told = there.get(b.id()).and_then(|node| node.sees.get(a.id()).cloned());
        holds(known && told.as_deref() == Some("one-way"), (here, there))
    })
    .await;
    assert!(!a.nodes().await.get(b.id()).unwrap().one_way);
    network.heal();
    goes_through(&a, &b, None).await;
    ask(&a).await.unwrap();
}

#[tokio::test]
async fn a_node_told_to_leave_finishes_and_is_known_to_have_left() {
    let mesh = TestMesh::new().await;
    let [mut a, b] = Up::start_all([mesh.node("a"), mesh.node("b")]).await;
    meet(&[&a, &b], PATIENCE).await;
    let said = a.verb(["leave"]).await.ok();
    assert_eq!(said.trim(), format!("{} has left", a.id()));
    assert!(a.end(PATIENCE).await.success());
    eventually("it is known to have left", PATIENCE, async || {
        let nodes = b.nodes().await;
        holds(nodes.standing(a.id()) == "left", nodes)
    })
    .await;
    assert!(a.verb(["leave"]).await.refused().contains("no node answers"));
    a.restart().await;
    meet(&[&a, &b], PATIENCE).await;
}

/// Each request has so long.
const DEADLINE: Duration = Duration::from_secs(3);

/// For so long packets get lost.
const STORM: Duration = Duration::from_secs(60);

/// In the middle of which none arrives for longer than a connection lives.
const CALM: Duration = Duration::from_secs(8);

/// How requests during the storm ended.
#[derive(Debug, Default)]
struct Tally {
    sent: u64,
    counted: Vec<u64>,
    failed: Vec<String>,
    /// How many of those may have run nevertheless.
    in_doubt: u64,
    slowest: Duration,
}

async fn count_on(http: std::net::SocketAddr, until: Instant) -> Tally {
    let mut tally = Tally::default();
    let mut connection = HttpConnection::open(http).await;
    while Instant::now() < until {
        let begun = Instant::now();
        let answer = connection.get("localhost", "/").await;
        tally.sent += 1;
        tally.slowest = tally.slowest.max(begun.elapsed());
        match answer.error {
            None => tally.counted.push(answer.number()),
            Some(kind) => {
                let in_doubt = kind == "deadline" || answer.text.contains("may have run");
                tally.in_doubt += u64::from(in_doubt);
                tally.failed.push(kind);
                // Who is refused at once comes again in a moment.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    tally
}

#[tokio::test]
async fn with_a_third_of_all_packets_lost_every_call_ends_in_time_and_none_runs_twice() {
    let (mesh, network) = (TestMesh::new().await, Wires::default());
    let (edge_wire, far_wire) = (network.string().await, network.string().await);
    let timeout = DEADLINE.as_secs().to_string();
    let edge = mesh.node("edge").behind(&edge_wire).http().args(["--http-timeout", &timeout]);
    let far = mesh.node("far").behind(&far_wire);
    let [edge, far] = Up::start_all([edge, far]).await;
    meet(&[&edge, &far], PATIENCE).await;
    let app = ManifestText::of_example("counter").on("component.counter", "far");
    let app = app.on("provider.counts", "far").write(&mesh, "counter.toml").await;
    edge.run(&app, "counter/counter", &far).await;
    let http = edge.http().await;

    network.lose(300);
    let until = Instant::now() + STORM;
    let clients = (0..8).map(|_| tokio::spawn(count_on(http, until)));
    let clients: Vec<_> = clients.collect();
    tokio::time::sleep((STORM - CALM) / 2).await;
    network.cut_off(&far_wire);
    tokio::time::sleep(CALM).await;
    network.reconnect(&far_wire);
    let mut all = Tally::default();
    for client in clients {
        let one = client.await.unwrap();
        all.sent += one.sent;
        all.counted.extend(one.counted);
        all.failed.extend(one.failed);
        all.in_doubt += one.in_doubt;
        all.slowest = all.slowest.max(one.slowest);
    }
    network.heal();
    // The last one counts itself, too.
    let last = eventually("requests are answered again", PATIENCE, async || {
        let answer = HttpConnection::open(http).await.get("localhost", "/").await;
        all.sent += 1;
        match &answer.error {
            None => Ok(answer.number()),
            Some(kind) => {
                all.in_doubt += 1;
                Err(kind.clone())
            }
        }
    })
    .await;
    let answered = all.counted.len() as u64 + 1;
    let kinds = |kind: &str| all.failed.iter().filter(|failed| *failed == kind).count();
    println!(
        "{} sent: {answered} answered, {} deadline, {} unreachable, {} overloaded, {} of them may \
         have run; the slowest took {:?}; the callee counted {last}",
        all.sent,
        kinds("deadline"),
        kinds("unreachable"),
        kinds("overloaded"),
        all.in_doubt,
        all.slowest
    );
    assert!(answered > 10, "the storm lets something through");
    assert!(!all.failed.is_empty(), "the cut in the middle lets nothing through");
    // Generous: the machine is busy.
    assert!(all.slowest < DEADLINE + Duration::from_secs(15), "{:?}", all.slowest);
    let typed = ["deadline", "unreachable", "overloaded"];
    assert!(all.failed.iter().all(|kind| typed.contains(&kind.as_str())), "{:?}", all.failed);
    // Each answer is another number, and what was counted beyond them are calls whose answers got
    // lost.
    all.counted.sort_unstable();
    let distinct = all.counted.windows(2).all(|pair| pair[0] < pair[1]);
    assert!(distinct, "two calls were one");
    let most = answered + all.in_doubt;
    assert!((answered..=most).contains(&last), "{last} runs of at most {most} calls");
}

/// Three nodes, each behind a wire of its own; the second and the third carry `desk=yes`.
async fn caller_and_two_desks(mesh: &TestMesh, network: &Wires) -> ([Wire; 3], [TestNode; 3]) {
    let wires = [network.string().await, network.string().await, network.string().await];
    let [a, b, c] = ["a", "b", "c"].map(|name| mesh.node(name));
    let a = a.behind(&wires[0]);
    let (b, c) =
        (b.behind(&wires[1]).label("desk", "yes"), c.behind(&wires[2]).label("desk", "yes"));
    let nodes = Up::start_all([a, b, c]).await;
    let [a, b, c] = &nodes;
    meet(&[a, b, c], PATIENCE).await;
    (wires, nodes)
}

#[tokio::test]
async fn what_a_link_marks_idempotent_is_asked_elsewhere_when_no_answer_comes() {
    let (mesh, network) = (TestMesh::new().await, Wires::default());
    let (wires, [a, b, c]) = caller_and_two_desks(&mesh, &network).await;
    let shop = |text: ManifestText| {
        let text = text.on("component.basket", "a");
        text.with("replicas = 1", "replicas = 2\non = { desk = \"yes\" }")
    };
    let again = "to = \"pricing\"\nidempotent = [\"price\"]\nhedge = \"100ms\"";
    let plain = shop(ManifestText::of_example("shop").named("plain"));
    let marked = shop(ManifestText::of_example("shop")).with("to = \"pricing\"", again);
    for (text, file) in [(plain, "plain.toml"), (marked, "shop.toml")] {
        a.apply(&text.write(&mesh, file).await).await.ok();
    }
    for app in ["plain", "shop"] {
        a.sees_running(&format!("{app}/pricing"), &[&b, &c]).await;
        a.sees_running(&format!("{app}/basket"), &[&a]).await;
    }
    let links = a.links().await.links;
    let link = links.iter().find(|link| link.from == "shop/basket").unwrap();
    assert_eq!(
        (link.options.idempotent.as_slice(), link.options.hedge_millis),
        (["price".into()].as_slice(), Some(100))
    );

    // Each call asks for a price eight times. The node that answered most of them vanishes.
    let items = format!("[{}]", ["\"tea\""; 8].join(","));
    let ask = async |app: &str| a.call(&format!("{app}/basket"), "cheapest", &items).await;
    ask("plain").await.unwrap();
    ask("shop").await.unwrap();
    let answered = async |node: &TestNode| node.metrics().await.counter("calls_in{outcome=\"ok\"}");
    let preferred = if answered(&b).await > answered(&c).await { 1 } else { 2 };
    network.cut_off(&wires[preferred]);
    ask("shop").await.unwrap();
    ask("shop").await.unwrap();
    let metrics = a.metrics().await;
    let (hedged, retried) = (metrics.counter("calls_hedged"), metrics.counter("calls_retried"));
    println!("hedged {hedged}, retried {retried}");
    assert!(hedged + retried > 0);
}

#[tokio::test]
async fn an_idempotent_call_does_not_wait_for_the_connection_to_a_silent_node_to_end() {
    let (mesh, network) = (TestMesh::new().await, Wires::default());
    let (wires, [a, b, c]) = caller_and_two_desks(&mesh, &network).await;
    let shop = ManifestText::of_example("shop")
        .on("component.basket", "a")
        .with("replicas = 1", "replicas = 2\non = { desk = \"yes\" }")
        .with("to = \"pricing\"", "to = \"pricing\"\nidempotent = [\"price\"]");
    a.apply(&shop.write(&mesh, "shop.toml").await).await.ok();
    a.sees_running("shop/pricing", &[&b, &c]).await;
    a.sees_running("shop/basket", &[&a]).await;
    // Each asks both nodes, sooner or later; one of them is gone.
    let items = format!("[{}]", ["\"tea\""; 8].join(","));
    let ask = async || a.call("shop/basket", "cheapest", &items).await;
    ask().await.unwrap();
    network.cut_off(&wires[1]);
    ask().await.unwrap();
    network.heal();
    meet(&[&a, &b, &c], PATIENCE).await;
    network.cut_off(&wires[2]);
    ask().await.unwrap();
    let metrics = a.metrics().await;
    let (joined, retried) = (metrics.counter("calls_hedged"), metrics.counter("calls_retried"));
    println!(
        "joined by an attempt elsewhere: {joined}; made again when the connection ended: {retried}"
    );
    assert!(joined > 0);
}
