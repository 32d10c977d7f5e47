//! How news travels.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rand::seq::index;
use wattle_contracts::control::{ElementId, RecordMessage};
use wattle_contracts::id::NodeId;
use wattle_contracts::record::Record;

use super::cut::cut;
use super::ranges::{Element, Kind};
use super::{
    FEW, FRESH_BYTES, GATHER, GREETERS, Output, RUMOUR_BYTES, Records, TOLD, TOLD_AFTER_A_CUT,
    rumours, set,
};
use crate::core::rights::Rights;
use crate::core::time::Time;

/// Up to `count` different peers, without `except`, each as likely as the others.
pub(super) fn sample(
    peers: &BTreeSet<NodeId>,
    except: Option<NodeId>,
    count: usize,
    rng: &mut impl Rng,
) -> Vec<NodeId> {
    let except = except.filter(|peer| peers.contains(peer));
    let place = except.map(|except| peers.range(..except).count());
    let others = peers.len() - usize::from(place.is_some());
    index::sample(rng, others, count.min(others))
        .into_iter()
        .map(|at| if place.is_some_and(|place| place <= at) { at + 1 } else { at })
        .filter_map(|at| peers.iter().nth(at).copied())
        .collect()
}

impl Records {
    /// Passes news on, to peers that are not known to have it.
    pub(super) fn spread(
        &mut self,
        now: Time,
        news: &[ElementId],
        from: Option<NodeId>,
        rng: &mut impl Rng,
        out: &mut Vec<Output>,
    ) {
        let (summaries, news): (Vec<ElementId>, Vec<ElementId>) =
            news.iter().copied().partition(|id| self.is_summary(id));
        self.offer(&summaries, from, rng, out);
        if news.is_empty() {
            return;
        }
        self.fruitless = 0;
        let bytes = self.bytes_of(news.iter());
        if bytes > RUMOUR_BYTES && news.len() > 1 {
            return;
        }
        // Much at once is what a cut has held up: then it comes in on all sides at once. And of what
        // lost, most nodes learn by themselves, when they hear of what won.
        let is_urgent = |id| self.set.ranges.get(id).is_some_and(|e| e.kind == Kind::Current);
        let times = match news.iter().any(is_urgent) {
            false => 0,
            true if self.bytes_of(self.rumours.told()) + bytes > RUMOUR_BYTES.max(bytes) => 0,
            true if news.len() > FEW => 1,
            true if self.is_settled() => TOLD,
            true => TOLD_AFTER_A_CUT,
        };
        let wait = if self.is_settled() { Duration::ZERO } else { GATHER };
        self.rumours.hear(now, &news, times, wait);
        self.tell(now, from, rng, out);
    }

    /// Tells rumours, to as many peers as may be told now.
    pub(super) fn tell(
        &mut self,
        now: Time,
        except: Option<NodeId>,
        rng: &mut impl Rng,
        out: &mut Vec<Output>,
    ) {
        self.rumours.among_few(self.peers.len() + self.envoys.len() <= GREETERS);
        // As many of other cells as of this one.
        let mut peers = sample(&self.peers, except, rumours::BURST as usize, rng);
        let mut envoys = sample(&self.envoys, except, rumours::BURST as usize, rng);
        let most = peers.len().max(envoys.len());
        if most == 0 {
            return self.rumours.hush();
        }
        let (count, told) = self.rumours.tell(now, most);
        peers.truncate(count as usize);
        envoys.truncate(count as usize);
        for to in peers.into_iter().chain(envoys) {
            self.send(to, told.iter().copied(), out);
        }
    }

    /// Gives what was heard lately to a peer that knows something else: most likely it is that.
    pub(super) fn send_fresh(&self, now: Time, to: NodeId, out: &mut Vec<Output>) {
        let mut bytes = 0;
        let fresh = self.rumours.fresh(now).copied().take_while(|id| {
            bytes += self.set.ranges.get(id).map_or(0, |element| self.cost(element));
            bytes <= FRESH_BYTES
        });
        self.send(to, fresh.collect::<Vec<_>>(), out);
    }

    fn bytes_of<'a>(&self, ids: impl Iterator<Item = &'a ElementId>) -> usize {
        ids.filter_map(|id| self.set.ranges.get(id)).map(|element| self.cost(element)).sum()
    }

    /// The bytes of an element's record as it travels.
    pub(super) fn cost(&self, element: &Element) -> usize {
        match element.kind {
            Kind::Current => self.set.size_of(&element.record.key).unwrap_or(0),
            Kind::Lost => set::size(&element.record).unwrap_or(0),
        }
    }

    /// Sends these elements to a peer, as many as fit into one answer.
    pub(super) fn send(
        &self,
        to: NodeId,
        ids: impl IntoIterator<Item = ElementId>,
        out: &mut Vec<Output>,
    ) {
        let elements = ids.into_iter().filter_map(|id| self.set.ranges.get(&id));
        let lists = self.cut(elements, |element| self.cost(element));
        for list in lists {
            let of = |kind| {
                let of_kind = list.iter().filter(move |element| element.kind == kind);
                of_kind.map(|element| Record::clone(&element.record)).collect()
            };
            let message = RecordMessage::Push { current: of(Kind::Current), lost: of(Kind::Lost) };
            out.push(Output::Send { to, message });
        }
    }

    pub(super) fn pushed(
        &mut self,
        moment: super::Moment,
        from: NodeId,
        mut current: Vec<Record>,
        lost: Vec<Record>,
        rng: &mut impl Rng,
        out: &mut Vec<Output>,
    ) {
        // What entitles others comes before what they say.
        current.sort_by_key(|record| Rights::rank(&record.key));
        let (mut news, mut newer_here) = (Vec::new(), Vec::new());
        // After a cut the same comes in on all sides, and who hears it again need not tell it again.
        if !self.is_settled() {
            let holds = |r: &&Record| self.set.version(&r.key) == Some(r.version);
            let known = current.iter().filter(holds).filter_map(|r| set::current_id(&r.key).ok());
            self.rumours.is_known(known.collect::<Vec<_>>());
        }
        for record in current {
            match self.take(moment, record, &mut newer_here, out) {
                Ok(taken) => news.extend(taken),
                Err(reason) => out.push(Output::Refused { from: Some(from), reason }),
            }
        }
        for record in lost {
            if let Ok(id) = set::lost_id(&record.key, record.version) {
                newer_here.retain(|newer| *newer != id);
            }
            match self.take_lost(moment.1, Arc::new(record), out) {
                Ok(taken) => news.extend(taken),
                Err(reason) => out.push(Output::Refused { from: Some(from), reason }),
            }
        }
        newer_here.sort();
        newer_here.dedup();
        self.send(from, newer_here, out);
        self.spread(moment.0, &news, Some(from), rng, out);
    }

    pub(super) fn cut<T>(
        &self,
        items: impl IntoIterator<Item = T>,
        cost: impl Fn(&T) -> usize,
    ) -> Vec<Vec<T>> {
        cut(items, cost, self.limits.message_bytes, self.limits.answer_bytes)
    }
}
