//! The records on disk.
//!
//! A row is a seal of this node ([`Seal`]), then the record as it travels. A record was verified
//! before it was written, so one whose seal holds is not verified again: that takes a second for
//! 100,000 records, where checking every signature takes many. One whose seal does not hold is
//! told as such, and is taken for what its signature is worth.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use redb::{
    ReadableTable as _, ReadableTableMetadata as _, TableDefinition, TableError, TableHandle as _,
    WriteTransaction,
};
use serde::{Deserialize, Serialize};
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::{Record, RecordKey, Version};
use wattle_contracts::seal::{SEAL_BYTES, Seal};
use wattle_contracts::wire;
use wattle_mesh::core::records::{Stored, Write};
use wattle_mesh::net::Loaded;

use super::Database;

type Rows<'a> = TableDefinition<'a, &'static str, &'static [u8]>;

const IN_USE_NAME: &str = "tables-of-records";

/// An [`InUse`] after its seal, under the key "".
const IN_USE: Rows<'_> = TableDefinition::new(IN_USE_NAME);

/// Which tables are in use, and how many rows they have: a row that vanishes is missed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct InUse {
    generation: u64,
    current: u64,
    lost: u64,
}

impl InUse {
    fn rows(self, kind: Kind) -> u64 {
        match kind {
            Kind::Current => self.current,
            Kind::Lost => self.lost,
        }
    }
}

/// The two kinds of rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The current record of each key.
    Current,
    /// Changes that lost.
    Lost,
}

/// Every record this node holds.
#[derive(Clone)]
pub(crate) struct RecordTable {
    database: Database,
    seal: Seal,
    /// Tables that were found broken are not written to any more; what could be read of them is
    /// in those of the next generation.
    generation: Arc<AtomicU64>,
}

/// A change of one row: its kind, its key, and what is there afterwards.
type Row = (Kind, String, Option<Vec<u8>>);

/// Rows by their key, and what went wrong with the others.
type ReadRows = (BTreeMap<String, Vec<u8>>, Option<String>);

impl RecordTable {
    pub(crate) fn new(database: Database, key: &SigningKey) -> Self {
        let generation = Arc::new(AtomicU64::new(0));
        Self { database, seal: Seal::new(key, "records"), generation }
    }

    /// Whether what there is was written with this key.
    pub(crate) fn is_sealed(&self) -> bool {
        self.read_in_use().is_ok_and(|in_use| in_use.is_some())
    }

    /// Writes all of these anew, which this holds, sealed with another key.
    pub(crate) fn reseal(&self, key: &SigningKey, held: &[Stored]) -> Result<()> {
        let used = self.tables()?.iter().filter_map(|name| generation_of(name)).collect();
        let seal = Seal::new(key, "records");
        Self { seal, ..self.clone() }.begin_anew(held, &used)
    }

    /// All that can be read. What is damaged is told, and what is left is written anew.
    pub(crate) fn load(&self) -> Result<Loaded> {
        let mut loaded = Loaded::default();
        let found = self.tables()?;
        let in_use = self.read_in_use();
        let has = |number| {
            [Kind::Current, Kind::Lost].iter().all(|kind| found.contains(&table_of(*kind, number)))
        };
        let sound = match &in_use {
            Ok(Some(in_use)) if has(in_use.generation) => Some(*in_use),
            Ok(None) if found.is_empty() => Some(InUse::default()),
            _ => None,
        };
        let generations = match sound {
            Some(in_use) => BTreeSet::from([in_use.generation]),
            None => {
                let why = match &in_use {
                    Ok(Some(in_use)) => {
                        format!("tables number {} are not there", in_use.generation)
                    }
                    Ok(None) => "their number is not there".to_string(),
                    Err(error) => format!("their number can't be read: {error:#}"),
                };
                loaded.damaged.push(format!(
                    "which tables hold the records is not sure ({why}); all that are there are read"
                ));
                found.iter().filter_map(|name| generation_of(name)).collect()
            }
        };
        let mut is_broken = sound.is_none();
        for generation in &generations {
            self.generation.store(*generation, Ordering::Relaxed);
            for kind in [Kind::Current, Kind::Lost] {
                let rows = sound.map(|in_use| in_use.rows(kind));
                is_broken |= self.load_table(kind, rows, &mut loaded)?;
            }
        }
        if is_broken {
            self.begin_anew(&loaded.records, &generations)?;
        }
        Ok(loaded)
    }

    /// Reads a table, which should have so many rows, and tells whether it is broken.
    fn load_table(&self, kind: Kind, should: Option<u64>, loaded: &mut Loaded) -> Result<bool> {
        let (rows, broken) = self.rows(kind)?;
        let (name, found) = (self.table(kind), rows.len());
        let is_short = should.is_some_and(|should| should != found as u64);
        if let Some(why) = &broken {
            loaded.damaged.push(format!(
                "the table {name} is broken in the middle ({why}); {found} of its rows could be read"
            ));
        } else if let Some(should) = should.filter(|_| is_short) {
            loaded
                .damaged
                .push(format!("the table {name} has {found} rows, and should have {should}"));
        }
        for (key, value) in rows {
            match self.read(&key, &value, kind) {
                Ok(stored) => loaded.records.push(stored),
                Err(why) => loaded.damaged.push(format!("{key}: {why}")),
            }
        }
        Ok(broken.is_some() || is_short)
    }

    fn table(&self, kind: Kind) -> String {
        table_of(kind, self.generation.load(Ordering::Relaxed))
    }

    /// The names of all tables that hold records, or held them before they were found broken.
    fn tables(&self) -> Result<BTreeSet<String>> {
        let transaction = self.database.read()?;
        let list = AssertUnwindSafe(|| -> Result<BTreeSet<String>, redb::Error> {
            let names = transaction.list_tables()?.map(|table| table.name().to_string());
            Ok(names.filter(|name| generation_of(name).is_some()).collect())
        });
        match catch_unwind(list) {
            Ok(listed) => listed.context("can't read which tables of records the database has"),
            Err(_) => {
                anyhow::bail!("the database panicked when asked for the tables of the records")
            }
        }
    }

    /// Which tables are in use, if any were written yet. An error if that is damaged.
    fn read_in_use(&self) -> Result<Option<InUse>> {
        let transaction = self.database.read()?;
        let read = AssertUnwindSafe(|| -> Result<Option<Vec<u8>>, redb::Error> {
            match transaction.open_table(IN_USE) {
                Ok(table) => {
                    Ok(Some(table.get("")?.map_or(Vec::new(), |row| row.value().to_vec())))
                }
                Err(TableError::TableDoesNotExist(_)) => Ok(None),
                Err(error) => Err(error.into()),
            }
        });
        let value = catch_unwind(read).map_err(|_| anyhow::anyhow!("the database panicked"))??;
        let Some(value) = value else { return Ok(None) };
        let (seal, bytes) =
            value.split_at_checked(SEAL_BYTES).context("it is shorter than its seal")?;
        anyhow::ensure!(self.seal.holds(IN_USE_NAME, bytes, seal), "it is not what was written");
        Ok(Some(wire::decode(bytes)?))
    }

    /// The rows of a table as far as they can be read, from both ends, and what went wrong. redb
    /// answers to some damage with an error, to other damage with a panic.
    fn rows(&self, kind: Kind) -> Result<ReadRows> {
        let name = self.table(kind);
        let transaction = self.database.read()?;
        let mut rows = BTreeMap::new();
        let mut broken = None;
        for from_the_end in [false, true] {
            let read = AssertUnwindSafe(|| -> Result<(), redb::Error> {
                let table = match transaction.open_table(Rows::new(&name)) {
                    Ok(table) => table,
                    Err(TableError::TableDoesNotExist(_)) => return Ok(()),
                    Err(error) => return Err(error.into()),
                };
                let mut range = table.iter()?;
                while let Some(entry) = if from_the_end { range.next_back() } else { range.next() }
                {
                    let (key, value) = entry?;
                    rows.insert(key.value().to_string(), value.value().to_vec());
                }
                Ok(())
            });
            match catch_unwind(read) {
                Ok(Ok(())) => break,
                Ok(Err(error)) => broken = Some(error.to_string()),
                Err(_) => broken = Some("the database panicked".to_string()),
            }
        }
        Ok((rows, broken))
    }

    /// Writes what could be read to new tables. Until that is on disk the broken ones stay in use:
    /// they are all there is.
    fn begin_anew(&self, records: &[Stored], used: &BTreeSet<u64>) -> Result<()> {
        let next = (0..u64::MAX).find(|number| !used.contains(number)).unwrap_or_default();
        // Of several of one key, the newest is written last.
        let mut records: Vec<&Stored> = records.iter().collect();
        records.sort_by_key(|stored| stored.record.version);
        let rows = records
            .into_iter()
            // Where only the seal was hit, the signature still says that the record is whole.
            .filter(|stored| stored.is_verified || stored.record.verify().is_ok())
            .map(|stored| {
                let record = Arc::new(stored.record.clone());
                self.row(&if stored.is_lost { Write::Lost(record) } else { Write::Current(record) })
            })
            .collect::<Result<Vec<Row>>>()?;
        let seal = self.seal.clone();
        self.database.write_blocking(move |transaction| {
            // What an attempt that failed has left there may be outdated.
            transaction.delete_table(Rows::new(&table_of(Kind::Current, next)))?;
            transaction.delete_table(Rows::new(&table_of(Kind::Lost, next)))?;
            change_rows(transaction, &seal, next, &rows)
        })?;
        self.generation.store(next, Ordering::Relaxed);
        Ok(())
    }

    fn read(&self, key: &str, value: &[u8], kind: Kind) -> Result<Stored, String> {
        let (seal, bytes) =
            value.split_at_checked(SEAL_BYTES).ok_or("it is shorter than its seal")?;
        let record: Record = wire::decode(bytes).map_err(|error| error.to_string())?;
        let name = match kind {
            Kind::Lost => lost_name(&record.key, record.version),
            Kind::Current => record.key.to_string(),
        };
        if name != key {
            return Err(format!("it is the record of {name}"));
        }
        let is_verified = self.seal.holds(key, bytes, seal);
        Ok(Stored { record, is_lost: kind == Kind::Lost, is_verified })
    }

    /// Makes all of these changes, or none. They are on disk when this returns.
    pub(crate) fn persist(&self, writes: &[Write]) -> Result<()> {
        let rows = writes.iter().map(|write| self.row(write)).collect::<Result<Vec<Row>>>()?;
        let (seal, generation) = (self.seal.clone(), self.generation.load(Ordering::Relaxed));
        self.database
            .write_blocking(move |transaction| change_rows(transaction, &seal, generation, &rows))
    }

    fn row(&self, write: &Write) -> Result<Row> {
        let (kind, name, record) = match write {
            Write::Current(record) => (Kind::Current, record.key.to_string(), Some(record)),
            Write::Lost(record) => {
                (Kind::Lost, lost_name(&record.key, record.version), Some(record))
            }
            Write::LostGone(key, version) => (Kind::Lost, lost_name(key, *version), None),
            Write::CurrentGone(key) => (Kind::Current, key.to_string(), None),
        };
        let value = record.map(|record| -> Result<Vec<u8>> {
            let bytes = wire::encode(record.as_ref())?;
            Ok([self.seal.of(&name, &bytes).as_slice(), &bytes].concat())
        });
        Ok((kind, name, value.transpose()?))
    }
}

fn table_of(kind: Kind, generation: u64) -> String {
    let name = match kind {
        Kind::Current => "records",
        Kind::Lost => "lost",
    };
    format!("{name}-{generation}")
}

/// The number in the name of a table of records; `None` for other tables.
fn generation_of(name: &str) -> Option<u64> {
    let number = name.strip_prefix("records-").or_else(|| name.strip_prefix("lost-"))?;
    number.parse().ok()
}

/// Changes rows of the two tables of this number, and notes how many they have.
fn change_rows(
    transaction: &WriteTransaction,
    seal: &Seal,
    generation: u64,
    rows: &[Row],
) -> Result<()> {
    let mut current = transaction.open_table(Rows::new(&table_of(Kind::Current, generation)))?;
    let mut lost = transaction.open_table(Rows::new(&table_of(Kind::Lost, generation)))?;
    for (kind, key, value) in rows {
        let table = if *kind == Kind::Current { &mut current } else { &mut lost };
        match value {
            Some(value) => table.insert(key.as_str(), value.as_slice())?,
            None => table.remove(key.as_str())?,
        };
    }
    let in_use = InUse { generation, current: current.len()?, lost: lost.len()? };
    let bytes = wire::encode(&in_use)?;
    let value = [seal.of(IN_USE_NAME, &bytes).as_slice(), &bytes].concat();
    // The last of all: an error above does not keep the rest of the batch from the disk, and must
    // not leave a number whose rows are missing.
    transaction.open_table(IN_USE)?.insert("", value.as_slice())?;
    Ok(())
}

fn lost_name(key: &RecordKey, version: Version) -> String {
    format!("{key} {:020}.{:010} {}", version.at.millis, version.at.counter, version.writer)
}

#[cfg(test)]
mod tests;
