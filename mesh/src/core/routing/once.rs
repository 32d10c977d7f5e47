//! Each signed call of a person is taken once.
//!
//! A person has no connection and no numbers of its own: each `wattle call` is a process by itself.
//! So a call carries a random nonce, and the callee's node remembers every nonce for as long as its
//! signature is good. What was signed before the node remembers anything is refused, so that a
//! restart lets nothing in twice.
//!
//! Bounds: [`MAX`] calls in all and [`MAX_OF_ONE`] of one person. Beyond that calls are refused
//! until older ones have run out: nothing is forgotten to make room.

use std::collections::{BTreeMap, BTreeSet};

use wattle_contracts::id::OperatorKey;
use wattle_contracts::trust::UnixMillis;

use super::replay::{MAX_AGE, Refusal};

/// How many calls are remembered.
pub const MAX: usize = 1 << 18;

/// How many of one person.
pub const MAX_OF_ONE: usize = 1 << 16;

/// The calls that were taken.
#[derive(Debug)]
pub struct Once {
    /// What was signed before is refused.
    since: UnixMillis,
    taken: BTreeSet<(UnixMillis, OperatorKey, [u8; 16])>,
    of: BTreeMap<OperatorKey, usize>,
    max: usize,
    max_of_one: usize,
}

impl Once {
    /// One that remembers what comes from `since` on.
    pub fn new(since: UnixMillis) -> Self {
        Self::bounded(since, MAX, MAX_OF_ONE)
    }

    fn bounded(since: UnixMillis, max: usize, max_of_one: usize) -> Self {
        Self { since, taken: BTreeSet::new(), of: BTreeMap::new(), max, max_of_one }
    }

    /// Takes the call of the holder of `key` with this nonce, signed at `at`; at `now`.
    pub fn take(
        &mut self,
        now: UnixMillis,
        key: OperatorKey,
        at: UnixMillis,
        nonce: [u8; 16],
    ) -> Result<(), Refusal> {
        Refusal::check_age(now, at)?;
        if at < self.since {
            return Err(Refusal::BeforeStart);
        }
        self.forget(now);
        let call = (at, key, nonce);
        if self.taken.contains(&call) {
            return Err(Refusal::Repeated);
        }
        if self.taken.len() >= self.max || self.of.get(&key).is_some_and(|n| *n >= self.max_of_one)
        {
            return Err(Refusal::TooMany);
        }
        self.taken.insert(call);
        *self.of.entry(key).or_default() += 1;
        Ok(())
    }

    /// Forgets what would be refused for its age. The clock may be set back after that: what was
    /// forgotten stays refused.
    fn forget(&mut self, now: UnixMillis) {
        while let Some((at, key, _)) = self.taken.first().copied()
            && at.plus(MAX_AGE) < now
        {
            self.taken.pop_first();
            self.since = self.since.max(UnixMillis(at.0.saturating_add(1)));
            if let Some(count) = self.of.get_mut(&key) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.of.remove(&key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn person(byte: u8) -> OperatorKey {
        OperatorKey::from_bytes([byte; 32])
    }

    fn minutes(count: u64) -> UnixMillis {
        UnixMillis(NOW.0 + count * 60_000)
    }

    #[test]
    fn what_was_signed_before_the_node_started_or_too_long_ago_is_refused() {
        let mut once = Once::new(NOW);
        once.take(minutes(1), person(1), NOW, [1; 16]).unwrap();
        let again = once.take(minutes(1), person(1), NOW, [1; 16]);
        assert_eq!(again, Err(Refusal::Repeated));
        let before = UnixMillis(NOW.0 - 1);
        assert_eq!(once.take(NOW, person(1), before, [2; 16]), Err(Refusal::BeforeStart));
        let old = once.take(minutes(16), person(1), NOW, [2; 16]);
        assert!(matches!(old, Err(Refusal::Old(_))), "{old:?}");
        let ahead = once.take(NOW, person(1), minutes(16), [2; 16]);
        assert!(matches!(ahead, Err(Refusal::Ahead(_))), "{ahead:?}");
    }

    #[test]
    fn one_person_can_not_take_the_room_of_all_and_none_is_forgotten_for_another() {
        let mut once = Once::bounded(NOW, 5, 3);
        for nonce in 0..3 {
            once.take(NOW, person(1), NOW, [nonce; 16]).unwrap();
        }
        assert_eq!(once.take(NOW, person(1), NOW, [9; 16]), Err(Refusal::TooMany));
        once.take(NOW, person(2), NOW, [0; 16]).unwrap();
        once.take(NOW, person(3), NOW, [0; 16]).unwrap();
        assert_eq!(once.take(NOW, person(4), NOW, [0; 16]), Err(Refusal::TooMany));
        assert_eq!(once.take(NOW, person(1), NOW, [0; 16]), Err(Refusal::Repeated));
        once.take(minutes(16), person(4), minutes(16), [0; 16]).unwrap();
        assert_eq!((once.taken.len(), once.of.len()), (1, 1));
    }

    proptest! {
        #[test]
        fn no_call_is_taken_twice_whatever_the_clock_does(
            calls in prop::collection::vec((0u8..3, 0u8..4, 0u64..40, 0u64..40), 1..200),
        ) {
            let (mut once, mut known) = (Once::bounded(NOW, 20, 10), HashSet::new());
            for (who, nonce, at, now) in calls {
                let call = (who, nonce, at);
                if once.take(minutes(now), person(who), minutes(at), [nonce; 16]).is_ok() {
                    prop_assert!(known.insert(call), "{:?} was taken twice", call);
                }
                prop_assert!(once.taken.len() <= 20);
                prop_assert!(once.of.values().all(|count| (1..=10).contains(count)));
                prop_assert_eq!(once.of.values().sum::<usize>(), once.taken.len());
            }
        }
    }
}
