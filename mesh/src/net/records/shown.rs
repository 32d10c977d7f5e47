//! The records as the rest of the node sees them: a copy that is replaced, never waited for.

use std::collections::BTreeMap;
use std::sync::Arc;

use wattle_contracts::record::{Record, RecordKey};

/// Every record that a node holds, the newest of each key.
#[derive(Debug, Clone, Default)]
pub struct Records {
    pub(super) by_key: BTreeMap<RecordKey, Arc<Record>>,
    pub(super) lost: BTreeMap<RecordKey, Vec<Arc<Record>>>,
    pub(super) held_back: Vec<Arc<Record>>,
}

impl Records {
    /// The record of `key`; perhaps a tombstone.
    pub fn get(&self, key: &RecordKey) -> Option<&Record> {
        self.by_key.get(key).map(Arc::as_ref)
    }

    /// The record of every key, tombstones included, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = &Record> {
        self.by_key.values().map(Arc::as_ref)
    }

    /// The changes of a key that lost against others made at the same time, the oldest first.
    pub fn lost(&self, key: &RecordKey) -> impl Iterator<Item = &Record> {
        self.lost.get(key).into_iter().flatten().map(Arc::as_ref)
    }

    /// Records from the future, which are not applied before this node's clock is there.
    pub fn held_back(&self) -> impl Iterator<Item = &Record> {
        self.held_back.iter().map(Arc::as_ref)
    }

    /// How many there are, tombstones included.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}
