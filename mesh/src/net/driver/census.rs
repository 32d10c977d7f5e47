//! What is known of every node, put together for those above.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use libp2p::Multiaddr;
use wattle_contracts::audit::Head;
use wattle_contracts::fact::Fact;
use wattle_contracts::id::NodeId;

use wattle_contracts::record::CellMember;

use super::cells::told;
use super::dialling::Dialling;
use crate::core::cells::Near;
use crate::core::membership::probe::{Member, Probed};
use crate::core::membership::reach::Report;
use crate::core::membership::{Change, Config, Evidence, Membership, Node, Standing};
use crate::core::time::Time;
use crate::net::cells::Met;
use crate::net::gossip::Heard;
use crate::net::metrics::Metrics;
use crate::net::statement::{AboutFact, Load, Runs, Topic};
use crate::net::view::{FoundBy, NodeView, View};

/// A round trip that differs by less is the same one.
const RTT_NOISE: Duration = Duration::from_micros(500);

/// What a node says of itself. Default until it has said something that can be read.
#[derive(Debug, Clone, Default)]
struct Statements {
    about: AboutFact,
    runs: Runs,
    load: Load,
    audit: Option<Head>,
}

impl Statements {
    /// Decodes what is said anew.
    fn take(&mut self, fact: &Fact) {
        match &*fact.topic {
            topic if topic == Topic::About.name() => {
                self.about = fact.statement().unwrap_or_default();
            }
            topic if topic == Topic::Runs.name() => {
                self.runs = fact.statement().unwrap_or_default();
            }
            topic if topic == Topic::Load.name() => {
                self.load = fact.statement().unwrap_or_default();
            }
            topic if topic == Topic::Audit.name() => self.audit = fact.statement().ok(),
            _ => {}
        }
    }
}

/// Membership, and the view that was last made of it.
#[derive(Debug)]
pub(super) struct Census {
    me: NodeId,
    met: Arc<Met>,
    membership: Membership,
    metrics: Arc<Metrics>,
    /// What the facts say, decoded once.
    statements: BTreeMap<NodeId, Statements>,
    /// The round trips that the last view shows.
    shown: BTreeMap<NodeId, Duration>,
    /// Those that it shows behind a one-way cut, which is over when they are not heard any more.
    one_way: BTreeSet<NodeId>,
    changed: bool,
}

impl Census {
    pub(super) fn new(
        me: NodeId,
        met: Arc<Met>,
        now: Time,
        metrics: Arc<Metrics>,
        remembered: impl IntoIterator<Item = NodeId>,
    ) -> Self {
        let membership = Membership::new(me, Config::default(), now, remembered);
        Self {
            me,
            met,
            membership,
            metrics,
            statements: BTreeMap::new(),
            shown: BTreeMap::new(),
            one_way: BTreeSet::new(),
            changed: true,
        }
    }

    pub(super) fn connected(&mut self, now: Time, node: NodeId) {
        self.handle(now, Evidence::Linked(node));
        self.changed = true;
    }

    pub(super) fn disconnected(&mut self, now: Time, node: NodeId) {
        self.handle(now, Evidence::Unlinked(node));
        self.changed = true;
    }

    pub(super) fn goodbye(&mut self, now: Time, node: NodeId) {
        self.handle(now, Evidence::Goodbye(node));
    }

    pub(super) fn round_trip(&mut self, now: Time, node: NodeId, time: Duration) {
        self.handle(now, Evidence::RoundTrip(node, time));
        // Measured all the time, and never twice the same: each view is looked at by all who choose
        // between nodes.
        let measured = self.membership.node(node).and_then(Node::round_trip).unwrap_or(time);
        let is_like = |shown: &Duration| shown.abs_diff(measured) <= *shown / 4 + RTT_NOISE;
        self.changed |= !self.shown.get(&node).is_some_and(is_like);
    }

    pub(super) fn heard(&mut self, now: Time, heard: Heard) {
        let Heard { live, dead, facts } = heard;
        self.handle(now, Evidence::Gossip { live, dead });
        for fact in facts {
            self.fact(now, fact);
        }
    }

    /// Takes in a fact, of another node or of this one. Whether it is news.
    pub(super) fn fact(&mut self, now: Time, fact: Fact) -> bool {
        let mut changes = Vec::new();
        self.membership.handle(now, Evidence::Fact(Box::new(fact)), &mut changes);
        let news = changes.iter().any(|change| matches!(change, Change::Fact { .. }));
        self.note(changes);
        news
    }

    pub(super) fn probed(&mut self, now: Time, node: NodeId, found: Probed) {
        let known = |census: &Self| census.membership.node(node).and_then(Node::found);
        let before = known(self);
        self.handle(now, Evidence::Probed(node, found));
        let after = known(self);
        if before != after {
            tracing::debug!(%node, ?found, "a node was asked whether it is there");
            self.changed = true;
        }
    }

    /// A handshake of `node` did not end.
    pub(super) fn knocked(&mut self, now: Time, node: NodeId) {
        self.handle(now, Evidence::Knocked(node));
        self.changed = true;
    }

    /// Whether it can be talked to over its connection.
    pub(super) fn answers(&self, node: NodeId) -> bool {
        self.membership.node(node).is_some_and(Node::answers)
    }

    /// The other live nodes of this node's cell.
    pub(super) fn near(&self, usable: impl Fn(NodeId) -> bool) -> Vec<Near> {
        let others = self.membership.nodes().filter(|node| node.id() != self.me);
        let live = others.filter(|node| node.standing() == Standing::Alive);
        let near = live.filter(|node| self.met.is_near(node.id()));
        near.map(|node| Near {
            node: node.id(),
            linked: usable(node.id()),
            report: node.report().cloned(),
        })
        .collect()
    }

    /// What there is to say of this node's cell.
    pub(super) fn members_of_cell(&self, own_addresses: &[Multiaddr]) -> Vec<CellMember> {
        let is_there = |node: &&Node| {
            let standing = node.standing();
            matches!(standing, Standing::Alive | Standing::Suspect) && self.met.is_near(node.id())
        };
        let member = |node: &Node| {
            let said = self.statements.get(&node.id());
            CellMember {
                node: node.id(),
                addresses: match node.id() == self.me {
                    true => told(own_addresses.to_vec()),
                    false => told(self.says_reached_at(node.id())),
                },
                labels: said.map(|said| said.about.about.labels.clone()).unwrap_or_default(),
                serves: said.map(|said| said.runs.components.clone()).unwrap_or_default(),
            }
        };
        self.membership.nodes().filter(is_there).map(member).collect()
    }

    /// The nodes to keep an eye on: those of this cell, and those with a connection.
    pub(super) fn members(&self) -> Vec<Member> {
        let others = self.membership.nodes().filter(|node| node.id() != self.me);
        let others = others.filter(|node| node.is_linked() || self.met.is_near(node.id()));
        let here = others.filter(|node| node.standing() != Standing::Left);
        here.map(|node| Member { node: node.id(), linked: node.is_linked() }).collect()
    }

    /// The peers that have not reported a connection to `node`.
    pub(super) fn not_linked_to(&self, node: NodeId) -> Vec<NodeId> {
        let linked = |peer: &Node| peer.report().is_some_and(|r| r.direct(node).is_some());
        let peers = self.membership.nodes().filter(|peer| peer.is_linked() && peer.id() != self.me);
        peers.filter(|peer| peer.id() != node && !linked(peer)).map(Node::id).collect()
    }

    /// Who is reached from here.
    pub(super) fn report(&self, now: Time, usable: impl Fn(NodeId) -> bool) -> Report {
        let mut report = self.membership.report(now, usable);
        let far = |node: &&Node| !node.is_linked() && !self.met.is_near(node.id());
        for node in self.membership.nodes().filter(far) {
            report.forget(node.id());
        }
        report
    }

    /// Through whom others are reached.
    pub(super) fn detours(&self) -> BTreeMap<NodeId, NodeId> {
        self.membership.detours()
    }

    /// The nodes to which there is no connection, although there should be one, and that have not
    /// left.
    pub(super) fn away(&self) -> impl Iterator<Item = NodeId> {
        self.membership.away().filter(|node| self.met.is_near(*node))
    }

    /// The neighbours of `node` that are this node's, too, the nearest first.
    pub(super) fn ways(&self, node: NodeId) -> Vec<NodeId> {
        self.membership.ways(node)
    }

    /// Whether the next view may be another one.
    pub(super) fn has_changed(&self) -> bool {
        self.changed
    }

    /// Where `node` says that it is reached.
    pub(super) fn says_reached_at(&self, node: NodeId) -> Vec<Multiaddr> {
        let said = self.statements.get(&node);
        let addresses = said.map(|said| said.about.addresses.as_slice()).unwrap_or_default();
        addresses.iter().filter_map(|text| text.parse().ok()).collect()
    }

    /// Something else that the view shows has changed.
    pub(super) fn touch(&mut self) {
        self.changed = true;
    }

    pub(super) fn tick(&mut self, now: Time) {
        let mut changes = Vec::new();
        self.membership.tick(now, &mut changes);
        self.note(changes);
        self.changed |= !self.one_way.iter().all(|node| self.membership.is_one_way(now, *node));
        // What is known by hearsay only may have had to go.
        let known = |node: &NodeId| self.membership.node(*node).is_some();
        self.statements.retain(|node, _| known(node));
    }

    /// The view, if it may have changed since it was last asked for.
    pub(super) fn view(
        &mut self,
        now: Time,
        dialling: &Dialling,
        connected: impl Fn(NodeId) -> bool,
        own_addresses: &[Multiaddr],
    ) -> Option<View> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let mut detours = self.membership.detours();
        let own_report = Arc::new(self.report(now, &connected));
        let view_of = |node: &Node| {
            let id = node.id();
            let is_self = id == self.me;
            let said = self.statements.get(&id).cloned().unwrap_or_default();
            let via = detours.remove(&id);
            let view = NodeView {
                id,
                is_self,
                cell: self.met.own().clone(),
                told: false,
                ambassador: false,
                standing: node.standing(),
                connected: !is_self && connected(id),
                via,
                one_way: self.membership.is_one_way(now, id),
                sees: match is_self {
                    true => Some(own_report.clone()),
                    false => node.report().cloned(),
                },
                addresses: match is_self {
                    true => own_addresses.to_vec(),
                    false => dialling.addresses(id),
                },
                found_by: match is_self {
                    true => FoundBy::Itself,
                    false => dialling.found_by(id),
                },
                rtt: match via {
                    Some(relay) => self.membership.round_trip_through(relay, id),
                    None => node.round_trip(),
                },
                about: said.about.about,
                runs: said.runs,
                load: said.load,
                audit: said.audit,
            };
            (id, view)
        };
        let view = View { nodes: self.membership.nodes().map(view_of).collect() };
        let measured = self.membership.nodes();
        let measured = measured.filter_map(|node| Some((node.id(), node.round_trip()?)));
        self.shown = measured.collect();
        let one_way = view.nodes.values().filter(|node| node.one_way);
        self.one_way = one_way.map(|node| node.id).collect();
        Some(view)
    }

    fn handle(&mut self, now: Time, evidence: Evidence) {
        let mut changes = Vec::new();
        self.membership.handle(now, evidence, &mut changes);
        self.note(changes);
    }

    fn note(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Standing { node, from, to } => {
                    let from = from.map_or("unknown", |standing| standing.name());
                    tracing::info!(%node, from, to = to.name(), "a node's standing changed");
                    self.changed = true;
                }
                Change::Fact { node, topic } => {
                    if let Some(fact) = self.membership.node(node).and_then(|n| n.fact(&topic)) {
                        self.statements.entry(node).or_default().take(fact);
                    }
                    self.changed = true;
                }
                Change::FactRefused { named, why } => {
                    self.metrics.facts_refused.one();
                    tracing::debug!(node = %named, why, "a fact was refused");
                }
                #[allow(unreachable_patterns, reason = "the enum is open for changes to come")]
                _ => self.changed = true,
            }
        }
    }
}
