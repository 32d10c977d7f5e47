//! How often, and with how many bytes, calls go along a link: what one call alone does not show.
//!
//! A meter is the generic cell rate algorithm (ITU-T I.371, annex A) in its form of a virtual
//! schedule: it remembers one moment, before which everything that was let through is paid for. So
//! it takes 16 bytes, however many calls it has seen.
//!
//! Over any stretch of time, a meter lets through no more than its rate times that stretch, and
//! what it lets through at once: as much as in [`Meter`]'s window, or one single piece that is
//! larger.

use std::collections::BTreeMap;
use std::time::Duration;

use wattle_contracts::id::NodeId;
use wattle_contracts::record::{Grant, LinkKey, Missing, Rule};

use crate::core::time::Time;

/// How much comes at once where calls leave: as much as in a second.
pub const LEAVING: Duration = Duration::from_secs(1);

/// The same where they arrive. Twice as long: what left evenly may arrive in a bunch.
pub const ARRIVING: Duration = Duration::from_secs(2);

/// How many meters a node keeps before it forgets those that are at rest, which are as good as new.
const MAX_METERS: usize = 4096;

/// A rate that is not to be exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meter {
    /// In nanoseconds since the node started.
    paid_until: u128,
    window: Duration,
}

impl Meter {
    /// A meter that lets through as much at once as in `window`.
    pub fn new(window: Duration) -> Self {
        Self { paid_until: 0, window }
    }

    /// Lets `amount` through if no more than `per_second` have come; else says how long to wait.
    pub fn take(&mut self, now: Time, amount: u64, per_second: u64) -> Result<(), Duration> {
        let now = now.elapsed().as_nanos();
        let cost = u128::from(amount) * 1_000_000_000 / u128::from(per_second.max(1));
        let window = self.window.as_nanos();
        let from = self.paid_until.max(now);
        // A single piece that is larger than the window waits for an empty one.
        let ahead = from - now + cost.min(window);
        if let Some(over) = ahead.checked_sub(window).filter(|over| *over > 0) {
            return Err(Duration::from_nanos(u64::try_from(over).unwrap_or(u64::MAX)));
        }
        self.paid_until = from + cost;
        Ok(())
    }

    fn is_at_rest(&self, now: Time) -> bool {
        self.paid_until <= now.elapsed().as_nanos()
    }
}

/// The meters of a node: one pair for each link that has a rate, and where calls arrive for each
/// link and node that they come from.
#[derive(Debug, Default)]
pub struct Meters {
    known: BTreeMap<(LinkKey, Option<NodeId>), (Meter, Meter)>,
}

impl Meters {
    /// Counts a call of `bytes` along `link`, which grants `grant`; `from` is the node that it came
    /// from, `None` where it leaves. Refuses, and counts nothing, where that is too much.
    pub fn take(
        &mut self,
        now: Time,
        link: &LinkKey,
        from: Option<NodeId>,
        grant: &Grant,
        bytes: u64,
    ) -> Result<(), Missing> {
        if !grant.is_metered() {
            return Ok(());
        }
        let window = if from.is_some() { ARRIVING } else { LEAVING };
        if self.known.len() >= MAX_METERS {
            self.known.retain(|_, (calls, bytes)| !calls.is_at_rest(now) || !bytes.is_at_rest(now));
        }
        let fresh = || (Meter::new(window), Meter::new(window));
        let kept = self.known.entry((link.clone(), from)).or_insert_with(fresh);
        let mut meters = *kept;
        if let Some(rate) = grant.calls_per_second {
            let over = |wait| {
                let what = format!(
                    "the link grants {rate} calls a second; the next may go in {}",
                    shown(wait)
                );
                Missing::new(Rule::CallsPerSecond, what)
            };
            meters.0.take(now, 1, rate.into()).map_err(over)?;
        }
        if let Some(rate) = grant.bytes_per_second {
            let over = |wait| {
                let what = format!(
                    "the link grants {rate} bytes a second; these may go in {}",
                    shown(wait)
                );
                Missing::new(Rule::BytesPerSecond, what)
            };
            meters.1.take(now, bytes, rate).map_err(over)?;
        }
        *kept = meters;
        Ok(())
    }

    /// How many links and nodes are counted.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

fn shown(wait: Duration) -> String {
    format!("{} ms", wait.as_millis().max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Time {
        Time::since_start(Duration::from_millis(millis))
    }

    fn link() -> LinkKey {
        "shop/basket/example:shop/pricing/default".parse().unwrap()
    }

    proptest! {
        /// Over any stretch: the rate times the stretch, and what may come at once.
        #[test]
        fn a_meter_never_lets_more_through_than_its_rate(
            per_second in 1u64..1000,
            steps in prop::collection::vec((0u64..200, 1u64..50), 1..200),
        ) {
            let mut meter = Meter::new(LEAVING);
            let (mut now, mut taken) = (0, Vec::new());
            for (wait, amount) in steps {
                now += wait;
                if meter.take(at(now), amount, per_second).is_ok() {
                    taken.push((now, amount));
                }
            }
            for (first, (since, _)) in taken.iter().enumerate() {
                let mut sum = 0u64;
                for (until, amount) in &taken[first..] {
                    sum += amount;
                    let largest = taken[first..].iter().map(|(_, amount)| *amount).max().unwrap();
                    let most = per_second * (until - since) / 1000 + per_second + largest + 1;
                    prop_assert!(sum <= most, "{sum} of {most} in {} ms", until - since);
                }
            }
        }

        /// Whoever keeps to the rate is never refused.
        #[test]
        fn a_meter_lets_through_what_keeps_to_its_rate(per_second in 1u64..500, calls in 1usize..300) {
            let mut meter = Meter::new(ARRIVING);
            for call in 0..calls as u64 {
                prop_assert_eq!(meter.take(at(call * 1000 / per_second + call), 1, per_second), Ok(()));
            }
        }
    }

    #[test]
    fn a_second_is_let_through_at_once_and_then_a_call_at_a_time() {
        let (mut meters, grant) =
            (Meters::default(), Grant { calls_per_second: Some(10), ..Grant::ALL });
        let mut take = |millis, from| meters.take(at(millis), &link(), from, &grant, 0);
        for _ in 0..10 {
            take(5, None).unwrap();
        }
        let missing = take(5, None).unwrap_err();
        assert_eq!(missing.rule, Rule::CallsPerSecond);
        assert!(
            missing.what.contains("10 calls a second") && missing.what.contains("100 ms"),
            "{missing}"
        );
        take(105, None).unwrap();
        take(106, None).unwrap_err();
        // Where they arrive, each node is counted for itself, and more may come in a bunch.
        for node in [1, 2] {
            for _ in 0..20 {
                take(5, Some(NodeId::from_bytes([node; 32]))).unwrap();
            }
            take(5, Some(NodeId::from_bytes([node; 32]))).unwrap_err();
        }
    }

    #[test]
    fn a_piece_larger_than_a_second_passes_alone_and_is_paid_for() {
        let (mut meters, grant) =
            (Meters::default(), Grant { bytes_per_second: Some(100), ..Grant::ALL });
        let mut take = |millis, bytes| meters.take(at(millis), &link(), None, &grant, bytes);
        take(0, 500).unwrap();
        assert_eq!(take(4_000, 50).unwrap_err().rule, Rule::BytesPerSecond);
        take(4_600, 50).unwrap();
    }

    #[test]
    fn meters_at_rest_are_forgotten_and_the_others_are_not() {
        let (mut meters, grant) =
            (Meters::default(), Grant { calls_per_second: Some(1), ..Grant::ALL });
        let node = |number: u32| {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&number.to_le_bytes());
            NodeId::from_bytes(bytes)
        };
        for number in 0..MAX_METERS as u32 {
            meters.take(at(0), &link(), Some(node(number)), &grant, 0).unwrap();
        }
        for _ in 0..2 {
            let _ = meters.take(at(9_000), &link(), Some(node(0)), &grant, 0);
        }
        assert_eq!(meters.len(), 1);
        assert!(meters.take(at(9_000), &link(), Some(node(0)), &grant, 0).is_err());
        assert!(!meters.is_empty());
    }
}
