//! A network that can be cut without root: a UDP forwarder in front of each node. Nodes only hear
//! of each other's forwarders, so whatever passes between two nodes passes one of them.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::task::{AbortHandle, JoinSet};

use crate::ports;

/// The largest UDP payload.
const DATAGRAM: usize = 65_535;

/// The forwarders of one test.
#[derive(Debug, Clone, Default)]
pub struct Wires {
    /// The nodes' own addresses around which packets vanish. Nothing is reset, nobody is told.
    cut_off: Arc<Mutex<BTreeSet<SocketAddr>>>,
    /// Of a thousand packets so many get lost.
    lost: Arc<AtomicU32>,
    /// What was drawn last: which packets get lost is the same in each run, as far as their order
    /// is.
    drawn: Arc<AtomicU64>,
}

/// The forwarder in front of one node.
#[derive(Debug)]
pub struct Wire {
    inside: SocketAddr,
    outside: SocketAddr,
    task: AbortHandle,
}

impl Wires {
    /// A forwarder to a node that is to be started behind it.
    pub async fn string(&self) -> Wire {
        let inside = ports::udp();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("UDP works here");
        let outside = socket.local_addr().expect("a bound socket has an address");
        let task = tokio::spawn(forward(Arc::new(socket), inside, self.clone())).abort_handle();
        Wire { inside, outside, task }
    }

    /// Drops every packet to and from the node behind `wire` from now on.
    pub fn cut_off(&self, wire: &Wire) {
        self.cut_off.lock().unwrap().insert(wire.inside);
    }

    /// Takes [`Wires::cut_off`] back for this node.
    pub fn reconnect(&self, wire: &Wire) {
        self.cut_off.lock().unwrap().remove(&wire.inside);
    }

    /// Loses so many of a thousand packets, chosen at random, from now on.
    pub fn lose(&self, of_a_thousand: u32) {
        self.lost.store(of_a_thousand, Ordering::Relaxed);
    }

    /// Lets everything pass again.
    pub fn heal(&self) {
        self.cut_off.lock().unwrap().clear();
        self.lose(0);
    }

    fn drops(&self, from: SocketAddr, to: SocketAddr) -> bool {
        let cut_off = self.cut_off.lock().unwrap();
        cut_off.contains(&from) || cut_off.contains(&to) || self.loses_one()
    }

    fn loses_one(&self) -> bool {
        let lost = self.lost.load(Ordering::Relaxed);
        // SplitMix64 (Steele, Lea, Flood, 2014).
        let mut x = self.drawn.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        x % 1000 < u64::from(lost)
    }
}

impl Wire {
    /// Where the node listens.
    pub fn inside(&self) -> SocketAddr {
        self.inside
    }

    /// Where the others reach it.
    pub fn outside(&self) -> SocketAddr {
        self.outside
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes packets to `node`, and its answers back. Each peer gets a socket of its own towards the
/// node, by which the answers are told apart; a peer is known by the address it sends from, which
/// is the one it listens on.
async fn forward(outside: Arc<UdpSocket>, node: SocketAddr, wires: Wires) {
    let mut flows: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut ways_back = JoinSet::new();
    let mut buffer = vec![0; DATAGRAM];
    loop {
        // An error is an ICMP message about an earlier packet: UDP goes on.
        let Ok((length, peer)) = outside.recv_from(&mut buffer).await else { continue };
        if wires.drops(peer, node) {
            continue;
        }
        let flow = match flows.entry(peer) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let flow = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("UDP works here");
                flow.connect(node).await.expect("a UDP socket can be connected");
                let flow = Arc::new(flow);
                let (to, wires) = (Arc::clone(&outside), wires.clone());
                ways_back.spawn(back(Arc::clone(&flow), to, node, peer, wires));
                new.insert(flow)
            }
        };
        let _ = flow.send(&buffer[..length]).await;
    }
}

async fn back(
    flow: Arc<UdpSocket>,
    outside: Arc<UdpSocket>,
    node: SocketAddr,
    peer: SocketAddr,
    wires: Wires,
) {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let Ok(length) = flow.recv(&mut buffer).await else { continue };
        if !wires.drops(node, peer) {
            let _ = outside.send_to(&buffer[..length], peer).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn packets_pass_both_ways_until_the_cut_and_again_after_the_heal() {
        let wires = Wires::default();
        let wire = wires.string().await;
        let node = UdpSocket::bind(wire.inside()).await.unwrap();
        let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut buffer = [0; 10];

        peer.send_to(b"one", wire.outside()).await.unwrap();
        let (length, from) = node.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], b"one");
        node.send_to(b"two", from).await.unwrap();
        let (length, from) = peer.recv_from(&mut buffer).await.unwrap();
        assert_eq!((&buffer[..length], from), (&b"two"[..], wire.outside()));

        wires.cut_off(&wire);
        peer.send_to(b"lost", wire.outside()).await.unwrap();
        let lost = tokio::time::timeout(Duration::from_millis(50), node.recv_from(&mut buffer));
        assert!(lost.await.is_err());
        wires.heal();
        wires.lose(300);
        let lost = (0..10_000).filter(|_| wires.loses_one()).count();
        assert!((2_800..3_200).contains(&lost), "{lost}");
        wires.heal();
        peer.send_to(b"three", wire.outside()).await.unwrap();
        let (length, _) = node.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], b"three");
    }
}
