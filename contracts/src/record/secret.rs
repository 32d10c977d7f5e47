//! A secret as a record: one value of one component, sealed to the nodes that may run it
//! ([`crate::secret`]). Every node carries it, and the others see how long it is.

use serde::{Deserialize, Serialize};

use crate::id::NodeId;

/// A sealed secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// The value, encrypted, with its tag.
    pub sealed: Vec<u8>,
    /// The key of that, sealed to each node that may open it.
    pub keys: Vec<SealedKey>,
}

/// A key, sealed to one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedKey {
    /// The node.
    pub node: NodeId,
    /// The sender's share of the exchange (32 bytes), and the encrypted key with its tag.
    pub sealed: Vec<u8>,
}

impl Secret {
    /// The longest value, in bytes.
    pub const MAX_VALUE: usize = 32 * 1024;
    /// The most nodes that it can be sealed to.
    pub const MAX_NODES: usize = 1000;

    /// Checks the bounds; says what is wrong.
    pub fn check(&self) -> Result<(), String> {
        let most = Self::MAX_VALUE + 16;
        if self.sealed.len() > most {
            return Err(format!(
                "a secret of {} bytes, where {most} are allowed",
                self.sealed.len()
            ));
        }
        if self.keys.len() > Self::MAX_NODES || self.keys.iter().any(|key| key.sealed.len() != 80) {
            return Err("its keys are more than there may be, or of another length".into());
        }
        Ok(())
    }

    /// Whether `node` can open it.
    pub fn is_for(&self, node: NodeId) -> bool {
        self.keys.iter().any(|key| key.node == node)
    }
}
