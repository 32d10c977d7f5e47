//! A node goes on with another key, and with all that it had.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use wattle_tests::manifest::ManifestText;
use wattle_tests::node::{counts, meet};
use wattle_tests::view::Outbox;
use wattle_tests::wait::{PATIENCE, eventually, holds};
use wattle_tests::{TestMesh, TestNode, Up};

const STOP: Duration = Duration::from_secs(20);

/// Long enough for some hundred messages, each of which waits for a disk several times.
const LONG: Duration = Duration::from_secs(180);

/// Gives a node that is stopped a new key. Gives back its old id and its new one.
async fn rotate(node: &TestNode) -> (String, String) {
    let former = node.id().to_owned();
    let new = node.verb(["rotate-key"]).await.ok().trim().to_owned();
    assert_ne!(new, former);
    (former, new)
}

/// Publishes the lines `first..=last` through a node.
async fn publish(node: &TestNode, first: u32, last: u32) {
    let mut command = node.command(["publish", "notes.lines", "--durable", "--lines"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut process = command.spawn().unwrap();
    let mut stdin = process.stdin.take().unwrap();
    for line in first..=last {
        stdin.write_all(format!("line {line}\n").as_bytes()).await.unwrap();
    }
    drop(stdin);
    assert!(process.wait().await.unwrap().success());
}

/// Waits until the ledger has written down the lines up to `last`: each once, and in order.
async fn has_written(node: &TestNode, last: u32) {
    let lines = eventually(&format!("{last} lines are written down"), LONG, async || {
        let called = node.call("messages/ledger", "entries", "1, 5000").await;
        let text = called.map_err(|failure| failure.error)?;
        let list = text.strip_prefix("ok([").and_then(|rest| rest.strip_suffix("])"));
        let entries = list.unwrap_or_default().split("\", \"");
        let line = |entry: &str| entry.trim_matches('"').rsplit(' ').next()?.parse::<u32>().ok();
        let lines: Vec<u32> = entries.filter_map(line).collect();
        if lines.len() < last as usize { Err(text) } else { Ok(lines) }
    })
    .await;
    assert_eq!(lines, (1..=last).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_its_counts_and_the_messages_under_way_go_on_under_the_next_key() {
    let mesh = TestMesh::new().await;
    let invite = mesh.invite(["--uses", "1"]).await;
    let nodes = [mesh.node("north"), mesh.node("south").invited(&invite.token)];
    let [mut north, mut south] = Up::start_all(nodes).await;
    meet(&[&north, &south], PATIENCE).await;
    let manifest = ManifestText::of_example("messages")
        .on("component.announcer", "north")
        .on("component.ledger", "south")
        .on("provider.book", "south");
    let manifest = manifest.write(&mesh, "messages.toml").await;
    north.apply(&manifest).await.ok();
    north.sees_running("messages/ledger", &[&south]).await;
    publish(&north, 1, 100).await;
    has_written(&south, 100).await;

    // In the middle of what is under way, the one that keeps and counts has another key.
    publish(&north, 101, 200).await;
    assert!(south.stop(STOP).await.success());
    publish(&north, 201, 250).await;
    let (old_south, new_south) = rotate(&south).await;
    south.restart().await;
    assert_eq!(south.id(), new_south);
    meet(&[&north, &south], PATIENCE).await;
    north.sees_running("messages/ledger", &[&south]).await;
    has_written(&south, 250).await;
    let home =
        |apps: &wattle_tests::view::Apps| apps.provider("messages/book").unwrap().home.clone();
    for node in [&north, &south] {
        assert_eq!(home(&node.apps().await), Some(new_south.clone()));
        assert!(node.nodes().await.get(&old_south).is_none());
    }
    // Declared anew, it stays.
    north.apply(&manifest).await.ok();
    has_written(&south, 250).await;

    // The one that publishes has another key while what it took waits.
    assert!(south.stop(STOP).await.success());
    publish(&north, 251, 300).await;
    assert!(north.stop(STOP).await.success());
    let (old_north, new_north) = rotate(&north).await;
    let (_, newest_south) = rotate(&south).await;
    north.restart().await;
    south.restart().await;
    assert_eq!((north.id(), south.id()), (new_north.as_str(), newest_south.as_str()));
    meet(&[&north, &south], PATIENCE).await;
    publish(&north, 301, 350).await;
    has_written(&south, 350).await;
    eventually("nothing waits", PATIENCE, async || {
        let outbox: Outbox = north.verb(["outbox", "--json"]).await.json();
        let waiting: u64 = outbox.groups.iter().map(|group| group.waiting).sum();
        holds(waiting == 0, outbox)
    })
    .await;
    assert!(south.nodes().await.get(&old_north).is_none());
    // What the old keys had declared still counts.
    assert!(south.apps().await.component("messages/ledger").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_old_key_is_refused_and_revoked_takes_nothing_with_it() {
    let mesh = TestMesh::new().await;
    let nodes = ["a", "b"].map(|name| mesh.node(name));
    let [a, mut b] = Up::start_all(nodes).await;
    meet(&[&a, &b], PATIENCE).await;
    let running = b.verb(["rotate-key"]).await.refused();
    assert!(running.contains("another node runs on"), "{running}");
    assert!(b.stop(STOP).await.success());
    // Somebody has the disk as it was.
    let stolen = mesh.folder().join("stolen");
    let copied = Command::new("cp").arg("-r").arg(b.data()).arg(&stolen).status().unwrap();
    assert!(copied.success());
    let (former, new) = rotate(&b).await;
    b.restart().await;
    meet(&[&a, &b], PATIENCE).await;
    let thief = mesh.node("thief").data(stolen).start().await;
    assert_eq!(thief.id(), former);
    counts(&[&thief], "refused_by_peers").await;
    thief.has_logged("the node has another key now").await;
    assert!(a.nodes().await.get(&former).is_none());
    // Revoked for good measure, it takes its successor with it no more than before.
    let key = mesh.key().to_str().unwrap();
    a.verb(["revoke", &former, "--key", key]).await.ok();
    meet(&[&a, &b], PATIENCE).await;
    a.verb(["revoke", &new, "--key", key]).await.ok();
    eventually("it is cut off under its new name too", PATIENCE, async || {
        let nodes = a.nodes().await;
        holds(nodes.get(&new).is_none(), nodes)
    })
    .await;
}
