//! How long a paper is valid.

use std::time::Duration;

use super::UnixMillis;

/// From when until when something is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// Valid from.
    pub from: UnixMillis,
    /// Valid until.
    pub until: UnixMillis,
}

impl Term {
    /// The last part of a term in which it is late: one in so many. Whoever renews has begun
    /// before.
    const LATE_PART: u32 = 4;

    /// All of it.
    pub fn length(self) -> Duration {
        Duration::from_millis(self.until.0.saturating_sub(self.from.0))
    }

    /// What is left of it at `now`.
    pub fn left(self, now: UnixMillis) -> Duration {
        Duration::from_millis(self.until.0.saturating_sub(now.0))
    }

    /// Whether so little is left that somebody should be told.
    pub fn is_late(self, now: UnixMillis) -> bool {
        self.left(now) <= self.length() / Self::LATE_PART
    }
}
