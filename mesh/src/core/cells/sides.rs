//! The other cells, seen from here, and what to do about each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wattle_contracts::id::{CellName, NodeId};
use wattle_contracts::trust::UnixMillis;

use super::seen::{Ground, Seen};
use super::{Cells, Plan, rank};

/// Another cell, seen from here.
#[derive(Debug)]
pub(super) struct Side<'a> {
    ground: &'a Ground,
    /// Those to which this node has a connection.
    pub(super) linked: BTreeSet<NodeId>,
    /// Who else of this cell has one, and whether this node has one to that.
    pub(super) holders: BTreeMap<NodeId, bool>,
}

impl Seen {
    /// What is known of each other cell, by `me`, which is in `own`.
    pub(super) fn sides(&self, me: NodeId, own: &CellName) -> BTreeMap<&CellName, Side<'_>> {
        let side = |ground| Side { ground, linked: BTreeSet::new(), holders: BTreeMap::new() };
        let mut sides: BTreeMap<&CellName, Side<'_>> =
            self.grounds.iter().map(|(cell, ground)| (cell, side(ground))).collect();
        for node in &self.linked {
            let cell = self.met.get(node).filter(|cell| self.is_stranger(me, own, *node, cell));
            if let Some(side) = cell.and_then(|cell| sides.get_mut(cell)) {
                side.linked.insert(*node);
            }
        }
        for near in self.near.values() {
            for cell in &near.holds {
                if let Some(side) = sides.get_mut(cell) {
                    side.holders.insert(near.node, near.linked);
                }
            }
        }
        sides
    }
}

impl Cells {
    pub(super) fn plan_links(&self, side: &Side<'_>, step: usize, plan: &mut Plan) {
        let (own, count) = (&self.seen.own, self.config.ambassadors);
        let Side { ground, linked, holders } = side;
        let holds = |node: &NodeId| match *node == self.me {
            true => !linked.is_empty(),
            false => holders.contains_key(node),
        };
        let (holding, others): (Vec<NodeId>, Vec<NodeId>) = own.iter().copied().partition(holds);
        let mut ours: Vec<NodeId> = holding.into_iter().chain(others).take(count).collect();
        // In the order in which the other side, which does not know who holds what, has them.
        ours.sort_by_key(|node| own.iter().position(|other| other == node));
        plan.ambassadors.extend(&ours);
        let theirs: Vec<NodeId> = ground.ranked.iter().copied().take(count).collect();
        let place = ours.iter().position(|node| *node == self.me);
        let mut envoys = BTreeSet::new();
        if let Some(place) = place {
            let pairs = theirs.iter().enumerate();
            let pairs = pairs.filter(|(at, _)| are_a_pair(place, *at, ours.len(), theirs.len()));
            envoys.extend(pairs.map(|(_, node)| *node));
        }
        if let (1.., Some(seeker), Some(sought)) =
            (step, seeker(own, step), sought(own, ground, step))
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
        if (place.is_some() || !ground.is_told) && envoys.is_disjoint(linked) {
            envoys.extend(linked);
        }
        plan.envoys.extend(envoys);
    }

    /// Through whom each cell is reached, where it is.
    pub(super) fn gates(
        &self,
        sides: &BTreeMap<&CellName, Side<'_>>,
    ) -> BTreeMap<CellName, NodeId> {
        let gate = |side: &Side<'_>| {
            let held = side.holders.iter().filter(|(_, linked)| **linked).map(|(node, _)| *node);
            let own = rank::nearest_by_hash(self.me, side.linked.iter().copied());
            own.or_else(|| rank::nearest_by_hash(self.me, held))
        };
        let gates = sides.iter().filter_map(|(cell, side)| Some(((*cell).clone(), gate(side)?)));
        gates.collect()
    }

    /// Who is not to be dialled, as things are.
    pub(super) fn plan_resting(&mut self, wanted: &BTreeSet<NodeId>) -> Arc<BTreeSet<NodeId>> {
        let made = &self.seen.resting;
        if made.nodes != self.seen.nodes || made.from != *wanted {
            let far = self.seen.grounds.values().flat_map(Ground::known);
            let resting = far.filter(|node| !wanted.contains(node)).collect();
            self.seen.resting.renew(self.seen.nodes, wanted.clone(), resting);
        }
        Arc::clone(&self.seen.resting.what)
    }

    /// Through whom calls go, with these gates.
    pub(super) fn plan_ways(
        &mut self,
        wall: UnixMillis,
        gates: BTreeMap<CellName, NodeId>,
    ) -> Arc<BTreeMap<NodeId, NodeId>> {
        // Of a summary that is too old, nothing is believed.
        let young = self.young(wall).filter_map(|(cell, _)| gates.get_key_value(cell));
        let gates: BTreeMap<CellName, NodeId> =
            young.map(|(cell, gate)| (cell.clone(), *gate)).collect();
        let made = &self.seen.ways;
        if made.nodes != self.seen.nodes || made.from != gates {
            let mut ways = BTreeMap::new();
            for (cell, member) in self.believed(wall) {
                let node = member.node;
                let is_near = node == self.me || self.seen.near.contains_key(&node);
                let gate = gates.get(cell).filter(|gate| !is_near && **gate != node);
                ways.extend(gate.map(|gate| (node, *gate)));
            }
            self.seen.ways.renew(self.seen.nodes, gates, ways);
        }
        Arc::clone(&self.seen.ways.what)
    }
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
fn sought(own: &[NodeId], ground: &Ground, step: usize) -> Option<NodeId> {
    let (round, place) = (step.checked_div(own.len())?, step.checked_rem(own.len())?);
    let turn = round.saturating_add(place);
    ground.ranked.get(turn.checked_rem(ground.ranked.len())?).copied()
}
