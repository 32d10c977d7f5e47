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
