//! `wasi:keyvalue` over whatever [`KeyValue`] the node links a component to.

use std::sync::Arc;

use wasmtime::component::{HasData, Linker, Resource};

use self::wasi::keyvalue::store::{self, KeyResponse};
use self::wasi::keyvalue::{atomics, batch};
use crate::outside::{CallContext, KeyValue, KeyValueError};
use crate::state::State;

wasmtime::component::bindgen!({
    path: "../contracts/wit/wasi-keyvalue-0.2.0-draft",
    world: "wasi:keyvalue/imports",
    imports: { default: async | trappable },
    with: { "wasi:keyvalue/store.bucket": Bucket },
});

/// The version of the text that the bindings are made from.
pub(super) const VERSION: &str = "0.2.0-draft";

pub(super) fn add_store(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    store::add_to_linker::<_, HasState>(linker, |state| state)
}

pub(super) fn add_atomics(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    atomics::add_to_linker::<_, HasState>(linker, |state| state)
}

pub(super) fn add_batch(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    batch::add_to_linker::<_, HasState>(linker, |state| state)
}

/// The longest name of a bucket, in bytes. Each bucket that a component has open keeps its name in
/// the memory of the host.
const MAX_BUCKET: usize = 256;

struct HasState;

impl HasData for HasState {
    type Data<'a> = &'a mut State;
}

/// A bucket that a component has open.
#[derive(Clone)]
#[expect(unreachable_pub, reason = "the generated code exports it again, inside this module")]
pub struct Bucket {
    name: Arc<str>,
    store: Arc<dyn KeyValue>,
}

/// The outer result ends the component, the inner one it sees.
type Outcome<T> = wasmtime::Result<Result<T, store::Error>>;

impl From<KeyValueError> for store::Error {
    fn from(error: KeyValueError) -> Self {
        match error {
            KeyValueError::NoSuchStore => Self::NoSuchStore,
            KeyValueError::AccessDenied => Self::AccessDenied,
            KeyValueError::Other(message) => Self::Other(message),
        }
    }
}

impl State {
    /// What one operation on an open bucket needs.
    fn operation(&mut self, bucket: &Resource<Bucket>) -> wasmtime::Result<(Bucket, CallContext)> {
        let context = self.outbound()?;
        Ok((self.table().get(bucket)?.clone(), context))
    }
}

impl store::Host for State {
    async fn open(&mut self, identifier: String) -> Outcome<Resource<Bucket>> {
        let context = self.outbound()?;
        if identifier.len() > MAX_BUCKET {
            let why = format!("the bucket's name has more than {MAX_BUCKET} bytes");
            return Ok(Err(store::Error::Other(why)));
        }
        let actor = self.actor();
        let store = match actor.outside.key_value(&actor.id, &identifier) {
            Ok(store) => store,
            Err(error) => return Ok(Err(error.into())),
        };
        if let Err(error) = store.open(&context, &identifier).await {
            return Ok(Err(error.into()));
        }
        Ok(Ok(self.table().push(Bucket { name: identifier.into(), store })?))
    }
}

impl store::HostBucket for State {
    async fn get(&mut self, bucket: Resource<Bucket>, key: String) -> Outcome<Option<Vec<u8>>> {
        let (bucket, context) = self.operation(&bucket)?;
        Ok(bucket.store.get(&context, &bucket.name, &key).await.map_err(Into::into))
    }

    async fn set(&mut self, bucket: Resource<Bucket>, key: String, value: Vec<u8>) -> Outcome<()> {
        let (bucket, context) = self.operation(&bucket)?;
        Ok(bucket.store.set(&context, &bucket.name, &key, value).await.map_err(Into::into))
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Outcome<()> {
        let (bucket, context) = self.operation(&bucket)?;
        Ok(bucket.store.delete(&context, &bucket.name, &key).await.map_err(Into::into))
    }

    async fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> Outcome<bool> {
        let (bucket, context) = self.operation(&bucket)?;
        Ok(bucket.store.exists(&context, &bucket.name, &key).await.map_err(Into::into))
    }

    async fn list_keys(
        &mut self,
        bucket: Resource<Bucket>,
        cursor: Option<u64>,
    ) -> Outcome<KeyResponse> {
        let (bucket, context) = self.operation(&bucket)?;
        let page = bucket.store.list_keys(&context, &bucket.name, cursor).await;
        Ok(page
            .map(|page| KeyResponse { keys: page.keys, cursor: page.cursor })
            .map_err(Into::into))
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table().delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for State {
    async fn increment(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        delta: u64,
    ) -> Outcome<u64> {
        let (bucket, context) = self.operation(&bucket)?;
        Ok(bucket.store.increment(&context, &bucket.name, &key, delta).await.map_err(Into::into))
    }
}

impl batch::Host for State {
    async fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Outcome<Vec<Option<(String, Vec<u8>)>>> {
        let (bucket, context) = self.operation(&bucket)?;
        Ok(bucket.store.get_many(&context, &bucket.name, keys).await.map_err(Into::into))
    }

    async fn set_many(
        &mut self,
        bucket: Resource<Bucket>,
        pairs: Vec<(String, Vec<u8>)>,
    ) -> Outcome<()> {
        let (bucket, context) = self.operation(&bucket)?;
        Ok(bucket.store.set_many(&context, &bucket.name, pairs).await.map_err(Into::into))
    }

    async fn delete_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Outcome<()> {
        let (bucket, context) = self.operation(&bucket)?;
        Ok(bucket.store.delete_many(&context, &bucket.name, keys).await.map_err(Into::into))
    }
}
