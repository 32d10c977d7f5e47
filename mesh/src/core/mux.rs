//! The calls on the one stream to one peer: their numbers, their bodies, their ends.
//!
//! A [`Mux`] is one side of that stream. It never waits and never does I/O. Whoever drives it
//! keeps it behind a mutex that is held for one method at a time:
//!
//! - **to call**: [`Mux::open`], then [`Mux::send`] for a streamed body;
//! - **the reading task** decodes frames, hands each to [`Mux::receive`], and does what the
//!   [`Event`] says; the event carries the driver's own handle of the call, so no second table is
//!   needed;
//! - **the writing task** asks [`Mux::take`] for the frames that are due, encodes them outside the
//!   lock, and sleeps while [`Mux::has_outgoing`] is false. Frames leave in an order that the
//!   multiplexer decides: heads before bodies, so that a small call never waits behind a big one;
//! - **to answer**: [`Mux::reply`] or [`Mux::fail`], then [`Mux::send`] for a streamed body;
//! - **when the stream is gone**: [`Mux::close`] gives back every call with what to tell its owner.
//!
//! A call is over when its answer is: with a reply without a body, with the last part of the
//! reply's body, with an error, or with a cancel. Whatever still arrives for it was under way
//! then, and is counted and ignored. A frame that no honest peer could have sent is a
//! [`Violation`]: the driver closes the stream.
//!
//! Streamed bodies are held back by credit, per call and direction, as in HTTP/2 (RFC 9113,
//! section 5.2): [`WINDOW`] bytes to begin with, and as many again as the receiver has taken in
//! ([`Mux::consumed`]).
//!
//! Bounds: [`Limits::calls`] calls in each direction, [`Limits::queued_bytes`] of payload waiting
//! for the writer before new work is refused or held back, [`WINDOW`] bytes of each body.

mod body;
mod event;
mod outcome;
mod queue;
mod receive;
mod table;
#[cfg(test)]
mod tests;

pub use event::Event;
pub use outcome::{Closed, Lost, OpenError, ReplyError, Sent, Violation};

use bytes::Bytes;
use wattle_contracts::call::{CallError, CallHeader, CallRoute, ErrorKind};
use wattle_contracts::wire::{Frame, FrameHead, MAX_FRAME, Side};

use body::{Inflow, Outflow};
use queue::Queue;
use table::Table;

/// How many bytes of a body may be under way before its receiver has taken any in. Part of the
/// protocol: both sides begin with it.
pub const WINDOW: u32 = 256 * 1024;

/// The longest part into which a body is cut, in bytes.
pub const CHUNK: usize = 32 * 1024;

/// The longest payload of a call or a reply, in bytes; what is longer is streamed.
pub const MAX_PAYLOAD: usize = MAX_FRAME - 64 * 1024;

/// What one stream may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many calls may be under way in each direction.
    pub calls: usize,
    /// How many bytes may wait for the writer: of calls and replies before further calls are
    /// refused, of bodies before they are held back. Replies to calls already taken are queued
    /// above it.
    pub queued_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { calls: 1024, queued_bytes: 8 * 1024 * 1024 }
    }
}

/// One side of the stream to one peer. `O` is what the driver keeps of a call that this node made,
/// `I` what it keeps of a call that the peer made: channels, usually.
#[derive(Debug)]
pub struct Mux<O, I> {
    limits: Limits,
    /// Calls that this node made.
    outgoing: Table<Outgoing<O>>,
    /// Calls that the peer made.
    incoming: Table<Incoming<I>>,
    queue: Queue,
    /// The number of the next call that this node makes.
    next: u64,
    /// The highest number that the peer has used.
    seen: u64,
    peer_drains: bool,
    closed: bool,
    counters: Counters,
}

#[derive(Debug)]
struct Outgoing<O> {
    handle: O,
    request: Outflow,
    reply: Inflow,
}

#[derive(Debug)]
struct Incoming<I> {
    handle: I,
    request: Inflow,
    reply: Outflow,
}

/// What happened on one stream, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Calls that this node made.
    pub opened: u64,
    /// Calls that the peer made and that were taken.
    pub accepted: u64,
    /// Calls that the peer made and that were answered with `overloaded` here.
    pub refused: u64,
    /// Frames for calls that were over.
    pub late_frames: u64,
}

impl<O, I> Mux<O, I> {
    /// A stream on which nothing has happened yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            outgoing: Table::default(),
            incoming: Table::default(),
            queue: Queue::default(),
            next: 1,
            seen: 0,
            peer_drains: false,
            closed: false,
            counters: Counters::default(),
        }
    }

    /// Makes a call. With `streams`, a body follows by [`Mux::send`] as [`Side::Caller`].
    pub fn open(
        &mut self,
        header: Box<CallHeader>,
        payload: Bytes,
        streams: bool,
        handle: O,
    ) -> Result<u64, OpenError> {
        if self.closed {
            return Err(OpenError::Closed);
        }
        if self.peer_drains {
            return Err(OpenError::Draining);
        }
        check_size(payload.len(), MAX_PAYLOAD)?;
        check_size(header.route.function.len(), CallRoute::MAX_FUNCTION)?;
        if self.outgoing.len() >= self.limits.calls || !self.heads_have_room() {
            return Err(OpenError::Overloaded);
        }
        let call = self.next;
        self.next = call.checked_add(1).ok_or(OpenError::Closed)?;
        let request = if streams { Outflow::open() } else { Outflow::none() };
        self.outgoing.insert(call, Outgoing { handle, request, reply: Inflow::none() });
        self.queue.push(Frame { head: FrameHead::Call { call, header, streams }, payload });
        self.counters.opened += 1;
        Ok(call)
    }

    /// Gives up a call of this node. `None` if it is over already.
    pub fn cancel(&mut self, call: u64) -> Option<O> {
        let entry = self.outgoing.remove(&call)?;
        self.queue.push(Frame::bare(FrameHead::Cancel { call }));
        Some(entry.handle)
    }

    /// Answers a call of the peer. With `streams`, a body follows by [`Mux::send`] as
    /// [`Side::Callee`]; without, the call is over. True if a body is to follow: also with
    /// `streams` it is not, where the caller has said that it wants none.
    pub fn reply(&mut self, call: u64, payload: Bytes, streams: bool) -> Result<bool, ReplyError> {
        let entry = self.incoming.get_mut(&call).ok_or(ReplyError::Gone)?;
        if entry.reply.is_open() {
            return Err(ReplyError::Gone);
        }
        let (size, limit) = (payload.len(), MAX_PAYLOAD);
        if size > limit {
            return Err(ReplyError::TooLarge { size, limit });
        }
        let streams = streams && entry.reply.begin();
        if !streams {
            self.incoming.remove(&call);
        }
        self.queue.push(Frame { head: FrameHead::Reply { call, streams }, payload });
        Ok(streams)
    }

    /// Fails a call of the peer, also in the middle of the body of its reply; what of that body
    /// still waits to be sent may not be seen by the caller. The call is over.
    pub fn fail(&mut self, call: u64, error: CallError) -> Result<(), ReplyError> {
        self.incoming.remove(&call).ok_or(ReplyError::Gone)?;
        let error = CallError::new(error.kind, error.message);
        self.queue.push(Frame::bare(FrameHead::Error { call, error }));
        Ok(())
    }

    /// Sends a part of a body: of the call where `side` is the caller, of its reply where it is
    /// the callee. What could be sent is taken out of `part`.
    pub fn send(&mut self, call: u64, side: Side, part: &mut Bytes, last: bool) -> Sent {
        let has_room = self.queue.part_bytes() < self.limits.queued_bytes;
        let body = match side {
            Side::Caller => self.outgoing.get_mut(&call).map(|entry| &mut entry.request),
            Side::Callee => self.incoming.get_mut(&call).map(|entry| &mut entry.reply),
        };
        let Some(body) = body else {
            return Sent::Gone;
        };
        if body.is_unwanted() {
            return Sent::Unwanted;
        }
        if !body.is_open() {
            return Sent::Gone;
        }
        if !has_room {
            return Sent::Wait;
        }
        while let Some(payload) = body.cut(part, last) {
            let last = last && part.is_empty();
            self.queue.push(Frame { head: FrameHead::Data { call, from: side, last }, payload });
        }
        if !part.is_empty() {
            return Sent::Wait;
        }
        if last && side == Side::Callee {
            self.incoming.remove(&call);
        }
        Sent::All
    }

    /// Says that so many bytes of the other side's body are taken in: as many more may come.
    pub fn consumed(&mut self, call: u64, side: Side, bytes: usize) {
        let body = match side {
            Side::Caller => self.outgoing.get_mut(&call).map(|entry| &mut entry.reply),
            Side::Callee => self.incoming.get_mut(&call).map(|entry| &mut entry.request),
        };
        if let Some(bytes) = body.and_then(|body| body.consumed(bytes)) {
            self.queue.push(Frame::bare(FrameHead::Credit { call, from: side, bytes }));
        }
    }

    /// Says that the rest of the other side's body is not wanted. A callee's call goes on; a
    /// caller's is over if the reply has begun, and then its handle comes back.
    pub fn stop(&mut self, call: u64, side: Side) -> Option<O> {
        let stop = Frame::bare(FrameHead::StopData { call, from: side });
        match side {
            Side::Callee => {
                if self.incoming.get_mut(&call)?.request.refuse() {
                    self.queue.push(stop);
                }
                None
            }
            Side::Caller => {
                let reply = &mut self.outgoing.get_mut(&call)?.reply;
                let begun = reply.is_open();
                if reply.refuse() {
                    self.queue.push(stop);
                }
                if begun { self.outgoing.remove(&call).map(|entry| entry.handle) } else { None }
            }
        }
    }

    /// Asks the peer for no new calls. Those that are under way, and those that crossed this on
    /// the wire, go on; [`Mux::is_idle`] says when they are done.
    pub fn drain(&mut self) {
        self.queue.push(Frame::bare(FrameHead::Drain));
    }

    /// Moves frames that are due to `due`, in the order in which they are to be written, until
    /// they hold about `budget` bytes of payload, but always at least one if there is any.
    pub fn take(&mut self, due: &mut Vec<Frame>, budget: usize) {
        self.queue.take(due, budget);
    }

    /// Ends everything because the stream is gone, for the reason given. Every later method finds
    /// its call gone.
    pub fn close(&mut self, reason: &str) -> Closed<O, I> {
        self.closed = true;
        let sent = self.queue.last_call_sent();
        self.queue = Queue::default();
        let lost = |(call, entry): (u64, Outgoing<O>)| {
            let may_have_run = call <= sent;
            let outcome = match may_have_run {
                true => "the call had been sent, and may have run",
                false => "the call had not been sent",
            };
            let error = CallError::new(ErrorKind::Unreachable, format!("{reason}; {outcome}"));
            Lost { call, handle: entry.handle, may_have_run, error }
        };
        Closed {
            outgoing: table::drain_sorted(&mut self.outgoing).into_iter().map(lost).collect(),
            incoming: table::drain_sorted(&mut self.incoming)
                .into_iter()
                .map(|(call, entry)| (call, entry.handle))
                .collect(),
        }
    }

    /// Whether something is due to be written.
    pub fn has_outgoing(&self) -> bool {
        !self.queue.is_empty()
    }

    /// How many frames wait for the writer, parts of bodies left out.
    pub fn due(&self) -> usize {
        self.queue.heads()
    }

    /// Whether less waits for the writer than [`Limits::queued_bytes`]. Who streams a body, or is
    /// about to reply with a long payload, waits until it does.
    pub fn has_room(&self) -> bool {
        self.heads_have_room() && self.queue.part_bytes() < self.limits.queued_bytes
    }

    /// Bodies that wait do not keep small calls from being made.
    fn heads_have_room(&self) -> bool {
        self.queue.head_bytes() < self.limits.queued_bytes
    }

    /// Whether no call is under way in either direction and nothing waits to be written.
    pub fn is_idle(&self) -> bool {
        self.outgoing.is_empty() && self.incoming.is_empty() && self.queue.is_empty()
    }

    /// How many calls are under way: those that this node made, and those that the peer made.
    pub fn under_way(&self) -> (usize, usize) {
        (self.outgoing.len(), self.incoming.len())
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }
}

fn check_size(size: usize, limit: usize) -> Result<(), OpenError> {
    if size > limit { Err(OpenError::TooLarge { size, limit }) } else { Ok(()) }
}
