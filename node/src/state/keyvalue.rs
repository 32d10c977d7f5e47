//! The embedded key-value store: every bucket of every `wasi:keyvalue` provider that has its
//! home on this node.

mod list;

use std::sync::Arc;

use anyhow::{Context as _, Error, Result, bail};
use redb::{ReadOnlyTable, ReadableTable, TableDefinition, TableError, WriteTransaction};
use tokio::sync::Semaphore;
use wattle_contracts::id::ComponentId;
use wattle_contracts::provider::{KeyValueOperation, KeyValueReply, KeyValueRequest};

use self::list::Marks;
use super::Database;

/// (provider, bucket, key) to value. Ordered, so that listing a bucket is a range.
const VALUES: TableDefinition<'_, (&str, &str, &str), &[u8]> = TableDefinition::new("keyvalue");

/// So many operations read much at once, each on a thread that may wait for the disk: what they
/// hold in memory meanwhile is bounded by that, too.
const READERS: usize = 4;

type Values = ReadOnlyTable<(&'static str, &'static str, &'static str), &'static [u8]>;

/// Everything stored under `wasi:keyvalue` on this node.
#[derive(Clone)]
pub(crate) struct KeyValueTables {
    database: Database,
    /// Where listings go on.
    marks: Arc<Marks>,
    /// Places for reading much.
    readers: Arc<Semaphore>,
}

impl KeyValueTables {
    pub(crate) fn new(database: Database) -> Self {
        Self { database, marks: Arc::default(), readers: Arc::new(Semaphore::new(READERS)) }
    }

    /// Does what `request` says in the store of `provider`. A change is on disk when this
    /// returns.
    pub(crate) async fn handle(
        &self,
        provider: &ComponentId,
        request: KeyValueRequest,
    ) -> KeyValueReply {
        let outcome = match request.check() {
            Ok(()) => self.run(provider.to_string(), request).await,
            Err(why) => Err(Error::msg(why)),
        };
        outcome.unwrap_or_else(|error| KeyValueReply::Failed(format!("{error:#}")))
    }

    async fn run(&self, store: String, request: KeyValueRequest) -> Result<KeyValueReply> {
        use KeyValueOperation as Op;
        let bucket = request.bucket;
        match request.operation {
            Op::Open => Ok(KeyValueReply::Done),
            Op::Get(key) => self.get(&store, &bucket, &key).map(KeyValueReply::Value),
            Op::Exists(key) => self.exists(&store, &bucket, &key).map(KeyValueReply::Exists),
            Op::GetMany(keys) => {
                self.read_much(move |tables| tables.get_many(&store, &bucket, keys)).await
            }
            Op::ListKeys(cursor) => {
                self.read_much(move |tables| tables.list(&store, &bucket, cursor)).await
            }
            Op::Set(key, value) => self.set(store, bucket, vec![(key, value)]).await,
            Op::SetMany(pairs) => self.set(store, bucket, pairs).await,
            Op::Delete(key) => self.delete(store, bucket, vec![key]).await,
            Op::DeleteMany(keys) => self.delete(store, bucket, keys).await,
            Op::Increment(key, delta) => {
                let bytes = key.len() as u64;
                let add = move |transaction: &WriteTransaction| {
                    increment(transaction, &store, &bucket, &key, delta)
                };
                let sum = self.database.write_with_room(bytes, add).await?;
                Ok(KeyValueReply::Number(sum))
            }
        }
    }

    /// Nothing was written yet where there is no table.
    fn values(&self) -> Result<Option<Values>> {
        match self.database.read()?.open_table(VALUES) {
            Ok(table) => Ok(Some(table)),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn get(&self, store: &str, bucket: &str, key: &str) -> Result<Option<Vec<u8>>> {
        let Some(table) = self.values()? else { return Ok(None) };
        Ok(table.get((store, bucket, key))?.map(|value| value.value().to_vec()))
    }

    fn exists(&self, store: &str, bucket: &str, key: &str) -> Result<bool> {
        let Some(table) = self.values()? else { return Ok(false) };
        Ok(table.get((store, bucket, key))?.is_some())
    }

    /// Gives up as soon as there is too much: it is never all in memory.
    fn get_many(&self, store: &str, bucket: &str, keys: Vec<String>) -> Result<KeyValueReply> {
        let Some(table) = self.values()? else {
            return Ok(KeyValueReply::Values(vec![None; keys.len()]));
        };
        let mut values = Vec::with_capacity(keys.len());
        let mut bytes = 0;
        for key in keys {
            let Some(value) = table.get((store, bucket, key.as_str()))? else {
                values.push(None);
                continue;
            };
            bytes += value.value().len();
            KeyValueRequest::check_values(bytes).map_err(Error::msg)?;
            values.push(Some((key, value.value().to_vec())));
        }
        Ok(KeyValueReply::Values(values))
    }

    /// Reads on a thread that may wait for the disk, when there is a place.
    async fn read_much<F>(&self, read: F) -> Result<KeyValueReply>
    where
        F: FnOnce(&Self) -> Result<KeyValueReply> + Send + 'static,
    {
        let place = Arc::clone(&self.readers).acquire_owned().await?;
        let tables = self.clone();
        let read = move || {
            let _place = place;
            read(&tables)
        };
        tokio::task::spawn_blocking(read).await.context("reading the store broke off")?
    }

    async fn set(
        &self,
        store: String,
        bucket: String,
        pairs: Vec<(String, Vec<u8>)>,
    ) -> Result<KeyValueReply> {
        let bytes: u64 = pairs.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum();
        self.database
            .write_with_room(bytes, move |transaction| {
                let mut table = transaction.open_table(VALUES)?;
                for (key, value) in &pairs {
                    table.insert((&*store, &*bucket, &**key), value.as_slice())?;
                }
                Ok(KeyValueReply::Done)
            })
            .await
    }

    async fn delete(
        &self,
        store: String,
        bucket: String,
        keys: Vec<String>,
    ) -> Result<KeyValueReply> {
        self.database
            .write(move |transaction| {
                let mut table = transaction.open_table(VALUES)?;
                for key in &keys {
                    table.remove((&*store, &*bucket, &**key))?;
                }
                Ok(KeyValueReply::Done)
            })
            .await
    }
}

/// A counter is its decimal digits, so that `get` of one can be read, and `set` can start one.
fn increment(
    transaction: &WriteTransaction,
    store: &str,
    bucket: &str,
    key: &str,
    delta: u64,
) -> Result<u64> {
    let mut table = transaction.open_table(VALUES)?;
    let old = match table.get((store, bucket, key))? {
        None => 0,
        Some(value) => match std::str::from_utf8(value.value()).ok().and_then(|t| t.parse().ok()) {
            Some(number) => number,
            None => bail!("the value of `{key}` is not a number, it can't be incremented"),
        },
    };
    let Some(sum) = u64::checked_add(old, delta) else {
        bail!("`{key}` would pass the largest number of 64 bits");
    };
    table.insert((store, bucket, key), sum.to_string().as_bytes())?;
    Ok(sum)
}

#[cfg(test)]
mod tests;
