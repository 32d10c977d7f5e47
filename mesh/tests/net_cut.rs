//! A network that is cut, and whole again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends so")]
#![allow(clippy::indexing_slicing, reason = "a test ends so")]

mod net_common;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use net_common::*;
use tokio::net::UdpSocket;
use wattle_contracts::call::ErrorKind;
use wattle_mesh::net::{Mesh, MeshConfig, Standing};

/// Stands in front of a node, passes datagrams on in both directions, or none.
struct Shim {
    address: SocketAddr,
    cut: Arc<AtomicBool>,
}

impl Shim {
    async fn before(node: SocketAddr) -> Self {
        let front = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let address = front.local_addr().unwrap();
        let cut = Arc::new(AtomicBool::new(false));
        tokio::spawn(pass_on(front, node, cut.clone()));
        Self { address, cut }
    }
}

async fn pass_on(front: Arc<UdpSocket>, node: SocketAddr, cut: Arc<AtomicBool>) {
    let mut behind = HashMap::<SocketAddr, Arc<UdpSocket>>::new();
    let mut datagram = vec![0; 65_536];
    loop {
        let (length, from) = front.recv_from(&mut datagram).await.unwrap();
        if cut.load(Ordering::Relaxed) {
            continue;
        }
        let socket = match behind.entry(from) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
                socket.connect(node).await.unwrap();
                tokio::spawn(pass_back(socket.clone(), front.clone(), from, cut.clone()));
                entry.insert(socket)
            }
        };
        let _ = socket.send(&datagram[..length]).await;
    }
}

async fn pass_back(
    behind: Arc<UdpSocket>,
    front: Arc<UdpSocket>,
    to: SocketAddr,
    cut: Arc<AtomicBool>,
) {
    let mut datagram = vec![0; 65_536];
    while let Ok(length) = behind.recv(&mut datagram).await {
        if !cut.load(Ordering::Relaxed) {
            let _ = front.send_to(&datagram[..length], to).await;
        }
    }
}

async fn behind_shim(mut config: MeshConfig, service: Arc<Echo>) -> (Mesh, Shim) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    let shim = Shim::before(address).await;
    let quic = |address: SocketAddr| {
        format!("/ip4/{}/udp/{}/quic-v1", address.ip(), address.port()).parse().unwrap()
    };
    config.listen = vec![quic(address)];
    config.advertise = vec![quic(shim.address)];
    config.timing.idle_timeout = Duration::from_millis(1500);
    config.timing.keep_alive = Duration::from_millis(300);
    (Mesh::start(config, Arc::<Disk>::default(), service).await.unwrap(), shim)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_is_noticed_and_healed() {
    let world = World::new();
    let service = Arc::<Echo>::default();
    let (two, front_of_two) = behind_shim(world.config(2), service.clone()).await;
    let mut config = world.config(1);
    config.join = vec![front_of_two.address.to_string().parse().unwrap()];
    let (one, front_of_one) = behind_shim(config, Arc::default()).await;
    all_connected(&[&one, &two]).await;
    let to = two.node_id();
    let call = {
        let one = one.clone();
        tokio::spawn(async move { one.call(to, header("hang"), Bytes::new(), None).await })
    };
    service.hanging.subscribe().wait_for(|count| *count == 1).await.unwrap();

    let shims = [&front_of_one, &front_of_two];
    shims.iter().for_each(|shim| shim.cut.store(true, Ordering::Relaxed));
    let begun = Instant::now();
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
    assert!(error.message.contains("may have run"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    // The other side notices too, and stops the work that nobody waits for.
    service.hanging.subscribe().wait_for(|count| *count == 0).await.unwrap();
    for mesh in [&one, &two] {
        until(mesh, "it is gone", |view| view.connected() == 0).await;
    }
    let error = one.call(to, within("echo", PATIENCE), Bytes::new(), None).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable);
    assert_ne!(one.view().node(to).unwrap().standing, Standing::Left);

    shims.iter().for_each(|shim| shim.cut.store(false, Ordering::Relaxed));
    all_connected(&[&one, &two]).await;
    let reply = one.call(to, header("echo"), "again".into(), None).await.unwrap();
    assert_eq!(reply.payload, "again");
    until_standing(&one, to, Standing::Alive).await;
}
