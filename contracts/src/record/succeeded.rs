//! That a node goes on with a new key, as a record.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Print;
use crate::id::{Digest, NodeId};
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
        check_kept(&self.kept, Some(self.succession.body.kept))
    }
}

/// Whether a list of what stays is the one that was signed.
pub(super) fn check_kept(kept: &BTreeSet<Print>, signed: Option<Digest>) -> Result<(), String> {
    match kept_digest(kept) {
        Ok(digest) if Some(digest) == signed => Ok(()),
        Ok(_) => Err("its list of what stays is not the one that was signed".into()),
        Err(error) => Err(error.to_string()),
    }
}
