use super::*;
use crate::state::reserve::TestDisk;

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

    /// Sets keys `k0000` and so on, each to a value of so many bytes.
    async fn fill(&self, bucket: &str, keys: std::ops::Range<usize>, size: usize) {
        let keys: Vec<usize> = keys.collect();
        for some in keys.chunks(if size == 0 { KeyValueRequest::MAX_KEYS } else { 1 }) {
            let pairs = some.iter().map(|key| (format!("k{key:04}"), vec![0; size])).collect();
            let reply = self.ask(bucket, KeyValueOperation::SetMany(pairs)).await;
            assert_eq!(reply, KeyValueReply::Done);
        }
    }

    /// One page of the keys, and where the next one begins.
    async fn page(&self, bucket: &str, cursor: Option<u64>) -> (Vec<String>, Option<u64>) {
        match self.ask(bucket, KeyValueOperation::ListKeys(cursor)).await {
            KeyValueReply::Keys(keys, next) => (keys, next),
            other => panic!("{other:?}"),
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
    assert!(matches!(store.ask("a", Op::Increment("n".into(), 1)).await, KeyValueReply::Failed(_)));
}

#[tokio::test]
async fn a_listing_goes_page_by_page_and_stays_in_its_bucket() {
    use KeyValueOperation as Op;
    let store = Store::new();
    store.fill("a", 0..1500, 0).await;
    store.ask("b", Op::Set("other".into(), vec![])).await;
    let (first, cursor) = store.page("a", None).await;
    let (second, end) = store.page("a", cursor).await;
    assert_eq!((cursor, end), (Some(1000), None));
    assert_eq!(first.len() + second.len(), 1500);
    assert_eq!((first[0].as_str(), second[499].as_str()), ("k0000", "k1499"));
}

/// What a component in the store's place would have to hold.
#[tokio::test]
async fn many_values_are_answered_up_to_a_bound_and_not_read_beyond_it() {
    use KeyValueOperation as Op;
    let store = Store::new();
    const SIZE: usize = KeyValueRequest::MAX_VALUES / 4;
    store.fill("a", 0..5, SIZE).await;
    let keys = |count: usize| (0..count).map(|key| format!("k{key:04}")).collect::<Vec<_>>();
    let KeyValueReply::Values(values) = store.ask("a", Op::GetMany(keys(4))).await else {
        panic!("four of them fit");
    };
    assert!(
        values.iter().all(|value| value.as_ref().is_some_and(|(_, value)| value.len() == SIZE))
    );
    for keys in [keys(5), vec!["k0000".into(); 5]] {
        let reply = store.ask("a", Op::GetMany(keys)).await;
        assert!(
            matches!(&reply, KeyValueReply::Failed(why) if why.contains("16777216 bytes together"))
        );
    }
    let reply = store.ask("a", Op::GetMany(keys(1001))).await;
    assert!(matches!(&reply, KeyValueReply::Failed(why) if why.contains("1001 keys at once")));
    // What is not there is told as that.
    let reply = store.ask("b", Op::GetMany(keys(2))).await;
    assert_eq!(reply, KeyValueReply::Values(vec![None, None]));
}

#[tokio::test]
async fn what_is_deleted_between_two_pages_does_not_hide_other_keys() {
    use KeyValueOperation as Op;
    let store = Store::new();
    store.fill("a", 0..1500, 0).await;
    let (first, cursor) = store.page("a", None).await;
    store.ask("a", Op::DeleteMany(first)).await;
    let (second, end) = store.page("a", cursor).await;
    assert_eq!((second.len(), second[0].as_str(), end), (500, "k1000", None));
}

/// A cursor of another listing, or of before a restart.
#[tokio::test]
async fn a_cursor_that_nobody_remembers_is_found_by_counting_within_bounds() {
    let store = Store::new();
    store.fill("a", 0..30, 0).await;
    store.fill("b", 0..30, 0).await;
    let (keys, end) = store.page("a", Some(10)).await;
    assert_eq!((keys.len(), keys[0].as_str(), end), (20, "k0010", None));
    // It ends with its bucket, and does not count on through others.
    assert_eq!(store.page("a", Some(40)).await, (Vec::new(), None));
    assert_eq!(store.page("nothing", Some(u64::MAX)).await, (Vec::new(), None));
}

#[tokio::test]
async fn a_page_of_long_keys_or_large_values_is_shorter() {
    use KeyValueOperation as Op;
    let store = Store::new();
    let long = |key: usize| format!("{key:04}{}", "k".repeat(4_000));
    let pairs = (0..100).map(|key| (long(key), Vec::new())).collect();
    assert_eq!(store.ask("long", Op::SetMany(pairs)).await, KeyValueReply::Done);
    store.fill("large", 0..6, KeyValueRequest::MAX_VALUES).await;
    for (bucket, count) in [("long", 100), ("large", 6)] {
        let (mut all, mut cursor) = store.page(bucket, None).await;
        assert!(
            !all.is_empty() && all.len() < count && cursor.is_some(),
            "{bucket}: {}",
            all.len()
        );
        while cursor.is_some() {
            let (keys, next) = store.page(bucket, cursor).await;
            all.extend(keys);
            cursor = next;
        }
        all.dedup();
        assert_eq!(all.len(), count, "{bucket}");
    }
}

#[tokio::test]
async fn on_a_disk_that_is_nearly_full_nothing_is_stored_and_all_can_be_read_and_deleted() {
    use KeyValueOperation as Op;
    let folder = tempfile::tempdir().unwrap();
    let (disk, reserve) = TestDisk::new();
    let database = Database::open_on(&folder.path().join("db"), reserve).unwrap();
    let tables = KeyValueTables::new(database);
    let provider: ComponentId = "app/store".parse().unwrap();
    let ask = async |operation| {
        let request = KeyValueRequest { bucket: "b".into(), operation };
        tables.handle(&provider, request).await
    };
    assert_eq!(ask(Op::Set("k".into(), b"1".to_vec())).await, KeyValueReply::Done);
    disk.set_free(1 << 20);
    for write in [
        Op::Set("other".into(), Vec::new()),
        Op::SetMany(vec![("other".into(), Vec::new())]),
        Op::Increment("k".into(), 1),
    ] {
        let reply = ask(write).await;
        assert!(matches!(&reply, KeyValueReply::Failed(why) if why.contains("nearly full")));
    }
    assert_eq!(ask(Op::Get("k".into())).await, KeyValueReply::Value(Some(b"1".to_vec())));
    assert_eq!(ask(Op::Delete("k".into())).await, KeyValueReply::Done);
    assert_eq!(ask(Op::Exists("k".into())).await, KeyValueReply::Exists(false));
    disk.set_free(1 << 40);
    assert_eq!(ask(Op::Increment("k".into(), 1)).await, KeyValueReply::Number(1));
}
