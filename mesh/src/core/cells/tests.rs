use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

mod anew;
mod joined;

use wattle_contracts::id::Digest;
use wattle_contracts::record::Hlc;

use super::author::{Author, Current, GAP, REFRESH};
use super::*;
use crate::core::membership::reach::Seen;

const WALL: UnixMillis = UnixMillis(1_800_000_000_000);

fn at(millis: u64) -> Time {
    Time::since_start(Duration::from_millis(millis))
}

fn node(cell: usize, number: usize) -> NodeId {
    NodeId::from_bytes(*Digest::of(format!("{cell}/{number}").as_bytes()).as_bytes())
}

fn cell(number: usize) -> CellName {
    format!("cell-{number}").parse().unwrap()
}

fn summary(nodes: impl IntoIterator<Item = NodeId>) -> Summary {
    let member = |node| CellMember {
        node,
        addresses: vec!["/ip4/10.0.0.1/udp/4747/quic-v1".into()],
        labels: BTreeMap::new(),
        serves: BTreeMap::new(),
    };
    Summary { members: nodes.into_iter().map(member).collect() }
}

/// The version of what `writer` wrote so many milliseconds after the beginning.
fn written(writer: NodeId, millis: u64) -> Version {
    Version { at: Hlc { millis: WALL.0 + millis, counter: 0 }, writer }
}

/// Cells of nodes that see each other as they are, and connections between the cells that come up
/// as soon as one side wants them, where they can.
struct World {
    /// The live nodes, by cell.
    live: Vec<BTreeSet<NodeId>>,
    nodes: BTreeMap<NodeId, Cells>,
    links: BTreeSet<(NodeId, NodeId)>,
}

fn pair(one: NodeId, other: NodeId) -> (NodeId, NodeId) {
    (one.min(other), one.max(other))
}

impl World {
    fn new(sizes: &[usize]) -> Self {
        let live: Vec<BTreeSet<NodeId>> = sizes
            .iter()
            .enumerate()
            .map(|(cell, size)| (0..*size).map(|number| node(cell, number)).collect())
            .collect();
        let all = live.iter().enumerate();
        let nodes = all.flat_map(|(number, nodes)| {
            nodes
                .iter()
                .map(move |node| (*node, Cells::new(*node, cell(number), Config::default())))
        });
        let mut world = Self { nodes: nodes.collect(), live, links: BTreeSet::new() };
        world.write_summaries();
        world
    }

    fn write_summaries(&mut self) {
        let summaries: Vec<(CellName, Summary)> = self
            .live
            .iter()
            .enumerate()
            .map(|(number, nodes)| (cell(number), summary(nodes.iter().copied())))
            .collect();
        for cells in self.nodes.values_mut() {
            let told = summaries.iter().filter_map(|(cell, summary)| {
                Some((cell, written(summary.members.first()?.node, 0), summary))
            });
            cells.hear(told, &BTreeMap::new());
        }
    }

    fn kill(&mut self, dead: NodeId) {
        for nodes in &mut self.live {
            nodes.remove(&dead);
        }
        self.nodes.remove(&dead);
        self.links.retain(|(one, other)| *one != dead && *other != dead);
    }

    fn far_of(&self, of: NodeId) -> BTreeSet<NodeId> {
        let ends = self.links.iter().filter_map(|(one, other)| match of {
            _ if *one == of => Some(*other),
            _ if *other == of => Some(*one),
            _ => None,
        });
        ends.collect()
    }

    fn plan(&mut self, now: Time, of: NodeId) -> Arc<Plan> {
        let mine = self.live.iter().find(|nodes| nodes.contains(&of)).unwrap().clone();
        let near: Vec<Near> = mine
            .iter()
            .filter(|other| **other != of)
            .map(|other| {
                let far = self.far_of(*other);
                let seen = mine.iter().chain(&far).filter(|seen| *seen != other);
                let seen = seen.map(|seen| (*seen, Seen::Direct { rtt_millis: 1 }));
                Near { node: *other, linked: true, report: Some(Arc::new(Report::new(seen))) }
            })
            .collect();
        let linked = self.far_of(of);
        let met = linked.iter().map(|far| {
            let number = self.live.iter().position(|nodes| nodes.contains(far)).unwrap();
            (*far, cell(number))
        });
        let met = met.collect();
        self.nodes.get_mut(&of).unwrap().look(now, WALL, &near, &linked, &met)
    }

    fn plans(&mut self, now: Time) -> BTreeMap<NodeId, Arc<Plan>> {
        let all: Vec<NodeId> = self.nodes.keys().copied().collect();
        all.into_iter().map(|node| (node, self.plan(now, node))).collect()
    }

    /// Lets every node do what it plans; `can` says which connections can be made.
    fn connect(&mut self, now: Time, can: impl Fn(NodeId, NodeId) -> bool) {
        let plans = self.plans(now);
        let wanted: BTreeSet<(NodeId, NodeId)> = plans
            .iter()
            .flat_map(|(node, plan)| plan.wanted.iter().map(|far| pair(*node, *far)))
            .filter(|(one, other)| can(*one, *other))
            .filter(|(one, other)| self.nodes.contains_key(one) && self.nodes.contains_key(other))
            .collect();
        self.links = wanted;
    }

    fn links_between(&self, one: usize, other: usize) -> usize {
        let joins = |(a, b): &&(NodeId, NodeId)| {
            let is_in = |number: usize, node: &NodeId| self.live[number].contains(node);
            (is_in(one, a) && is_in(other, b)) || (is_in(one, b) && is_in(other, a))
        };
        self.links.iter().filter(joins).count()
    }
}

#[test]
fn one_cell_has_no_ambassadors_and_does_nothing() {
    let mut world = World::new(&[5]);
    for plan in world.plans(at(0)).into_values() {
        let nothing = Plan { is_first: plan.is_first, ..Plan::default() };
        assert_eq!(*plan, nothing);
        assert!(!plan.is_author(false));
    }
}

#[test]
fn a_node_that_joins_through_another_cell_finds_its_own() {
    // It is alone, and knows one node of another cell, which let it in.
    let (me, door) = (node(0, 0), node(1, 0));
    let mut cells = Cells::new(me, cell(0), Config::default());
    let met = BTreeMap::from([(door, cell(1))]);
    let plan = cells.look(at(0), WALL, &[], &BTreeSet::from([door]), &met);
    assert_eq!(plan.envoys, BTreeSet::from([door]));
    assert_eq!(plan.cells, BTreeMap::from([(cell(1), true)]));
    assert!(plan.is_author(false));
    // While that one does not answer it is dialled.
    let plan = cells.look(at(1000), WALL, &[], &BTreeSet::new(), &met);
    assert!(plan.wanted.contains(&door) && plan.resting.is_empty());
    // And the door, which is not an ambassador, hears its records.
    let near: Vec<Near> =
        (1..50).map(|number| Near { node: node(1, number), linked: true, report: None }).collect();
    let mut there = Cells::new(door, cell(1), Config::default());
    let met = BTreeMap::from([(me, cell(0))]);
    let plan = there.look(at(0), WALL, &near, &BTreeSet::from([me]), &met);
    assert_eq!(plan.envoys, BTreeSet::from([me]));
    // It is the only one that knows that there is another cell, until it says so.
    assert!(plan.is_author(false) && plan.is_author(true) == plan.is_first);
}

#[test]
fn who_is_called_is_dialled_and_let_go_of_later() {
    let mut world = World::new(&[4, 4]);
    world.connect(at(0), |_, _| true);
    let plans = world.plans(at(1));
    let plain = |plans: &BTreeMap<NodeId, Arc<Plan>>, world: &World, number: usize| {
        let is_plain = |node: &&NodeId| plans[*node].envoys.is_empty();
        *world.live[number].iter().find(is_plain).unwrap()
    };
    let (me, target) = (plain(&plans, &world, 0), plain(&plans, &world, 1));
    assert!(plans[&me].resting.contains(&target) && plans[&me].wanted.is_empty());
    assert!(world.far_of(plans[&me].ways[&target]).iter().any(|far| world.live[1].contains(far)));
    world.nodes.get_mut(&me).unwrap().called(at(2), target);
    let plan = world.plan(at(3), me);
    assert!(!plan.resting.contains(&target) && plan.wanted.contains(&target));
    assert!(plan.envoys.is_empty());
    let plan = world.plan(at(2).plus(Config::default().linger), me);
    assert!(plan.resting.contains(&target));
}

#[test]
fn an_old_summary_is_not_believed_and_its_nodes_are_dialled_for_ever() {
    let mut cells = Cells::new(node(0, 0), cell(0), Config::default());
    let told = summary([node(1, 0), node(1, 1)]);
    cells.hear([(&cell(1), written(node(1, 0), 0), &told)].into_iter(), &BTreeMap::new());
    assert_eq!(cells.believed(WALL).count(), 2);
    let late = WALL.plus(Duration::from_secs(31 * 60));
    assert_eq!(cells.believed(late).count(), 0);
    let plan = cells.look(at(0), late, &[], &BTreeSet::new(), &BTreeMap::new());
    assert!(!plan.wanted.is_empty() && plan.ways.is_empty());
    assert_eq!(plan.cells, BTreeMap::from([(cell(1), false)]));
}

#[test]
fn nobody_speaks_for_a_cell_that_it_is_not_in() {
    let mut cells = Cells::new(node(0, 0), cell(0), Config::default());
    let (north, south) = (summary([node(1, 0), node(1, 1)]), summary([node(2, 0), node(2, 1)]));
    let nobody = BTreeMap::new();
    let mut hear = |(who, when): (NodeId, u64), what: &Summary, met: &BTreeMap<_, _>| {
        let said =
            [(&cell(1), written(who, when), what), (&cell(2), written(node(2, 0), 0), &south)];
        let strangers = cells.hear(said.into_iter(), met);
        let told = |cells: &Cells| {
            let north = cells.believed(WALL).filter(|(name, _)| **name == cell(1));
            north.map(|(_, member)| member.node).collect::<Vec<_>>()
        };
        (strangers, told(&cells))
    };
    let right = vec![node(1, 0), node(1, 1)];
    assert_eq!(hear((node(1, 0), 1), &north, &nobody), (vec![], right.clone()));
    // The south lists its writer, and the north never did.
    let lie = summary([node(2, 1)]);
    let stranger = |who| vec![(cell(1), who)];
    assert_eq!(hear((node(2, 1), 2), &lie, &nobody), (stranger(node(2, 1)), right.clone()));
    // It says so again after the north has spoken.
    assert_eq!(hear((node(1, 0), 3), &north, &nobody), (vec![], right.clone()));
    assert_eq!(hear((node(2, 1), 4), &lie, &nobody), (stranger(node(2, 1)), right.clone()));
    // One of this node's own cell, and this node's own key.
    let met = BTreeMap::from([(node(0, 1), cell(0))]);
    let own = summary([node(0, 1)]);
    assert_eq!(hear((node(0, 1), 5), &own, &met), (stranger(node(0, 1)), right.clone()));
    let mine = summary([node(0, 0)]);
    assert_eq!(hear((node(0, 0), 6), &mine, &met), (stranger(node(0, 0)), right));
    // Of whom nothing is known may have come to the north just now.
    let new = summary([node(1, 0), node(1, 2)]);
    let taken = vec![node(1, 0), node(1, 2)];
    assert_eq!(hear((node(1, 2), 7), &new, &nobody), (vec![], taken.clone()));
    // Who moves is believed once it says so itself, or when its old cell's word is old.
    let moved = summary([node(2, 1), node(1, 0)]);
    let met = BTreeMap::from([(node(2, 1), cell(1))]);
    assert_eq!(hear((node(2, 1), 8), &moved, &nobody), (stranger(node(2, 1)), taken));
    assert_eq!(hear((node(2, 1), 8), &moved, &met), (vec![], vec![node(2, 1), node(1, 0)]));
    assert_eq!(hear((node(1, 0), 9), &north, &nobody).0, vec![]);
    let late = 31 * 60 * 1000;
    assert_eq!(hear((node(2, 1), late), &moved, &nobody).0, vec![]);
}

#[test]
fn an_ambassador_has_one_connection_to_each_other_cell() {
    for count in [2, 20, 60] {
        let mut world = World::new(&vec![3; count]);
        for plan in world.plans(at(0)).values() {
            assert!(plan.envoys.len() < count, "{} with {count} cells", plan.envoys.len());
            assert_eq!(plan.wanted, plan.envoys);
        }
    }
}

#[test]
fn a_summary_is_written_when_it_changes_or_gets_old_and_not_too_often() {
    let (me, other) = (node(0, 0), node(0, 1));
    let (small, large) = (summary([me]), summary([me, other]));
    let mut author = Author::new(me, at(0));
    let due = |author: &Author, now, wall, current: Option<(NodeId, &Summary)>, mine: &Summary| {
        let current = current.map(|(writer, summary)| Current { writer, at: WALL, summary });
        author.is_due(now, wall, current, mine, 500)
    };
    // Somebody else has said more than a node that has just started can know.
    assert!(!due(&author, at(5_000), WALL, Some((other, &large)), &small));
    assert!(due(&author, at(21_000), WALL, Some((other, &large)), &small));
    assert!(!due(&author, at(0), WALL, None, &small));
    assert!(due(&author, at(2_000), WALL, None, &small));
    author.wrote(at(30_000));
    assert!(!due(&author, at(31_000), WALL, Some((me, &small)), &large));
    assert!(due(&author, at(30_000).plus(GAP), WALL, Some((me, &small)), &large));
    // Nothing has changed.
    assert!(!due(&author, at(90_000), WALL, Some((me, &small)), &small));
    assert!(due(&author, at(90_000), WALL.plus(REFRESH), Some((me, &small)), &small));
    // Another one, which sees other nodes, writes too.
    assert!(!due(&author, at(40_000), WALL, Some((other, &large)), &small));
    assert!(due(&author, at(60_000), WALL, Some((other, &large)), &small));
    // Much to say takes its time.
    let much = Current { writer: me, at: WALL, summary: &small };
    assert!(!author.is_due(at(39_000), WALL, Some(much), &large, 10 * 1024));
    assert!(author.is_due(at(41_000), WALL, Some(much), &large, 10 * 1024));
}
