//! The numbers of what a node says of itself: an older statement never replaces a newer one, so they
//! must grow, across restarts too.
//!
//! They go by the wall clock, and by one where that stands still or was set back. A machine that comes
//! up with an earlier time than it went down with (many have no battery for their clock) would not be
//! believed until its clock is where it was. So how far the numbers may have gone is written down
//! beforehand, for some minutes at a time, and a restart goes on from there.

use wattle_contracts::trust::UnixMillis;

/// So far ahead is written down, in milliseconds and so in numbers.
const AHEAD: u64 = 10 * 60 * 1000;

/// The numbers of one node.
#[derive(Debug)]
pub struct Sequence {
    last: u64,
    reserved: u64,
}

impl Sequence {
    /// Goes on after what was written down last; zero if nothing ever was.
    pub fn after(reserved: u64) -> Self {
        Self { last: reserved, reserved }
    }

    /// The next number. If there is a second one, it is to be written down at once, in the place of
    /// the one before.
    pub fn next(&mut self, wall: UnixMillis) -> (u64, Option<u64>) {
        self.last = wall.0.max(self.last.saturating_add(1));
        // While there is time: what is written takes a moment to be on the disk.
        let is_due = self.reserved < self.last.saturating_add(AHEAD / 2);
        if is_due {
            self.reserved = self.last.saturating_add(AHEAD);
        }
        (self.last, is_due.then_some(self.reserved))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_grow_whatever_the_clock_does_and_however_often_the_node_starts_anew(
            steps in prop::collection::vec((prop::bool::weighted(0.1), 0u64..10_000_000_000), 1..200),
        ) {
            let (mut kept, mut sequence, mut before) = (0, Sequence::after(0), None);
            for (restarts, wall) in steps {
                if restarts {
                    sequence = Sequence::after(kept);
                }
                let (number, reserve) = sequence.next(UnixMillis(wall));
                prop_assert!(Some(number) > before, "{number} after {before:?}");
                kept = reserve.unwrap_or(kept);
                prop_assert!(kept >= number);
                before = Some(number);
            }
        }
    }

    #[test]
    fn it_is_seldom_written_down() {
        let mut sequence = Sequence::after(0);
        let seconds = 0..3600u64;
        let written = seconds.filter_map(|s| sequence.next(UnixMillis(1 + s * 1000)).1).count();
        assert!((6..=13).contains(&written), "{written} times in an hour");
    }
}
