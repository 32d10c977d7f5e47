//! Calls between two nodes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends so")]
#![allow(clippy::indexing_slicing, reason = "a test ends so")]

mod net_common;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use net_common::*;
use wattle_contracts::call::{CallError, ErrorKind};
use wattle_mesh::net::{BodyStream, Mesh};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_answered_each_with_its_own_answer() {
    let world = World::new();
    let (one, two, _) = pair(&world).await;
    let calls = (0..64).map(|caller| {
        let (mesh, to) = (one.clone(), two.node_id());
        tokio::spawn(async move {
            for nth in 0..50 {
                let said = Bytes::from(format!("{caller}/{nth}"));
                let reply = mesh.call(to, header("echo"), said.clone(), None).await.unwrap();
                assert_eq!(reply.payload, said);
            }
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    let who = two.call(one.node_id(), header("who"), Bytes::new(), None).await.unwrap();
    assert_eq!(who.payload, two.node_id().to_string());
    assert_eq!(one.metrics().calls_out.succeeded, 64 * 50);
    eventually("all are counted", || two.metrics().calls_in.succeeded == 64 * 50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_arrives_as_what_it_is() {
    let world = World::new();
    let (one, two, _) = pair(&world).await;
    let call = |function| one.call(two.node_id(), header(function), Bytes::new(), None);
    let error = call("trap").await.unwrap_err();
    assert_eq!(error, CallError::new(ErrorKind::Trapped, "unreachable executed"));
    assert_eq!(call("nothing").await.unwrap_err().kind, ErrorKind::NotLinked);
    assert_eq!(call("panic").await.unwrap_err().kind, ErrorKind::Internal);
    assert_eq!(call("echo").await.unwrap().payload, "");
    assert_eq!(one.metrics().calls_out.failed_with(ErrorKind::Trapped), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_ends_at_its_deadline_and_so_does_its_work() {
    let world = World::new();
    let (one, two, service) = pair(&world).await;
    let begun = Instant::now();
    let header = within("hang", Duration::from_millis(200));
    let error = one.call(two.node_id(), header, Bytes::new(), None).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Deadline);
    assert!(begun.elapsed() >= Duration::from_millis(190));
    assert!(begun.elapsed() < Duration::from_secs(5));
    service.hanging.subscribe().wait_for(|count| *count == 0).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_gives_up_stops_the_work() {
    let world = World::new();
    let (one, two, service) = pair(&world).await;
    let mut hanging = service.hanging.subscribe();
    let to = two.node_id();
    let call = tokio::spawn(async move { one.call(to, header("hang"), Bytes::new(), None).await });
    hanging.wait_for(|count| *count == 1).await.unwrap();
    call.abort();
    let stopped = tokio::time::timeout(PATIENCE, hanging.wait_for(|count| *count == 0)).await;
    stopped.expect("the callee went on").unwrap();
    let cancelled = || two.metrics().calls_in.failed_with(ErrorKind::Cancelled) == 1;
    eventually("it is counted", cancelled).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_calls_than_allowed_are_refused_at_once() {
    let world = World::new();
    let two = start(world.config(2)).await;
    let mut config = world.joining(1, &two);
    config.limits.calls = 10;
    let one = start(config).await;
    all_connected(&[&one, &two]).await;
    let hang = || {
        let (one, to) = (one.clone(), two.node_id());
        tokio::spawn(async move { one.call(to, header("hang"), Bytes::new(), None).await })
    };
    let calls: Vec<_> = (0..11).map(|_| hang()).collect();
    let (first, _, rest) = futures::future::select_all(calls).await;
    assert_eq!(first.unwrap().unwrap_err().kind, ErrorKind::Overloaded);
    rest.iter().for_each(|call| call.abort());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_a_node_dies_its_calls_end_at_once() {
    let world = World::new();
    let (one, two, service) = pair(&world).await;
    let to = two.node_id();
    let call = {
        let one = one.clone();
        tokio::spawn(async move { one.call(to, header("hang"), Bytes::new(), None).await })
    };
    service.hanging.subscribe().wait_for(|count| *count == 1).await.unwrap();
    drop(two);
    let ended = tokio::time::timeout(Duration::from_secs(10), call).await.unwrap();
    let error = ended.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable);
    assert!(error.message.contains("may have run"), "{error}");
    // And one to a node that is gone is not begun.
    until(&one, "it is gone", |view| view.connected() == 0).await;
    let begun = Instant::now();
    let error = one.call(to, header("echo"), Bytes::new(), None).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable);
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_to_the_node_itself_takes_no_detour() {
    let world = World::new();
    let one = start(world.config(1)).await;
    let me = one.node_id();
    assert_eq!(one.call(me, header("echo"), "x".into(), None).await.unwrap().payload, "x");
}

const BIG: usize = 8 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_stream_both_ways_and_small_calls_pass_them() {
    let world = World::new();
    let (one, two, _) = pair(&world).await;
    // The body comes back as it goes; the reader is slow.
    let echoed = one.call(two.node_id(), header("echo"), "p".into(), Some(body(BIG))).await;
    let mut echoed = echoed.unwrap();
    assert_eq!(echoed.payload, "p");
    let mut back = echoed.body.take().unwrap();
    let (mut bytes, mut slowest) = (0, Duration::ZERO);
    while let Some(part) = back.next().await {
        bytes += part.unwrap().len();
        let begun = Instant::now();
        one.call(two.node_id(), header("echo"), "small".into(), None).await.unwrap();
        slowest = slowest.max(begun.elapsed());
    }
    assert_eq!(bytes, BIG);
    assert!(slowest < Duration::from_secs(1), "a small call took {slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_bodies_at_once_all_arrive() {
    let world = World::new();
    let (one, two, _) = pair(&world).await;
    let uploads = (0..8).map(|_| {
        let (one, to) = (one.clone(), two.node_id());
        tokio::spawn(async move {
            let reply = one.call(to, header("count"), Bytes::new(), Some(body(BIG / 4))).await;
            assert_eq!(reply.unwrap().payload, (BIG / 4).to_string());
        })
    });
    for upload in uploads.collect::<Vec<_>>() {
        upload.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_fails_midway_fails_for_its_reader() {
    let world = World::new();
    let (one, two, _) = pair(&world).await;
    let reply = one.call(two.node_id(), header("halfway"), Bytes::new(), None).await.unwrap();
    let error = reply.body.unwrap().collect(100).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Trapped);

    let (mut sender, body) = BodyStream::channel(4);
    sender.send(Bytes::from_static(b"half")).await;
    sender.fail(CallError::new(ErrorKind::NotAllowed, "enough")).await;
    let sent = one.call(two.node_id(), header("count"), Bytes::new(), Some(body)).await;
    assert_eq!(sent.unwrap_err().kind, ErrorKind::NotAllowed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_nobody_wants_is_not_sent_on() {
    let world = World::new();
    let (one, two, _) = pair(&world).await;
    // Endless; only being told to stop ends it.
    let (mut sender, endless) = BodyStream::channel(1);
    let writer =
        tokio::spawn(async move { while sender.send(Bytes::from(vec![0; 10_000])).await {} });
    let reply = one.call(two.node_id(), header("ignore"), Bytes::new(), Some(endless)).await;
    assert_eq!(reply.unwrap().payload, "no need to read that");
    tokio::time::timeout(PATIENCE, writer).await.expect("it is still sent").unwrap();

    // And the other way: the caller stops reading the reply.
    let (mut sender, endless) = BodyStream::channel(1);
    let writer =
        tokio::spawn(async move { while sender.send(Bytes::from(vec![0; 10_000])).await {} });
    let reply = one.call(two.node_id(), header("echo"), Bytes::new(), Some(endless)).await;
    let mut back = reply.unwrap().body.unwrap();
    back.next().await.unwrap().unwrap();
    drop(back);
    tokio::time::timeout(PATIENCE, writer).await.expect("it is still sent").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaving_waits_for_the_calls_under_way() {
    let world = World::new();
    let (one, two, service) = pair(&world).await;
    let (mut sender, body) = BodyStream::channel(1);
    let to = two.node_id();
    let call = {
        let one = one.clone();
        tokio::spawn(async move { one.call(to, header("count"), Bytes::new(), Some(body)).await })
    };
    assert!(sender.send(Bytes::from(vec![0; 300_000])).await);
    eventually("it is under way", || service.calls.load(Ordering::Relaxed) == 1).await;
    let leaving = {
        let two: Mesh = two.clone();
        tokio::spawn(async move { two.leave(PATIENCE).await })
    };
    // No new ones, while this one goes on.
    let refused = async { while one.call(to, header("echo"), Bytes::new(), None).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, refused).await.expect("it takes new calls");
    assert!(sender.send(Bytes::from(vec![0; 300_000])).await);
    sender.finish().await;
    assert_eq!(call.await.unwrap().unwrap().payload, "600000");
    leaving.await.unwrap();
}
