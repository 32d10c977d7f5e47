//! What nodes tell each other besides calls: gossip, records, and addresses of others.
//!
//! Messages of the control stream, each encoded by [`crate::wire::encode`] behind a `u32` length.

use serde::{Deserialize, Serialize};

use crate::fact::Fact;
use crate::id::NodeId;
use crate::record::{Record, RecordKey, Version};

/// The longest control message, in bytes.
pub const MAX_CONTROL: usize = 1024 * 1024;

/// A message of the control stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Control {
    /// A message of chitchat, in its own encoding.
    Gossip(Vec<u8>),
    /// Part of the exchange of records.
    Records(RecordMessage),
    /// Nodes that the sender knows, and where it reached them.
    Peers(Vec<PeerHint>),
    /// The node that this fact names leaves on purpose; nobody need suspect it. It says so itself,
    /// or somebody who heard it passes that on to those who did not.
    Goodbye(Box<Fact>),
    /// Whether somebody is there.
    Probe(Probe),
}

/// A question whether a node is there, asked of it or of a third node (as in SWIM: Das, Gupta,
/// Motivala, "SWIM: Scalable Weakly-consistent Infection-style Process Group Membership Protocol",
/// 2002), and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Probe {
    /// Are you there?
    Ping {
        /// Drawn at random by whoever asks.
        nonce: u64,
    },
    /// Is `target` there? To be answered only if it is.
    PingFor {
        /// Drawn at random by whoever asks.
        nonce: u64,
        /// Whom to ask.
        target: NodeId,
    },
    /// Yes.
    Ack {
        /// That of the question.
        nonce: u64,
    },
}

/// A node and addresses at which it may be reached, as multiaddresses in text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerHint {
    /// The node.
    pub node: NodeId,
    /// Its addresses.
    pub addresses: Vec<String>,
}

/// How many buckets the keys of the records are cut into for comparison.
pub const BUCKETS: usize = 256;

/// The exchange that makes two nodes' records equal: new ones are pushed at once, and what a
/// push missed is found by comparing one hash, then the hashes of the buckets, then the versions
/// in the buckets that differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordMessage {
    /// New records, passed on to whoever has not seen them.
    Push(Vec<Record>),
    /// The hash of everything the sender holds.
    Root([u8; 32]),
    /// The hash of each of the [`BUCKETS`] buckets, shortened; the answer to a root that differs.
    Buckets(Vec<u64>),
    /// The versions that the sender holds in some buckets.
    Versions(Vec<BucketVersions>),
    /// Please send these.
    Want(Vec<RecordKey>),
}

/// What the sender holds in one bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketVersions {
    /// Which bucket.
    pub bucket: u8,
    /// Every key in it, and the version held.
    pub versions: Vec<(RecordKey, Version)>,
}
