//! Which nodes run what, without a scheduler: every node computes the same answer from the same
//! records and the same view of who is alive, and starts its own share.
//!
//! Rendezvous hashing (Thaler and Ravishankar, 1998): a node's score for a component is a hash of
//! both, and the nodes with the highest scores run it. No node's score depends on any other node,
//! so one that leaves moves only what it ran, and one that joins takes over only its own share.
//! Where two nodes see different nodes alive, as in a cut network, each side runs what it should
//! by its own view, and they agree again once their views do.

use std::cmp::Reverse;
use std::fmt;

use wattle_contracts::id::{ComponentId, Digest, NodeId};
use wattle_contracts::record::{App, ComponentSpec, Labels};

use super::routing::carries;

/// A node on which components may be placed. Callers hand in only those that are alive, in any
/// order.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The node.
    pub node: NodeId,
    /// The labels that it carries.
    pub labels: &'a Labels,
}

/// Where a component is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The nodes, best first; at most as many as the replicas asked for.
    pub nodes: Vec<NodeId>,
    /// How many replicas have no node.
    pub missing: u32,
    /// Why, if any is missing.
    pub reason: Option<Shortfall>,
}

/// Why replicas have no node; `Display` tells a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortfall {
    wanted: u32,
    found: u32,
    on: Labels,
}

/// Decides where a component runs: on the nodes that carry every label of `spec.on`, by rank.
pub fn place(
    component: &ComponentId,
    spec: &ComponentSpec,
    candidates: &[Candidate<'_>],
) -> Placement {
    let mut nodes = rank(component, &spec.on, candidates);
    nodes.truncate(usize::try_from(spec.replicas).unwrap_or(usize::MAX));
    let found = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
    let missing = spec.replicas.saturating_sub(found);
    let reason =
        (missing > 0).then(|| Shortfall { wanted: spec.replicas, found, on: spec.on.clone() });
    Placement { nodes, missing, reason }
}

/// Everything that node `me` runs of these apps, sorted. Nothing, if `me` is not a candidate.
pub fn share<'a>(
    me: NodeId,
    apps: impl Iterator<Item = &'a App>,
    candidates: &[Candidate<'_>],
) -> Vec<ComponentId> {
    let mut mine = Vec::new();
    for app in apps {
        for (name, spec) in &app.components {
            let component = ComponentId::new(app.name.clone(), name.clone());
            if place(&component, spec, candidates).nodes.contains(&me) {
                mine.push(component);
            }
        }
    }
    mine.sort_unstable();
    mine
}

/// Chooses the node that is to hold a provider's state. Asked once, when the app is declared, and
/// written into its record: later changes of the mesh don't move it.
pub fn choose_home(
    provider: &ComponentId,
    on: &Labels,
    candidates: &[Candidate<'_>],
) -> Option<NodeId> {
    rank(provider, on, candidates).first().copied()
}

/// The nodes that carry the labels, highest score first; equal scores by node id.
fn rank(component: &ComponentId, on: &Labels, candidates: &[Candidate<'_>]) -> Vec<NodeId> {
    let mut hashed = component.to_string().into_bytes();
    hashed.push(0);
    let head = hashed.len();
    let mut ranked: Vec<(Reverse<u64>, NodeId)> = candidates
        .iter()
        .filter(|candidate| carries(candidate.labels, on))
        .map(|candidate| {
            hashed.truncate(head);
            hashed.extend_from_slice(candidate.node.as_bytes());
            (Reverse(score(&hashed)), candidate.node)
        })
        .collect();
    ranked.sort_unstable();
    ranked.dedup();
    ranked.into_iter().map(|(_, node)| node).collect()
}

/// The first eight bytes of the SHA-256. Part of what nodes must agree on.
fn score(hashed: &[u8]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *Digest::of(hashed).as_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wanted, found, on } = self;
        let missing = wanted.saturating_sub(*found);
        let have = if missing == 1 { "has" } else { "have" };
        write!(f, "{missing} of {wanted} replicas {have} no node: ")?;
        match (found, on.is_empty()) {
            (0, true) => return f.write_str("no node is alive"),
            (1, true) => return f.write_str("only 1 node is alive"),
            (_, true) => return write!(f, "only {found} nodes are alive"),
            (0, false) => f.write_str("no node that is alive carries ")?,
            (1, false) => f.write_str("only 1 node that is alive carries ")?,
            (_, false) => write!(f, "only {found} nodes that are alive carry ")?,
        }
        for (index, (key, value)) in on.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{key}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use wattle_contracts::id::PublisherKey;
    use wattle_contracts::record::LimitSpec;

    use super::*;

    fn node(number: u64) -> NodeId {
        NodeId::from_bytes(*Digest::of(&number.to_be_bytes()).as_bytes())
    }

    fn component(number: usize) -> ComponentId {
        format!("app/c{number}").parse().unwrap()
    }

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    }

    fn spec(replicas: u32, on: Labels) -> ComponentSpec {
        ComponentSpec {
            digest: Digest::of(b""),
            publisher: PublisherKey::from_bytes([0; 32]),
            size: 0,
            exports: Vec::new(),
            imports: Vec::new(),
            replicas,
            on,
            config: BTreeMap::new(),
            limits: LimitSpec::default(),
        }
    }

    /// Nodes by number, half of which carry `role=compute`.
    struct Mesh(BTreeMap<u64, Labels>);

    impl Mesh {
        fn of(numbers: impl IntoIterator<Item = u64>) -> Self {
            let role = |number| if number % 2 == 0 { "compute" } else { "edge" };
            let entry = |number| (number, labels(&[("role", role(number)), ("os", "linux")]));
            Self(numbers.into_iter().map(entry).collect())
        }

        fn candidates(&self) -> Vec<Candidate<'_>> {
            self.0.iter().map(|(n, labels)| Candidate { node: node(*n), labels }).collect()
        }

        fn place(&self, which: usize, spec: &ComponentSpec) -> Placement {
            place(&component(which), spec, &self.candidates())
        }
    }

    fn a_mesh() -> impl Strategy<Value = Mesh> {
        proptest::collection::btree_set(0..200u64, 0..20).prop_map(Mesh::of)
    }

    fn a_spec() -> impl Strategy<Value = ComponentSpec> {
        let on = prop_oneof![Just(labels(&[])), Just(labels(&[("role", "compute")]))];
        (0..6u32, on).prop_map(|(replicas, on)| spec(replicas, on))
    }

    impl fmt::Debug for Mesh {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{:?}", self.0.keys())
        }
    }

    proptest! {
        #[test]
        fn the_order_and_the_repetition_of_candidates_do_not_matter(
            mesh in a_mesh(), spec in a_spec(), which in 0..50usize, turn in 0..20usize,
        ) {
            let expected = mesh.place(which, &spec);
            let mut turned = mesh.candidates();
            turned.extend(mesh.candidates());
            turned.reverse();
            let by = turn.min(turned.len());
            turned.rotate_left(by);
            prop_assert_eq!(place(&component(which), &spec, &turned), expected);
        }

        #[test]
        fn as_many_fitting_nodes_as_there_are_and_no_other(
            mesh in a_mesh(), spec in a_spec(), which in 0..50usize,
        ) {
            let placement = mesh.place(which, &spec);
            let fits: Vec<NodeId> = mesh
                .candidates()
                .into_iter()
                .filter(|candidate| carries(candidate.labels, &spec.on))
                .map(|candidate| candidate.node)
                .collect();
            prop_assert!(placement.nodes.iter().all(|node| fits.contains(node)));
            prop_assert_eq!(placement.nodes.len(), fits.len().min(spec.replicas as usize));
            let missing = spec.replicas as usize - placement.nodes.len();
            prop_assert_eq!(placement.missing as usize, missing);
            prop_assert_eq!(placement.reason.is_some(), missing > 0);
        }

        #[test]
        fn a_node_that_leaves_moves_only_what_it_ran(
            mut mesh in a_mesh(), spec in a_spec(), which in 0..50usize, leaver in 0..200u64,
        ) {
            let before = mesh.place(which, &spec).nodes;
            mesh.0.remove(&leaver);
            let after = mesh.place(which, &spec).nodes;
            let stay: Vec<NodeId> =
                before.iter().copied().filter(|id| *id != node(leaver)).collect();
            prop_assert!(after.starts_with(&stay), "{:?} then {:?}", before, after);
            prop_assert!(after.len() <= before.len());
        }

        #[test]
        fn a_node_that_joins_displaces_at_most_the_last_one(
            mesh in a_mesh(), spec in a_spec(), which in 0..50usize, joiner in 200..400u64,
        ) {
            let before = mesh.place(which, &spec).nodes;
            let grown = Mesh::of(mesh.0.keys().copied().chain([joiner]));
            let mut after = grown.place(which, &spec).nodes;
            after.retain(|id| *id != node(joiner));
            prop_assert!(before.starts_with(&after), "{:?} then {:?}", before, after);
            prop_assert!(before.len() - after.len() <= 1);
        }

        #[test]
        fn the_shares_of_all_nodes_are_the_whole(mesh in a_mesh(), spec in a_spec()) {
            let mut app = App::new("app".parse().unwrap());
            for which in 0..10 {
                app.components.insert(component(which).name, spec.clone());
            }
            let candidates = mesh.candidates();
            let mut placed = 0;
            for (which, spec) in app.components.values().enumerate() {
                placed += mesh.place(which, spec).nodes.len();
            }
            let mut shared = 0;
            for candidate in &candidates {
                let mine = share(candidate.node, [&app].into_iter(), &candidates);
                prop_assert!(mine.is_sorted());
                shared += mine.len();
            }
            prop_assert_eq!(shared, placed);
            prop_assert!(share(node(999), [&app].into_iter(), &candidates).is_empty());
        }
    }

    #[test]
    fn components_spread_evenly_and_a_newcomer_takes_its_part() {
        let (nodes, components) = (20u64, 4000);
        let one = spec(1, labels(&[]));
        let at = |mesh: &Mesh, which| mesh.place(which, &one).nodes;
        let mesh = Mesh::of(0..nodes);
        let grown = Mesh::of(0..=nodes);
        let mut held: BTreeMap<NodeId, usize> = BTreeMap::new();
        let mut moved = 0;
        for which in 0..components {
            let (before, after) = (at(&mesh, which), at(&grown, which));
            *held.entry(before[0]).or_default() += 1;
            if before != after {
                assert_eq!(after, [node(nodes)]);
                moved += 1;
            }
        }
        // 200 and 190 expected.
        assert_eq!(held.len(), 20);
        assert!(held.values().all(|held| (140..260).contains(held)), "{held:?}");
        assert!((130..250).contains(&moved), "{moved}");
    }

    #[test]
    fn the_score_is_what_every_release_computes() {
        assert_eq!(score(b"abc"), 0xba78_16bf_8f01_cfea, "FIPS 180-4's example");
        let zeros = Digest::of(&[b"app/c1\0".as_slice(), &[0; 32]].concat());
        let expected = u64::from_str_radix(&zeros.hex()[..16], 16).unwrap();
        let plain = labels(&[]);
        let nodes = [NodeId::from_bytes([0; 32]), node(1), node(2), node(3)];
        let candidates = nodes.map(|node| Candidate { node, labels: &plain });
        let above = candidates.iter().filter(|candidate| {
            let id = candidate.node.as_bytes();
            score(&[b"app/c1\0".as_slice(), id].concat()) > expected
        });
        let ranked = rank(&component(1), &plain, &candidates);
        assert_eq!(ranked[above.count()], nodes[0]);
    }

    #[test]
    fn a_home_is_the_best_ranked_node_with_the_labels() {
        let mesh = Mesh::of(0..9);
        let on = labels(&[("role", "edge")]);
        let home = choose_home(&component(3), &on, &mesh.candidates());
        assert_eq!(home, mesh.place(3, &spec(5, on)).nodes.first().copied());
        let nowhere = labels(&[("role", "moon")]);
        assert_eq!(choose_home(&component(3), &nowhere, &mesh.candidates()), None);
    }

    #[test]
    fn a_person_is_told_what_is_missing() {
        let told = |numbers: &[u64], replicas, on: &[(&str, &str)]| {
            let mesh = Mesh::of(numbers.iter().copied());
            mesh.place(0, &spec(replicas, labels(on))).reason.unwrap().to_string()
        };
        let compute = ("role", "compute");
        assert_eq!(
            told(&[1, 2, 3], 3, &[compute]),
            "2 of 3 replicas have no node: only 1 node that is alive carries role=compute"
        );
        assert_eq!(
            told(&[2, 4], 3, &[compute, ("os", "linux")]),
            "1 of 3 replicas has no node: only 2 nodes that are alive carry os=linux, role=compute"
        );
        assert_eq!(
            told(&[1], 2, &[compute]),
            "2 of 2 replicas have no node: no node that is alive carries role=compute"
        );
        assert_eq!(told(&[1, 2], 5, &[]), "3 of 5 replicas have no node: only 2 nodes are alive");
        assert_eq!(told(&[1], 2, &[]), "1 of 2 replicas has no node: only 1 node is alive");
        assert_eq!(told(&[], 1, &[]), "1 of 1 replicas has no node: no node is alive");
    }
}
