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
//! A node asks what to do twice a second, and mostly nothing has changed: then the plan is the one
//! that it was ([`Cells::look`]). What it is made from in any case is in `sides`, and what of that is
//! kept from one look to the next in `seen`.
//!
//! Bounds: [`MAX_CELLS`] other cells, [`Summary::MAX_MEMBERS`] nodes of each.

pub mod author;
mod rank;
mod seen;
mod sides;
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
use seen::Seen;

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
    pub resting: Arc<BTreeSet<NodeId>>,
    /// Through whom calls to nodes of other cells go, while there is no connection to them.
    pub ways: Arc<BTreeMap<NodeId, NodeId>>,
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
    /// What the last plan was made from.
    seen: Seen,
    plan: Arc<Plan>,
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
            seen: Seen::default(),
            plan: Arc::default(),
        }
    }

    /// The cell that this node is in.
    pub fn cell(&self) -> &CellName {
        &self.cell
    }

    /// The summaries of other cells that are young enough to be believed.
    pub fn believed(&self, wall: UnixMillis) -> impl Iterator<Item = (&CellName, &CellMember)> {
        let young = self.young(wall);
        young.flat_map(|(cell, summary)| summary.members.iter().map(move |m| (cell, m)))
    }

    /// The same, cell by cell.
    pub fn young(&self, wall: UnixMillis) -> impl Iterator<Item = (&CellName, &Arc<Summary>)> {
        let young = self.told.iter().filter(move |(_, told)| wall <= self.believed_until(told));
        young.map(|(cell, told)| (cell, &told.summary))
    }

    fn believed_until(&self, told: &Told) -> UnixMillis {
        at(told.version).plus(self.config.lifetime)
    }

    /// Where the nodes of other cells are reached, however old the word is.
    pub fn addresses(&self) -> impl Iterator<Item = (NodeId, &[String])> {
        let members = self.told.values().flat_map(|told| &told.summary.members);
        members.map(|member| (member.node, member.addresses.as_slice()))
    }

    /// A node of another cell is called from here.
    pub fn called(&mut self, now: Time, node: NodeId) {
        if self.called.len() < MAX_CALLED || self.called.contains_key(&node) {
            let is_new = self.called.insert(node, now).is_none();
            self.seen.is_stale |= is_new;
        }
    }

    /// Works out what to do. As long as nothing has changed, and no time has come, it is the very plan
    /// that it was before.
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
    ) -> Arc<Plan> {
        self.notice(near, linked, met);
        if !self.seen.stands(now, wall) {
            let plan = self.work_out(now, wall);
            if plan != *self.plan {
                self.plan = Arc::new(plan);
            }
        }
        Arc::clone(&self.plan)
    }

    fn work_out(&mut self, now: Time, wall: UnixMillis) -> Plan {
        let sides = self.seen.sides(self.me, &self.cell);
        let mut plan =
            Plan { is_first: self.seen.own.first() == Some(&self.me), ..Plan::default() };
        let mut until = Time::NEVER;
        self.unreached.retain(|cell, _| sides.contains_key(cell));
        for (cell, side) in &sides {
            let reached = !side.linked.is_empty() || !side.holders.is_empty();
            plan.cells.insert((*cell).clone(), reached);
            plan.is_door |= !side.linked.is_empty();
            let (step, next) = step(&mut self.unreached, self.config, now, cell, reached);
            until = until.min(next);
            self.plan_links(side, step, &mut plan);
        }
        plan.wanted.extend(&plan.envoys);
        let linger = self.config.linger;
        self.called.retain(|_, at| now.since(*at) < linger);
        plan.wanted.extend(self.called.keys());
        until = self.called.values().map(|at| at.plus(linger)).fold(until, Time::min);
        let gates = self.gates(&sides);
        plan.resting = self.plan_resting(&plan.wanted);
        plan.ways = self.plan_ways(wall, gates);
        let limits = self.told.values().map(|told| self.believed_until(told));
        let (over, young): (Vec<UnixMillis>, Vec<UnixMillis>) = limits.partition(|at| *at < wall);
        self.seen.is_stale = false;
        self.seen.until = until;
        self.seen.walls = (over.into_iter().max(), young.into_iter().min());
        plan
    }
}

/// How often the search for a way to a cell has gone on, and when it goes on again.
fn step(
    unreached: &mut BTreeMap<CellName, Time>,
    config: Config,
    now: Time,
    cell: &CellName,
    reached: bool,
) -> (usize, Time) {
    if reached {
        unreached.remove(cell);
        return (0, Time::NEVER);
    }
    let since = *unreached.entry(cell.clone()).or_insert(now);
    let search = u64::try_from(config.search.as_millis()).unwrap_or(u64::MAX).max(1);
    let gone = u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX);
    let step = gone.checked_div(search).unwrap_or(0);
    let next = Duration::from_millis(search.saturating_mul(step.saturating_add(1)));
    (usize::try_from(step).unwrap_or(usize::MAX), since.plus(next))
}

/// When a record was written.
fn at(version: Version) -> UnixMillis {
    UnixMillis(version.at.millis)
}
