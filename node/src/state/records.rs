//! The records on disk.
//!
//! A row is a seal of this node ([`Seal`]), then the record as it travels. A record was verified
//! before it was written, so one whose seal holds is not verified again: that takes a second for
//! 100,000 records, where checking every signature takes many. One whose seal does not hold is
//! told as such, and is taken for what its signature is worth.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use redb::{ReadableTable as _, TableDefinition, TableError, WriteTransaction};
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::{Record, RecordKey, Version};
use wattle_contracts::seal::{SEAL_BYTES, Seal};
use wattle_contracts::wire;
use wattle_mesh::core::records::{Stored, Write};
use wattle_mesh::net::Loaded;

use super::Database;

type Rows<'a> = TableDefinition<'a, &'static str, &'static [u8]>;

/// Which generation of the tables is in use, under the key "".
const GENERATION: TableDefinition<'_, &str, u64> = TableDefinition::new("records-generation");

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

    /// All that can be read.
    pub(crate) fn load(&self) -> Result<Loaded> {
        self.generation.store(self.read_generation()?, Ordering::Relaxed);
        let mut loaded = Loaded::default();
        let mut is_broken = false;
        for kind in [Kind::Current, Kind::Lost] {
            let (rows, broken) = self.rows(kind)?;
            if let Some(why) = broken {
                is_broken = true;
                loaded.damaged.push(format!(
                    "the table {} is broken in the middle ({why}); {} of its rows could be read",
                    self.table(kind),
                    rows.len()
                ));
            }
            for (key, value) in rows {
                match self.read(&key, &value, kind) {
                    Ok(stored) => loaded.records.push(stored),
                    Err(why) => loaded.damaged.push(format!("{key}: {why}")),
                }
            }
        }
        if is_broken {
            self.begin_anew(&loaded.records)?;
        }
        Ok(loaded)
    }

    fn table(&self, kind: Kind) -> String {
        table_of(kind, self.generation.load(Ordering::Relaxed))
    }

    fn read_generation(&self) -> Result<u64> {
        match self.database.read()?.open_table(GENERATION) {
            Ok(table) => Ok(table.get("")?.map_or(0, |row| row.value())),
            Err(TableError::TableDoesNotExist(_)) => Ok(0),
            Err(error) => Err(error).context("can't read the records"),
        }
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
    fn begin_anew(&self, records: &[Stored]) -> Result<()> {
        let next = self.generation.load(Ordering::Relaxed).saturating_add(1);
        let rows = records
            .iter()
            // Where only the seal was hit, the signature still says that the record is whole.
            .filter(|stored| stored.is_verified || stored.record.verify().is_ok())
            .map(|stored| {
                let record = Arc::new(stored.record.clone());
                self.row(&if stored.is_lost { Write::Lost(record) } else { Write::Current(record) })
            })
            .collect::<Result<Vec<Row>>>()?;
        let (current, lost) = (table_of(Kind::Current, next), table_of(Kind::Lost, next));
        self.database.write_blocking(move |transaction| {
            // What an attempt that failed has left there may be outdated.
            transaction.delete_table(Rows::new(&current))?;
            transaction.delete_table(Rows::new(&lost))?;
            change_rows(transaction, &current, &lost, &rows)?;
            // The last of all: an error above does not keep the rest of the batch from the disk,
            // and must not leave a generation whose rows are missing.
            transaction.open_table(GENERATION)?.insert("", next)?;
            Ok(())
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
        let (current, lost) = (self.table(Kind::Current), self.table(Kind::Lost));
        self.database
            .write_blocking(move |transaction| change_rows(transaction, &current, &lost, &rows))
    }

    fn row(&self, write: &Write) -> Result<Row> {
        let (kind, name, record) = match write {
            Write::Current(record) => (Kind::Current, record.key.to_string(), Some(record)),
            Write::Gone(key) => (Kind::Current, key.to_string(), None),
            Write::Lost(record) => {
                (Kind::Lost, lost_name(&record.key, record.version), Some(record))
            }
            Write::LostGone(key, version) => (Kind::Lost, lost_name(key, *version), None),
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

/// Changes rows of the two tables with these names.
fn change_rows(
    transaction: &WriteTransaction,
    current: &str,
    lost: &str,
    rows: &[Row],
) -> Result<()> {
    let mut current = transaction.open_table(Rows::new(current))?;
    let mut lost = transaction.open_table(Rows::new(lost))?;
    for (kind, key, value) in rows {
        let table = if *kind == Kind::Current { &mut current } else { &mut lost };
        match value {
            Some(value) => table.insert(key.as_str(), value.as_slice())?,
            None => table.remove(key.as_str())?,
        };
    }
    Ok(())
}

fn lost_name(key: &RecordKey, version: Version) -> String {
    format!("{key} {:020}.{:010} {}", version.at.millis, version.at.counter, version.writer)
}

#[cfg(test)]
mod tests;
