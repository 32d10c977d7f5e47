//! Invitations: the middle of the chain from a mesh's authority to a node or an operator. The
//! authority signs one; its private key travels in a token, and signs in the authority's place
//! what the invitation allows.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{HandoverError, Handovers, Signs, UnixMillis};
use crate::id::{AppName, InviteKey, MeshId};
use crate::key::{Purpose, Signature};
use crate::record::Labels;
use crate::wire;

/// As what somebody is invited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Invited {
    /// As a node.
    Node,
    /// As an operator of these apps; as a viewer, where there are none. An admin is made by the
    /// authority alone, by name.
    Operator(BTreeSet<AppName>),
}

/// What an invitation states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitationBody {
    /// To which mesh.
    pub mesh: MeshId,
    /// Whose signature counts as the authority's, as far as this goes.
    pub key: InviteKey,
    /// As what.
    pub invited: Invited,
    /// What a node that came by this is, whatever it says of itself.
    pub labels: Labels,
    /// How many may come by it.
    pub uses: u32,
    /// Valid from.
    pub issued: UnixMillis,
    /// Who has not come by then does not come by this.
    pub expires: UnixMillis,
    /// How long the paper of a node that came by it is valid; `None` for without end.
    pub papers: Option<Duration>,
}

/// An invitation, signed by a mesh's authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// What it states.
    pub body: InvitationBody,
    /// How the authority came to the key that signed this.
    pub handovers: Handovers,
    signature: Signature,
}

/// Why an invitation does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvitationError {
    /// It is to another mesh.
    #[error("it is to {theirs}, this is {ours}")]
    OtherMesh {
        /// The mesh that it is to.
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
    /// It states more than fits.
    #[error("{0}")]
    OutOfBounds(String),
    /// It can't be written down.
    #[error("it can't be written down: {0}")]
    Malformed(String),
}

impl Invitation {
    /// How many may come by one.
    pub const MAX_USES: u32 = 10_000;

    /// How many labels one may bind, and how many apps it may name.
    pub const MAX_NAMED: usize = 16;

    /// The longest key and the longest value of a label, in bytes.
    pub const MAX_LABEL: usize = 64;

    /// Signs an invitation with the authority's key; the mesh in `body` is the one of that key.
    pub fn sign(authority: &impl Signs, body: InvitationBody) -> Result<Self, InvitationError> {
        let mesh = authority.mesh();
        if body.mesh != mesh {
            return Err(InvitationError::OtherMesh { theirs: body.mesh, ours: mesh });
        }
        check(&body)?;
        let signature = authority.key().sign(Purpose::Invitation, &signed_bytes(&body)?);
        Ok(Self { body, handovers: authority.handovers().clone(), signature })
    }

    /// Checks that it is to `mesh`, that its authority signed it, and that it is in bounds.
    pub fn verify(&self, mesh: MeshId) -> Result<(), InvitationError> {
        if self.body.mesh != mesh {
            return Err(InvitationError::OtherMesh { theirs: self.body.mesh, ours: mesh });
        }
        check(&self.body)?;
        let bytes = signed_bytes(&self.body)?;
        let authority = self.handovers.authority(mesh)?;
        match self.signature.verifies(authority.as_bytes(), Purpose::Invitation, &bytes) {
            true => Ok(()),
            false => Err(InvitationError::BadSignature(mesh)),
        }
    }
}

fn check(body: &InvitationBody) -> Result<(), InvitationError> {
    let error = |why: String| Err(InvitationError::OutOfBounds(why));
    if body.uses == 0 || body.uses > Invitation::MAX_USES {
        return error(format!("an invitation has 1 to {} uses", Invitation::MAX_USES));
    }
    let fits = |text: &String| !text.is_empty() && text.len() <= Invitation::MAX_LABEL;
    let max = Invitation::MAX_NAMED;
    if body.labels.len() > max || !body.labels.iter().all(|(key, value)| fits(key) && fits(value)) {
        let longest = Invitation::MAX_LABEL;
        return error(format!("an invitation binds at most {max} labels of 1 to {longest} bytes"));
    }
    match &body.invited {
        Invited::Operator(_) if !body.labels.is_empty() => {
            error("an operator has no labels".into())
        }
        Invited::Operator(apps) if apps.len() > max => {
            error(format!("an operator is one of at most {max} apps"))
        }
        _ => Ok(()),
    }
}

fn signed_bytes(body: &InvitationBody) -> Result<Vec<u8>, InvitationError> {
    wire::encode(body).map_err(|error| InvitationError::Malformed(error.to_string()))
}
