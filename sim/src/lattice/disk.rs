//! What survives when a node is killed: a disk that takes its time, loses what was not yet
//! written, and may be full.
//!
//! Writes become durable in the order in which they were asked for, each as a whole: that is what
//! the embedded database of a real node gives, which finds a write that was torn by its checksum
//! and takes it back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rand::Rng;
use wattle_contracts::id::{ComponentId, NodeId, Subject};
use wattle_contracts::message::Group;
use wattle_mesh::core::outbox::{OutboxTime, Settled, StoredGroup, StoredMessage};
use wattle_mesh::core::records::{Stored, Write};

use crate::disk::Disk as RecordDisk;

/// One change of what is on the disk.
#[derive(Debug, Clone)]
pub enum Op {
    /// Of the records.
    Record(Write),
    /// A durable message.
    Keep {
        /// Its sequence.
        sequence: u64,
        /// What it is about.
        subject: Subject,
        /// The size of its body, in bytes.
        size: usize,
        /// When it was taken, by the outbox's clock.
        taken: OutboxTime,
        /// For whom it is.
        groups: BTreeSet<Group>,
    },
    /// A message has ended for a group.
    Settle(Group, u64, Settled),
    /// To which node a group's messages go.
    Assign(Group, NodeId),
    /// A component here has handled a message.
    Handled {
        /// Of whom it is.
        group: Group,
        /// Whose message it is.
        publisher: NodeId,
        /// Which.
        sequence: u64,
        /// Everything below is settled.
        floor: u64,
    },
    /// Where others were reached.
    Remember(Vec<(NodeId, Vec<String>)>),
    /// How far the numbers of what it says of itself may go.
    Said(u64),
    /// The body of a durable message that is kept with it, where somebody reads it.
    Body(u64, Arc<[u8]>),
    /// In a store, a bucket and under a key: a value, or none.
    Value((ComponentId, String, String), Option<Vec<u8>>),
}

/// What is on the disk of one node.
#[derive(Debug, Default)]
pub struct Kept {
    records: RecordDisk,
    messages: BTreeMap<u64, StoredMessage>,
    groups: BTreeMap<Group, StoredGroup>,
    handled: BTreeMap<(Group, NodeId), (u64, BTreeSet<u64>)>,
    next: u64,
    remembered: Vec<(NodeId, Vec<String>)>,
    said: u64,
    values: BTreeMap<(ComponentId, String, String), Vec<u8>>,
    bodies: BTreeMap<u64, Arc<[u8]>>,
}

/// Writes that are under way.
#[derive(Debug)]
struct Batch {
    id: u64,
    ops: Vec<Op>,
}

/// A disk.
#[derive(Debug, Default)]
pub struct Disk {
    kept: Kept,
    pending: VecDeque<Batch>,
    next: u64,
    is_full: bool,
}

impl Disk {
    /// Begins a write; [`Disk::done`] ends it. `None` if there is no room.
    pub fn write(&mut self, ops: Vec<Op>) -> Option<u64> {
        // What is remembered of others replaces what was: there is always room for that.
        let takes_room =
            ops.iter().any(|op| !matches!(op, Op::Remember(_) | Op::Said(_) | Op::Settle(..)));
        if self.is_full && takes_room {
            return None;
        }
        self.next += 1;
        self.pending.push_back(Batch { id: self.next, ops });
        Some(self.next)
    }

    /// A write has reached the disk, and every earlier one with it.
    pub fn done(&mut self, id: u64) {
        while self.pending.front().is_some_and(|batch| batch.id <= id) {
            if let Some(batch) = self.pending.pop_front() {
                batch.ops.into_iter().for_each(|op| self.kept.apply(op));
            }
        }
    }

    /// The power goes: of the writes under way, some of the first may have reached the disk. The
    /// one that was being written is there in part, and is taken back.
    pub fn crash(&mut self, rng: &mut impl Rng) {
        let reached = rng.random_range(0..=self.pending.len());
        let batches: Vec<Batch> = self.pending.drain(..).take(reached).collect();
        for batch in batches {
            batch.ops.into_iter().for_each(|op| self.kept.apply(op));
        }
    }

    /// The node stops in good order: what it wrote is there.
    pub fn sync(&mut self) {
        self.done(self.next);
    }

    /// Fills the disk, or makes room.
    pub fn set_full(&mut self, is_full: bool) {
        self.is_full = is_full;
    }

    /// Another disk in the place of this one.
    pub fn wipe(&mut self) {
        *self = Self { next: self.next, ..Self::default() };
    }

    /// What is on it.
    pub fn kept(&self) -> &Kept {
        &self.kept
    }
}

impl Kept {
    /// The records.
    pub fn records(&self) -> Vec<Stored> {
        self.records.read()
    }

    /// The messages that wait, the groups that are known, and above which sequence all is unused.
    pub fn messages(&self) -> (u64, Vec<StoredMessage>, Vec<(Group, StoredGroup)>) {
        let groups = self.groups.iter().map(|(group, known)| (group.clone(), known.clone()));
        (self.next, self.messages.values().cloned().collect(), groups.collect())
    }

    /// What components have handled.
    pub fn handled(&self) -> impl Iterator<Item = (&(Group, NodeId), &(u64, BTreeSet<u64>))> {
        self.handled.iter()
    }

    /// Where others were reached.
    pub fn remembered(&self) -> &[(NodeId, Vec<String>)] {
        &self.remembered
    }

    /// How far the numbers of what it says of itself may have gone.
    pub fn said(&self) -> u64 {
        self.said
    }

    /// The bodies of the messages that wait, by sequence.
    pub fn bodies(&self) -> &BTreeMap<u64, Arc<[u8]>> {
        &self.bodies
    }

    /// What is in the stores: by store, bucket and key.
    pub fn values(&self) -> &BTreeMap<(ComponentId, String, String), Vec<u8>> {
        &self.values
    }

    /// Whether a message waits for a group here, or is parked.
    pub fn holds(&self, sequence: u64, group: &Group) -> bool {
        let message = self.messages.get(&sequence);
        message.is_some_and(|message| message.groups.iter().any(|(other, _)| other == group))
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Record(write) => _ = self.records.write(&write),
            Op::Keep { sequence, subject, size, taken, groups } => {
                self.next = self.next.max(sequence + 1);
                let groups = groups.into_iter().map(|group| (group, None)).collect();
                let message = StoredMessage { sequence, subject, size, taken, groups };
                self.messages.insert(sequence, message);
            }
            Op::Settle(group, sequence, how) => self.settle(&group, sequence, &how),
            Op::Assign(group, node) => self.groups.entry(group).or_default().node = Some(node),
            Op::Handled { group, publisher, sequence, floor } => {
                let (known, handled) = self.handled.entry((group, publisher)).or_default();
                *known = floor.max(*known);
                *handled = handled.split_off(known);
                if sequence >= *known {
                    handled.insert(sequence);
                }
            }
            Op::Remember(nodes) => self.remembered = nodes,
            Op::Said(number) => self.said = number,
            Op::Body(sequence, body) => _ = self.bodies.insert(sequence, body),
            Op::Value(place, Some(value)) => _ = self.values.insert(place, value),
            Op::Value(place, None) => _ = self.values.remove(&place),
        }
    }

    fn settle(&mut self, group: &Group, sequence: u64, how: &Settled) {
        let Some(message) = self.messages.get_mut(&sequence) else { return };
        if let Settled::Parked(why) = how {
            let parked = message.groups.iter_mut().find(|(other, _)| other == group);
            if let Some((_, reason)) = parked {
                *reason = Some(why.clone());
            }
            return;
        }
        if *how == Settled::Expired {
            self.groups.entry(group.clone()).or_default().expired += 1;
        }
        message.groups.retain(|(other, _)| other != group);
        if message.groups.is_empty() {
            self.messages.remove(&sequence);
            self.bodies.remove(&sequence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Seeded;

    fn keep(sequence: u64) -> Vec<Op> {
        let (subject, groups) = ("a".parse().unwrap(), ["shop/g".parse().unwrap()].into());
        vec![Op::Keep { sequence, subject, size: 1, taken: OutboxTime(0), groups }]
    }

    #[test]
    fn a_crash_keeps_what_was_done_and_never_a_later_write_without_an_earlier_one() {
        for seed in 0..50 {
            let mut disk = Disk::default();
            let first = disk.write(keep(1)).unwrap();
            disk.done(first);
            (2..6).for_each(|sequence| _ = disk.write(keep(sequence)));
            disk.crash(&mut Seeded::new(seed));
            let (next, messages, _) = disk.kept().messages();
            let kept: Vec<u64> = messages.iter().map(|message| message.sequence).collect();
            assert_eq!(kept, (1..next).collect::<Vec<_>>());
            assert!(next >= 2);
        }
    }

    #[test]
    fn a_full_disk_takes_nothing_new_and_lets_go_of_what_is_settled() {
        let (mut disk, group) = (Disk::default(), "shop/g".parse::<Group>().unwrap());
        let first = disk.write(keep(1)).unwrap();
        disk.done(first);
        disk.set_full(true);
        assert_eq!(disk.write(keep(2)), None);
        let settle = disk.write(vec![Op::Settle(group.clone(), 1, Settled::Handled)]).unwrap();
        assert!(disk.kept().holds(1, &group));
        disk.done(settle);
        assert!(!disk.kept().holds(1, &group));
    }
}
