//! The connections of a node: which are used, and whom it dials. As in `mesh::net::driver`.

mod events;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wattle_contracts::id::NodeId;
use wattle_mesh::core::redial::{Accounts, Config, Connection, Redial, by_preference};
use wattle_mesh::core::time::Time;
use wattle_mesh::net::Timing;

/// The connections of one node.
#[derive(Debug)]
pub(super) struct Links {
    timing: Timing,
    redial: Redial,
    standing: BTreeMap<u64, Standing>,
    /// The connection to each peer that is used for what is new.
    used: BTreeMap<NodeId, u64>,
    /// How often somebody has come or gone.
    turns: u64,
    /// Those in use that are to nodes of other cells.
    far: BTreeSet<NodeId>,
    /// Nodes of other cells with which records are exchanged, and those that are not dialled.
    envoys: BTreeSet<NodeId>,
    resting: Arc<BTreeSet<NodeId>>,
    /// Through whom nodes of this cell are reached behind a cut.
    detours: BTreeMap<NodeId, NodeId>,
    /// Through whom nodes of other cells are, and to which of those there was a connection then.
    ways: Arc<BTreeMap<NodeId, NodeId>>,
    held: Vec<NodeId>,
    accounts: Accounts,
    /// When the next attempt is due, if nothing changes before.
    dials: Time,
    news: bool,
    remembered: Vec<(NodeId, Vec<String>)>,
}

#[derive(Debug)]
struct Standing {
    peer: NodeId,
    dialler: NodeId,
    /// Whether it is to a node of this one's cell.
    near: bool,
    since: Time,
    heard: Time,
}

/// How a node is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) connection: u64,
    /// Whether the peer is asked to pass it on.
    pub(super) through: bool,
}

impl Links {
    pub(super) fn new(me: NodeId, timing: Timing) -> Self {
        let config = Config { slowest: std::time::Duration::from_secs(15), ..Config::default() };
        Self {
            redial: Redial::new(me, config),
            standing: BTreeMap::new(),
            used: BTreeMap::new(),
            turns: 0,
            far: BTreeSet::new(),
            envoys: BTreeSet::new(),
            resting: Arc::default(),
            detours: BTreeMap::new(),
            ways: Arc::default(),
            held: Vec::new(),
            accounts: Accounts::new(timing.peers),
            timing,
            dials: Time::ZERO,
            news: false,
            remembered: Vec::new(),
        }
    }

    pub(super) fn peer_of(&self, connection: u64) -> Option<NodeId> {
        self.standing.get(&connection).map(|one| one.peer)
    }

    pub(super) fn is_linked(&self, node: NodeId) -> bool {
        self.used.contains_key(&node)
    }

    /// Grows whenever somebody comes or goes.
    pub(super) fn turns(&self) -> u64 {
        self.turns
    }

    /// The connected nodes of this one's cell.
    pub(super) fn near(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.connected().filter(|node| !self.far.contains(node))
    }

    /// Those with which records are exchanged, each with whether it is of this node's cell.
    pub(super) fn for_records(&self) -> impl Iterator<Item = (NodeId, bool)> + '_ {
        let all = self.connected().map(|node| (node, !self.far.contains(&node)));
        all.filter(|(node, near)| *near || self.envoys.contains(node))
    }

    /// With these nodes of other cells records are exchanged.
    pub(super) fn set_envoys(&mut self, envoys: &BTreeSet<NodeId>) {
        if self.envoys != *envoys {
            self.envoys.clone_from(envoys);
            self.turns += 1;
        }
    }

    /// These are left alone.
    pub(super) fn rest(&mut self, resting: &Arc<BTreeSet<NodeId>>) {
        if self.resting != *resting {
            self.resting = Arc::clone(resting);
            self.redial.rest(Arc::clone(resting));
            self.dials = Time::ZERO;
        }
    }

    /// A connection to this node is needed now.
    pub(super) fn need(&mut self, now: Time, node: NodeId) {
        self.redial.need(now, node);
        self.dials = Time::ZERO;
    }

    /// Whether all of these addresses are known for a node.
    pub(super) fn knows(&self, node: NodeId, addresses: &[String]) -> bool {
        self.redial.knows(node, addresses)
    }

    /// The connections to nodes of other cells that `me` has made, and nobody needs any more.
    pub(super) fn unwanted(
        &self,
        me: NodeId,
        now: Time,
        wanted: impl Fn(NodeId) -> bool,
    ) -> Vec<u64> {
        let is_unwanted = |one: &Standing| {
            let is_old = now >= one.since.plus(self.timing.settle);
            !one.near && one.dialler == me && is_old && !wanted(one.peer)
        };
        self.standing.iter().filter(|(_, one)| is_unwanted(one)).map(|(id, _)| *id).collect()
    }

    pub(super) fn connected(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.used.keys().copied()
    }

    /// When the next look at the connections is worth it.
    pub(super) fn tick_due(&self) -> Time {
        if self.standing.len() > self.used.len() {
            return Time::ZERO;
        }
        self.dials.min(self.accounts.wake_at())
    }

    pub(super) fn via(&self, node: NodeId) -> Option<NodeId> {
        let abroad = || self.ways.get(&node).filter(|_| !self.held.contains(&node));
        self.detours.get(&node).or_else(abroad).copied()
    }

    /// Through whom nodes are reached: of this cell behind a cut, and of another cell.
    pub(super) fn set_detours(
        &mut self,
        detours: BTreeMap<NodeId, NodeId>,
        ways: &Arc<BTreeMap<NodeId, NodeId>>,
    ) {
        self.detours = detours;
        self.ways = Arc::clone(ways);
        self.held = self.used.keys().filter(|node| ways.contains_key(*node)).copied().collect();
    }

    pub(super) fn connection(&self, node: NodeId) -> Option<u64> {
        self.used.get(&node).copied()
    }

    /// How to reach `node` now: around, where a way around is known, else over its connection.
    pub(super) fn way(&self, node: NodeId) -> Option<Way> {
        let around = self.via(node).and_then(|relay| self.connection(relay));
        let around = around.map(|connection| Way { connection, through: true });
        around.or_else(|| {
            let connection = self.connection(node)?;
            Some(Way { connection, through: false })
        })
    }

    fn of(&self, node: NodeId) -> impl Iterator<Item = (u64, &Standing)> + '_ {
        let of_node = move |(_, one): &(&u64, &Standing)| one.peer == node;
        self.standing.iter().filter(of_node).map(|(id, one)| (*id, one))
    }

    /// The connections to a node, for the decision which one stays.
    fn candidates(&self, node: NodeId) -> Vec<Connection<u64>> {
        let candidate = |(id, one): (u64, &Standing)| Connection {
            id,
            dialler: one.dialler,
            since: one.since,
            heard: one.heard,
        };
        self.of(node).map(candidate).collect()
    }

    /// The connection to use for what is new.
    fn best(&self, node: NodeId, now: Time) -> Option<u64> {
        by_preference(&self.candidates(node), now, self.timing.settle).first().copied()
    }
}
