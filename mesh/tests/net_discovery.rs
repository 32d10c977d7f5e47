//! Nodes find each other, and find each other again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends so")]
#![allow(clippy::indexing_slicing, reason = "a test ends so")]

mod net_common;

use std::sync::Arc;
use std::time::Duration;

use net_common::*;
use wattle_mesh::net::{FoundBy, Mesh, MeshError, Standing};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_on_one_machine_find_each_other_without_being_told() {
    let world = World::new();
    let one = start(world.on_machine(1)).await;
    let two = start(world.on_machine(2)).await;
    let three = start(world.on_machine(3)).await;
    all_connected(&[&one, &two, &three]).await;
    // Whoever dialled first has been found, the other has been knocked at.
    for (mesh, other) in [(&one, &two), (&two, &three), (&three, &one)] {
        let found_by = |at: &Mesh, node: &Mesh| at.view().node(node.node_id()).unwrap().found_by;
        let both = [found_by(mesh, other), found_by(other, mesh)];
        assert!(both.contains(&FoundBy::HostDirectory), "{both:?}");
    }
    assert_eq!(one.view().alive().count(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_is_enough_to_find_all() {
    let world = World::new();
    let hub = start(world.config(1)).await;
    let mut meshes = Vec::new();
    for number in 2..=5 {
        meshes.push(start(world.joining(number, &hub)).await);
    }
    let mut all: Vec<&Mesh> = meshes.iter().collect();
    all.push(&hub);
    all_connected(&all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_and_port_will_do() {
    let world = World::new();
    let two = start(world.config(2)).await;
    let address = two.listen_addresses()[0].to_string();
    let port = address.split('/').nth(4).unwrap();
    let mut config = world.config(1);
    config.join = vec![format!("localhost:{port}").parse().unwrap()];
    let one = start(config).await;
    all_connected(&[&one, &two]).await;
    until(&one, "found by joining", |view| {
        view.node(two.node_id()).is_some_and(|node| node.found_by == FoundBy::Join)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_node_finds_its_mesh_by_itself() {
    let world = World::new();
    let (home, two) = (tempfile::tempdir().unwrap(), start(world.config(2)).await);
    let mut first_life = world.joining(1, &two);
    first_life.data = Some(home.path().to_owned());
    let one = start(first_life).await;
    all_connected(&[&one, &two]).await;
    let remembered = || {
        let text = std::fs::read_to_string(home.path().join("peers.json")).unwrap_or_default();
        text.contains(&two.node_id().to_string()) && text.contains("/ip4/")
    };
    eventually("it is written down", remembered).await;
    // Without a goodbye.
    drop(one);
    until_standing(&two, world.config(1).node(), Standing::Unreachable).await;

    let mut second_life = world.config(1);
    second_life.data = Some(home.path().to_owned());
    let one = start(second_life).await;
    all_connected(&[&one, &two]).await;
    let found_by = one.view().node(two.node_id()).unwrap().found_by;
    assert_eq!(found_by, FoundBy::Remembered);
    let reply = one.call(two.node_id(), header("echo"), "back".into(), None).await.unwrap();
    assert_eq!(reply.payload, "back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_advertised_is_all_that_others_hear() {
    let world = World::new();
    let (two, three) = (start(world.config(2)).await, start(world.config(3)).await);
    let elsewhere: wattle_mesh::net::Multiaddr = "/ip4/127.0.0.1/udp/9/quic-v1".parse().unwrap();
    let mut config = world.on_machine(1);
    config.join = vec![two.listen_addresses()[0].to_string().parse().unwrap()];
    config.advertise = vec![elsewhere.clone()];
    let one = start(config).await;
    all_connected(&[&one, &two]).await;
    // Also by way of a third.
    let via = start(world.joining(4, &two)).await;
    for mesh in [&two, &via] {
        until(mesh, "the advertised address is known", |view| {
            view.node(one.node_id()).is_some_and(|node| node.addresses.contains(&elsewhere))
        })
        .await;
        let listening = one.listen_addresses()[0].clone();
        let view = mesh.view();
        assert!(!view.node(one.node_id()).unwrap().addresses.contains(&listening));
    }
    let folder = std::fs::read_dir(world.machine.path()).unwrap().next().unwrap().unwrap().path();
    let file = folder.join(format!("{}.json", one.node_id()));
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains("/udp/9/"), "{text}");
    assert!(!text.contains(&one.listen_addresses()[0].to_string()), "{text}");
    drop(three);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_dial_each_other_at_once_keep_one_connection() {
    let world = World::new();
    // Each is given the other's address, so neither waits for the other to dial. The first dials
    // into the void until the second is there, and dials too.
    let free = || std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let sockets = [free(), free()];
    let config = |number: u8, at: usize| {
        let mut config = world.config(number);
        let address = format!("/ip4/127.0.0.1/udp/{}/quic-v1", sockets[at].port());
        config.listen = vec![address.parse().unwrap()];
        config.join = vec![sockets[1 - at].to_string().parse().unwrap()];
        config
    };
    let one = start(config(1, 0)).await;
    eventually("it dials", || one.metrics().dials > 0).await;
    let two = start(config(2, 1)).await;
    let opened = |mesh: &Mesh| mesh.metrics().connections_opened;
    eventually("both dials succeed", || opened(&one) == 2 && opened(&two) == 2).await;
    // Calls go on, while it is decided which one stays, and after.
    let is_single = |mesh: &Mesh| mesh.metrics().connections_closed == 1;
    let calls = async {
        while !(is_single(&one) && is_single(&two)) {
            one.call(two.node_id(), header("echo"), "x".into(), None).await.unwrap();
            two.call(one.node_id(), header("echo"), "x".into(), None).await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, calls).await.expect("there are still two");
    for _ in 0..1000 {
        one.call(two.node_id(), header("echo"), "x".into(), None).await.unwrap();
    }
    assert_eq!((opened(&one), opened(&two)), (2, 2));
    assert!(is_single(&one) && is_single(&two));
    assert_eq!((one.view().connected(), two.view().connected()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_is_one_clear_error() {
    let world = World::new();
    let one = start(world.config(1)).await;
    let mut config = world.config(2);
    config.listen = one.listen_addresses();
    let started = Mesh::start(config, Arc::<Disk>::default(), Arc::<Echo>::default()).await;
    let error = started.unwrap_err();
    assert!(matches!(error, MeshError::PortInUse { .. }), "{error}");
    assert!(error.to_string().contains("in use"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_leaves_is_known_to_have_left() {
    let world = World::new();
    let (one, two, _) = pair(&world).await;
    two.leave(Duration::from_secs(1)).await;
    until_standing(&one, two.node_id(), Standing::Left).await;
    assert!(two.call(one.node_id(), header("echo"), "x".into(), None).await.is_err());
}
