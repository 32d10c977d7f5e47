//! Listing the keys of a bucket, page by page.

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};
use wattle_contracts::provider::{KeyValueReply, KeyValueRequest};

use super::KeyValueTables;

/// How many bytes the keys of one page have together: an answer has to fit into one payload
/// between nodes.
const PAGE_BYTES: usize = 256 * 1024;
/// After so many bytes of values a page ends: they are read from the disk along with their keys.
const PAGE_READ: usize = 64 * 1024 * 1024;
/// How far is counted for a cursor that nobody remembers, in keys.
const MAX_WALK: u64 = 100_000;
/// How many listings are remembered, of all stores together; the oldest are forgotten.
const MARKS: usize = 1024;

/// Where listings go on: a cursor is the number of keys already given, and to count that many
/// keys again for each page would take the longer the farther a listing is.
#[derive(Default)]
pub(super) struct Marks(Mutex<VecDeque<Mark>>);

/// The key after which a page begins.
struct Mark {
    store: String,
    bucket: String,
    cursor: u64,
    key: String,
}

impl Mark {
    fn is_of(&self, store: &str, bucket: &str, cursor: u64) -> bool {
        self.cursor == cursor && self.bucket == bucket && self.store == store
    }
}

impl Marks {
    fn find(&self, store: &str, bucket: &str, cursor: u64) -> Option<String> {
        let marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mark = marks.iter().rev().find(|mark| mark.is_of(store, bucket, cursor));
        mark.map(|mark| mark.key.clone())
    }

    /// Of two listings that have come equally far, the last one counts: they see the same bucket.
    fn put(&self, store: &str, bucket: &str, cursor: u64, key: &str) {
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        marks.retain(|mark| !mark.is_of(store, bucket, cursor));
        if marks.len() >= MARKS {
            marks.pop_front();
        }
        let (store, bucket, key) = (store.into(), bucket.into(), key.into());
        marks.push_back(Mark { store, bucket, cursor, key });
    }
}

impl KeyValueTables {
    /// The cursor is the number of keys already given: exact while the bucket does not change,
    /// which is all that the contract promises.
    pub(super) fn list(
        &self,
        store: &str,
        bucket: &str,
        cursor: Option<u64>,
    ) -> Result<KeyValueReply> {
        let nothing = KeyValueReply::Keys(Vec::new(), None);
        let Some(table) = self.values()? else { return Ok(nothing) };
        let given = cursor.unwrap_or(0);
        let mark = self.marks.find(store, bucket, given);
        let (from, mut skip) = match &mark {
            Some(key) => (Bound::Excluded((store, bucket, key.as_str())), 0),
            None => (Bound::Included((store, bucket, "")), given),
        };
        let (mut walked, mut read, mut bytes) = (0, 0, 0);
        let mut keys: Vec<String> = Vec::new();
        for entry in table.range::<(&str, &str, &str)>((from, Bound::Unbounded))? {
            let (found, value) = entry?;
            let (its_store, its_bucket, key) = found.value();
            if (its_store, its_bucket) != (store, bucket) {
                break;
            }
            if skip > 0 {
                skip -= 1;
                walked += 1;
                read += value.value().len();
                if walked >= MAX_WALK || read >= PAGE_READ {
                    bail!("the cursor {given} is not known (any more): begin the listing anew");
                }
                continue;
            }
            let is_full = keys.len() == KeyValueRequest::MAX_KEYS
                || bytes + key.len() > PAGE_BYTES
                || read + value.value().len() > PAGE_READ;
            if is_full && let Some(last) = keys.last() {
                let next = given.saturating_add(keys.len() as u64);
                self.marks.put(store, bucket, next, last);
                return Ok(KeyValueReply::Keys(keys, Some(next)));
            }
            bytes += key.len();
            read += value.value().len();
            keys.push(key.to_owned());
        }
        Ok(KeyValueReply::Keys(keys, None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_listings_are_remembered() {
        let marks = Marks::default();
        for cursor in 0..=MARKS as u64 {
            marks.put("app/store", "a", cursor, &cursor.to_string());
        }
        assert_eq!(marks.find("app/store", "a", 0), None);
        assert_eq!(marks.find("app/store", "a", 1).as_deref(), Some("1"));
        marks.put("app/store", "a", 1, "again");
        assert_eq!(marks.find("app/store", "a", 1).as_deref(), Some("again"));
        assert_eq!(marks.find("app/store", "b", 1), None);
        assert_eq!(marks.find("app/other", "a", 1), None);
        assert_eq!(marks.0.lock().unwrap().len(), MARKS);
    }
}
