//! The messages of contracts that hand out resources (`wasi:keyvalue`, `wasi:http`), between the
//! node that holds the resource's handle and the one that does the work.
//!
//! Each is the payload of a call with [`crate::call::Encoding::Message`].

use serde::{Deserialize, Serialize};

/// An operation of `wasi:keyvalue`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyValueRequest {
    /// The bucket, as the component opened it.
    pub bucket: String,
    /// What to do.
    pub operation: KeyValueOperation,
}

/// What to do with a bucket. The semantics are those of the WIT documentation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyValueOperation {
    /// `store.open`.
    Open,
    /// `bucket.get`.
    Get(String),
    /// `bucket.set`.
    Set(String, Vec<u8>),
    /// `bucket.delete`.
    Delete(String),
    /// `bucket.exists`.
    Exists(String),
    /// `bucket.list-keys`, from a cursor.
    ListKeys(Option<u64>),
    /// `atomics.increment`.
    Increment(String, u64),
    /// `batch.get-many`.
    GetMany(Vec<String>),
    /// `batch.set-many`.
    SetMany(Vec<(String, Vec<u8>)>),
    /// `batch.delete-many`.
    DeleteMany(Vec<String>),
}

impl KeyValueRequest {
    /// The longest key, in bytes.
    pub const MAX_KEY: usize = 4 * 1024;
    /// The longest name of a bucket, in bytes.
    pub const MAX_BUCKET: usize = 256;
    /// The largest value, in bytes.
    pub const MAX_VALUE: usize = 16 * 1024 * 1024;
    /// How many keys one operation may name, and one page of a listing has: so a page can be read
    /// or removed at once.
    pub const MAX_KEYS: usize = 1_000;
    /// How many bytes all values of one operation may have together, of those that it writes or
    /// of those that it is answered with. Who holds them, on either side, holds no more than one
    /// value of the largest size.
    pub const MAX_VALUES: usize = Self::MAX_VALUE;

    /// Whether it keeps the bounds that every store has; if not, why not, in words. Asked on both
    /// sides: before it is sent, and by the store, which believes nobody.
    pub fn check(&self) -> Result<(), String> {
        use KeyValueOperation as Op;
        let Self { bucket, operation } = self;
        if bucket.len() > Self::MAX_BUCKET {
            return Err(format!("the bucket's name has more than {} bytes", Self::MAX_BUCKET));
        }
        let (count, longest) = match operation {
            Op::Open | Op::ListKeys(_) => (0, 0),
            Op::Get(key)
            | Op::Set(key, _)
            | Op::Delete(key)
            | Op::Exists(key)
            | Op::Increment(key, _) => (1, key.len()),
            Op::GetMany(keys) | Op::DeleteMany(keys) => (keys.len(), longest(keys.iter())),
            Op::SetMany(pairs) => (pairs.len(), longest(pairs.iter().map(|(key, _)| key))),
        };
        if count > Self::MAX_KEYS {
            let most = Self::MAX_KEYS;
            return Err(format!(
                "{count} keys at once, where at most {most} are allowed: name fewer at a time"
            ));
        }
        if longest > Self::MAX_KEY {
            return Err(format!("a key has more than {} bytes", Self::MAX_KEY));
        }
        let values = match operation {
            Op::Set(_, value) => vec![value.len()],
            Op::SetMany(pairs) => pairs.iter().map(|(_, value)| value.len()).collect(),
            _ => Vec::new(),
        };
        if values.iter().any(|size| *size > Self::MAX_VALUE) {
            return Err(format!("a value has more than {} bytes", Self::MAX_VALUE));
        }
        Self::check_values(values.iter().sum())
    }

    /// Whether so many bytes of values may go in one operation.
    pub fn check_values(bytes: usize) -> Result<(), String> {
        let most = Self::MAX_VALUES;
        match bytes <= most {
            true => Ok(()),
            false => Err(format!(
                "the values have more than {most} bytes together, which is the most for one \
                 operation: name fewer keys at a time"
            )),
        }
    }
}

fn longest<'a>(keys: impl Iterator<Item = &'a String>) -> usize {
    keys.map(String::len).max().unwrap_or(0)
}

/// What an operation gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyValueReply {
    /// Done; nothing to say.
    Done,
    /// A value, or none under this key.
    Value(Option<Vec<u8>>),
    /// Whether the key is there.
    Exists(bool),
    /// Some keys, and where to go on.
    Keys(Vec<String>, Option<u64>),
    /// The number after an increment.
    Number(u64),
    /// The values of several keys, in their order.
    Values(Vec<Option<(String, Vec<u8>)>>),
    /// The operation failed as the WIT's `error.other` says.
    Failed(String),
}

/// The head of an HTTP request; its body follows as the call's stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpRequestHead {
    /// `GET` and the like.
    pub method: String,
    /// The whole target, with scheme and authority where they are known.
    pub uri: String,
    /// Field names and values, in their order.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// The head of an HTTP response; its body follows as the reply's stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpResponseHead {
    /// The status code.
    pub status: u16,
    /// Field names and values, in their order.
    pub headers: Vec<(String, Vec<u8>)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(operation: KeyValueOperation) -> Result<(), String> {
        KeyValueRequest { bucket: "b".into(), operation }.check()
    }

    #[test]
    fn an_operation_on_many_keys_has_bounds_and_says_them() {
        use KeyValueOperation as Op;
        let keys = |count: usize| (0..count).map(|key| key.to_string()).collect::<Vec<_>>();
        check(Op::GetMany(keys(1_000))).unwrap();
        for many in [
            Op::GetMany(keys(1_001)),
            Op::DeleteMany(keys(1_001)),
            Op::SetMany(keys(1_001).into_iter().map(|key| (key, Vec::new())).collect()),
        ] {
            let why = check(many).unwrap_err();
            assert!(why.contains("1001 keys at once") && why.contains("at most 1000"), "{why}");
        }
        let half = vec![0; KeyValueRequest::MAX_VALUES / 2];
        let pairs = |count: usize| keys(count).into_iter().map(|key| (key, half.clone())).collect();
        check(Op::SetMany(pairs(2))).unwrap();
        let why = check(Op::SetMany(pairs(3))).unwrap_err();
        assert!(why.contains("16777216 bytes together"), "{why}");
    }

    #[test]
    fn names_and_values_have_a_longest() {
        use KeyValueOperation as Op;
        let key = "k".repeat(KeyValueRequest::MAX_KEY);
        check(Op::Delete(key.clone())).unwrap();
        check(Op::Delete(key.clone() + "k")).unwrap_err();
        check(Op::GetMany(vec!["k".into(), key + "k"])).unwrap_err();
        let value = vec![0; KeyValueRequest::MAX_VALUE + 1];
        check(Op::Set("k".into(), value)).unwrap_err();
        let bucket = "b".repeat(KeyValueRequest::MAX_BUCKET + 1);
        KeyValueRequest { bucket, operation: Op::Open }.check().unwrap_err();
    }
}
