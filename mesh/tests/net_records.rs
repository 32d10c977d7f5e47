//! What is declared on one node is known on all.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends so")]
#![allow(clippy::indexing_slicing, reason = "a test ends so")]

mod net_common;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use net_common::*;
use wattle_contracts::record::{App, RecordBody, RecordKey};
use wattle_mesh::net::{Mesh, PutError};

fn key(name: &str) -> RecordKey {
    RecordKey::App(name.parse().unwrap())
}

fn app(name: &str) -> RecordBody {
    RecordBody::App(Box::new(App::new(name.parse().unwrap())))
}

async fn until_holds(mesh: &Mesh, name: &str, is_tombstone: bool) {
    let mut records = mesh.watch_records();
    let held = records.wait_for(|records| {
        records.get(&key(name)).is_some_and(|record| record.is_tombstone() == is_tombstone)
    });
    let held = tokio::time::timeout(PATIENCE, held).await;
    assert!(held.is_ok(), "{name} did not come to {mesh:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_put_on_one_node_is_on_all_and_so_is_its_end() {
    let world = World::new();
    let hub = start(world.config(1)).await;
    let mut meshes = vec![hub.clone()];
    for number in 2..=5 {
        meshes.push(start(world.joining(number, &hub)).await);
    }
    let put = meshes[3].put_record(key("counter"), app("counter")).await.unwrap();
    put.verify().unwrap();
    for mesh in &meshes {
        until_holds(mesh, "counter", false).await;
    }
    meshes[1].put_record(key("counter"), RecordBody::Tombstone).await.unwrap();
    for mesh in &meshes {
        until_holds(mesh, "counter", true).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_comes_later_gets_everything() {
    let world = World::new();
    let one = start(world.config(1)).await;
    for name in ["a", "b", "c"] {
        one.put_record(key(name), app(name)).await.unwrap();
    }
    let two = start(world.joining(2, &one)).await;
    for name in ["a", "b", "c"] {
        until_holds(&two, name, false).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_put_survives_a_restart() {
    let world = World::new();
    let disk = Arc::<Disk>::default();
    let start = || Mesh::start(world.config(1), disk.clone(), Arc::<Echo>::default());
    let one = start().await.unwrap();
    let first = one.put_record(key("a"), app("a")).await.unwrap();
    drop(one);
    let one = start().await.unwrap();
    assert!(one.records().get(&key("a")).is_some());
    let second = one.put_record(key("a"), RecordBody::Tombstone).await.unwrap();
    assert!(second.version > first.version);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_disk_refuses_is_neither_shown_nor_passed_on() {
    let world = World::new();
    let disk = Arc::<Disk>::default();
    let two = start(world.config(2)).await;
    let one = Mesh::start(world.joining(1, &two), disk.clone(), Arc::<Echo>::default());
    let one = one.await.unwrap();
    all_connected(&[&one, &two]).await;
    disk.broken.store(true, Ordering::Relaxed);
    let error = one.put_record(key("a"), app("a")).await.unwrap_err();
    assert!(matches!(error, PutError::Store(_)), "{error}");
    assert!(error.to_string().contains("no space left"), "{error}");
    assert!(one.records().get(&key("a")).is_none());
    disk.broken.store(false, Ordering::Relaxed);
    one.put_record(key("b"), app("b")).await.unwrap();
    until_holds(&two, "b", false).await;
    assert!(two.records().get(&key("a")).is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_edits_that_knew_nothing_of_each_other_one_is_in_the_history_on_both_sides() {
    let world = World::new();
    let disk = Arc::<Disk>::default();
    let one = start(world.config(1)).await;
    let two = Mesh::start(world.config(2), disk.clone(), Arc::<Echo>::default()).await.unwrap();
    let first = one.put_record(key("a"), app("a")).await.unwrap();
    let second = two.put_record(key("a"), RecordBody::Tombstone).await.unwrap();
    drop(two);
    let start = || Mesh::start(world.joining(2, &one), disk.clone(), Arc::<Echo>::default());
    let two = start().await.unwrap();
    let (loser, winner) =
        if first.version < second.version { (first, second) } else { (second, first) };
    for mesh in [&one, &two] {
        eventually("both edits are there", || {
            let records = mesh.records();
            records.get(&key("a")) == Some(&winner) && records.lost(&key("a")).eq([&loser])
        })
        .await;
    }
    assert_eq!(one.metrics().records_lost + two.metrics().records_lost, 2);
    // It outlives a restart, and a change that knew the winner.
    drop(two);
    let two = start().await.unwrap();
    assert!(two.records().lost(&key("a")).eq([&loser]));
    two.put_record(key("a"), app("a")).await.unwrap();
    until_holds(&one, "a", false).await;
    for mesh in [&one, &two] {
        assert!(mesh.records().lost(&key("a")).eq([&loser]));
    }
}
