//! Where one call goes, when several nodes could answer it.
//!
//! What a link asks for comes before all of it: [`draw`] and [`narrow`]. Then this node first: a
//! target that runs here is called here, and the router is not asked. It is asked to choose among
//! the others, in this order:
//!
//! 1. **Not the broken**: a node whose [breaker](BreakerState) is open is left out as long as
//!    another one is not.
//! 2. **The nearest**: those whose round trip is at most one and a half times the shortest one, or
//!    at most [`NEAR`] longer. So all of a local network is equally near, and a call crosses a
//!    wide one only if it must. A round trip that is not known counts as longer than any that is.
//!    One through a third node counts as [`DETOUR`] longer: it costs that node work.
//! 3. **The idler of two**: of two drawn at random, the one with fewer calls under way
//!    (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001). What a node
//!    reports is old by then, and alone would send everybody to the same idle node; so the calls
//!    that this node has under way to it are added.
//!
//! A breaker belongs to a node, not to a component: one component that fails there while others
//! answer does not open it, and if it does open, it changes the order, never whether a call is
//! made. Whoever makes calls says [`Router::began`] for each, picked here or not, and then exactly
//! once [`Router::ended`], however it ends, also if it could not be sent. To try again elsewhere,
//! leave out of the candidates the nodes already tried.
//!
//! Bound: [`MAX_PEERS`] nodes are remembered, and only those with a call under way or a fault.

mod link;
pub mod once;
pub mod relay;
pub mod replay;

pub use link::{Share, carries, draw, narrow, prefer, provides};

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng;
use wattle_contracts::call::ErrorKind;
use wattle_contracts::id::NodeId;

use crate::core::time::Time;

/// How much longer than the shortest a round trip may be and still count as near.
pub const NEAR: Duration = Duration::from_millis(1);

/// What is added to the round trip to a node that is reached through another one.
pub const DETOUR: Duration = Duration::from_millis(10);

/// How many faults in a row open a breaker.
pub const FAULTS_TO_OPEN: u32 = 3;

/// How long a breaker is open for the first time; twice as long after each probe that fails.
pub const FIRST_BACKOFF: Duration = Duration::from_millis(500);

/// The longest that a breaker is open without a probe.
pub const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// How many nodes a router remembers. Calls to one above that are made, but not counted, and its
/// breaker stays closed.
pub const MAX_PEERS: usize = 4096;

/// A node, other than this one, that could answer a call. One that drains, or that is reached
/// neither by itself nor through another, is no candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The node.
    pub node: NodeId,
    /// The round trip to it, where it has been measured.
    pub rtt: Option<Duration>,
    /// Whether it is reached through another node only ([`relay`]).
    pub detour: bool,
    /// How many calls of the target are under way there, by its last report.
    pub busy: u32,
}

/// Whether calls are sent to a node (the circuit breaker of Nygard, "Release It!", 2007).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// They are.
    Closed,
    /// They are not, as long as there is another node.
    Open {
        /// When the next probe is due.
        until: Time,
    },
    /// The next one, if the node is among the nearest, is its probe: picking it opens the breaker
    /// again until the probe has ended, or for another backoff if nothing is heard of it.
    HalfOpen,
}

/// Chooses among the nodes that could answer a call, and remembers how earlier calls went.
#[derive(Debug, Clone, Default)]
pub struct Router {
    peers: BTreeMap<NodeId, Peer>,
}

#[derive(Debug, Clone, Default)]
struct Peer {
    /// Calls of this node to that one.
    under_way: u32,
    breaker: Breaker,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Breaker {
    Closed { faults: u32 },
    Open { until: Time, backoff: Duration, probing: bool },
}

impl Router {
    /// A router that has nothing against anybody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses the node to call; `None` only if there is no candidate. If every breaker is open it
    /// is the one whose probe is due first: a call must be able to find out that a node is back.
    ///
    /// The choice depends on the order of the candidates: for runs that can be repeated, hand them
    /// in by node id.
    pub fn pick(
        &mut self,
        now: Time,
        candidates: &[Candidate],
        random: &mut impl Rng,
    ) -> Option<NodeId> {
        let Some(reach) = self.reach(now, candidates) else {
            let first = candidates.iter().min_by_key(|c| (self.probe_due(c.node), c.node));
            return first.map(|candidate| candidate.node);
        };
        let near = || {
            let is_near = |c: &&Candidate| !self.is_open(now, c.node) && distance(c) <= reach;
            candidates.iter().filter(is_near)
        };
        if let Some(due) = near().find(|c| self.breaker(now, c.node) == BreakerState::HalfOpen) {
            if let Some(peer) = self.peers.get_mut(&due.node) {
                peer.breaker.probe(now);
            }
            return Some(due.node);
        }
        let (one, other) = draw_two(near().count(), random);
        let (one, other) = (near().nth(one)?, near().nth(other)?);
        let idler = if self.load(other) < self.load(one) { other } else { one };
        Some(idler.node)
    }

    /// Notes that a call to `node` begins.
    pub fn began(&mut self, node: NodeId) {
        if let Some(peer) = self.peer_mut(node) {
            peer.under_way = peer.under_way.saturating_add(1);
        }
    }

    /// Notes how a call to `node` that began has ended: what its answer was, or why there is none.
    pub fn ended(&mut self, now: Time, node: NodeId, outcome: Result<(), ErrorKind>) {
        let Some(peer) = self.peer_mut(node) else {
            return;
        };
        peer.under_way = peer.under_way.saturating_sub(1);
        match outcome {
            Ok(()) => peer.breaker = Breaker::default(),
            Err(kind) => match kind {
                // The node is gone, full, stuck, or broken itself.
                ErrorKind::Unreachable
                | ErrorKind::Overloaded
                | ErrorKind::Deadline
                | ErrorKind::Internal => peer.breaker.fault(now),
                // The node has answered, and does its work: so it answers this call.
                ErrorKind::NotLinked | ErrorKind::NotAllowed | ErrorKind::Trapped => {
                    peer.breaker = Breaker::default();
                }
                // Says nothing about the node.
                ErrorKind::Cancelled => {}
            },
        }
        self.drop_if_blank(node);
    }

    /// Notes that another node has answered a call that `node` was asked first, and has not answered
    /// in the time that it usually takes: three times in a row, and others are asked first.
    pub fn outpaced(&mut self, now: Time, node: NodeId) {
        if let Some(peer) = self.peer_mut(node) {
            peer.breaker.fault(now);
        }
    }

    /// Notes that `node` is back by other evidence than a call, such as a new connection: closes
    /// its breaker.
    pub fn reconnected(&mut self, node: NodeId) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.breaker = Breaker::default();
            self.drop_if_blank(node);
        }
    }

    /// Forgets a node that has left the mesh. Calls to it that are under way may still end.
    pub fn forget(&mut self, node: NodeId) {
        self.peers.remove(&node);
    }

    /// The breaker of a node.
    pub fn breaker(&self, now: Time, node: NodeId) -> BreakerState {
        self.peers.get(&node).map_or(BreakerState::Closed, |peer| peer.breaker.state(now))
    }

    /// How many calls this node has under way to `node`.
    pub fn under_way(&self, node: NodeId) -> u32 {
        self.peers.get(&node).map_or(0, |peer| peer.under_way)
    }

    /// The longest round trip at which a candidate counts as near; `None` if every breaker is open.
    fn reach(&self, now: Time, candidates: &[Candidate]) -> Option<Duration> {
        let asked = candidates.iter().filter(|candidate| !self.is_open(now, candidate.node));
        let nearest = asked.map(distance).min()?;
        let half_more = nearest.saturating_add(nearest / 2);
        Some(half_more.max(nearest.saturating_add(NEAR)))
    }

    fn is_open(&self, now: Time, node: NodeId) -> bool {
        matches!(self.breaker(now, node), BreakerState::Open { .. })
    }

    fn probe_due(&self, node: NodeId) -> Time {
        match self.peers.get(&node).map(|peer| &peer.breaker) {
            Some(Breaker::Open { until, .. }) => *until,
            _ => Time::ZERO,
        }
    }

    fn load(&self, candidate: &Candidate) -> u32 {
        candidate.busy.saturating_add(self.under_way(candidate.node))
    }

    fn peer_mut(&mut self, node: NodeId) -> Option<&mut Peer> {
        if self.peers.len() >= MAX_PEERS {
            return self.peers.get_mut(&node);
        }
        Some(self.peers.entry(node).or_default())
    }

    fn drop_if_blank(&mut self, node: NodeId) {
        let is_blank = |peer: &Peer| peer.under_way == 0 && peer.breaker == Breaker::default();
        if self.peers.get(&node).is_some_and(is_blank) {
            self.peers.remove(&node);
        }
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed { faults: 0 }
    }
}

impl Breaker {
    fn state(&self, now: Time) -> BreakerState {
        match *self {
            Self::Closed { .. } => BreakerState::Closed,
            Self::Open { until, .. } if until <= now => BreakerState::HalfOpen,
            Self::Open { until, .. } => BreakerState::Open { until },
        }
    }

    fn probe(&mut self, now: Time) {
        if let Self::Open { until, backoff, probing } = self {
            *until = now.plus(*backoff);
            *probing = true;
        }
    }

    fn fault(&mut self, now: Time) {
        match self {
            Self::Closed { faults } if *faults + 1 < FAULTS_TO_OPEN => *faults += 1,
            Self::Closed { .. } => {
                let (until, backoff) = (now.plus(FIRST_BACKOFF), FIRST_BACKOFF);
                *self = Self::Open { until, backoff, probing: false };
            }
            Self::Open { until, backoff, probing: probing @ true } => {
                *backoff = backoff.saturating_mul(2).min(MAX_BACKOFF);
                *until = now.plus(*backoff);
                *probing = false;
            }
            // A call from before it opened, or one for which there was no other node.
            Self::Open { probing: false, .. } => {}
        }
    }
}

fn distance(candidate: &Candidate) -> Duration {
    let detour = if candidate.detour { DETOUR } else { Duration::ZERO };
    candidate.rtt.unwrap_or(Duration::MAX).saturating_add(detour)
}

/// Two different positions below `count`, in random order; the same twice if there is only one.
fn draw_two(count: usize, random: &mut impl Rng) -> (usize, usize) {
    if count < 2 {
        return (0, 0);
    }
    let one = random.random_range(0..count);
    let other = random.random_range(0..count - 1);
    (one, if other < one { other } else { other + 1 })
}

#[cfg(test)]
mod tests;
