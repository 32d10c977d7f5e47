//! Many seeds, each with random faults on top of a scenario's own, and what is left of a schedule
//! that breaks a rule once all that does not matter is taken out.

mod swarm;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

pub use self::swarm::swarm;
use crate::machine::Fidelity;
use crate::run::{Options, Outcome, run};
use crate::scenario::{Fault, Scenario};

/// What is to be explored.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The first seed.
    pub first: u64,
    /// How many.
    pub seeds: u64,
    /// How many runs at once.
    pub jobs: usize,
    /// The real components of the scenario's apps, where they are to be run.
    pub code: Option<crate::wasm::Code>,
    /// A rule that is broken on purpose.
    pub broken: Option<crate::mutant::Mutant>,
}

/// A seed that breaks a rule.
#[derive(Debug)]
pub struct Found {
    /// The seed.
    pub seed: u64,
    /// The run with what is left of its random faults.
    pub outcome: Outcome,
    /// How many random faults there were.
    pub before: usize,
    /// Which of them are left, counted from 1.
    pub kept: Vec<usize>,
    /// These.
    pub faults: Vec<Fault>,
}

/// Runs every seed, until one breaks a rule: then the lowest such seed of those that were begun,
/// with its faults shrunk. `done` is told each time how many are done.
pub fn explore(scenario: &Scenario, plan: &Plan, done: impl Fn(u64) + Sync) -> Option<Found> {
    let (next, count) = (AtomicU64::new(0), AtomicU64::new(0));
    let bad = Mutex::new(BTreeSet::new());
    let is_over = || !bad.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
    std::thread::scope(|scope| {
        for _ in 0..plan.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= plan.seeds || is_over() {
                        return;
                    }
                    let seed = plan.first.saturating_add(at);
                    let faults = swarm(scenario, seed);
                    if !attempt(scenario, plan, seed, faults, true).is_good() {
                        bad.lock().unwrap_or_else(PoisonError::into_inner).insert(seed);
                    }
                    done(count.fetch_add(1, Ordering::Relaxed) + 1);
                }
            });
        }
    });
    let seed = bad.into_inner().unwrap_or_else(PoisonError::into_inner).pop_first()?;
    Some(shrink(scenario, plan, seed))
}

fn attempt(
    scenario: &Scenario,
    plan: &Plan,
    seed: u64,
    faults: Vec<Fault>,
    stop_early: bool,
) -> Outcome {
    let (code, broken, fidelity) = (plan.code.clone(), plan.broken, Fidelity::Pipes);
    let options = Options { seed: Some(seed), faults, code, broken, fidelity, stop_early };
    run(scenario, &options, |_| {})
}

/// Takes out of a schedule what is not needed to break the rule (Zeller and Hildebrandt,
/// "Simplifying and Isolating Failure-Inducing Input", 2002): ever smaller parts of it.
fn shrink(scenario: &Scenario, plan: &Plan, seed: u64) -> Found {
    let all = swarm(scenario, seed);
    let take = |kept: &[usize]| -> Vec<Fault> {
        kept.iter().filter_map(|index| all.get(*index).cloned()).collect()
    };
    let breaks = |kept: &[usize]| !attempt(scenario, plan, seed, take(kept), true).is_good();
    let mut kept: Vec<usize> = (0..all.len()).collect();
    let mut part = kept.len().div_ceil(2);
    while part > 0 && !kept.is_empty() {
        let mut at = 0;
        while at < kept.len() {
            let without: Vec<usize> =
                kept.iter().take(at).chain(kept.iter().skip(at + part)).copied().collect();
            if breaks(&without) {
                kept = without;
            } else {
                at += part;
            }
        }
        part = if part == 1 { 0 } else { part.div_ceil(2) };
    }
    let faults = take(&kept);
    let outcome = attempt(scenario, plan, seed, faults.clone(), false);
    let kept = kept.into_iter().map(|index| index + 1).collect();
    Found { seed, outcome, before: all.len(), kept, faults }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::mutant::Mutant;

    const SMALL: &str = "name = \"small\"\nrun = \"6min\"\n[[nodes]]\ngroup = \"node\"\ncount = 4\n\
        [[edit]]\nevery = \"1s\"\nkeys = 5\n[expect]\nconverge = \"60s\"\n";

    fn small() -> Scenario {
        Scenario::parse("small.toml", SMALL, &|name| Err(name.into())).unwrap()
    }

    #[test]
    fn a_broken_rule_is_found_and_what_is_left_of_its_schedule_still_breaks_it() {
        let scenario = small();
        let broken = Some(Mutant::NoRedial);
        let plan = Plan { first: 1, seeds: 40, jobs: 2, code: None, broken };
        let done = AtomicU64::new(0);
        let count = |all| _ = done.fetch_max(all, Ordering::Relaxed);
        let found = explore(&scenario, &plan, count).unwrap();
        assert!(done.into_inner() >= 1);
        assert!((1..=2).contains(&found.faults.len()), "{:?}", found.faults);
        // The command that is shown does the same.
        let all = swarm(&scenario, found.seed);
        let faults = found.kept.iter().map(|number| all[number - 1].clone()).collect();
        let options = Options { seed: Some(found.seed), faults, broken, ..Options::default() };
        let again = run(&scenario, &options, |_| {});
        assert_eq!(again.trace, found.outcome.trace);
        assert!(!again.is_good() && !again.around.is_empty() && !again.views.is_empty());
    }

    #[test]
    fn nothing_is_found_where_nothing_is_broken() {
        let plan = Plan { first: 1, seeds: 12, jobs: 2, code: None, broken: None };
        let found = explore(&small(), &plan, |_| {});
        assert!(found.is_none(), "{found:#?}");
    }
}
