//! What happens next.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use wattle_mesh::core::time::Time;

/// Things to come, by time, and within one time in the order in which they were put in: so that
/// nothing is left to chance.
#[derive(Debug)]
pub struct Queue<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    put: u64,
}

#[derive(Debug)]
struct Entry<T> {
    at: Time,
    order: u64,
    what: T,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), put: 0 }
    }
}

impl<T> Queue<T> {
    /// Puts something in, to come at that time.
    pub fn put(&mut self, at: Time, what: T) {
        self.put += 1;
        self.heap.push(Reverse(Entry { at, order: self.put, what }));
    }

    /// Takes the next thing out, if it comes by `end`.
    pub fn take(&mut self, end: Time) -> Option<(Time, T)> {
        if self.heap.peek()?.0.at > end {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.what))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn things_come_by_time_and_then_in_the_order_in_which_they_were_put_in() {
        let at = |second| Time::since_start(Duration::from_secs(second));
        let mut queue = Queue::default();
        for (second, what) in [(2, "c"), (1, "a"), (2, "d"), (1, "b"), (3, "e")] {
            queue.put(at(second), what);
        }
        let came: Vec<&str> = std::iter::from_fn(|| queue.take(at(2))).map(|(_, w)| w).collect();
        assert_eq!(came, ["a", "b", "c", "d"]);
    }
}
