//! What a node holds: the current record of each key, and the changes that lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wattle_contracts::control::ElementId;
use wattle_contracts::id::{Digest, NodeId};
use wattle_contracts::record::{Record, RecordKey, Version};
use wattle_contracts::wire::{self, WireError};

use super::ranges::{Element, Kind, Ranges};

/// A change that lost is kept if it has no more bytes than this.
pub(super) const MAX_LOST_BYTES: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(super) struct Set {
    records: BTreeMap<RecordKey, Held>,
    lost: BTreeMap<(RecordKey, Version), Arc<Record>>,
    /// The same, the oldest first.
    lost_by_age: BTreeSet<(Version, RecordKey)>,
    /// The summaries of cells, by who wrote them, the oldest first.
    summaries: BTreeMap<NodeId, BTreeSet<(Version, RecordKey)>>,
    pub(super) ranges: Ranges,
    bytes: usize,
}

#[derive(Debug)]
struct Held {
    record: Arc<Record>,
    size: usize,
}

/// The bytes of a record as it travels.
pub(super) fn size(record: &Record) -> Result<usize, WireError> {
    wire::encode(record).map(|bytes| bytes.len())
}

/// The name of the current record of a key.
pub(super) fn current_id(key: &RecordKey) -> Result<ElementId, WireError> {
    Ok(name(&wire::encode(&(0u8, key))?))
}

/// The name of a change that lost.
pub(super) fn lost_id(key: &RecordKey, version: Version) -> Result<ElementId, WireError> {
    Ok(name(&wire::encode(&(1u8, key, version))?))
}

fn name(bytes: &[u8]) -> ElementId {
    ElementId(Digest::of(bytes).as_bytes().first_chunk().copied().unwrap_or_default())
}

fn element(kind: Kind, record: Arc<Record>) -> Result<Element, WireError> {
    let digest = record.digest()?;
    let kind_byte = match kind {
        Kind::Current => 0,
        Kind::Lost => 1,
    };
    let hash = *Digest::of(&[[kind_byte].as_slice(), digest.as_bytes()].concat()).as_bytes();
    Ok(Element { kind, record, hash })
}

impl Set {
    /// Makes `record` the current one of its key. Gives back the one that was.
    pub(super) fn insert(&mut self, record: Arc<Record>) -> Result<Option<Arc<Record>>, WireError> {
        let (id, size) = (current_id(&record.key)?, size(&record)?);
        self.insert_as(id, size, record)
    }

    /// The same where its name and its size are known.
    pub(super) fn insert_as(
        &mut self,
        id: ElementId,
        size: usize,
        record: Arc<Record>,
    ) -> Result<Option<Arc<Record>>, WireError> {
        self.ranges.insert(id, element(Kind::Current, record.clone())?);
        self.bytes += size;
        let held = Held { record: record.clone(), size };
        let previous = self.records.insert(record.key.clone(), held);
        if let Some(previous) = &previous {
            self.bytes -= previous.size;
            self.forget_summary(&previous.record);
        }
        if let RecordKey::Cell(_) = record.key {
            let of_one = self.summaries.entry(record.version.writer).or_default();
            of_one.insert((record.version, record.key.clone()));
        }
        Ok(previous.map(|held| held.record))
    }

    /// Lets go of the current record of a key.
    pub(super) fn remove(&mut self, key: &RecordKey) -> Option<Arc<Record>> {
        let held = self.records.remove(key)?;
        if let Ok(id) = current_id(key) {
            self.ranges.remove(&id);
        }
        self.bytes -= held.size;
        self.forget_summary(&held.record);
        Some(held.record)
    }

    fn forget_summary(&mut self, record: &Record) {
        let RecordKey::Cell(_) = record.key else { return };
        let writer = record.version.writer;
        let Some(of_one) = self.summaries.get_mut(&writer) else { return };
        of_one.remove(&(record.version, record.key.clone()));
        if of_one.is_empty() {
            self.summaries.remove(&writer);
        }
    }

    /// The summaries of cells that `writer` has written, the oldest first.
    pub(super) fn summaries_by(
        &self,
        writer: NodeId,
    ) -> impl Iterator<Item = &(Version, RecordKey)> + use<'_> {
        self.summaries.get(&writer).into_iter().flatten()
    }

    /// Keeps a change that lost. False if it is kept already.
    pub(super) fn insert_lost(&mut self, record: Arc<Record>) -> Result<bool, WireError> {
        let of = (record.key.clone(), record.version);
        if self.lost.contains_key(&of) {
            return Ok(false);
        }
        self.ranges.insert(lost_id(&of.0, of.1)?, element(Kind::Lost, record.clone())?);
        self.lost_by_age.insert((of.1, of.0.clone()));
        self.lost.insert(of, record);
        Ok(true)
    }

    /// Lets go of what lost and is one too many: the oldest of `key` beyond `per_key`, and the
    /// oldest of all beyond `total`. What is left is the same in whatever order they came, so
    /// nodes that heard of the same changes keep the same ones.
    pub(super) fn trim_lost(
        &mut self,
        key: &RecordKey,
        per_key: usize,
        total: usize,
    ) -> Vec<(RecordKey, Version)> {
        let versions: Vec<Version> = self.lost_of(key).map(|record| record.version).collect();
        let surplus = versions.len().saturating_sub(per_key);
        let mut gone: Vec<(RecordKey, Version)> =
            versions.into_iter().take(surplus).map(|version| (key.clone(), version)).collect();
        gone.retain(|of| self.remove_lost(of));
        while self.lost.len() > total
            && let Some((version, key)) = self.lost_by_age.first().cloned()
        {
            self.remove_lost(&(key.clone(), version));
            gone.push((key, version));
        }
        gone
    }

    pub(super) fn remove_lost(&mut self, of: &(RecordKey, Version)) -> bool {
        if let Ok(id) = lost_id(&of.0, of.1) {
            self.ranges.remove(&id);
        }
        self.lost_by_age.remove(&(of.1, of.0.clone()));
        self.lost.remove(of).is_some()
    }

    pub(super) fn get(&self, key: &RecordKey) -> Option<&Arc<Record>> {
        self.records.get(key).map(|held| &held.record)
    }

    pub(super) fn version(&self, key: &RecordKey) -> Option<Version> {
        self.get(key).map(|record| record.version)
    }

    pub(super) fn size_of(&self, key: &RecordKey) -> Option<usize> {
        self.records.get(key).map(|held| held.size)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.records.values().map(|held| &held.record)
    }

    /// The changes of a key that lost, the oldest first.
    pub(super) fn lost_of(&self, key: &RecordKey) -> impl Iterator<Item = &Arc<Record>> + use<'_> {
        let from = (key.clone(), Version::LEAST);
        let to = (key.clone(), Version::GREATEST);
        self.lost.range(from..=to).map(|(_, record)| record)
    }

    /// Every change that lost.
    pub(super) fn lost(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.lost.values()
    }

    pub(super) fn has_lost(&self, key: &RecordKey, version: Version) -> bool {
        self.lost.contains_key(&(key.clone(), version))
    }

    /// The oldest change that lost and is kept.
    pub(super) fn oldest_lost(&self) -> Option<Version> {
        self.lost_by_age.first().map(|(version, _)| *version)
    }

    pub(super) fn lost_len(&self) -> usize {
        self.lost.len()
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn root(&mut self) -> [u8; 32] {
        self.ranges.root()
    }
}
