//! That a node goes on with a new key, as a record.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Print;
use crate::id::NodeId;
use crate::trust::{Succession, kept_digest};

/// A node's old key is worth nothing any more, and another one is the node's. Written with the new
/// key; both signed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Succeeded {
    /// By which key it is followed.
    pub succession: Succession,
    /// What stays of that which the old key had signed, as in a revocation: nothing can be added to
    /// it by whoever has the old key.
    pub kept: BTreeSet<Print>,
}

impl Succeeded {
    pub(super) fn is_of(&self, former: NodeId, writer: NodeId) -> bool {
        let body = &self.succession.body;
        body.former == former && body.successor == writer
    }

    pub(super) fn check(&self) -> Result<(), String> {
        match kept_digest(&self.kept) {
            Ok(digest) if digest == self.succession.body.kept => Ok(()),
            Ok(_) => Err("its list of what stays is not the one that was signed".into()),
            Err(error) => Err(error.to_string()),
        }
    }
}
