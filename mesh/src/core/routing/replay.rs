//! Each call that another node has passed on is taken once.
//!
//! Who passes a call on has its bytes, with its caller's signature, and could hand them over again
//! later. So the callee's node remembers which calls it has taken: of each run of each caller's node
//! the highest number and which of the [`WINDOW`] numbers below it came (as in IPsec: RFC 4303,
//! section 3.4.3). What is older than that, or signed too long ago, is refused.
//!
//! Bounds: [`MAX_RUNS`] runs. One that is forgotten to make room, or by a restart of this node, can
//! be replayed until its signatures are [`MAX_AGE`] old.

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
    /// Counts uses.
    clock: u64,
}

#[derive(Debug)]
struct Window {
    highest: u64,
    /// A bit for each number, by its remainder.
    came: [u64; (WINDOW / 64) as usize],
    used: u64,
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
        self.clock += 1;
        let used = self.clock;
        if self.runs.len() >= MAX_RUNS && !self.runs.contains_key(&(caller, run)) {
            let oldest = self.runs.iter().min_by_key(|(_, window)| window.used);
            let oldest = oldest.map(|(run, _)| *run);
            oldest.and_then(|run| self.runs.remove(&run));
        }
        let fresh = || Window { highest: number, came: [0; (WINDOW / 64) as usize], used };
        let window = self.runs.entry((caller, run)).or_insert_with(fresh);
        window.used = used;
        window.take(number)
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
    fn runs_are_bounded_and_the_longest_unused_goes() {
        let mut taken = Taken::default();
        for run in 0..MAX_RUNS as u64 {
            taken.take(NOW, node(1), run, NOW, 1).unwrap();
        }
        taken.take(NOW, node(1), 0, NOW, 2).unwrap();
        taken.take(NOW, node(2), 0, NOW, 1).unwrap();
        assert_eq!(taken.runs.len(), MAX_RUNS);
        assert!(taken.runs.contains_key(&(node(1), 0)) && !taken.runs.contains_key(&(node(1), 1)));
    }
}
