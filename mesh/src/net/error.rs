//! Why a mesh node does not start, or can't do what it is asked.

use std::io;

use libp2p::Multiaddr;
use wattle_contracts::id::{Digest, IdError, NodeId};
use wattle_contracts::record::RecordError;
use wattle_contracts::trust::PaperError;

/// Why a mesh node does not start or stops.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MeshError {
    /// The node's own paper would not let it in.
    #[error("this node's paper is no good: {0}")]
    Paper(#[from] PaperError),
    /// Another process listens there.
    #[error("can't listen on {address}: the port is in use by another process")]
    PortInUse {
        /// Where.
        address: Multiaddr,
    },
    /// It can't listen there for another reason, or others could not dial it.
    #[error("can't use the address {address}: {why}")]
    Listen {
        /// Where.
        address: Multiaddr,
        /// Why not.
        why: String,
    },
    /// The label that names the node's cell can't.
    #[error("the label `cell` of this node names no cell: {0}")]
    Cell(IdError),
    /// There is no address to listen on.
    #[error("no address to listen on was given")]
    NoAddress,
    /// The transport could not be made.
    #[error("the QUIC transport can't be set up: {0}")]
    Transport(String),
    /// A file or folder of the node can't be used.
    #[error("{what} `{path}` can't be used: {source}")]
    File {
        /// What it is for.
        what: &'static str,
        /// Where it is.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// The records that were kept on disk can't be read.
    #[error("the records kept by this node can't be read: {0}")]
    Store(#[from] StoreError),
    /// Gossip could not be started.
    #[error("gossip can't be started: {0}")]
    Gossip(String),
}

/// Why records could not be read from or written to the disk.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// Why a record was not put.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PutError {
    /// It is not a record that anybody would take.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// It could not be made durable; nobody has seen it.
    #[error("the record could not be written to disk, so nothing was changed: {0}")]
    Store(#[from] StoreError),
    /// The set of records does not take it.
    #[error("the record was not taken: {0}")]
    Refused(String),
    /// The node is shutting down.
    #[error("this node is shutting down")]
    Stopped,
}

/// Why an artifact did not come.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// There is no connection to that node.
    #[error("node {0} can't be reached now")]
    Unreachable(NodeId),
    /// That node does not have it.
    #[error("node {node} does not have {digest}")]
    NotFound {
        /// Who was asked.
        node: NodeId,
        /// For what.
        digest: Digest,
    },
    /// That node is busy with others.
    #[error("node {0} serves as many artifacts as it may")]
    Overloaded(NodeId),
    /// It is larger than was allowed.
    #[error("{digest} has {size} bytes, where at most {limit} are allowed")]
    TooLarge {
        /// Which artifact.
        digest: Digest,
        /// Its size, in bytes, as its holder says.
        size: u64,
        /// The largest allowed, in bytes.
        limit: u64,
    },
    /// The stream broke off, or its bytes are not those that were asked for.
    #[error("fetching {digest} from {node} failed: {source}")]
    Io {
        /// Who was asked.
        node: NodeId,
        /// For what.
        digest: Digest,
        /// Why.
        source: io::Error,
    },
}

/// Why a statement of this node was not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SayError {
    /// It does not fit into a message of gossip.
    #[error("what this node says of itself takes {size} bytes, more than gossip carries")]
    TooLong {
        /// Its size, in bytes.
        size: usize,
    },
    /// So much is waiting to be said that this has to be said again later.
    #[error("gossip is busy; say it again later")]
    Busy,
}

impl SayError {
    pub(super) fn too_long(size: usize) -> Self {
        SayError::TooLong { size }
    }
}
