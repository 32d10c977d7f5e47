//! A peer with good papers that sends what nobody should: the stream is closed, the node lives.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends so")]
#![allow(clippy::indexing_slicing, reason = "a test ends so")]

mod net_common;

use chitchat::{ChitchatId, Deserializable as _, Serializable as _};
use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use net_common::raw::{self, Raw};
use net_common::*;
use wattle_contracts::control::Control;
use wattle_contracts::fact::Fact;
use wattle_contracts::wire::{self, Frame, FrameEncoder, FrameHead, Side};
use wattle_mesh::net::gossip::{synthetic, text_of};
use wattle_mesh::net::{Mesh, Standing, WallClock};

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

fn news(id: &ChitchatId, value: Option<u64>, latest: Option<u64>) -> Vec<u8> {
    told(id, "load", "x", value, latest)
}

/// News (chitchat 0.11, `delta.rs`) of one node: a value with this version, if there is one, and then what is
/// said to be its latest version.
fn told(
    id: &ChitchatId,
    topic: &str,
    text: &str,
    value: Option<u64>,
    latest: Option<u64>,
) -> Vec<u8> {
    let mut operations = vec![0];
    id.serialize(&mut operations);
    operations.extend_from_slice(&[0; 16]);
    if let Some(version) = value {
        operations.push(1);
        topic.serialize(&mut operations);
        text.serialize(&mut operations);
        version.serialize(&mut operations);
        operations.push(0);
    }
    if let Some(version) = latest {
        operations.push(2);
        version.serialize(&mut operations);
    }
    let mut message = vec![0x53, 0xb0, 0, 2, 2];
    (operations.len() as u16).serialize(&mut message);
    message.extend_from_slice(&operations);
    message.push(0);
    message
}

/// A question that names one node, with this heartbeat and this version.
fn question(world: &World, id: &ChitchatId, heartbeat: u64, version: u64) -> Vec<u8> {
    let mut message = vec![0x53, 0xb0, 0, 0, 1, 0];
    id.serialize(&mut message);
    [heartbeat, 0, version].iter().for_each(|number| number.serialize(&mut message));
    world.mesh().to_string().serialize(&mut message);
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

/// A member with good papers that gossips what it likes.
struct Liar {
    control: libp2p::quic::Stream,
    _calls: libp2p::quic::Stream,
    _raw: Raw,
}

impl Liar {
    async fn at(world: &World, mesh: &Mesh) -> Self {
        let shown = paper(&world.authority, Raw::id(9), WallClock::default().now().0, None);
        let mut raw = Raw::admitted(9, mesh, shown).await;
        let control = raw.open_for(CONTROL).await;
        let calls = raw.open_for(CALLS).await;
        Self { control, _calls: calls, _raw: raw }
    }

    async fn says(&mut self, message: Vec<u8>) {
        raw::say(&mut self.control, &Control::Gossip(message)).await.unwrap();
    }
}

/// Both say something, and the other hears it.
async fn hear_each_other(one: &Mesh, two: &Mesh, version: &str) {
    for (says, hears) in [(two, one), (one, two)] {
        let about = wattle_mesh::net::About { version: version.into(), ..Default::default() };
        says.say_about(about).unwrap();
        until(hears, "gossip goes on", |view| {
            view.node(says.node_id()).is_some_and(|node| node.about.version == version)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn news_that_would_end_gossip_are_left_out_of_what_a_member_says() {
    let world = World::new();
    let (one, two, _) = pair(&world).await;
    let mut liar = Liar::at(&world, &two).await;
    let ids = greeted(&mut liar.control).await;
    for mesh in [&one, &two] {
        let of = ids.iter().find(|id| *id.node_id == *mesh.node_id().to_string()).unwrap();
        for lie in [
            news(of, None, Some(u64::MAX)),
            news(of, Some(u64::MAX), None),
            // chitchat asserts that there is no such thing.
            news(of, Some(1_000_000), Some(500_000)),
        ] {
            liar.says(lie).await;
        }
    }
    // What the member says after that was read after it.
    liar.says(vec![1]).await;
    eventually("all is read", || two.metrics().gossip_refused == 1).await;
    hear_each_other(&one, &two, "2").await;
    assert_eq!((one.metrics().gossip_restarts, two.metrics().gossip_restarts), (0, 0));
}

/// By a heartbeat that it never reaches a node would be taken for dead, and by a version not be listened to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_which_a_member_says_too_much_goes_on_under_another_generation() {
    let world = World::new();
    let (one, two, _) = pair(&world).await;
    let mut liar = Liar::at(&world, &two).await;
    let ids = greeted(&mut liar.control).await;
    let victim = ids.iter().find(|id| *id.node_id == *one.node_id().to_string()).unwrap();
    let lie = question(&world, victim, u64::MAX, 0);
    liar.says(lie).await;
    liar.says(news(victim, Some(1 << 39), None)).await;
    eventually("it has seen that", || one.metrics().gossip_restarts > 0).await;
    hear_each_other(&one, &two, "2").await;
    until_standing(&two, one.node_id(), Standing::Alive).await;
    assert_eq!(two.metrics().gossip_restarts, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_never_let_in_is_no_node_however_a_member_talks_about_it() {
    let world = World::new();
    let (one, two, _) = pair(&world).await;
    let now = WallClock::default().now().0;
    let mut liar = Liar::at(&world, &two).await;
    let invented = Raw::id(77);
    let id = ChitchatId::new(invented.to_string(), now, synthetic(invented));
    let said = wattle_mesh::net::Load { busy: 1, ..Default::default() };
    let fact = Fact::sign(&Raw::key(77), "load", now, &said).unwrap();
    let text = text_of(&fact).unwrap();
    for beat in 1..10 {
        let named = question(&world, &id, beat, 1);
        liar.says(named).await;
        let told = told(&id, "load", &text, Some(beat), None);
        liar.says(told).await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    hear_each_other(&one, &two, "2").await;
    for mesh in [&one, &two] {
        assert!(mesh.view().node(invented).is_none());
    }
}
