//! How many attempts beyond the first there may be: a token bucket that calls fill.

use std::collections::BTreeMap;

use wattle_contracts::id::ComponentId;

/// What a call earns, in thousandths of an attempt: one in ten may be made again.
const EARNED: u32 = 100;

/// What an attempt beyond the first costs.
const COST: u32 = 1000;

/// What may be saved up: ten attempts, which is also what there is to begin with.
const FULL: u32 = 10 * COST;

/// How many targets have a budget of their own. Those above it are called once.
pub const MAX_BUDGETS: usize = 4096;

/// The budget of one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget(u32);

impl Default for Budget {
    fn default() -> Self {
        Self(FULL)
    }
}

impl Budget {
    /// A call is made.
    pub fn earn(&mut self) {
        self.0 = self.0.saturating_add(EARNED).min(FULL);
    }

    /// Pays for another attempt, if that can be afforded.
    pub fn spend(&mut self) -> bool {
        let left = self.0.checked_sub(COST);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }

    /// An attempt that was paid for is not made.
    pub fn give_back(&mut self) {
        self.0 = self.0.saturating_add(COST).min(FULL);
    }
}

/// The budgets of all targets.
#[derive(Debug, Default)]
pub struct Budgets {
    of: BTreeMap<ComponentId, Budget>,
    /// For targets that are too many.
    none: Budget,
}

impl Budgets {
    /// The budget of `target`.
    pub fn of(&mut self, target: &ComponentId) -> &mut Budget {
        if !self.of.contains_key(target) && self.of.len() >= MAX_BUDGETS {
            // A full one is as good as a new one.
            self.of.retain(|_, budget| *budget != Budget::default());
            if self.of.len() >= MAX_BUDGETS {
                self.none = Budget(0);
                return &mut self.none;
            }
        }
        self.of.entry(target.clone()).or_default()
    }
}
