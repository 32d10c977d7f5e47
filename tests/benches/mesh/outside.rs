//! What surrounds an actor that runs in the benchmark itself and not in a node.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use tokio::time::Instant;
use wattle_contracts::call::{CallError, Source};
use wattle_contracts::id::{ComponentId, ContractId, Digest};
use wattle_runtime::{
    Actor, ActorConfig, CallContext, Component, Destination, Engine, HttpBody, HttpOutError,
    HttpTimeouts, KeyValue, KeyValueError, Limits, LogLevel, Outside, Way,
};

use crate::places;

/// A guest as an actor whose calls all go where `resolve` says.
pub(crate) fn actor<F>(engine: &Engine, guest: &str, resolve: F) -> Result<Arc<Actor>>
where
    F: Fn() -> Result<Destination, CallError> + Send + Sync + 'static,
{
    let bytes = places::guest(guest)?;
    bind(&Component::load(engine, &Digest::of(&bytes), &bytes)?, resolve)
}

/// A loaded component as such an actor.
pub(crate) fn bind<F>(component: &Component, resolve: F) -> Result<Arc<Actor>>
where
    F: Fn() -> Result<Destination, CallError> + Send + Sync + 'static,
{
    let id = "bench/guest".parse()?;
    let config = ActorConfig { id, config: Default::default(), limits: Limits::default() };
    Ok(Actor::new(component, config, Arc::new(Links(Arc::new(resolve))))?)
}

/// A call by a person who has half a minute.
pub(crate) fn context() -> CallContext {
    CallContext::new(Source::Operator, Instant::now() + Duration::from_secs(30))
}

struct Links(Arc<dyn Way>);

#[async_trait]
impl Outside for Links {
    fn way(&self, _: &ComponentId, _: &ContractId, _: &str) -> Arc<dyn Way> {
        self.0.clone()
    }

    fn key_value(&self, _: &ComponentId, _: &str) -> Result<Arc<dyn KeyValue>, KeyValueError> {
        Err(KeyValueError::NoSuchStore)
    }

    fn log(&self, _: &ComponentId, _: LogLevel, _: &str, _: &str) {}

    async fn send_http(
        &self,
        _: CallContext,
        _: &ComponentId,
        _: hyper::Request<HttpBody>,
        _: HttpTimeouts,
    ) -> Result<hyper::Response<HttpBody>, HttpOutError> {
        Err(HttpOutError::Denied)
    }
}
