//! What somebody without records of his own needs to sign one: a person with a key, beside a node.

use serde::{Deserialize, Serialize};

use super::{Ancestry, Hlc, Record, RecordBody, RecordError, RecordKey, Version};
use crate::key::SigningKey;

/// Where the next record of a key stands in the order of all, by the node that was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// A reading of the node's clock.
    pub at: Hlc,
    /// The record that it takes the place of.
    pub previous: Option<(Version, Ancestry)>,
}

impl Stamp {
    /// Signs a record that stands there.
    pub fn sign(
        &self,
        key: &SigningKey,
        about: RecordKey,
        body: RecordBody,
    ) -> Result<Record, RecordError> {
        let previous = self.previous.as_ref().map(|(version, ancestry)| (*version, ancestry));
        Record::sign_knowing(key, about, self.at, previous, body)
    }
}
