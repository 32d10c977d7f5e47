//! A table keyed by call number. Nothing is ever decided by the order in which it is walked.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

pub(super) type Table<T> = HashMap<u64, T, BuildHasherDefault<CallHasher>>;

/// Multiplication by the golden ratio (Knuth, "The Art of Computer Programming" 3, section 6.4).
/// Call numbers only grow and the tables are small, so a peer gains nothing by choosing them.
#[derive(Debug, Default)]
pub(super) struct CallHasher(u64);

impl Hasher for CallHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(26);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Empties `table`, in the order of the calls' numbers.
pub(super) fn drain_sorted<T>(table: &mut Table<T>) -> Vec<(u64, T)> {
    let mut entries: Vec<(u64, T)> = table.drain().collect();
    entries.sort_by_key(|(call, _)| *call);
    entries
}
