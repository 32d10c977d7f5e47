//! How records go from cell to cell.
//!
//! Peers of the own cell and *envoys*, peers of other cells, are drawn apart: a rumour goes to some
//! of each, so that it crosses to the other cells as fast as it spreads in this one, however many
//! peers there are here. The two compare what they hold less often than peers of one cell, because
//! what lies between may be thin.
//!
//! A summary of a cell can be as large as all other news of an hour. It is not pushed but offered,
//! by its name and version, and travels to whoever lacks it.

use std::time::Duration;

use rand::Rng;
use wattle_contracts::control::{ElementId, RecordMessage};
use wattle_contracts::id::NodeId;
use wattle_contracts::record::{Hlc, RecordBody};

use super::spread::sample;
use super::{Moment, Output, Records};
use crate::core::time::Time;

/// How often a node compares what it holds with a random envoy.
const ENVOY_ROUND: Duration = Duration::from_secs(4);

/// To how many peers here, and as many in other cells, a summary is offered.
const OFFERED: usize = 3;

impl Records {
    /// A peer of another cell, with which records are to be exchanged, can be talked to.
    /// [`Records::peer_down`] takes it back.
    pub fn envoy_up(&mut self, now: Time, peer: NodeId, out: &mut Vec<Output>) {
        if self.envoys.insert(peer) {
            self.greet(now, peer, self.envoys.len(), out);
        }
    }

    /// Up to `count` peers of this cell, and as many of others.
    pub(super) fn draw(
        &self,
        except: Option<NodeId>,
        count: usize,
        rng: &mut impl Rng,
    ) -> Vec<NodeId> {
        let mut drawn = sample(&self.peers, except, count, rng);
        if !self.envoys.is_empty() {
            drawn.extend(sample(&self.envoys, except, count, rng));
        }
        drawn
    }

    /// Whom to compare with in this round.
    pub(super) fn next_to_compare(&mut self, now: Time, rng: &mut impl Rng) -> Option<NodeId> {
        if !self.fresh.is_empty() {
            return sample(&self.fresh, None, 1, rng).pop();
        }
        let is_due = self.next_envoy <= now || (self.peers.is_empty() && self.rumours.are_told());
        if is_due && !self.envoys.is_empty() {
            self.next_envoy = now.plus(ENVOY_ROUND.mul_f64(rng.random_range(0.9..1.1)));
            return sample(&self.envoys, None, 1, rng).pop();
        }
        sample(&self.peers, None, 1, rng).pop()
    }

    pub(super) fn is_summary(&self, id: &ElementId) -> bool {
        let element = self.set.ranges.get(id);
        element.is_some_and(|element| matches!(element.record.body, RecordBody::Cell(_)))
    }

    /// Offers records to some peers.
    pub(super) fn offer(
        &self,
        ids: &[ElementId],
        from: Option<NodeId>,
        rng: &mut impl Rng,
        out: &mut Vec<Output>,
    ) {
        let held = ids.iter().filter_map(|id| Some((*id, self.set.ranges.get(id)?)));
        let lines: Vec<(ElementId, Hlc)> =
            held.map(|(id, element)| (id, element.record.version.at)).collect();
        if lines.is_empty() {
            return;
        }
        for to in self.draw(from, OFFERED, rng) {
            out.push(Output::Send { to, message: RecordMessage::Have(lines.clone()) });
        }
    }

    /// Asks for what a peer offers, as far as it is news.
    pub(super) fn offered(
        &mut self,
        (now, wall): Moment,
        from: NodeId,
        mut lines: Vec<(ElementId, Hlc)>,
        out: &mut Vec<Output>,
    ) {
        lines.retain(|(id, at)| match self.set.ranges.get(id) {
            Some(ours) => ours.record.version.at < *at,
            None => true,
        });
        self.want(now, wall, from, lines, out);
    }
}
