//! The demo's network: a UDP forwarder in front of each node. Nodes only ever hear each other's
//! forwarder addresses, so every packet between two nodes passes one, and a cut is a cut: packets
//! vanish, nothing is reset, nobody is told.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use tokio::net::UdpSocket;
use tokio_util::task::AbortOnDropHandle;

/// The largest UDP payload.
const DATAGRAM: usize = 65_535;
/// How many peers one forwarder serves; the demo has two for each.
const MAX_FLOWS: usize = 64;

/// The forwarder in front of one node.
pub(super) struct Wire {
    outside: SocketAddr,
    inside: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

/// Where packets are dropped.
#[derive(Clone, Default)]
pub(super) struct Cut {
    /// The cut-off node's own address, from which it sends.
    node: Arc<std::sync::OnceLock<SocketAddr>>,
    active: Arc<AtomicBool>,
}

impl Cut {
    /// Cuts `node` off from now on.
    pub(super) fn around(&self, wire: &Wire) {
        let _ = self.node.set(wire.inside);
        self.active.store(true, Ordering::SeqCst);
    }

    pub(super) fn heal(&self) {
        self.active.store(false, Ordering::SeqCst);
    }

    /// Whether a packet between these two is lost.
    fn drops(&self, from: SocketAddr, to: SocketAddr) -> bool {
        self.active.load(Ordering::SeqCst)
            && self.node.get().is_some_and(|node| *node == from || *node == to)
    }
}

impl Wire {
    /// A forwarder to the node that will listen on `inside`.
    pub(super) async fn to(inside: SocketAddr, cut: Cut) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("can't open a UDP port on this machine")?;
        let outside = socket.local_addr()?;
        let task = tokio::spawn(forward(Arc::new(socket), inside, cut));
        Ok(Self { outside, inside, _task: AbortOnDropHandle::new(task) })
    }

    /// The address that other nodes are told.
    pub(super) fn outside(&self) -> SocketAddr {
        self.outside
    }

    /// The address on which the node itself listens.
    pub(super) fn inside(&self) -> SocketAddr {
        self.inside
    }
}

/// A peer's packets on their way to the node, and the answers on their way back.
struct Flow {
    to_node: Arc<UdpSocket>,
    _back: AbortOnDropHandle<()>,
}

async fn forward(outside: Arc<UdpSocket>, node: SocketAddr, cut: Cut) {
    let mut flows: HashMap<SocketAddr, Flow> = HashMap::new();
    let mut buffer = vec![0; DATAGRAM];
    loop {
        // An error here is an ICMP message about an earlier packet: UDP goes on.
        let Ok((length, peer)) = outside.recv_from(&mut buffer).await else { continue };
        if cut.drops(peer, node) {
            continue;
        }
        if !flows.contains_key(&peer) && flows.len() < MAX_FLOWS {
            match Flow::open(Arc::clone(&outside), peer, node, cut.clone()).await {
                Ok(flow) => drop(flows.insert(peer, flow)),
                Err(error) => tracing::warn!(%error, "the demo's network can't open a flow"),
            }
        }
        if let Some(flow) = flows.get(&peer) {
            let packet = buffer.get(..length).unwrap_or(&[]);
            let _ = flow.to_node.send(packet).await;
        }
    }
}

impl Flow {
    async fn open(
        outside: Arc<UdpSocket>,
        peer: SocketAddr,
        node: SocketAddr,
        cut: Cut,
    ) -> Result<Self> {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
        socket.connect(node).await?;
        let from_node = Arc::clone(&socket);
        let back = tokio::spawn(async move {
            let mut buffer = vec![0; DATAGRAM];
            loop {
                let Ok(length) = from_node.recv(&mut buffer).await else { continue };
                if !cut.drops(node, peer) {
                    let packet = buffer.get(..length).unwrap_or(&[]);
                    let _ = outside.send_to(packet, peer).await;
                }
            }
        });
        Ok(Self { to_node: socket, _back: AbortOnDropHandle::new(back) })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn packets_pass_until_the_cut_and_again_after_the_heal() {
        let node = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let cut = Cut::default();
        let wire = Wire::to(node.local_addr().unwrap(), cut.clone()).await.unwrap();
        let mut buffer = [0; 10];

        peer.send_to(b"one", wire.outside()).await.unwrap();
        let (length, from) = node.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], b"one");
        node.send_to(b"two", from).await.unwrap();
        let (length, from) = peer.recv_from(&mut buffer).await.unwrap();
        assert_eq!((&buffer[..length], from), (&b"two"[..], wire.outside()));

        cut.around(&wire);
        peer.send_to(b"lost", wire.outside()).await.unwrap();
        let lost = tokio::time::timeout(Duration::from_millis(50), node.recv_from(&mut buffer));
        assert!(lost.await.is_err());
        cut.heal();
        peer.send_to(b"three", wire.outside()).await.unwrap();
        let (length, _) = node.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], b"three");
    }
}
