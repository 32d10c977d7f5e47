//! The records themselves, and the hashes by which two nodes compare theirs.
//!
//! Keys are cut into [`BUCKETS`] by their hash. A bucket's hash is that of its sorted keys and
//! versions, one after the other, and the root is that of the buckets' hashes: SHA-256 all the
//! way, because whoever may write records could make a weaker combination, such as XOR, hide a
//! difference. Hashes are worked out when they are asked for, and only where something changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use wattle_contracts::control::BUCKETS;
use wattle_contracts::id::Digest;
use wattle_contracts::record::{Record, RecordKey, Version};
use wattle_contracts::wire::{self, WireError};

#[derive(Debug)]
pub(super) struct Set {
    records: BTreeMap<RecordKey, Held>,
    buckets: Vec<Bucket>,
    root: Option<[u8; 32]>,
    bytes: usize,
}

#[derive(Debug)]
struct Held {
    record: Arc<Record>,
    size: usize,
}

#[derive(Debug, Default)]
struct Bucket {
    lines: BTreeMap<RecordKey, Line>,
    hash: Option<[u8; 32]>,
}

/// A key and its version, and how both are written.
#[derive(Debug)]
struct Line {
    version: Version,
    written: Box<[u8]>,
}

impl Default for Set {
    fn default() -> Self {
        let buckets = std::iter::repeat_with(Bucket::default).take(BUCKETS).collect();
        Self { records: BTreeMap::new(), buckets, root: None, bytes: 0 }
    }
}

/// The bytes of a record as it travels.
pub(super) fn size(record: &Record) -> Result<usize, WireError> {
    wire::encode(record).map(|bytes| bytes.len())
}

/// The bucket that a key belongs to.
pub(super) fn bucket_of(key: &RecordKey) -> Result<u8, WireError> {
    let [first, ..] = *Digest::of(&wire::encode(key)?).as_bytes();
    Ok(first)
}

impl Set {
    /// Makes `record` the current one of its key. Gives back the one that was.
    pub(super) fn insert(&mut self, record: Arc<Record>) -> Result<Option<Arc<Record>>, WireError> {
        let (key, version) = (record.key.clone(), record.version);
        let written = wire::encode(&(&key, &version))?.into();
        let size = size(&record)?;
        let bucket = usize::from(bucket_of(&key)?);
        if let Some(bucket) = self.buckets.get_mut(bucket) {
            bucket.lines.insert(key.clone(), Line { version, written });
            bucket.hash = None;
        }
        self.root = None;
        self.bytes += size;
        let previous = self.records.insert(key, Held { record, size });
        self.bytes -= previous.as_ref().map_or(0, |held| held.size);
        Ok(previous.map(|held| held.record))
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

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What is held in one bucket: key, version, and the bytes that both take.
    pub(super) fn lines(&self, bucket: u8) -> impl Iterator<Item = (&RecordKey, Version, usize)> {
        self.buckets
            .get(usize::from(bucket))
            .into_iter()
            .flat_map(|bucket| &bucket.lines)
            .map(|(key, line)| (key, line.version, line.written.len()))
    }

    pub(super) fn root(&mut self) -> [u8; 32] {
        if let Some(root) = self.root {
            return root;
        }
        let hashes: Vec<[u8; 32]> = self.buckets.iter_mut().map(Bucket::hash).collect();
        let root = *Digest::of(&hashes.concat()).as_bytes();
        self.root = Some(root);
        root
    }

    /// The hash of each bucket, shortened.
    pub(super) fn bucket_hashes(&mut self) -> Vec<u64> {
        let short =
            |hash: [u8; 32]| hash.first_chunk().map_or(0, |start| u64::from_be_bytes(*start));
        self.buckets.iter_mut().map(|bucket| short(bucket.hash())).collect()
    }
}

impl Bucket {
    fn hash(&mut self) -> [u8; 32] {
        if let Some(hash) = self.hash {
            return hash;
        }
        // Each line says how long it is: no two different buckets give the same bytes.
        let mut bytes = Vec::new();
        for line in self.lines.values() {
            bytes.extend_from_slice(&(line.written.len() as u64).to_le_bytes());
            bytes.extend_from_slice(&line.written);
        }
        let hash = *Digest::of(&bytes).as_bytes();
        self.hash = Some(hash);
        hash
    }
}
