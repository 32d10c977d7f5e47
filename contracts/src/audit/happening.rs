//! What can stand in an audit log.

use serde::{Deserialize, Serialize};

use crate::id::{ComponentId, Digest, MeshId, NodeId, OperatorKey, PublisherKey};
use crate::key::Signature;

/// Something that happened on a node. In a log, `what` is its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Happening {
    /// The node was started.
    Started {
        /// The mesh that it belongs to.
        mesh: MeshId,
        /// The version of its software.
        version: String,
    },
    /// The node was told to stop, and did.
    Stopped {
        /// By what.
        by: String,
    },
    /// A node has shown good papers, and is connected.
    Admitted {
        /// The node.
        node: NodeId,
        /// Where it is.
        address: String,
    },
    /// Somebody was not let in.
    Refused {
        /// Who, as far as its key says.
        peer: String,
        /// Why.
        why: String,
    },
    /// A peer does not belong any more, and its connections were cut.
    CutOff {
        /// The node.
        node: NodeId,
        /// Why.
        why: String,
    },
    /// Another node did not let this one in.
    RefusedByPeer {
        /// Which one.
        peer: String,
        /// Why, by its own words.
        why: String,
    },
    /// A record is current now that was not.
    RecordTaken {
        /// What it is about, as `wattle history` takes it.
        key: String,
        /// Which node wrote it.
        writer: NodeId,
        /// When, by the writer's clock, in milliseconds since the Unix epoch.
        written: u64,
        /// Whether it takes back what the key named.
        deletes: bool,
    },
    /// A change lost against another made at the same time.
    RecordLost {
        /// What it is about, as `wattle history` takes it.
        key: String,
        /// Which node wrote it.
        writer: NodeId,
    },
    /// A record, or a message about records, was not taken.
    RecordRefused {
        /// The node that sent it; none if it was on this node's disk.
        #[serde(skip_serializing_if = "Option::is_none")]
        from: Option<NodeId>,
        /// Why.
        why: String,
    },
    /// A component was verified, and runs here.
    ComponentStarted {
        /// The component.
        component: ComponentId,
        /// Which artifact.
        digest: Digest,
        /// Who signed it.
        publisher: PublisherKey,
    },
    /// A component does not run here any more.
    ComponentStopped {
        /// The component.
        component: ComponentId,
    },
    /// A component may not run here any more, and was stopped.
    ComponentForbidden {
        /// The component.
        component: ComponentId,
        /// Which artifact.
        digest: Digest,
        /// Who signed it.
        publisher: PublisherKey,
        /// Why.
        why: String,
    },
    /// A component should run here, and could not be started.
    ComponentFailed {
        /// The component.
        component: ComponentId,
        /// Which artifact.
        digest: Digest,
        /// Why.
        why: String,
    },
    /// Somebody has used the API over the network for more than looking, or has asked it for what
    /// they may not.
    ApiUsed {
        /// Whose token was shown.
        operator: OperatorKey,
        /// The address that it came from.
        from: String,
        /// What was asked for: a method and a path.
        request: String,
        /// How it was answered (HTTP).
        status: u16,
    },
    /// Somebody asked the API over the network for something, and did not get it.
    ApiRefused {
        /// Whose token was shown, as far as that is proven.
        #[serde(skip_serializing_if = "Option::is_none")]
        operator: Option<OperatorKey>,
        /// The address that it came from.
        from: String,
        /// What was asked for: a method and a path.
        request: String,
        /// Why.
        why: String,
    },
    /// A call was not allowed.
    CallDenied {
        /// Who called: a component, or `operator`, `gateway`, `messages`.
        caller: String,
        /// The node that it came from; none if from this one.
        #[serde(skip_serializing_if = "Option::is_none")]
        from: Option<NodeId>,
        /// What was called.
        target: String,
        /// Which rule was missing.
        why: String,
    },
    /// A component has asked for a secret.
    SecretUsed {
        /// The component.
        component: ComponentId,
        /// The name of the secret.
        name: String,
        /// Why it did not get it.
        #[serde(skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// A secret was sealed to a node that could not open it yet.
    SecretHandedOver {
        /// The component that it belongs to.
        component: ComponentId,
        /// The name of the secret.
        name: String,
        /// The node.
        to: NodeId,
    },
    /// Another node's log reached so far.
    Witnessed {
        /// Which node.
        node: NodeId,
        /// The number of its last entry.
        number: u64,
        /// That entry's hash.
        hash: Digest,
    },
    /// Another node's log does not hold what it once held.
    WitnessFailed {
        /// Which node.
        node: NodeId,
        /// What is wrong with it.
        why: String,
    },
    /// How far this log reached just before, signed by the node.
    Checkpoint {
        /// Of the node, over the entry before this one.
        signature: Signature,
    },
    /// Happened again, and was counted only, so that nobody can fill the disk.
    Repeated {
        /// What.
        of: String,
        /// How often.
        times: u64,
    },
    /// Could not be written: the disk failed, or more happened than can be written.
    Lost {
        /// How many entries.
        entries: u64,
    },
    /// The oldest entries were taken out, because the log is as long as it may be.
    Dropped {
        /// The last one that was.
        through: u64,
        /// Its hash.
        hash: Digest,
    },
    /// The log was not as the node had left it.
    Damaged {
        /// What is wrong with it.
        why: String,
    },
}

impl Happening {
    /// What somebody can make happen as often as they like without leaving anything else behind,
    /// told apart by who and where; `None` for everything else.
    pub fn provoked_by(&self) -> Option<String> {
        match self {
            Self::Refused { peer, .. } => Some(format!("refused {peer}")),
            Self::RefusedByPeer { peer, .. } => Some(format!("refused-by-peer {peer}")),
            Self::RecordRefused { from: Some(from), .. } => Some(format!("record-refused {from}")),
            Self::RecordRefused { from: None, .. } => Some("record-refused".into()),
            Self::CallDenied { caller, from: Some(from), target, .. } => {
                Some(format!("call-denied {caller} {target} {from}"))
            }
            Self::CallDenied { caller, from: None, target, .. } => {
                Some(format!("call-denied {caller} {target}"))
            }
            Self::ApiRefused { operator: Some(operator), request, .. } => {
                Some(format!("api-refused {operator} {request}"))
            }
            Self::ApiRefused { operator: None, from, .. } => Some(format!("api-refused {from}")),
            Self::ApiUsed { operator, request, .. } if Self::is_passing(request) => {
                Some(format!("api-used {operator} {request}"))
            }
            Self::SecretUsed { component, name, .. } => {
                Some(format!("secret-used {component} {name}"))
            }
            Self::Admitted { node, .. } => Some(format!("admitted {node}")),
            Self::ComponentFailed { component, .. } => {
                Some(format!("component-failed {component}"))
            }
            _ => None,
        }
    }

    /// Whether a request to the API changes nothing that stays: calls and messages, of which there
    /// may be very many.
    fn is_passing(request: &str) -> bool {
        matches!(request, "POST /v1/calls" | "POST /v1/messages")
    }
}
