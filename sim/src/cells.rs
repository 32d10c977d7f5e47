//! Many cells in a box: the machines that decide who is an ambassador, when a summary is written and
//! how records travel, on connections that come up when one side wants them.
//!
//! What goes on inside of a cell is taken as given: every node sees those of its own cell that live,
//! [`NOTICE`] after they died, and to whom they have connections.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use wattle_contracts::control::{Control, RecordMessage};
use wattle_contracts::id::{AppName, CellName, Digest, NodeId};
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::{App, CellMember, RecordBody, RecordKey, Summary};
use wattle_contracts::trust::UnixMillis;
use wattle_contracts::wire;
use wattle_mesh::core::cells::author::{Author, Current};
use wattle_mesh::core::cells::{Cells, Config, Near, Plan};
use wattle_mesh::core::membership::reach::{Report, Seen};
use wattle_mesh::core::records::{Limits, Output, Records};
use wattle_mesh::core::time::Time;

use crate::rng::Seeded;

/// After so long the other nodes of its cell no longer see a node that died.
pub const NOTICE: Duration = Duration::from_secs(3);

/// Between two looks of a node at the cells.
const LOOK: Duration = Duration::from_millis(500);

/// The world moves on by so much.
const STEP: Duration = Duration::from_millis(20);

/// The wall clock when the world begins.
const BEGINNING: UnixMillis = UnixMillis(1_800_000_000_000);

/// Cells of nodes.
pub struct CellWorld {
    now: Time,
    rng: Seeded,
    nodes: BTreeMap<NodeId, Member>,
    links: BTreeSet<(NodeId, NodeId)>,
    /// Messages on their way, by when they arrive.
    wire: BTreeMap<(Time, u64), (NodeId, NodeId, RecordMessage)>,
    sent: u64,
    latency: Duration,
    cut: Option<usize>,
    traffic: Traffic,
}

/// What was sent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traffic {
    /// Bytes of control messages.
    pub bytes: u64,
    /// Of them, those from one cell to another.
    pub between_cells: u64,
    /// Messages.
    pub messages: u64,
}

struct Member {
    cell: usize,
    key: SigningKey,
    cells: Cells,
    author: Author,
    records: Records,
    plan: Arc<Plan>,
    died: Option<Time>,
    up: BTreeSet<(NodeId, bool)>,
    next_look: Time,
    /// At which root the summaries were last read.
    read: Option<[u8; 32]>,
}

fn name(cell: usize) -> CellName {
    format!("cell-{cell}").parse().unwrap_or_default()
}

impl CellWorld {
    /// So many cells of so many nodes each. They know the other nodes of their own cell, and one
    /// node of each cell knows one of the next.
    pub fn new(seed: u64, cells: usize, size: usize) -> Self {
        let mut world = Self {
            now: Time::ZERO,
            rng: Seeded::new(seed),
            nodes: BTreeMap::new(),
            links: BTreeSet::new(),
            wire: BTreeMap::new(),
            sent: 0,
            latency: Duration::from_millis(20),
            cut: None,
            traffic: Traffic::default(),
        };
        let mut doors = Vec::new();
        for cell in 0..cells {
            for number in 0..size {
                let seed = *Digest::of(format!("{cell}/{number}").as_bytes()).as_bytes();
                let Ok(key) = SigningKey::from_seed(seed) else { continue };
                let id = NodeId::from_bytes(key.public());
                if number == 0 {
                    doors.push(id);
                }
                let records = Records::load(id, Limits::default(), [], &mut Vec::new());
                let member = Member {
                    cell,
                    key,
                    cells: Cells::new(id, name(cell), Config::default()),
                    author: Author::new(id, Time::ZERO),
                    records,
                    plan: Arc::default(),
                    died: None,
                    up: BTreeSet::new(),
                    next_look: Time::ZERO,
                    read: None,
                };
                world.nodes.insert(id, member);
            }
        }
        for pair in doors.windows(2) {
            if let [one, other] = pair {
                world.links.insert((*one.min(other), *one.max(other)));
            }
        }
        world
    }

    /// The nodes of a cell that live, in the order of their ids.
    pub fn cell(&self, cell: usize) -> Vec<NodeId> {
        let live = self.nodes.iter().filter(|(_, node)| node.died.is_none() && node.cell == cell);
        live.map(|(id, _)| *id).collect()
    }

    /// What a node plans.
    pub fn plan(&self, node: NodeId) -> Option<&Plan> {
        self.nodes.get(&node).map(|node| &*node.plan)
    }

    /// How many nodes of other cells a node believes to live.
    pub fn believed(&self, node: NodeId) -> usize {
        self.nodes.get(&node).map_or(0, |node| node.cells.believed(self.wall()).count())
    }

    /// The connections between cells.
    pub fn links_between_cells(&self) -> usize {
        self.links.len()
    }

    /// What was sent since the beginning.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Declares an app on a node.
    pub fn declare(&mut self, node: NodeId, app: &str) -> Option<RecordKey> {
        let app: AppName = app.parse().ok()?;
        let key = RecordKey::App(app.clone());
        self.put(node, key.clone(), RecordBody::App(Box::new(App::new(app))));
        Some(key)
    }

    /// On how many live nodes a record is.
    pub fn holders(&self, key: &RecordKey) -> usize {
        let live = self.nodes.values().filter(|node| node.died.is_none());
        live.filter(|node| node.records.get(key).is_some()).count()
    }

    /// Whether all live nodes hold the same records.
    pub fn agree(&mut self) -> bool {
        let live = self.nodes.values_mut().filter(|node| node.died.is_none());
        let roots: BTreeSet<[u8; 32]> = live.map(|node| node.records.root()).collect();
        roots.len() == 1
    }

    /// Ends a node.
    pub fn kill(&mut self, node: NodeId) {
        if let Some(member) = self.nodes.get_mut(&node) {
            member.died = Some(self.now);
        }
        self.links.retain(|(one, other)| *one != node && *other != node);
    }

    /// Cuts a cell off from all others.
    pub fn cut(&mut self, cell: usize) {
        self.cut = Some(cell);
        let nodes = &self.nodes;
        let is_in = |node: &NodeId| nodes.get(node).is_some_and(|node| node.cell == cell);
        self.links.retain(|(one, other)| !is_in(one) && !is_in(other));
    }

    /// Takes the cut back.
    pub fn heal(&mut self) {
        self.cut = None;
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now.plus(time);
        while self.now < end {
            self.step();
        }
    }

    /// Lets time pass until something holds; how long that took, `None` if longer than `limit`.
    pub fn run_until(
        &mut self,
        limit: Duration,
        mut holds: impl FnMut(&mut Self) -> bool,
    ) -> Option<Duration> {
        let begun = self.now;
        while self.now.since(begun) <= limit {
            if holds(self) {
                return Some(self.now.since(begun));
            }
            for _ in 0..5 {
                self.step();
            }
        }
        None
    }

    fn wall(&self) -> UnixMillis {
        BEGINNING.plus(self.now.elapsed())
    }

    fn step(&mut self) {
        self.now = self.now.plus(STEP);
        while let Some(entry) = self.wire.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let (from, to, message) = entry.remove();
            self.deliver(from, to, message);
        }
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        let reports = self.reports(&ids);
        for id in ids {
            self.tend(id, &reports);
        }
    }

    /// Whom those that look now hear of by the reports of the others.
    fn reports(&self, ids: &[NodeId]) -> BTreeMap<NodeId, Arc<Report>> {
        let is_due = |id: &&NodeId| self.nodes.get(id).is_some_and(|n| n.next_look <= self.now);
        if !ids.iter().any(|id| is_due(&id)) {
            return BTreeMap::new();
        }
        let mut far = BTreeMap::<NodeId, Vec<NodeId>>::new();
        for (one, other) in &self.links {
            far.entry(*one).or_default().push(*other);
            far.entry(*other).or_default().push(*one);
        }
        let seen = |far: Vec<NodeId>| {
            let direct = Seen::Direct { rtt_millis: 1 };
            Arc::new(Report::new(far.into_iter().map(|node| (node, direct))))
        };
        far.into_iter().map(|(node, far)| (node, seen(far))).collect()
    }

    fn is_seen(&self, node: &Member) -> bool {
        node.died.is_none_or(|died| self.now.since(died) < NOTICE)
    }

    fn tend(&mut self, id: NodeId, reports: &BTreeMap<NodeId, Arc<Report>>) {
        let (now, wall) = (self.now, self.wall());
        let Some(me) = self.nodes.get(&id).filter(|node| node.died.is_none()) else { return };
        if me.next_look <= now {
            self.look(id, reports);
        }
        let mut out = Vec::new();
        if let Some(me) = self.nodes.get_mut(&id)
            && me.records.wake_at() <= now
        {
            me.records.tick(now, wall, &mut self.rng, &mut out);
        }
        self.perform(id, out);
    }

    fn look(&mut self, id: NodeId, reports: &BTreeMap<NodeId, Arc<Report>>) {
        let (now, wall) = (self.now, self.wall());
        let Some(cell) = self.nodes.get(&id).map(|me| me.cell) else { return };
        let mine = self.nodes.iter().filter(|(other, node)| node.cell == cell && **other != id);
        let near: Vec<Near> = mine
            .filter(|(_, node)| self.is_seen(node))
            .map(|(other, node)| Near {
                node: *other,
                linked: node.died.is_none(),
                report: reports.get(other).cloned(),
            })
            .collect();
        let far = self.links.iter().filter_map(|(one, other)| match id {
            _ if *one == id => Some(*other),
            _ if *other == id => Some(*one),
            _ => None,
        });
        let far: BTreeSet<NodeId> = far.collect();
        let cell_of = |node: &NodeId| self.nodes.get(node).map(|other| name(other.cell));
        let met = far.iter().filter_map(|node| Some((*node, cell_of(node)?))).collect();
        let jitter = self.rng.random_range(0.9..1.1);
        let Some(me) = self.nodes.get_mut(&id) else { return };
        me.next_look = now.plus(LOOK.mul_f64(jitter));
        let root = me.records.root();
        if me.read != Some(root) {
            let records: Vec<_> = me.records.iter().cloned().collect();
            let summaries = records.iter().filter_map(|record| match (&record.key, &record.body) {
                (RecordKey::Cell(cell), RecordBody::Cell(summary)) => {
                    Some((cell, record.version, summary))
                }
                _ => None,
            });
            me.cells.hear(summaries, &met);
            me.read = Some(root);
        }
        me.plan = me.cells.look(now, wall, &near, &far, &met);
        let (plan, live) = (Arc::clone(&me.plan), near.iter().map(|near| near.node).collect());
        self.connect(id, &plan, &far);
        self.note_peers(id, &near, &plan);
        self.write_summary(id, &plan, live);
    }

    /// Makes the connections that a node wants, and closes those that neither end does.
    fn connect(&mut self, id: NodeId, plan: &Plan, far: &BTreeSet<NodeId>) {
        let cell_of = |node: &NodeId| self.nodes.get(node).map(|node| node.cell);
        for other in &plan.wanted {
            let lives = self.nodes.get(other).is_some_and(|node| node.died.is_none());
            let is_cut = self
                .cut
                .is_some_and(|cut| (cell_of(&id) == Some(cut)) != (cell_of(other) == Some(cut)));
            if lives && !is_cut {
                self.links.insert((id.min(*other), id.max(*other)));
            }
        }
        for other in far.difference(&plan.wanted) {
            let wants = |node: &Member| node.plan.wanted.contains(&id);
            // Whoever has just been met has not said yet what it wants.
            let settled = self.now.elapsed() > Duration::from_secs(5);
            if settled && !self.nodes.get(other).is_some_and(wants) {
                self.links.remove(&(id.min(*other), id.max(*other)));
            }
        }
    }

    fn note_peers(&mut self, id: NodeId, near: &[Near], plan: &Plan) {
        let near = near.iter().filter(|near| near.linked).map(|near| (near.node, true));
        let linked = |far: &&NodeId| self.links.contains(&(id.min(**far), id.max(**far)));
        let far = plan.envoys.iter().filter(linked).map(|far| (*far, false));
        let up: BTreeSet<(NodeId, bool)> = near.chain(far).collect();
        let (now, mut out) = (self.now, Vec::new());
        let Some(me) = self.nodes.get_mut(&id) else { return };
        for (gone, _) in me.up.difference(&up) {
            me.records.peer_down(*gone);
        }
        for (come, is_near) in up.difference(&me.up) {
            match is_near {
                true => me.records.peer_up(now, *come, &mut out),
                false => me.records.envoy_up(now, *come, &mut out),
            }
        }
        me.up = up;
        self.perform(id, out);
    }

    fn write_summary(&mut self, id: NodeId, plan: &Plan, mut live: Vec<NodeId>) {
        let own = self.nodes.get(&id).map(|me| RecordKey::Cell(name(me.cell)));
        let me = self.nodes.get(&id);
        let is_written = own.is_some_and(|key| me.is_some_and(|me| me.records.get(&key).is_some()));
        if !plan.is_author(is_written) {
            return;
        }
        live.push(id);
        live.sort();
        let member = |node: NodeId| CellMember {
            node,
            addresses: vec!["/ip4/10.123.45.67/udp/4747/quic-v1".into()],
            labels: [("role".to_owned(), "compute".to_owned())].into(),
            serves: BTreeMap::new(),
        };
        let mine = Summary { members: live.into_iter().map(member).collect() };
        let bytes = wire::encode(&mine).map_or(0, |bytes| bytes.len());
        let (now, wall) = (self.now, self.wall());
        let Some(me) = self.nodes.get_mut(&id) else { return };
        let key = RecordKey::Cell(name(me.cell));
        let current = me.records.get(&key).cloned();
        let current = current.as_deref().and_then(|record| match &record.body {
            RecordBody::Cell(summary) => Some(Current {
                writer: record.version.writer,
                at: UnixMillis(record.version.at.millis),
                summary,
            }),
            _ => None,
        });
        if me.author.is_due(now, wall, current, &mine, bytes) {
            me.author.wrote(now);
            self.put(id, key, RecordBody::Cell(mine));
        }
    }

    fn put(&mut self, id: NodeId, key: RecordKey, body: RecordBody) {
        let (now, wall) = (self.now, self.wall());
        let Some(me) = self.nodes.get_mut(&id) else { return };
        let mut out = Vec::new();
        if let Ok(record) = me.records.sign(wall, &me.key, key, body) {
            let _ = me.records.put(now, wall, record, &mut self.rng, &mut out);
        }
        self.perform(id, out);
    }

    fn deliver(&mut self, from: NodeId, to: NodeId, message: RecordMessage) {
        let (now, wall) = (self.now, self.wall());
        let cell = |node: &NodeId| self.nodes.get(node).map(|node| node.cell);
        let crosses = cell(&from) != cell(&to);
        if crosses && !self.links.contains(&(from.min(to), from.max(to))) {
            return;
        }
        let Some(node) = self.nodes.get_mut(&to).filter(|node| node.died.is_none()) else { return };
        let mut out = Vec::new();
        node.records.handle(now, wall, from, message, &mut self.rng, &mut out);
        self.perform(to, out);
    }

    fn perform(&mut self, from: NodeId, out: Vec<Output>) {
        for output in out {
            let Output::Send { to, message } = output else { continue };
            let cell = |node: &NodeId| self.nodes.get(node).map(|node| node.cell);
            let crosses = cell(&from) != cell(&to);
            let control = Control::Records(message);
            let bytes = wire::encode(&control).map_or(0, |bytes| bytes.len() as u64 + 4);
            self.traffic.messages += 1;
            self.traffic.bytes += bytes;
            if crosses {
                self.traffic.between_cells += bytes;
            }
            let Control::Records(message) = control else { continue };
            self.sent += 1;
            self.wire.insert((self.now.plus(self.latency), self.sent), (from, to, message));
        }
    }
}
