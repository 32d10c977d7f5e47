//! What this node heard lately, and how often it tells it.
//!
//! All rumours share one budget: [`BURST`] messages at once, then one each [`EVERY`] (more often among few); each message
//! carries every rumour that is still told. So however much comes up at once, as after a cut, and
//! however many peers send it, a node says no more in a second. (Eugster et al., "Epidemic
//! information dissemination in distributed systems", 2004: rounds of a fixed fan-out reach all of
//! n nodes after about log n of them, whatever is told.)

use std::collections::BTreeMap;
use std::time::Duration;

use wattle_contracts::control::ElementId;

use crate::core::time::Time;

/// To how many peers rumours are told at once.
pub(super) const BURST: u32 = 2;

/// One more is told each.
const EVERY: Duration = Duration::from_millis(500);

/// The same where there are few peers: they can't make a storm, and who changes something twice in
/// a second wants both seen at once.
const EVERY_AMONG_FEW: Duration = Duration::from_millis(20);

/// How long a rumour is given to a peer that asks and knows something else.
const FRESH: Duration = Duration::from_secs(8);

/// How many rumours are kept.
const MOST: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Rumours {
    heard: BTreeMap<ElementId, Rumour>,
    /// How many messages the budget allows now.
    credits: u32,
    /// When it was last added to.
    credited: Time,
    /// Nothing is told before.
    not_before: Time,
    are_few: bool,
}

#[derive(Debug)]
struct Rumour {
    /// To how many more peers it is told.
    left: u32,
    fresh_until: Time,
}

impl Rumours {
    /// Hears something that is to be told to so many peers, the first of them after `wait`.
    pub(super) fn hear(&mut self, now: Time, ids: &[ElementId], times: u32, wait: Duration) {
        self.forget(now);
        if !self.are_told() {
            self.not_before = now.plus(wait);
        }
        for id in ids {
            if self.heard.len() < MOST || self.heard.contains_key(id) {
                self.heard.insert(*id, Rumour { left: times, fresh_until: now.plus(FRESH) });
            }
        }
    }

    /// Whether there are only few peers.
    pub(super) fn among_few(&mut self, are_few: bool) {
        self.are_few = are_few;
    }

    fn every(&self) -> Duration {
        if self.are_few { EVERY_AMONG_FEW } else { EVERY }
    }

    /// Somebody else knows these already: they need telling to one peer fewer. (The feedback of Demers
    /// et al., 1987, section 1.4, by what comes in.)
    pub(super) fn is_known(&mut self, ids: impl IntoIterator<Item = ElementId>) {
        for id in ids {
            if let Some(rumour) = self.heard.get_mut(&id) {
                rumour.left = rumour.left.saturating_sub(1);
            }
        }
    }

    /// What is told, to as many peers as the budget allows now: at most `peers`.
    pub(super) fn tell(&mut self, now: Time, peers: usize) -> (u32, Vec<ElementId>) {
        self.refill(now);
        let peers = u32::try_from(peers).unwrap_or(u32::MAX);
        let most = self.heard.values().map(|rumour| rumour.left).max().unwrap_or(0);
        let count = self.credits.min(peers).min(most);
        if count == 0 || now < self.not_before {
            return (0, Vec::new());
        }
        if self.credits == BURST {
            self.credited = now;
        }
        self.credits -= count;
        let mut told = Vec::new();
        for (id, rumour) in self.heard.iter_mut().filter(|(_, rumour)| rumour.left > 0) {
            rumour.left = rumour.left.saturating_sub(count);
            told.push(*id);
        }
        (count, told)
    }

    fn refill(&mut self, now: Time) {
        let every = self.every();
        let gained = now.since(self.credited).as_micros() / every.as_micros().max(1);
        let gained = u32::try_from(gained).unwrap_or(u32::MAX);
        if self.credited == Time::ZERO || gained >= BURST - self.credits {
            (self.credits, self.credited) = (BURST, now);
        } else {
            self.credits += gained;
            self.credited = self.credited.plus(every * gained);
        }
    }

    /// Tells nobody any more: there is nobody.
    pub(super) fn hush(&mut self) {
        self.heard.values_mut().for_each(|rumour| rumour.left = 0);
    }

    /// What is still told.
    pub(super) fn told(&self) -> impl Iterator<Item = &ElementId> {
        self.heard.iter().filter(|(_, rumour)| rumour.left > 0).map(|(id, _)| id)
    }

    /// Whether something is still told.
    pub(super) fn are_told(&self) -> bool {
        self.told().next().is_some()
    }

    /// When the next is told.
    pub(super) fn next_at(&self) -> Time {
        let allowed =
            if self.credits > 0 { self.credited } else { self.credited.plus(self.every()) };
        if self.are_told() { allowed.max(self.not_before) } else { Time::NEVER }
    }

    /// What was heard lately, told or not.
    pub(super) fn fresh(&self, now: Time) -> impl Iterator<Item = &ElementId> {
        let is_fresh = move |rumour: &Rumour| now < rumour.fresh_until;
        self.heard.iter().filter(move |(_, rumour)| is_fresh(rumour)).map(|(id, _)| id)
    }

    /// Lets go of what is neither told nor fresh.
    pub(super) fn forget(&mut self, now: Time) {
        self.heard.retain(|_, rumour| rumour.left > 0 || now < rumour.fresh_until);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(number: u8) -> ElementId {
        ElementId([number; 16])
    }

    proptest! {
        #[test]
        fn however_much_is_heard_the_budget_holds_and_everything_is_told_often_enough(
            heard in prop::collection::vec((0u64..5_000, 1u8..20, 1u32..8, 0u64..200), 1..30),
        ) {
            let mut heard = heard;
            heard.sort();
            let mut rumours = Rumours::default();
            let (mut now, mut sent, mut coming) = (Time::ZERO, Vec::new(), heard.iter().peekable());
            let mut owed = BTreeMap::<ElementId, u32>::new();
            loop {
                let next = coming.peek().map(|(at, ..)| Time::since_start(Duration::from_millis(1 + at)));
                let due = next.unwrap_or(Time::NEVER).min(rumours.next_at().max(now));
                if due == Time::NEVER {
                    break;
                }
                now = now.max(due);
                if next.is_some_and(|next| next <= now)
                    && let Some((_, number, times, wait)) = coming.next()
                {
                    rumours.hear(now, &[id(*number)], *times, Duration::from_millis(*wait));
                    owed.insert(id(*number), *times);
                }
                let (count, told) = rumours.tell(now, 100);
                sent.extend((0..count).map(|_| now));
                for id in told {
                    let left = owed.get_mut(&id).unwrap();
                    *left = left.saturating_sub(count);
                }
            }
            prop_assert!(owed.values().all(|left| *left == 0), "{owed:?}");
            for (nth, first) in sent.iter().enumerate() {
                let second = first.plus(Duration::from_secs(1));
                let within = sent[nth..].iter().take_while(|at| **at < second).count();
                prop_assert!(within <= BURST as usize + 2, "{sent:?}");
            }
        }
    }

    #[test]
    fn two_changes_in_a_row_are_told_to_few_peers_at_once() {
        let mut rumours = Rumours::default();
        rumours.among_few(true);
        let mut now = Time::since_start(Duration::from_secs(9));
        for number in 0..10 {
            rumours.hear(now, &[id(number)], 2, Duration::ZERO);
            assert_eq!(rumours.tell(now, 1).1, [id(number)]);
            now = now.plus(2 * EVERY_AMONG_FEW);
            assert_eq!(rumours.tell(now, 1).1, [id(number)]);
        }
    }

    #[test]
    fn what_others_are_heard_to_know_is_told_less_often() {
        let mut rumours = Rumours::default();
        let now = Time::since_start(Duration::from_secs(9));
        rumours.hear(now, &[id(1), id(2)], 2, Duration::ZERO);
        rumours.is_known([id(1), id(3)]);
        rumours.is_known([id(1)]);
        assert_eq!(rumours.tell(now, 9), (2, vec![id(2)]));
        assert!(!rumours.are_told());
    }

    #[test]
    fn what_was_told_is_remembered_for_a_while_and_where_nobody_is_nothing_is_told() {
        let mut rumours = Rumours::default();
        let now = Time::since_start(Duration::from_secs(9));
        rumours.hear(now, &[id(1), id(2)], 5, Duration::ZERO);
        assert_eq!(rumours.tell(now, 1), (1, vec![id(1), id(2)]));
        rumours.hush();
        assert_eq!((rumours.next_at(), rumours.are_told()), (Time::NEVER, false));
        assert_eq!(rumours.fresh(now).count(), 2);
        rumours.forget(now.plus(FRESH));
        assert_eq!(rumours.heard.len(), 0);
    }
}
