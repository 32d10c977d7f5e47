//! Who has no good papers gets nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends so")]
#![allow(clippy::indexing_slicing, reason = "a test ends so")]

mod net_common;

use std::time::Duration;

use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use net_common::raw::{Raw, hear, hello, say};
use net_common::*;
use wattle_contracts::id::NodeId;
use wattle_contracts::key::SigningKey;
use wattle_contracts::trust::Paper;
use wattle_contracts::wire::{Hello, Verdict};
use wattle_mesh::net::{Mesh, WallClock};

const DAY: u64 = 24 * 3600 * 1000;

fn now() -> u64 {
    WallClock::default().now().0
}

/// Greets `mesh`, and expects to be refused, for this reason, with nothing else said.
async fn is_refused(mesh: &Mesh, number: u8, hello: &Hello, reason: &str) {
    let refused = mesh.metrics().papers_refused;
    let mut raw = Raw::connect(number, mesh).await;
    let mut door = raw.open().await;
    say(&mut door, hello).await.unwrap();
    match hear(&mut door).await.unwrap() {
        Verdict::Refused { reason: given } => assert!(given.contains(reason), "{given}"),
        Verdict::Admitted => panic!("admitted, where expected: {reason}"),
    }
    let mut rest = Vec::new();
    door.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"", "more than the verdict");
    door.close().await.unwrap();
    raw.until_closed().await;
    assert_eq!(mesh.metrics().papers_refused, refused + 1);
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
    is_refused(&mesh, 9, &hello(foreign.body.mesh, foreign.clone()), "belongs to mesh:").await;
    is_refused(&mesh, 9, &hello(ours, foreign.clone()), "the paper is for mesh:").await;

    let mut forged: Paper = foreign;
    forged.body.mesh = ours;
    is_refused(&mesh, 9, &hello(ours, forged), "not signed by the authority").await;

    let expired = paper(&world.authority, id, now() - 2 * DAY, Some(now() - DAY));
    is_refused(&mesh, 9, &hello(ours, expired), "ran out").await;

    let somebodys = paper(&world.authority, Raw::id(8), now(), None);
    is_refused(&mesh, 9, &hello(ours, somebodys), "its bearer is").await;

    let good = paper(&world.authority, id, now(), None);
    let other_version = Hello { version: 99, ..hello(ours, good) };
    is_refused(&mesh, 9, &other_version, "version 99").await;
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
