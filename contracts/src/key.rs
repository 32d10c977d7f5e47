//! Ed25519 keys (RFC 8032) and the one way in which Wattle signs: `ring` over a message that
//! starts with what kind of thing it is, so that a signature made for one can't serve as another.

pub mod remembered;
mod weak;

use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

/// What a signature is for. Its text is the first part of every signed message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A node's paper, signed by the mesh's authority.
    Paper,
    /// A replicated record, signed by its writer.
    Record,
    /// What a node says of itself in gossip.
    Fact,
    /// Durable messages that a third node passes on, signed by the publisher's.
    Delivery,
    /// The answer to those, signed by the node that handled them.
    Receipt,
    /// How far a node's audit log reaches.
    Audit,
    /// A call that a third node passes on, signed by its caller's.
    Call,
    /// An invitation, signed by the mesh's authority.
    Invitation,
    /// What an operator shows a node's API.
    Access,
    /// A call by a person.
    Person,
    /// The right of a node to renew papers, signed by the mesh's authority.
    Delegation,
    /// The renewal of a paper, signed by a node that has that right.
    Renewal,
    /// That a node goes on with a new key, signed by both keys.
    Succession,
    /// That a mesh's authority has a new key, signed by both keys.
    Handover,
}

impl Purpose {
    fn prefix(self) -> &'static [u8] {
        match self {
            Purpose::Paper => b"wattle paper v1\0",
            Purpose::Record => b"wattle record v1\0",
            Purpose::Fact => b"wattle fact v1\0",
            Purpose::Delivery => b"wattle delivery v1\0",
            Purpose::Receipt => b"wattle receipt v1\0",
            Purpose::Audit => b"wattle audit v1\0",
            Purpose::Call => b"wattle call v1\0",
            Purpose::Invitation => b"wattle invitation v1\0",
            Purpose::Access => b"wattle access v1\0",
            Purpose::Person => b"wattle person v1\0",
            Purpose::Delegation => b"wattle delegation v1\0",
            Purpose::Renewal => b"wattle renewal v1\0",
            Purpose::Succession => b"wattle succession v1\0",
            Purpose::Handover => b"wattle handover v1\0",
        }
    }

    fn message(self, body: &[u8]) -> Vec<u8> {
        [self.prefix(), body].concat()
    }
}

/// Why a key could not be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The operating system gave no random bytes.
    #[error("the system's random source gave no bytes for a new key")]
    NoRandomness,
    /// The text or bytes are not a key.
    #[error("not a key: {0}")]
    Malformed(String),
}

/// A private Ed25519 key: a node's, a publisher's, an operator's, an invitation's or a mesh
/// authority's.
pub struct SigningKey {
    seed: [u8; 32],
    pair: Ed25519KeyPair,
}

impl SigningKey {
    /// A new key from the system's random source.
    pub fn generate() -> Result<Self, KeyError> {
        let mut seed = [0u8; 32];
        ring::rand::SecureRandom::fill(&SystemRandom::new(), &mut seed)
            .map_err(|_| KeyError::NoRandomness)?;
        Self::from_seed(seed)
    }

    /// The key with this 32-byte seed (RFC 8032, section 5.1.5).
    pub fn from_seed(seed: [u8; 32]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed)
            .map_err(|error| KeyError::Malformed(error.to_string()))?;
        Ok(Self { seed, pair })
    }

    /// Reads what [`SigningKey::to_text`] wrote.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let body = text
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty() && !line.starts_with('#'))
            .ok_or_else(|| KeyError::Malformed("the file is empty".into()))?;
        let encoded = body.strip_prefix("wattle-private-key:").ok_or_else(|| {
            KeyError::Malformed("expected a line that starts with `wattle-private-key:`".into())
        })?;
        let bytes = bs58::decode(encoded)
            .with_check(None)
            .into_vec()
            .map_err(|error| KeyError::Malformed(format!("bad base58: {error}")))?;
        let seed = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| {
            KeyError::Malformed(format!("expected 32 bytes, found {}", bytes.len()))
        })?;
        Self::from_seed(seed)
    }

    /// The text form that is kept in a file: base58 with a checksum, so that a damaged file is
    /// noticed when it is read and not when a signature fails.
    pub fn to_text(&self) -> String {
        let body = bs58::encode(self.seed).with_check().into_string();
        format!("wattle-private-key:{body}\n")
    }

    /// The seed, for libraries that want the key in their own type.
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// The public half.
    pub fn public(&self) -> [u8; 32] {
        let mut bytes = [0u8; 32];
        for (to, from) in bytes.iter_mut().zip(self.pair.public_key().as_ref()) {
            *to = *from;
        }
        bytes
    }

    /// Signs `body` for `purpose`.
    pub fn sign(&self, purpose: Purpose, body: &[u8]) -> Signature {
        self.sign_raw(&purpose.message(body))
    }

    /// Signs bytes whose domain is fixed by somebody else's format.
    pub(crate) fn sign_raw(&self, message: &[u8]) -> Signature {
        let made = self.pair.sign(message);
        let mut bytes = [0u8; 64];
        for (to, from) in bytes.iter_mut().zip(made.as_ref()) {
            *to = *from;
        }
        Signature(bytes)
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(private)")
    }
}

/// An Ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl Signature {
    /// Whether `public` signed `body` for `purpose`.
    pub fn verifies(&self, public: &[u8; 32], purpose: Purpose, body: &[u8]) -> bool {
        self.verifies_raw(public, &purpose.message(body))
    }

    pub(crate) fn verifies_raw(&self, public: &[u8; 32], message: &[u8]) -> bool {
        let check = || {
            !weak::is_weak(public)
                && UnparsedPublicKey::new(&ED25519, public).verify(message, &self.0).is_ok()
        };
        remembered::or_check(public, message, &self.0, check)
    }
}

impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signature({}..)", hex::encode(self.0.first_chunk::<4>().unwrap_or(&[0; 4])))
    }
}

impl Serialize for Signature {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&hex::encode(self.0))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let bytes = if deserializer.is_human_readable() {
            hex::decode(String::deserialize(deserializer)?).map_err(D::Error::custom)?
        } else {
            Vec::<u8>::deserialize(deserializer)?
        };
        <[u8; 64]>::try_from(bytes.as_slice())
            .map(Signature)
            .map_err(|_| D::Error::custom("a signature has 64 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_text_form_and_a_damaged_one_is_refused() {
        let key = SigningKey::from_seed([7; 32]).unwrap();
        let text = key.to_text();
        assert_eq!(SigningKey::from_text(&text).unwrap().public(), key.public());
        let damaged = text.replacen('a', "b", 1).replacen('3', "4", 1);
        if damaged != text {
            assert!(SigningKey::from_text(&damaged).is_err());
        }
        assert!(SigningKey::from_text("").is_err());
        assert!(SigningKey::from_text("ssh-ed25519 AAAA").is_err());
    }

    #[test]
    fn a_signature_for_one_purpose_is_none_for_another() {
        let key = SigningKey::from_seed([1; 32]).unwrap();
        let signature = key.sign(Purpose::Record, b"body");
        assert!(signature.verifies(&key.public(), Purpose::Record, b"body"));
        assert!(!signature.verifies(&key.public(), Purpose::Fact, b"body"));
        assert!(!signature.verifies(&key.public(), Purpose::Record, b"bodY"));
    }
}
