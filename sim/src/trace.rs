//! What happened, as one hash: two runs are equal exactly when theirs are.

use std::fmt::{self, Write as _};

use wattle_contracts::id::Digest;
use wattle_mesh::core::time::Time;

/// So much is hashed at once.
const BLOCK: usize = 16 * 1024;

/// The hash of everything that was noted so far.
#[derive(Debug, Clone)]
pub struct Trace {
    hash: Digest,
    events: u64,
    /// What is not hashed yet.
    pending: Text,
}

/// Text that bytes can be put into.
#[derive(Debug, Clone, Default)]
struct Text(Vec<u8>);

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self { hash: Digest::of(b""), events: 0, pending: Text::default() }
    }
}

impl Trace {
    /// Notes an event: what it is, and the bytes that it carries.
    pub fn note(&mut self, event: fmt::Arguments<'_>, bytes: &[u8]) {
        let before = self.pending.0.len();
        let _ = self.pending.write_fmt(event);
        let length = (self.pending.0.len() - before) as u64;
        self.pending.0.extend_from_slice(&length.to_le_bytes());
        self.end(before, bytes);
    }

    /// Notes what happens often, and is told by numbers.
    pub fn note_numbers(&mut self, numbers: &[u64]) {
        let before = self.pending.0.len();
        for number in numbers {
            self.pending.0.extend_from_slice(&number.to_le_bytes());
        }
        self.end(before, &[]);
    }

    /// Notes that a message is sent by a node, or comes to it, over a connection.
    pub fn note_message(&mut self, at: Time, pipe: u64, node: usize, bytes: &[u8]) {
        let before = self.pending.0.len();
        for number in [micros(at), pipe, node as u64] {
            self.pending.0.extend_from_slice(&number.to_le_bytes());
        }
        self.end(before, bytes);
    }

    fn end(&mut self, before: usize, bytes: &[u8]) {
        self.pending.0.extend_from_slice(bytes);
        let length = (self.pending.0.len() - before) as u64;
        self.pending.0.extend_from_slice(&length.to_le_bytes());
        self.events += 1;
        if self.pending.0.len() >= BLOCK {
            self.hash = self.hash();
            self.pending.0.clear();
        }
    }

    /// The hash.
    pub fn hash(&self) -> Digest {
        Digest::of(&[self.hash.as_bytes().as_slice(), &self.pending.0].concat())
    }

    /// How many events were noted.
    pub fn events(&self) -> u64 {
        self.events
    }
}

/// A moment as a number.
pub(crate) fn micros(at: Time) -> u64 {
    u64::try_from(at.elapsed().as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_otherwise_has_another_hash() {
        let hash = |notes: &[(&str, &[u8])]| {
            let mut trace = Trace::default();
            notes.iter().for_each(|(text, bytes)| trace.note(format_args!("{text}"), bytes));
            trace.hash()
        };
        assert_eq!(hash(&[("a", b"b")]), hash(&[("a", b"b")]));
        assert_ne!(hash(&[("a", b"b")]), hash(&[("ab", b"")]));
        assert_ne!(hash(&[("a", b"b")]), hash(&[("a", b""), ("b", b"")]));
    }
}
