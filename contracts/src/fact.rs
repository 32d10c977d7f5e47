//! What a node says of itself in gossip: signed by it, because whoever relays it may lie.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::id::NodeId;
use crate::key::{Purpose, Signature, SigningKey};
use crate::wire::{self, WireError};

/// A signed statement of a node about itself on one topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Who says it.
    pub node: NodeId,
    /// What about, for instance `about` or `load`.
    pub topic: String,
    /// Grows with each statement on this topic, across restarts; an older one is never taken.
    pub sequence: u64,
    /// What is said, encoded.
    pub body: Vec<u8>,
    signature: Signature,
}

impl Fact {
    /// Signs `statement`, by the node whose key this is.
    pub fn sign<T: Serialize>(
        key: &SigningKey,
        topic: &str,
        sequence: u64,
        statement: &T,
    ) -> Result<Self, WireError> {
        let node = NodeId::from_bytes(key.public());
        let body = wire::encode(statement)?;
        let signature = key.sign(Purpose::Fact, &signed_bytes(node, topic, sequence, &body)?);
        Ok(Self { node, topic: topic.into(), sequence, body, signature })
    }

    /// Whether the node it names said it.
    pub fn is_genuine(&self) -> bool {
        signed_bytes(self.node, &self.topic, self.sequence, &self.body)
            .is_ok_and(|bytes| self.signature.verifies(self.node.as_bytes(), Purpose::Fact, &bytes))
    }

    /// The statement itself.
    pub fn statement<T: DeserializeOwned>(&self) -> Result<T, WireError> {
        wire::decode(&self.body)
    }
}

fn signed_bytes(
    node: NodeId,
    topic: &str,
    sequence: u64,
    body: &[u8],
) -> Result<Vec<u8>, WireError> {
    wire::encode(&(node, topic, sequence, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_node_itself_can_say_it() {
        let key = SigningKey::from_seed([2; 32]).unwrap();
        let fact = Fact::sign(&key, "labels", 4, &vec!["a".to_string()]).unwrap();
        assert!(fact.is_genuine());
        assert_eq!(fact.statement::<Vec<String>>().unwrap(), ["a"]);
        for change in [
            |fact: &mut Fact| fact.sequence += 1,
            |fact: &mut Fact| fact.topic.push('x'),
            |fact: &mut Fact| fact.body.push(0),
            |fact: &mut Fact| fact.node = NodeId::from_bytes([9; 32]),
        ] {
            let mut changed = fact.clone();
            change(&mut changed);
            assert!(!changed.is_genuine());
        }
    }
}
