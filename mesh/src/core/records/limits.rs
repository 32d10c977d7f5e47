//! How much is kept, and said at once.

/// What a node keeps, and how much it says at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many records, tombstones included.
    pub records: usize,
    /// How many bytes of records, as they travel.
    pub bytes: usize,
    /// The longest message, in bytes. A single record may be longer.
    pub message_bytes: usize,
    /// The most that is said in answer to one message, in bytes. What is left comes in the next
    /// round.
    pub answer_bytes: usize,
    /// How many changes that lost are kept, of all keys. The latest are.
    pub history: usize,
    /// How many of them of one key.
    pub history_per_key: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            records: 200_000,
            bytes: 256 * 1024 * 1024,
            message_bytes: 256 * 1024,
            answer_bytes: 1024 * 1024,
            history: 2_048,
            history_per_key: 8,
        }
    }
}
