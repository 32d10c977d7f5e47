//! A peer with good papers that sends what nobody should: the stream is closed, the node lives.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends so")]
#![allow(clippy::indexing_slicing, reason = "a test ends so")]

mod net_common;

use chitchat::{ChitchatId, Deserializable as _, Serializable as _};
use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use net_common::raw::{self, Raw};
use net_common::*;
use wattle_contracts::control::Control;
use wattle_contracts::wire::{self, Frame, FrameEncoder, FrameHead, Side};
use wattle_mesh::net::{Mesh, WallClock};

const CALLS: &str = "/wattle/call/1";
const CONTROL: &str = "/wattle/control/1";

/// Sends `bytes` on a stream, and expects that stream to be closed and counted, and the node to
/// go on.
async fn is_closed(world: &World, protocol: &str, bytes: &[u8], then_close: bool) {
    let (one, two, _) = pair(world).await;
    let paper = paper(&world.authority, Raw::id(9), WallClock::default().now().0, None);
    let mut raw = Raw::admitted(9, &two, paper).await;
    let mut stream = raw.open_for(protocol).await;
    stream.write_all(bytes).await.unwrap();
    if then_close {
        stream.close().await.unwrap();
    }
    let closed = async {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    };
    tokio::time::timeout(PATIENCE, closed).await.expect("the stream is still open");
    eventually("it is counted", || two.metrics().malformed_streams == 1).await;
    lives(&one, &two).await;
}

async fn lives(one: &Mesh, two: &Mesh) {
    let reply = one.call(two.node_id(), header("echo"), "x".into(), None).await.unwrap();
    assert_eq!(reply.payload, "x");
}

fn frame(head: FrameHead) -> Vec<u8> {
    let mut bytes = Vec::new();
    FrameEncoder::default().encode(Frame::bare(head), &mut bytes).unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_is_too_long() {
    is_closed(&World::new(), CALLS, &u32::MAX.to_le_bytes(), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_nobody_knows() {
    let unknown = [8, 0, 0, 0, 6, 0, 99, 1, 1, 1, 1, 1];
    is_closed(&World::new(), CALLS, &unknown, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_is_cut_short() {
    let whole = frame(FrameHead::Cancel { call: 1 });
    is_closed(&World::new(), CALLS, &whole[..whole.len() - 1], true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_no_honest_peer_sends() {
    let data = frame(FrameHead::Data { call: 7, from: Side::Caller, last: false });
    is_closed(&World::new(), CALLS, &data, false).await;
    let answer = frame(FrameHead::Reply { call: 7, streams: false });
    is_closed(&World::new(), CALLS, &answer, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_messages_that_are_too_long_or_unknown_or_cut_short() {
    is_closed(&World::new(), CONTROL, &u32::MAX.to_le_bytes(), false).await;
    is_closed(&World::new(), CONTROL, &[2, 0, 0, 0, 99, 99], false).await;
    is_closed(&World::new(), CONTROL, &[200, 0, 0, 0, 1], true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rubbish_instead_of_gossip_is_counted_and_gossip_goes_on() {
    let world = World::new();
    let (one, two, _) = pair(&world).await;
    let paper = paper(&world.authority, Raw::id(9), WallClock::default().now().0, None);
    let mut raw = Raw::admitted(9, &two, paper).await;
    let mut control = raw.open_for(CONTROL).await;
    for rubbish in [vec![], vec![1, 2, 3], vec![0x53, 0xb0, 0, 0, 255, 255, 0], vec![0; 60_000]] {
        let message = wire::encode(&Control::Gossip(rubbish)).unwrap();
        control.write_all(&(message.len() as u32).to_le_bytes()).await.unwrap();
        control.write_all(&message).await.unwrap();
    }
    eventually("all are counted", || two.metrics().gossip_refused == 4).await;
    assert_eq!(two.metrics().gossip_restarts, 0);
    let about = wattle_mesh::net::About { version: "1.2.3".into(), ..Default::default() };
    two.say_about(about).unwrap();
    until(&one, "gossip goes on", |view| {
        view.node(two.node_id()).is_some_and(|node| node.about.version == "1.2.3")
    })
    .await;
}

/// A delta (chitchat 0.11, `delta.rs`) that gives a node a value, and then a lower version than
/// that of the value: chitchat asserts that there is no such thing.
fn poisonous(id: &ChitchatId) -> Vec<u8> {
    let mut operations = vec![0];
    id.serialize(&mut operations);
    operations.extend_from_slice(&[0; 16]);
    operations.push(1);
    "load".serialize(&mut operations);
    "x".serialize(&mut operations);
    1_000_000u64.serialize(&mut operations);
    operations.push(0);
    operations.push(2);
    500_000u64.serialize(&mut operations);
    let mut message = vec![0x53, 0xb0, 0, 2, 2];
    (operations.len() as u16).serialize(&mut message);
    message.extend_from_slice(&operations);
    message.push(0);
    message
}

/// The ids in the first greeting that arrives.
async fn greeted(control: &mut libp2p::quic::Stream) -> Vec<ChitchatId> {
    loop {
        let Control::Gossip(message) = raw::hear(control).await.unwrap() else { continue };
        let [_, _, _, 0 | 1, digest @ ..] = message.as_slice() else { continue };
        let mut digest = digest;
        let count = u16::deserialize(&mut digest).unwrap();
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(ChitchatId::deserialize(&mut digest).unwrap());
            digest = &digest[24..];
        }
        if ids.len() > 1 {
            return ids;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gossip_survives_a_message_that_makes_it_panic() {
    let world = World::new();
    let (one, two, _) = pair(&world).await;
    let paper = paper(&world.authority, Raw::id(9), WallClock::default().now().0, None);
    let mut raw = Raw::admitted(9, &two, paper).await;
    let mut control = raw.open_for(CONTROL).await;
    let _calls = raw.open_for(CALLS).await;
    let ids = greeted(&mut control).await;
    let victim = ids.iter().find(|id| *id.node_id == *one.node_id().to_string()).unwrap();
    raw::say(&mut control, &Control::Gossip(poisonous(victim))).await.unwrap();
    eventually("gossip is started anew", || two.metrics().gossip_restarts == 1).await;
    // Both are heard again.
    for (says, hears) in [(&two, &one), (&one, &two)] {
        let about = wattle_mesh::net::About { version: "2".into(), ..Default::default() };
        says.say_about(about).unwrap();
        until(hears, "gossip goes on", |view| {
            view.node(says.node_id()).is_some_and(|node| node.about.version == "2")
        })
        .await;
    }
}
