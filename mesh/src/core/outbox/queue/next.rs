//! Which messages of a group go next, and where to.

use wattle_contracts::id::{NodeId, Subject};
use wattle_contracts::message::Group;

use super::{LaneState, Queue, State};
use crate::core::outbox::{Action, Config, Reach, Sending};
use crate::core::time::Time;

impl Queue {
    /// Sends what may be sent.
    pub(in crate::core::outbox) fn send(
        &mut self,
        now: Time,
        group: &Group,
        config: &Config,
        next: u64,
        reach: &impl Reach,
        actions: &mut Vec<Action>,
    ) {
        self.wake_lanes(now);
        if self.ready.is_empty() || now < self.held_until {
            return;
        }
        let before = self.node;
        let Some(node) = self.choose(now, group, config, reach) else { return };
        if before != Some(node) {
            actions.push(Action::Assign { group: group.clone(), node });
        }
        let floor = self.floor(next);
        let mut passed_over = Vec::new();
        while self.busy < config.lanes {
            let Some((first, subject)) = self.ready.pop_first() else { break };
            let sequences = self.batch(&subject, floor, config);
            let Some(lane) = self.lanes.get_mut(&subject) else { continue };
            if sequences.is_empty() {
                passed_over.push((first, subject));
                continue;
            }
            lane.state = LaneState::Busy;
            self.busy += 1;
            for sequence in &sequences {
                self.doubt.insert(*sequence);
                if let Some(entry) = self.entries.get_mut(sequence) {
                    entry.state = State::UnderWay;
                }
            }
            let group = group.clone();
            actions.push(Action::Deliver(Sending { group, node, subject, sequences, floor }));
        }
        self.ready.extend(passed_over);
    }

    /// The next messages of a lane that may go together: as far as the window reaches. The oldest
    /// one may always go, and what may have been sent already as well.
    fn batch(&self, subject: &Subject, floor: u64, config: &Config) -> Vec<u64> {
        let mut sequences = Vec::new();
        let mut room = config.window.saturating_sub(self.ahead.len() + self.doubt.len());
        let mut bytes = 0usize;
        let order = self.lanes.get(subject).into_iter().flat_map(|lane| &lane.order);
        for sequence in order.take(config.batch) {
            let Some(entry) = self.entries.get(sequence) else { break };
            bytes = bytes.saturating_add(entry.size);
            let too_large = !sequences.is_empty() && bytes > config.batch_bytes;
            if entry.state != State::Waiting || too_large {
                break;
            }
            if !self.doubt.contains(sequence) {
                if room == 0 && *sequence != floor {
                    break;
                }
                room = room.saturating_sub(1);
            }
            sequences.push(*sequence);
        }
        sequences
    }

    /// Where the messages go now. The node that had the last ones keeps them, since it knows what
    /// it has handled.
    fn choose(
        &mut self,
        now: Time,
        group: &Group,
        config: &Config,
        reach: &impl Reach,
    ) -> Option<NodeId> {
        if let Some(node) = self.node
            && !self.doubt.is_empty()
        {
            let connected = reach.connected(node);
            let since = if connected {
                self.away = None;
                // Each refusal takes only what was sent out of doubt, so that a long queue would
                // never get out of it. After a loss it may run there again: ask once more.
                self.refused.filter(|_| self.lost == 0)
            } else {
                Some(*self.away.get_or_insert(now))
            };
            if since.is_none_or(|since| now.since(since) < config.move_after) {
                return connected.then_some(node);
            }
            if self.busy > 0 {
                return None;
            }
        }
        let serving = reach.serving(group);
        if let Some(node) = self.node.filter(|node| serving.contains(node)) {
            // What it said before it ran the component again no longer counts.
            self.refused = None;
            return Some(node);
        }
        // What is under way must come to an end before anything goes elsewhere.
        let best = serving.first().copied().filter(|_| self.busy == 0)?;
        (self.node, self.away, self.refused) = (Some(best), None, None);
        self.doubt.clear();
        Some(best)
    }

    fn wake_lanes(&mut self, now: Time) {
        while let Some((at, _)) = self.later.first()
            && *at <= now
        {
            let Some((at, subject)) = self.later.pop_first() else { return };
            if let Some(lane) = self.lanes.get_mut(&subject)
                && lane.state == LaneState::Later(at)
            {
                lane.state = LaneState::Idle;
                self.refresh(&subject);
            }
        }
    }

    /// When something can be sent that can't be sent at `now`, if nothing else changes.
    pub(in crate::core::outbox) fn wake_at(&self, now: Time, config: &Config) -> Time {
        let later = self.later.first().map(|(at, _)| *at);
        let sends = !self.ready.is_empty();
        let moves = |since: Option<Time>| Some(since.filter(|_| sends)?.plus(config.move_after));
        let (away, refused) = (moves(self.away), moves(self.refused));
        let held = Some(self.held_until).filter(|_| sends);
        let all = [later, away, refused, held].into_iter().flatten().filter(|at| *at > now);
        all.min().unwrap_or(Time::NEVER)
    }
}
