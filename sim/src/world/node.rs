//! One node of the world: what it is, and what is left of it while it is down.

use std::collections::BTreeSet;

use wattle_contracts::id::{Digest, NodeId};
use wattle_contracts::key::SigningKey;
use wattle_mesh::core::records::Records;
use wattle_mesh::core::time::Time;

use crate::disk::Disk;

#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) key: SigningKey,
    pub(super) disk: Disk,
    /// How far its wall clock is from the right one, in milliseconds.
    pub(super) skew: i64,
    /// `None` while it is down.
    pub(super) records: Option<Records>,
    /// Counts its starts, so that what was meant for an earlier life is dropped.
    pub(super) life: u64,
    /// The next tick that is in the queue.
    pub(super) tick: Time,
    /// How many more outputs it will do before it is killed in the middle of a batch.
    pub(super) doom: Option<usize>,
    /// The nodes with which it can have a connection.
    pub(super) others: BTreeSet<usize>,
}

impl Node {
    pub(super) fn new(key: SigningKey) -> Self {
        let id = NodeId::from_bytes(key.public());
        let (disk, tick) = (Disk::default(), Time::NEVER);
        let others = BTreeSet::new();
        Self { id, key, disk, skew: 0, records: None, life: 0, tick, doom: None, others }
    }
}

pub(super) fn seed_of(number: usize) -> [u8; 32] {
    *Digest::of(&(number as u64).to_le_bytes()).as_bytes()
}
