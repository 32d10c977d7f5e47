//! What a node does about the other cells, and what it knows of them. As in
//! `mesh::net::driver::cells`: what that is, [`Cells`] says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use wattle_contracts::id::{CellName, NodeId};
use wattle_contracts::record::{CellMember, Labels, RecordBody, RecordKey, Summary};
use wattle_contracts::trust::UnixMillis;
use wattle_mesh::core::cells::author::{Author, Current, draft};
use wattle_mesh::core::cells::{Cells, Config, Near, Plan};
use wattle_mesh::core::membership::{Node, Standing};
use wattle_mesh::core::redial::{Source, Target};
use wattle_mesh::core::time::Time;
use wattle_mesh::net::Runs;

use super::{Cx, Effect, Machine};
use crate::lattice::address;

/// Between two looks at the cells, where nothing in particular has happened.
const LOOK: Duration = Duration::from_millis(500);

/// What a node knows of other cells.
#[derive(Debug)]
pub(super) struct Abroad {
    own: CellName,
    /// Whom it has met, each with the cell that it named.
    met: BTreeMap<NodeId, CellName>,
    cells: Cells,
    author: Author,
    plan: Arc<Plan>,
    looked: Time,
    /// The summaries among the records may be others than those that were read.
    news: bool,
    /// Nodes of other cells that were called since the last look.
    called: BTreeSet<NodeId>,
    /// Nobody of another cell was ever met or heard of: there is nothing to do.
    is_alone: bool,
    told: BTreeMap<NodeId, Told>,
    /// The summaries that these are of, and whether each of those cells is reached.
    widened: Vec<(Arc<Summary>, bool)>,
}

/// A node of another cell, by the summary of that.
#[derive(Debug)]
struct Told {
    summary: Arc<Summary>,
    /// Its place in the summary.
    place: usize,
    /// What it serves; none where it serves nothing, as most do.
    runs: Option<Box<Runs>>,
    /// Whether this cell reaches that one.
    reached: bool,
}

impl Told {
    fn labels(&self) -> Option<&Labels> {
        self.summary.members.get(self.place).map(|member| &member.labels)
    }

    fn runs(&self) -> &Runs {
        static NOTHING: LazyLock<Runs> = LazyLock::new(Runs::default);
        self.runs.as_deref().unwrap_or(&NOTHING)
    }
}

impl Abroad {
    pub(super) fn new(me: NodeId, own: CellName, now: Time) -> Self {
        Self {
            met: BTreeMap::new(),
            cells: Cells::new(me, own.clone(), Config::default()),
            own,
            author: Author::new(me, now),
            plan: Arc::default(),
            looked: Time::ZERO,
            news: true,
            called: BTreeSet::new(),
            is_alone: true,
            told: BTreeMap::new(),
            widened: Vec::new(),
        }
    }

    /// Whether a node is in this one's cell. So is one that was never met: only in a cell are nodes
    /// heard of that were not.
    pub(super) fn is_near(&self, node: NodeId) -> bool {
        self.met.get(&node).is_none_or(|cell| *cell == self.own)
    }

    /// A summary among the records is another one.
    pub(super) fn summaries_changed(&mut self) {
        self.news = true;
    }

    /// Through whom nodes of other cells are reached that are not connected.
    pub(super) fn ways(&self) -> &Arc<BTreeMap<NodeId, NodeId>> {
        &self.plan.ways
    }

    /// When the next look is worth it.
    pub(super) fn tick_due(&self) -> Time {
        match () {
            () if self.news || !self.called.is_empty() => Time::ZERO,
            () if self.is_alone => Time::NEVER,
            () => self.looked.plus(LOOK),
        }
    }
}

impl Machine {
    /// A node says at the door which cell it is in.
    pub(crate) fn meet(&mut self, node: NodeId, cell: &CellName) {
        self.abroad.is_alone &= *cell == self.abroad.own;
        self.abroad.met.insert(node, cell.clone());
    }

    pub(super) fn is_near(&self, node: NodeId) -> bool {
        self.abroad.is_near(node)
    }

    /// What a summary tells of a node, where that counts: what this node sees itself of its own cell
    /// is better.
    fn told(&self, node: NodeId) -> Option<&Told> {
        let told = self.abroad.told.get(&node).filter(|_| node != self.me)?;
        let known = self.membership.node(node);
        let is_seen = |known: &Node| known.standing() != Standing::Unreachable;
        (!self.is_near(node) || !known.is_some_and(is_seen)).then_some(told)
    }

    pub(super) fn told_labels(&self, node: NodeId) -> Option<&Labels> {
        self.told(node).and_then(Told::labels)
    }

    pub(super) fn told_runs(&self, node: NodeId) -> Option<&Runs> {
        self.told(node).map(Told::runs)
    }

    /// Every node that this one knows of, of whatever cell.
    pub(super) fn everybody(&self) -> impl Iterator<Item = NodeId> + '_ {
        let far = self.abroad.told.keys().filter(|node| self.membership.node(**node).is_none());
        self.membership.nodes().map(Node::id).chain(far.copied())
    }

    /// How a node stands, of whatever cell it is.
    pub(super) fn standing_of(&self, node: NodeId) -> Option<Standing> {
        match self.told(node).filter(|_| !self.links.is_linked(node)) {
            Some(told) if told.reached => Some(Standing::Alive),
            Some(_) => Some(Standing::Unreachable),
            None => self.membership.node(node).map(Node::standing),
        }
    }

    /// A node is called: one of another cell gets a connection of its own.
    pub(super) fn want(&mut self, node: NodeId) {
        if self.abroad.told.contains_key(&node) && !self.is_near(node) {
            self.abroad.called.insert(node);
        }
    }

    /// Looks what is to be done about other cells, and does it.
    pub(super) fn tend_cells(&mut self, cx: &mut Cx<'_>) {
        if cx.now < self.abroad.tick_due() {
            return;
        }
        let news = std::mem::take(&mut self.abroad.news);
        if news {
            self.read_summaries();
        }
        let called = std::mem::take(&mut self.abroad.called);
        if self.abroad.is_alone {
            return;
        }
        self.abroad.looked = cx.now;
        for node in &called {
            self.abroad.cells.called(cx.now, *node);
        }
        let plan = self.plan_cells(cx);
        self.hint_members(&plan, cx);
        self.links.set_envoys(&plan.envoys);
        self.links.rest(&plan.resting);
        for node in called {
            self.links.need(cx.now, node);
        }
        for connection in self.links.unwanted(self.me, cx.now, |node| plan.wanted.contains(&node)) {
            if self.calls.is_idle(connection) {
                cx.out.push(Effect::Close { connection });
            }
        }
        if news || plan != self.abroad.plan {
            self.abroad.plan = plan;
            self.widen(cx.wall);
            self.changed = true;
        }
        self.peers_changed(cx);
        self.write_summary(cx);
    }

    fn read_summaries(&mut self) {
        let records = self.plane.records().into_iter().flat_map(|set| set.iter());
        let summaries = records.filter_map(|record| match (&record.key, &record.body) {
            (RecordKey::Cell(cell), RecordBody::Cell(summary)) => {
                Some((cell, record.version, summary))
            }
            _ => None,
        });
        let (own, mut is_alone) = (&self.abroad.own, self.abroad.is_alone);
        let summaries = summaries.inspect(|(cell, _, _)| is_alone &= *cell == own);
        let mut met = self.abroad.met.clone();
        met.retain(|node, _| self.links.is_linked(*node));
        // Who spoke for a cell that it is not in, a node tells in its log.
        self.abroad.cells.hear(summaries, &met);
        self.abroad.is_alone = is_alone;
    }

    fn plan_cells(&mut self, cx: &Cx<'_>) -> Arc<Plan> {
        let usable = |node: NodeId| {
            self.links.is_linked(node) && self.membership.node(node).is_some_and(Node::answers)
        };
        let far = self.links.connected().filter(|node| !self.is_near(*node) && usable(*node));
        let far: BTreeSet<NodeId> = far.collect();
        let others = self.membership.nodes().filter(|node| node.id() != self.me);
        let live = others.filter(|node| node.standing() == Standing::Alive);
        let near = live.filter(|node| self.is_near(node.id()));
        let near: Vec<Near> = near
            .map(|node| Near {
                node: node.id(),
                linked: usable(node.id()),
                report: node.report().cloned(),
            })
            .collect();
        let Abroad { cells, met, .. } = &mut self.abroad;
        cells.look(cx.now, cx.wall, &near, &far, met)
    }

    /// Where those are reached that are to be dialled.
    fn hint_members(&mut self, plan: &Plan, cx: &mut Cx<'_>) {
        // Most nodes want nobody of another cell.
        let all = (!plan.wanted.is_empty()).then(|| self.abroad.cells.addresses());
        let far = all.into_iter().flatten().filter(|(node, _)| plan.wanted.contains(node));
        let own = self.own_summary().map(|(_, summary)| summary.members.as_slice());
        let own = own.unwrap_or_default().iter().map(|m| (m.node, m.addresses.as_slice()));
        let is_new = |(node, addresses): &(NodeId, &[String])| !self.links.knows(*node, addresses);
        let new = far.chain(own).filter(|(node, _)| *node != self.me).filter(is_new);
        let new: Vec<(NodeId, Vec<String>)> =
            new.map(|(node, addresses)| (node, addresses.to_vec())).collect();
        for (node, addresses) in new {
            self.hint(Target::Node(node), &addresses, Source::Told, cx);
        }
    }

    /// Takes over what the summaries tell.
    fn widen(&mut self, wall: UnixMillis) {
        let Abroad { cells, plan, told, widened, .. } = &mut self.abroad;
        let reached = |cell: &CellName| plan.cells.get(cell).copied().unwrap_or(false);
        let young = cells.young(wall);
        let young: Vec<(Arc<Summary>, bool)> =
            young.map(|(cell, summary)| (Arc::clone(summary), reached(cell))).collect();
        let mut pairs = young.iter().zip(&*widened);
        let are_same = pairs
            .all(|((summary, reached), (was, held))| Arc::ptr_eq(summary, was) && reached == held);
        if young.len() == widened.len() && are_same {
            return;
        }
        told.clear();
        for (summary, reached) in &young {
            for (place, member) in summary.members.iter().enumerate() {
                let runs = Runs { components: member.serves.clone(), ..Runs::default() };
                let runs = (!runs.components.is_empty()).then(|| Box::new(runs));
                let summary = Arc::clone(summary);
                told.insert(member.node, Told { summary, place, runs, reached: *reached });
            }
        }
        *widened = young;
    }

    /// The summary of this node's own cell, with who wrote it and when.
    fn own_summary(&self) -> Option<((NodeId, UnixMillis), &Summary)> {
        let record = self.plane.records()?.get(&RecordKey::Cell(self.abroad.own.clone()))?;
        match &record.body {
            RecordBody::Cell(summary) => {
                let at = UnixMillis(record.version.at.millis);
                Some(((record.version.writer, at), summary))
            }
            _ => None,
        }
    }

    /// Writes the summary of this node's cell, if that is this node's task and is due.
    fn write_summary(&mut self, cx: &mut Cx<'_>) {
        let current = self.own_summary();
        if !self.abroad.plan.is_author(current.is_some()) {
            return;
        }
        let is_there = |node: &&Node| {
            let standing = node.standing();
            matches!(standing, Standing::Alive | Standing::Suspect) && self.is_near(node.id())
        };
        let member = |node: &Node| CellMember {
            node: node.id(),
            addresses: vec![address(node.id())],
            labels: self.labels_of(node.id()).clone(),
            serves: self.runs_of(node.id()).map(|r| r.components.clone()).unwrap_or_default(),
        };
        let members = self.membership.nodes().filter(is_there).map(member).collect();
        let (mine, bytes) = draft(&self.abroad.own, members);
        let current = current.map(|((writer, at), summary)| Current { writer, at, summary });
        if self.abroad.author.is_due(cx.now, cx.wall, current, &mine, bytes) {
            self.abroad.author.wrote(cx.now);
            let key = RecordKey::Cell(self.abroad.own.clone());
            self.put_record(key, RecordBody::Cell(mine), cx);
        }
    }
}
