//! Where a component's questions to the world are put down, and where their answers lie when it
//! looks again.
//!
//! A future that waits for the mesh registers nothing with anybody: it is polled again once its
//! answer is there, by the loop that has brought it.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use rand::Rng as _;
use wattle_contracts::call::{CallError, ErrorKind};
use wattle_contracts::id::{ComponentId, ContractId};
use wattle_contracts::message::MessageId;
use wattle_contracts::provider::{KeyValueOperation as Op, KeyValueReply, KeyValueRequest};
use wattle_contracts::wire;
use wattle_runtime::{
    CallContext, Destination, HttpBody, HttpOutError, HttpTimeouts, KeyPage, KeyValue,
    KeyValueError, LogLevel, Outside, PublishError, Remote, Surroundings, Way,
};

use super::guests::Moment;
use super::http::{BODY, pack_request, unpack_response};
use crate::rng::Seeded;

/// A question of one guest.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Under which number its answer is awaited.
    pub(crate) request: u64,
    pub(crate) what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    /// To call an import.
    Call { from: ComponentId, contract: ContractId, function: String, arguments: Vec<u8> },
    /// To publish a message.
    Publish { from: ComponentId, subject: String, body: Vec<u8>, durable: bool },
    /// To send a request to somebody outside, which has so long for its answer if it has less than
    /// the call.
    Send { from: ComponentId, request: Arc<[u8]>, time: Option<Duration> },
    /// To be polled again at this moment of the node's clock, in nanoseconds.
    Sleep { until: u64 },
}

/// One node's.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) moment: Moment,
    rng: Seeded,
    next: u64,
    asked: Vec<Asked>,
    answers: BTreeMap<u64, Result<Vec<u8>, CallError>>,
    /// Tasks that look for an answer only when they are woken.
    asleep: BTreeMap<u64, Waker>,
    said: Vec<(ComponentId, String)>,
    /// Of the last call that ended.
    used: u64,
}

impl Default for Desk {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Desk {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            moment: Moment::default(),
            rng: Seeded::new(seed),
            next: 0,
            asked: Vec::new(),
            answers: BTreeMap::new(),
            asleep: BTreeMap::new(),
            said: Vec::new(),
            used: 0,
        }
    }

    fn ask(&mut self, what: What) -> u64 {
        self.next += 1;
        self.asked.push(Asked { request: self.next, what });
        self.next
    }

    /// What was asked and said since this was last called.
    pub(super) fn take(&mut self) -> (Vec<Asked>, Vec<(ComponentId, String)>) {
        (std::mem::take(&mut self.asked), std::mem::take(&mut self.said))
    }

    /// The fuel of the call that has just ended; none if it never began.
    pub(super) fn take_used(&mut self) -> u64 {
        std::mem::take(&mut self.used)
    }

    pub(super) fn answer(&mut self, request: u64, answer: Result<Vec<u8>, CallError>) {
        self.answers.insert(request, answer);
        if let Some(waker) = self.asleep.remove(&request) {
            waker.wake();
        }
    }
}

/// A desk that the components of a node share with it.
#[derive(Debug, Clone)]
pub(super) struct Shared(Arc<Mutex<Desk>>);

impl Shared {
    pub(super) fn new(desk: Desk) -> Self {
        Self(Arc::new(Mutex::new(desk)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Desk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a question down, and waits until its answer lies there.
    async fn ask(&self, what: What) -> Result<Vec<u8>, CallError> {
        let mut what = Some(what);
        let mut request = None;
        poll_fn(|_| {
            let mut desk = self.lock();
            match (request, what.take()) {
                (None, Some(what)) => {
                    request = Some(desk.ask(what));
                    Poll::Pending
                }
                (Some(id), _) => desk.answers.remove(&id).map_or(Poll::Pending, Poll::Ready),
                (None, None) => Poll::Pending,
            }
        })
        .await
    }

    /// The same for a task, which is looked at only when it is woken.
    async fn ask_asleep(&self, what: What) -> Result<Vec<u8>, CallError> {
        let request = self.lock().ask(what);
        let asleep = Asleep { desk: self, request };
        poll_fn(|context| {
            let mut desk = asleep.desk.lock();
            if let Some(answer) = desk.answers.remove(&request) {
                return Poll::Ready(answer);
            }
            desk.asleep.insert(request, context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

/// A question that is forgotten when nobody waits for its answer any more.
struct Asleep<'a> {
    desk: &'a Shared,
    request: u64,
}

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        let mut desk = self.desk.lock();
        desk.asleep.remove(&self.request);
        desk.answers.remove(&self.request);
    }
}

/// A way that leads to the desk, whoever is behind it: where a call goes is up to the node.
#[async_trait]
impl Remote for Shared {
    async fn call(
        &self,
        _: CallContext,
        source: &ComponentId,
        contract: &ContractId,
        function: &str,
        arguments: Vec<u8>,
    ) -> Result<Vec<u8>, CallError> {
        let (from, contract, function) = (source.clone(), contract.clone(), function.to_owned());
        self.ask(What::Call { from, contract, function, arguments }).await
    }
}

#[async_trait]
impl Outside for Shared {
    fn way(&self, _: &ComponentId, _: &ContractId, _: &str) -> Arc<dyn Way> {
        let remote: Arc<dyn Remote> = Arc::new(self.clone());
        let way = move || -> Result<Destination, CallError> {
            Ok(Destination::Remote(Arc::clone(&remote)))
        };
        Arc::new(way)
    }

    fn key_value(&self, source: &ComponentId, _: &str) -> Result<Arc<dyn KeyValue>, KeyValueError> {
        let contract = "wasi:keyvalue/store".parse().map_err(|_| KeyValueError::NoSuchStore)?;
        Ok(Arc::new(Store { desk: self.clone(), source: source.clone(), contract }))
    }

    fn log(&self, source: &ComponentId, _: LogLevel, _: &str, message: &str) {
        self.lock().said.push((source.clone(), message.to_owned()));
    }

    async fn send_http(
        &self,
        _: CallContext,
        source: &ComponentId,
        request: http::Request<HttpBody>,
        timeouts: HttpTimeouts,
    ) -> Result<http::Response<HttpBody>, HttpOutError> {
        let (head, body) = request.into_parts();
        let body = body.whole(BODY).await.map_err(|e| HttpOutError::Internal(e.to_string()))?;
        let request = pack_request(&http::Request::from_parts(head, body.to_vec()))?;
        let (from, time) = (source.clone(), timeouts.first_byte);
        let bytes = self.ask_asleep(What::Send { from, request, time }).await?;
        Ok(unpack_response(&bytes)?.map(HttpBody::full))
    }

    async fn publish(
        &self,
        _: CallContext,
        source: &ComponentId,
        subject: String,
        body: Vec<u8>,
        durable: bool,
    ) -> Result<Option<MessageId>, PublishError> {
        let what = What::Publish { from: source.clone(), subject, body, durable };
        let refused = |error: CallError| match error.kind {
            ErrorKind::NotAllowed => PublishError::NotAllowed(error.message),
            ErrorKind::NotLinked => PublishError::BadSubject(error.message),
            ErrorKind::Overloaded => PublishError::Full(error.message),
            _ => PublishError::Other(error.message),
        };
        let bytes = self.ask(what).await.map_err(refused)?;
        let id = wire::decode(&bytes).map_err(|error| PublishError::Other(error.to_string()))?;
        Ok(Some(id))
    }

    fn surroundings(&self) -> Option<Arc<dyn Surroundings>> {
        Some(Arc::new(self.clone()))
    }

    fn used(&self, fuel: u64) {
        self.lock().used = fuel;
    }
}

#[async_trait]
impl Surroundings for Shared {
    fn monotonic(&self) -> u64 {
        self.lock().moment.monotonic
    }

    fn wall(&self) -> Duration {
        self.lock().moment.wall
    }

    fn seed(&self) -> u64 {
        self.lock().rng.random()
    }

    async fn sleep_until(&self, until: u64) {
        let mut is_asked = false;
        poll_fn(|_| {
            let mut desk = self.lock();
            if desk.moment.monotonic >= until {
                return Poll::Ready(());
            }
            if !std::mem::replace(&mut is_asked, true) {
                desk.ask(What::Sleep { until });
            }
            Poll::Pending
        })
        .await;
    }
}

/// The store that a component is linked to, wherever that is.
struct Store {
    desk: Shared,
    source: ComponentId,
    contract: ContractId,
}

impl Store {
    async fn ask(&self, bucket: &str, operation: Op) -> Result<KeyValueReply, KeyValueError> {
        let request = KeyValueRequest { bucket: bucket.into(), operation };
        let broken = |error: wire::WireError| {
            KeyValueError::from(CallError::new(ErrorKind::Internal, error.to_string()))
        };
        let arguments = wire::encode(&request).map_err(broken)?;
        let (from, contract) = (self.source.clone(), self.contract.clone());
        let what = What::Call { from, contract, function: "handle".into(), arguments };
        let reply = self.desk.ask(what).await?;
        match wire::decode(&reply).map_err(broken)? {
            KeyValueReply::Failed(why) => Err(KeyValueError::Other(why)),
            reply => Ok(reply),
        }
    }

    async fn done(&self, bucket: &str, operation: Op) -> Result<(), KeyValueError> {
        match self.ask(bucket, operation).await? {
            KeyValueReply::Done => Ok(()),
            other => mismatch(&other),
        }
    }
}

fn mismatch<T>(reply: &KeyValueReply) -> Result<T, KeyValueError> {
    Err(KeyValueError::Other(format!("the store's answer does not fit: {reply:?}")))
}

#[async_trait]
impl KeyValue for Store {
    async fn open(&self, _: &CallContext, _: &str) -> Result<(), KeyValueError> {
        Ok(())
    }

    async fn get(
        &self,
        _: &CallContext,
        bucket: &str,
        key: &str,
    ) -> Result<Option<Vec<u8>>, KeyValueError> {
        match self.ask(bucket, Op::Get(key.into())).await? {
            KeyValueReply::Value(value) => Ok(value),
            other => mismatch(&other),
        }
    }

    async fn set(
        &self,
        _: &CallContext,
        bucket: &str,
        key: &str,
        value: Vec<u8>,
    ) -> Result<(), KeyValueError> {
        self.done(bucket, Op::Set(key.into(), value)).await
    }

    async fn delete(&self, _: &CallContext, bucket: &str, key: &str) -> Result<(), KeyValueError> {
        self.done(bucket, Op::Delete(key.into())).await
    }

    async fn exists(
        &self,
        _: &CallContext,
        bucket: &str,
        key: &str,
    ) -> Result<bool, KeyValueError> {
        match self.ask(bucket, Op::Exists(key.into())).await? {
            KeyValueReply::Exists(there) => Ok(there),
            other => mismatch(&other),
        }
    }

    async fn list_keys(
        &self,
        _: &CallContext,
        bucket: &str,
        cursor: Option<u64>,
    ) -> Result<KeyPage, KeyValueError> {
        match self.ask(bucket, Op::ListKeys(cursor)).await? {
            KeyValueReply::Keys(keys, cursor) => Ok(KeyPage { keys, cursor }),
            other => mismatch(&other),
        }
    }

    async fn increment(
        &self,
        _: &CallContext,
        bucket: &str,
        key: &str,
        delta: u64,
    ) -> Result<u64, KeyValueError> {
        match self.ask(bucket, Op::Increment(key.into(), delta)).await? {
            KeyValueReply::Number(sum) => Ok(sum),
            other => mismatch(&other),
        }
    }

    async fn get_many(
        &self,
        _: &CallContext,
        bucket: &str,
        keys: Vec<String>,
    ) -> Result<Vec<Option<(String, Vec<u8>)>>, KeyValueError> {
        match self.ask(bucket, Op::GetMany(keys)).await? {
            KeyValueReply::Values(values) => Ok(values),
            other => mismatch(&other),
        }
    }

    async fn set_many(
        &self,
        _: &CallContext,
        bucket: &str,
        pairs: Vec<(String, Vec<u8>)>,
    ) -> Result<(), KeyValueError> {
        self.done(bucket, Op::SetMany(pairs)).await
    }

    async fn delete_many(
        &self,
        _: &CallContext,
        bucket: &str,
        keys: Vec<String>,
    ) -> Result<(), KeyValueError> {
        self.done(bucket, Op::DeleteMany(keys)).await
    }
}
