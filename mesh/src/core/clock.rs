//! The hybrid logical clock by which records are ordered (Kulkarni, Demirbas, Madappa, Avva and
//! Leone, "Logical Physical Clocks", 2014).
//!
//! A reading stays close to the wall clock and is after everything that its node had seen, so a
//! change that was made knowing another one always wins over it, whatever the wall clocks say.
//!
//! One counter-measure is added to the paper's algorithm: a reading from further ahead than
//! [`MAX_AHEAD`] is refused. Otherwise one node with its clock set to 2100 would drag all others
//! there, and no correct clock could ever win again.
//!
//! A node whose own wall clock was set back goes on after what it has seen, as the paper has it, and
//! others take that: one of them has been there ([`Clock::reached`]). One whose clock was far ahead
//! when it wrote is told so instead: what it wrote next would be held back everywhere else.

use std::time::Duration;

use wattle_contracts::record::Hlc;
use wattle_contracts::trust::UnixMillis;

/// How far ahead of this node's wall clock another's reading may be. A minute: far more than
/// clocks under NTP differ, and little enough that a mistake is over soon.
pub const MAX_AHEAD: Duration = Duration::from_secs(60);

/// A reading from too far in the future.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its clock is {by:?} ahead of this node's, where at most {MAX_AHEAD:?} are allowed")]
pub struct TooFarAhead {
    /// How far ahead of this node's wall clock it is.
    pub by: Duration,
}

/// One node's hybrid logical clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    last: Hlc,
    /// The latest reading of another node that was taken, in milliseconds.
    heard: u64,
}

impl Clock {
    /// A clock that goes on after `highest`: the highest reading in the node's store, so that a
    /// restart, or a wall clock that was set back, never gives a reading twice.
    pub fn after(highest: Option<Hlc>) -> Self {
        Self { last: highest.unwrap_or(Hlc { millis: 0, counter: 0 }), heard: 0 }
    }

    /// Another node's clock has been there: a reading of one that was taken, now or before a restart.
    pub fn hear(&mut self, reading: Hlc) {
        self.heard = self.heard.max(reading.millis);
    }

    /// What time it is at least: by this node's wall clock, or by the clock of another.
    pub fn reached(&self, wall: UnixMillis) -> UnixMillis {
        UnixMillis(wall.0.max(self.heard))
    }

    /// A new reading, after every earlier one and after everything observed.
    pub fn now(&mut self, wall: UnixMillis) -> Hlc {
        self.last = if wall.0 > self.last.millis {
            Hlc { millis: wall.0, counter: 0 }
        } else {
            next(self.last)
        };
        self.last
    }

    /// Takes note of another node's reading: what this clock says from now on is after it.
    pub fn observe(&mut self, wall: UnixMillis, reading: Hlc) -> Result<(), TooFarAhead> {
        check(wall, reading)?;
        self.last = self.last.max(reading);
        Ok(())
    }

    /// The latest reading given or observed.
    pub fn latest(&self) -> Hlc {
        self.last
    }

    /// How far this clock runs ahead of the wall clock. More than [`MAX_AHEAD`] means that others
    /// will not take this node's records until their clocks are there: its wall clock was once
    /// far ahead, and something was written then.
    pub fn ahead(&self, wall: UnixMillis) -> Duration {
        ahead(wall, self.last)
    }
}

/// Whether `reading` is near enough to be taken at `wall`.
pub fn check(wall: UnixMillis, reading: Hlc) -> Result<(), TooFarAhead> {
    let by = ahead(wall, reading);
    if by > MAX_AHEAD { Err(TooFarAhead { by }) } else { Ok(()) }
}

fn ahead(wall: UnixMillis, reading: Hlc) -> Duration {
    Duration::from_millis(reading.millis.saturating_sub(wall.0))
}

fn next(reading: Hlc) -> Hlc {
    match reading.counter.checked_add(1) {
        Some(counter) => Hlc { counter, ..reading },
        None => Hlc { millis: reading.millis.saturating_add(1), counter: 0 },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_reading_from_the_far_future_moves_nothing() {
        let mut clock = Clock::after(None);
        let wall = UnixMillis(1_000_000);
        let far = Hlc { millis: 1_000_000 + 60_001, counter: 0 };
        let by = Duration::from_millis(60_001);
        assert_eq!(clock.observe(wall, far), Err(TooFarAhead { by }));
        assert_eq!(clock.now(wall), Hlc { millis: 1_000_000, counter: 0 });
        let near = Hlc { millis: 1_000_000 + 60_000, counter: 7 };
        clock.observe(wall, near).unwrap();
        assert_eq!(clock.now(wall), Hlc { millis: near.millis, counter: 8 });
        assert_eq!(clock.ahead(wall), MAX_AHEAD);
    }

    #[test]
    fn a_full_counter_carries_over() {
        let full = Hlc { millis: 5, counter: u32::MAX };
        assert_eq!(Clock::after(Some(full)).now(UnixMillis(5)), Hlc { millis: 6, counter: 0 });
    }

    proptest! {
        #[test]
        fn readings_are_after_everything_seen_whatever_the_wall_clock_does(
            start in prop::option::of((0u64..10_000, any::<u32>())),
            steps in prop::collection::vec((any::<bool>(), 0u64..200_000, 0u64..200_000, any::<u32>()), 1..100),
        ) {
            let start = start.map(|(millis, counter)| Hlc { millis, counter });
            let mut clock = Clock::after(start);
            let mut highest = start;
            for (read, wall, millis, counter) in steps {
                let wall = UnixMillis(wall);
                let reading = Hlc { millis, counter };
                if read {
                    let now = clock.now(wall);
                    prop_assert!(Some(now) > highest);
                    prop_assert!(now.millis >= wall.0);
                    highest = Some(now);
                } else if clock.observe(wall, reading).is_ok() {
                    prop_assert!(millis <= wall.0 + 60_000);
                    highest = highest.max(Some(reading));
                }
            }
            // A restart loses nothing.
            prop_assert!(Some(Clock::after(highest).now(UnixMillis(0))) > highest);
        }
    }
}
