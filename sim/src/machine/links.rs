//! The connections of a node: which are used, and whom it dials. As in `mesh::net::driver`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wattle_contracts::control::{Control, PeerHint};
use wattle_contracts::id::NodeId;
use wattle_mesh::core::membership::Evidence;
use wattle_mesh::core::redial::{
    Config, Connection, Dial, Redial, Source, Target, by_preference, superfluous,
};
use wattle_mesh::core::time::Time;
use wattle_mesh::net::Timing;

use super::{Cx, Effect, Machine, Payload};
use crate::lattice::disk::{Kept, Op};
use crate::lattice::happening::Happening;
use crate::mutant::Mutant;

/// Nodes that are told to a peer at once.
const MAX_HINTS: usize = 128;

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
    told: Time,
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
            timing,
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
            told: Time::ZERO,
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
        self.dials.min(self.told.plus(self.timing.peers))
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

impl Machine {
    pub(super) fn first_hints(&mut self, kept: &Kept, hints: &[String], cx: &mut Cx<'_>) {
        for (node, addresses) in kept.remembered() {
            self.hint(Target::Node(*node), addresses, Source::Remembered, cx);
        }
        for address in hints {
            self.hint(Target::Address(address.clone()), &[], Source::Flag, cx);
        }
        self.links.remembered = kept.remembered().to_vec();
    }

    /// Somebody is told of by multicast.
    pub(crate) fn introduced(&mut self, node: NodeId, address: &str, cx: &mut Cx<'_>) {
        self.hint(Target::Node(node), &[address.to_owned()], Source::Mdns, cx);
    }

    /// Whether there is a connection to a node.
    pub(crate) fn has_link(&self, node: NodeId) -> bool {
        self.links.is_linked(node)
    }

    /// Who may be known is dialled.
    pub(super) fn hint(
        &mut self,
        target: Target,
        addresses: &[String],
        source: Source,
        cx: &mut Cx<'_>,
    ) {
        if let (Target::Node(node), Some(circle)) = (&target, &self.circle)
            && !circle.contains(node)
        {
            return;
        }
        (self.links.news, self.links.dials) = (true, Time::ZERO);
        self.links.redial.hint(cx.now, target, addresses.iter().cloned(), source);
    }

    pub(super) fn on_hints(&mut self, hints: Vec<PeerHint>, cx: &mut Cx<'_>) {
        for PeerHint { node, addresses } in hints.into_iter().take(MAX_HINTS) {
            self.hint(Target::Node(node), &addresses, Source::Told, cx);
        }
        self.dial_due(cx);
    }

    /// A connection stands.
    pub(crate) fn connected(
        &mut self,
        (connection, peer): (u64, NodeId),
        dialled: Option<(&Target, &str)>,
        cx: &mut Cx<'_>,
    ) {
        let now = cx.now;
        if let Some((Target::Address(text), _)) = dialled {
            self.links.redial.answered(now, text, peer);
        }
        let dialler = if dialled.is_some() { self.me } else { peer };
        let is_first = self.links.of(peer).next().is_none();
        let near = self.is_near(peer);
        let standing = Standing { peer, dialler, near, since: now, heard: now };
        self.links.standing.insert(connection, standing);
        (self.links.news, self.links.dials) = (true, Time::ZERO);
        let address = dialled.map(|(_, address)| address.to_string());
        self.links.redial.connected(now, peer, address);
        if is_first {
            cx.happens(Happening::Linked(peer));
            self.evidence(Evidence::Linked(peer), cx);
        }
        let was_linked = self.links.is_linked(peer);
        if let Some(best) = self.links.best(peer, now) {
            self.links.used.insert(peer, best);
        }
        if !was_linked {
            self.links.turns += 1;
            if near {
                self.links.far.remove(&peer);
                self.tell_peer(peer, cx);
                self.greet(peer, cx);
            } else {
                self.links.far.insert(peer);
            }
        }
        self.peers_changed(cx);
        self.changed = true;
        self.settle(cx);
    }

    /// A connection is gone.
    pub(crate) fn disconnected(&mut self, connection: u64, cx: &mut Cx<'_>) {
        let Some(one) = self.links.standing.remove(&connection) else { return };
        let (now, peer) = (cx.now, one.peer);
        match self.links.best(peer, now) {
            Some(best) => _ = self.links.used.insert(peer, best),
            None => {
                self.links.used.remove(&peer);
                self.links.far.remove(&peer);
                self.links.turns += 1;
            }
        }
        if self.links.of(peer).next().is_none() {
            self.links.dials = Time::ZERO;
            if !self.is_broken(Mutant::NoRedial) {
                self.links.redial.disconnected(now, peer, cx.rng);
            }
            cx.happens(Happening::Unlinked(peer));
            self.evidence(Evidence::Unlinked(peer), cx);
            self.peers_changed(cx);
        }
        self.calls_lost(connection, cx);
        self.changed = true;
        self.settle(cx);
    }

    /// An attempt came to nothing.
    pub(crate) fn dial_failed(&mut self, target: &Target, cx: &mut Cx<'_>) {
        self.links.dials = Time::ZERO;
        if !self.is_broken(Mutant::NoRedial) {
            self.links.redial.failed(cx.now, target, cx.rng);
        }
        self.settle(cx);
    }

    /// An attempt on this node came to nothing, because what it answers does not arrive.
    pub(crate) fn knocked(&mut self, by: NodeId, cx: &mut Cx<'_>) {
        self.evidence(Evidence::Knocked(by), cx);
        self.changed = true;
        self.settle(cx);
    }

    /// A ping was answered.
    pub(crate) fn pinged(
        &mut self,
        connection: u64,
        round_trip: std::time::Duration,
        cx: &mut Cx<'_>,
    ) {
        let Some(one) = self.links.standing.get_mut(&connection) else { return };
        one.heard = cx.now;
        let peer = one.peer;
        self.evidence(Evidence::RoundTrip(peer, round_trip), cx);
        // Most of what happens is this, and changes nothing.
        if self.sign_of_life(peer, cx) {
            self.settle(cx);
        }
    }

    /// A ping was lost. A whole node waits for the next one.
    pub(crate) fn unanswered(&mut self, connection: u64, cx: &mut Cx<'_>) {
        if !self.is_broken(Mutant::SilenceIsDeath) {
            return;
        }
        if let Some(peer) = self.links.peer_of(connection) {
            cx.out.push(Effect::Close { connection });
            let dead = [peer].into();
            self.evidence(Evidence::Gossip { live: Default::default(), dead }, cx);
        }
        self.settle(cx);
    }

    pub(super) fn tick_links(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now;
        if self.links.standing.len() > self.links.used.len() {
            self.close_superfluous(cx);
        }
        self.dial_due(cx);
        if now.since(self.links.told) >= self.links.timing.peers {
            self.links.told = now;
            let peers: Vec<NodeId> = self.links.near().collect();
            peers.into_iter().for_each(|peer| self.tell_peer(peer, cx));
        }
    }

    fn close_superfluous(&mut self, cx: &mut Cx<'_>) {
        let (now, settle) = (cx.now, self.links.timing.settle);
        let peers: Vec<NodeId> = self.links.connected().collect();
        for peer in peers {
            let all = self.links.candidates(peer);
            if all.len() < 2 {
                continue;
            }
            if let Some(best) = self.links.best(peer, now) {
                self.links.used.insert(peer, best);
            }
            for connection in superfluous(&all, now, settle, |id| self.calls.is_idle(id)) {
                cx.out.push(Effect::Close { connection });
            }
        }
    }

    fn dial_due(&mut self, cx: &mut Cx<'_>) {
        if cx.now < self.links.dials {
            return;
        }
        for Dial { target, addresses } in self.links.redial.due(cx.now, cx.rng) {
            cx.out.push(Effect::Dial { target, addresses });
        }
        self.links.dials = self.links.redial.wake_at();
    }

    fn tell_peer(&mut self, peer: NodeId, cx: &mut Cx<'_>) {
        // In a mesh where each knows a circle of its own, there is nothing to tell.
        if self.circle.is_some() {
            return;
        }
        let known = self.links.redial.to_remember();
        let known = known.filter(|(node, _)| *node != peer && self.is_near(*node));
        let hints = known.map(|(node, addresses)| PeerHint { node, addresses });
        let hints: Vec<PeerHint> =
            hints.filter(|hint| !hint.addresses.is_empty()).take(MAX_HINTS).collect();
        if !hints.is_empty() {
            self.tell(peer, Control::Peers(hints), cx);
        }
    }

    /// Puts a message on the way to a peer. False if there is no connection.
    pub(super) fn tell(&self, peer: NodeId, message: Control, cx: &mut Cx<'_>) -> bool {
        let Some(connection) = self.links.connection(peer) else { return false };
        cx.out.push(Effect::Send { connection, payload: Payload::Control(message) });
        true
    }

    /// Writes down where others were reached, if that has changed.
    pub(super) fn remember(&mut self, cx: &mut Cx<'_>) {
        if !std::mem::take(&mut self.links.news) {
            return;
        }
        let remember: Vec<_> = self.links.redial.to_remember().collect();
        if remember != self.links.remembered {
            self.links.remembered = remember.clone();
            let ops = vec![Op::Remember(remember)];
            cx.out.push(Effect::Write { ops, then: super::Then::Nothing });
        }
    }

    /// Says to all peers that this node leaves, and closes.
    pub(crate) fn leave(&mut self, cx: &mut Cx<'_>) {
        if let Some(fact) = self.sign_fact(wattle_mesh::core::membership::LEFT, &(), cx) {
            let peers: Vec<NodeId> = self.links.connected().collect();
            for peer in peers {
                self.tell(peer, Control::Goodbye(Box::new(fact.clone())), cx);
            }
        }
    }
}
