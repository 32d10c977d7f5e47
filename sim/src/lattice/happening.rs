//! What is to be seen of a run: by the oracles, the report and whoever looks for a cause.

use std::fmt;

use wattle_contracts::call::ErrorKind;
use wattle_contracts::id::{ComponentId, Digest, NodeId};
use wattle_contracts::message::{Group, MessageId};
use wattle_contracts::record::{RecordKey, Version};
use wattle_mesh::core::membership::Standing;
use wattle_mesh::core::time::Time;

/// Something that happened, where and when.
#[derive(Debug, Clone)]
pub struct Happened {
    /// The right time since the run began.
    pub at: Time,
    /// On which node; for what is nobody's own, the first one that is meant.
    pub node: usize,
    /// What.
    pub what: Happening,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// A node starts.
    Started,
    /// A node is down: killed, or stopped in good order.
    Stopped {
        /// Whether it was killed.
        killed: bool,
    },
    /// A node has a connection that it had not.
    Linked(NodeId),
    /// The last connection is gone.
    Unlinked(NodeId),
    /// A node thinks otherwise of another.
    Stands {
        /// Of whom.
        of: NodeId,
        /// How it stands.
        to: Standing,
    },
    /// A node signs a change; that it is done nobody was told yet.
    Wrote {
        /// What about.
        key: RecordKey,
        /// Which.
        version: Version,
    },
    /// Whoever asked for a change was told that it is done.
    Acknowledged {
        /// What about.
        key: RecordKey,
        /// Which.
        version: Version,
        /// Whether it is a delete.
        is_tombstone: bool,
    },
    /// A change was not taken.
    EditRefused {
        /// Why.
        why: String,
        /// Whether that is the disk's fault.
        by_disk: bool,
    },
    /// The current record of a key is another one.
    Current {
        /// Of what.
        key: RecordKey,
        /// Which; `None` where there is none any more.
        version: Option<Version>,
        /// Whether it is a tombstone.
        is_tombstone: bool,
    },
    /// Whoever published a message was told that it is kept.
    Published {
        /// Which.
        id: MessageId,
        /// For whom.
        groups: Vec<Group>,
    },
    /// A message was not taken.
    PublishRefused,
    /// A component was given a message, and is done with it.
    Handled {
        /// For whom.
        group: Group,
        /// Which.
        id: MessageId,
    },
    /// That it was is on the disk.
    HandledKept {
        /// For whom.
        group: Group,
        /// Which.
        id: MessageId,
    },
    /// The publisher's node is done with a message.
    Settled {
        /// For whom.
        group: Group,
        /// Which.
        id: MessageId,
        /// How: handled, expired or parked.
        how: &'static str,
    },
    /// Somebody makes a call.
    CallBegan {
        /// Which.
        call: u64,
        /// Whether it may be made twice.
        may_repeat: bool,
        /// How long it may take.
        time: std::time::Duration,
    },
    /// A component begins to execute a call.
    Executed {
        /// Which.
        call: u64,
    },
    /// A call has ended for who made it.
    CallEnded {
        /// Which.
        call: u64,
        /// How.
        outcome: Result<(), ErrorKind>,
    },
    /// A request from outside of the mesh is answered, where real components run.
    Responded {
        /// As which call it was passed on.
        call: u64,
        /// The status.
        status: u16,
        /// The hash of the body.
        body: Digest,
    },
    /// A real component has executed a call.
    Ran {
        /// Which.
        component: ComponentId,
        /// What was called.
        function: String,
        /// How much it computed.
        fuel: u64,
        /// The hash of what it returned.
        outcome: Result<Digest, ErrorKind>,
    },
    /// A real component has logged something, or ended with this error.
    Said {
        /// Which.
        component: ComponentId,
        /// What.
        text: String,
    },
    /// A component runs here from now on, or no longer does.
    Runs {
        /// Which.
        component: ComponentId,
        /// Whether it does.
        is_on: bool,
    },
    /// Something was refused that no honest node sends.
    Fault(String),
    /// A fault of the scenario begins.
    Begins(String),
    /// A fault of the scenario is over.
    Ends(String),
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => f.write_str("starts"),
            Self::Stopped { killed: true } => f.write_str("is killed"),
            Self::Stopped { killed: false } => f.write_str("stops"),
            Self::Linked(peer) => write!(f, "is connected with {}", peer.short()),
            Self::Unlinked(peer) => write!(f, "has no connection with {} any more", peer.short()),
            Self::Stands { of, to } => write!(f, "thinks {} {}", of.short(), to.name()),
            Self::Wrote { key, version } => write!(f, "writes {key} at {}", stamp(*version)),
            Self::Acknowledged { key, version, is_tombstone } => {
                let what = if *is_tombstone { "deletes" } else { "has" };
                write!(f, "{what} {key} at {}, and says so", stamp(*version))
            }
            Self::EditRefused { why, .. } => write!(f, "refuses a change: {why}"),
            Self::Current { key, version: Some(version), is_tombstone } => {
                let what = if *is_tombstone { "deleted" } else { "current" };
                write!(f, "holds {key} of {} as {what}", stamp(*version))
            }
            Self::Current { key, version: None, .. } => write!(f, "holds nothing for {key}"),
            Self::Published { id, .. } => write!(f, "has published message {}", id.sequence),
            Self::PublishRefused => f.write_str("refuses a message"),
            Self::Handled { group, id } => write!(f, "handles {} for {group}", message(id)),
            Self::HandledKept { group, id } => {
                write!(f, "has written down that {} is handled for {group}", message(id))
            }
            Self::Settled { group, id, how } => {
                write!(f, "is done with {} for {group}: {how}", message(id))
            }
            Self::CallBegan { call, .. } => write!(f, "makes call {call}"),
            Self::Executed { call } => write!(f, "executes call {call}"),
            Self::CallEnded { call, outcome: Ok(()) } => write!(f, "has its answer to call {call}"),
            Self::CallEnded { call, outcome: Err(kind) } => {
                write!(f, "has no answer to call {call}: {kind}")
            }
            Self::Responded { call, status, body } => {
                write!(f, "responds with {status} to the request of call {call}: {body}")
            }
            Self::Ran { component, function, fuel, outcome } => {
                write!(f, "has executed {function} of {component} with {fuel} units of fuel: ")?;
                match outcome {
                    Ok(hash) => write!(f, "{hash}"),
                    Err(kind) => write!(f, "{kind}"),
                }
            }
            Self::Said { component, text } => write!(f, "hears {component} say: {text}"),
            Self::Runs { component, is_on: true } => write!(f, "runs {component}"),
            Self::Runs { component, is_on: false } => write!(f, "no longer runs {component}"),
            Self::Fault(what) => write!(f, "refuses {what}"),
            Self::Begins(what) => write!(f, "begins: {what}"),
            Self::Ends(what) => write!(f, "is over: {what}"),
        }
    }
}

fn stamp(version: Version) -> String {
    format!("{}.{} of {}", version.at.millis, version.at.counter, version.writer.short())
}

fn message(id: &MessageId) -> String {
    format!("message {} of {}", id.sequence, id.publisher.short())
}
