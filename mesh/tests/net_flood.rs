//! Ten thousand connections that never say who they are.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends so")]
#![allow(clippy::indexing_slicing, reason = "a test ends so")]

mod net_common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use libp2p::core::Endpoint;
use libp2p::core::transport::{DialOpts, ListenerId, PortUse, Transport as _};
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, quic};
use net_common::*;
use wattle_mesh::net::Standing;

const FLOOD: usize = 10_000;

/// How many the flooder begins at once.
const AT_ONCE: usize = 100;

/// Begins connections from 127.0.0.2, and says nothing on any of them.
async fn flood(at: Multiaddr, begun: Arc<AtomicUsize>) {
    let keypair = Keypair::ed25519_from_bytes([77; 32]).unwrap();
    let mut config = quic::Config::new(&keypair);
    config.handshake_timeout = Duration::from_secs(2);
    let mut transport = quic::tokio::Transport::new(config);
    let own = "/ip4/127.0.0.2/udp/0/quic-v1".parse().unwrap();
    transport.listen_on(ListenerId::next(), own).unwrap();
    let mut transport = transport.boxed();
    // Its socket is there once it says where.
    futures::future::poll_fn(|cx| std::pin::Pin::new(&mut transport).poll(cx)).await;
    let mut held = futures::stream::FuturesUnordered::new();
    while begun.load(Ordering::Relaxed) < FLOOD {
        let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::Reuse };
        let dial = transport.dial(at.clone(), options).unwrap();
        begun.fetch_add(1, Ordering::Relaxed);
        held.push(async move {
            // One that is up is held for a while, in silence.
            if let Ok(connection) = dial.await {
                tokio::time::sleep(Duration::from_millis(200)).await;
                drop(connection);
            }
        });
        if held.len() >= AT_ONCE {
            held.next().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_half_open_connections_keep_nobody_out_and_cost_little() {
    let world = World::new();
    let one = start(world.config(1)).await;
    let begun = Arc::new(AtomicUsize::new(0));
    let flooding = tokio::spawn(flood(one.listen_addresses()[0].clone(), begun.clone()));
    eventually("the flood has begun", || one.metrics().turned_away > 100).await;

    // Who has papers comes in meanwhile, from another address.
    let before = Instant::now();
    let two = start(world.joining(2, &one)).await;
    until_standing(&one, two.node_id(), Standing::Alive).await;
    println!(
        "let in after {:?}, {} strangers later",
        before.elapsed(),
        begun.load(Ordering::Relaxed)
    );
    assert!(!flooding.is_finished(), "the flood was over before");

    flooding.await.unwrap();
    let metrics = one.metrics();
    println!("turned away {}, failed {}", metrics.turned_away, metrics.admissions_failed);
    assert_eq!(begun.load(Ordering::Relaxed), FLOOD);
    // Nearly all of them are turned away before anything is read; of the rest few at a time wait.
    assert!(metrics.turned_away > FLOOD as u64 / 2, "{metrics:?}");
    assert_eq!(metrics.connections_opened, 1);
    assert!(one.view().node(two.node_id()).is_some_and(|node| node.connected));
    assert_eq!(one.view().nodes.len(), 2);
}
