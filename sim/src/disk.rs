//! What survives when a node is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wattle_contracts::record::{Record, RecordKey, Version};
use wattle_mesh::core::records::{Stored, Write};

/// The records that a node made durable.
#[derive(Debug, Default)]
pub struct Disk {
    current: BTreeMap<RecordKey, Arc<Record>>,
    lost: BTreeMap<(RecordKey, Version), Arc<Record>>,
    lost_gone: BTreeSet<(RecordKey, Version)>,
}

impl Disk {
    /// Makes a change. False if an older record took the place of a newer one: no change does that.
    pub fn write(&mut self, write: &Write) -> bool {
        match write {
            Write::Current(record) => {
                let before = self.current.insert(record.key.clone(), record.clone());
                return before.is_none_or(|before| before.version <= record.version);
            }
            Write::Lost(record) => {
                self.lost.insert((record.key.clone(), record.version), record.clone());
            }
            Write::LostGone(key, version) => {
                self.lost.remove(&(key.clone(), *version));
                self.lost_gone.insert((key.clone(), *version));
            }
            Write::CurrentGone(key) => {
                self.current.remove(key);
            }
        }
        true
    }

    /// Whether this version of a record, or a later one, is kept.
    pub fn held(&self, record: &Record) -> bool {
        self.current.get(&record.key).is_some_and(|kept| kept.version >= record.version)
    }

    /// Whether this change is or was kept as one that lost.
    pub fn held_lost(&self, record: &Record) -> bool {
        let of = (record.key.clone(), record.version);
        self.lost.contains_key(&of) || self.lost_gone.contains(&of)
    }

    /// Everything kept.
    pub fn read(&self) -> Vec<Stored> {
        let stored = |record: &Arc<Record>, is_lost| Stored {
            record: Record::clone(record),
            is_lost,
            is_verified: false,
        };
        let current = self.current.values().map(|record| stored(record, false));
        current.chain(self.lost.values().map(|record| stored(record, true))).collect()
    }
}
