//! What a link asks for, before a node is looked for.
//!
//! In this order:
//!
//! 1. **The link**: where an import has several links, [`draw`] chooses one of those along which
//!    somebody can be called, at random, in proportion to their weights. A link of weight 0 is a
//!    spare: drawn only where no other can be called.
//! 2. **Its labels**: [`narrow`] keeps the nodes that carry all that the link requires; of those,
//!    the ones that carry all that it prefers, if there are any.
//! 3. **This node first**, if it is left; else the nearest and idlest of those that are left
//!    ([`super::Router::pick`]).
//!
//! So a link may send a call away from a node that could have answered it itself.

use rand::Rng;
use wattle_contracts::id::NodeId;
use wattle_contracts::record::{Labels, LinkOptions, ProviderSpec};

/// One of the links of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Its weight ([`LinkOptions::weight`]).
    pub weight: u32,
    /// Whether there is a node that may be called along it now.
    pub callable: bool,
}

/// Chooses the link that takes a call, by its place among `links`; `None` only if there is none.
/// Where nobody can be called along any of them, one is chosen as if somebody could: the caller
/// shall hear what is wrong with it.
pub fn draw(links: &[Share], random: &mut impl Rng) -> Option<usize> {
    let best = links.iter().map(Share::class).min()?;
    let drawn = || links.iter().enumerate().filter(|(_, link)| link.class() == best);
    // Spares, all of weight 0, are equals.
    let weight = |link: &Share| u64::from(link.weight.max(1));
    let total: u64 = drawn().map(|(_, link)| weight(link)).sum();
    let mut left = random.random_range(0..total.max(1));
    drawn().find_map(|(place, link)| match left.checked_sub(weight(link)) {
        Some(rest) => {
            left = rest;
            None
        }
        None => Some(place),
    })
}

impl Share {
    /// Of the classes that are there, only the lowest is drawn from.
    fn class(&self) -> (bool, bool) {
        (!self.callable, self.weight == 0)
    }
}

/// Keeps of the nodes that serve a link's target those that the link wants called: those that
/// carry what it requires, and of these only those that carry what it prefers, if there are any.
pub fn narrow<'a, T>(
    options: &LinkOptions,
    mut serving: Vec<T>,
    labels: impl Fn(&T) -> &'a Labels,
) -> Vec<T> {
    serving.retain(|node| carries(labels(node), &options.require));
    prefer(&mut serving, |node| carries(labels(node), &options.prefer));
    serving
}

/// Keeps only the better ones, if there are any.
pub fn prefer<T>(nodes: &mut Vec<T>, is_better: impl Fn(&T) -> bool) {
    if nodes.iter().any(&is_better) {
        nodes.retain(is_better);
    }
}

/// Whether a node with `labels` is one that serves a provider: its home, where it keeps state, and
/// else whoever carries its labels.
pub fn provides(spec: &ProviderSpec, node: NodeId, labels: &Labels) -> bool {
    match spec.node {
        Some(home) => home == node,
        None => carries(labels, &spec.on),
    }
}

/// Whether a node with `labels` carries all of `wanted`.
pub fn carries(labels: &Labels, wanted: &Labels) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::SmallRng;

    use super::*;

    fn shares() -> impl Strategy<Value = Vec<Share>> {
        let share = (0..5u32, any::<bool>());
        let share = share.prop_map(|(weight, callable)| Share { weight, callable });
        proptest::collection::vec(share, 0..8)
    }

    fn labels() -> impl Strategy<Value = Labels> {
        let text = |range: &'static str| proptest::string::string_regex(range).unwrap();
        proptest::collection::btree_map(text("[ab]"), text("[xy]"), 0..3)
    }

    proptest! {
        #[test]
        fn a_spare_or_a_link_to_nobody_is_drawn_only_where_there_is_nothing_better(
            links in shares(),
            seed in any::<u64>(),
        ) {
            let Some(drawn) = draw(&links, &mut SmallRng::seed_from_u64(seed)) else {
                prop_assert!(links.is_empty());
                return Ok(());
            };
            let drawn = links[drawn];
            prop_assert!(drawn.callable || links.iter().all(|link| !link.callable));
            let alike = links.iter().filter(|link| link.callable == drawn.callable);
            prop_assert!(drawn.weight > 0 || alike.into_iter().all(|link| link.weight == 0));
        }

        #[test]
        fn calls_are_shared_by_weight(
            weights in proptest::collection::vec(1..10u32, 1..5),
            seed in any::<u64>(),
        ) {
            const CALLS: u32 = 20_000;
            let mut random = SmallRng::seed_from_u64(seed);
            let link = |weight: &u32| Share { weight: *weight, callable: true };
            let links: Vec<Share> = weights.iter().map(link).collect();
            let mut taken = vec![0u32; links.len()];
            for _ in 0..CALLS {
                taken[draw(&links, &mut random).unwrap()] += 1;
            }
            let total: u32 = weights.iter().sum();
            for (weight, taken) in weights.iter().zip(taken) {
                let expected = f64::from(CALLS) * f64::from(*weight) / f64::from(total);
                // Six standard deviations of a binomial distribution, at the most.
                let off = (f64::from(taken) - expected).abs();
                prop_assert!(off <= 6.0 * expected.sqrt() + 1.0, "{taken} of {expected}");
            }
        }

        #[test]
        fn only_nodes_with_the_required_labels_are_left_and_the_preferred_ones_if_there_are_any(
            nodes in proptest::collection::vec(labels(), 0..6),
            require in labels(),
            prefer in labels(),
        ) {
            let options = LinkOptions { require, prefer, ..LinkOptions::default() };
            let all: Vec<usize> = (0..nodes.len()).collect();
            let left = narrow(&options, all.clone(), |node| &nodes[*node]);
            let has = |node: &usize, wanted: &Labels| carries(&nodes[*node], wanted);
            let allowed: Vec<usize> =
                all.into_iter().filter(|node| has(node, &options.require)).collect();
            let preferred: Vec<usize> =
                allowed.iter().copied().filter(|node| has(node, &options.prefer)).collect();
            prop_assert_eq!(left, if preferred.is_empty() { allowed } else { preferred });
        }

        #[test]
        fn a_link_that_asks_for_nothing_leaves_everybody(
            nodes in proptest::collection::vec(labels(), 0..6),
        ) {
            let all: Vec<usize> = (0..nodes.len()).collect();
            let left = narrow(&LinkOptions::default(), all.clone(), |node| &nodes[*node]);
            prop_assert_eq!(left, all);
        }
    }
}
