//! What the runtime asks of the node around it, as traits.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;
use wattle_contracts::call::{CallError, ErrorKind, Source, TraceContext};
use wattle_contracts::id::{ComponentId, ContractId};
use wattle_contracts::message::MessageId;

use crate::actor::Actor;
use crate::http_body::HttpBody;

/// What travels with a call from its first caller to its last callee.
#[derive(Debug, Clone)]
pub struct CallContext {
    /// Who calls.
    pub source: Source,
    /// When it is over, at the latest.
    pub deadline: Instant,
    /// The trace it belongs to.
    pub trace: TraceContext,
    /// How many nodes it has passed; the node counts.
    pub hops: u8,
    /// How many components of this node call each other on this call's behalf right now; the
    /// runtime counts. Zero for a call that comes to the node.
    pub depth: u8,
}

impl CallContext {
    /// How deep components of one node may call each other before a call is refused as one that
    /// goes round in circles.
    pub const MAX_DEPTH: u8 = 32;

    /// A call by `source` that has not passed anybody yet.
    pub fn new(source: Source, deadline: Instant) -> Self {
        Self { source, deadline, trace: TraceContext::default(), hops: 0, depth: 0 }
    }

    /// A call on a deterministic engine, where nobody looks at a clock: who polls it ends it.
    pub fn untimed(source: Source) -> Self {
        const YEARS: std::time::Duration = std::time::Duration::from_secs(1_000_000_000);
        Self::new(source, Instant::now() + YEARS)
    }
}

/// Where a call goes.
#[derive(Clone)]
pub enum Destination {
    /// A component on this node: called with values, without encoding them.
    Local(Arc<Actor>),
    /// Anything else, behind the mesh or a provider.
    Remote(Arc<dyn Remote>),
}

/// One imported function of a component, on its way to whatever it is linked to.
pub trait Way: Send + Sync + 'static {
    /// Where a call goes now. Asked for each single call: links change while components run.
    fn destination(&self) -> Result<Destination, CallError>;
}

impl<F> Way for F
where
    F: Fn() -> Result<Destination, CallError> + Send + Sync + 'static,
{
    fn destination(&self) -> Result<Destination, CallError> {
        self()
    }
}

/// Everything that a component can reach beyond itself. The node implements it.
#[async_trait]
pub trait Outside: Send + Sync + 'static {
    /// The way of `source`'s calls to `function` of `contract`. Asked once, when the function is
    /// first called; whether it leads anywhere shows with each call.
    fn way(&self, source: &ComponentId, contract: &ContractId, function: &str) -> Arc<dyn Way>;

    /// The store behind the bucket that `source` opens under the name `bucket`. Called on each
    /// `wasi:keyvalue/store.open`, and must not wait.
    fn key_value(
        &self,
        source: &ComponentId,
        bucket: &str,
    ) -> Result<Arc<dyn KeyValue>, KeyValueError>;

    /// A line that `source` logged, or wrote to its standard output (`context` is then `stdout`)
    /// or standard error (`stderr`). Must not wait.
    fn log(&self, source: &ComponentId, level: LogLevel, context: &str, message: &str);

    /// Sends a request that `source` made through `wasi:http/outgoing-handler`, and returns the
    /// head of the response with a body that is still arriving.
    async fn send_http(
        &self,
        context: CallContext,
        source: &ComponentId,
        request: http::Request<HttpBody>,
        timeouts: HttpTimeouts,
    ) -> Result<http::Response<HttpBody>, HttpOutError>;

    /// Publishes a message for `source`, and returns its name where it is durable. Refused where
    /// the host has no messaging (the default).
    async fn publish(
        &self,
        context: CallContext,
        source: &ComponentId,
        subject: String,
        body: Vec<u8>,
        durable: bool,
    ) -> Result<Option<MessageId>, PublishError> {
        let _ = (context, source, subject, body, durable);
        Err(PublishError::Other("this host has no messaging".into()))
    }

    /// The secret that was put for `source` under `name`, as it is now; none if there is none. An
    /// error, for a person, where there is one that can't be opened. There are none where the host
    /// keeps none (the default).
    async fn secret(
        &self,
        context: CallContext,
        source: &ComponentId,
        name: &str,
    ) -> Result<Option<Vec<u8>>, String> {
        let _ = (context, source, name);
        Ok(None)
    }

    /// Clocks and randomness in the place of the machine's own (`None`, the default).
    fn surroundings(&self) -> Option<Arc<dyn Surroundings>> {
        None
    }

    /// How much fuel a call has used that has ended on a deterministic engine; else never called.
    fn used(&self, fuel: u64) {
        let _ = fuel;
    }

    /// Called when a component of this node calls another one of this node: the span that the
    /// call gets in its trace. `None` (the default) where it is not recorded.
    fn local_span(
        &self,
        context: &CallContext,
        callee: &ComponentId,
        contract: &ContractId,
        function: &str,
    ) -> Option<LocalSpan> {
        let _ = (context, callee, contract, function);
        None
    }
}

/// What a component sees of time and chance, where that is not the machine's.
#[async_trait]
pub trait Surroundings: Send + Sync + 'static {
    /// The monotonic clock, in nanoseconds.
    fn monotonic(&self) -> u64;

    /// The time since the Unix epoch.
    fn wall(&self) -> std::time::Duration;

    /// What the randomness of one more instance is made from.
    fn seed(&self) -> u64;

    /// Ends once the monotonic clock shows `when`.
    async fn sleep_until(&self, when: u64);
}

/// The recording of one call between two components of this node.
pub struct LocalSpan {
    /// The trace with the new span as the parent of what the callee does.
    pub trace: TraceContext,
    /// Called once when the call has ended, with the kind of its failure if it failed. Dropped
    /// without being called when the call was cancelled.
    pub end: Box<dyn FnOnce(Option<ErrorKind>) + Send>,
}

/// Something that answers calls of a contract and is not a component of this node.
#[async_trait]
pub trait Remote: Send + Sync + 'static {
    /// Calls `function` of `contract` with encoded `arguments`, and returns the encoded results,
    /// both as [`crate::Actor::call`] on the other side takes and gives them. Dropping the future
    /// cancels the call.
    async fn call(
        &self,
        context: CallContext,
        source: &ComponentId,
        contract: &ContractId,
        function: &str,
        arguments: Vec<u8>,
    ) -> Result<Vec<u8>, CallError>;
}

/// A store of keys and values, as `wasi:keyvalue` means it. `bucket` is the name that the
/// component opened.
#[async_trait]
pub trait KeyValue: Send + Sync + 'static {
    /// Whether there is such a bucket: `wasi:keyvalue/store.open`.
    async fn open(&self, context: &CallContext, bucket: &str) -> Result<(), KeyValueError>;

    /// The value of `key`, or `None`.
    async fn get(
        &self,
        context: &CallContext,
        bucket: &str,
        key: &str,
    ) -> Result<Option<Vec<u8>>, KeyValueError>;

    /// Makes `value` the value of `key`.
    async fn set(
        &self,
        context: &CallContext,
        bucket: &str,
        key: &str,
        value: Vec<u8>,
    ) -> Result<(), KeyValueError>;

    /// Removes `key` if it is there.
    async fn delete(
        &self,
        context: &CallContext,
        bucket: &str,
        key: &str,
    ) -> Result<(), KeyValueError>;

    /// Whether `key` has a value.
    async fn exists(
        &self,
        context: &CallContext,
        bucket: &str,
        key: &str,
    ) -> Result<bool, KeyValueError>;

    /// Some keys, from the first or from where `cursor` of an earlier page says.
    async fn list_keys(
        &self,
        context: &CallContext,
        bucket: &str,
        cursor: Option<u64>,
    ) -> Result<KeyPage, KeyValueError>;

    /// Adds `delta` to the number in `key` (zero where there is none) in one step, and returns
    /// the sum.
    async fn increment(
        &self,
        context: &CallContext,
        bucket: &str,
        key: &str,
        delta: u64,
    ) -> Result<u64, KeyValueError>;

    /// The values of several keys, in the order of `keys`; `None` for a key without one.
    async fn get_many(
        &self,
        context: &CallContext,
        bucket: &str,
        keys: Vec<String>,
    ) -> Result<Vec<Option<(String, Vec<u8>)>>, KeyValueError>;

    /// Sets several keys, in no promised order, and not as one step.
    async fn set_many(
        &self,
        context: &CallContext,
        bucket: &str,
        pairs: Vec<(String, Vec<u8>)>,
    ) -> Result<(), KeyValueError>;

    /// Removes several keys, in no promised order, and not as one step.
    async fn delete_many(
        &self,
        context: &CallContext,
        bucket: &str,
        keys: Vec<String>,
    ) -> Result<(), KeyValueError>;
}

/// A part of the keys of a bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyPage {
    /// The keys.
    pub keys: Vec<String>,
    /// Where the next page begins; `None` after the last.
    pub cursor: Option<u64>,
}

/// Why a key-value operation failed; the component sees it as `wasi:keyvalue/store.error`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyValueError {
    /// Nothing is known under the bucket's name.
    #[error("there is no such store")]
    NoSuchStore,
    /// It may exist, and this component may not use it.
    #[error("access is denied")]
    AccessDenied,
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

impl From<CallError> for KeyValueError {
    fn from(error: CallError) -> Self {
        match error.kind {
            ErrorKind::NotLinked => Self::NoSuchStore,
            ErrorKind::NotAllowed => Self::AccessDenied,
            // The kind stands in front, so that a component can tell `unreachable: …` apart.
            _ => Self::Other(error.to_string()),
        }
    }
}

/// A message as a component is given it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncomingMessage {
    /// What it is about.
    pub subject: String,
    /// What it says.
    pub body: Vec<u8>,
    /// None for a live message.
    pub id: Option<MessageId>,
}

/// Why a message was not published; the component sees the `wattle:messaging/types.error` of the
/// same name. With the reason in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// What it was to be about is no subject.
    #[error("{0}")]
    BadSubject(String),
    /// A rule refuses it.
    #[error("{0}")]
    NotAllowed(String),
    /// It is too large.
    #[error("{0}")]
    TooLarge(String),
    /// Too much waits already.
    #[error("{0}")]
    Full(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// How loud a log line is: the levels of `wasi:logging`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// Values of variables, and the flow of control.
    Trace,
    /// For somebody who debugs.
    Debug,
    /// For somebody who watches.
    Info,
    /// Something may be wrong.
    Warn,
    /// Something is wrong.
    Error,
    /// Nothing goes any more.
    Critical,
}

/// What a component asked for with `wasi:http/types.request-options`; `None` leaves it to the node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HttpTimeouts {
    /// Until there is a connection.
    pub connect: Option<std::time::Duration>,
    /// From then until the first byte of the response.
    pub first_byte: Option<std::time::Duration>,
    /// Between two pieces of the response's body.
    pub between_bytes: Option<std::time::Duration>,
}

/// Why an outgoing HTTP request got no response; the component sees the `wasi:http` error code
/// of the same name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpOutError {
    /// A rule of the mesh refuses the request (`HTTP-request-denied`).
    #[error("the request is not allowed")]
    Denied,
    /// The name can't be resolved (`DNS-error`).
    #[error("the name can't be resolved: {0}")]
    Dns(String),
    /// No link or address leads there (`destination-not-found`).
    #[error("there is nothing at this destination")]
    NotFound,
    /// It is known, and can't be reached now (`destination-unavailable`).
    #[error("the destination can't be reached now")]
    Unavailable,
    /// It refused the connection (`connection-refused`).
    #[error("the connection was refused")]
    Refused,
    /// It closed the connection (`connection-terminated`).
    #[error("the connection was closed")]
    Terminated,
    /// It took too long to connect (`connection-timeout`).
    #[error("connecting took too long")]
    ConnectTimeout,
    /// It took too long to answer (`HTTP-response-timeout`).
    #[error("the response took too long")]
    ResponseTimeout,
    /// A queue on the way is full (`connection-limit-reached`).
    #[error("too many requests are on the way")]
    Overloaded,
    /// Transport security failed (`TLS-protocol-error`).
    #[error("transport security failed")]
    Tls,
    /// The request goes round in circles (`loop-detected`).
    #[error("the request goes round in circles")]
    Loop,
    /// What came back is not HTTP (`HTTP-protocol-error`).
    #[error("the response is not valid HTTP")]
    Protocol,
    /// Anything else (`internal-error`).
    #[error("{0}")]
    Internal(String),
}

impl From<CallError> for HttpOutError {
    fn from(error: CallError) -> Self {
        match error.kind {
            ErrorKind::NotLinked => Self::NotFound,
            ErrorKind::NotAllowed => Self::Denied,
            ErrorKind::Unreachable => Self::Unavailable,
            ErrorKind::Overloaded => Self::Overloaded,
            ErrorKind::Deadline => Self::ResponseTimeout,
            ErrorKind::Trapped | ErrorKind::Cancelled | ErrorKind::Internal => {
                Self::Internal(error.to_string())
            }
        }
    }
}
