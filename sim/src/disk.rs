//! What survives when a node is killed.

use std::collections::BTreeMap;

use wattle_contracts::record::{Record, RecordKey};

/// The records that a node made durable.
#[derive(Debug, Default)]
pub struct Disk {
    records: BTreeMap<RecordKey, Record>,
}

impl Disk {
    /// Keeps a record in the place of any other of its key.
    pub fn write(&mut self, record: &Record) {
        self.records.insert(record.key.clone(), record.clone());
    }

    /// Whether this version of a record, or a later one, is kept.
    pub fn holds(&self, record: &Record) -> bool {
        self.records.get(&record.key).is_some_and(|kept| kept.version >= record.version)
    }

    /// Everything kept.
    pub fn read(&self) -> Vec<Record> {
        self.records.values().cloned().collect()
    }
}
