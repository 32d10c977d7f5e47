//! What happens next.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use wattle_mesh::core::time::Time;

/// Things to come are kept in slots of so many microseconds, as a power of two.
const WIDTH: u32 = 10;
/// So many slots: more than eight seconds.
const SLOTS: usize = 1 << 13;
const WORDS: usize = SLOTS / 64;
/// So many emptied slots keep their memory.
const SPARE: usize = 1 << 10;

/// Things to come, by time, and within one time in the order in which they were put in: so that
/// nothing is left to chance.
///
/// A calendar queue (Brown, "Calendar queues: a fast O(1) priority queue implementation for the
/// simulation event set problem", 1988): only what comes within the same millisecond is sorted.
#[derive(Debug)]
pub struct Queue<T> {
    /// What comes in this slot, or should have come before it.
    due: BinaryHeap<Reverse<Entry<T>>>,
    /// The slot that is due, counted from the beginning of time.
    slot: u64,
    /// What comes in each of the next slots.
    slots: Vec<Vec<Entry<T>>>,
    /// Which of them hold anything.
    filled: [u64; WORDS],
    /// Memory of slots that were emptied lately, to be used again while it is at hand.
    spare: Vec<Vec<Entry<T>>>,
    /// What comes after those.
    later: BinaryHeap<Reverse<Entry<T>>>,
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
        Self {
            due: BinaryHeap::new(),
            slot: 0,
            slots: Vec::new(),
            filled: [0; WORDS],
            spare: Vec::new(),
            later: BinaryHeap::new(),
            put: 0,
        }
    }
}

impl<T> Queue<T> {
    /// Puts something in, to come at that time.
    pub fn put(&mut self, at: Time, what: T) {
        self.put += 1;
        self.place(Entry { at, order: self.put, what });
    }

    /// Takes the next thing out, if it comes by `end`.
    pub fn take(&mut self, end: Time) -> Option<(Time, T)> {
        while self.due.is_empty() {
            let next = self.next_slot()?;
            if next > slot_of(end) {
                return None;
            }
            self.turn_to(next);
        }
        if self.due.peek()?.0.at > end {
            return None;
        }
        self.due.pop().map(|Reverse(entry)| (entry.at, entry.what))
    }

    fn place(&mut self, entry: Entry<T>) {
        let ahead = slot_of(entry.at).saturating_sub(self.slot);
        if ahead == 0 {
            self.due.push(Reverse(entry));
        } else if ahead < SLOTS as u64 {
            let index = index(slot_of(entry.at));
            if self.slots.is_empty() {
                self.slots.resize_with(SLOTS, Vec::new);
            }
            if let (Some(slot), Some(word)) =
                (self.slots.get_mut(index), self.filled.get_mut(index / 64))
            {
                if slot.capacity() == 0 {
                    *slot = self.spare.pop().unwrap_or_default();
                }
                slot.push(entry);
                *word |= 1 << (index % 64);
            }
        } else {
            self.later.push(Reverse(entry));
        }
    }

    /// The next slot in which anything comes.
    fn next_slot(&self) -> Option<u64> {
        let later = self.later.peek().map(|Reverse(entry)| slot_of(entry.at));
        let soon = self.next_filled();
        soon.into_iter().chain(later).min()
    }

    fn next_filled(&self) -> Option<u64> {
        let from = index(self.slot + 1);
        // From this word on to itself again, whose first bits come last.
        for step in 0..=WORDS {
            let at = (from / 64 + step) % WORDS;
            let first = u64::MAX << (from % 64);
            let mask = match step {
                0 => first,
                WORDS => !first,
                _ => u64::MAX,
            };
            let word = self.filled.get(at)? & mask;
            if word != 0 {
                let found = at * 64 + word.trailing_zeros() as usize;
                let ahead = (found + SLOTS - from) % SLOTS;
                return Some(self.slot + 1 + ahead as u64);
            }
        }
        None
    }

    fn turn_to(&mut self, slot: u64) {
        self.slot = slot;
        let at = index(slot);
        if let (Some(entries), Some(word)) = (self.slots.get_mut(at), self.filled.get_mut(at / 64))
        {
            let mut entries = std::mem::take(entries);
            entries.drain(..).for_each(|entry| self.due.push(Reverse(entry)));
            if entries.capacity() > 0 && self.spare.len() < SPARE {
                self.spare.push(entries);
            }
            *word &= !(1 << (at % 64));
        }
        while self.later.peek().is_some_and(|next| slot_of(next.0.at) < slot + SLOTS as u64)
            && let Some(Reverse(entry)) = self.later.pop()
        {
            self.place(entry);
        }
    }
}

fn slot_of(at: Time) -> u64 {
    u64::try_from(at.elapsed().as_micros()).unwrap_or(u64::MAX) >> WIDTH
}

fn index(slot: u64) -> usize {
    usize::try_from(slot % SLOTS as u64).unwrap_or(0)
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

    use proptest::prelude::*;

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

    proptest! {
        /// As a plain heap gives them, whatever is put in between, however far off, or in the past.
        #[test]
        fn the_order_is_that_of_a_heap(
            steps in prop::collection::vec(
                (prop::collection::vec((0u32..30, 0u64..1000), 0..6), 0u32..27, any::<bool>()),
                1..80,
            ),
        ) {
            let at = |micros| Time::since_start(Duration::from_micros(micros));
            let (mut queue, mut heap) = (Queue::default(), BinaryHeap::new());
            let (mut now, mut number) = (0u64, 0u64);
            for (puts, step, is_past) in steps {
                for (doublings, more) in puts {
                    number += 1;
                    let when = match is_past {
                        true => now.saturating_sub(1 << doublings),
                        false => now + (1 << doublings) + more,
                    };
                    queue.put(at(when), number);
                    heap.push(Reverse((at(when), number)));
                }
                now += 1 << step;
                loop {
                    let is_due = heap.peek().is_some_and(|Reverse((when, _))| *when <= at(now));
                    let expected = if is_due { heap.pop().map(|Reverse(entry)| entry) } else { None };
                    let came = queue.take(at(now));
                    prop_assert_eq!(came, expected);
                    if came.is_none() {
                        break;
                    }
                }
            }
        }
    }
}
