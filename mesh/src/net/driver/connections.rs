//! The connections that stand, and which of several to one peer is used.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{Semaphore, mpsc};
use wattle_contracts::control::Control;
use wattle_contracts::id::NodeId;

use crate::core::redial::{Connection, by_preference, superfluous};
use crate::core::time::Time;
use crate::net::calls::{Ended as CallsEnded, Link};
use crate::net::control::Ended as ControlEnded;
use crate::net::discovery::canonical;
use crate::net::peers::Peer;

/// A peer that said goodbye has sent its last answers; they may take so long to arrive.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// How a stream of a connection ended.
#[derive(Debug)]
pub(super) enum StreamEnd {
    Control(ConnectionId, ControlEnded),
    Calls(ConnectionId, CallsEnded),
    Artifact,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) node: NodeId,
    pub(super) peer: PeerId,
    /// Whether it is to a node of this one's cell.
    pub(super) near: bool,
    pub(super) dialler: NodeId,
    /// Where the peer is seen.
    pub(super) remote: Multiaddr,
    pub(super) since: Time,
    /// When something was last heard on it.
    pub(super) heard: Time,
    pub(super) control: Option<mpsc::Sender<Control>>,
    /// Since when the peer is about to close it.
    pub(super) closing: Option<Time>,
    pub(super) link: Option<Arc<Link>>,
    pub(super) artifacts: Arc<Semaphore>,
    pub(super) refusals: Arc<Semaphore>,
}

impl Standing {
    fn is_idle(&self) -> bool {
        self.link.as_ref().is_none_or(|link| link.is_idle())
    }

    fn usable(&self) -> Option<Peer> {
        if self.closing.is_some() {
            return None;
        }
        let link = self.link.clone().filter(|link| link.is_open())?;
        Some(Peer { link, control: self.control.clone()?, near: self.near })
    }
}

/// Every connection that stands.
#[derive(Debug, Default)]
pub(super) struct Connections {
    standing: BTreeMap<ConnectionId, Standing>,
}

impl Connections {
    pub(super) fn insert(&mut self, id: ConnectionId, connection: Standing) {
        self.standing.insert(id, connection);
    }

    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Standing> {
        self.standing.remove(&id)
    }

    pub(super) fn get(&self, id: ConnectionId) -> Option<&Standing> {
        self.standing.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Standing> {
        self.standing.get_mut(&id)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = ConnectionId> + '_ {
        self.standing.keys().copied()
    }

    /// The connections to `node`.
    pub(super) fn ids_of(&self, node: NodeId) -> Vec<ConnectionId> {
        self.of(node).map(|(id, _)| id).collect()
    }

    /// The nodes that are connected.
    pub(super) fn nodes(&self) -> BTreeSet<NodeId> {
        self.standing.values().map(|connection| connection.node).collect()
    }

    /// Every connection that its peer is not about to close, with the queue of its control stream
    /// once that is open.
    pub(super) fn queues(
        &self,
    ) -> impl Iterator<Item = (ConnectionId, Option<&mpsc::Sender<Control>>)> {
        let stands = self.standing.iter().filter(|(_, one)| one.closing.is_none());
        stands.map(|(id, one)| (*id, one.control.as_ref()))
    }

    pub(super) fn has(&self, node: NodeId) -> bool {
        self.of(node).next().is_some()
    }

    /// Where `node` is seen.
    pub(super) fn seen_at(&self, node: NodeId) -> Vec<Multiaddr> {
        let mut seen: Vec<_> = self.of(node).filter(|(_, one)| one.closing.is_none()).collect();
        seen.sort_by_key(|(_, one)| Reverse(one.since));
        let mut addresses: Vec<Multiaddr> = Vec::new();
        for address in seen.into_iter().filter_map(|(_, one)| canonical(&one.remote)) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses
    }

    /// Nodes to which there is more than one connection.
    pub(super) fn with_several(&self) -> Vec<NodeId> {
        let mut counts = BTreeMap::<NodeId, usize>::new();
        for connection in self.standing.values() {
            *counts.entry(connection.node).or_default() += 1;
        }
        counts.into_iter().filter(|(_, count)| *count > 1).map(|(node, _)| node).collect()
    }

    /// The connection to use for what is new.
    pub(super) fn best(&self, node: NodeId, now: Time, grace: Duration) -> Option<Peer> {
        let all = by_preference(&self.candidates(node), now, grace);
        all.into_iter().find_map(|id| self.get(id)?.usable())
    }

    /// The connection on which streams are opened.
    pub(super) fn preferred(&self, node: NodeId) -> Option<(ConnectionId, PeerId)> {
        let newest = self.of(node).max_by_key(|(id, connection)| (connection.since, *id));
        newest.map(|(id, connection)| (id, connection.peer))
    }

    /// The connections that are to be closed now: superfluous ones, and those whose peer has said
    /// its last word.
    pub(super) fn due(&self, now: Time, grace: Duration) -> Vec<ConnectionId> {
        let is_over = |(_, one): &(&ConnectionId, &Standing)| {
            one.closing.is_some_and(|since| one.is_idle() || now >= since.plus(LAST_ANSWERS))
        };
        let mut due: Vec<_> = self.standing.iter().filter(is_over).map(|(id, _)| *id).collect();
        for node in self.with_several() {
            let is_idle = |id| self.get(id).is_none_or(Standing::is_idle);
            due.extend(superfluous(&self.candidates(node), now, grace, is_idle));
        }
        due
    }

    /// The connections to nodes of other cells that `me` has made, and nobody needs any more. What
    /// the other side has made, it closes.
    pub(super) fn unwanted(
        &self,
        me: NodeId,
        now: Time,
        grace: Duration,
        wanted: impl Fn(NodeId) -> bool,
    ) -> Vec<ConnectionId> {
        let is_unwanted = |(_, one): &(&ConnectionId, &Standing)| {
            let is_old = now >= one.since.plus(grace);
            !one.near && one.dialler == me && is_old && one.is_idle() && !wanted(one.node)
        };
        self.standing.iter().filter(is_unwanted).map(|(id, _)| *id).collect()
    }

    /// The peer of these connections is about to close them.
    pub(super) fn close_soon(&mut self, now: Time, which: impl Fn(ConnectionId, NodeId) -> bool) {
        for (id, connection) in &mut self.standing {
            if which(*id, connection.node) {
                connection.closing.get_or_insert(now);
            }
        }
    }

    /// Lets go of every queue.
    pub(super) fn hush(&mut self) {
        for connection in self.standing.values_mut() {
            connection.control = None;
        }
    }

    fn of(&self, node: NodeId) -> impl Iterator<Item = (ConnectionId, &Standing)> + '_ {
        let of_node = move |(_, connection): &(&ConnectionId, &Standing)| connection.node == node;
        self.standing.iter().filter(of_node).map(|(id, connection)| (*id, connection))
    }

    /// The connections to a node, for the decision which one stays.
    fn candidates(&self, node: NodeId) -> Vec<Connection<ConnectionId>> {
        let candidate = |(id, one): (ConnectionId, &Standing)| Connection {
            id,
            dialler: one.dialler,
            since: one.since,
            heard: one.heard,
        };
        self.of(node).map(candidate).collect()
    }
}
