//! What the set of records tells its driver.

use std::sync::Arc;

use wattle_contracts::control::RecordMessage;
use wattle_contracts::id::NodeId;
use wattle_contracts::record::{Record, RecordError, RecordKey, Version};

use crate::core::clock::TooFarAhead;
use crate::core::rights::Unentitled;

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Make this durable, with all others of this batch, before doing anything else of it.
    Persist(Write),
    /// The current record of a key is another one now, or there is none any more: its writer turned
    /// out not to be entitled to it.
    Changed {
        /// The key.
        key: RecordKey,
        /// The record that was current before.
        previous: Option<Arc<Record>>,
    },
    /// A change lost against one that was made at the same time.
    Lost {
        /// What it is about.
        key: RecordKey,
        /// Which one lost.
        version: Version,
    },
    /// Send a message to a peer. It may get lost.
    Send {
        /// The peer.
        to: NodeId,
        /// The message.
        message: RecordMessage,
    },
    /// A message was not even looked at: its sender has sent too much that no honest peer sends.
    Ignored {
        /// Who.
        from: NodeId,
    },
    /// Something was not taken. Worth a line in the log and a count.
    Refused {
        /// The peer that sent it; `None` for the node's own store.
        from: Option<NodeId>,
        /// Why.
        reason: Refusal,
    },
}

/// A change of what is on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// This record is current, in the place of any other of its key.
    Current(Arc<Record>),
    /// This change lost, and is kept beside the current record.
    Lost(Arc<Record>),
    /// This change lost, and is no longer kept.
    LostGone(RecordKey, Version),
    /// The record of this key does not count any more, and none takes its place yet.
    CurrentGone(RecordKey),
}

/// A record as it was on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The record.
    pub record: Record,
    /// Whether it is a change that lost.
    pub is_lost: bool,
    /// Whether these are the very bytes that were written here after they had been verified. Then
    /// the signature is not checked again.
    pub is_verified: bool,
}

/// Why a record, or a message about records, is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It is not what its writer signed, or breaks a limit of its own.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// It is from the future. Held back until this node's clock is there.
    #[error("the record of {key} is held back: {why}")]
    TooFarAhead {
        /// What it is about.
        key: RecordKey,
        /// How far.
        why: TooFarAhead,
    },
    /// A newer one is known already.
    #[error("a newer record of {key} is known already, written at {:?}", known.at)]
    Older {
        /// What it is about.
        key: RecordKey,
        /// The version known.
        known: Version,
    },
    /// Its writer signed two different records with one version. The same one of the two is kept
    /// everywhere.
    #[error("the writer of {key} signed two different records with one version")]
    Ambiguous {
        /// What they are about.
        key: RecordKey,
    },
    /// A change that lost is too large for the history.
    #[error(
        "a change of {key} lost against another made at the same time, and is too large to be \
             kept in its history: {size} bytes"
    )]
    LostTooLarge {
        /// What it is about.
        key: RecordKey,
        /// Its size, in bytes.
        size: usize,
    },
    /// This node holds as much as it may.
    #[error("the record of {key} does not fit: this node holds {records} records of {bytes} bytes")]
    Full {
        /// What it is about.
        key: RecordKey,
        /// How many records are held.
        records: usize,
        /// How many bytes they have.
        bytes: usize,
    },
    /// Its writer has summed up too many other cells since.
    #[error(
        "the record of {key} is not kept: {writer} has written those of other cells since, and is in one"
    )]
    TooManyCells {
        /// What it is about.
        key: RecordKey,
        /// Who wrote it.
        writer: NodeId,
    },
    /// It says which key follows one of which no paper is written down here, and there are more such.
    #[error(
        "the record of {key} is not taken yet: how the node with the old key came is not known here"
    )]
    Unanchored {
        /// What it is about.
        key: RecordKey,
    },
    /// Its writer may not say this, by what is known here.
    #[error("the record of {key} does not count: {why}")]
    Unentitled {
        /// What it is about.
        key: RecordKey,
        /// Why not.
        why: Box<Unentitled>,
    },
    /// A message that no honest peer sends.
    #[error("a message about records that makes no sense: {0}")]
    Malformed(&'static str),
}

impl Refusal {
    /// Whether no honest peer sends this.
    pub fn is_fault(&self) -> bool {
        match self {
            Refusal::Record(_) | Refusal::Malformed(_) => true,
            // Who has not heard of a revocation passes on what it makes void; but what is forged
            // was so from the beginning.
            Refusal::Unentitled { why, .. } => {
                matches!(**why, Unentitled::Paper(_) | Unentitled::Invitation(_))
            }
            _ => false,
        }
    }
}
