//! How what the driver asks for can end.

use wattle_contracts::call::{CallError, ErrorKind};

/// Why a call is not begun. Nothing was sent: another node may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// As many calls as allowed are under way, or too much waits to be sent.
    #[error("too many calls to that node are under way")]
    Overloaded,
    /// The peer shuts down and takes no new calls.
    #[error("that node is shutting down")]
    Draining,
    /// The stream is gone.
    #[error("the connection to that node is gone")]
    Closed,
    /// The arguments, or the name of the function, are too long for a frame.
    #[error("the arguments have {size} bytes, where at most {limit} fit into a call")]
    TooLarge {
        /// Their size, in bytes.
        size: usize,
        /// The most, in bytes.
        limit: usize,
    },
}

impl From<OpenError> for CallError {
    fn from(error: OpenError) -> Self {
        let kind = match error {
            OpenError::Overloaded => ErrorKind::Overloaded,
            OpenError::Draining | OpenError::Closed => ErrorKind::Unreachable,
            OpenError::TooLarge { .. } => ErrorKind::NotAllowed,
        };
        CallError::new(kind, format!("{error}; the call was not begun"))
    }
}

/// Why an answer is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// The call is over: cancelled, answered, or its stream is gone.
    #[error("nobody waits for this answer any more")]
    Gone,
    /// The result is too long for a frame. The call is still open: fail it, or stream the result.
    #[error("the result has {size} bytes, where at most {limit} fit into a reply")]
    TooLarge {
        /// Its size, in bytes.
        size: usize,
        /// The most, in bytes.
        limit: usize,
    },
}

/// What became of a part of a body that was to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Sent {
    /// All of it is on its way.
    All,
    /// What is left of it has to wait for credit ([`RequestRoom`](super::Event::RequestRoom),
    /// [`ReplyRoom`](super::Event::ReplyRoom)), or for the writer
    /// ([`has_room`](super::Mux::has_room) after [`take`](super::Mux::take)).
    Wait,
    /// The peer does not want this body, and needs no more of it.
    Unwanted,
    /// The call is over.
    Gone,
}

/// A frame that no honest peer sends. The stream is to be closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("protocol violation in call {call}: {why}")]
pub struct Violation {
    pub(super) call: u64,
    pub(super) why: &'static str,
}

/// What [`close`](super::Mux::close) gives back, in the order of the calls' numbers.
#[derive(Debug)]
pub struct Closed<O, I> {
    /// The calls that this node had made.
    pub outgoing: Vec<Lost<O>>,
    /// The calls that the peer had made: their work is to be cancelled.
    pub incoming: Vec<(u64, I)>,
}

/// A call of this node whose stream died under it.
#[derive(Debug)]
pub struct Lost<O> {
    /// The number of the call.
    pub call: u64,
    /// What the driver kept of it.
    pub handle: O,
    /// Whether the call had left this node, so that it may have run. If not, it certainly has
    /// not, and may be made again elsewhere.
    pub may_have_run: bool,
    /// What to tell the caller.
    pub error: CallError,
}
