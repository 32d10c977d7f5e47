//! What an operator shows a node's API: for a while, without the node asking anybody, and without
//! the operator's key being anywhere but with the operator.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Paper, UnixMillis};
use crate::id::{MeshId, NodeId, OperatorKey};
use crate::key::{Purpose, Signature, SigningKey};
use crate::wire;

/// What an access token states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessBody {
    /// The mesh that it is for.
    pub mesh: MeshId,
    /// Whose role its bearer has.
    pub key: OperatorKey,
    /// Valid from.
    pub issued: UnixMillis,
    /// Valid until.
    pub expires: UnixMillis,
    /// Whether its bearer only looks, whatever the key may.
    pub read_only: bool,
    /// The node that it is for; every one, if `None`.
    pub node: Option<NodeId>,
}

/// An access token: an operator's key signed it, and whoever shows it counts as that operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    /// What it states.
    pub body: AccessBody,
    signature: Signature,
}

/// Why an access token is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// It can't be read or written.
    #[error("it is not what wattle token prints: {0}")]
    Malformed(String),
    /// It is for another mesh.
    #[error("it is for {0}, and this node belongs to another mesh")]
    OtherMesh(MeshId),
    /// It is for another node.
    #[error("it is for node {0} alone")]
    OtherNode(NodeId),
    /// The key that it names did not sign it.
    #[error("{0} did not sign it")]
    BadSignature(OperatorKey),
    /// It is valid for longer than any may be.
    #[error("it is valid for {0:?}, and one may be for {max:?} at most", max = AccessToken::MAX_LIFE)]
    TooLong(Duration),
    /// It has run out, or the node's clock is ahead.
    #[error("it ran out {0:?} ago by this node's clock: make another one (wattle token)")]
    Expired(Duration),
    /// It is from the future, or the node's clock is behind.
    #[error("it is only valid in {0:?} by this node's clock; is a clock wrong?")]
    NotYet(Duration),
}

impl AccessToken {
    /// The longest time that one is valid: it is taken back only together with its key.
    pub const MAX_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

    /// The longest text form, in bytes.
    pub const MAX_TEXT: usize = 512;

    const PREFIX: &'static str = "wattle-token:";

    /// Signs one with the key of the operator in `body`.
    pub fn sign(key: &SigningKey, body: AccessBody) -> Result<Self, AccessError> {
        check_life(&body)?;
        let signature = key.sign(Purpose::Access, &signed_bytes(&body)?);
        let token = Self { body, signature };
        token.check_signature()?;
        Ok(token)
    }

    /// Checks that whoever shows this to `node` of `mesh` at `now` has it from the operator that it
    /// names. What that operator may, the records of the mesh tell.
    pub fn verify(&self, mesh: MeshId, node: NodeId, now: UnixMillis) -> Result<(), AccessError> {
        let body = &self.body;
        if body.mesh != mesh {
            // Which one this is, is nothing for strangers.
            return Err(AccessError::OtherMesh(body.mesh));
        }
        if let Some(other) = body.node.filter(|other| *other != node) {
            return Err(AccessError::OtherNode(other));
        }
        check_life(body)?;
        if body.issued > now.plus(Paper::CLOCK_TOLERANCE) {
            return Err(AccessError::NotYet(Duration::from_millis(body.issued.0 - now.0)));
        }
        if body.expires <= now {
            return Err(AccessError::Expired(Duration::from_millis(now.0 - body.expires.0)));
        }
        self.check_signature()
    }

    fn check_signature(&self) -> Result<(), AccessError> {
        let (key, bytes) = (self.body.key, signed_bytes(&self.body)?);
        match self.signature.verifies(key.as_bytes(), Purpose::Access, &bytes) {
            true => Ok(()),
            false => Err(AccessError::BadSignature(key)),
        }
    }

    /// The text form: one line, with a checksum.
    pub fn to_text(&self) -> Result<String, AccessError> {
        let bytes =
            wire::encode(self).map_err(|error| AccessError::Malformed(error.to_string()))?;
        Ok(format!("{}{}", Self::PREFIX, bs58::encode(bytes).with_check().into_string()))
    }

    /// Reads what [`AccessToken::to_text`] wrote. Nothing in it is checked yet.
    pub fn from_text(text: &str) -> Result<Self, AccessError> {
        let malformed = AccessError::Malformed;
        let text = text.trim();
        if text.len() > Self::MAX_TEXT {
            return Err(malformed(format!("it has more than {} bytes", Self::MAX_TEXT)));
        }
        let body = text.strip_prefix(Self::PREFIX).ok_or_else(|| {
            malformed(format!("expected text that starts with `{}`", Self::PREFIX))
        })?;
        let bytes = bs58::decode(body).with_check(None).into_vec().map_err(|_| {
            malformed("a character is wrong or missing (its checksum fails)".into())
        })?;
        wire::decode(&bytes).map_err(|error| malformed(error.to_string()))
    }
}

fn check_life(body: &AccessBody) -> Result<(), AccessError> {
    let life = Duration::from_millis(body.expires.0.saturating_sub(body.issued.0));
    if life > AccessToken::MAX_LIFE { Err(AccessError::TooLong(life)) } else { Ok(()) }
}

fn signed_bytes(body: &AccessBody) -> Result<Vec<u8>, AccessError> {
    wire::encode(body).map_err(|error| AccessError::Malformed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    fn key() -> SigningKey {
        SigningKey::from_seed([3; 32]).unwrap()
    }

    fn mesh() -> MeshId {
        MeshId::from_bytes([1; 32])
    }

    fn node() -> NodeId {
        NodeId::from_bytes([2; 32])
    }

    fn body() -> AccessBody {
        AccessBody {
            mesh: mesh(),
            key: OperatorKey::from_bytes(key().public()),
            issued: NOW,
            expires: NOW.plus(HOUR),
            read_only: false,
            node: None,
        }
    }

    #[test]
    fn it_is_taken_by_its_mesh_and_its_node_while_it_is_valid() {
        let token = AccessToken::sign(&key(), body()).unwrap();
        token.verify(mesh(), node(), NOW).unwrap();
        let elsewhere = token.verify(MeshId::from_bytes([9; 32]), node(), NOW);
        assert_eq!(elsewhere, Err(AccessError::OtherMesh(mesh())));
        // To the millisecond, by the node's clock; only that it is from the future may be a clock's
        // fault.
        token.verify(mesh(), node(), UnixMillis(NOW.plus(HOUR).0 - 1)).unwrap();
        let late = token.verify(mesh(), node(), NOW.plus(HOUR));
        assert!(matches!(late, Err(AccessError::Expired(_))), "{late:?}");
        token.verify(mesh(), node(), UnixMillis(NOW.0 - 600_000)).unwrap();
        let early = token.verify(mesh(), node(), UnixMillis(NOW.0 - 3_600_000));
        assert!(matches!(early, Err(AccessError::NotYet(_))), "{early:?}");

        let here = AccessToken::sign(&key(), AccessBody { node: Some(node()), ..body() }).unwrap();
        here.verify(mesh(), node(), NOW).unwrap();
        let other = here.verify(mesh(), NodeId::from_bytes([7; 32]), NOW);
        assert_eq!(other, Err(AccessError::OtherNode(node())));
    }

    #[test]
    fn whoever_has_one_can_not_make_more_of_it() {
        let token = AccessToken::sign(&key(), AccessBody { read_only: true, ..body() }).unwrap();
        let wider = [
            AccessBody { read_only: false, ..token.body.clone() },
            AccessBody { expires: NOW.plus(9 * HOUR), ..token.body.clone() },
            AccessBody { key: OperatorKey::from_bytes([8; 32]), ..token.body.clone() },
        ];
        for body in wider {
            let forged = AccessToken { body, signature: token.signature };
            let refused = forged.verify(mesh(), node(), NOW);
            assert!(matches!(refused, Err(AccessError::BadSignature(_))), "{refused:?}");
        }
        // Nor is one for long.
        let expires = NOW.plus(AccessToken::MAX_LIFE + HOUR);
        let long = AccessToken::sign(&key(), AccessBody { expires, ..body() });
        assert!(matches!(long, Err(AccessError::TooLong(_))), "{long:?}");
        let other = SigningKey::from_seed([4; 32]).unwrap();
        assert!(AccessToken::sign(&other, body()).is_err());
    }

    proptest! {
        #[test]
        fn it_survives_its_text_and_a_changed_one_is_refused(
            read_only in any::<bool>(),
            there in prop::option::of(any::<[u8; 32]>()),
            life in 1u64..1_000_000,
            at in any::<prop::sample::Index>(),
        ) {
            let node = there.map(NodeId::from_bytes);
            let expires = UnixMillis(NOW.0 + life);
            let body = AccessBody { read_only, node, expires, ..body() };
            let token = AccessToken::sign(&key(), body).unwrap();
            let text = token.to_text().unwrap();
            prop_assert!(text.len() <= AccessToken::MAX_TEXT);
            prop_assert_eq!(&AccessToken::from_text(&text).unwrap(), &token);
            let mut changed: Vec<char> = text.chars().collect();
            let at = at.index(changed.len());
            changed[at] = if changed[at] == '2' { '3' } else { '2' };
            prop_assert!(AccessToken::from_text(&changed.into_iter().collect::<String>()).is_err());
        }

        #[test]
        fn no_text_makes_reading_panic(text in ".*", bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = AccessToken::from_text(&text);
            let body = bs58::encode(bytes).with_check().into_string();
            let _ = AccessToken::from_text(&format!("wattle-token:{body}"));
        }
    }
}
