//! How much an outbox keeps, for how long, and how it tries again.

use std::fmt;
use std::time::Duration;

use wattle_contracts::message::Group;

/// The settings of an [`Outbox`](super::Outbox).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How much all messages may take, in bytes.
    pub max_bytes: u64,
    /// How many messages there may be. Each takes some hundred bytes of memory as well.
    pub max_messages: usize,
    /// How old a message may become.
    pub max_age: Duration,
    /// How often a handler may fail before its message is parked.
    pub tries: u32,
    /// How long to wait after the first failure.
    pub first_retry: Duration,
    /// How long to wait at the most between two tries.
    pub last_retry: Duration,
    /// How many messages of a group may be sent, and not known to be settled, or settled while an
    /// older one is not: so many a receiver has to remember.
    pub window: usize,
    /// How many subjects of a group may be under way at once.
    pub lanes: usize,
    /// How many messages go at once.
    pub batch: usize,
    /// After so many bytes no further message goes with the others.
    pub batch_bytes: usize,
    /// How long a node that may have handled messages is waited for before they go to another, when
    /// it is gone or answers nothing but that the component does not run there.
    pub move_after: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_bytes: 256 << 20,
            max_messages: 100_000,
            max_age: Duration::from_secs(7 * 24 * 3600),
            tries: 16,
            first_retry: Duration::from_millis(200),
            last_retry: Duration::from_secs(60),
            window: 256,
            lanes: 16,
            batch: 64,
            batch_bytes: 256 << 10,
            move_after: Duration::from_secs(30),
        }
    }
}

/// There is no room for one more message. Nothing of it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Full {
    /// How many messages wait.
    pub messages: usize,
    /// How much they take, in bytes.
    pub bytes: u64,
    /// How many may.
    pub max_messages: usize,
    /// How much they may take, in bytes.
    pub max_bytes: u64,
    /// The group for which most wait, and how many.
    pub most: Option<(Group, usize)>,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the outbox of this node is full: {} messages ({} bytes) wait, of at most {} ({} bytes)",
            self.messages, self.bytes, self.max_messages, self.max_bytes
        )?;
        if let Some((group, count)) = &self.most {
            write!(f, "; most are for `{group}` ({count}): see `wattle outbox`")?;
        }
        Ok(())
    }
}

impl std::error::Error for Full {}
