//! One peer's call stream, as whoever calls sees it.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use libp2p::Stream;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use wattle_contracts::call::{CallError, CallHeader, ErrorKind};
use wattle_contracts::id::NodeId;
use wattle_contracts::wire::Side;

use super::inbox::Inbox;
use super::outbox::{Duplex, Outbox};
use super::read::{self, Ended};
use super::signal::Signal;
use super::source::{End, send_body};
use crate::core::mux::{Closed, Limits, Mux};
use crate::net::body::BodyStream;
use crate::net::metrics::Metrics;
use crate::net::relay::Relays;
use crate::net::roster::Roster;
use crate::net::service::{Reply, Service};

/// So many frames are worth a write of their own: the peer works on them while this node makes
/// the next ones. Were they all left to the writing task, both nodes would work in turns.
const TOGETHER: usize = 16;

/// What a link needs besides its stream.
#[derive(Clone)]
pub(in crate::net) struct LinkConfig {
    pub(in crate::net) limits: Limits,
    /// Arguments of calls under way that one peer may make this node hold, in bytes.
    pub(in crate::net) held_bytes: usize,
    pub(in crate::net) service: Arc<dyn Service>,
    /// Passes on calls that are for other nodes.
    pub(in crate::net) relays: Arc<Relays>,
    /// Who belongs.
    pub(in crate::net) roster: Arc<Roster>,
    pub(in crate::net) metrics: Arc<Metrics>,
}

/// What is kept of a call of this node.
#[derive(Debug)]
pub(in crate::net) struct OutCall {
    /// Taken when the reply begins.
    pub(super) answer: Option<oneshot::Sender<Result<Reply, CallError>>>,
    /// The body of the reply.
    pub(super) inbox: Option<Arc<Inbox>>,
    /// For the task that sends the body of the call.
    pub(super) sender: Option<Arc<Signal>>,
}

impl OutCall {
    /// The call is over with an error.
    pub(super) fn fail(mut self, error: CallError) {
        match (self.answer.take(), &self.inbox) {
            (Some(answer), _) => {
                let _ = answer.send(Err(error));
            }
            (None, Some(inbox)) => inbox.end(Err(error)),
            (None, None) => {}
        }
    }
}

impl Drop for OutCall {
    fn drop(&mut self) {
        if let Some(sender) = &self.sender {
            sender.gone();
        }
    }
}

/// What is kept of a call of the peer.
#[derive(Debug)]
pub(in crate::net) struct InCall {
    /// For the task that serves it.
    pub(super) server: Arc<Signal>,
    /// The body of the call.
    pub(super) inbox: Option<Arc<Inbox>>,
}

impl Drop for InCall {
    fn drop(&mut self) {
        self.server.gone();
        if let Some(inbox) = &self.inbox {
            inbox.end(Err(CallError::new(ErrorKind::Cancelled, "the call is over")));
        }
    }
}

/// The calls to and from one peer.
pub(in crate::net) struct Link {
    pub(super) peer: NodeId,
    mux: Mutex<Mux<OutCall, InCall>>,
    pub(super) stream: Duplex,
    outbox: Outbox,
    /// Told when less waits to be written.
    pub(super) room: Notify,
    /// Calls that wait for room.
    waiting: AtomicUsize,
    /// Bytes of arguments of the peer's calls that are under way.
    pub(super) held: AtomicUsize,
    pub(super) config: LinkConfig,
    closed: Mutex<Option<String>>,
}

impl Link {
    /// The link on a fresh stream. It works while [`Link::run`] does.
    pub(in crate::net) fn new(peer: NodeId, stream: Stream, config: LinkConfig) -> Arc<Self> {
        Arc::new(Self {
            peer,
            mux: Mutex::new(Mux::new(config.limits)),
            stream: Duplex::new(stream),
            outbox: Outbox::default(),
            room: Notify::new(),
            waiting: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            config,
            closed: Mutex::new(None),
        })
    }

    /// The node at the other end.
    pub(in crate::net) fn peer(&self) -> NodeId {
        self.peer
    }

    /// Reads and writes until the stream ends, and says why it did. Every call that is still
    /// under way ends then.
    pub(in crate::net) async fn run(self: Arc<Self>) -> Ended {
        // However this ends: aborted, too. A call on a stream that nobody reads would never end.
        let _closing = Closing(&self);
        let reading = read::run(&self);
        let writing = std::future::poll_fn(|cx| {
            self.outbox.poll(cx, &self.stream, |due, budget| self.take(due, budget))
        });
        let ended = tokio::select! {
            ended = reading => ended,
            error = writing => Ended::Lost(error),
        };
        self.close(&ended.to_string());
        // The peer's reader shall see an end, not wait for the connection to go.
        let close = std::future::poll_fn(|cx| self.stream.poll_close(cx));
        let _ = tokio::time::timeout(Duration::from_millis(100), close).await;
        ended
    }

    /// Calls the peer. Dropping the future gives the call up.
    pub(in crate::net) async fn call(
        self: &Arc<Self>,
        header: CallHeader,
        payload: Bytes,
        body: Option<BodyStream>,
    ) -> Result<Reply, CallError> {
        let deadline = Instant::now() + header.time_left;
        let (answer, answered) = oneshot::channel();
        let sender = body.as_ref().map(|_| Arc::new(Signal::default()));
        let handle = OutCall { answer: Some(answer), inbox: None, sender: sender.clone() };
        let call = self.open(header, payload, handle, deadline).await?;
        let mut under_way = UnderWay { link: self, call, armed: true };
        self.flush();
        if let Some((body, signal)) = body.zip(sender) {
            tokio::spawn(send_request(self.clone(), call, body, signal));
        }
        match tokio::time::timeout_at(deadline, answered).await {
            Ok(Ok(outcome)) => {
                under_way.armed = false;
                outcome
            }
            Ok(Err(_)) => Err(CallError::new(ErrorKind::Internal, "the call was lost track of")),
            Err(_) => Err(too_late("the callee may still have run")),
        }
    }

    /// Queues a call, when there is room for it.
    async fn open(
        &self,
        header: CallHeader,
        payload: Bytes,
        handle: OutCall,
        deadline: Instant,
    ) -> Result<u64, CallError> {
        let streams = handle.sender.is_some();
        if self.mux().has_room() {
            return Ok(self.mux().open(Box::new(header), payload, streams, handle)?);
        }
        // In a box of its own: it is rare, and every call's future would else have room for it.
        Box::pin(self.open_soon(header, payload, handle, deadline)).await
    }

    /// Waits for room, and queues a call then.
    async fn open_soon(
        &self,
        mut header: CallHeader,
        payload: Bytes,
        handle: OutCall,
        deadline: Instant,
    ) -> Result<u64, CallError> {
        let streams = handle.sender.is_some();
        let _place = self.wait_in_line()?;
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            room.as_mut().enable();
            {
                let mut mux = self.mux();
                if mux.has_room() {
                    header.time_left = deadline.saturating_duration_since(Instant::now());
                    return Ok(mux.open(Box::new(header), payload, streams, handle)?);
                }
            }
            if let Some(reason) = self.reason() {
                return Err(CallError::new(ErrorKind::Unreachable, reason));
            }
            if tokio::time::timeout_at(deadline, room).await.is_err() {
                return Err(too_late("the call was not begun"));
            }
        }
    }

    /// A place among the calls that wait for room.
    fn wait_in_line(&self) -> Result<impl Drop, CallError> {
        struct Place<'a>(&'a AtomicUsize);
        impl Drop for Place<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let place = Place(&self.waiting);
        match self.waiting.fetch_add(1, Ordering::Relaxed) < self.config.limits.calls {
            true => Ok(place),
            false => {
                let text = format!("too much waits to be sent to {}", self.peer);
                Err(CallError::new(ErrorKind::Overloaded, text))
            }
        }
    }

    /// Tells the peer that this node takes no more calls.
    pub(in crate::net) fn drain(&self) {
        self.mux().drain();
        self.flush();
    }

    /// Whether no call is under way and everything is written.
    pub(in crate::net) fn is_idle(&self) -> bool {
        self.mux().is_idle() && self.outbox.is_empty()
    }

    /// Whether the stream is still there.
    pub(in crate::net) fn is_open(&self) -> bool {
        self.reason().is_none()
    }

    /// Ends every call, for this reason.
    pub(in crate::net) fn close(&self, reason: &str) {
        {
            let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
            closed.get_or_insert_with(|| reason.to_owned());
        }
        let reason = format!("the connection to {} is gone ({reason})", self.peer);
        let Closed { outgoing, incoming } = self.mux().close(&reason);
        for lost in outgoing {
            lost.handle.fail(lost.error);
        }
        drop(incoming);
        self.room.notify_waiters();
        self.outbox.wake();
    }

    /// Sees to it that what is due is written: at once, where there is one call and nothing to
    /// write it together with, or where enough is together; else by the writing task, which finds
    /// more when its turn comes. (At 64 calls at once that is a third more calls per second; at
    /// one, a task fewer.)
    pub(super) fn flush(&self) {
        let (under_way, due) = {
            let mux = self.mux();
            let (made, served) = mux.under_way();
            (made + served, mux.due())
        };
        if under_way > 1 && due < TOGETHER {
            return self.outbox.wake();
        }
        self.outbox.flush(&self.stream, |due, budget| self.take(due, budget));
    }

    pub(super) fn mux(&self) -> MutexGuard<'_, Mux<OutCall, InCall>> {
        self.mux.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, due: &mut Vec<wattle_contracts::wire::Frame>, budget: usize) {
        let mut mux = self.mux();
        let was_full = !mux.has_room();
        mux.take(due, budget);
        if was_full && mux.has_room() {
            drop(mux);
            self.room.notify_waiters();
        }
    }

    fn reason(&self) -> Option<String> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// Closes the link, if nothing else did.
struct Closing<'a>(&'a Link);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close("this node closed it");
    }
}

/// A call whose caller still waits. Dropped before the answer, it cancels the call.
struct UnderWay<'a> {
    link: &'a Link,
    call: u64,
    armed: bool,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if self.armed {
            let handle = self.link.mux().cancel(self.call);
            drop(handle);
            self.link.flush();
        }
    }
}

fn too_late(what: &str) -> CallError {
    CallError::new(ErrorKind::Deadline, format!("no answer in time; {what}"))
}

/// Sends the body of a call of this node.
async fn send_request(link: Arc<Link>, call: u64, body: BodyStream, signal: Arc<Signal>) {
    if let End::Failed(error) = send_body(&link, call, Side::Caller, body, &signal).await {
        let handle = link.mux().cancel(call);
        link.flush();
        if let Some(handle) = handle {
            handle.fail(error);
        }
    }
}

/// The body that the other side of a call sends.
pub(super) struct Arriving {
    pub(super) link: Arc<Link>,
    pub(super) call: u64,
    /// The side that reads it.
    pub(super) side: Side,
    pub(super) inbox: Arc<Inbox>,
}

impl Arriving {
    pub(super) fn into_body(self) -> BodyStream {
        BodyStream::new(self)
    }
}

impl futures::Stream for Arriving {
    type Item = Result<Bytes, CallError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = std::task::ready!(self.inbox.poll_next(cx));
        if let Some(Ok(part)) = &next {
            let due = {
                let mut mux = self.link.mux();
                mux.consumed(self.call, self.side, part.len());
                mux.has_outgoing()
            };
            if due {
                self.link.flush();
            }
        }
        Poll::Ready(next)
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if !self.inbox.has_ended() {
            let handle = self.link.mux().stop(self.call, self.side);
            drop(handle);
            self.link.flush();
        }
    }
}
