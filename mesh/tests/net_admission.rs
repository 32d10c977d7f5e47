//! Who has no good papers gets nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends so")]
#![allow(clippy::indexing_slicing, reason = "a test ends so")]

mod net_common;

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::core::muxing::StreamMuxerExt as _;
use libp2p::core::transport::{ListenerId, Transport as _, TransportEvent};
use libp2p::identity::Keypair;
use libp2p::quic;
use net_common::raw::{Raw, hear, hello, say};
use net_common::*;
use wattle_contracts::id::{MeshId, NodeId};
use wattle_contracts::key::SigningKey;
use wattle_contracts::trust::Paper;
use wattle_contracts::wire::{self, Hello, Knock, Verdict};
use wattle_mesh::net::{Mesh, WallClock};

const DAY: u64 = 24 * 3600 * 1000;

fn now() -> u64 {
    WallClock::default().now().0
}

/// Greets `mesh`, and expects to be refused, for this reason, with nothing else said.
async fn is_refused(mesh: &Mesh, number: u8, hello: &Hello, reason: &str) {
    let refused = mesh.metrics().papers_refused;
    let mut raw = Raw::connect(number, mesh).await;
    let mut door = raw.knock(mesh.mesh_id()).await;
    say(&mut door, hello).await.unwrap();
    is_turned_away(mesh, raw, door, reason).await;
    eventually("it is counted", || mesh.metrics().papers_refused == refused + 1).await;
}

async fn is_turned_away(mesh: &Mesh, mut raw: Raw, mut door: quic::Stream, reason: &str) {
    match hear(&mut door).await.unwrap() {
        Verdict::Refused { reason: given } => assert!(given.contains(reason), "{given}"),
        Verdict::Admitted => panic!("admitted, where expected: {reason}"),
    }
    let mut rest = Vec::new();
    door.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"", "more than the verdict");
    door.close().await.unwrap();
    raw.until_closed().await;
    assert!(mesh.view().node(raw.node).is_none());
    assert_eq!(mesh.metrics().connections_opened, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_papers_are_refused_and_nothing_else_is_exchanged() {
    let world = World::new();
    let mesh = start(world.config(1)).await;
    let rogue = SigningKey::generate().unwrap();
    let id: NodeId = Raw::id(9);
    let ours = world.mesh();

    let foreign = paper(&rogue, id, now(), None);
    is_refused(&mesh, 9, &hello(foreign.clone()), "the paper is for mesh:").await;

    let mut forged: Paper = foreign;
    forged.body.mesh = ours;
    is_refused(&mesh, 9, &hello(forged), "not signed by the authority").await;

    let expired = paper(&world.authority, id, now() - 2 * DAY, Some(now() - DAY));
    is_refused(&mesh, 9, &hello(expired), "ran out").await;

    let somebodys = paper(&world.authority, Raw::id(8), now(), None);
    is_refused(&mesh, 9, &hello(somebodys), "its bearer is").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_know_the_mesh_is_told_nothing_of_it_and_who_knows_it_is_told_what_is_wrong() {
    let world = World::new();
    let mesh = start(world.config(1)).await;
    let elsewhere = MeshId::from_bytes(Raw::key(70).public());
    let (me, door, ours) = (Raw::id(9), mesh.node_id(), world.mesh());
    let good = Knock::new(ours, me, door);
    let strangers = [
        wire::encode(&Knock::new(elsewhere, me, door)).unwrap(),
        // Overheard of another node, and of this one at another door.
        wire::encode(&Knock::new(ours, Raw::id(8), door)).unwrap(),
        wire::encode(&Knock::new(ours, me, Raw::id(8))).unwrap(),
        // Another version, and a good paper instead of a knock.
        wire::encode(&Knock { version: 99, ..Knock::new(elsewhere, me, door) }).unwrap(),
        wire::encode(&hello(paper(&world.authority, me, now(), None))).unwrap(),
        vec![0xff; 100],
    ];
    let count = strangers.len() as u64;
    for said in strangers {
        let mut raw = Raw::connect(9, &mesh).await;
        let mut stream = raw.open().await;
        let length = (said.len() as u32).to_le_bytes();
        stream.write_all(&[length.as_slice(), &said].concat()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let only = Verdict::Refused { reason: "this node is of another mesh".into() };
        assert_eq!(wire::decode::<Verdict>(&answer[4..]).unwrap(), only);
    }
    eventually("all are counted", || mesh.metrics().papers_refused == count).await;

    let mut raw = Raw::connect(9, &mesh).await;
    let mut stream = raw.open().await;
    say(&mut stream, &Knock { version: 99, ..good }).await.unwrap();
    is_turned_away(&mesh, raw, stream, "version 99").await;
}

/// Somebody answers in a node's place, at its address or before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dialler_shows_nothing_to_who_has_not_shown_that_it_knows_the_mesh() {
    let keypair = Keypair::ed25519_from_bytes([9; 32]).unwrap();
    let mut transport = quic::tokio::Transport::new(quic::Config::new(&keypair));
    let anywhere = "/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap();
    transport.listen_on(ListenerId::next(), anywhere).unwrap();
    let TransportEvent::NewAddress { listen_addr, .. } =
        poll_fn(|cx| Pin::new(&mut transport).poll(cx)).await
    else {
        panic!("it does not listen");
    };
    let world = World::new();
    let mut config = world.config(1);
    config.join = vec![listen_addr.to_string().parse().unwrap()];
    let dialler = start(config).await;
    let upgrade = loop {
        let event = poll_fn(|cx| Pin::new(&mut transport).poll(cx)).await;
        if let TransportEvent::Incoming { upgrade, .. } = event {
            break upgrade;
        }
    };
    let (_, mut connection) = upgrade.await.unwrap();
    let mut stream = poll_fn(|cx| connection.poll_inbound_unpin(cx)).await.unwrap();
    let knock: Knock = hear(&mut stream).await.unwrap();
    assert!(knock.is_of(world.mesh(), dialler.node_id(), Raw::id(9)));
    // It can say yes, and can't knock.
    say(&mut stream, &Verdict::Admitted).await.unwrap();
    let elsewhere = MeshId::from_bytes(Raw::key(70).public());
    say(&mut stream, &Knock::new(elsewhere, Raw::id(9), dialler.node_id())).await.unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert_eq!(rest, b"", "more than the knock");
    eventually("it has refused", || dialler.metrics().papers_refused > 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rubbish_and_silence_at_the_door_end_soon() {
    let world = World::new();
    let mut config = world.config(1);
    config.timing.admission = Duration::from_millis(300);
    let mesh = start(config).await;

    let mut rubbish = Raw::connect(9, &mesh).await;
    let mut door = rubbish.open().await;
    door.write_all(&[0xff; 1000]).await.unwrap();
    assert!(matches!(hear(&mut door).await.unwrap(), Verdict::Refused { .. }));
    drop(door);
    rubbish.until_closed().await;

    let mut silent = Raw::connect(8, &mesh).await;
    let ended = tokio::time::timeout(Duration::from_secs(5), silent.until_closed()).await;
    ended.expect("the silent one is still there");
    assert_eq!(mesh.metrics().papers_refused, 1);
    assert_eq!(mesh.metrics().admissions_failed, 1);
    assert_eq!(mesh.view().nodes.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn good_papers_are_enough() {
    let world = World::new();
    let mesh = start(world.config(1)).await;
    let paper = paper(&world.authority, Raw::id(9), now(), None);
    let raw = Raw::admitted(9, &mesh, paper).await;
    eventually("it is a connection", || mesh.metrics().connections_opened == 1).await;
    drop(raw);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_two_meshes_stay_apart_and_both_know_why() {
    let (world, elsewhere) = (World::new(), World::new());
    let one = start(world.config(1)).await;
    let two = start(elsewhere.joining(2, &one)).await;
    eventually("both have counted it", || {
        one.metrics().papers_refused > 0 && two.metrics().refused_by_peers > 0
    })
    .await;
    assert_eq!(one.view().nodes.len(), 1);
    assert_eq!(two.view().nodes.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dialler_is_as_strict_as_a_listener() {
    let world = World::new();
    let mut config = world.config(1);
    config.paper = paper(&world.authority, config.node(), now(), Some(now() + DAY));
    let one = start(config).await;
    // By this one's clock, the other's paper has run out.
    let mut config = world.joining(2, &one);
    config.clock = WallClock { ahead_millis: 2 * DAY as i64 };
    let two = start(config).await;
    eventually("both have counted it", || {
        two.metrics().papers_refused > 0 && one.metrics().refused_by_peers > 0
    })
    .await;
    assert_eq!(one.view().nodes.len(), 1);
    assert_eq!(one.metrics().connections_opened, 0);
}
