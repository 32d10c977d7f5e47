//! What anybody outside can make happen again and again is written a few times, and then counted.

use std::collections::BTreeMap;
use std::time::Duration;

use wattle_contracts::audit::Happening;

/// So many of one kind are written in one [`PERIOD`].
const WRITTEN: u64 = 5;

/// Then they are counted until this is over.
const PERIOD: Duration = Duration::from_secs(60);

/// So many kinds are told apart. A flood under ever new names is one kind.
const KINDS: usize = 256;

/// The name of the kind of those that are not told apart.
const OTHERS: &str = "others";

/// Counts what is provoked from outside.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    kinds: BTreeMap<String, Kind>,
}

#[derive(Debug)]
struct Kind {
    /// When the first one was, as time since the log was opened.
    since: Duration,
    count: u64,
}

impl Throttle {
    /// Whether this one is written.
    pub(super) fn admits(&mut self, now: Duration, happening: &Happening) -> bool {
        let Some(mut name) = happening.provoked_by() else { return true };
        if !self.kinds.contains_key(&name) && self.kinds.len() >= KINDS {
            name = OTHERS.into();
        }
        let kind = self.kinds.entry(name).or_insert(Kind { since: now, count: 0 });
        kind.count = kind.count.saturating_add(1);
        kind.count <= WRITTEN
    }

    /// What was only counted, of the kinds whose time is over; of all, if the log ends.
    pub(super) fn counted(&mut self, now: Duration, ends: bool) -> Vec<Happening> {
        let over = |kind: &Kind| ends || now.saturating_sub(kind.since) >= PERIOD;
        let counted = self.kinds.iter().filter(|(_, kind)| over(kind) && kind.count > WRITTEN);
        let counted = counted
            .map(|(of, kind)| Happening::Repeated { of: of.clone(), times: kind.count - WRITTEN })
            .collect();
        self.kinds.retain(|_, kind| !over(kind));
        counted
    }
}

#[cfg(test)]
mod tests {
    use wattle_contracts::id::OperatorKey;

    use super::*;

    fn refused(peer: usize) -> Happening {
        Happening::Refused { peer: peer.to_string(), why: "no".into() }
    }

    #[test]
    fn a_flood_is_written_as_a_few_entries_and_its_number() {
        let mut throttle = Throttle::default();
        let written = (0..1000).filter(|_| throttle.admits(Duration::ZERO, &refused(1))).count();
        assert_eq!(written as u64, WRITTEN);
        assert!(throttle.counted(Duration::from_secs(59), false).is_empty());
        let counted = throttle.counted(PERIOD, false);
        assert_eq!(counted, [Happening::Repeated { of: "refused 1".into(), times: 995 }]);
        assert!(throttle.counted(PERIOD * 9, true).is_empty());
        assert!(throttle.admits(PERIOD, &refused(1)));
    }

    #[test]
    fn a_flood_under_ever_new_names_is_bounded_too() {
        let mut throttle = Throttle::default();
        let written = (0..10_000).filter(|n| throttle.admits(Duration::ZERO, &refused(*n))).count();
        assert_eq!(written as u64, KINDS as u64 + WRITTEN);
        assert_eq!(throttle.kinds.len(), KINDS + 1);
        let counted = throttle.counted(Duration::ZERO, true);
        assert!(matches!(&*counted, [Happening::Repeated { of, .. }] if of == OTHERS));
    }

    #[test]
    fn what_is_called_over_the_network_is_counted_and_what_is_changed_is_always_written() {
        let mut throttle = Throttle::default();
        let operator = OperatorKey::from_bytes([1; 32]);
        let mut written = |request: &str| {
            let used = || Happening::ApiUsed {
                operator,
                from: "192.0.2.1".into(),
                request: request.into(),
                status: 200,
            };
            (0..100).filter(|_| throttle.admits(Duration::ZERO, &used())).count() as u64
        };
        assert_eq!(written("POST /v1/calls"), WRITTEN);
        assert_eq!(written("POST /v1/records"), 100);
        assert_eq!(written("POST /v1/leave"), 100);
        let mut refused = |operator, request: &str| {
            let from = "192.0.2.1".into();
            let (request, why) = (request.into(), "no".into());
            throttle.admits(Duration::ZERO, &Happening::ApiRefused { operator, from, request, why })
        };
        // Strangers by where they come from; whoever is known by what they asked for.
        assert_eq!((0..100).filter(|n| refused(None, &n.to_string())).count() as u64, WRITTEN);
        assert!(refused(Some(operator), "POST /v1/leave"));
    }

    #[test]
    fn what_people_do_is_always_written() {
        let mut throttle = Throttle::default();
        let stopped = Happening::Stopped { by: "SIGTERM".into() };
        assert!((0..100).all(|_| throttle.admits(Duration::ZERO, &stopped)));
    }
}
