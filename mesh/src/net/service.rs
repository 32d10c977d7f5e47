//! What the node above lends to the mesh: something that answers calls, and a disk.

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::AsyncRead;
use wattle_contracts::call::{CallError, CallHeader};
use wattle_contracts::id::{Digest, NodeId};

use super::body::BodyStream;
use super::error::StoreError;
use crate::core::records::{Stored, Write};

/// The result of a call that succeeded.
#[derive(Debug, Default)]
pub struct Reply {
    /// The result, written as the call's header says.
    pub payload: Bytes,
    /// What follows the result, where the contract streams something.
    pub body: Option<BodyStream>,
}

impl Reply {
    /// A result without a stream.
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self { payload: payload.into(), body: None }
    }

    /// A result with a stream.
    pub fn streaming(payload: impl Into<Bytes>, body: BodyStream) -> Self {
        Self { payload: payload.into(), body: Some(body) }
    }
}

/// Answers what other nodes ask.
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// Answers a call that `from` has handed over; [`CallHeader::origin`] says which node it comes
    /// from, and that is shown. The future is dropped when the caller gives up, is cut off, or
    /// when the deadline in the header has passed.
    async fn call(
        &self,
        from: NodeId,
        header: CallHeader,
        payload: Bytes,
        body: Option<BodyStream>,
    ) -> Result<Reply, CallError>;

    /// The artifact with this digest, if this node holds it.
    async fn artifact(&self, digest: Digest) -> Option<ArtifactSource>;
}

/// An artifact that this node holds.
pub struct ArtifactSource {
    /// Its size, in bytes.
    pub size: u64,
    /// Its bytes.
    pub reader: Box<dyn AsyncRead + Send + Unpin>,
}

impl std::fmt::Debug for ArtifactSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArtifactSource").field("size", &self.size).finish_non_exhaustive()
    }
}

/// Where this node keeps the records of the mesh. Called on threads that may block.
pub trait RecordStore: Send + Sync + 'static {
    /// Everything that was persisted and can still be read.
    fn load(&self) -> Result<Loaded, StoreError>;

    /// Makes these changes, all of them or none. They are on the disk when this returns.
    fn persist(&self, writes: &[Write]) -> Result<(), StoreError>;
}

/// What was on a disk.
#[derive(Debug, Default)]
pub struct Loaded {
    /// What could be read.
    pub records: Vec<Stored>,
    /// What could not, and why: one line each, for the log.
    pub damaged: Vec<String>,
}
