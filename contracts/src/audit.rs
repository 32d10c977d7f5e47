//! What a node writes down of what was let in, refused, changed and run: entries in a chain of
//! hashes, so that nobody can change, take out or put in one without it showing.
//!
//! The node keeps the file (`wattle audit`); the mesh carries [`Head`]s, by which other nodes can
//! tell whether a log was cut short.

mod chain;
mod happening;

pub use chain::{Broken, Chain, ENTRY_LIMIT, Entry, Header};
pub use happening::Happening;

use serde::{Deserialize, Serialize};

use crate::id::{Digest, NodeId};
use crate::key::{Purpose, Signature, SigningKey};
use crate::wire;

/// How far a log reaches: the number of its last entry and that entry's hash, which stands for
/// everything before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The number of the last entry, from 1; 0 where there is none yet.
    pub number: u64,
    /// Its hash.
    pub hash: Digest,
}

impl Head {
    /// Signs it, by the node whose log this is.
    pub fn sign(&self, key: &SigningKey) -> Option<Signature> {
        let node = NodeId::from_bytes(key.public());
        Some(key.sign(Purpose::Audit, &self.signed_bytes(node)?))
    }

    /// Whether `node` signed it.
    pub fn is_signed(&self, node: NodeId, signature: &Signature) -> bool {
        self.signed_bytes(node)
            .is_some_and(|bytes| signature.verifies(node.as_bytes(), Purpose::Audit, &bytes))
    }

    fn signed_bytes(&self, node: NodeId) -> Option<Vec<u8>> {
        wire::encode(&(node, self.number, self.hash)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_node_itself_can_sign_how_far_its_log_reaches() {
        let key = SigningKey::from_seed([2; 32]).unwrap();
        let node = NodeId::from_bytes(key.public());
        let head = Head { number: 4, hash: Digest::of(b"x") };
        let signature = head.sign(&key).unwrap();
        assert!(head.is_signed(node, &signature));
        assert!(!Head { number: 5, ..head }.is_signed(node, &signature));
        assert!(!head.is_signed(NodeId::from_bytes([7; 32]), &signature));
    }
}
