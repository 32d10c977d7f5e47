//! How papers go on without the authority: it delegates, to some nodes, that they renew the papers
//! of those who belong. Whom it does not know, nobody admits by that.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{HandoverError, Handovers, Signs, UnixMillis};
use crate::id::{MeshId, NodeId};
use crate::key::{Purpose, Signature};
use crate::wire;

/// What a delegation states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelegationBody {
    /// In which mesh.
    pub mesh: MeshId,
    /// The node that renews.
    pub renewer: NodeId,
    /// How long a paper is valid from its renewal on.
    pub papers: Duration,
    /// Valid from.
    pub issued: UnixMillis,
    /// What it renews later does not count.
    pub expires: UnixMillis,
}

/// The right of one node to renew papers, signed by a mesh's authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegation {
    /// What it states.
    pub body: DelegationBody,
    /// How the authority came to the key that signed this.
    pub handovers: Handovers,
    signature: Signature,
}

/// Why a delegation does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DelegationError {
    /// It is for another mesh.
    #[error("it is for {theirs}, this is {ours}")]
    OtherMesh {
        /// The mesh that it is for.
        theirs: MeshId,
        /// This one.
        ours: MeshId,
    },
    /// The mesh's authority did not sign it.
    #[error("it is not signed by the authority of {0}")]
    BadSignature(MeshId),
    /// The key that signed it is not the authority's.
    #[error(transparent)]
    Handover(#[from] HandoverError),
    /// A paper of no time is none.
    #[error("it gives papers that are valid for less than a second")]
    NoTime,
    /// It can't be written down.
    #[error("it can't be written down: {0}")]
    Malformed(String),
}

impl Delegation {
    /// Signs a delegation with the authority's key; the mesh in `body` is the one of that key.
    pub fn sign(authority: &impl Signs, body: DelegationBody) -> Result<Self, DelegationError> {
        let mesh = authority.mesh();
        if body.mesh != mesh {
            return Err(DelegationError::OtherMesh { theirs: body.mesh, ours: mesh });
        }
        body.check()?;
        let signature = authority.key().sign(Purpose::Delegation, &body.signed_bytes()?);
        Ok(Self { body, handovers: authority.handovers().clone(), signature })
    }

    /// Checks that it is for `mesh`, and that its authority signed it.
    pub fn verify(&self, mesh: MeshId) -> Result<(), DelegationError> {
        if self.body.mesh != mesh {
            return Err(DelegationError::OtherMesh { theirs: self.body.mesh, ours: mesh });
        }
        self.body.check()?;
        let bytes = self.body.signed_bytes()?;
        let authority = self.handovers.authority(mesh)?;
        match self.signature.verifies(authority.as_bytes(), Purpose::Delegation, &bytes) {
            true => Ok(()),
            false => Err(DelegationError::BadSignature(mesh)),
        }
    }
}

impl DelegationBody {
    fn check(&self) -> Result<(), DelegationError> {
        match self.papers < Duration::from_secs(1) {
            true => Err(DelegationError::NoTime),
            false => Ok(()),
        }
    }

    fn signed_bytes(&self) -> Result<Vec<u8>, DelegationError> {
        wire::encode(self).map_err(|error| DelegationError::Malformed(error.to_string()))
    }
}

/// What a renewer added to a paper: it is valid from then on as long as the delegation says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    /// The renewer's right.
    pub delegation: Delegation,
    /// When the paper was renewed.
    pub issued: UnixMillis,
    /// By the renewer, over the paper as well.
    pub(super) signature: Signature,
}

impl Renewal {
    /// Until when the paper is valid by this.
    pub fn expires(&self) -> UnixMillis {
        self.issued.plus(self.delegation.body.papers)
    }

    /// The node that signed it.
    pub fn renewer(&self) -> NodeId {
        self.delegation.body.renewer
    }
}
