//! Who belongs to a mesh: its authority signs a paper for each node, or an invitation whose key
//! signs papers in its place; and any node can check that chain without asking anybody.

mod access;
mod handover;
mod invitation;
mod paper;
mod renewal;
mod succession;
mod term;
#[cfg(test)]
mod tests;
mod token;

pub use access::{AccessBody, AccessError, AccessToken};
pub use handover::{Authority, Handover, HandoverBody, HandoverError, Handovers, Signs};
pub use invitation::{Invitation, InvitationBody, InvitationError, Invited};
pub use paper::{Paper, PaperBody, PaperError};
pub use renewal::{Delegation, DelegationBody, DelegationError, Renewal};
pub use succession::{Succession, SuccessionBody, SuccessionError, kept_digest};
pub use term::Term;
pub use token::{Token, TokenError};

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment, in milliseconds since the Unix epoch, as papers and records carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// This moment plus `duration`, or the end of time.
    pub fn plus(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }
}
