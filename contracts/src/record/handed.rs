//! That a mesh's authority has a new key, as a record.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Print;
use super::succeeded::check_kept;
use crate::id::{AuthorityKey, NodeId};
use crate::trust::Handovers;

/// The authority's old key is worth nothing any more, and another one is the authority's. Written
/// with the new key; both signed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handed {
    /// From the mesh's first key to the new one.
    pub handovers: Handovers,
    /// The records by the old key that stay, and those by keys that it invited: nothing can be
    /// added to it by whoever has the old key.
    pub kept: BTreeSet<Print>,
}

impl Handed {
    pub(super) fn is_of(&self, former: AuthorityKey, writer: NodeId) -> bool {
        self.handovers.last().is_some_and(|last| {
            last.body.former == former && last.body.successor.as_bytes() == writer.as_bytes()
        })
    }

    pub(super) fn check(&self) -> Result<(), String> {
        check_kept(&self.kept, self.handovers.last().map(|last| last.body.kept))
    }
}
