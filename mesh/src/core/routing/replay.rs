//! Each call that another node has passed on is taken once.
//!
//! Who passes a call on has its bytes, with its caller's signature, and could hand them over again
//! later. So the callee's node remembers which calls it has taken: of each run of each caller's node
//! the highest number and which of the [`WINDOW`] numbers below it came (as in IPsec: RFC 4303,
//! section 3.4.3). What is older than that, or signed too long ago, is refused.
//!
//! Bounds: [`MAX_RUNS`] runs, and [`MAX_OF_ONE`] of one node. Beyond that, of the same node's runs the longest
//! unused is forgotten; for another node's no room is made as long as a call of theirs could come again, and the
//! newcomer is refused. What a restart of this node forgets can be replayed until its signatures are
//! [`MAX_AGE`] old.

use std::collections::BTreeMap;
use std::time::Duration;

use wattle_contracts::id::NodeId;
use wattle_contracts::trust::UnixMillis;

/// How far behind the highest number a call may come.
pub const WINDOW: u64 = 1024;

/// How long after it was signed a call is taken, and how far two clocks may be apart.
pub const MAX_AGE: Duration = Duration::from_secs(15 * 60);

/// How many runs of nodes are remembered.
pub const MAX_RUNS: usize = 4096;

/// How many of one node: it may start anew some times within the age of a call.
pub const MAX_OF_ONE: usize = 16;

/// Nothing of a run that was not used for so long is taken any more, by its age: the last may have been signed
/// this far ahead, and is good for as long again.
const FORGOTTEN: Duration = Duration::from_secs(2 * MAX_AGE.as_secs());

/// Why a call is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It came before, or might have.
    #[error("it has come already")]
    Repeated,
    /// It was signed too long ago, or the clocks are apart.
    #[error("it was signed {0:?} ago by this node's clock; is a clock wrong?")]
    Old(Duration),
    /// It is from the future.
    #[error("it was signed {0:?} ahead of this node's clock; is a clock wrong?")]
    Ahead(Duration),
    /// It was signed before the node that remembers what came was started.
    #[error(
        "it was signed before this node started, and may have come before that: sign it anew, and \
         set the clocks right if that is refused, too"
    )]
    BeforeStart,
    /// So many came that no more can be remembered.
    #[error("so many came that no more can be told apart for now")]
    TooMany,
}

impl Refusal {
    /// Whether something that was signed at `at` is taken at `now`.
    pub(super) fn check_age(now: UnixMillis, at: UnixMillis) -> Result<(), Self> {
        let apart = Duration::from_millis(now.0.abs_diff(at.0));
        match apart > MAX_AGE {
            true if at < now => Err(Self::Old(apart)),
            true => Err(Self::Ahead(apart)),
            false => Ok(()),
        }
    }
}

/// The calls that were taken.
#[derive(Debug, Default)]
pub struct Taken {
    runs: BTreeMap<(NodeId, u64), Window>,
}

#[derive(Debug)]
struct Window {
    highest: u64,
    /// A bit for each number, by its remainder.
    came: [u64; (WINDOW / 64) as usize],
    used: UnixMillis,
}

impl Taken {
    /// Takes the call `number` of the run `run` of `caller`, signed at `at`; at `now`.
    pub fn take(
        &mut self,
        now: UnixMillis,
        caller: NodeId,
        run: u64,
        at: UnixMillis,
        number: u64,
    ) -> Result<(), Refusal> {
        Refusal::check_age(now, at)?;
        if !self.runs.contains_key(&(caller, run)) {
            self.make_room(now, caller)?;
        }
        let fresh = || Window { highest: number, came: [0; (WINDOW / 64) as usize], used: now };
        let window = self.runs.entry((caller, run)).or_insert_with(fresh);
        window.used = window.used.max(now);
        window.take(number)
    }

    fn make_room(&mut self, now: UnixMillis, caller: NodeId) -> Result<(), Refusal> {
        let own = self.runs.range((caller, 0)..=(caller, u64::MAX));
        let (count, oldest) = (own.clone().count(), own.min_by_key(|(_, window)| window.used));
        let oldest = oldest.filter(|_| count >= MAX_OF_ONE).map(|(run, _)| *run);
        oldest.and_then(|run| self.runs.remove(&run));
        if self.runs.len() >= MAX_RUNS {
            self.runs.retain(|_, window| window.used.plus(FORGOTTEN) >= now);
        }
        if self.runs.len() >= MAX_RUNS { Err(Refusal::TooMany) } else { Ok(()) }
    }
}

impl Window {
    fn take(&mut self, number: u64) -> Result<(), Refusal> {
        if self.highest.saturating_sub(number) >= WINDOW {
            return Err(Refusal::Repeated);
        }
        // What the window now moves over did not come yet.
        let moved = number.saturating_sub(self.highest).min(WINDOW);
        for step in 0..moved {
            self.set(number - step, false);
        }
        self.highest = self.highest.max(number);
        match self.set(number, true) {
            true => Err(Refusal::Repeated),
            false => Ok(()),
        }
    }

    /// Notes whether `number` came, and says what was noted before.
    fn set(&mut self, number: u64, came: bool) -> bool {
        let place = number % WINDOW;
        let mask = 1u64 << (place % 64);
        // The place is less than the window, and so the word is there.
        let Some(word) = self.came.get_mut((place / 64) as usize) else { return true };
        let before = *word & mask != 0;
        *word = if came { *word | mask } else { *word & !mask };
        before
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn node(byte: u8) -> NodeId {
        NodeId::from_bytes([byte; 32])
    }

    proptest! {
        #[test]
        fn no_call_is_taken_twice_and_those_in_order_are_all_taken(
            start in prop::sample::select(vec![0u64, 1, 5_000, u64::MAX / 2]),
            steps in prop::collection::vec((0u64..3_000, any::<bool>()), 1..300),
        ) {
            let (mut taken, mut known) = (Taken::default(), BTreeSet::new());
            let mut highest = start;
            for (step, ahead) in steps {
                let number = match ahead {
                    true => highest + step % 50,
                    false => highest.saturating_sub(step),
                };
                let outcome = taken.take(NOW, node(1), 7, NOW, number);
                let fits = known.is_empty() || highest.saturating_sub(number) < WINDOW;
                let expected = fits && known.insert(number);
                prop_assert_eq!(outcome.is_ok(), expected, "{} of {}", number, highest);
                if outcome.is_ok() {
                    highest = highest.max(number);
                    if known.len() == 1 {
                        highest = number;
                    }
                }
            }
        }
    }

    #[test]
    fn runs_and_callers_are_told_apart_and_old_calls_refused() {
        let mut taken = Taken::default();
        taken.take(NOW, node(1), 7, NOW, 5).unwrap();
        taken.take(NOW, node(1), 8, NOW, 5).unwrap();
        taken.take(NOW, node(2), 7, NOW, 5).unwrap();
        assert_eq!(taken.take(NOW, node(1), 7, NOW, 5), Err(Refusal::Repeated));
        let minutes = |count: u64| UnixMillis(NOW.0 + count * 60_000);
        assert!(matches!(taken.take(minutes(16), node(1), 7, NOW, 6), Err(Refusal::Old(_))));
        assert!(matches!(taken.take(NOW, node(1), 7, minutes(16), 6), Err(Refusal::Ahead(_))));
        taken.take(minutes(14), node(1), 7, NOW, 6).unwrap();
    }

    #[test]
    fn a_node_with_many_runs_forgets_its_own_and_nobody_elses() {
        let mut taken = Taken::default();
        taken.take(NOW, node(2), 0, NOW, 1).unwrap();
        for run in 0..MAX_OF_ONE as u64 {
            taken.take(UnixMillis(NOW.0 + run), node(1), run, NOW, 1).unwrap();
        }
        let later = UnixMillis(NOW.0 + 1_000);
        taken.take(later, node(1), 0, NOW, 2).unwrap();
        taken.take(later, node(1), 99, NOW, 1).unwrap();
        assert_eq!(taken.runs.len(), 1 + MAX_OF_ONE);
        // The longest unused, not the first.
        assert!(taken.runs.contains_key(&(node(1), 0)) && !taken.runs.contains_key(&(node(1), 1)));
        assert_eq!(taken.take(later, node(2), 0, NOW, 1), Err(Refusal::Repeated));
    }

    #[test]
    fn who_comes_when_all_places_are_taken_is_refused_and_nothing_is_forgotten_for_him() {
        let mut taken = Taken::default();
        for number in 0..MAX_RUNS as u64 {
            let mut bytes = [9; 32];
            bytes[..8].copy_from_slice(&(number / 8).to_le_bytes());
            taken.take(NOW, NodeId::from_bytes(bytes), number % 8, NOW, 1).unwrap();
        }
        assert_eq!(taken.take(NOW, node(1), 0, NOW, 1), Err(Refusal::TooMany));
        let mut first = [9; 32];
        first[..8].copy_from_slice(&[0; 8]);
        let first = NodeId::from_bytes(first);
        assert_eq!(taken.take(NOW, first, 0, NOW, 1), Err(Refusal::Repeated));
        // Until nothing of them would be taken any more.
        let late = NOW.plus(FORGOTTEN).plus(Duration::from_millis(1));
        taken.take(late, node(1), 0, late, 1).unwrap();
        assert_eq!(taken.runs.len(), 1);
    }
}
