//! A node that is nothing but tables, and components written as text.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "helpers of tests, each of which uses some"
)]

pub mod wat;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::Instant;
use wattle_contracts::call::{CallError, ErrorKind, Source};
use wattle_contracts::id::{ComponentId, ContractId, Digest};
use wattle_runtime::{
    Actor, ActorConfig, BindError, CallContext, Component, Destination, Engine, EngineConfig,
    HttpBody, HttpOutError, HttpTimeouts, KeyPage, KeyValue, KeyValueError, Limits, LogLevel,
    Outside, Remote, Way,
};

/// An engine with a small pool.
pub fn engine() -> Engine {
    Engine::new(EngineConfig { instances: 40, ..EngineConfig::default() }).unwrap()
}

pub fn component(engine: &Engine, bytes: &[u8]) -> Component {
    Component::load(engine, &Digest::of(bytes), bytes).unwrap()
}

/// A component that `cargo xtask guests` builds.
pub fn guest_bytes(name: &str) -> Vec<u8> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/guests");
    let path = directory.join(name).with_extension("wasm");
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask guests`", path.display()))
}

pub fn id(text: &str) -> ComponentId {
    text.parse().unwrap()
}

pub fn contract(text: &str) -> ContractId {
    text.parse().unwrap()
}

/// A call that has ten seconds.
pub fn context() -> CallContext {
    within(Duration::from_secs(10))
}

pub fn within(time: Duration) -> CallContext {
    CallContext::new(Source::Operator, Instant::now() + time)
}

pub fn actor(component: &Component, name: &str, node: &Arc<Node>) -> Arc<Actor> {
    actor_with(component, name, node, Limits::default()).unwrap()
}

pub fn actor_with(
    component: &Component,
    name: &str,
    node: &Arc<Node>,
    limits: Limits,
) -> Result<Arc<Actor>, BindError> {
    let config = BTreeMap::from([("greeting".to_owned(), "hello".to_owned())]);
    Actor::new(component, ActorConfig { id: id(name), config, limits }, node.clone())
}

pub enum Link {
    Local(Arc<Actor>),
    Remote(Arc<dyn Remote>),
    Broken(CallError),
}

/// What a component of the tests can reach.
#[derive(Default)]
pub struct Node {
    pub links: Arc<Mutex<HashMap<ContractId, Link>>>,
    pub logs: Mutex<Vec<(LogLevel, String, String)>>,
    pub store: Arc<Store>,
    pub upstream: Mutex<Option<Result<&'static str, HttpOutError>>>,
}

impl Node {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn link(&self, to: &str, link: Link) {
        self.links.lock().unwrap().insert(contract(to), link);
    }

    pub fn logged(&self) -> Vec<(LogLevel, String, String)> {
        self.logs.lock().unwrap().clone()
    }
}

#[async_trait]
impl Outside for Node {
    fn way(&self, source: &ComponentId, contract: &ContractId, _: &str) -> Arc<dyn Way> {
        let (links, source, contract) = (self.links.clone(), source.clone(), contract.clone());
        Arc::new(move || match links.lock().unwrap().get(&contract) {
            Some(Link::Local(actor)) => Ok(Destination::Local(actor.clone())),
            Some(Link::Remote(remote)) => Ok(Destination::Remote(remote.clone())),
            Some(Link::Broken(error)) => Err(error.clone()),
            None => {
                let message = format!("{source} has no link for {contract}");
                Err(CallError::new(ErrorKind::NotLinked, message))
            }
        })
    }

    fn key_value(
        &self,
        _source: &ComponentId,
        _bucket: &str,
    ) -> Result<Arc<dyn KeyValue>, KeyValueError> {
        Ok(self.store.clone())
    }

    fn log(&self, _source: &ComponentId, level: LogLevel, context: &str, message: &str) {
        self.logs.lock().unwrap().push((level, context.into(), message.into()));
    }

    async fn send_http(
        &self,
        _context: CallContext,
        _source: &ComponentId,
        _request: http::Request<HttpBody>,
        _timeouts: HttpTimeouts,
    ) -> Result<http::Response<HttpBody>, HttpOutError> {
        let upstream = self.upstream.lock().unwrap().clone();
        let body = upstream.unwrap_or(Err(HttpOutError::NotFound))?;
        Ok(http::Response::new(HttpBody::full(body)))
    }
}

/// Another node, which is this one: everything is encoded on the way there and back.
pub struct Loopback(pub Arc<Actor>);

#[async_trait]
impl Remote for Loopback {
    async fn call(
        &self,
        context: CallContext,
        _source: &ComponentId,
        contract: &ContractId,
        function: &str,
        arguments: Vec<u8>,
    ) -> Result<Vec<u8>, CallError> {
        self.0.call(context, contract, function, &arguments).await
    }
}

/// A node that never answers, and says when it was asked.
#[derive(Default)]
pub struct Silence {
    pub asked: Notify,
}

#[async_trait]
impl Remote for Silence {
    async fn call(
        &self,
        _context: CallContext,
        _source: &ComponentId,
        _contract: &ContractId,
        _function: &str,
        _arguments: Vec<u8>,
    ) -> Result<Vec<u8>, CallError> {
        self.asked.notify_one();
        std::future::pending().await
    }
}

/// Keys and values in memory. Bucket `secret` is denied, `far` can't be reached.
#[derive(Default)]
pub struct Store {
    pub values: Mutex<BTreeMap<String, Vec<u8>>>,
    pub operations: AtomicUsize,
}

impl Store {
    fn begin(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.operations.fetch_add(1, Ordering::Relaxed);
        self.values.lock().unwrap()
    }
}

#[async_trait]
impl KeyValue for Store {
    async fn open(&self, _context: &CallContext, bucket: &str) -> Result<(), KeyValueError> {
        match bucket {
            "secret" => Err(KeyValueError::AccessDenied),
            "far" => Err(CallError::new(ErrorKind::Unreachable, "no way to B").into()),
            _ => Ok(()),
        }
    }

    async fn get(
        &self,
        _context: &CallContext,
        _bucket: &str,
        key: &str,
    ) -> Result<Option<Vec<u8>>, KeyValueError> {
        Ok(self.begin().get(key).cloned())
    }

    async fn set(
        &self,
        _context: &CallContext,
        _bucket: &str,
        key: &str,
        value: Vec<u8>,
    ) -> Result<(), KeyValueError> {
        self.begin().insert(key.into(), value);
        Ok(())
    }

    async fn delete(
        &self,
        _context: &CallContext,
        _bucket: &str,
        key: &str,
    ) -> Result<(), KeyValueError> {
        self.begin().remove(key);
        Ok(())
    }

    async fn exists(
        &self,
        _context: &CallContext,
        _bucket: &str,
        key: &str,
    ) -> Result<bool, KeyValueError> {
        Ok(self.begin().contains_key(key))
    }

    async fn list_keys(
        &self,
        _context: &CallContext,
        _bucket: &str,
        _cursor: Option<u64>,
    ) -> Result<KeyPage, KeyValueError> {
        Ok(KeyPage { keys: self.begin().keys().cloned().collect(), cursor: None })
    }

    async fn increment(
        &self,
        _context: &CallContext,
        _bucket: &str,
        key: &str,
        delta: u64,
    ) -> Result<u64, KeyValueError> {
        let mut values = self.begin();
        let old =
            values.get(key).map_or(0, |value| std::str::from_utf8(value).unwrap().parse().unwrap());
        let new: u64 = old + delta;
        values.insert(key.into(), new.to_string().into_bytes());
        Ok(new)
    }

    async fn get_many(
        &self,
        _context: &CallContext,
        _bucket: &str,
        keys: Vec<String>,
    ) -> Result<Vec<Option<(String, Vec<u8>)>>, KeyValueError> {
        let values = self.begin();
        Ok(keys
            .into_iter()
            .map(|key| values.get(&key).cloned().map(|value| (key, value)))
            .collect())
    }

    async fn set_many(
        &self,
        _context: &CallContext,
        _bucket: &str,
        pairs: Vec<(String, Vec<u8>)>,
    ) -> Result<(), KeyValueError> {
        self.begin().extend(pairs);
        Ok(())
    }

    async fn delete_many(
        &self,
        _context: &CallContext,
        _bucket: &str,
        keys: Vec<String>,
    ) -> Result<(), KeyValueError> {
        self.begin().retain(|key, _| !keys.contains(key));
        Ok(())
    }
}
