//! What is kept from one look to the next changes no plan: beside each, the same is worked out from
//! nothing, the long way.

use proptest::prelude::*;

use super::*;
use crate::core::cells::rank;

/// The rule in full, as it stands above the module, with nothing remembered but since when a cell is
/// not reached and who was called.
struct Anew {
    me: NodeId,
    cell: CellName,
    config: Config,
    unreached: BTreeMap<CellName, Time>,
    called: BTreeMap<NodeId, Time>,
}

#[derive(Default)]
struct Side {
    is_told: bool,
    ranked: Vec<NodeId>,
    known: BTreeSet<NodeId>,
    linked: BTreeSet<NodeId>,
    holders: BTreeMap<NodeId, bool>,
}

/// How things are at one moment.
#[derive(Debug, Clone, Default)]
struct Now {
    near: Vec<Near>,
    linked: BTreeSet<NodeId>,
    met: BTreeMap<NodeId, CellName>,
}

impl Anew {
    fn look(&mut self, now: Time, wall: UnixMillis, told: &Cells, seen: &Now) -> Plan {
        let live: BTreeSet<NodeId> = seen.near.iter().map(|near| near.node).collect();
        let own = ranked(&self.cell, live.iter().copied().chain([self.me]));
        let mut plan = Plan { is_first: own[0] == self.me, ..Plan::default() };
        let sides = self.sides(told, seen, &live);
        self.unreached.retain(|cell, _| sides.contains_key(cell));
        for (cell, side) in &sides {
            let reached = !side.linked.is_empty() || !side.holders.is_empty();
            plan.cells.insert(cell.clone(), reached);
            plan.is_door |= !side.linked.is_empty();
            let mut step = 0;
            if reached {
                self.unreached.remove(cell);
            } else {
                let since = *self.unreached.entry(cell.clone()).or_insert(now);
                step = (now.since(since).as_millis() / self.config.search.as_millis()) as usize;
            }
            self.plan_links(&own, side, step, &mut plan);
        }
        plan.wanted = plan.envoys.clone();
        self.called.retain(|_, at| now.since(*at) < self.config.linger);
        plan.wanted.extend(self.called.keys());
        let far = sides.values().flat_map(|side| &side.known);
        let resting = far.copied().filter(|node| !plan.wanted.contains(node)).collect();
        plan.resting = Arc::new(resting);
        let mut ways = BTreeMap::new();
        for (cell, member) in told.believed(wall) {
            let side = &sides[cell];
            let held = side.holders.iter().filter(|(_, linked)| **linked).map(|(node, _)| *node);
            let gate = rank::nearest_by_hash(self.me, side.linked.iter().copied());
            let gate = gate.or_else(|| rank::nearest_by_hash(self.me, held));
            let is_near = member.node == self.me || live.contains(&member.node);
            if let Some(gate) = gate.filter(|gate| !is_near && *gate != member.node) {
                ways.insert(member.node, gate);
            }
        }
        plan.ways = Arc::new(ways);
        plan
    }

    fn sides(&self, told: &Cells, seen: &Now, live: &BTreeSet<NodeId>) -> BTreeMap<CellName, Side> {
        let mut sides = BTreeMap::<CellName, Side>::new();
        let mut names = BTreeMap::new();
        for (cell, told) in &told.told {
            let others = told.summary.members.iter().map(|member| member.node);
            let others: Vec<NodeId> = others.filter(|node| *node != self.me).collect();
            names.extend(others.iter().map(|node| (reach::short(*node), cell.clone())));
            let mut ranked = ranked(cell, others);
            ranked.retain(|node| !live.contains(node));
            let known = ranked.iter().copied().collect();
            sides.insert(cell.clone(), Side { is_told: true, ranked, known, ..Side::default() });
        }
        for (node, cell) in &seen.met {
            if *cell != self.cell && *node != self.me && !live.contains(node) {
                let side = sides.entry(cell.clone()).or_default();
                side.known.insert(*node);
                side.linked.extend(seen.linked.get(node));
            }
        }
        for (cell, side) in &mut sides {
            if !side.is_told {
                side.ranked = ranked(cell, side.known.iter().copied());
            }
        }
        for near in &seen.near {
            for name in near.report.iter().flat_map(|report| report.connected()) {
                let side = names.get(&name).and_then(|cell| sides.get_mut(cell));
                if let Some(side) = side {
                    side.holders.insert(near.node, near.linked);
                }
            }
        }
        sides
    }

    fn plan_links(&self, own: &[NodeId], side: &Side, step: usize, plan: &mut Plan) {
        let count = self.config.ambassadors;
        let holds = |node: &&NodeId| match **node == self.me {
            true => !side.linked.is_empty(),
            false => side.holders.contains_key(*node),
        };
        let holding = own.iter().filter(holds);
        let others = own.iter().filter(|node| !holds(node));
        let ours: BTreeSet<NodeId> = holding.chain(others).take(count).copied().collect();
        let ours: Vec<NodeId> = own.iter().copied().filter(|node| ours.contains(node)).collect();
        plan.ambassadors.extend(&ours);
        let place = ours.iter().position(|node| *node == self.me);
        let theirs = side.ranked.len().min(count);
        let mut envoys = BTreeSet::new();
        for (at, node) in side.ranked.iter().take(count).enumerate() {
            let is_mine =
                place.is_some_and(|place| at % ours.len() == place || place % theirs == at);
            envoys.extend(Some(*node).filter(|_| is_mine));
        }
        if step > 0 && !side.ranked.is_empty() {
            let seeker = own[step % own.len()];
            let sought = side.ranked[(step / own.len() + step % own.len()) % side.ranked.len()];
            plan.ambassadors.insert(seeker);
            if seeker == self.me || place.is_some() {
                envoys.insert(sought);
            }
        }
        if (place.is_some() || !side.is_told) && envoys.is_disjoint(&side.linked) {
            envoys.extend(&side.linked);
        }
        plan.envoys.extend(envoys);
    }
}

const CELLS: usize = 4;
const NODES: usize = 4;

/// Something that happens between two looks. Numbers stand for nodes, over all cells.
#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    WallSet(i64),
    /// A neighbour comes or goes.
    Near(usize),
    /// It can be talked to, or not.
    Usable(usize),
    /// It reports connections to these, with round trips of so long.
    Reports(usize, Vec<usize>, u16),
    Linked(usize),
    Met(usize, usize),
    Called(usize),
    Summary(usize, Vec<usize>, u64),
    Gone(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let any_node = || 0..CELLS * NODES;
    let some = || prop::collection::vec(0..CELLS * NODES, 0..6);
    prop_oneof![
        3 => (0u64..40_000).prop_map(Step::Wait),
        1 => (-3_000_000i64..3_000_000).prop_map(Step::WallSet),
        2 => (1..NODES).prop_map(Step::Near),
        1 => (1..NODES).prop_map(Step::Usable),
        3 => (1..NODES, some(), 0u16..3).prop_map(|(by, of, rtt)| Step::Reports(by, of, rtt)),
        2 => any_node().prop_map(Step::Linked),
        2 => (any_node(), 0..CELLS).prop_map(|(node, cell)| Step::Met(node, cell)),
        2 => any_node().prop_map(Step::Called),
        2 => (0..CELLS, some(), 0u64..3_000_000).prop_map(|(of, who, at)| Step::Summary(of, who, at)),
        1 => (0..CELLS).prop_map(Step::Gone),
    ]
}

fn numbered(number: usize) -> NodeId {
    node(number / NODES, number % NODES)
}

/// This node, what it sees, and the summaries that there are.
struct Schedule {
    cells: Cells,
    anew: Anew,
    seen: Now,
    summaries: BTreeMap<usize, (Version, Summary)>,
    millis: u64,
    wall: i64,
}

impl Schedule {
    fn new() -> Self {
        let (me, home, config) = (node(0, 0), cell(0), Config::default());
        let anew = Anew {
            me,
            cell: home.clone(),
            config,
            unreached: BTreeMap::new(),
            called: BTreeMap::new(),
        };
        let (seen, summaries) = (Now::default(), BTreeMap::new());
        Self { cells: Cells::new(me, home, config), anew, seen, summaries, millis: 0, wall: 0 }
    }

    fn take(&mut self, step: Step) {
        let near = |number: usize| move |near: &&mut Near| near.node == node(0, number);
        match step {
            Step::Wait(millis) => self.millis += millis,
            Step::WallSet(millis) => self.wall = millis,
            Step::Near(number) => {
                let node = node(0, number);
                let before = self.seen.near.len();
                self.seen.near.retain(|near| near.node != node);
                if self.seen.near.len() == before {
                    self.seen.near.push(Near { node, linked: true, report: None });
                }
            }
            Step::Usable(number) => {
                if let Some(near) = self.seen.near.iter_mut().find(near(number)) {
                    near.linked = !near.linked;
                }
            }
            Step::Reports(number, of, rtt_millis) => {
                let seen = of.into_iter().map(|of| (numbered(of), Seen::Direct { rtt_millis }));
                if let Some(near) = self.seen.near.iter_mut().find(near(number)) {
                    near.report = Some(Arc::new(Report::new(seen)));
                }
            }
            Step::Linked(number) => {
                let node = numbered(number);
                if !self.seen.linked.remove(&node) {
                    self.seen.linked.insert(node);
                }
            }
            Step::Met(number, of) => _ = self.seen.met.insert(numbered(number), cell(of)),
            Step::Called(number) => {
                let now = at(self.millis);
                self.cells.called(now, numbered(number));
                self.anew.called.insert(numbered(number), now);
            }
            Step::Summary(of, who, millis) => {
                let version = written(numbered(of * NODES), millis);
                let who: BTreeSet<NodeId> = who.into_iter().map(numbered).collect();
                self.summaries.insert(of, (version, summary(who)));
                self.hear();
            }
            Step::Gone(of) => {
                self.summaries.remove(&of);
                self.hear();
            }
        }
    }

    fn hear(&mut self) {
        let names: BTreeMap<usize, CellName> =
            self.summaries.keys().map(|of| (*of, cell(*of))).collect();
        let all = self.summaries.iter().map(|(of, (version, what))| (&names[of], *version, what));
        self.cells.hear(all, &BTreeMap::new());
    }
}

proptest! {
    #[test]
    fn a_plan_is_the_one_that_is_worked_out_from_nothing(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut all = Schedule::new();
        for step in steps {
            all.take(step.clone());
            let (now, wall) = (at(all.millis), UnixMillis(WALL.0.saturating_add_signed(all.wall)));
            let Schedule { cells, anew, seen, .. } = &mut all;
            let plan = cells.look(now, wall, &seen.near, &seen.linked, &seen.met);
            let long_way = anew.look(now, wall, cells, seen);
            prop_assert_eq!(&*plan, &long_way, "after {:?}", step);
            let again = cells.look(now, wall, &seen.near, &seen.linked, &seen.met);
            prop_assert!(Arc::ptr_eq(&plan, &again));
        }
    }
}

#[test]
fn another_round_trip_is_another_report_and_the_same_plan() {
    let mut all = Schedule::new();
    let others: Vec<usize> = (NODES..2 * NODES).collect();
    all.take(Step::Summary(1, others, 0));
    all.take(Step::Near(1));
    let mut plans = Vec::new();
    for rtt_millis in 1..4 {
        all.take(Step::Reports(1, vec![NODES], rtt_millis));
        let Schedule { cells, seen, .. } = &mut all;
        let plan = cells.look(at(500), WALL, &seen.near, &seen.linked, &seen.met);
        assert!(!cells.seen.is_stale);
        assert_eq!(cells.seen.nodes, 1);
        plans.push(plan);
    }
    assert!(plans.iter().all(|plan| Arc::ptr_eq(plan, &plans[0])));
    assert!(!plans[0].ways.is_empty());
}
