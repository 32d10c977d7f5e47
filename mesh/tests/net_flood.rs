//! Ten thousand connections that never say who they are.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends so")]
#![allow(clippy::indexing_slicing, reason = "a test ends so")]

mod net_common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use libp2p::core::Endpoint;
use libp2p::core::transport::{DialOpts, ListenerId, PortUse, Transport as _};
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, quic};
use net_common::*;
use wattle_mesh::core::doorman::Config;
use wattle_mesh::net::Standing;

const FLOOD: usize = 10_000;

/// From so many addresses: together they may have more waiting than one node once let wait in all.
const ADDRESSES: usize = 4;

/// How many each of them begins at once: more than one address may have waiting.
const AT_ONCE: usize = 25;

/// More than this does not stay, in KiB: what is turned away costs some memory for some seconds, on
/// both sides, which are one process here. If none of it were given back, it would be twice as much.
const MAX_GROWTH: u64 = 512 * 1024;

/// The resident memory of this process, in KiB. Zero where the system does not say.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// Begins connections from 127.0.0.`from`, and says nothing on any of them.
async fn flood(at: Multiaddr, from: usize, begun: Arc<AtomicUsize>) {
    let keypair = Keypair::ed25519_from_bytes([77; 32]).unwrap();
    let mut config = quic::Config::new(&keypair);
    config.handshake_timeout = Duration::from_secs(2);
    let mut transport = quic::tokio::Transport::new(config);
    let own = format!("/ip4/127.0.0.{from}/udp/0/quic-v1").parse().unwrap();
    transport.listen_on(ListenerId::next(), own).unwrap();
    let mut transport = transport.boxed();
    // Its socket is there once it says where.
    futures::future::poll_fn(|cx| std::pin::Pin::new(&mut transport).poll(cx)).await;
    let mut held = futures::stream::FuturesUnordered::new();
    while begun.fetch_add(1, Ordering::Relaxed) < FLOOD {
        let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::Reuse };
        let dial = transport.dial(at.clone(), options).unwrap();
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
    let (started, memory) = (Instant::now(), resident());
    let begun = Arc::new(AtomicUsize::new(0));
    let at = one.listen_addresses()[0].clone();
    let floods = (0..ADDRESSES).map(|nth| flood(at.clone(), 2 + nth, begun.clone()));
    let flooding = tokio::spawn(futures::future::join_all(floods.collect::<Vec<_>>()));
    let most = Arc::new(AtomicU64::new(memory));
    let watched = most.clone();
    let watching = tokio::spawn(async move {
        loop {
            watched.fetch_max(resident(), Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
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
    // What each address may have looked at: so many in a row, and then one now and then.
    let Config { burst, every, .. } = Config::default();
    let later = started.elapsed().as_millis() / every.as_millis();
    let allowed = ADDRESSES as u64 * (u64::from(burst) + later as u64 + 1);
    watching.abort();
    let grown = most.load(Ordering::Relaxed).saturating_sub(memory);
    println!(
        "turned away {}, failed {} of {allowed} that may, {grown} KiB more",
        metrics.turned_away, metrics.admissions_failed
    );
    assert!(begun.load(Ordering::Relaxed) >= FLOOD);
    // All but these are turned away before anything is read; and of these few wait at a time.
    assert!(metrics.admissions_failed <= allowed, "{metrics:?}");
    assert!(metrics.turned_away + allowed >= FLOOD as u64 * 9 / 10, "{metrics:?}");
    assert!(grown < MAX_GROWTH, "{grown} KiB more than before the flood");
    assert_eq!(metrics.connections_opened, 1);
    assert!(one.view().node(two.node_id()).is_some_and(|node| node.connected));
    assert_eq!(one.view().nodes.len(), 2);
}
