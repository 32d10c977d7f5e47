//! The messages for one group: which wait, which are under way, which are settled.

mod next;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rand::Rng;
use wattle_contracts::id::{NodeId, Subject};
use wattle_contracts::message::{DeliveryReply, DeliveryStop, Group};

use super::{Action, Config, Outcome, Sending, Settled, StoredGroup, backoff};
use crate::core::time::Time;

/// How long a node is left alone at the most after it did not answer: it may be back.
const LAST_RESEND: Duration = Duration::from_secs(5);
/// How many messages are given up in one step: each takes a write, and all else waits meanwhile.
const EXPIRE_AT_ONCE: usize = 1024;

/// The messages for one group.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// What is not settled, on disk.
    entries: BTreeMap<u64, Entry>,
    /// One for each subject that has messages to be sent.
    lanes: BTreeMap<Subject, Lane>,
    /// The lanes that may send, by their first message.
    ready: BTreeMap<u64, Subject>,
    /// The lanes that wait after a failure.
    later: BTreeSet<(Time, Subject)>,
    busy: usize,
    /// Settled, above the oldest that is not.
    ahead: BTreeSet<u64>,
    /// Sent, and perhaps handled.
    doubt: BTreeSet<u64>,
    parked: BTreeMap<u64, String>,
    /// Parked so far; that they are sent again or dropped is being written down.
    leaving: BTreeMap<u64, String>,
    expired: u64,
    /// Where the messages go.
    node: Option<NodeId>,
    /// Since when that node is away while something is in doubt.
    away: Option<Time>,
    /// Since when that node answers nothing but that the component does not run there.
    refused: Option<Time>,
    /// How often in a row there was no answer, and until when nothing is sent for that.
    lost: u32,
    held_until: Time,
    problem: Option<String>,
}

#[derive(Debug)]
struct Entry {
    subject: Subject,
    size: usize,
    state: State,
    tries: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not on disk yet.
    Writing,
    Waiting,
    UnderWay,
    /// Settled, not yet on disk; in no lane any more.
    Settling,
}

/// The messages of one subject, in order.
#[derive(Debug, Default)]
struct Lane {
    order: VecDeque<u64>,
    state: LaneState,
    failures: u32,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum LaneState {
    #[default]
    Idle,
    /// It is among the ready, under this sequence.
    Ready(u64),
    Busy,
    Later(Time),
}

impl Queue {
    pub(super) fn new(known: StoredGroup) -> Self {
        Self { node: known.node, expired: known.expired, ..Self::default() }
    }

    /// All that was on disk is in. Some of it may have been sent before the restart.
    pub(super) fn loaded(&mut self, window: usize) {
        if self.node.is_some() {
            self.doubt = self.entries.keys().take(window).copied().collect();
        }
    }

    pub(super) fn push(&mut self, sequence: u64, subject: &Subject, size: usize, on_disk: bool) {
        let state = if on_disk { State::Waiting } else { State::Writing };
        self.entries.insert(sequence, Entry { subject: subject.clone(), size, state, tries: 0 });
        self.lanes.entry(subject.clone()).or_default().order.push_back(sequence);
        self.refresh(subject);
    }

    pub(super) fn written(&mut self, sequence: u64) {
        let Some(entry) = self.entries.get_mut(&sequence) else { return };
        entry.state = State::Waiting;
        let subject = entry.subject.clone();
        self.refresh(&subject);
    }

    /// Drops a message that was never on disk.
    pub(super) fn forget(&mut self, sequence: u64, next: u64) {
        self.leave_lane(sequence);
        self.remove(sequence, next);
    }

    /// Gives up what has become too old, unless it is under way right now.
    pub(super) fn expire(
        &mut self,
        group: &Group,
        is_old: impl Fn(u64) -> bool,
        actions: &mut Vec<Action>,
    ) {
        let old = self.entries.iter().take_while(|(sequence, _)| is_old(**sequence));
        let old = old.filter(|(_, entry)| entry.state == State::Waiting);
        let old = old.map(|(sequence, _)| *sequence).take(EXPIRE_AT_ONCE);
        for sequence in old.collect::<Vec<_>>() {
            self.settle(group, sequence, Settled::Expired, actions);
        }
        let old = self.parked.keys().copied().take_while(|sequence| is_old(*sequence));
        for sequence in old.take(EXPIRE_AT_ONCE).collect::<Vec<_>>() {
            self.parked.remove(&sequence);
            let (group, how) = (group.clone(), Settled::Expired);
            actions.push(Action::Settle { group, sequence, how });
        }
    }

    pub(super) fn outcome(
        &mut self,
        now: Time,
        sending: &Sending,
        outcome: Outcome,
        config: &Config,
        random: &mut impl Rng,
        actions: &mut Vec<Action>,
    ) {
        if self.lanes.get(&sending.subject).is_none_or(|lane| lane.state != LaneState::Busy) {
            return;
        }
        self.busy = self.busy.saturating_sub(1);
        for sequence in &sending.sequences {
            if let Some(entry) = self.entries.get_mut(sequence) {
                entry.state = State::Waiting;
            }
        }
        let again = match outcome {
            Outcome::Lost(why) => {
                self.lost = self.lost.saturating_add(1);
                let most = config.last_retry.min(LAST_RESEND);
                self.held_until = now.plus(backoff(self.lost, config.first_retry, most, random));
                self.problem = Some(why);
                None
            }
            Outcome::Answered(reply) => {
                (self.lost, self.held_until) = (0, Time::ZERO);
                let not_here = matches!(reply.stopped, Some(DeliveryStop::NotHere));
                self.refused = not_here.then(|| self.refused.unwrap_or(now));
                let wait = self.answered(sending, reply, config, random, actions);
                wait.map(|wait| now.plus(wait))
            }
        };
        if let Some(lane) = self.lanes.get_mut(&sending.subject) {
            match again {
                Some(at) => {
                    lane.state = LaneState::Later(at);
                    self.later.insert((at, sending.subject.clone()));
                }
                None => lane.state = LaneState::Idle,
            }
        }
        self.refresh(&sending.subject);
    }

    /// Takes an answer in. Returns how long the lane is to wait, if it is to.
    fn answered(
        &mut self,
        sending: &Sending,
        reply: DeliveryReply,
        config: &Config,
        random: &mut impl Rng,
        actions: &mut Vec<Action>,
    ) -> Option<Duration> {
        let handled = usize::try_from(reply.handled).unwrap_or(usize::MAX);
        let handled = handled.min(sending.sequences.len());
        let (done, rest) = sending.sequences.split_at_checked(handled).unwrap_or_default();
        for sequence in done {
            self.settle(&sending.group, *sequence, Settled::Handled, actions);
        }
        if !matches!(reply.stopped, Some(DeliveryStop::Busy(_))) {
            self.doubt.retain(|sequence| !rest.contains(sequence));
        }
        self.problem = None;
        let (Some(stop), Some(first)) = (reply.stopped, rest.first()) else {
            self.count_failures(&sending.subject, |_| 0);
            return None;
        };
        let failures = self.count_failures(&sending.subject, |before| match handled {
            0 => before.saturating_add(1),
            _ => 1,
        });
        let (why, wait) = match stop {
            DeliveryStop::Failed(why) => {
                let tries = self.entries.get_mut(first).map_or(0, |entry| {
                    entry.tries = entry.tries.saturating_add(1);
                    entry.tries
                });
                if tries >= config.tries {
                    self.settle(&sending.group, *first, Settled::Parked(why), actions);
                    return None;
                }
                (why, backoff(tries, config.first_retry, config.last_retry, random))
            }
            DeliveryStop::Busy(why) => {
                (why, backoff(failures, config.first_retry, config.last_retry, random))
            }
            DeliveryStop::NotHere => (
                "its component does not run on that node any more".into(),
                backoff(failures, config.first_retry, LAST_RESEND, random),
            ),
        };
        self.problem = Some(why);
        Some(wait)
    }

    fn count_failures(&mut self, subject: &Subject, count: impl Fn(u32) -> u32) -> u32 {
        let Some(lane) = self.lanes.get_mut(subject) else { return 1 };
        lane.failures = count(lane.failures);
        lane.failures
    }

    fn settle(&mut self, group: &Group, sequence: u64, how: Settled, actions: &mut Vec<Action>) {
        self.leave_lane(sequence);
        self.doubt.remove(&sequence);
        if let Some(entry) = self.entries.get_mut(&sequence) {
            entry.state = State::Settling;
        }
        actions.push(Action::Settle { group: group.clone(), sequence, how });
    }

    pub(super) fn settled(&mut self, sequence: u64, how: &Settled, next: u64) {
        if *how == Settled::Expired {
            self.expired = self.expired.saturating_add(1);
        }
        self.remove(sequence, next);
    }

    fn remove(&mut self, sequence: u64, next: u64) {
        if self.entries.remove(&sequence).is_none() {
            return;
        }
        self.ahead.insert(sequence);
        let floor = self.floor(next);
        self.ahead = self.ahead.split_off(&floor);
    }

    /// Everything below is settled, and that is on disk.
    fn floor(&self, next: u64) -> u64 {
        self.entries.keys().next().copied().unwrap_or(next)
    }

    fn leave_lane(&mut self, sequence: u64) {
        let Some(entry) = self.entries.get(&sequence) else { return };
        let subject = entry.subject.clone();
        if let Some(lane) = self.lanes.get_mut(&subject) {
            // Nearly always the first. To look through all for each would take long in a long lane.
            if lane.order.front() == Some(&sequence) {
                lane.order.pop_front();
            } else {
                lane.order.retain(|other| *other != sequence);
            }
        }
        self.refresh(&subject);
    }

    /// Puts a lane among those that may send, or takes it out, after it has changed.
    fn refresh(&mut self, subject: &Subject) {
        let Some(lane) = self.lanes.get_mut(subject) else { return };
        if let LaneState::Ready(first) = lane.state {
            self.ready.remove(&first);
            lane.state = LaneState::Idle;
        }
        if lane.state == LaneState::Idle {
            let Some(first) = lane.order.front().copied() else {
                self.lanes.remove(subject);
                return;
            };
            let waits = |entry: &Entry| entry.state == State::Waiting;
            if self.entries.get(&first).is_some_and(waits) {
                lane.state = LaneState::Ready(first);
                self.ready.insert(first, subject.clone());
            }
        }
    }

    pub(super) fn park(&mut self, sequence: u64, why: String) {
        self.parked.insert(sequence, why);
    }

    /// Takes out all that is parked, of which [`Queue::left`] is then told. Until then nobody
    /// else can take it.
    pub(super) fn take_parked(&mut self) -> Vec<u64> {
        let taken = std::mem::take(&mut self.parked);
        let sequences = taken.keys().copied().collect();
        self.leaving.extend(taken);
        sequences
    }

    /// Whether the disk knows that a message is not parked any more. If not, it still is.
    /// Returns whether it is gone.
    pub(super) fn left(&mut self, sequence: u64, on_disk: bool) -> bool {
        let Some(why) = self.leaving.remove(&sequence) else { return false };
        if !on_disk {
            self.parked.insert(sequence, why);
        }
        on_disk
    }

    pub(super) fn parked(&self) -> impl Iterator<Item = (u64, &str)> {
        self.parked.iter().map(|(sequence, why)| (*sequence, why.as_str()))
    }

    pub(super) fn parked_count(&self) -> usize {
        self.parked.len()
    }

    /// How many messages are not settled.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn sequences(&self) -> impl Iterator<Item = u64> {
        self.entries.keys().copied()
    }

    pub(super) fn expired(&self) -> u64 {
        self.expired
    }

    pub(super) fn node(&self) -> Option<NodeId> {
        self.node
    }

    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }
}
