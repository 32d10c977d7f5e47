//! Who is in the mesh, and how well, as far as this node can tell.
//!
//! Evidence comes in (connections, probes of its own and through third nodes, gossip's word,
//! goodbyes, signed facts, round trips, what other nodes report), a [`Standing`] for each node
//! comes out, and each change of one. Silence never removes a node: one that was admitted stays
//! known, as [`Standing::Unreachable`] at worst, until it is heard again. That is the opposite of
//! what gossip libraries do, which forget the dead after a grace, and with them every path back
//! (memberlist issue 222, serf issue 605).
//!
//! Cuts are told apart: a node that answers through a third one is alive behind a partial cut
//! ([`Membership::detours`] says whom to go through); one whose packets arrive while answers to
//! them don't is behind a one-way cut ([`Membership::is_one_way`]).
//!
//! Facts are kept as their nodes signed them: who relays one can't change it, and an older one
//! never replaces a newer.
//!
//! Bounds: [`MAX_HINTED`] nodes that are known by hearsay only, of which the one not heard for
//! longest goes; [`MAX_TOPICS`] facts of each node, of at most [`MAX_FACT`] bytes. Nodes that
//! were admitted are bounded by the papers that the mesh's authority has signed.

mod node;
pub mod probe;
pub mod reach;
pub mod sequence;
#[cfg(test)]
mod tests;

pub use node::Node;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wattle_contracts::fact::Fact;
use wattle_contracts::id::NodeId;

use super::time::Time;
use node::Gossip;
use probe::Probed;
use reach::{Report, Seen};

/// How many nodes are kept that were never admitted.
pub const MAX_HINTED: usize = 1024;

/// How many facts are kept of one node.
pub const MAX_TOPICS: usize = 16;

/// The topic of the fact by which a node says that it leaves. It holds until the node says
/// anything later, or is connected again.
pub const LEFT: &str = "left";

/// The largest fact, in bytes of its body.
pub const MAX_FACT: usize = 64 * 1024;

/// How a node is, seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// There is a connection to it, or the mesh hears from it through others.
    Alive,
    /// Something broke just now; it may be back in a moment.
    Suspect,
    /// Nobody hears from it. It stays a member, and is dialled for ever.
    Unreachable,
    /// It said that it leaves.
    Left,
}

impl Standing {
    /// The name, as people see it.
    pub fn name(self) -> &'static str {
        match self {
            Standing::Alive => "alive",
            Standing::Suspect => "suspect",
            Standing::Unreachable => "unreachable",
            Standing::Left => "left",
        }
    }
}

/// How long to wait before thinking the worse, or the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// How long a node without a connection, of which gossip says nothing, stays suspect.
    pub suspect_for: Duration,
    /// How long after a connection broke gossip's word that the node lives may still be about the
    /// time before: longer than its failure detector takes.
    pub gossip_lags: Duration,
    /// For how long a handshake that never ended, because the answers to it don't arrive, says
    /// that a node is behind a one-way cut: longer than such a node waits between two.
    pub knock_lasts: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            suspect_for: Duration::from_secs(10),
            gossip_lags: Duration::from_secs(20),
            knock_lasts: Duration::from_secs(45),
        }
    }
}

/// Something learned about a node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Evidence {
    /// An admitted connection to it came up: the first one, if there are several.
    Linked(NodeId),
    /// The last connection to it is gone.
    Unlinked(NodeId),
    /// Gossip's failure detector has made up its mind again: these live, these do not. Of a node
    /// in neither nothing is said.
    Gossip {
        /// Nodes whose heartbeat moves.
        live: BTreeSet<NodeId>,
        /// Nodes whose heartbeat has stopped.
        dead: BTreeSet<NodeId>,
    },
    /// It said over its own connection that it leaves.
    Goodbye(NodeId),
    /// It was asked whether it is there, by this node or through another.
    Probed(NodeId, Probed),
    /// It began a handshake that did not end: it does not hear the answers.
    Knocked(NodeId),
    /// A round trip to it was measured.
    RoundTrip(NodeId, Duration),
    /// A signed statement, from whoever relayed it.
    Fact(Box<Fact>),
}

/// What a piece of evidence changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// A node stands otherwise than before. `from` is `None` for one just heard of.
    Standing {
        /// The node.
        node: NodeId,
        /// How it stood.
        from: Option<Standing>,
        /// How it stands.
        to: Standing,
    },
    /// A node says something new on a topic.
    Fact {
        /// The node.
        node: NodeId,
        /// What about.
        topic: String,
    },
    /// A fact was not taken.
    FactRefused {
        /// The node that it names, which need not be at fault.
        named: NodeId,
        /// Why.
        why: &'static str,
    },
}

/// Every known node.
#[derive(Debug)]
pub struct Membership {
    me: NodeId,
    config: Config,
    nodes: BTreeMap<NodeId, Node>,
}

impl Membership {
    /// This node, and those that it had met before it was last stopped.
    pub fn new(
        me: NodeId,
        config: Config,
        now: Time,
        remembered: impl IntoIterator<Item = NodeId>,
    ) -> Self {
        let admitted = |id| (id, Node::new(id, now, true));
        let mut nodes: BTreeMap<NodeId, Node> = remembered.into_iter().map(admitted).collect();
        let mut own = Node::new(me, now, true);
        own.link(now);
        own.settle(now, config);
        nodes.insert(me, own);
        Self { me, config, nodes }
    }

    /// Takes evidence in, and appends what it changed to `out`.
    pub fn handle(&mut self, now: Time, evidence: Evidence, out: &mut Vec<Change>) {
        match evidence {
            // This node knows itself best.
            Evidence::Linked(id)
            | Evidence::Unlinked(id)
            | Evidence::Goodbye(id)
            | Evidence::Probed(id, _)
            | Evidence::Knocked(id)
                if id == self.me => {}
            Evidence::Linked(id) => self.learn(now, id, out, |node| node.link(now)),
            Evidence::Unlinked(id) => self.learn(now, id, out, |node| node.unlink(now)),
            Evidence::Goodbye(id) => self.learn(now, id, out, Node::leave),
            // Nobody is made known by a question about them.
            Evidence::Probed(id, found) => {
                if self.nodes.contains_key(&id) {
                    self.learn(now, id, out, |node| node.probed(found));
                }
            }
            Evidence::Knocked(id) => {
                if let Some(node) = self.nodes.get_mut(&id) {
                    node.knocked(now);
                }
            }
            Evidence::RoundTrip(id, time) => {
                if let Some(node) = self.nodes.get_mut(&id) {
                    node.measured(time);
                }
            }
            Evidence::Gossip { live, dead } => {
                let dead = dead.into_iter().map(|id| (id, Gossip::Dead));
                let live = live.into_iter().map(|id| (id, Gossip::Live));
                let me = self.me;
                for (id, word) in dead.chain(live).filter(|(id, _)| *id != me) {
                    self.learn(now, id, out, |node| node.gossip(word));
                }
            }
            Evidence::Fact(fact) => self.take_fact(now, *fact, out),
        }
    }

    /// Lets time pass: what was suspect long enough is unreachable.
    pub fn tick(&mut self, now: Time, out: &mut Vec<Change>) {
        for (id, node) in &mut self.nodes {
            let from = node.standing();
            let to = node.settle(now, self.config);
            if from != to {
                out.push(Change::Standing { node: *id, from: Some(from), to });
            }
        }
    }

    /// When [`Membership::tick`] may change something, if no evidence comes before.
    pub fn wake_at(&self) -> Time {
        let at = |node: &Node| node.changes_at(self.config);
        self.nodes.values().map(at).min().unwrap_or(Time::NEVER)
    }

    /// What is known of a node.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// Whether a node tries to connect and does not hear the answers, so that the cut between here
    /// and there is a one-way one.
    pub fn is_one_way(&self, now: Time, id: NodeId) -> bool {
        self.nodes.get(&id).is_some_and(|node| node.is_one_way(now, self.config))
    }

    /// Every known node, this one included, in the order of their ids.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// How this node sees the others: what it tells them. Of those with a connection, only the
    /// ones that are `usable` are said to be reached: it may have come up only just now.
    pub fn report(&self, now: Time, usable: impl Fn(NodeId) -> bool) -> Report {
        let others = self.nodes.values().filter(|node| node.id() != self.me);
        let seen = |node: &Node| match node.seen(now, self.config) {
            Seen::Direct { .. } if !usable(node.id()) => Seen::Heard,
            seen => seen,
        };
        Report::new(others.map(|node| (node.id(), seen(node))))
    }

    /// Through whom to reach the nodes that this one does not reach by itself: whoever has just
    /// asked them on its behalf, else the nearest of those who report a connection to them.
    pub fn detours(&self) -> BTreeMap<NodeId, NodeId> {
        let neighbours: Vec<&Node> =
            self.nodes.values().filter(|node| node.id() != self.me && node.answers()).collect();
        let away = self.nodes.values().filter(|node| {
            node.id() != self.me && !node.answers() && node.standing() != Standing::Left
        });
        away.filter_map(|node| {
            let asked = match node.found() {
                Some(Probed::Via(relay)) => neighbours.iter().find(|near| near.id() == relay),
                // The connection is the better guess while nobody else has heard it either.
                _ if node.is_linked() => return None,
                _ => None,
            };
            let relay = asked.map(|near| near.id()).or_else(|| {
                let ways = neighbours.iter().filter_map(|near| way(near, node.id()));
                ways.min().map(|(_, relay)| relay)
            });
            relay.map(|relay| (node.id(), relay))
        })
        .collect()
    }

    /// The nodes to which there is no connection and that have not left.
    pub fn away(&self) -> impl Iterator<Item = NodeId> {
        let away = |node: &&Node| !node.is_linked() && node.standing() != Standing::Left;
        self.nodes.values().filter(away).map(Node::id)
    }

    /// Everybody who can be talked to and reports a connection to `node`, the nearest first.
    pub fn ways(&self, node: NodeId) -> Vec<NodeId> {
        let neighbours = self.nodes.values().filter(|near| near.id() != self.me && near.answers());
        let mut ways: Vec<_> = neighbours.filter_map(|near| way(near, node)).collect();
        ways.sort_unstable();
        ways.into_iter().map(|(_, near)| near).collect()
    }

    /// The round trip to `node` by way of `relay`, as far as both tell.
    pub fn round_trip_through(&self, relay: NodeId, node: NodeId) -> Option<Duration> {
        let relay = self.nodes.get(&relay)?;
        Some(relay.round_trip()?.saturating_add(relay.report()?.direct(node)?))
    }

    fn learn(
        &mut self,
        now: Time,
        id: NodeId,
        out: &mut Vec<Change>,
        change: impl FnOnce(&mut Node),
    ) {
        let known = self.nodes.get(&id).map(Node::standing);
        if known.is_none() {
            self.make_room();
        }
        let node = self.nodes.entry(id).or_insert_with(|| Node::new(id, now, false));
        change(node);
        let to = node.settle(now, self.config);
        if known != Some(to) {
            out.push(Change::Standing { node: id, from: known, to });
        }
    }

    fn take_fact(&mut self, now: Time, fact: Fact, out: &mut Vec<Change>) {
        let (id, topic) = (fact.node, fact.topic.clone());
        let known = self.nodes.get(&id);
        // What is old news is not worth a signature check.
        if known.and_then(|node| node.fact(&topic)).is_some_and(|old| old.sequence >= fact.sequence)
        {
            return;
        }
        let topics = known.map_or(0, Node::topics);
        let is_new_topic = known.is_none_or(|node| node.fact(&topic).is_none());
        let refused = if fact.body.len() > MAX_FACT || topic.len() > 64 {
            Some("it is too large")
        } else if is_new_topic && topics >= MAX_TOPICS {
            Some("that node speaks on too many topics")
        } else if topic == reach::TOPIC
            && !fact.statement::<Report>().is_ok_and(|report| report.is_bounded())
        {
            Some("it is no report of who is reached")
        } else if !fact.is_genuine() {
            Some("the node that it names did not sign it")
        } else {
            None
        };
        if let Some(why) = refused {
            out.push(Change::FactRefused { named: id, why });
            return;
        }
        self.learn(now, id, out, |node| node.take_fact(now, fact));
        out.push(Change::Fact { node: id, topic });
    }

    /// Lets go of the node known by hearsay only that was not heard for longest, if there are
    /// too many.
    fn make_room(&mut self) {
        let hinted = || self.nodes.values().filter(|node| !node.was_admitted());
        if self.nodes.len() < MAX_HINTED || hinted().count() < MAX_HINTED {
            return;
        }
        let oldest = hinted().min_by_key(|node| (node.heard(), node.id())).map(Node::id);
        if let Some(oldest) = oldest {
            self.nodes.remove(&oldest);
        }
    }
}

/// How long a round trip to `node` through `near` takes, as far as both tell.
fn way(near: &Node, node: NodeId) -> Option<(Duration, NodeId)> {
    let rest = near.report()?.direct(node)?;
    Some((near.round_trip().unwrap_or(Duration::MAX).saturating_add(rest), near.id()))
}
