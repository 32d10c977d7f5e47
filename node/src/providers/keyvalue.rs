//! `wasi:keyvalue` for components: each operation goes to the node that is the store's home, be
//! it this one or another.

use std::sync::Weak;

use async_trait::async_trait;
use wattle_contracts::call::{CallError, Encoding, ErrorKind};
use wattle_contracts::id::{ComponentId, ContractId, NodeId};
use wattle_contracts::provider::{KeyValueOperation as Op, KeyValueReply, KeyValueRequest};
use wattle_contracts::record::{Asked, Grant};
use wattle_contracts::wire;
use wattle_runtime::{CallContext, KeyPage, KeyValue, KeyValueError};

use crate::daemon::Node;

/// The contract under which operations travel.
pub(crate) const CONTRACT: &str = "wasi:keyvalue/store";
/// The contract of operations in one step.
const ATOMICS: &str = "wasi:keyvalue/atomics";
/// The contract of operations on several keys.
const BATCH: &str = "wasi:keyvalue/batch";

/// A store as one component sees it.
pub(crate) struct LinkedStore {
    pub(crate) node: Weak<Node>,
    /// The component.
    pub(crate) source: ComponentId,
    /// The provider that the component is linked to.
    pub(crate) provider: ComponentId,
    /// The node that holds its data.
    pub(crate) home: NodeId,
}

impl LinkedStore {
    async fn ask(
        &self,
        context: &CallContext,
        bucket: &str,
        operation: Op,
    ) -> Result<KeyValueReply, KeyValueError> {
        let node = Node::of(&self.node)?;
        let request = KeyValueRequest { bucket: bucket.into(), operation };
        // The store asks the same. What is too much is not written down and sent first.
        request.check().map_err(KeyValueError::Other)?;
        // Asked anew each time: a bucket may be open for longer than its link is there.
        let table = node.table();
        let grant =
            &node.store_leaves(&table, &self.source, &self.provider, &request)?.options.grant;
        let home = node.mesh().map_or(self.home, |mesh| mesh.present(self.home));
        let reply = if home == node.id() {
            node.keyvalue().handle(&self.provider, request).await
        } else {
            self.ask_home(&node, home, context, &request).await?
        };
        match granted(reply, grant) {
            KeyValueReply::Failed(why) => Err(KeyValueError::Other(why)),
            reply => Ok(reply),
        }
    }

    async fn ask_home(
        &self,
        node: &Node,
        home: NodeId,
        context: &CallContext,
        request: &KeyValueRequest,
    ) -> Result<KeyValueReply, CallError> {
        let internal = |error: &dyn std::fmt::Display| {
            CallError::new(ErrorKind::Internal, format!("`{}`: {error}", self.provider))
        };
        let payload = wire::encode(request).map_err(|error| internal(&error))?;
        let contract = CONTRACT.parse().map_err(|error| internal(&error))?;
        let header = node.header(context, &self.provider, &contract, "handle", Encoding::Message);
        let reply = node.send_to(home, header, payload.into(), None).await?;
        wire::decode(&reply.payload).map_err(|error| internal(&error))
    }
}

/// What an operation asks for: of which contract, which function, about what, and with how many
/// bytes.
pub(crate) fn asked(
    request: &KeyValueRequest,
) -> Result<(ContractId, &'static str, Asked<'_>, u64), CallError> {
    let one = |key: &'_ str| key.len();
    let (contract, function) = match &request.operation {
        Op::Open => (CONTRACT, "open"),
        Op::Get(_) => (CONTRACT, "get"),
        Op::Set(..) => (CONTRACT, "set"),
        Op::Delete(_) => (CONTRACT, "delete"),
        Op::Exists(_) => (CONTRACT, "exists"),
        Op::ListKeys(_) => (CONTRACT, "list-keys"),
        Op::Increment(..) => (ATOMICS, "increment"),
        Op::GetMany(_) => (BATCH, "get-many"),
        Op::SetMany(_) => (BATCH, "set-many"),
        Op::DeleteMany(_) => (BATCH, "delete-many"),
    };
    let (keys, bytes): (Vec<&str>, usize) = match &request.operation {
        Op::Open | Op::ListKeys(_) => (Vec::new(), 0),
        Op::Get(key) | Op::Delete(key) | Op::Exists(key) | Op::Increment(key, _) => {
            (vec![key], one(key))
        }
        Op::Set(key, value) => (vec![key], one(key) + value.len()),
        Op::GetMany(keys) | Op::DeleteMany(keys) => {
            (keys.iter().map(String::as_str).collect(), keys.iter().map(|key| one(key)).sum())
        }
        Op::SetMany(pairs) => (
            pairs.iter().map(|(key, _)| key.as_str()).collect(),
            pairs.iter().map(|(key, value)| one(key) + value.len()).sum(),
        ),
    };
    let contract = contract
        .parse()
        .map_err(|error| CallError::new(ErrorKind::Internal, format!("{error}")))?;
    Ok((contract, function, Asked::Store { bucket: &request.bucket, keys }, bytes as u64))
}

/// What of a reply its caller may see: of the keys of a bucket, those that it is granted.
pub(crate) fn granted(reply: KeyValueReply, grant: &Grant) -> KeyValueReply {
    match reply {
        KeyValueReply::Keys(mut keys, cursor) => {
            keys.retain(|key| grant.allows_key(key));
            KeyValueReply::Keys(keys, cursor)
        }
        reply => reply,
    }
}

/// The store answered something that does not belong to the question. What it is, is not
/// repeated: another node may have made it as long as it likes.
fn mismatch<T>() -> Result<T, KeyValueError> {
    Err(KeyValueError::Other("internal: the store's answer does not fit the question".into()))
}

/// Whether there is one answer for each key, with its name where there is a value.
fn answers(keys: &[String], values: &[Option<(String, Vec<u8>)>]) -> bool {
    let fits = |(key, value): (&String, &Option<(String, _)>)| match value {
        Some((named, _)) => named == key,
        None => true,
    };
    keys.len() == values.len() && keys.iter().zip(values).all(fits)
}

#[async_trait]
impl KeyValue for LinkedStore {
    async fn open(&self, _: &CallContext, _: &str) -> Result<(), KeyValueError> {
        // Buckets are made by their first key, so there is nothing to ask the home for.
        Ok(())
    }

    async fn get(
        &self,
        context: &CallContext,
        bucket: &str,
        key: &str,
    ) -> Result<Option<Vec<u8>>, KeyValueError> {
        match self.ask(context, bucket, Op::Get(key.into())).await? {
            KeyValueReply::Value(value) => Ok(value),
            _ => mismatch(),
        }
    }

    async fn set(
        &self,
        context: &CallContext,
        bucket: &str,
        key: &str,
        value: Vec<u8>,
    ) -> Result<(), KeyValueError> {
        self.done(context, bucket, Op::Set(key.into(), value)).await
    }

    async fn delete(
        &self,
        context: &CallContext,
        bucket: &str,
        key: &str,
    ) -> Result<(), KeyValueError> {
        self.done(context, bucket, Op::Delete(key.into())).await
    }

    async fn exists(
        &self,
        context: &CallContext,
        bucket: &str,
        key: &str,
    ) -> Result<bool, KeyValueError> {
        match self.ask(context, bucket, Op::Exists(key.into())).await? {
            KeyValueReply::Exists(there) => Ok(there),
            _ => mismatch(),
        }
    }

    async fn list_keys(
        &self,
        context: &CallContext,
        bucket: &str,
        cursor: Option<u64>,
    ) -> Result<KeyPage, KeyValueError> {
        match self.ask(context, bucket, Op::ListKeys(cursor)).await? {
            KeyValueReply::Keys(keys, cursor) => Ok(KeyPage { keys, cursor }),
            _ => mismatch(),
        }
    }

    async fn increment(
        &self,
        context: &CallContext,
        bucket: &str,
        key: &str,
        delta: u64,
    ) -> Result<u64, KeyValueError> {
        match self.ask(context, bucket, Op::Increment(key.into(), delta)).await? {
            KeyValueReply::Number(sum) => Ok(sum),
            _ => mismatch(),
        }
    }

    async fn get_many(
        &self,
        context: &CallContext,
        bucket: &str,
        keys: Vec<String>,
    ) -> Result<Vec<Option<(String, Vec<u8>)>>, KeyValueError> {
        let asked = keys.clone();
        match self.ask(context, bucket, Op::GetMany(keys)).await? {
            KeyValueReply::Values(values) if answers(&asked, &values) => Ok(values),
            _ => mismatch(),
        }
    }

    async fn set_many(
        &self,
        context: &CallContext,
        bucket: &str,
        pairs: Vec<(String, Vec<u8>)>,
    ) -> Result<(), KeyValueError> {
        self.done(context, bucket, Op::SetMany(pairs)).await
    }

    async fn delete_many(
        &self,
        context: &CallContext,
        bucket: &str,
        keys: Vec<String>,
    ) -> Result<(), KeyValueError> {
        self.done(context, bucket, Op::DeleteMany(keys)).await
    }
}

impl LinkedStore {
    async fn done(
        &self,
        context: &CallContext,
        bucket: &str,
        operation: Op,
    ) -> Result<(), KeyValueError> {
        match self.ask(context, bucket, operation).await? {
            KeyValueReply::Done => Ok(()),
            _ => mismatch(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_for_other_keys_is_none() {
        let keys = ["a".to_owned(), "b".to_owned()];
        let value = |key: &str| Some((key.to_owned(), vec![1]));
        assert!(answers(&keys, &[value("a"), value("b")]));
        assert!(answers(&keys, &[None, value("b")]));
        assert!(!answers(&keys, &[value("b"), value("a")]));
        assert!(!answers(&keys, &[value("a")]));
        assert!(!answers(&keys, &[value("a"), value("b"), None]));
    }
}
