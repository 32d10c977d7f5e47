//! What nodes tell each other besides calls: gossip, records, and addresses of others.
//!
//! Messages of the control stream, each encoded by [`crate::wire::encode`] behind a `u32` length.

use serde::{Deserialize, Serialize};

use crate::fact::Fact;
use crate::id::NodeId;
use crate::record::{Hlc, Record};

/// The longest control message, in bytes.
pub const MAX_CONTROL: usize = 1024 * 1024;

/// A message of the control stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Control {
    /// A message of chitchat, in its own encoding.
    Gossip(#[serde(serialize_with = "at_once")] Vec<u8>),
    /// Part of the exchange of records.
    Records(RecordMessage),
    /// Nodes that the sender knows, and where it reached them.
    Peers(Vec<PeerHint>),
    /// The node that this fact names leaves on purpose; nobody need suspect it. It says so itself,
    /// or somebody who heard it passes that on to those who did not.
    Goodbye(Box<Fact>),
    /// Whether somebody is there.
    Probe(Probe),
    /// Two nodes that don't reach each other want to, with the help of one that reaches both.
    Introduce(Introduce),
}

/// As a list of numbers travels, and not one by one.
fn at_once<S: serde::Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_bytes(bytes)
}

/// How two nodes behind NATs come to dial each other at the same moment, so that each one's packets
/// open its own NAT for those of the other (UDP hole punching: Ford, Srisuresh, Kegel,
/// "Peer-to-Peer Communication Across Network Address Translators", 2005).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Introduce {
    /// To a neighbour of both: bring me together with `node`, and tell it where you see me.
    Ask {
        /// Whom to meet.
        node: NodeId,
    },
    /// From that neighbour: `by` has asked for you. Who wants that too, asks for it.
    Wanted {
        /// Who has asked.
        by: NodeId,
    },
    /// From that neighbour, to both once both have asked: dial now.
    Meet {
        /// Whom.
        node: NodeId,
        /// Where the neighbour sees it, as multiaddresses in text.
        addresses: Vec<String>,
    },
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

/// The exchange that makes two nodes' records equal: new ones are pushed at once, and what a push
/// missed is found by comparing one hash, then those of the ranges that differ.
///
/// What is compared are *elements*: the current record of each key, and the changes that lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordMessage {
    /// Records that the sender holds.
    Push {
        /// Those that are current.
        current: Vec<Record>,
        /// Changes that lost against one that was made at the same time.
        lost: Vec<Record>,
    },
    /// The hash of everything the sender holds.
    Root([u8; 32]),
    /// The hashes of what the sender holds in some ranges, each cut into sixteen.
    Ranges(Vec<RangeHashes>),
    /// A tag of each element that the sender holds in some ranges.
    Tags {
        /// What the tags are made with. New for each message, so that nobody can prepare two
        /// elements with one tag.
        salt: u64,
        /// The ranges.
        ranges: Vec<RangeTags>,
    },
    /// The answer to tags: what the two hold differently.
    Differ {
        /// The salt of the tags that are answered.
        salt: u64,
        /// Elements of the sender whose tags were not among those.
        lines: Vec<(ElementId, Hlc)>,
        /// Tags among those of which the sender holds no element: please send these.
        unknown: Vec<RangeTags>,
        /// What the other side lacks, where it is little enough to go along.
        current: Vec<Record>,
        /// The same, of changes that lost.
        lost: Vec<Record>,
    },
    /// Please send these.
    Want(Vec<ElementId>),
    /// The sender holds these, as of then; whoever lacks them may ask.
    Have(Vec<(ElementId, Hlc)>),
}

/// The name of an element: the start of the SHA-256 of its key, for a change that lost also of its
/// version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ElementId(pub [u8; 16]);

/// All elements whose name starts with some hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ElementRange {
    /// How many digits, 15 at most.
    pub digits: u8,
    /// The digits, from the highest bits down; the rest is zero.
    pub path: u64,
}

/// The hash of an empty range: no hash of anything.
pub const NOTHING: [u8; 16] = [0; 16];

/// The hashes of a range that is cut into sixteen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeHashes {
    /// Which range.
    pub range: ElementRange,
    /// The start of the hash of each part; [`NOTHING`] where there is nothing.
    pub parts: [[u8; 16]; 16],
}

/// The tags of all elements in a range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeTags {
    /// Which range.
    pub range: ElementRange,
    /// A tag for each element: the start of the SHA-256 of the salt and the element's hash.
    pub tags: Vec<[u8; 8]>,
}
