//! Artifacts go from node to node.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends so")]
#![allow(clippy::indexing_slicing, reason = "a test ends so")]

mod net_common;

use std::sync::Arc;

use bytes::Bytes;
use net_common::*;
use tokio::io::AsyncReadExt as _;
use wattle_contracts::id::Digest;
use wattle_mesh::net::{FetchError, Mesh};

const LIMIT: u64 = 64 * 1024 * 1024;

fn artifact(bytes: usize) -> (Digest, Bytes) {
    let bytes: Bytes = (0..bytes).map(|at| (at / 7) as u8).collect();
    (Digest::of(&bytes), bytes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_artifact_is_fetched_while_calls_go_on() {
    let world = World::new();
    let (one, two, service) = pair(&world).await;
    let (digest, bytes) = artifact(20 * 1024 * 1024);
    service.artifacts.lock().unwrap().insert(digest, bytes.clone());
    let fetch = {
        let (one, from) = (one.clone(), two.node_id());
        tokio::spawn(async move {
            let mut artifact = one.fetch_artifact(from, digest, LIMIT).await.unwrap();
            let mut read = Vec::with_capacity(artifact.size() as usize);
            artifact.read_to_end(&mut read).await.unwrap();
            read
        })
    };
    while !fetch.is_finished() {
        one.call(two.node_id(), header("echo"), "x".into(), None).await.unwrap();
    }
    assert!(fetch.await.unwrap() == bytes);
    eventually("both count it", || {
        one.metrics().artifacts_fetched == 1 && two.metrics().artifacts_served == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_or_too_large_or_forged_is_told_apart() {
    let world = World::new();
    let (one, two, service) = pair(&world).await;
    let (digest, bytes) = artifact(1000);
    let fetch = |limit| one.fetch_artifact(two.node_id(), digest, limit);
    assert!(matches!(fetch(LIMIT).await, Err(FetchError::NotFound { .. })));
    service.artifacts.lock().unwrap().insert(digest, bytes);
    assert!(matches!(fetch(999).await, Err(FetchError::TooLarge { size: 1000, .. })));
    service.forged.lock().unwrap().insert(digest, Bytes::from(vec![0; 1000]));
    let mut forged = fetch(LIMIT).await.unwrap();
    let error = forged.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    let nobody = world.config(9).node();
    let fetched = one.fetch_artifact(nobody, digest, LIMIT).await;
    assert!(matches!(fetched, Err(FetchError::Unreachable(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_fetches_too_much_at_once_is_told() {
    let world = World::new();
    let service = Arc::<Echo>::default();
    let mut config = world.config(2);
    config.limits.artifacts_out = 1;
    let two = Mesh::start(config, Arc::<Disk>::default(), service.clone()).await.unwrap();
    let one = start(world.joining(1, &two)).await;
    all_connected(&[&one, &two]).await;
    let (digest, bytes) = artifact(20 * 1024 * 1024);
    service.artifacts.lock().unwrap().insert(digest, bytes);
    // Not read, so it stays under way.
    let first = one.fetch_artifact(two.node_id(), digest, LIMIT).await.unwrap();
    let second = one.fetch_artifact(two.node_id(), digest, LIMIT).await;
    assert!(matches!(second, Err(FetchError::Overloaded(_))), "{second:?}");
    drop(first);
}
