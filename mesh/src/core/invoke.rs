//! The life of one call that its link says may be made again.
//!
//! A call is made once; this is for the functions that a link marks `idempotent`, for which
//! once more does no harm:
//!
//! - **Retry.** An attempt that failed for want of a node that answers (not because the callee
//!   said no) is made again, on another node if there is one, after a wait drawn from zero to twice
//!   the last limit (the "full jitter" of Brooker, "Exponential Backoff and Jitter", 2015).
//! - **Hedge**, where the link asks for it. An attempt without an answer for so long is joined by a
//!   second one elsewhere, and the first answer counts (Dean and Barroso, "The Tail at Scale", 2013).
//! - **Silence.** When a node that was asked is not heard from any more, its connection is given up
//!   only after seconds, since a short cut is no reason to lose what is under way. The attempt is
//!   joined by one elsewhere at once.
//! - **Budget.** All of that, for all calls of one target, is at most a tenth more than the calls
//!   made, and a few: when a target is down for everybody, retries must not be what keeps it down
//!   ([`Budget`]; gRPC A6 "retry throttling", Finagle's `RetryBudget`).
//! - **Deadline.** The attempts share the one of the call. No attempt begins after it, and no wait
//!   for the next one passes it.
//!
//! Whoever makes the call asks [`Call::next`] what to do, does it, and reports each attempt that
//! ends with [`Call::ended`]. Attempts under way when the call is over are given up.
//!
//! Bounds: [`MAX_ATTEMPTS`] attempts of one call, [`MAX_BUDGETS`] budgets.

mod budget;
#[cfg(test)]
mod tests;

pub use budget::{Budget, Budgets, MAX_BUDGETS};

use std::time::Duration;

use rand::Rng;
use wattle_contracts::call::ErrorKind;

use super::time::Time;

/// How often one call is made at most.
pub const MAX_ATTEMPTS: u32 = 5;

/// The first wait is at most so long.
pub const FIRST_BACKOFF: Duration = Duration::from_millis(20);

/// No wait is longer.
pub const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// What to do next about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Begin an attempt, on a node that was not tried yet if there is one. The answer to each is
    /// reported under its number.
    Begin {
        /// The number of the attempt.
        attempt: u32,
        /// Whether it joins another one: if every node was tried, there is no use in it, and
        /// [`Call::skipped`] says so.
        hedge: bool,
    },
    /// Wait until an attempt ends, or until then.
    Wait(Time),
    /// Give up all attempts; the error that came last is the call's. There may have been none,
    /// where the deadline has passed.
    GiveUp,
}

/// What the end of an attempt means for its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The call has ended so.
    Over,
    /// It goes on: ask [`Call::next`].
    GoesOn,
}

/// One call.
#[derive(Debug)]
pub struct Call {
    deadline: Time,
    hedge: Option<Duration>,
    begun: u32,
    under_way: u32,
    /// When the next attempt is due.
    due: Due,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// The first, or again after a failure.
    At(Time),
    /// To join one that takes long.
    Hedge(Time),
    Never,
}

impl Call {
    /// A call that has until `deadline`. An attempt that takes longer than `hedge` is joined by
    /// another.
    pub fn new(now: Time, deadline: Time, hedge: Option<Duration>) -> Self {
        Self { deadline, hedge, begun: 0, under_way: 0, due: Due::At(now) }
    }

    /// What to do now.
    pub fn next(&mut self, now: Time, budget: &mut Budget) -> Step {
        if now >= self.deadline {
            return Step::GiveUp;
        }
        let (at, hedge) = match self.due {
            Due::At(at) => (at, false),
            Due::Hedge(at) => (at, true),
            Due::Never if self.under_way == 0 => return Step::GiveUp,
            Due::Never => return Step::Wait(self.deadline),
        };
        if now < at {
            return Step::Wait(at.min(self.deadline));
        }
        let allowed = match self.begun {
            0 => {
                budget.earn();
                true
            }
            MAX_ATTEMPTS.. => false,
            _ => budget.spend(),
        };
        if !allowed {
            self.due = Due::Never;
            return self.next(now, budget);
        }
        let attempt = self.begun;
        self.begun += 1;
        self.under_way += 1;
        self.due = self.hedge.map_or(Due::Never, |hedge| Due::Hedge(now.plus(hedge)));
        Step::Begin { attempt, hedge }
    }

    /// An attempt has ended.
    pub fn ended(
        &mut self,
        now: Time,
        outcome: Result<(), ErrorKind>,
        random: &mut impl Rng,
    ) -> Verdict {
        self.under_way = self.under_way.saturating_sub(1);
        match outcome {
            Err(kind) if may_do_better(kind) => {}
            _ => return Verdict::Over,
        }
        // Others may still answer. If they don't, the last one to fail brings the next.
        if self.under_way == 0 {
            let doubled = FIRST_BACKOFF.saturating_mul(1 << self.begun.saturating_sub(1).min(16));
            let wait = doubled.min(MAX_BACKOFF).mul_f64(random.random_range(0.0..=1.0));
            let at = now.plus(wait);
            self.due = if at < self.deadline { Due::At(at) } else { Due::Never };
        }
        Verdict::GoesOn
    }

    /// None of the nodes that were asked is heard from any more: an attempt elsewhere is due now.
    pub fn unheard(&mut self, now: Time) {
        if self.under_way > 0 {
            self.due = Due::Hedge(now);
        }
    }

    /// There was no other node to join an attempt on; nor will there be in this call.
    pub fn skipped(&mut self, budget: &mut Budget) {
        self.under_way = self.under_way.saturating_sub(1);
        self.begun = self.begun.saturating_sub(1);
        (self.due, self.hedge) = (Due::Never, None);
        budget.give_back();
    }
}

/// Whether another attempt may succeed where one failed so: where no answer came, and not where
/// the answer was no.
fn may_do_better(kind: ErrorKind) -> bool {
    match kind {
        ErrorKind::Unreachable | ErrorKind::Overloaded | ErrorKind::Internal => true,
        ErrorKind::NotLinked
        | ErrorKind::NotAllowed
        | ErrorKind::Deadline
        | ErrorKind::Trapped
        | ErrorKind::Cancelled => false,
    }
}
