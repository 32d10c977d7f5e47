//! What a plan was made from, so that it is made anew only when something of that is another.
//!
//! Most of what a node hears of its cell changes nothing here: a report with another round trip in
//! it, a member that was heard again. What a plan depends on is who is there, which cells each
//! neighbour holds a connection to, and a few moments at which time alone changes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wattle_contracts::id::{CellName, NodeId};
use wattle_contracts::trust::UnixMillis;

use super::{Cells, MAX_CELLS, Near, Report, ranked};
use crate::core::time::Time;

#[derive(Debug)]
pub(super) struct Seen {
    /// Whether the plan is to be made anew, whatever the time is.
    pub(super) is_stale: bool,
    /// Before this, no time changes it.
    pub(super) until: Time,
    /// When the last summary was over that is not believed, and when the first is that is.
    pub(super) walls: (Option<UnixMillis>, Option<UnixMillis>),
    /// The other live nodes of this cell.
    pub(super) near: BTreeMap<NodeId, Neighbour>,
    pub(super) linked: BTreeSet<NodeId>,
    pub(super) met: BTreeMap<NodeId, CellName>,
    /// Grows with each change of which nodes there are, here or in other cells.
    pub(super) nodes: u64,
    /// Whether the summaries are others than those of which `grounds` was made.
    pub(super) is_news: bool,
    /// The live nodes of this cell by rank, this one among them.
    pub(super) own: Vec<NodeId>,
    pub(super) grounds: BTreeMap<CellName, Ground>,
    /// Who is not to be dialled, by who is wanted.
    pub(super) resting: Made<BTreeSet<NodeId>, BTreeSet<NodeId>>,
    /// Through whom calls go, by the gates of the cells.
    pub(super) ways: Made<BTreeMap<CellName, NodeId>, BTreeMap<NodeId, NodeId>>,
}

/// Another live node of this cell, as far as it matters here.
#[derive(Debug)]
pub(super) struct Neighbour {
    pub(super) node: NodeId,
    pub(super) linked: bool,
    /// Which cells it holds a connection to, by this report.
    pub(super) holds: BTreeSet<CellName>,
    report: Option<Arc<Report>>,
}

/// Which nodes another cell has.
#[derive(Debug, Default)]
pub(super) struct Ground {
    /// Whether there is a summary of it.
    pub(super) is_told: bool,
    /// Its nodes, the one that is to be its ambassador first.
    pub(super) ranked: Vec<NodeId>,
    /// Those that said themselves that they are in it.
    strangers: Vec<NodeId>,
}

impl Ground {
    /// All that were ever known to be its nodes.
    pub(super) fn known(&self) -> impl Iterator<Item = NodeId> {
        self.ranked.iter().chain(&self.strangers).copied()
    }
}

/// Something large, and what it was made from.
#[derive(Debug, Default)]
pub(super) struct Made<F, W> {
    pub(super) nodes: u64,
    pub(super) from: F,
    pub(super) what: Arc<W>,
}

impl<F, W: Eq> Made<F, W> {
    pub(super) fn renew(&mut self, nodes: u64, from: F, what: W) {
        (self.nodes, self.from) = (nodes, from);
        if *self.what != what {
            self.what = Arc::new(what);
        }
    }
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            is_stale: true,
            until: Time::ZERO,
            walls: (None, None),
            near: BTreeMap::new(),
            linked: BTreeSet::new(),
            met: BTreeMap::new(),
            nodes: 0,
            is_news: true,
            own: Vec::new(),
            grounds: BTreeMap::new(),
            resting: Made::default(),
            ways: Made::default(),
        }
    }
}

impl Seen {
    /// Whether the last plan is still the one to follow.
    pub(super) fn stands(&self, now: Time, wall: UnixMillis) -> bool {
        let (over, young) = self.walls;
        !self.is_stale
            && now < self.until
            && over.is_none_or(|over| wall > over)
            && young.is_none_or(|young| wall <= young)
    }

    /// Whether a node that says that it is in `cell` is one of another cell than `own`.
    pub(super) fn is_stranger(
        &self,
        me: NodeId,
        own: &CellName,
        node: NodeId,
        cell: &CellName,
    ) -> bool {
        cell != own && node != me && !self.near.contains_key(&node)
    }
}

impl Cells {
    /// The summaries that are believed are others than before.
    pub(super) fn told_anew(&mut self) {
        self.seen.is_news = true;
        // What reports say was read with the names of before.
        self.seen.near.values_mut().for_each(|near| near.report = None);
    }

    /// Takes in how things are, and notes whether that is news.
    pub(super) fn notice(
        &mut self,
        near: &[Near],
        linked: &BTreeSet<NodeId>,
        met: &BTreeMap<NodeId, CellName>,
    ) {
        let others = self.notice_near(near);
        if self.seen.linked != *linked {
            self.seen.linked.clone_from(linked);
            self.seen.is_stale = true;
        }
        let moved = self.seen.met != *met;
        if moved {
            self.seen.met.clone_from(met);
        }
        if std::mem::take(&mut self.seen.is_news) || others || moved {
            self.seen.is_stale = true;
            self.seen.nodes = self.seen.nodes.saturating_add(1);
            self.seen.own = ranked(&self.cell, self.seen.near.keys().copied().chain([self.me]));
            self.seen.grounds = self.grounds();
        }
    }

    /// True if other nodes are there than before.
    fn notice_near(&mut self, near: &[Near]) -> bool {
        let Self { seen, names, .. } = self;
        let known = |near: &Near| seen.near.contains_key(&near.node);
        let others = seen.near.len() != near.len() || !near.iter().all(known);
        if others {
            let live: BTreeSet<NodeId> = near.iter().map(|near| near.node).collect();
            seen.near.retain(|node, _| live.contains(node));
        }
        for Near { node, linked, report } in near {
            let known = seen.near.entry(*node).or_insert_with(|| Neighbour {
                node: *node,
                linked: *linked,
                holds: BTreeSet::new(),
                report: None,
            });
            seen.is_stale |= known.linked != *linked;
            known.linked = *linked;
            let is_same = match (&known.report, report) {
                (Some(known), Some(report)) => Arc::ptr_eq(known, report),
                (None, None) => known.holds.is_empty(),
                _ => false,
            };
            if !is_same {
                let connected = report.iter().flat_map(|report| report.connected());
                let cells = connected.filter_map(|name| names.get(&name).cloned());
                let holds: BTreeSet<CellName> = cells.collect();
                seen.is_stale |= known.holds != holds;
                (known.holds, known.report) = (holds, report.clone());
            }
        }
        others
    }

    /// Which nodes other cells have, by their summaries and by their own word.
    fn grounds(&self) -> BTreeMap<CellName, Ground> {
        let live = &self.seen.near;
        let mut grounds = BTreeMap::<CellName, Ground>::new();
        for (cell, told) in &self.told {
            let members = told.ranked.iter().copied().filter(|node| !live.contains_key(node));
            let ground = Ground { is_told: true, ranked: members.collect(), strangers: Vec::new() };
            grounds.insert(cell.clone(), ground);
        }
        for (node, cell) in &self.seen.met {
            let is_kept = grounds.len() < MAX_CELLS || grounds.contains_key(cell);
            if is_kept && self.seen.is_stranger(self.me, &self.cell, *node, cell) {
                grounds.entry(cell.clone()).or_default().strangers.push(*node);
            }
        }
        for (cell, ground) in grounds.iter_mut().filter(|(_, ground)| !ground.is_told) {
            ground.ranked = ranked(cell, ground.strangers.iter().copied());
        }
        grounds
    }
}
