//! What a frame from the peer means.

use bytes::Bytes;
use wattle_contracts::call::{CallError, CallHeader};

/// What a frame from the peer means for the driver.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a, O, I> {
    /// The peer calls. Answer with [`reply`](super::Mux::reply) or [`fail`](super::Mux::fail).
    Call {
        /// The number of the call.
        call: u64,
        /// Who calls what.
        header: Box<CallHeader>,
        /// The arguments.
        payload: Bytes,
        /// Whether [`Event::RequestData`] follows.
        streams: bool,
    },
    /// The next part of the body of a call that the peer made.
    RequestData {
        /// The number of the call.
        call: u64,
        /// What the driver keeps of it.
        handle: &'a mut I,
        /// The part.
        payload: Bytes,
        /// Whether it is the last one.
        last: bool,
    },
    /// The peer has taken in some of the body of this node's reply: try to
    /// [`send`](super::Mux::send) again.
    ReplyRoom {
        /// The number of the call.
        call: u64,
        /// What the driver keeps of it.
        handle: &'a mut I,
    },
    /// The peer no longer wants the answer to its call, or the rest of it. The call is over.
    Cancelled {
        /// The number of the call.
        call: u64,
        /// What the driver kept of it.
        handle: I,
    },
    /// A call of this node succeeded, and is over.
    Reply {
        /// The number of the call.
        call: u64,
        /// What the driver kept of it.
        handle: O,
        /// The result.
        payload: Bytes,
    },
    /// A call of this node succeeded; [`Event::ReplyData`] follows.
    ReplyStarts {
        /// The number of the call.
        call: u64,
        /// What the driver keeps of it.
        handle: &'a mut O,
        /// The result.
        payload: Bytes,
    },
    /// A part, not the last, of the body of a reply.
    ReplyData {
        /// The number of the call.
        call: u64,
        /// What the driver keeps of it.
        handle: &'a mut O,
        /// The part.
        payload: Bytes,
    },
    /// The last part, perhaps empty, of the body of a reply. The call is over.
    ReplyEnds {
        /// The number of the call.
        call: u64,
        /// What the driver kept of it.
        handle: O,
        /// The part.
        payload: Bytes,
    },
    /// A call of this node, or the body of its reply, failed. The call is over.
    Failed {
        /// The number of the call.
        call: u64,
        /// What the driver kept of it.
        handle: O,
        /// Why.
        error: CallError,
    },
    /// The peer has taken in some of the body of a call of this node: try to
    /// [`send`](super::Mux::send) again.
    RequestRoom {
        /// The number of the call.
        call: u64,
        /// What the driver keeps of it.
        handle: &'a mut O,
    },
    /// The peer does not want the rest of the body of a call of this node. The call goes on.
    RequestUnwanted {
        /// The number of the call.
        call: u64,
        /// What the driver keeps of it.
        handle: &'a mut O,
    },
    /// The peer shuts down: from now on [`open`](super::Mux::open) refuses.
    Draining,
    /// Nothing to do: a frame for a call that is over, or a call that was refused here.
    Nothing,
}
