//! Calls between two nodes that don't reach each other, through one that reaches both.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends so")]
#![allow(clippy::indexing_slicing, reason = "a test ends so")]

mod net_common;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use net_common::raw::Raw;
use net_common::*;
use tokio::io::AsyncReadExt as _;
use wattle_contracts::call::{CallProof, ErrorKind, Relay};
use wattle_contracts::id::NodeId;
use wattle_contracts::key::SigningKey;
use wattle_mesh::net::{FetchError, Standing, WallClock};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_goes_through_a_common_neighbour_who_vouches_for_its_caller() {
    let world = World::new();
    let service = Arc::<Echo>::default();
    let [one, two, middle] = chain(&world, service.clone()).await;
    let to = two.node_id();
    assert!(!one.view().node(to).unwrap().connected);
    let reply = one.call(to, header("echo"), "hello".into(), None).await.unwrap();
    assert_eq!(reply.payload, "hello");
    // The callee knows by itself who handed the call over, and by its signature who made it.
    let who = one.call(to, header("who"), Bytes::new(), None).await.unwrap();
    assert_eq!(who.payload, middle.node_id().to_string());
    assert_eq!(service.path.lock().unwrap().as_slice(), [one.node_id()]);
    assert_eq!(one.metrics().calls_detoured, 2);
    assert_eq!(middle.metrics().calls_relayed, 2);
    // It was not the callee of either.
    assert_eq!(two.metrics().calls_in.succeeded, 2);

    let error = one.call(to, header("trap"), Bytes::new(), None).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Trapped);
    let late = within("hang", Duration::from_millis(200));
    let error = one.call(to, late, Bytes::new(), None).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Deadline);
    service.hanging.subscribe().wait_for(|count| *count == 0).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_stream_through_and_a_caller_that_gives_up_stops_the_work_at_the_far_end() {
    const BIG: usize = 3 * 1024 * 1024;
    let world = World::new();
    let service = Arc::<Echo>::default();
    let [one, two, _middle] = chain(&world, service.clone()).await;
    let to = two.node_id();
    let reply = one.call(to, header("echo"), "p".into(), Some(body(BIG))).await.unwrap();
    assert_eq!(reply.body.unwrap().collect(BIG).await.unwrap().len(), BIG);

    let mut hanging = service.hanging.subscribe();
    let call = {
        let one = one.clone();
        tokio::spawn(async move { one.call(to, header("hang"), Bytes::new(), None).await })
    };
    hanging.wait_for(|count| *count == 1).await.unwrap();
    call.abort();
    let stopped = tokio::time::timeout(PATIENCE, hanging.wait_for(|count| *count == 0)).await;
    stopped.expect("the callee went on").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_neighbour_goes_the_call_is_told_so() {
    let world = World::new();
    let service = Arc::<Echo>::default();
    let [one, two, middle] = chain(&world, service.clone()).await;
    let to = two.node_id();
    let call = {
        let one = one.clone();
        tokio::spawn(async move { one.call(to, header("hang"), Bytes::new(), None).await })
    };
    service.hanging.subscribe().wait_for(|count| *count == 1).await.unwrap();
    drop(middle);
    let error = tokio::time::timeout(PATIENCE, call).await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
    service.hanging.subscribe().wait_for(|count| *count == 0).await.unwrap();
    until(&one, "nobody is between", |view| view.node(to).is_some_and(|n| n.via.is_none())).await;
    let error = one.call(to, header("echo"), Bytes::new(), None).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
}

/// A peer hands over calls with ways that no honest node makes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_goes_round_or_too_far_is_not_passed_on() {
    let world = World::new();
    let (one, two, _) = pair(&world).await;
    let (me, to) = (one.node_id(), two.node_id());
    let ask = async |relay: Relay| {
        let mut header = header("echo");
        header.relay = Some(Box::new(relay));
        one.call(to, header, Bytes::new(), None).await.unwrap_err().kind
    };
    let elsewhere = NodeId::from_bytes([9; 32]);
    let now = WallClock::default().now().0;
    let member = Raw::admitted(8, &two, paper(&world.authority, Raw::id(8), now, None)).await;
    let relay = |path: &[_]| Relay { to: elsewhere, call: 1, path: path.to_vec(), proof: None };
    assert_eq!(ask(relay(&[])).await, ErrorKind::Unreachable);
    assert_eq!(ask(relay(&[me])).await, ErrorKind::NotAllowed);
    assert_eq!(ask(relay(&[member.node, to])).await, ErrorKind::NotAllowed);
    // Back to where it came from.
    let back = Relay { to: me, call: 1, path: Vec::new(), proof: None };
    assert_eq!(ask(back).await, ErrorKind::NotAllowed);
    assert_eq!(two.metrics().relays_refused, 4);
}

/// How it came is written down by who let it in, and may arrive after its first call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_call_of_a_newcomer_waits_a_moment_until_it_is_known_here() {
    let world = World::new();
    let (friend, two, service) = pair(&world).await;
    let key = SigningKey::from_seed([9; 32]).unwrap();
    let (newcomer, to) = (NodeId::from_bytes(key.public()), two.node_id());
    let bring = async |path: Vec<NodeId>| {
        let (relay, now) = (Relay { to, call: 1, path, proof: None }, WallClock::default().now());
        let proof = CallProof::sign(&key, 1, now, &relay, &header("echo").route, b"a").unwrap();
        let mut header = header("echo");
        header.relay = Some(Box::new(Relay { proof: Some(Box::new(proof)), ..relay }));
        friend.call(to, header, "a".into(), None).await
    };
    let called = bring(vec![newcomer]);
    let comes = async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let now = WallClock::default().now().0;
        Raw::admitted(9, &two, paper(&world.authority, newcomer, now, None)).await
    };
    let (called, _newcomer) = tokio::join!(called, comes);
    called.unwrap();
    assert_eq!(service.calls.load(std::sync::atomic::Ordering::Relaxed), 1);
    let error = bring(vec![newcomer; Relay::MAX + 1]).await.unwrap_err();
    assert!(error.message.contains("more than"), "{error}");
}

/// A member forwards calls in the name of another: without its signature, with its own, with the
/// signature of another call, and with one that has been here already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_calls_in_the_name_of_another() {
    let world = World::new();
    let (liar, two, service) = pair(&world).await;
    let (victim_key, liar_key) =
        (SigningKey::from_seed([9; 32]).unwrap(), SigningKey::from_seed([1; 32]).unwrap());
    let victim = NodeId::from_bytes(victim_key.public());
    let to = two.node_id();
    let route = header("echo").route;
    let plain = |call| Relay { to, call, path: vec![victim], proof: None };
    let sign = |key: &SigningKey, call, payload: &[u8]| {
        let (relay, now) = (plain(call), WallClock::default().now());
        let proof = CallProof::sign(key, 1, now, &relay, &route, payload).unwrap();
        Relay { proof: Some(Box::new(proof)), ..relay }
    };
    let bring = async |relay: Relay, payload: &'static str| {
        let mut header = header("echo");
        header.relay = Some(Box::new(relay));
        liar.call(to, header, payload.into(), None).await
    };
    let forged = [
        (plain(1), "a"),
        (sign(&liar_key, 1, b"a"), "a"),
        (sign(&victim_key, 1, b"a"), "b"),
        (Relay { call: 2, ..sign(&victim_key, 1, b"a") }, "a"),
    ];
    // Nobody ever let that one in, so that it has no name to call in, whatever it signs.
    let error = bring(sign(&victim_key, 1, b"a"), "a").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotAllowed, "{error}");
    assert!(error.message.contains("no member of this mesh"), "{error}");
    let now = WallClock::default().now().0;
    let _in = Raw::admitted(9, &two, paper(&world.authority, victim, now, None)).await;
    for (relay, payload) in forged {
        let error = bring(relay, payload).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotAllowed, "{error}");
        assert!(error.message.contains("rule: speaker"), "{error}");
    }
    // What the other did sign is its call, wherever it comes through; but once.
    let own = sign(&victim_key, 1, b"a");
    bring(own.clone(), "a").await.unwrap();
    assert_eq!(service.path.lock().unwrap().as_slice(), [victim]);
    let error = bring(own, "a").await.unwrap_err();
    assert!(error.message.contains("come already"), "{error}");
    assert_eq!(two.metrics().calls_forged, 5);
    assert_eq!(service.calls.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_right_after_it_came_is_known_to_have_left_by_all() {
    let world = World::new();
    let [one, two, middle] = chain(&world, Arc::<Echo>::default()).await;
    // Its peer hears it, and tells the one that can't.
    two.leave(Duration::from_secs(1)).await;
    for mesh in [&middle, &one] {
        until_standing(mesh, two.node_id(), Standing::Left).await;
    }
    // Again and again, as soon as the connection stands, or before.
    let brief = start(world.joining(7, &middle)).await;
    let id = brief.node_id();
    until(&middle, "it came", |view| view.node(id).is_some()).await;
    brief.leave(Duration::from_secs(1)).await;
    for mesh in [&middle, &one] {
        until_standing(mesh, id, Standing::Left).await;
    }
    // And it may come back.
    let back = start(world.joining(7, &middle)).await;
    for mesh in [&middle, &one] {
        until_standing(mesh, back.node_id(), Standing::Alive).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_artifact_goes_through_the_neighbour_who_keeps_nothing_and_can_forge_nothing() {
    const LIMIT: u64 = 64 * 1024 * 1024;
    let world = World::new();
    let service = Arc::<Echo>::default();
    let [one, two, middle] = chain(&world, service.clone()).await;
    let bytes: Bytes = (0..3 * 1024 * 1024).map(|at| (at / 7) as u8).collect();
    let digest = wattle_contracts::id::Digest::of(&bytes);
    let fetch = |limit| one.fetch_artifact(two.node_id(), digest, limit);
    assert!(matches!(fetch(LIMIT).await, Err(FetchError::NotFound { .. })));
    service.artifacts.lock().unwrap().insert(digest, bytes.clone());
    assert!(matches!(fetch(999).await, Err(FetchError::TooLarge { .. })));
    let mut artifact = fetch(LIMIT).await.unwrap();
    let mut read = Vec::new();
    artifact.read_to_end(&mut read).await.unwrap();
    assert!(read == bytes);
    eventually("it is counted", || middle.metrics().artifacts_relayed == 1).await;
    service.forged.lock().unwrap().insert(digest, Bytes::from(vec![0; 1000]));
    let error = fetch(LIMIT).await.unwrap().read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
}
