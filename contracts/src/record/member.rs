//! What a node says in a record of its own: that it takes part, and up to when it agrees with the
//! others on which keys are left.

use serde::{Deserialize, Serialize};

use crate::id::Digest;
use crate::trust::UnixMillis;

/// A node that takes part. As long as it does, no tombstone that it has not agreed to goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Member {
    /// The last horizon to which everybody had agreed when this was written.
    pub closed: Option<Horizon>,
    /// The horizon that this node proposes.
    pub open: Option<Horizon>,
}

/// A moment in the past, and the keys that outlive it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Horizon {
    /// The moment.
    pub through: UnixMillis,
    /// The hash of every key that was declared by then, and not deleted by then.
    pub survivors: Digest,
}
