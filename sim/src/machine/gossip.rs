//! What carries the facts of nodes about themselves where chitchat would be too slow.
//!
//! A stand-in, not chitchat's own code, which [`super::chat`] runs. It exchanges as
//! chitchat does (a digest, what is newer, what is newer the other way: van
//! Renesse, Dumitriu, Gough, Thomas, "Efficient reconciliation and flow control for anti-entropy
//! protocols", 2008), with [`PEERS`] peers a round, and its failure detector has chitchat's rule
//! and the parameters of a real node: silence of eight times the usual interval is taken for
//! death (Hayashibara, Défago, Yared, Katayama, "The phi accrual failure detector", 2004).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use wattle_contracts::fact::Fact;
use wattle_contracts::id::NodeId;
use wattle_contracts::trust::UnixMillis;
use wattle_mesh::core::gossip::{Config, Pace};
use wattle_mesh::core::membership::Evidence;
use wattle_mesh::core::redial::{Source, Target};
use wattle_mesh::core::time::Time;
use wattle_mesh::net::gossip::is_urgent;

use super::{Cx, Effect, Machine, Payload};
use crate::mutant::Mutant;

/// With how many peers a node gossips in a round.
const PEERS: usize = 3;
/// Silence of so many usual intervals is taken for death.
const PHI: u128 = 8;
/// So many intervals are remembered, and the first guess counts as so many.
const SAMPLES: u128 = 50;
const PRIOR: u128 = 5;
/// What chitchat takes to name a node in a digest, in bytes.
const NAME: usize = 106;

/// A message of the stand-in.
#[derive(Debug, Serialize)]
pub(crate) enum Gossip {
    Digest(BTreeMap<NodeId, Beat>),
    /// What is newer here, and what is wanted.
    Delta(Vec<Told>, BTreeMap<NodeId, Beat>),
    Rest(Vec<Told>),
}

/// Which life of a node, its heart, and how many facts it has told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
pub(crate) struct Beat {
    life: u64,
    heart: u64,
    facts: u64,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Told {
    node: NodeId,
    beat: Beat,
    #[serde(serialize_with = "plain")]
    facts: Vec<Arc<Fact>>,
}

fn plain<S: serde::Serializer>(facts: &[Arc<Fact>], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(facts.iter().map(|fact| &**fact))
}

#[derive(Debug)]
pub(super) struct State {
    me: NodeId,
    round: Duration,
    /// How often the node begins an exchange, be it chitchat's or the stand-in's.
    pub(super) pace: Pace,
    known: BTreeMap<NodeId, Known>,
    live: BTreeSet<NodeId>,
    dead: BTreeSet<NodeId>,
}

#[derive(Debug, Default)]
struct Known {
    beat: Beat,
    /// By topic, each with the count at which it was told.
    facts: BTreeMap<String, (u64, Arc<Fact>)>,
    heard: Option<Time>,
    /// Of the intervals between heart beats: how many, and their sum in microseconds.
    samples: u128,
    sum: u128,
}

impl State {
    pub(super) fn new(me: NodeId, wall: UnixMillis, round: Duration) -> Self {
        let own = Known { beat: Beat { life: wall.0, heart: 1, facts: 0 }, ..Known::default() };
        let (live, dead) = (BTreeSet::new(), BTreeSet::new());
        let pace = Pace::new(Config::with_rounds_of(round), Time::ZERO);
        Self { me, round, pace, known: BTreeMap::from([(me, own)]), live, dead }
    }

    fn digest(&self) -> BTreeMap<NodeId, Beat> {
        let known = self.known.iter().filter(|(node, _)| !self.dead.contains(node));
        known.map(|(node, known)| (*node, known.beat)).collect()
    }

    /// What is newer here than in a digest.
    fn newer(&self, theirs: &BTreeMap<NodeId, Beat>) -> Vec<Told> {
        let newer = |(node, known): (&NodeId, &Known)| {
            let has = theirs.get(node).copied().unwrap_or_default();
            if self.dead.contains(node) || has >= known.beat {
                return None;
            }
            let since = if has.life == known.beat.life { has.facts } else { 0 };
            let facts = known.facts.values().filter(|(told, _)| *told > since);
            let facts = facts.map(|(_, fact)| Arc::clone(fact)).collect();
            Some(Told { node: *node, beat: known.beat, facts })
        };
        self.known.iter().filter_map(newer).collect()
    }

    /// Takes in what is newer. Gives back facts that may be news.
    fn take(&mut self, now: Time, told: &[Told]) -> Vec<Arc<Fact>> {
        let mut news = Vec::new();
        for Told { node, beat, facts } in told {
            if *node == self.me {
                continue;
            }
            let known = self.known.entry(*node).or_default();
            if *beat <= known.beat {
                continue;
            }
            if beat.life != known.beat.life {
                *known = Known::default();
            } else if let Some(heard) = known.heard {
                let interval = now.since(heard);
                if interval <= self.round * 20 {
                    known.sample(interval);
                }
            }
            known.heard = Some(now);
            for fact in facts.iter().filter(|fact| fact.node == *node) {
                known.facts.insert(fact.topic.clone(), (beat.facts, Arc::clone(fact)));
                news.push(Arc::clone(fact));
            }
            known.beat = *beat;
        }
        news
    }

    /// Makes up its mind who lives. True if that changed.
    fn judge(&mut self, now: Time) -> bool {
        let (mut live, mut dead) = (BTreeSet::new(), BTreeSet::new());
        for (node, known) in self.known.iter().filter(|(node, _)| **node != self.me) {
            let Some(heard) = known.heard else { continue };
            // chitchat believes in a heart once it has heard it twice.
            let is_live = known.samples > 0 && known.is_beating(now.since(heard), self.round * 2);
            if is_live {
                live.insert(*node)
            } else {
                dead.insert(*node)
            };
        }
        let changed = (&live, &dead) != (&self.live, &self.dead);
        (self.live, self.dead) = (live, dead);
        changed
    }
}

impl Known {
    fn sample(&mut self, interval: Duration) {
        if self.samples == SAMPLES {
            self.sum -= self.sum / SAMPLES;
            self.samples -= 1;
        }
        self.samples += 1;
        self.sum += interval.as_micros();
    }

    fn is_beating(&self, silence: Duration, guess: Duration) -> bool {
        let sum = self.sum + PRIOR * guess.as_micros();
        silence.as_micros() * (self.samples + PRIOR) <= PHI * sum
    }
}

impl Machine {
    /// Something that this node says of itself goes out with the next round.
    pub(super) fn gossip_fact(&mut self, now: Time, fact: Fact) {
        if is_urgent(&fact.topic) {
            self.gossip.pace.news(now);
        }
        if self.chat.is_some() {
            return self.chat_fact(&fact);
        }
        if let Some(own) = self.gossip.known.get_mut(&self.me) {
            own.beat.facts += 1;
            own.facts.insert(fact.topic.clone(), (own.beat.facts, Arc::new(fact)));
        }
    }

    pub(super) fn gossip_round(&mut self, cx: &mut Cx<'_>) {
        if let Some(own) = self.gossip.known.get_mut(&self.me) {
            own.beat.heart += 1;
        }
        let peers: Vec<NodeId> = self.links.near().collect();
        let chosen = rand::seq::index::sample(cx.rng, peers.len(), PEERS.min(peers.len()));
        let chosen: Vec<NodeId> =
            chosen.into_iter().filter_map(|at| peers.get(at).copied()).collect();
        let bytes = self.gossip.known.len() * NAME;
        let chosen: Vec<NodeId> =
            chosen.into_iter().filter(|_| self.gossip.pace.begin(cx.now, bytes)).collect();
        if !chosen.is_empty() {
            let digest = Arc::new(Gossip::Digest(self.gossip.digest()));
            for peer in chosen {
                self.send_gossip(peer, Arc::clone(&digest), cx);
            }
        }
        if self.gossip.judge(cx.now) {
            let (live, dead) = (self.gossip.live.clone(), self.gossip.dead.clone());
            self.evidence(Evidence::Gossip { live, dead }, cx);
        }
    }

    /// A connection to this peer stands: gossip with it at once.
    pub(super) fn greet(&mut self, peer: NodeId, cx: &mut Cx<'_>) {
        if self.chat.is_some() {
            return self.chat_greet(peer, cx);
        }
        if self.settings.gossip {
            let digest = Arc::new(Gossip::Digest(self.gossip.digest()));
            self.send_gossip(peer, digest, cx);
        }
    }

    pub(super) fn on_gossip(&mut self, from: NodeId, message: &Gossip, cx: &mut Cx<'_>) {
        match message {
            Gossip::Digest(theirs) => {
                let answer =
                    Arc::new(Gossip::Delta(self.gossip.newer(theirs), self.gossip.digest()));
                if self.is_broken(Mutant::Chatter) {
                    let all: Vec<NodeId> = self.links.connected().collect();
                    for peer in all.iter().cycle().take(all.len() * 5) {
                        self.send_gossip(*peer, Arc::clone(&answer), cx);
                    }
                }
                self.send_gossip(from, answer, cx);
            }
            Gossip::Delta(told, theirs) => {
                self.take_told(told, cx);
                let rest = self.gossip.newer(theirs);
                if !rest.is_empty() {
                    self.send_gossip(from, Arc::new(Gossip::Rest(rest)), cx);
                }
            }
            Gossip::Rest(told) => self.take_told(told, cx),
        }
    }

    fn take_told(&mut self, told: &[Told], cx: &mut Cx<'_>) {
        let facts = self.gossip.take(cx.now, told);
        for fact in facts {
            let node = fact.node;
            if self.take_fact(Fact::clone(&fact), cx) && !self.links.is_linked(node) {
                // Where nodes say that they are reached is one more hint.
                self.hint(Target::Node(node), &[crate::lattice::address(node)], Source::Told, cx);
            }
        }
    }

    fn send_gossip(&self, to: NodeId, message: Arc<Gossip>, cx: &mut Cx<'_>) {
        if let Some(connection) = self.links.connection(to) {
            cx.out.push(Effect::Send { connection, payload: Payload::Gossip(message) });
        }
    }
}
