//! Bodies that are larger than anybody wants to hold, through a node to a component on another.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use wattle_tests::http::{HttpConnection, Pieces, get};
use wattle_tests::manifest::ManifestText;
use wattle_tests::node::meet;
use wattle_tests::wait::{PATIENCE, eventually, holds, within};
use wattle_tests::{TestMesh, TestNode, Up};

const STREAMER: &str = r#"app = "streamer"

[component.streamer]
wasm = "streamer.wasm"

[[http]]
component = "streamer"
"#;

/// No piece may take longer, there and back.
const PIECE: Duration = Duration::from_secs(10);

async fn site() -> (TestMesh, [TestNode; 2]) {
    let mesh = TestMesh::new().await;
    // A node that waited for the end of the drain would be late.
    let compute = mesh.node("compute").args(["--drain", "60"]);
    let [edge, compute] = Up::start_all([mesh.node("edge").http(), compute]).await;
    meet(&[&edge, &compute], PATIENCE).await;
    let streamer = ManifestText::new(STREAMER).on("component.streamer", "compute");
    let streamer = streamer.write(&mesh, "app.toml").await;
    edge.run(&streamer, "streamer/streamer", &compute).await;
    (mesh, [edge, compute])
}

/// Reads exactly `count` bytes.
async fn read(body: &mut Incoming, count: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(count);
    while bytes.len() < count {
        let frame = within("a piece of the body", PIECE, body.frame()).await;
        let frame = frame.expect("the body goes on").expect("the body is whole");
        bytes.extend_from_slice(&frame.into_data().unwrap_or_default());
    }
    assert_eq!(bytes.len(), count, "more came than was sent");
    bytes
}

fn pattern(range: std::ops::Range<usize>) -> Bytes {
    range.map(|at| u8::try_from(at % 251).unwrap()).collect()
}

#[tokio::test]
async fn bodies_pass_two_nodes_piece_by_piece() {
    let (_mesh, [edge, compute]) = site().await;
    let http = edge.http().await;

    // Each piece must be back before the next is sent: nobody on the way waits for the whole.
    const CHUNK: usize = 64 * 1024;
    const TOTAL: usize = 8 * 1024 * 1024;
    let mut connection = HttpConnection::open(http).await;
    let (sender, pieces) = Pieces::new();
    sender.send(pattern(0..CHUNK)).await.unwrap();
    let response = connection.send("POST", "a", "/", pieces).await;
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    assert_eq!(read(&mut body, CHUNK).await, pattern(0..CHUNK));
    for begin in (CHUNK..TOTAL).step_by(CHUNK) {
        let chunk = pattern(begin..begin + CHUNK);
        sender.send(chunk.clone()).await.unwrap();
        assert_eq!(read(&mut body, CHUNK).await, chunk, "at {begin}");
    }
    drop(sender);
    assert!(body.frame().await.is_none());

    // As fast as it goes, out of nothing.
    for count in [0, 1, 3_000_001] {
        let (sender, pieces) = Pieces::new();
        drop(sender);
        let response = connection.send("GET", "a", &format!("/bytes/{count}"), pieces).await;
        assert_eq!(response.headers()["content-length"], count.to_string());
        let bytes = within("the body", PATIENCE, response.into_body().collect()).await;
        let bytes = bytes.unwrap().to_bytes();
        assert_eq!(bytes.len(), count);
        assert!(bytes == pattern(0..count), "some byte of {count} is wrong");
    }
    assert_eq!(connection.get("a", "/bytes/many").await.status, 400);
    idle(&compute).await;
}

#[tokio::test]
async fn who_goes_away_in_the_middle_holds_nothing() {
    let (_mesh, [edge, compute]) = site().await;
    let http = edge.http().await;

    // One who stops reading, one who stops sending, one whose connection is gone.
    let (sender, pieces) = Pieces::new();
    drop(sender);
    let mut reader = HttpConnection::open(http).await;
    let response = reader.send("GET", "a", "/bytes/4000000000", pieces).await;
    let mut body = response.into_body();
    read_some(&mut body).await;
    eventually("it is under way", PATIENCE, async || {
        let nodes = compute.nodes().await;
        holds(nodes.get(compute.id()).unwrap().busy == 1, nodes)
    })
    .await;
    drop((body, reader));
    idle(&compute).await;

    let (sender, pieces) = Pieces::new();
    sender.send(pattern(0..10)).await.unwrap();
    let mut writer = HttpConnection::open(http).await;
    let mut body = writer.send("POST", "a", "/", pieces).await.into_body();
    assert_eq!(read(&mut body, 10).await, pattern(0..10));
    drop((writer, body, sender));
    idle(&compute).await;
    assert_eq!(HttpConnection::open(http).await.get("a", "/bytes/3").await.text, "\0\u{1}\u{2}");
}

#[tokio::test]
async fn a_node_that_stops_finishes_what_others_have_asked_it_first() {
    let (_mesh, [edge, mut compute]) = site().await;
    let (sender, pieces) = Pieces::new();
    sender.send("before ".into()).await.unwrap();
    let mut connection = HttpConnection::open(edge.http().await).await;
    let mut body = connection.send("POST", "a", "/", pieces).await.into_body();
    assert_eq!(read(&mut body, 7).await, b"before ");

    compute.process().terminate();
    eventually("nothing new is sent to it", PATIENCE, async || {
        let answer = get(edge.http().await, "a", "/bytes/1").await;
        holds(answer.error.as_deref() == Some("unreachable"), answer)
    })
    .await;
    sender.send("after".into()).await.unwrap();
    assert_eq!(read(&mut body, 5).await, b"after");
    drop(sender);
    assert!(body.frame().await.is_none());
    let status = compute.end(PATIENCE).await;
    assert_eq!(status.code(), Some(0), "{status}");
}

#[tokio::test]
async fn a_body_whose_node_dies_does_not_look_complete() {
    let (_mesh, [edge, mut compute]) = site().await;
    let (sender, pieces) = Pieces::new();
    drop(sender);
    let mut connection = HttpConnection::open(edge.http().await).await;
    // Its length is not told, so that only its end says whether it is whole.
    let (open, endless) = Pieces::new();
    open.send("before".into()).await.unwrap();
    let mut unknown = HttpConnection::open(edge.http().await).await;
    let mut unknown = unknown.send("POST", "a", "/", endless).await.into_body();
    assert_eq!(read(&mut unknown, 6).await, b"before");
    let mut known = connection.send("GET", "a", "/bytes/4000000000", pieces).await.into_body();
    read_some(&mut known).await;

    compute.kill();
    for body in [known, unknown] {
        let end = within("the end of the body", Duration::from_secs(15), body.collect()).await;
        assert!(end.is_err(), "{} bytes are not the whole", end.unwrap().to_bytes().len());
    }
}

#[tokio::test]
async fn a_slow_reader_slows_the_component_down_and_not_its_neighbours() {
    let (_mesh, [edge, compute]) = site().await;
    let http = edge.http().await;
    let (sender, pieces) = Pieces::new();
    drop(sender);
    let mut slow = HttpConnection::open(http).await;
    let response = slow.send("GET", "a", "/bytes/200000000", pieces).await;
    let mut body = response.into_body();
    read_some(&mut body).await;

    // While that one is not read any more, others are served, and nobody hoards what it would get.
    let mut quick = HttpConnection::open(http).await;
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(quick.get("a", "/bytes/3").await.status, 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    for node in [&edge, &compute] {
        let memory = resident_mib(node);
        assert!(memory < 400, "{} holds {memory} MiB", node.name());
    }
    drop((body, slow));
    idle(&compute).await;
}

async fn read_some(body: &mut Incoming) {
    body.frame().await.unwrap().unwrap();
}

/// Waits until no call is under way on a node, in its own eyes.
async fn idle(node: &TestNode) {
    eventually("nothing is under way", PATIENCE, async || {
        let nodes = node.nodes().await;
        holds(nodes.get(node.id()).unwrap().busy == 0, nodes)
    })
    .await;
}

/// What a node holds in memory (proc(5)).
fn resident_mib(node: &TestNode) -> u64 {
    let status = format!("/proc/{}/status", node.process().id());
    let status = std::fs::read_to_string(status).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() / 1024
}
