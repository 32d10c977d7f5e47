//! The peers that this node can talk to now. Written by the driver, read by everybody else.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use wattle_contracts::control::Control;
use wattle_contracts::id::NodeId;

use super::calls::Link;
use super::gossip::synthetic;
use super::metrics::Metrics;

/// The connection to one peer that is used for what is new.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) link: Arc<Link>,
    pub(super) control: mpsc::Sender<Control>,
    /// Whether it is of this node's cell.
    pub(super) near: bool,
}

/// Everybody who is connected.
#[derive(Debug)]
pub(super) struct Peers {
    table: RwLock<Table>,
    changes: watch::Sender<u64>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Table {
    peers: BTreeMap<NodeId, Peer>,
    gossip: BTreeMap<SocketAddr, NodeId>,
    /// Nodes to which a dial is under way.
    dialling: BTreeSet<NodeId>,
    /// Through whom the nodes are reached that this one does not reach by itself.
    detours: BTreeMap<NodeId, NodeId>,
    /// Nodes of other cells, which are connected when they are called; each with whether somebody
    /// wanted that since the driver last asked.
    far: BTreeMap<NodeId, AtomicBool>,
    /// Those with which records are exchanged.
    envoys: BTreeSet<NodeId>,
}

/// The way to a node.
#[derive(Debug)]
pub(super) enum Way {
    /// Over a connection of this node's own.
    Direct(Arc<Link>),
    /// Over the connection to another node, which is asked to pass on what is for that one.
    Through(Arc<Link>),
}

impl Table {
    fn want(&self, node: NodeId) {
        if let Some(called) = self.far.get(&node) {
            called.store(true, Ordering::Relaxed);
        }
    }

    fn way(&self, node: NodeId) -> Option<Way> {
        let link = |node| self.peers.get(&node).map(|peer| peer.link.clone());
        // Usually there is none at all.
        if !self.detours.is_empty()
            && let Some(link) = self.detours.get(&node).and_then(|relay| link(*relay))
        {
            return Some(Way::Through(link));
        }
        link(node).map(Way::Direct)
    }
}

impl Peers {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { table: RwLock::default(), changes: watch::channel(0).0, metrics }
    }

    pub(super) fn link(&self, node: NodeId) -> Option<Arc<Link>> {
        self.read().peers.get(&node).map(|peer| peer.link.clone())
    }

    /// How to reach `node` now.
    pub(super) fn way(&self, node: NodeId) -> Option<Way> {
        self.read().way(node)
    }

    /// The same, for a call of this node: one to another cell makes a connection of its own.
    pub(super) fn way_to_call(&self, node: NodeId) -> Option<Way> {
        let table = self.read();
        // Usually there is only one cell.
        if !table.far.is_empty() {
            table.want(node);
        }
        table.way(node)
    }

    /// A connection to `node`, if one comes up within `patience`.
    pub(super) async fn link_soon(&self, node: NodeId, patience: Duration) -> Option<Arc<Link>> {
        let look = || {
            self.read().want(node);
            self.link(node)
        };
        self.soon(node, patience, look).await
    }

    /// Whether there may be a connection to `node` in a moment.
    fn is_coming(&self, node: NodeId) -> bool {
        let table = self.read();
        table.dialling.contains(&node) || table.far.contains_key(&node)
    }

    /// The same as [`Peers::way`]; if a dial is under way, also one that comes up within
    /// `patience`.
    pub(super) async fn way_soon(&self, node: NodeId, patience: Duration) -> Option<Way> {
        self.soon(node, patience, || self.way(node)).await
    }

    /// What `look` finds, as soon as it does, while there may be a connection to `node` in a moment.
    async fn soon<T>(
        &self,
        node: NodeId,
        patience: Duration,
        look: impl Fn() -> Option<T>,
    ) -> Option<T> {
        let mut changes = self.changes.subscribe();
        let wait = async {
            loop {
                changes.borrow_and_update();
                if let Some(found) = look() {
                    return Some(found);
                }
                if !self.is_coming(node) || changes.changed().await.is_err() {
                    return None;
                }
            }
        };
        tokio::time::timeout(patience, wait).await.ok().flatten()
    }

    /// Changes whenever somebody comes or goes.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Those of this node's cell.
    pub(super) fn near(&self) -> Vec<NodeId> {
        self.read().peers.iter().filter(|(_, peer)| peer.near).map(|(node, _)| *node).collect()
    }

    /// Those of other cells.
    pub(super) fn connected_far(&self) -> BTreeSet<NodeId> {
        self.read().peers.iter().filter(|(_, peer)| !peer.near).map(|(node, _)| *node).collect()
    }

    /// Those with which records are exchanged, each with whether it is of this node's cell.
    pub(super) fn for_records(&self) -> BTreeSet<(NodeId, bool)> {
        let table = self.read();
        let all = table.peers.iter().map(|(node, peer)| (*node, peer.near));
        all.filter(|(node, near)| *near || table.envoys.contains(node)).collect()
    }

    /// The nodes of other cells that somebody wanted to call since this was last asked.
    pub(super) fn take_called(&self) -> Vec<NodeId> {
        let table = self.read();
        let called = table.far.iter().filter(|(_, called)| called.swap(false, Ordering::Relaxed));
        called.map(|(node, _)| *node).collect()
    }

    /// These are the nodes of other cells; with these of them records are exchanged.
    pub(super) fn set_far(&self, far: &BTreeSet<NodeId>, envoys: &BTreeSet<NodeId>) {
        let table = self.read();
        if table.far.keys().eq(far) && table.envoys == *envoys {
            return;
        }
        drop(table);
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.far.retain(|node, _| far.contains(node));
        for node in far {
            table.far.entry(*node).or_default();
        }
        table.envoys.clone_from(envoys);
        drop(table);
        self.changed();
    }

    /// The connected node that gossip knows under this address.
    pub(super) fn by_gossip_address(&self, address: SocketAddr) -> Option<NodeId> {
        self.read().gossip.get(&address).copied()
    }

    pub(super) fn links(&self) -> Vec<Arc<Link>> {
        self.read().peers.values().map(|peer| peer.link.clone()).collect()
    }

    /// Puts a message into the peer's queue. False if it is not connected or its queue is full.
    pub(super) fn tell(&self, node: NodeId, message: Control) -> bool {
        let queue = self.read().peers.get(&node).map(|peer| peer.control.clone());
        let told = queue.map(|queue| queue.try_send(message).is_ok());
        if told == Some(false) {
            self.metrics.control_dropped.one();
        }
        told.unwrap_or(false)
    }

    /// Uses this connection for what is new; `None` when there is none left.
    pub(super) fn set(&self, node: NodeId, peer: Option<Peer>) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        match peer {
            Some(peer) => {
                match peer.near {
                    true => drop(table.gossip.insert(synthetic(node), node)),
                    false => drop(table.gossip.remove(&synthetic(node))),
                }
                table.peers.insert(node, peer);
            }
            None => {
                table.peers.remove(&node);
                table.gossip.remove(&synthetic(node));
            }
        }
        drop(table);
        self.changed();
    }

    /// Goes through these nodes, each to the one before it, instead of over its own connection.
    pub(super) fn set_detours(&self, detours: BTreeMap<NodeId, NodeId>) {
        if self.read().detours == detours {
            return;
        }
        self.table.write().unwrap_or_else(PoisonError::into_inner).detours = detours;
        self.changed();
    }

    pub(super) fn set_dialling(&self, node: NodeId, dialling: bool) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        match dialling {
            true => table.dialling.insert(node),
            false => table.dialling.remove(&node),
        };
        drop(table);
        self.changed();
    }

    /// Lets go of everybody.
    pub(super) fn clear(&self) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Table::default();
        self.changed();
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }
}
