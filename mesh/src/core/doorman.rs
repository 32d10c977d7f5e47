//! How many strangers may stand at the door, by where they come from.
//!
//! A connection that is not admitted yet costs memory and a handshake. All of them together are
//! few; so that nobody takes every place, each address has a few of them, and a bucket of tokens
//! (the leaky bucket as a meter, ITU-T I.371) that says how often it may knock. What is known of an
//! address is forgotten when it has been quiet long enough to have its bucket full again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::time::Time;

/// How much one address may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Connections of one address that are not admitted yet.
    pub pending: usize,
    /// How often an address may knock in a row.
    pub burst: u32,
    /// Then, how long it has to wait between two knocks.
    pub every: Duration,
    /// Of how many addresses something is known at once.
    pub addresses: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { pending: 16, burst: 128, every: Duration::from_millis(30), addresses: 4096 }
    }
}

/// Why nobody opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TurnedAway {
    /// So many of this address are there already.
    #[error("too many connections of this address are not admitted yet")]
    Crowd,
    /// This address knocks too often.
    #[error("this address connects too often")]
    TooOften,
    /// Too many addresses knock.
    #[error("too many addresses connect at once")]
    Full,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    pending: usize,
    /// When its bucket is full again.
    full_at: Time,
}

/// Counts knocks from addresses of the kind `A`: what is to count as one has to be one.
#[derive(Debug)]
pub struct Doorman<A> {
    config: Config,
    known: BTreeMap<A, Known>,
}

impl<A: Ord> Doorman<A> {
    /// One who has seen nobody.
    pub fn new(config: Config) -> Self {
        Self { config, known: BTreeMap::new() }
    }

    /// Somebody knocks from `address`: whether it is looked at. If so, [`Doorman::done`] is owed.
    pub fn knock(&mut self, now: Time, address: A) -> Result<(), TurnedAway> {
        if !self.known.contains_key(&address) && self.known.len() >= self.config.addresses {
            self.known.retain(|_, known| known.pending > 0 || known.full_at > now);
            if self.known.len() >= self.config.addresses {
                return Err(TurnedAway::Full);
            }
        }
        let known = self.known.entry(address).or_insert(Known { pending: 0, full_at: now });
        if known.pending >= self.config.pending {
            return Err(TurnedAway::Crowd);
        }
        let full_at = known.full_at.max(now).plus(self.config.every);
        if full_at.since(now) > self.config.every * self.config.burst {
            return Err(TurnedAway::TooOften);
        }
        known.full_at = full_at;
        known.pending += 1;
        Ok(())
    }

    /// Whether a knock from `address` would be one too many, without counting it.
    pub fn is_barred(&self, now: Time, address: &A) -> bool {
        let Config { every, burst, .. } = self.config;
        self.known
            .get(address)
            .is_some_and(|known| known.full_at.max(now).plus(every).since(now) > every * burst)
    }

    /// One that was looked at was admitted, or is gone.
    pub fn done(&mut self, address: &A) {
        if let Some(known) = self.known.get_mut(address) {
            known.pending = known.pending.saturating_sub(1);
        }
    }

    /// Of how many addresses something is known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Time {
        Time::since_start(Duration::from_millis(millis))
    }

    fn small() -> Doorman<u8> {
        let every = Duration::from_millis(100);
        Doorman::new(Config { pending: 2, burst: 4, every, addresses: 8 })
    }

    #[test]
    fn one_address_neither_fills_the_door_nor_knocks_for_ever() {
        let mut doorman = small();
        assert_eq!(doorman.knock(at(0), 1), Ok(()));
        assert_eq!(doorman.knock(at(0), 1), Ok(()));
        assert_eq!(doorman.knock(at(0), 1), Err(TurnedAway::Crowd));
        assert_eq!(doorman.knock(at(0), 2), Ok(()));
        doorman.done(&1);
        assert_eq!(doorman.knock(at(0), 1), Ok(()));
        doorman.done(&1);
        doorman.done(&1);
        assert_eq!(doorman.knock(at(0), 1), Ok(()));
        doorman.done(&1);
        assert_eq!(doorman.knock(at(0), 1), Err(TurnedAway::TooOften));
        assert_eq!(doorman.knock(at(100), 1), Ok(()));
    }

    proptest! {
        #[test]
        fn what_is_known_and_who_waits_stay_in_bounds_and_time_opens_the_door_again(
            knocks in prop::collection::vec((0u8..20, 0u64..50, any::<bool>()), 1..400),
        ) {
            let mut doorman = small();
            let mut pending = BTreeMap::<u8, usize>::new();
            let mut now = 0;
            for (from, later, ends) in knocks {
                now += later;
                let barred = doorman.is_barred(at(now), &from);
                let knocked = doorman.knock(at(now), from);
                match knocked {
                    Ok(()) => *pending.entry(from).or_default() += 1,
                    Err(TurnedAway::TooOften) => prop_assert!(barred),
                    Err(TurnedAway::Crowd | TurnedAway::Full) => {}
                }
                prop_assert!(!(barred && knocked.is_ok()));
                if ends && pending.get(&from).is_some_and(|count| *count > 0) {
                    doorman.done(&from);
                    *pending.entry(from).or_default() -= 1;
                }
                prop_assert!(doorman.len() <= 8);
                prop_assert!(pending.values().all(|count| *count <= 2));
            }
            for (from, count) in pending {
                (0..count).for_each(|_| doorman.done(&from));
            }
            prop_assert_eq!(doorman.knock(at(now + 1000), 200), Ok(()));
        }
    }
}
