//! Messages that must survive a cut: what this node took from publishers, until every group that
//! subscribes has handled it.
//!
//! The two halves are [`Outbox`], on the publisher's node, and [`Inbox`], on the node where a
//! subscriber runs. What they promise together:
//!
//! - **At least once.** A message that [`Outbox::written`] has confirmed is delivered to each group
//!   that was subscribed then, until a node says that it was handled, it became too old, or its
//!   handler failed too often (then it is parked, and a person decides).
//! - **In order** per publisher's node, group and subject. While a message is tried again, the
//!   later ones of its subject wait; other subjects go on.
//! - **Once while the node stays the same.** Every delivery carries the sequence below which all
//!   is settled; above it the receiver remembers what it has handled, on its disk. The publisher
//!   runs at most [`Config::window`] messages ahead of the oldest one that is not settled, so
//!   that this memory is bounded.
//!
//! A group's messages go to one node for as long as that can be reached (stickiness), since only
//! that one knows what it has handled. While it is unknown whether a message was handled, another
//! node is tried only when that one was gone, or answered nothing but that the component does not
//! run there, for [`Config::move_after`]: then that message may be handled twice.
//!
//! Pure: the driver writes to disk, sends, and tells the outcome. What is settled counts only
//! once that is on disk ([`Outbox::settled`]): the floor that a receiver is told never goes back,
//! whatever crashes.

mod age;
mod inbox;
mod limits;
mod queue;
mod status;
mod subscriptions;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::Rng;
use wattle_contracts::id::{NodeId, Subject};
use wattle_contracts::message::{DeliveryReply, Group};

pub use self::age::{AgeClock, BootTime, ClockNote, OutboxTime};
pub use self::inbox::{Inbox, Refused};
pub use self::limits::{Config, Full};
use self::queue::Queue;
pub use self::status::{GroupStatus, ParkedMessage};
pub use self::subscriptions::Subscriptions;
use super::time::Time;

/// What the disk takes for a message besides its body and its subject, in bytes; an estimate.
const OVERHEAD: u64 = 128;

/// The messages that this node holds for others.
#[derive(Debug)]
pub struct Outbox {
    config: Config,
    /// The sequence of the next message.
    next: u64,
    bytes: u64,
    messages: BTreeMap<u64, Held>,
    queues: BTreeMap<Group, Queue>,
}

/// A message that is held; its body is on disk.
#[derive(Debug)]
struct Held {
    subject: Subject,
    size: u64,
    taken: OutboxTime,
    /// The groups that have not settled it.
    groups: BTreeSet<Group>,
}

/// A message as it is found on disk at the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its sequence.
    pub sequence: u64,
    /// What it is about.
    pub subject: Subject,
    /// The size of its body, in bytes.
    pub size: usize,
    /// When it was taken from its publisher.
    pub taken: OutboxTime,
    /// The groups that have not settled it, with the last failure where it is parked.
    pub groups: Vec<(Group, Option<String>)>,
}

/// What is known of a group from before the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredGroup {
    /// The node to which its messages went.
    pub node: Option<NodeId>,
    /// How many of its messages became too old.
    pub expired: u64,
}

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send these messages, and tell [`Outbox::outcome`] what became of it.
    Deliver(Sending),
    /// Write down that a group is done with a message, then tell [`Outbox::settled`].
    Settle {
        /// The group.
        group: Group,
        /// The message.
        sequence: u64,
        /// How it ended.
        how: Settled,
    },
    /// Write down to which node a group's messages go.
    Assign {
        /// The group.
        group: Group,
        /// The node.
        node: NodeId,
    },
}

/// Messages of one subject on their way to one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sending {
    /// For whom.
    pub group: Group,
    /// Where to.
    pub node: NodeId,
    /// What they are about.
    pub subject: Subject,
    /// Which, in order.
    pub sequences: Vec<u64>,
    /// Everything of this group below is settled.
    pub floor: u64,
}

/// How a message ended for a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It was handled.
    Handled,
    /// It became too old.
    Expired,
    /// Its handler failed too often; it is kept until a person decides. With the last failure.
    Parked(String),
}

/// What became of a [`Sending`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The node answered.
    Answered(DeliveryReply),
    /// No answer, so nobody knows. With the reason.
    Lost(String),
}

/// Who can be reached now.
pub trait Reach {
    /// Whether that node can be talked to.
    fn connected(&self, node: NodeId) -> bool;
    /// The nodes that can be talked to and run what handles the messages of `group`, the best
    /// first.
    fn serving(&self, group: &Group) -> Vec<NodeId>;
}

impl Outbox {
    /// The outbox with what the disk holds. `next` is above every sequence that was ever used.
    pub fn new(
        config: Config,
        next: u64,
        stored: impl IntoIterator<Item = StoredMessage>,
        groups: impl IntoIterator<Item = (Group, StoredGroup)>,
    ) -> Self {
        let (messages, queues) = (BTreeMap::new(), BTreeMap::new());
        let mut outbox = Self { config, next, bytes: 0, messages, queues };
        for (group, known) in groups {
            outbox.queues.insert(group, Queue::new(known));
        }
        for message in stored {
            outbox.load(message);
        }
        for queue in outbox.queues.values_mut() {
            queue.loaded(outbox.config.window);
        }
        outbox
    }

    fn load(&mut self, message: StoredMessage) {
        let StoredMessage { sequence, subject, size, taken, groups } = message;
        self.next = self.next.max(sequence.saturating_add(1));
        let held = self.hold(sequence, subject.clone(), size, taken);
        held.groups = groups.iter().map(|(group, _)| group.clone()).collect();
        for (group, parked) in groups {
            let queue = self.queues.entry(group).or_default();
            match parked {
                Some(why) => queue.park(sequence, why),
                None => queue.push(sequence, &subject, size, true),
            }
        }
    }

    fn hold(
        &mut self,
        sequence: u64,
        subject: Subject,
        size: usize,
        taken: OutboxTime,
    ) -> &mut Held {
        let size = cost(&subject, size);
        self.bytes = self.bytes.saturating_add(size);
        let groups = BTreeSet::new();
        self.messages.entry(sequence).or_insert(Held { subject, size, taken, groups })
    }

    /// Takes a message in, of which the driver then tells [`Outbox::written`]. Nothing of it is
    /// sent before that. Returns its sequence.
    pub fn publish(
        &mut self,
        time: OutboxTime,
        subject: &Subject,
        size: usize,
        groups: &BTreeSet<Group>,
    ) -> Result<u64, Full> {
        let sequence = self.next;
        if groups.is_empty() {
            self.next += 1;
            return Ok(sequence);
        }
        self.check_room(cost(subject, size))?;
        self.next += 1;
        self.hold(sequence, subject.clone(), size, time).groups = groups.clone();
        for group in groups {
            self.queues.entry(group.clone()).or_default().push(sequence, subject, size, false);
        }
        Ok(sequence)
    }

    fn check_room(&self, size: u64) -> Result<(), Full> {
        let Config { max_messages, max_bytes, .. } = self.config;
        if self.messages.len() < max_messages && self.bytes.saturating_add(size) <= max_bytes {
            return Ok(());
        }
        let oldest = self.queues.iter().max_by_key(|(_, queue)| queue.len());
        Err(Full {
            messages: self.messages.len(),
            bytes: self.bytes,
            max_messages,
            max_bytes,
            most: oldest.map(|(group, queue)| (group.clone(), queue.len())),
        })
    }

    /// Whether a message that was taken in is on disk now. One that is not is forgotten.
    pub fn written(&mut self, sequence: u64, on_disk: bool) {
        let Some(held) = self.messages.get(&sequence) else { return };
        for group in held.groups.clone() {
            let Some(queue) = self.queues.get_mut(&group) else { continue };
            if on_disk {
                queue.written(sequence);
            } else {
                queue.forget(sequence, self.next);
                self.release(sequence, &group);
            }
        }
    }

    /// What is to be done now: `now` by the node's clock, `time` by the outbox's own.
    pub fn step(
        &mut self,
        now: Time,
        time: OutboxTime,
        reach: &impl Reach,
        actions: &mut Vec<Action>,
    ) {
        self.expire(time, actions);
        for (group, queue) in &mut self.queues {
            queue.send(now, group, &self.config, self.next, reach, actions);
        }
    }

    /// Gives up what has become too old.
    pub fn expire(&mut self, time: OutboxTime, actions: &mut Vec<Action>) {
        let (messages, max_age) = (&self.messages, self.config.max_age);
        let is_old = |sequence: u64| {
            let taken = messages.get(&sequence).map_or(time, |held| held.taken);
            time.since(taken) > max_age
        };
        for (group, queue) in &mut self.queues {
            queue.expire(group, is_old, actions);
        }
    }

    /// What became of messages that were sent.
    pub fn outcome(
        &mut self,
        now: Time,
        sending: &Sending,
        outcome: Outcome,
        random: &mut impl Rng,
        actions: &mut Vec<Action>,
    ) {
        if let Some(queue) = self.queues.get_mut(&sending.group) {
            queue.outcome(now, sending, outcome, &self.config, random, actions);
        }
    }

    /// What an [`Action::Settle`] asked for is on disk.
    pub fn settled(&mut self, group: &Group, sequence: u64, how: Settled) {
        let Some(queue) = self.queues.get_mut(group) else { return };
        queue.settled(sequence, &how, self.next);
        if let Settled::Parked(why) = how {
            queue.park(sequence, why);
        } else {
            self.release(sequence, group);
        }
    }

    /// Gives each message that is parked for `group` a new sequence, at the end of its queue, and
    /// all the time that a new message has.
    /// Returns the old ones with the new ones, to be written down, and then told to
    /// [`Outbox::unparked`]. They are not parked meanwhile: nobody else takes them up.
    pub fn unpark(&mut self, time: OutboxTime, group: &Group) -> Vec<(u64, u64)> {
        let parked = self.take_parked(group);
        let mut moved = Vec::new();
        for old in parked {
            let Some(held) = self.messages.get(&old) else { continue };
            let subject = held.subject.clone();
            let body = held.size.saturating_sub(cost(&subject, 0));
            let body = usize::try_from(body).unwrap_or(usize::MAX);
            let new = self.next;
            self.next += 1;
            self.hold(new, subject.clone(), body, time).groups = [group.clone()].into();
            if let Some(queue) = self.queues.get_mut(group) {
                queue.push(new, &subject, body, false);
            }
            moved.push((old, new));
        }
        moved
    }

    /// Whether the new sequences of [`Outbox::unpark`] are on disk, and the old ones gone.
    pub fn unparked(&mut self, group: &Group, moved: &[(u64, u64)], on_disk: bool) {
        for (old, new) in moved {
            self.written(*new, on_disk);
            self.left(group, *old, on_disk);
        }
    }

    /// Takes out what is parked for `group`, to be dropped from the disk, and then told to
    /// [`Outbox::dropped`]. It is not parked meanwhile: nobody else takes it up.
    pub fn take_parked(&mut self, group: &Group) -> Vec<u64> {
        self.queues.get_mut(group).map(Queue::take_parked).unwrap_or_default()
    }

    /// Whether what [`Outbox::take_parked`] took out is gone from the disk. If not, it is parked
    /// as before.
    pub fn dropped(&mut self, group: &Group, sequences: &[u64], on_disk: bool) {
        for sequence in sequences {
            self.left(group, *sequence, on_disk);
        }
    }

    fn left(&mut self, group: &Group, sequence: u64, on_disk: bool) {
        let gone = self.queues.get_mut(group).is_some_and(|queue| queue.left(sequence, on_disk));
        if gone {
            self.release(sequence, group);
        }
    }

    /// When there may be something to do without any input; messages becoming too old aside.
    pub fn wake_at(&self, now: Time) -> Time {
        let wakes = self.queues.values().map(|queue| queue.wake_at(now, &self.config));
        wakes.min().unwrap_or(Time::NEVER)
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// One group less has to settle a message.
    fn release(&mut self, sequence: u64, group: &Group) {
        let Some(held) = self.messages.get_mut(&sequence) else { return };
        held.groups.remove(group);
        if held.groups.is_empty() {
            self.bytes = self.bytes.saturating_sub(held.size);
            self.messages.remove(&sequence);
        }
    }
}

fn cost(subject: &Subject, size: usize) -> u64 {
    (size as u64).saturating_add(subject.as_str().len() as u64).saturating_add(OVERHEAD)
}

/// How long to wait after `failures` failures in a row: doubling, up to `most`, and between half
/// and all of that ("equal jitter"; Brooker, "Exponential Backoff And Jitter", 2015).
fn backoff(failures: u32, first: Duration, most: Duration, random: &mut impl Rng) -> Duration {
    let doubled = first.saturating_mul(2u32.saturating_pow(failures.saturating_sub(1).min(20)));
    let wait = doubled.min(most);
    wait.div_f64(2.0).saturating_add(wait.div_f64(2.0).mul_f64(random.random()))
}

#[cfg(test)]
mod tests;
