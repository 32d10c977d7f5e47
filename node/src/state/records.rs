//! The records on disk.

use anyhow::{Context as _, Result};
use redb::{ReadableTable as _, TableDefinition, TableError};
use wattle_contracts::record::Record;
use wattle_contracts::wire;

use super::Database;

const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");

/// Every record this node holds, by key.
#[derive(Clone)]
pub(crate) struct RecordTable {
    database: Database,
}

impl RecordTable {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// All records. One that can't be read is left out, with a line in the log: its neighbours
    /// send it again.
    pub(crate) fn load(&self) -> Result<Vec<Record>> {
        let table = match self.database.read()?.open_table(RECORDS) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error).context("can't read the records"),
        };
        let mut records = Vec::new();
        for entry in table.iter()? {
            let (key, value) = entry?;
            match wire::decode::<Record>(value.value()) {
                Ok(record) => records.push(record),
                Err(error) => {
                    tracing::error!(key = key.value(), %error, "a record on disk can't be read; it is left out");
                }
            }
        }
        Ok(records)
    }

    /// Puts `records` in the place of those with the same keys. They are on disk when this
    /// returns.
    pub(crate) fn persist(&self, records: &[Record]) -> Result<()> {
        let rows = records
            .iter()
            .map(|record| Ok((record.key.to_string(), wire::encode(record)?)))
            .collect::<Result<Vec<_>>>()?;
        self.database.write_blocking(move |transaction| {
            let mut table = transaction.open_table(RECORDS)?;
            for (key, value) in &rows {
                table.insert(key.as_str(), value.as_slice())?;
            }
            Ok(())
        })
    }
}
