//! A node that goes on with a new key: the old key and the new one sign together that the one
//! follows the other.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::UnixMillis;
use crate::id::{Digest, MeshId, NodeId};
use crate::key::{Purpose, Signature, SigningKey};
use crate::record::Print;
use crate::wire::{self, WireError};

/// What a succession states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuccessionBody {
    /// The node as it was called by its old key, which is worth nothing from now on.
    pub former: NodeId,
    /// The node as it is called from now on.
    pub successor: NodeId,
    /// When it was made.
    pub issued: UnixMillis,
    /// Of which list: what the old key had signed and stays ([`kept_digest`]).
    pub kept: Digest,
}

/// That a node goes on under another key. It proves itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Succession {
    /// What it states.
    pub body: SuccessionBody,
    by_former: Signature,
    by_successor: Signature,
}

/// Why a succession does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SuccessionError {
    /// One of the two did not sign it, or not for this mesh.
    #[error("{0} did not sign, for this mesh, that {1} follows {2}")]
    BadSignature(NodeId, NodeId, NodeId),
    /// Nobody follows itself.
    #[error("{0} can't follow itself")]
    Itself(NodeId),
    /// It can't be written down.
    #[error("it can't be written down: {0}")]
    Malformed(#[from] WireError),
}

impl Succession {
    /// Signs that the node with the key `former` goes on with `successor`. Of what the old key had
    /// signed, `kept` stays.
    pub fn sign(
        mesh: MeshId,
        former: &SigningKey,
        successor: &SigningKey,
        issued: UnixMillis,
        kept: &BTreeSet<Print>,
    ) -> Result<Self, SuccessionError> {
        let [old, new] = [former, successor].map(|key| NodeId::from_bytes(key.public()));
        if old == new {
            return Err(SuccessionError::Itself(old));
        }
        let kept = kept_digest(kept)?;
        let body = SuccessionBody { former: old, successor: new, issued, kept };
        let bytes = signed_bytes(mesh, &body)?;
        let [by_former, by_successor] =
            [former, successor].map(|key| key.sign(Purpose::Succession, &bytes));
        Ok(Self { body, by_former, by_successor })
    }

    /// Checks that both signed it for `mesh`.
    pub fn verify(&self, mesh: MeshId) -> Result<(), SuccessionError> {
        let SuccessionBody { former, successor, .. } = self.body;
        if former == successor {
            return Err(SuccessionError::Itself(former));
        }
        let bytes = signed_bytes(mesh, &self.body)?;
        for (who, signature) in [(former, &self.by_former), (successor, &self.by_successor)] {
            if !signature.verifies(who.as_bytes(), Purpose::Succession, &bytes) {
                return Err(SuccessionError::BadSignature(who, successor, former));
            }
        }
        Ok(())
    }
}

/// Names the list of what stays.
pub fn kept_digest(kept: &BTreeSet<Print>) -> Result<Digest, WireError> {
    Ok(Digest::of(&wire::encode(kept)?))
}

fn signed_bytes(mesh: MeshId, body: &SuccessionBody) -> Result<Vec<u8>, WireError> {
    wire::encode(&(mesh, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> SigningKey {
        SigningKey::from_seed([number; 32]).unwrap()
    }

    #[test]
    fn a_succession_is_signed_by_both_for_one_mesh_with_one_list_of_what_stays() {
        let (mesh, now) = (MeshId::from_bytes([1; 32]), UnixMillis(5));
        let kept = BTreeSet::from([Print([3; 16])]);
        let made = Succession::sign(mesh, &key(1), &key(2), now, &kept).unwrap();
        made.verify(mesh).unwrap();
        assert_eq!(made.body.kept, kept_digest(&kept).unwrap());
        assert!(made.verify(MeshId::from_bytes([2; 32])).is_err());
        for change in [
            |made: &mut Succession| made.body.former = NodeId::from_bytes(key(3).public()),
            |made: &mut Succession| made.body.successor = NodeId::from_bytes(key(3).public()),
            |made: &mut Succession| made.body.kept = Digest::of(b"nothing"),
            |made: &mut Succession| made.by_former = made.by_successor,
            |made: &mut Succession| made.by_successor = made.by_former,
        ] {
            let mut forged = made.clone();
            change(&mut forged);
            assert!(matches!(forged.verify(mesh), Err(SuccessionError::BadSignature(..))));
        }
        assert!(Succession::sign(mesh, &key(1), &key(1), now, &kept).is_err());
    }
}
