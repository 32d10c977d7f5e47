//! Messages by subject: kept through cuts and crashes, refused where they can't be kept.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use wattle_tests::manifest::ManifestText;
use wattle_tests::node::meet;
use wattle_tests::view::{Outbox, Parked};
use wattle_tests::wait::{PATIENCE, eventually, holds};
use wattle_tests::wire::{Wire, Wires};
use wattle_tests::{TestMesh, TestNode, Up};

/// Long enough for a thousand messages, each of which waits for a disk several times.
const LONG: Duration = Duration::from_secs(180);

/// A publisher's node and a subscriber's, which can be cut off from each other.
struct Site {
    north: TestNode,
    south: TestNode,
    south_wire: Wire,
    _north_wire: Wire,
    network: Wires,
    _mesh: TestMesh,
}

impl Site {
    /// `flags` are those of the publisher's node.
    async fn new(flags: &[&str]) -> Self {
        let (mesh, network) = (TestMesh::new().await, Wires::default());
        let [north_wire, south_wire] = [network.string().await, network.string().await];
        let north = mesh.node("north").behind(&north_wire).args(flags.iter().copied());
        let south = mesh.node("south").behind(&south_wire);
        let [north, south] = Up::start_all([north, south]).await;
        meet(&[&north, &south], PATIENCE).await;
        let manifest = ManifestText::of_example("messages")
            .on("component.announcer", "north")
            .on("component.ledger", "south")
            .on("provider.book", "south");
        let manifest = manifest.write(&mesh, "messages.toml").await;
        north.apply(&manifest).await.ok();
        north.sees_running("messages/ledger", &[&south]).await;
        north.sees_running("messages/announcer", &[&north]).await;
        south.sees_running("messages/ledger", &[&south]).await;
        Self { north, south, south_wire, _north_wire: north_wire, network, _mesh: mesh }
    }

    /// What the ledger has written down, as sequence, subject and text.
    async fn entries(&self) -> Result<Vec<(String, String, String)>, String> {
        let called = self.south.call("messages/ledger", "entries", "1, 5000").await;
        let text = called.map_err(|failure| failure.error)?;
        let list = text.strip_prefix("ok([").and_then(|rest| rest.strip_suffix("])"));
        let list = list.unwrap_or_else(|| panic!("no list: {text}"));
        let entries = list.split("\", \"").map(|entry| entry.trim_matches('"'));
        let entry = |entry: &str| {
            let mut parts = entry.splitn(3, ' ').map(str::to_owned);
            Some((parts.next()?, parts.next()?, parts.next()?))
        };
        Ok(entries.filter_map(entry).collect())
    }

    /// Waits until the ledger has so many entries.
    async fn written(&self, count: usize, within: Duration) -> Vec<(String, String, String)> {
        eventually(&format!("{count} messages are written down"), within, async || {
            let entries = self.entries().await?;
            if entries.len() < count {
                return Err(format!("{} entries", entries.len()));
            }
            Ok(entries)
        })
        .await
    }

    async fn texts(&self, count: usize) -> Vec<String> {
        let entries = self.written(count, PATIENCE).await;
        entries.into_iter().map(|(_, _, text)| text).collect()
    }

    async fn outbox(&self) -> Outbox {
        self.north.verb(["outbox", "--json"]).await.json()
    }

    async fn waiting(&self) -> u64 {
        self.outbox().await.groups.iter().map(|group| group.waiting).sum()
    }

    async fn publish(&self, text: &str) {
        self.north.verb(["publish", "notes.a", text, "--durable"]).await.ok();
    }
}

/// Publishes the lines `first..=last` one after the other, until the node is gone or `stop` of
/// them are acknowledged. Returns the sequences of those.
async fn publish_lines(node: &mut TestNode, first: u32, last: u32, stop: u32) -> Vec<u64> {
    let mut command = node.command(["publish", "notes.lines", "--durable", "--lines"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = command.spawn().unwrap();
    let mut stdin = process.stdin.take().unwrap();
    tokio::spawn(async move {
        for line in first..=last {
            if stdin.write_all(format!("line {line}\n").as_bytes()).await.is_err() {
                return;
            }
        }
    });
    let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut sequences = Vec::new();
    while let Some(line) = said.next_line().await.unwrap() {
        let (publisher, sequence) = line.split_once('/').unwrap();
        assert_eq!(publisher, node.id());
        sequences.push(sequence.parse().unwrap());
        if sequences.len() == stop as usize {
            node.kill();
        }
    }
    let _ = process.wait().await;
    sequences
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_messages_of_a_cut_and_a_killed_publisher_arrive_once_and_in_order() {
    let mut site = Site::new(&[]).await;
    site.network.cut_off(&site.south_wire);

    let mut acknowledged = publish_lines(&mut site.north, 1, 1000, 400).await;
    assert!(acknowledged.len() >= 400, "{}", acknowledged.len());
    site.north.restart().await;
    // The one that was under way when the node was killed may be kept or not; it was promised to
    // nobody, and the publisher finds out which.
    let kept = site.waiting().await;
    let known = acknowledged.len() as u64;
    assert!(kept == known || kept == known + 1, "{kept} are kept of {known}");
    let rest = publish_lines(&mut site.north, kept as u32 + 1, 1000, u32::MAX).await;
    assert_eq!(rest.len() as u64, 1000 - kept);
    acknowledged.extend(rest);

    let outbox = site.outbox().await;
    assert_eq!(outbox.groups.len(), 1, "{outbox:#?}");
    let group = &outbox.groups[0];
    assert_eq!((group.group.as_str(), group.waiting), ("messages/messages", 1000));
    assert!(group.bytes > 1000 && group.oldest_millis.is_some(), "{outbox:#?}");
    assert_eq!(site.south.verb(["outbox", "--json"]).await.json::<Outbox>().groups.len(), 0);

    site.network.heal();
    let entries = site.written(1000, LONG).await;
    let texts: Vec<&str> = entries.iter().map(|(_, _, text)| text.as_str()).collect();
    let expected: Vec<String> = (1..=1000).map(|line| format!("line {line}")).collect();
    assert_eq!(texts, expected, "each once, and in order");
    let sequences: Vec<u64> = entries.iter().map(|entry| entry.0.parse().unwrap()).collect();
    assert!(sequences.windows(2).all(|pair| pair[0] < pair[1]));
    for sequence in &acknowledged {
        assert!(sequences.contains(sequence), "{sequence} was acknowledged, and is not there");
    }
    eventually("nothing waits any more", PATIENCE, async || {
        let outbox = site.outbox().await;
        holds(outbox.groups.iter().all(|group| group.waiting == 0), outbox)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_subscriber_gets_what_it_missed_and_knows_what_it_had() {
    let mut site = Site::new(&[]).await;
    let texts: Vec<String> = (1..=300).map(|line| format!("line {line}")).collect();
    let acknowledged = publish_lines(&mut site.north, 1, 150, u32::MAX).await;
    assert_eq!(acknowledged.len(), 150);
    site.written(20, LONG).await;
    site.south.kill();
    let acknowledged = publish_lines(&mut site.north, 151, 300, u32::MAX).await;
    assert_eq!(acknowledged.len(), 150);
    site.south.restart().await;

    eventually("all is written down", LONG, async || {
        let entries = site.entries().await?;
        // What was being handled at the moment of the crash may be there twice; by its sequence
        // it is known.
        let once: BTreeMap<u64, String> = entries
            .iter()
            .map(|(sequence, _, text)| (sequence.parse().unwrap(), text.clone()))
            .collect();
        let twice = entries.len() - once.len();
        let seen = (entries.len(), site.outbox().await);
        holds(once.into_values().eq(texts.iter().cloned()), seen)?;
        assert!(twice <= 1, "{twice} messages were handled twice, of one subject");
        Ok(())
    })
    .await;
    eventually("nothing waits any more", PATIENCE, async || {
        let waiting = site.waiting().await;
        holds(waiting == 0, waiting)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_ends_what_it_handles_and_begins_nothing_more() {
    let mut site = Site::new(&[]).await;
    let rest: Vec<String> = (2..=20).map(|line| format!("line {line}")).collect();
    // Nothing arrives before all is published, or the first would have ended by then.
    site.network.cut_off(&site.south_wire);
    site.publish("slow 1").await;
    for text in &rest {
        site.publish(text).await;
    }
    site.network.heal();
    let begun = site.written(1, LONG).await;
    assert!(begun.iter().map(|(_, _, text)| text.as_str()).eq(["begun 1"]), "{begun:?}");
    assert!(site.south.stop(PATIENCE).await.success());

    // It starts with nobody to bring it anything: what is there now, it has handled before it went.
    site.network.cut_off(&site.south_wire);
    site.south.restart().await;
    let texts = site.texts(2).await;
    assert_eq!(texts, ["begun 1", "slow 1"], "the handler that was under way has ended");

    site.network.heal();
    let expected: Vec<String> = texts.into_iter().chain(rest).collect();
    assert_eq!(site.texts(expected.len()).await, expected, "each once, and in order");
    eventually("nothing waits any more", PATIENCE, async || {
        let waiting = site.waiting().await;
        holds(waiting == 0, waiting)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_outbox_and_bad_messages_are_refused_with_the_reason() {
    let site = Site::new(&["--outbox-messages", "3"]).await;
    let record = async |subject: &str, text: &str| {
        let arguments = format!("\"{subject}\", \"{text}\"");
        site.north.call("messages/announcer", "keep", &arguments).await.unwrap()
    };
    // Through the contract: typed.
    for (subject, expected) in [
        ("notes.*", "err(\"bad-subject:"),
        ("notes..x", "err(\"bad-subject:"),
        ("", "err(\"bad-subject:"),
        ("other.x", "err(\"not-allowed:"),
    ] {
        let said = record(subject, "x").await;
        assert!(said.starts_with(expected), "{subject}: {said}");
    }
    // And by the command line.
    let publish = async |subject: &str, more: &str| {
        site.north.verb(["publish", subject, "--durable", more]).await
    };
    let said = publish("notes.>", "x").await.refused_in_one_line();
    assert!(said.contains("only in patterns"), "{said}");
    let large = site._mesh.write("large", vec![b'x'; 600 * 1024]);
    let said = publish("notes.a", &format!("--file={}", large.display())).await;
    let said = said.refused_in_one_line();
    assert!(said.contains("614400") && said.contains("524288"), "{said}");

    site.network.cut_off(&site.south_wire);
    for text in ["one", "two", "three"] {
        assert!(record("notes.a", text).await.starts_with("ok("));
    }
    let said = record("notes.a", "four").await;
    assert!(said.starts_with("err(\"full:") && said.contains("messages/messages"), "{said}");
    let said = publish("notes.a", "five").await.refused_in_one_line();
    assert!(said.contains("overloaded: the outbox of this node is full: 3 messages"), "{said}");
    // What nobody subscribes to takes no room.
    publish("else.where", "six").await.ok();
    let metrics = site.north.metrics().await;
    assert_eq!(metrics.counter("messages_refused_full"), 2);

    site.network.heal();
    assert_eq!(site.texts(3).await, ["one", "two", "three"]);
    eventually("there is room again", PATIENCE, async || {
        let said = record("notes.b", "seven").await;
        holds(said.starts_with("ok("), said)
    })
    .await;
    assert_eq!(site.texts(4).await[3], "seven");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_refused_comes_again_and_is_parked_in_the_end() {
    let site = Site::new(&["--outbox-tries", "4"]).await;
    for text in ["refuse-twice first", "second", "refuse always", "third"] {
        site.publish(text).await;
    }
    assert_eq!(site.texts(3).await, ["refuse-twice first", "second", "third"], "in order");
    let parked = async || site.north.verb(["outbox", "parked", "--json"]).await.json::<Parked>();
    let messages = eventually("it is parked", PATIENCE, async || {
        let messages = parked().await.messages;
        holds(messages.len() == 1, &messages).map(|()| messages)
    })
    .await;
    assert_eq!(
        (messages[0].group.as_str(), messages[0].subject.as_str()),
        ("messages/messages", "notes.a")
    );
    assert!(messages[0].why.contains("told to: refuse always"), "{messages:?}");
    assert_eq!(site.outbox().await.groups[0].parked, 1);

    let said = site.north.verb(["outbox", "retry", "messages"]).await.ok();
    assert_eq!(said, "1 of messages/messages tried again\n");
    eventually("it is parked again", PATIENCE, async || {
        let again = parked().await.messages;
        let new = again.iter().any(|message| message.sequence > messages[0].sequence);
        holds(new && again.len() == 1, again)
    })
    .await;
    let said = site.north.verb(["outbox", "drop", "messages/messages"]).await.ok();
    assert_eq!(said, "1 of messages/messages dropped\n");
    assert_eq!(site.outbox().await.groups[0].parked, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_message_reaches_who_is_there_and_nobody_later() {
    let site = Site::new(&[]).await;
    let announce = async |text: &str| {
        let arguments = format!("\"notes.live\", \"{text}\"");
        site.north.call("messages/announcer", "announce", &arguments).await.unwrap()
    };
    assert_eq!(announce("one").await, "ok");
    let entries = site.written(1, PATIENCE).await;
    assert_eq!(entries, [("-".into(), "notes.live".into(), "one".into())]);

    site.network.cut_off(&site.south_wire);
    eventually("the cut is noticed", PATIENCE, async || {
        let nodes = site.north.nodes().await;
        let south = nodes.get(site.south.id()).is_some_and(|node| node.connected);
        holds(!south, nodes)
    })
    .await;
    assert_eq!(announce("lost").await, "ok");
    site.network.heal();
    meet(&[&site.north, &site.south], PATIENCE).await;
    site.publish("kept").await;
    assert_eq!(site.texts(2).await, ["one", "kept"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_can_not_handle_messages_can_not_be_subscribed() {
    let mesh = TestMesh::new().await;
    let node = mesh.node("a").start().await;
    let manifest = ManifestText::of_example("messages")
        .with("component = \"ledger\"", "component = \"announcer\"")
        .write(&mesh, "messages.toml")
        .await;
    let said = node.apply(&manifest).await.refused();
    assert!(said.contains("messages.toml:5:8: component `announcer`: it is subscribed"), "{said}");
    assert!(said.contains("does not export `wattle:messaging/incoming-handler`"), "{said}");
}
