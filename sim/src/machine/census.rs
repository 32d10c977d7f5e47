//! Who is in the mesh: membership, the questions whether somebody is there, and what nodes say of
//! themselves. As in `mesh::net::driver::{census, probing}`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use wattle_contracts::control::{Control, Probe};
use wattle_contracts::fact::Fact;
use wattle_contracts::id::NodeId;
use wattle_contracts::record::Labels;
use wattle_mesh::core::membership::probe::{Action, Config, Member, Prober};
use wattle_mesh::core::membership::reach::{self, Reporter};
use wattle_mesh::core::membership::sequence::Sequence;
use wattle_mesh::core::membership::{Change, Evidence, LEFT, Node, Standing};
use wattle_mesh::core::time::Time;
use wattle_mesh::net::{Runs, Timing};

use super::{Cx, Effect, Machine, Then};
use crate::lattice::disk::Op;
use crate::lattice::happening::Happening;

/// The topic of what a node is.
const ABOUT: &str = "about";
/// The topic of what it runs.
const RUNS: &str = "runs";

/// What a node knows of others, beside the membership.
#[derive(Debug)]
pub(super) struct Census {
    labels: Arc<Labels>,
    prober: Prober,
    reporter: Reporter,
    /// Whether what there is to report may be another than when that was last looked at.
    moved: bool,
    /// Until when somebody counts as having knocked; zero if nobody does.
    knocked: Time,
    /// The numbers of the facts of this node.
    sequence: Sequence,
    labels_of: BTreeMap<NodeId, Labels>,
    runs_of: BTreeMap<NodeId, Runs>,
    /// When the membership wants to be told the time again.
    settles: Time,
    /// When the prober has something to do, if nothing changes before.
    probes: Time,
}

impl Census {
    pub(super) fn new(timing: &Timing, labels: Arc<Labels>, said: u64) -> Self {
        let silent_after = timing.ping + Duration::from_millis(500);
        Self {
            labels,
            prober: Prober::new(Config { silent_after, ..Config::default() }),
            reporter: Reporter::default(),
            moved: true,
            knocked: Time::ZERO,
            sequence: Sequence::after(said),
            labels_of: BTreeMap::new(),
            runs_of: BTreeMap::new(),
            settles: Time::ZERO,
            probes: Time::ZERO,
        }
    }
}

impl Machine {
    /// The labels of a node, as far as it has said so.
    pub(super) fn labels_of(&self, node: NodeId) -> &Labels {
        static NONE: Labels = Labels::new();
        if node == self.me {
            return &self.census.labels;
        }
        let told = self.told_labels(node);
        told.or_else(|| self.census.labels_of.get(&node)).unwrap_or(&NONE)
    }

    /// What a node says that it runs.
    pub(super) fn runs_of(&self, node: NodeId) -> Option<&Runs> {
        self.told_runs(node).or_else(|| self.census.runs_of.get(&node))
    }

    /// Whether calls can be sent to it: over a connection, or through another node.
    pub(super) fn is_reachable(&self, node: NodeId) -> bool {
        self.links.is_linked(node) || self.links.via(node).is_some()
    }

    /// The round trip to a node.
    pub(super) fn round_trip(&self, node: NodeId) -> Option<Duration> {
        match self.links.via(node) {
            Some(relay) => self.membership.round_trip_through(relay, node),
            None => self.membership.node(node).and_then(Node::round_trip),
        }
    }

    pub(super) fn evidence(&mut self, evidence: Evidence, cx: &mut Cx<'_>) {
        let mut changes = Vec::new();
        let is_timeless = matches!(evidence, Evidence::RoundTrip(..));
        if matches!(evidence, Evidence::Knocked(_)) {
            let lasts = wattle_mesh::core::membership::Config::default().knock_lasts;
            self.census.knocked = cx.now.plus(lasts);
        }
        self.membership.handle(cx.now, evidence, &mut changes);
        if !is_timeless {
            self.census.settles = self.membership.wake_at();
            self.census.probes = Time::ZERO;
            self.census.moved = true;
            self.introducing.look_again();
        }
        self.note(changes, cx);
    }

    fn note(&mut self, changes: Vec<Change>, cx: &mut Cx<'_>) {
        for change in changes {
            (self.changed, self.census.moved) = (true, true);
            self.introducing.look_again();
            match change {
                Change::Standing { node, to, .. } => {
                    cx.happens(Happening::Stands { of: node, to });
                }
                Change::Fact { node, topic } => self.learned(node, &topic),
                Change::FactRefused { named, why } => {
                    cx.happens(Happening::Fault(format!("a fact of {}: {why}", named.short())));
                }
                _ => {}
            }
        }
    }

    fn learned(&mut self, node: NodeId, topic: &str) {
        let Some(known) = self.membership.node(node) else { return };
        match topic {
            ABOUT => {
                self.census.labels_of.insert(node, known.statement(ABOUT).unwrap_or_default());
            }
            RUNS => {
                self.census.runs_of.insert(node, known.statement(RUNS).unwrap_or_default());
            }
            _ => {}
        }
    }

    /// A fact of another node, from whoever relayed it. Whether it is news.
    pub(super) fn take_fact(&mut self, fact: Fact, cx: &mut Cx<'_>) -> bool {
        let mut changes = Vec::new();
        self.membership.handle(cx.now, Evidence::Fact(Box::new(fact)), &mut changes);
        let news = changes.iter().any(|change| matches!(change, Change::Fact { .. }));
        self.note(changes, cx);
        news
    }

    pub(super) fn sign_fact<T: serde::Serialize>(
        &mut self,
        topic: &str,
        statement: &T,
        cx: &mut Cx<'_>,
    ) -> Option<Fact> {
        let (number, reserved) = self.census.sequence.next(cx.wall);
        if let Some(reserved) = reserved {
            let ops = vec![Op::Said(reserved)];
            cx.out.push(Effect::Write { ops, then: Then::Nothing });
        }
        Fact::sign(&self.key, topic, number, statement).ok()
    }

    fn say<T: serde::Serialize>(&mut self, topic: &str, statement: &T, cx: &mut Cx<'_>) {
        let Some(fact) = self.sign_fact(topic, statement, cx) else { return };
        self.take_fact(fact.clone(), cx);
        self.gossip_fact(cx.now, fact);
    }

    /// When the next look at who is there is worth it.
    pub(super) fn census_due(&self) -> Time {
        let reports = if self.settings.gossip { self.report_due() } else { Time::NEVER };
        self.census.settles.min(self.census.probes).min(reports)
    }

    fn report_due(&self) -> Time {
        let Census { reporter, moved, knocked, .. } = &self.census;
        reporter.due_at(*moved || *knocked > Time::ZERO)
    }

    pub(super) fn say_about(&mut self, cx: &mut Cx<'_>) {
        let labels = Arc::clone(&self.census.labels);
        self.say(ABOUT, &*labels, cx);
    }

    pub(super) fn say_runs(&mut self, runs: &Runs, cx: &mut Cx<'_>) {
        self.say(RUNS, runs, cx);
    }

    pub(super) fn tick_census(&mut self, cx: &mut Cx<'_>) {
        if self.census.settles <= cx.now {
            let mut changes = Vec::new();
            self.membership.tick(cx.now, &mut changes);
            self.census.settles = self.membership.wake_at();
            self.note(changes, cx);
        }
        // Who has answered since then is asked later: as long as nobody came or went, it knows.
        if self.census.probes != Time::ZERO && self.census.probes <= cx.now {
            self.census.probes = self.census.prober.wake_at();
        }
        if self.census.probes <= cx.now {
            self.tick_prober(cx);
        }
        self.say_reach(cx);
    }

    /// Asks what is to be asked. Where nothing is due and nobody came or went, it would do nothing.
    fn tick_prober(&mut self, cx: &mut Cx<'_>) {
        let me = self.me;
        let others = self.membership.nodes().filter(|node| node.id() != me);
        let others = others.filter(|node| node.is_linked() || self.abroad.is_near(node.id()));
        let here = others.filter(|node| node.standing() != Standing::Left);
        let members: Vec<Member> =
            here.map(|node| Member { node: node.id(), linked: node.is_linked() }).collect();
        let mut actions = Vec::new();
        self.census.prober.tick(cx.now, &members, cx.rng, &mut actions);
        self.act_on(actions, cx);
        self.census.probes = self.census.prober.wake_at();
    }

    fn say_reach(&mut self, cx: &mut Cx<'_>) {
        if !self.settings.gossip || cx.now < self.report_due() {
            return;
        }
        self.census.moved = false;
        if self.census.knocked <= cx.now {
            self.census.knocked = Time::ZERO;
        }
        let mut report = self.membership.report(cx.now, |node| self.links.is_linked(node));
        let far = |node: &&Node| !node.is_linked() && !self.is_near(node.id());
        for node in self.membership.nodes().filter(far) {
            report.forget(node.id());
        }
        if self.census.reporter.is_news(cx.now, &report) {
            self.say(reach::TOPIC, &report, cx);
            self.census.reporter.told(cx.now, report);
        }
    }

    pub(super) fn on_probe(&mut self, from: NodeId, probe: Probe, cx: &mut Cx<'_>) {
        let mut actions = Vec::new();
        self.census.prober.receive(cx.now, from, probe, cx.rng, &mut actions);
        self.act_on(actions, cx);
        self.census.probes = self.census.probes.min(self.census.prober.wake_at());
    }

    /// A node has answered. Whether that is news.
    pub(super) fn sign_of_life(&mut self, node: NodeId, cx: &mut Cx<'_>) -> bool {
        let mut actions = Vec::new();
        self.census.prober.heard(cx.now, node, &mut actions);
        let is_news = !actions.is_empty();
        self.act_on(actions, cx);
        is_news
    }

    fn act_on(&mut self, actions: Vec<Action>, cx: &mut Cx<'_>) {
        for action in actions {
            match action {
                Action::Send(to, probe) => _ = self.tell(to, Control::Probe(probe), cx),
                Action::Found(node, how) => {
                    let found = |machine: &Self| machine.membership.node(node).map(Node::found);
                    let before = found(self);
                    self.evidence(Evidence::Probed(node, how), cx);
                    self.changed |= found(self) != before;
                }
            }
        }
    }

    /// Somebody leaves, and says so itself or through who heard it.
    pub(super) fn on_goodbye(&mut self, from: NodeId, fact: Fact, cx: &mut Cx<'_>) {
        if fact.topic != LEFT {
            return;
        }
        let node = fact.node;
        if node != from && !(self.is_near(node) && self.is_near(from)) {
            return;
        }
        let news = self.take_fact(fact.clone(), cx);
        if node == from {
            self.evidence(Evidence::Goodbye(from), cx);
        }
        if !news || !self.is_near(node) {
            return;
        }
        let linked = |peer: &Node| peer.report().is_some_and(|r| r.direct(node).is_some());
        let peers = self.membership.nodes().filter(|peer| peer.is_linked() && peer.id() != self.me);
        let told = peers.filter(|peer| peer.id() != node && peer.id() != from && !linked(peer));
        let told = told.filter(|peer| self.is_near(peer.id()));
        let told: Vec<NodeId> = told.map(Node::id).collect();
        for peer in told {
            self.tell(peer, Control::Goodbye(Box::new(fact.clone())), cx);
        }
    }
}
