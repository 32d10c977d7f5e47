//! How cells are joined, whatever is cut and whoever dies.

use proptest::prelude::*;

use super::*;

proptest! {
    /// All compute the same: each two cells are joined by a few connections that both ends want,
    /// and nobody else has any.
    #[test]
    fn cells_are_joined_by_few_connections_that_both_ends_want(
        sizes in prop::collection::vec(1usize..12, 2..7),
    ) {
        let mut world = World::new(&sizes);
        let count = Config::default().ambassadors;
        let before = world.plans(at(0));
        for (node, plan) in &before {
            for far in &plan.envoys {
                prop_assert!(before[far].envoys.contains(node), "only one end wants it");
            }
        }
        world.connect(at(0), |_, _| true);
        // What is settled stays.
        let links = world.links.clone();
        for step in 1..4 {
            world.connect(at(step * 60_000), |_, _| true);
            prop_assert_eq!(&world.links, &links);
        }
        for (one, size) in sizes.iter().enumerate() {
            for (other, other_size) in sizes.iter().enumerate().take(one) {
                let links = world.links_between(one, other);
                prop_assert!(links >= 1 && links <= count, "{} links", links);
                prop_assert_eq!(links == 1, *size == 1 && *other_size == 1);
            }
        }
        let plans = world.plans(at(1));
        for (number, nodes) in world.live.iter().enumerate() {
            let with_links = nodes.iter().filter(|node| !plans[*node].envoys.is_empty()).count();
            prop_assert!(with_links <= count);
            let authors = nodes.iter().filter(|node| plans[*node].is_author(true)).count();
            prop_assert_eq!(authors, 1);
            let told: BTreeSet<_> = nodes.iter().map(|node| plans[node].ambassadors.clone()).collect();
            prop_assert_eq!(told.len(), 1);
            // Everybody of every other cell is reached, by at most two others.
            for node in nodes {
                let far = (0..sizes.len()).filter(|other| *other != number);
                for target in far.flat_map(|other| &world.live[other]) {
                    let linked = world.far_of(*node);
                    if linked.contains(target) {
                        continue;
                    }
                    let gate = plans[node].ways[target];
                    prop_assert!(linked.contains(&gate) || nodes.contains(&gate));
                    let theirs = world.live.iter().find(|nodes| nodes.contains(target)).unwrap();
                    let last = match nodes.contains(&gate) {
                        false => gate,
                        true if world.far_of(gate).contains(target) => *target,
                        true => plans[&gate].ways[target],
                    };
                    prop_assert!(theirs.contains(&last));
                }
            }
        }
    }

    /// Whoever dies, in whatever order: those that are left join the cells again, at once by what
    /// they see of their own cell, and the way that works is kept meanwhile.
    #[test]
    fn ambassadors_that_die_are_replaced(
        sizes in prop::collection::vec(3usize..9, 2..5),
        deaths in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
        is_ambassador in any::<bool>(),
    ) {
        let mut world = World::new(&sizes);
        world.connect(at(0), |_, _| true);
        let mut now = 0;
        for death in deaths {
            let plans = world.plans(at(now));
            let may_die: Vec<NodeId> = world
                .live
                .iter()
                .filter(|nodes| nodes.len() > 2)
                .flatten()
                .filter(|node| !is_ambassador || !plans[*node].envoys.is_empty())
                .copied()
                .collect();
            let Some(dead) = may_die.get(death.index(may_die.len().max(1))) else { break };
            world.kill(*dead);
            for one in 0..sizes.len() {
                for other in 0..one {
                    prop_assert!(world.links_between(one, other) >= 1, "one death cuts no cell off");
                }
            }
            // The summaries come later.
            world.connect(at(now), |_, _| true);
            world.write_summaries();
            now += 3_000;
            world.connect(at(now), |_, _| true);
            world.connect(at(now), |_, _| true);
            for one in 0..sizes.len() {
                for other in 0..one {
                    prop_assert!(world.links_between(one, other) >= 2);
                }
            }
        }
    }

    /// If only one node of each of two cells can reach the other, they find each other.
    #[test]
    fn the_only_way_is_found_and_kept(
        ours in 1usize..7,
        theirs in 1usize..7,
        pick in any::<(prop::sample::Index, prop::sample::Index)>(),
    ) {
        let mut world = World::new(&[ours, theirs]);
        let (one, other) = (node(0, pick.0.index(ours)), node(1, pick.1.index(theirs)));
        let only = pair(one, other);
        let can = |a, b| (a, b) == only;
        let search = Config::default().search.as_millis() as u64;
        let mut steps = 0;
        while world.links.is_empty() {
            prop_assert!(steps <= ours * theirs + 2, "not found in {} steps", steps);
            world.connect(at(steps as u64 * search), can);
            steps += 1;
        }
        for later in 0..20 {
            world.connect(at((steps + later) as u64 * search), can);
            prop_assert_eq!(world.links.len(), 1, "lost again");
        }
        let plans = world.plans(at((steps + 30) as u64 * search));
        for plan in plans.values() {
            prop_assert!(plan.cells.values().all(|reached| *reached));
        }
    }

    /// Nodes that see different nodes of their cell alive, as in a change, plan too much at most.
    #[test]
    fn a_disagreement_costs_a_few_connections_and_no_cell(
        unseen in prop::collection::vec((0usize..8, 0usize..8), 0..8),
    ) {
        let sizes = [8, 8];
        let mut world = World::new(&sizes);
        let mut links = BTreeSet::new();
        for number in 0..8 {
            let me = node(0, number);
            let near: Vec<Near> = (0..8)
                .filter(|other| *other != number && !unseen.contains(&(number, *other)))
                .map(|other| Near { node: node(0, other), linked: true, report: None })
                .collect();
            let cells = world.nodes.get_mut(&me).unwrap();
            let plan = cells.look(at(0), WALL, &near, &BTreeSet::new(), &BTreeMap::new());
            links.extend(plan.envoys.iter().map(|far| pair(me, *far)));
        }
        prop_assert!(!links.is_empty() && links.len() <= 2 + unseen.len());
    }
}
