//! When a node's clock strikes. A real node looks every so often whether anything is due; here that
//! is worked out before, and the looks at which nothing would be done are left out. What is done is
//! done at the same moments.

use std::time::Duration;

use wattle_mesh::core::time::Time;

use super::{Cx, Machine, Wake};

/// The looks of one node.
#[derive(Debug)]
pub(super) struct Ticks {
    /// When the first was: the others are whole intervals after it.
    first: Time,
    every: Duration,
    /// The next that is planned, and its number: of several that were planned, the last counts.
    next: Time,
    number: u64,
}

impl Ticks {
    pub(super) fn new(first: Time, every: Duration) -> Self {
        Self { first, every, next: first, number: 0 }
    }

    /// The first look that is later than `now`, and not before `due`.
    fn after(&self, now: Time, due: Time) -> Time {
        let every = self.every.as_micros().max(1);
        let gone = now.since(self.first).as_micros() / every + 1;
        let wanted = due.since(self.first).as_micros().div_ceil(every);
        let count = if now < self.first { wanted } else { gone.max(wanted) };
        let micros = u64::try_from(count.saturating_mul(every)).unwrap_or(u64::MAX);
        self.first.plus(Duration::from_micros(micros))
    }
}

impl Machine {
    /// One of the planned looks; true unless an earlier one was planned since then.
    pub(super) fn is_tick(&self, number: u64) -> bool {
        self.ticks.number == number
    }

    /// After a look: when the next one is worth it.
    pub(super) fn plan_next_tick(&mut self, cx: &mut Cx<'_>) {
        let at = self.ticks.after(cx.now, self.tick_due());
        self.plan_tick_at(at, cx);
    }

    /// After anything else: perhaps earlier than was planned.
    pub(super) fn plan_earlier_tick(&mut self, cx: &mut Cx<'_>) {
        if self.ticks.next <= cx.now.plus(self.ticks.every) {
            return;
        }
        let due = self.tick_due();
        if due < self.ticks.next {
            let at = self.ticks.after(cx.now, due);
            if at < self.ticks.next {
                self.plan_tick_at(at, cx);
            }
        }
    }

    fn plan_tick_at(&mut self, at: Time, cx: &mut Cx<'_>) {
        self.ticks.number += 1;
        self.ticks.next = at;
        cx.wake(at, Wake::Tick(self.ticks.number));
    }

    /// Before this, a look would find nothing to do.
    fn tick_due(&self) -> Time {
        let cells = self.abroad.tick_due().min(self.introducing.tick_due());
        self.links.tick_due().min(self.census_due()).min(cells)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn looks_are_whole_intervals_apart_and_none_is_too_early(
            first in 0u64..300_000, now in 0u64..10_000_000, due in 0u64..10_000_000,
        ) {
            let at = |micros| Time::since_start(Duration::from_micros(micros));
            let ticks = Ticks::new(at(first), Duration::from_millis(200));
            let next = ticks.after(at(now), at(due));
            prop_assert!(next >= at(due) && next >= at(first) && (next > at(now)));
            prop_assert_eq!(next.since(at(first)).as_micros() % 200_000, 0);
            let latest = at(now.max(due).max(first)).plus(Duration::from_millis(200));
            prop_assert!(next <= latest);
        }
    }
}
