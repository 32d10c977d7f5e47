//! What waits for whom, for people.

use std::time::Duration;

use wattle_contracts::id::{NodeId, Subject};
use wattle_contracts::message::Group;

use super::{Outbox, OutboxTime};

/// What waits for one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupStatus {
    /// The group.
    pub group: Group,
    /// How many messages wait.
    pub waiting: usize,
    /// How much they take, in bytes.
    pub bytes: u64,
    /// How old the oldest is; none where nothing waits.
    pub oldest: Option<Duration>,
    /// How many are parked.
    pub parked: usize,
    /// How many became too old, ever.
    pub expired: u64,
    /// The node to which they go.
    pub node: Option<NodeId>,
    /// What went wrong last, while it still does.
    pub problem: Option<String>,
}

/// A message whose handler failed too often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedMessage {
    /// For whom it is.
    pub group: Group,
    /// Its sequence.
    pub sequence: u64,
    /// What it is about.
    pub subject: Subject,
    /// How old it is.
    pub age: Duration,
    /// How its handler failed last.
    pub why: String,
}

impl Outbox {
    /// What waits, by group. Groups for which nothing ever waited are not there.
    pub fn status(&self, time: OutboxTime) -> Vec<GroupStatus> {
        let one = |(group, queue): (&Group, &super::Queue)| {
            let held = |sequence: u64| self.messages.get(&sequence);
            let oldest = queue.sequences().next().and_then(held);
            GroupStatus {
                group: group.clone(),
                waiting: queue.len(),
                bytes: queue.sequences().filter_map(held).map(|held| held.size).sum(),
                oldest: oldest.map(|held| time.since(held.taken)),
                parked: queue.parked_count(),
                expired: queue.expired(),
                node: queue.node(),
                problem: queue.problem().filter(|_| queue.len() > 0).map(Into::into),
            }
        };
        self.queues.iter().map(one).collect()
    }

    /// What is parked, by group.
    pub fn parked(&self, time: OutboxTime) -> Vec<ParkedMessage> {
        let of = |(group, queue): (&Group, &super::Queue)| {
            let one = |(sequence, why): (u64, &str)| {
                let held = self.messages.get(&sequence)?;
                Some(ParkedMessage {
                    group: group.clone(),
                    sequence,
                    subject: held.subject.clone(),
                    age: time.since(held.taken),
                    why: why.into(),
                })
            };
            queue.parked().filter_map(one).collect::<Vec<_>>()
        };
        self.queues.iter().flat_map(of).collect()
    }
}
