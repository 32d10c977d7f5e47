//! What happened, as one hash: two runs are equal exactly when theirs are.

use std::fmt;

use wattle_contracts::id::Digest;

/// The hash of everything that was noted so far.
#[derive(Debug, Clone)]
pub struct Trace {
    hash: Digest,
    events: u64,
}

impl Default for Trace {
    fn default() -> Self {
        Self { hash: Digest::of(b""), events: 0 }
    }
}

impl Trace {
    /// Notes an event: what it is, and the bytes that it carries.
    pub fn note(&mut self, event: fmt::Arguments<'_>, bytes: &[u8]) {
        let text = event.to_string();
        let length = (text.len() as u64).to_le_bytes();
        self.hash = Digest::of(
            &[self.hash.as_bytes().as_slice(), &length, text.as_bytes(), bytes].concat(),
        );
        self.events += 1;
    }

    /// The hash.
    pub fn hash(&self) -> Digest {
        self.hash
    }

    /// How many events were noted.
    pub fn events(&self) -> u64 {
        self.events
    }
}
