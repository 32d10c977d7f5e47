//! The embedded key-value store: every bucket of every `wasi:keyvalue` provider that has its
//! home on this node.

use anyhow::{Result, bail};
use redb::{ReadableTable, TableDefinition, TableError, WriteTransaction};
use wattle_contracts::id::ComponentId;
use wattle_contracts::provider::{KeyValueOperation, KeyValueReply, KeyValueRequest};

use super::Database;

/// (provider, bucket, key) to value. Ordered, so that listing a bucket is a range.
const VALUES: TableDefinition<'_, (&str, &str, &str), &[u8]> = TableDefinition::new("keyvalue");

/// The longest key, in bytes.
const MAX_KEY: usize = 4 * 1024;
/// The longest bucket name, in bytes.
const MAX_BUCKET: usize = 256;
/// The largest value, in bytes.
const MAX_VALUE: usize = 16 * 1024 * 1024;
/// How many keys one page of a listing holds, and one request names.
const PAGE: usize = 1000;
/// The largest answer with several values, in bytes: as large as one value may be.
const MAX_VALUES: usize = MAX_VALUE;

/// Everything stored under `wasi:keyvalue` on this node.
#[derive(Clone)]
pub(crate) struct KeyValueTables {
    database: Database,
}

impl KeyValueTables {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Does what `request` says in the store of `provider`. A change is on disk when this
    /// returns.
    pub(crate) async fn handle(
        &self,
        provider: &ComponentId,
        request: KeyValueRequest,
    ) -> KeyValueReply {
        let outcome = match check_sizes(&request) {
            Ok(()) => self.run(provider.to_string(), request).await,
            Err(error) => Err(error),
        };
        outcome.unwrap_or_else(|error| KeyValueReply::Failed(format!("{error:#}")))
    }

    async fn run(&self, store: String, request: KeyValueRequest) -> Result<KeyValueReply> {
        use KeyValueOperation as Op;
        let bucket = request.bucket;
        match request.operation {
            Op::Open => Ok(KeyValueReply::Done),
            Op::Get(key) => self.get(&store, &bucket, &key).map(KeyValueReply::Value),
            Op::Exists(key) => {
                self.get(&store, &bucket, &key).map(|value| KeyValueReply::Exists(value.is_some()))
            }
            Op::GetMany(keys) => {
                let tables = self.clone();
                let read = move || tables.get_many(&store, &bucket, keys);
                tokio::task::spawn_blocking(read).await?
            }
            Op::ListKeys(cursor) => {
                let tables = self.clone();
                let read = move || tables.list(&store, &bucket, cursor);
                tokio::task::spawn_blocking(read).await?
            }
            Op::Set(key, value) => self.set(store, bucket, vec![(key, value)]).await,
            Op::SetMany(pairs) => self.set(store, bucket, pairs).await,
            Op::Delete(key) => self.delete(store, bucket, vec![key]).await,
            Op::DeleteMany(keys) => self.delete(store, bucket, keys).await,
            Op::Increment(key, delta) => {
                let sum = self
                    .database
                    .write(move |transaction| increment(transaction, &store, &bucket, &key, delta))
                    .await?;
                Ok(KeyValueReply::Number(sum))
            }
        }
    }

    fn get(&self, store: &str, bucket: &str, key: &str) -> Result<Option<Vec<u8>>> {
        let table = match self.database.read()?.open_table(VALUES) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(table.get((store, bucket, key))?.map(|value| value.value().to_vec()))
    }

    fn get_many(&self, store: &str, bucket: &str, keys: Vec<String>) -> Result<KeyValueReply> {
        let (mut values, mut bytes) = (Vec::with_capacity(keys.len()), 0);
        for key in keys {
            let value = self.get(store, bucket, &key)?;
            bytes += value.as_ref().map_or(0, Vec::len);
            if bytes > MAX_VALUES {
                bail!("the values of these keys have more than {MAX_VALUES} bytes: ask for fewer");
            }
            values.push(value.map(|value| (key, value)));
        }
        Ok(KeyValueReply::Values(values))
    }

    /// The cursor is the number of keys already given: exact while the bucket does not change,
    /// which is all that the contract promises.
    fn list(&self, store: &str, bucket: &str, cursor: Option<u64>) -> Result<KeyValueReply> {
        let table = match self.database.read()?.open_table(VALUES) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(KeyValueReply::Keys(vec![], None)),
            Err(error) => return Err(error.into()),
        };
        let skip = usize::try_from(cursor.unwrap_or(0)).unwrap_or(usize::MAX);
        let mut keys = Vec::new();
        for (at, entry) in table.range((store, bucket, "")..)?.enumerate() {
            let (found, _) = entry?;
            let (its_store, its_bucket, key) = found.value();
            // Whatever the cursor says, nothing behind the bucket is looked at.
            if (its_store, its_bucket) != (store, bucket) {
                break;
            }
            if at < skip {
                continue;
            }
            if keys.len() == PAGE {
                let next = skip.saturating_add(PAGE) as u64;
                return Ok(KeyValueReply::Keys(keys, Some(next)));
            }
            keys.push(key.to_string());
        }
        Ok(KeyValueReply::Keys(keys, None))
    }

    async fn set(
        &self,
        store: String,
        bucket: String,
        pairs: Vec<(String, Vec<u8>)>,
    ) -> Result<KeyValueReply> {
        self.database
            .write(move |transaction| {
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

fn check_sizes(request: &KeyValueRequest) -> Result<()> {
    use KeyValueOperation as Op;
    let keys: Vec<&String> = match &request.operation {
        Op::Open | Op::ListKeys(_) => Vec::new(),
        Op::Get(key)
        | Op::Set(key, _)
        | Op::Delete(key)
        | Op::Exists(key)
        | Op::Increment(key, _) => {
            vec![key]
        }
        Op::GetMany(keys) | Op::DeleteMany(keys) => keys.iter().collect(),
        Op::SetMany(pairs) => pairs.iter().map(|(key, _)| key).collect(),
    };
    if request.bucket.len() > MAX_BUCKET {
        bail!("the bucket's name has more than {MAX_BUCKET} bytes");
    }
    if keys.len() > PAGE {
        bail!("{} keys at once, where at most {PAGE} are allowed", keys.len());
    }
    if keys.iter().any(|key| key.len() > MAX_KEY) {
        bail!("a key has more than {MAX_KEY} bytes");
    }
    let too_large = |value: &Vec<u8>| value.len() > MAX_VALUE;
    let refused = match &request.operation {
        Op::Set(_, value) => too_large(value),
        Op::SetMany(pairs) => pairs.iter().any(|(_, value)| too_large(value)),
        _ => false,
    };
    if refused {
        bail!("a value has more than {MAX_VALUE} bytes");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Store {
        tables: KeyValueTables,
        provider: ComponentId,
        _folder: tempfile::TempDir,
    }

    impl Store {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let database = Database::open(&folder.path().join("db")).unwrap();
            Self {
                tables: KeyValueTables::new(database),
                provider: "app/store".parse().unwrap(),
                _folder: folder,
            }
        }

        async fn ask(&self, bucket: &str, operation: KeyValueOperation) -> KeyValueReply {
            let request = KeyValueRequest { bucket: bucket.into(), operation };
            self.tables.handle(&self.provider, request).await
        }
    }

    #[tokio::test]
    async fn values_are_kept_apart_by_bucket() {
        use KeyValueOperation as Op;
        let store = Store::new();
        assert_eq!(store.ask("a", Op::Get("k".into())).await, KeyValueReply::Value(None));
        store.ask("a", Op::Set("k".into(), b"1".to_vec())).await;
        assert_eq!(
            store.ask("a", Op::Get("k".into())).await,
            KeyValueReply::Value(Some(b"1".to_vec()))
        );
        assert_eq!(store.ask("b", Op::Exists("k".into())).await, KeyValueReply::Exists(false));
        store.ask("a", Op::Delete("k".into())).await;
        assert_eq!(store.ask("a", Op::Exists("k".into())).await, KeyValueReply::Exists(false));
    }

    #[tokio::test]
    async fn an_answer_is_no_larger_than_a_value_may_be() {
        use KeyValueOperation as Op;
        let store = Store::new();
        let failed = |reply: KeyValueReply, with: &str| match reply {
            KeyValueReply::Failed(why) => assert!(why.contains(with), "{why}"),
            other => panic!("{other:?}"),
        };
        store.ask("a", Op::Set("half".into(), vec![7; MAX_VALUES / 2])).await;
        store.ask("a", Op::Set("rest".into(), b"x".to_vec())).await;
        let ask = |keys: &[&str]| Op::GetMany(keys.iter().map(ToString::to_string).collect());
        let reply = store.ask("a", ask(&["half", "none", "half"])).await;
        assert!(matches!(reply, KeyValueReply::Values(values) if values.len() == 3));
        failed(store.ask("a", ask(&["half", "half", "rest"])).await, "ask for fewer");
        let many: Vec<String> = (0..=PAGE).map(|number| number.to_string()).collect();
        failed(store.ask("a", Op::GetMany(many.clone())).await, "1001 keys");
        failed(store.ask("a", Op::DeleteMany(many)).await, "1001 keys");
    }

    #[tokio::test]
    async fn no_cursor_leads_into_another_bucket() {
        use KeyValueOperation as Op;
        let store = Store::new();
        for bucket in ["a", "b"] {
            store.ask(bucket, Op::Set("k".into(), b"1".to_vec())).await;
        }
        for cursor in [1, 2, u64::MAX] {
            let reply = store.ask("a", Op::ListKeys(Some(cursor))).await;
            assert_eq!(reply, KeyValueReply::Keys(vec![], None));
        }
    }

    #[tokio::test]
    async fn increments_at_once_are_all_counted_and_none_twice() {
        use KeyValueOperation as Op;
        let store = Store::new();
        let all = (0..100).map(|_| store.ask("a", Op::Increment("n".into(), 1)));
        let mut seen: Vec<u64> = futures::future::join_all(all)
            .await
            .into_iter()
            .map(|reply| match reply {
                KeyValueReply::Number(number) => number,
                other => panic!("{other:?}"),
            })
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, (1..=100).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn what_is_no_number_can_not_be_incremented() {
        use KeyValueOperation as Op;
        let store = Store::new();
        store.ask("a", Op::Set("n".into(), b"seven".to_vec())).await;
        let reply = store.ask("a", Op::Increment("n".into(), 1)).await;
        assert!(matches!(reply, KeyValueReply::Failed(why) if why.contains("not a number")));
        assert_eq!(
            store.ask("a", Op::Get("n".into())).await,
            KeyValueReply::Value(Some(b"seven".to_vec()))
        );
        store.ask("a", Op::Set("n".into(), u64::MAX.to_string().into_bytes())).await;
        assert!(matches!(
            store.ask("a", Op::Increment("n".into(), 1)).await,
            KeyValueReply::Failed(_)
        ));
    }

    #[tokio::test]
    async fn a_listing_goes_page_by_page_and_stays_in_its_bucket() {
        use KeyValueOperation as Op;
        let store = Store::new();
        for part in [0..750, 750..1500] {
            let pairs = part.map(|i| (format!("k{i:04}"), vec![])).collect();
            assert_eq!(store.ask("a", Op::SetMany(pairs)).await, KeyValueReply::Done);
        }
        store.ask("b", Op::Set("other".into(), vec![])).await;
        let KeyValueReply::Keys(first, Some(cursor)) = store.ask("a", Op::ListKeys(None)).await
        else {
            panic!()
        };
        let KeyValueReply::Keys(second, None) = store.ask("a", Op::ListKeys(Some(cursor))).await
        else {
            panic!()
        };
        assert_eq!(first.len() + second.len(), 1500);
        assert_eq!((first[0].as_str(), second[499].as_str()), ("k0000", "k1499"));
    }
}
