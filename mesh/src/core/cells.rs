//! Cells: a mesh of many nodes is made of groups that gossip among themselves, and of a few links
//! between those.
//!
//! What a node says all the time (that it lives, how busy it is) goes round in its own cell. Of
//! another cell it knows a [`Summary`]: a record that one node of that cell writes for all, when
//! something changes ([`author`]). Records are all that runs between cells, and they run between
//! *ambassadors*. Who those are, each live member of a cell computes for itself, from the members
//! that it sees alive (rendezvous hashing, Thaler and Ravishankar, 1998: who dies moves only what
//! it did itself). Nobody is asked and nobody is told; while members see different nodes alive,
//! there are more ambassadors for a moment, and that is all.
//!
//! - The first [`Config::ambassadors`] of a cell by rank keep a connection each to an ambassador of
//!   every other cell, the first to the first and so on.
//! - Who holds a connection to another cell stays its ambassador there before one that does not,
//!   whatever their rank: so the way that works is kept. While nobody holds one, a further member
//!   tries each [`Config::search`], with a further node of that cell, until all have tried all: so a
//!   way is found where there is one.
//! - Everybody else keeps no connection to other cells, except to nodes that it calls, for
//!   [`Config::linger`] after the last call. Where it has none, its calls go through the gate: a
//!   node that holds a connection to that cell.
//!
//! A cell to which no member of this one holds a connection is cut off: its nodes are told to be
//! unreachable. A summary is forgotten as word of who lives after [`Config::lifetime`]; its nodes
//! are dialled for ever.
//!
//! A summary is believed of who is in that cell, as far as this node can know ([`Cells::hear`]).
//!
//! Bounds: [`MAX_CELLS`] other cells, [`Summary::MAX_MEMBERS`] nodes of each.

pub mod author;
mod rank;
#[cfg(test)]
mod tests;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use wattle_contracts::id::{CellName, NodeId};
use wattle_contracts::record::{CellMember, Summary, Version};
use wattle_contracts::trust::UnixMillis;

use super::membership::reach::{self, Report};
use super::time::Time;
pub use rank::ranked;

/// Of how many other cells a node keeps summaries.
pub const MAX_CELLS: usize = 256;

/// How many nodes of other cells are kept connected because they were called lately.
const MAX_CALLED: usize = 256;

/// How cells hold together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// How many ambassadors a cell has at another one.
    pub ambassadors: usize,
    /// How long ambassadors try to reach another cell before one more node tries.
    pub search: Duration,
    /// How long a connection that was made for calls stays after the last one.
    pub linger: Duration,
    /// For how long a summary is believed.
    pub lifetime: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ambassadors: 2,
            search: Duration::from_secs(10),
            linger: Duration::from_secs(60),
            lifetime: Duration::from_secs(30 * 60),
        }
    }
}

/// Another live node of this cell.
#[derive(Debug, Clone)]
pub struct Near {
    /// The node.
    pub node: NodeId,
    /// Whether it can be talked to over a connection.
    pub linked: bool,
    /// Whom it says that it reaches.
    pub report: Option<Arc<Report>>,
}

/// What a node is to do, as things are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The ambassadors of this cell at any other one.
    pub ambassadors: BTreeSet<NodeId>,
    /// Whether this node is the first of its cell.
    pub is_first: bool,
    /// Whether it has a connection to another cell.
    pub is_door: bool,
    /// The other cells that are known; each with whether this one reaches it.
    pub cells: BTreeMap<CellName, bool>,
    /// Nodes of other cells with which this one keeps a connection and exchanges records.
    pub envoys: BTreeSet<NodeId>,
    /// Nodes of other cells with which it keeps a connection: those, and those that it calls.
    pub wanted: BTreeSet<NodeId>,
    /// Nodes of other cells that are not to be dialled.
    pub resting: BTreeSet<NodeId>,
    /// Through whom calls to nodes of other cells go, while there is no connection to them.
    pub ways: BTreeMap<NodeId, NodeId>,
}

impl Plan {
    /// Whether the summary of this node's cell is for this node to write: if it is the first, and
    /// there is somebody to read it. The first time, that is only known to who has a connection to
    /// another cell.
    pub fn is_author(&self, is_written: bool) -> bool {
        match is_written {
            true => self.is_first,
            false => self.is_door || (self.is_first && !self.cells.is_empty()),
        }
    }
}

/// What one node knows of the cells.
#[derive(Debug)]
pub struct Cells {
    me: NodeId,
    cell: CellName,
    config: Config,
    told: BTreeMap<CellName, Told>,
    /// Whose cell is told by a summary, as reports name them.
    names: BTreeMap<u64, CellName>,
    /// Since when no member of this cell reaches that one.
    unreached: BTreeMap<CellName, Time>,
    called: BTreeMap<NodeId, Time>,
}

#[derive(Debug, Clone)]
struct Told {
    version: Version,
    summary: Arc<Summary>,
    ranked: Vec<NodeId>,
}

impl Cells {
    /// A node of `cell` that knows of no other.
    pub fn new(me: NodeId, cell: CellName, config: Config) -> Self {
        Self {
            me,
            cell,
            config,
            told: BTreeMap::new(),
            names: BTreeMap::new(),
            unreached: BTreeMap::new(),
            called: BTreeMap::new(),
        }
    }

    /// The cell that this node is in.
    pub fn cell(&self) -> &CellName {
        &self.cell
    }

    /// The summaries of other cells that are young enough to be believed.
    pub fn believed(&self, wall: UnixMillis) -> impl Iterator<Item = (&CellName, &CellMember)> {
        let young = move |told: &&Told| wall <= at(told.version).plus(self.config.lifetime);
        let young = self.told.iter().filter(move |(_, told)| young(told));
        young.flat_map(|(cell, told)| told.summary.members.iter().map(move |m| (cell, m)))
    }

    /// Where the nodes of other cells are reached, however old the word is.
    pub fn addresses(&self) -> impl Iterator<Item = (NodeId, &[String])> {
        let members = self.told.values().flat_map(|told| &told.summary.members);
        members.map(|member| (member.node, member.addresses.as_slice()))
    }

    /// A node of another cell is called from here.
    pub fn called(&mut self, now: Time, node: NodeId) {
        if self.called.len() < MAX_CALLED || self.called.contains_key(&node) {
            self.called.insert(node, now);
        }
    }

    /// Works out what to do.
    ///
    /// `near` are the other live nodes of this cell, `linked` the nodes of other cells that can be
    /// talked to over a connection, `met` those that said themselves which cell they are in,
    /// whenever that was.
    pub fn look(
        &mut self,
        now: Time,
        wall: UnixMillis,
        near: &[Near],
        linked: &BTreeSet<NodeId>,
        met: &BTreeMap<NodeId, CellName>,
    ) -> Plan {
        let live: BTreeSet<NodeId> = near.iter().map(|near| near.node).collect();
        let own = ranked(&self.cell, live.iter().copied().chain([self.me]));
        let mut plan = Plan { is_first: own.first() == Some(&self.me), ..Plan::default() };
        let sides = self.sides(near, &live, linked, met);
        self.unreached.retain(|cell, _| sides.contains_key(cell));
        for (cell, side) in &sides {
            let reached = !side.linked.is_empty() || !side.holders.is_empty();
            plan.cells.insert(cell.clone(), reached);
            plan.is_door |= !side.linked.is_empty();
            let step = self.step(now, cell, reached);
            self.plan_links(&own, side, step, &mut plan);
        }
        plan.wanted.extend(&plan.envoys);
        let linger = self.config.linger;
        self.called.retain(|_, at| now.since(*at) < linger);
        plan.wanted.extend(self.called.keys());
        let far = sides.values().flat_map(|side| &side.known);
        plan.resting = far.copied().filter(|node| !plan.wanted.contains(node)).collect();
        self.plan_ways(wall, &sides, &live, &mut plan);
        plan
    }

    /// How often the search for a way to a cell has gone on.
    fn step(&mut self, now: Time, cell: &CellName, reached: bool) -> usize {
        if reached {
            self.unreached.remove(cell);
            return 0;
        }
        let since = *self.unreached.entry(cell.clone()).or_insert(now);
        let search = self.config.search.as_millis().max(1);
        usize::try_from(now.since(since).as_millis() / search).unwrap_or(usize::MAX)
    }

    /// What is known of each other cell.
    fn sides(
        &self,
        near: &[Near],
        live: &BTreeSet<NodeId>,
        linked: &BTreeSet<NodeId>,
        met: &BTreeMap<NodeId, CellName>,
    ) -> BTreeMap<CellName, Side> {
        let mut sides = BTreeMap::<CellName, Side>::new();
        for (cell, told) in &self.told {
            let side = sides.entry(cell.clone()).or_default();
            let members = told.ranked.iter().copied().filter(|node| !live.contains(node));
            (side.ranked, side.is_told) = (members.collect(), true);
            side.known.extend(&side.ranked);
        }
        let strangers = met.iter().filter(|(node, cell)| {
            **cell != self.cell && **node != self.me && !live.contains(node)
        });
        for (node, cell) in strangers {
            if sides.len() < MAX_CELLS || sides.contains_key(cell) {
                let side = sides.entry(cell.clone()).or_default();
                side.known.insert(*node);
                if linked.contains(node) {
                    side.linked.insert(*node);
                }
            }
        }
        for (cell, side) in &mut sides {
            if !side.is_told {
                side.ranked = ranked(cell, side.known.iter().copied());
            }
        }
        for Near { node, linked, report } in near {
            let connected = report.iter().flat_map(|report| report.connected());
            let cells: BTreeSet<&CellName> =
                connected.filter_map(|name| self.names.get(&name)).collect();
            for side in cells {
                if let Some(side) = sides.get_mut(side) {
                    side.holders.insert(*node, *linked);
                }
            }
        }
        sides
    }

    fn plan_links(&self, own: &[NodeId], side: &Side, step: usize, plan: &mut Plan) {
        let count = self.config.ambassadors;
        let holds = |node: &NodeId| match *node == self.me {
            true => !side.linked.is_empty(),
            false => side.holders.contains_key(node),
        };
        let (holding, others): (Vec<NodeId>, Vec<NodeId>) = own.iter().copied().partition(holds);
        let mut ours: Vec<NodeId> = holding.into_iter().chain(others).take(count).collect();
        // In the order in which the other side, which does not know who holds what, has them.
        ours.sort_by_key(|node| own.iter().position(|other| other == node));
        plan.ambassadors.extend(&ours);
        let theirs: Vec<NodeId> = side.ranked.iter().copied().take(count).collect();
        let place = ours.iter().position(|node| *node == self.me);
        let mut envoys = BTreeSet::new();
        if let Some(place) = place {
            let pairs = theirs.iter().enumerate();
            let pairs = pairs.filter(|(at, _)| are_a_pair(place, *at, ours.len(), theirs.len()));
            envoys.extend(pairs.map(|(_, node)| *node));
        }
        if let (1.., Some(seeker), Some(sought)) =
            (step, seeker(own, step), sought(own, side, step))
        {
            plan.ambassadors.insert(seeker);
            if seeker == self.me {
                envoys.insert(sought);
            }
            // The usual ones try further nodes, too.
            if place.is_some() {
                envoys.insert(sought);
            }
        }
        // A way that the other side has found.
        if (place.is_some() || !side.is_told) && envoys.is_disjoint(&side.linked) {
            envoys.extend(&side.linked);
        }
        plan.envoys.extend(envoys);
    }

    fn plan_ways(
        &self,
        wall: UnixMillis,
        sides: &BTreeMap<CellName, Side>,
        live: &BTreeSet<NodeId>,
        plan: &mut Plan,
    ) {
        let mut gates = BTreeMap::new();
        for (cell, side) in sides {
            let held = side.holders.iter().filter(|(_, linked)| **linked).map(|(node, _)| *node);
            let gate = rank::nearest_by_hash(self.me, side.linked.iter().copied());
            if let Some(gate) = gate.or_else(|| rank::nearest_by_hash(self.me, held)) {
                gates.insert(cell, gate);
            }
        }
        for (cell, member) in self.believed(wall) {
            let node = member.node;
            let is_near = node == self.me || live.contains(&node);
            if let (false, Some(gate)) = (is_near, gates.get(cell).filter(|gate| **gate != node)) {
                plan.ways.insert(node, *gate);
            }
        }
    }
}

/// When a record was written.
fn at(version: Version) -> UnixMillis {
    UnixMillis(version.at.millis)
}

/// Another cell, seen from here.
#[derive(Debug, Default)]
struct Side {
    /// Whether there is a summary of it.
    is_told: bool,
    /// Its nodes, the one that is to be its ambassador first.
    ranked: Vec<NodeId>,
    /// All that were ever known to be its nodes.
    known: BTreeSet<NodeId>,
    /// Those to which this node has a connection.
    linked: BTreeSet<NodeId>,
    /// Who else of this cell has one, and whether this node has one to that.
    holders: BTreeMap<NodeId, bool>,
}

/// Whether our ambassador at one place and theirs at the other are to be connected: the first with
/// the first and so on; where one side has fewer, its own take several. Both sides agree on it.
fn are_a_pair(ours: usize, theirs: usize, our_count: usize, their_count: usize) -> bool {
    theirs.checked_rem(our_count) == Some(ours) || ours.checked_rem(their_count) == Some(theirs)
}

/// Who tries in a step of a search.
fn seeker(own: &[NodeId], step: usize) -> Option<NodeId> {
    own.get(step.checked_rem(own.len())?).copied()
}

/// With whom: over the steps, every seeker has tried everybody.
fn sought(own: &[NodeId], side: &Side, step: usize) -> Option<NodeId> {
    let (round, place) = (step.checked_div(own.len())?, step.checked_rem(own.len())?);
    let turn = round.saturating_add(place);
    side.ranked.get(turn.checked_rem(side.ranked.len())?).copied()
}
