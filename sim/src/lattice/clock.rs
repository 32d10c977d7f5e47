//! Clocks that are wrong: how one node measures time, and what it takes the date for.

use std::time::Duration;

use wattle_contracts::trust::UnixMillis;
use wattle_mesh::core::outbox::OutboxTime;
use wattle_mesh::core::time::Time;

/// What a right wall clock shows when a run begins.
pub const BEGINNING: UnixMillis = UnixMillis(1_800_000_000_000);

const MILLION: i128 = 1_000_000;

/// The clocks of one node. Both run too fast by the same share; only the wall clock is set wrong.
#[derive(Debug, Clone, Copy)]
pub struct Clocks {
    /// How far the wall clock is ahead, in milliseconds.
    offset_millis: i64,
    /// By how many millionths both clocks run too fast.
    drift_ppm: i64,
    /// When the node was last started, or the drift last changed.
    since: Time,
    /// What the monotonic clock showed then.
    local: Time,
    /// By how many microseconds the wall clock had drifted then.
    drifted: i128,
}

impl Clocks {
    /// Clocks that are right.
    pub fn right() -> Self {
        let (since, local) = (Time::ZERO, Time::ZERO);
        Self { offset_millis: 0, drift_ppm: 0, since, local, drifted: 0 }
    }

    /// Sets the wall clock, and how fast both run, from `now` on.
    pub fn set(&mut self, now: Time, offset_millis: i64, drift_ppm: i64) {
        (self.local, self.drifted) = (self.local(now), self.drifted(now));
        (self.offset_millis, self.drift_ppm, self.since) = (offset_millis, drift_ppm, now);
    }

    /// The node starts: its monotonic clock begins at zero.
    pub fn restart(&mut self, now: Time) {
        self.drifted = self.drifted(now);
        (self.since, self.local) = (now, Time::ZERO);
    }

    /// What the node's monotonic clock shows.
    pub fn local(&self, now: Time) -> Time {
        if self.drift_ppm == 0 {
            return self.local.plus(now.since(self.since));
        }
        let since = micros(now.since(self.since));
        let gone = since * (MILLION + i128::from(self.drift_ppm)) / MILLION;
        self.local.plus(duration(gone))
    }

    /// When the node's monotonic clock shows `local`: not before `now`.
    pub fn when(&self, now: Time, local: Time) -> Time {
        if local == Time::NEVER {
            return Time::NEVER;
        }
        if self.drift_ppm == 0 {
            return self.since.plus(local.since(self.local)).max(now);
        }
        let rate = MILLION + i128::from(self.drift_ppm);
        let wait = micros(local.since(self.local)) * MILLION;
        let wait = (wait + rate - 1) / rate.max(1);
        self.since.plus(duration(wait)).max(now)
    }

    /// What the node's wall clock shows.
    pub fn wall(&self, now: Time) -> UnixMillis {
        if self.is_right() {
            return BEGINNING.plus(now.elapsed());
        }
        let right = i128::from(BEGINNING.plus(now.elapsed()).0);
        let shown = right + i128::from(self.offset_millis) + self.drifted(now) / 1000;
        UnixMillis(u64::try_from(shown).unwrap_or(0))
    }

    /// For how long the machine has been on, restarts of its node included: what the outbox goes by.
    /// Machines are never off here.
    pub fn age(&self, now: Time) -> OutboxTime {
        if self.is_right() {
            return OutboxTime(u64::try_from(now.elapsed().as_millis()).unwrap_or(u64::MAX));
        }
        let millis = (micros(now.elapsed()) + self.drifted(now)) / 1000;
        OutboxTime(u64::try_from(millis).unwrap_or(0))
    }

    /// As nearly all are, nearly always: what is asked for at every step is quick then.
    fn is_right(&self) -> bool {
        (self.offset_millis, self.drift_ppm, self.drifted) == (0, 0, 0)
    }

    fn drifted(&self, now: Time) -> i128 {
        self.drifted + micros(now.since(self.since)) * i128::from(self.drift_ppm) / MILLION
    }
}

fn micros(time: Duration) -> i128 {
    i128::try_from(time.as_micros()).unwrap_or(i128::MAX)
}

fn duration(micros: i128) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(micros: u64) -> Time {
        Time::since_start(Duration::from_micros(micros))
    }

    #[test]
    fn a_clock_that_is_an_hour_ahead_and_fast_shows_so() {
        let mut clocks = Clocks::right();
        clocks.set(Time::ZERO, 3_600_000, 100);
        let hour = at(3_600_000_000);
        assert_eq!(clocks.wall(hour).0, BEGINNING.0 + 7_200_000 + 360);
        assert_eq!(clocks.local(hour), at(3_600_360_000));
    }

    proptest! {
        #[test]
        fn a_timer_never_rings_early_and_the_clock_never_goes_back(
            changes in prop::collection::vec((1u64..1_000_000, -400i64..400), 1..10),
            wait in 0u64..10_000_000,
        ) {
            let (mut clocks, mut now) = (Clocks::right(), 0);
            for (gap, drift) in changes {
                now += gap;
                let before = clocks.local(at(now));
                clocks.set(at(now), 0, drift);
                prop_assert_eq!(clocks.local(at(now)), before);
            }
            let due = clocks.local(at(now)).plus(Duration::from_micros(wait));
            let rings = clocks.when(at(now), due);
            prop_assert!(clocks.local(rings) >= due);
            prop_assert!(rings.since(at(now)) <= Duration::from_micros(wait + wait / 1000 + 2));
        }
    }
}
