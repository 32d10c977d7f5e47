//! One invocation as it is written down: who calls what, until when, and how it can fail.

mod person;
mod proof;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use person::{PersonAsks, PersonProof};
pub use proof::CallProof;

use crate::id::{ComponentId, ContractId, NodeId};

/// What kind of failure a call met. The names are the ones that people see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// No link says where this import goes, or the target does not exist.
    NotLinked,
    /// A rule refuses the call.
    NotAllowed,
    /// No node that could answer can be reached from here now.
    Unreachable,
    /// A bounded queue on the way is full; the call was not begun.
    Overloaded,
    /// The deadline passed first. The call may have run.
    Deadline,
    /// The callee's code trapped, or ran into one of its limits.
    Trapped,
    /// The caller gave up. The call may have run.
    Cancelled,
    /// Something that should not happen, on the node that says so.
    Internal,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: [ErrorKind; 8] = [
        ErrorKind::NotLinked,
        ErrorKind::NotAllowed,
        ErrorKind::Unreachable,
        ErrorKind::Overloaded,
        ErrorKind::Deadline,
        ErrorKind::Trapped,
        ErrorKind::Cancelled,
        ErrorKind::Internal,
    ];

    /// The name, as in JSON and in messages.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::NotLinked => "not-linked",
            ErrorKind::NotAllowed => "not-allowed",
            ErrorKind::Unreachable => "unreachable",
            ErrorKind::Overloaded => "overloaded",
            ErrorKind::Deadline => "deadline",
            ErrorKind::Trapped => "trapped",
            ErrorKind::Cancelled => "cancelled",
            ErrorKind::Internal => "internal",
        }
    }

    /// The HTTP status (RFC 9110) with which a gateway reports this kind.
    pub fn http_status(self) -> u16 {
        match self {
            ErrorKind::NotLinked => 404,
            ErrorKind::NotAllowed => 403,
            ErrorKind::Unreachable | ErrorKind::Overloaded => 503,
            ErrorKind::Deadline => 504,
            ErrorKind::Trapped | ErrorKind::Internal => 500,
            ErrorKind::Cancelled => 499,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A failed call: its kind, and a sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct CallError {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// What was tried, on what, why it failed.
    pub message: String,
}

impl CallError {
    /// The longest message that travels, in bytes.
    pub const MAX_MESSAGE: usize = 4096;

    /// A failure of `kind`. A message longer than [`CallError::MAX_MESSAGE`] is cut.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let mut message: String = message.into();
        if message.len() > Self::MAX_MESSAGE {
            let end = (0..=Self::MAX_MESSAGE).rev().find(|at| message.is_char_boundary(*at));
            message.truncate(end.unwrap_or(0));
        }
        Self { kind, message }
    }
}

/// Where a call comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Source {
    /// A component of an app.
    Component(ComponentId),
    /// A node's HTTP server, for a request from outside the mesh.
    Gateway,
    /// A person, through a node's API.
    Operator,
    /// A node that delivers messages to whoever subscribes to them.
    Messages,
    /// A node that asks another one for a secret of a component that it runs.
    Secrets,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Component(id) => id.fmt(f),
            Source::Gateway => f.write_str("the HTTP gateway"),
            Source::Operator => f.write_str("an operator"),
            Source::Messages => f.write_str("the delivery of messages"),
            Source::Secrets => f.write_str("the handover of secrets"),
        }
    }
}

/// The trace that a call is part of (W3C Trace Context, ids in the same sizes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TraceContext {
    /// The trace; zero where there is none.
    pub trace_id: u128,
    /// The span that calls.
    pub parent_span: u64,
}

/// How the payload of a call, and of its reply, is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Encoding {
    /// Component values, written by their types; both sides know the types.
    Values,
    /// WAVE text, from a person who does not have the component: the callee's node reads and
    /// writes it.
    Wave,
    /// A message of this crate for the contract that is called (an HTTP head, a key-value
    /// request), where the contract hands out resources that can't leave their process.
    Message,
    /// WAVE text behind the signature of the person whose call it is ([`PersonProof`]).
    Signed,
}

/// Who calls what: that part of a call's header which is the same for many calls. It is shared,
/// and stands once on each stream ([`crate::wire::FrameEncoder`]).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CallRoute {
    /// Who calls.
    pub source: Source,
    /// The component or provider that is called.
    pub target: ComponentId,
    /// The contract called.
    pub contract: ContractId,
    /// The function of the contract.
    pub function: String,
    /// How the arguments and the result are written.
    pub encoding: Encoding,
}

/// What stands at the head of every call between nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallHeader {
    /// How much time is left, from the moment this was written.
    pub time_left: Duration,
    /// The trace it belongs to.
    pub trace: TraceContext,
    /// Who calls what.
    pub route: Arc<CallRoute>,
    /// How many nodes this call has passed.
    pub hops: u8,
    /// Where it is to be passed on to, when its caller can't reach the callee's node by itself.
    pub relay: Option<Box<Relay>>,
}

/// The way of a call through other nodes than its caller's and its callee's.
///
/// Each node on the way writes down who handed the call to it, whom it has authenticated. So the
/// callee's node knows by itself the last of them only, and the first one by its signature
/// ([`CallProof`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relay {
    /// The node that is to answer the call.
    pub to: NodeId,
    /// The call's number, unlike those of all other calls of its caller that are under way: a node
    /// that is passing it on already refuses it.
    pub call: u64,
    /// The nodes that the call has come from, the caller's first.
    pub path: Vec<NodeId>,
    /// The signature of the caller's node. Messages are without one: they carry their own.
    pub proof: Option<Box<CallProof>>,
}

impl Relay {
    /// How many nodes may pass on one call: the common neighbour of caller and callee, and one
    /// more if that one has just lost its own connection to the callee.
    pub const MAX: usize = 2;
}

impl CallRoute {
    /// The longest name of a function that can be called, in bytes.
    pub const MAX_FUNCTION: usize = 1024;
}

impl CallHeader {
    /// The node that the call comes from, where `from` has handed it over. Of one that was passed
    /// on, its path says so, which the mesh has checked by its [`CallProof`].
    pub fn origin(&self, from: NodeId) -> NodeId {
        let first = self.relay.as_ref().and_then(|relay| relay.path.first());
        first.copied().unwrap_or(from)
    }

    /// How many nodes a call may pass before it is refused as one that goes round in circles.
    pub const MAX_HOPS: u8 = 8;

    /// The longest that a call from another node may take. One that says more has this much: what
    /// another node says must not reach beyond what a clock can count to.
    pub const MAX_TIME_LEFT: Duration = Duration::from_secs(7 * 24 * 3600);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let error = CallError::new(ErrorKind::Trapped, "é".repeat(CallError::MAX_MESSAGE));
        assert!(error.message.len() <= CallError::MAX_MESSAGE);
        assert!(error.message.chars().all(|c| c == 'é'));
    }

    #[test]
    fn the_names_are_those_of_the_json() {
        for kind in ErrorKind::ALL {
            assert!(kind.http_status() >= 400);
            assert!(kind.name().chars().all(|c| c.is_ascii_lowercase() || c == '-'));
        }
    }
}
