//! A mesh in a box: nodes with every state machine of `mesh::core`, on a network, disks and clocks
//! that are made up from a seed.
//!
//! One thread, one queue of events, one source of randomness. What happens is noted in a
//! [`trace`](crate::trace) whose hash is the same whenever the seed is, and as [`Happened`] for the
//! oracles and the report.

pub mod clock;
pub mod disk;
pub mod fabric;
mod faults;
pub mod happening;
mod hostile;
pub mod nodes;
mod pipes;
mod plan;
mod quic;
mod request;
mod slots;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use wattle_contracts::id::{CellName, Digest, NodeId, Subject};
use wattle_contracts::key::SigningKey;
use wattle_contracts::key::remembered::Remembered;
use wattle_contracts::record::{Labels, RecordBody, RecordKey};
use wattle_mesh::core::redial::Target;
use wattle_mesh::core::time::Time;

use self::clock::Clocks;
use self::disk::Disk;
use self::fabric::{Fabric, Quality};
use self::happening::{Happened, Happening};
use self::pipes::{Pipe, Side};
pub use self::plan::{CallPlan, Plan};
pub use self::request::RequestPlan;
use self::slots::Slots;
use crate::machine::{
    Calling, Cx, Effect, Fidelity, Identity, Machine, Payload, Settings, Then, Wake,
};
use crate::mutant::Mutant;
use crate::queue::Queue;
use crate::rng::Seeded;
use crate::trace::{Trace, micros};
use crate::wasm::Input;

/// A simulated mesh. Nodes are numbered from zero, and are down at first.
#[derive(Debug)]
pub struct Lattice {
    now: Time,
    rng: Seeded,
    fabric: Fabric,
    settings: Arc<Settings>,
    nodes: Vec<Node>,
    numbers: BTreeMap<NodeId, usize>,
    by_address: BTreeMap<String, usize>,
    pipes: Slots<Pipe>,
    /// The connections, where they are real ones and not pipes.
    quic: Option<quic::Net>,
    next_pipe: u64,
    /// When which node last dialled which together with it: what opens a NAT.
    knocks: BTreeMap<(usize, usize), Time>,
    next_call: u64,
    queue: Queue<Event>,
    trace: Trace,
    seen: Vec<Happened>,
    traffic: Traffic,
    /// What machines want done is collected here, again and again.
    effects: Vec<Effect>,
    /// What one node has found signed, the next need not find out again.
    checked: Remembered,
}

/// What was sent so far, by all nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// How many messages, of all kinds but the two below.
    pub messages: u64,
    /// How many of them were of the plane of records.
    pub record_messages: u64,
    /// How many pings of connections and answers to them.
    pub pings: u64,
    /// How many packets for handshakes: four of each side that takes part.
    pub dials: u64,
    /// Bytes of records.
    pub records: u64,
    /// Bytes of gossip.
    pub gossip: u64,
    /// Bytes of calls and of messages for components.
    pub calls: u64,
    /// Bytes of everything else between nodes.
    pub other: u64,
}

#[derive(Debug)]
struct Node {
    id: NodeId,
    key: Arc<SigningKey>,
    name: String,
    labels: Arc<Labels>,
    cell: CellName,
    hints: Vec<String>,
    circle: Option<Arc<BTreeSet<NodeId>>>,
    clocks: Clocks,
    disk: Disk,
    /// How long a write takes.
    disk_takes: Duration,
    /// The last flush that was begun or is to begin: from when, until when.
    flush: (Time, Time),
    /// How much later everything reaches it.
    slow: Duration,
    is_hostile: bool,
    machine: Option<Box<Machine>>,
    /// Counts its starts and stops, so that what was meant for an earlier life is dropped.
    life: u64,
    bytes: u64,
}

/// What is to happen.
#[derive(Debug)]
enum Event {
    Node { to: usize, life: u64, what: ForNode },
    Arrive { pipe: u64, side: Side, payload: Payload },
    Resume { pipe: u64, side: Side },
    Beat { pipe: u64 },
    Idle { pipe: u64, side: Side },
    Closed { pipe: u64, side: Side },
    Quic(quic::Due),
    Established { from: (usize, u64), to: (usize, u64), target: Target },
}

/// What is to happen to one node, if it is still the same life of it.
#[derive(Debug)]
enum ForNode {
    /// What it wanted to be woken for, and when, by its own clock.
    Wake(Time, Wake),
    Synced(u64),
    Written {
        then: Then,
        is_done: bool,
    },
    DialFailed(Target),
    Knocked(NodeId),
    Hostile,
    Stop,
}

/// Where a node is reached.
pub(crate) fn address(node: NodeId) -> String {
    let bytes: [u8; 8] = node.as_bytes().first_chunk().copied().unwrap_or_default();
    format!("sim/{:016x}", u64::from_be_bytes(bytes))
}

impl Lattice {
    /// A mesh of these nodes, all down, with links that are all so.
    pub fn new(seed: u64, plans: &[Plan], usual: Quality, settings: Settings) -> Self {
        let key = |number| SigningKey::from_seed(seed_of(number)).ok().map(Arc::new);
        let keys: Vec<Arc<SigningKey>> = (0..plans.len()).filter_map(key).collect();
        let ids: Vec<NodeId> = keys.iter().map(|key| NodeId::from_bytes(key.public())).collect();
        let id = |number: &usize| ids.get(*number).copied();
        let node = |(plan, key): (&Plan, &Arc<SigningKey>)| {
            let circle = plan.circle.as_ref().map(|all| all.iter().filter_map(id).collect());
            Node {
                id: NodeId::from_bytes(key.public()),
                key: Arc::clone(key),
                name: plan.name.clone(),
                labels: Arc::new(plan.labels.clone()),
                cell: plan.cell(),
                hints: plan.join.iter().filter_map(id).map(address).collect(),
                circle: circle.map(Arc::new),
                clocks: Clocks::right(),
                disk: Disk::default(),
                disk_takes: Duration::from_millis(2),
                flush: (Time::ZERO, Time::ZERO),
                slow: Duration::ZERO,
                is_hostile: false,
                machine: None,
                life: 0,
                bytes: 0,
            }
        };
        let quic = (settings.fidelity == Fidelity::Quic)
            .then(|| quic::Net::new(keys.iter().map(|key| &**key), &settings.timing));
        Self {
            now: Time::ZERO,
            rng: Seeded::new(seed),
            fabric: Fabric::new(usual),
            settings: Arc::new(settings),
            nodes: plans.iter().zip(&keys).map(node).collect(),
            numbers: ids.iter().enumerate().map(|(number, id)| (*id, number)).collect(),
            by_address: ids.iter().enumerate().map(|(n, id)| (address(*id), n)).collect(),
            pipes: Slots::default(),
            quic,
            next_pipe: 0,
            knocks: BTreeMap::new(),
            next_call: 0,
            queue: Queue::default(),
            trace: Trace::default(),
            seen: Vec::new(),
            traffic: Traffic::default(),
            effects: Vec::new(),
            checked: Remembered::default(),
        }
    }

    /// The ids of the first nodes of every mesh.
    pub fn ids_of(count: usize) -> impl Iterator<Item = NodeId> {
        let key = |number| SigningKey::from_seed(seed_of(number)).ok();
        (0..count).filter_map(key).map(|key| NodeId::from_bytes(key.public()))
    }

    /// Lets time pass.
    pub fn run_until(&mut self, end: Time) {
        self.remembering(|lattice| {
            while let Some((at, event)) = lattice.queue.take(end) {
                lattice.now = at;
                lattice.happen(event);
            }
        });
        self.now = self.now.max(end);
    }

    /// Does something during which no signature is checked that was found good before.
    fn remembering<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> T {
        let mut checked = std::mem::take(&mut self.checked);
        let done = checked.during(|| act(self));
        self.checked = checked;
        done
    }

    /// Changes a record at a node, as a person would. False if it is down.
    pub fn edit(&mut self, number: usize, key: RecordKey, body: RecordBody) -> bool {
        self.remembering(|lattice| lattice.with(number, |machine, cx| machine.edit(key, body, cx)))
    }

    /// Publishes a durable message at a node. False if it is down.
    pub fn publish(&mut self, number: usize, subject: &Subject, size: usize) -> bool {
        self.with(number, |machine, cx| _ = machine.publish(subject, size, None, None, cx))
    }

    /// The same with a body that a real component reads.
    pub fn publish_body(&mut self, number: usize, subject: &Subject, body: Arc<[u8]>) -> bool {
        self.with(number, |machine, cx| _ = machine.publish(subject, 0, Some(body), None, cx))
    }

    /// Makes a call at a node: of `to`, or where a link of `from` leads. False if it is down, or if
    /// `from` does not run there.
    pub fn call(&mut self, number: usize, what: &CallPlan) -> bool {
        self.next_call += 1;
        let calling = Calling {
            call: self.next_call,
            from: what.from.clone(),
            to: what.to.clone(),
            contract: what.contract.clone(),
            function: what.function.clone(),
            bytes: what.bytes,
            time: what.time,
            input: what.arguments.clone().map_or(Input::Nothing, Input::Text),
            asked_by: None,
        };
        let runs = |machine: &Machine| what.from.as_ref().is_none_or(|from| machine.runs(from));
        if !self.machine(number).is_some_and(runs) {
            return false;
        }
        self.with(number, |machine, cx| machine.call(calling, cx))
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Node { to, life, what } => {
                if self.nodes.get(to).is_some_and(|node| node.life == life) {
                    self.happen_to(to, what);
                }
            }
            Event::Arrive { pipe, side, payload } => self.arrive(pipe, side, payload),
            Event::Resume { pipe, side } => self.resume(pipe, side),
            Event::Beat { pipe } => self.beat(pipe),
            Event::Idle { pipe, side } => self.idle(pipe, side),
            Event::Closed { pipe, side } => self.close_side(pipe, side),
            Event::Quic(due) => self.quic_due(due),
            Event::Established { from, to, target } => self.established(from, to, &target),
        }
    }

    fn happen_to(&mut self, to: usize, what: ForNode) {
        match what {
            ForNode::Wake(at, wake) => self.wake(to, at, wake),
            ForNode::Synced(write) => {
                if let Some(node) = self.nodes.get_mut(to) {
                    node.disk.done(write);
                }
            }
            ForNode::Written { then, is_done } => {
                self.with(to, |machine, cx| machine.written(then, is_done, cx));
            }
            ForNode::DialFailed(target) => {
                self.with(to, |machine, cx| machine.dial_failed(&target, cx));
            }
            ForNode::Knocked(by) => _ = self.with(to, |machine, cx| machine.knocked(by, cx)),
            ForNode::Hostile => self.be_hostile(to),
            ForNode::Stop => self.stop_now(to),
        }
    }

    /// Wakes a node, unless its clock runs slower than when that was planned: then later.
    fn wake(&mut self, number: usize, at: Time, what: Wake) {
        let Some(node) = self.nodes.get(number) else { return };
        if node.clocks.local(self.now) < at {
            let when = node.clocks.when(self.now, at);
            return self.plan(when, number, ForNode::Wake(at, what));
        }
        self.with(number, |machine, cx| machine.wake(what, cx));
    }

    /// Lets a node's machine do something, and does what it then wants done. False if it is down.
    fn with(&mut self, number: usize, act: impl FnOnce(&mut Machine, &mut Cx<'_>)) -> bool {
        let Self { nodes, rng, now, effects, .. } = self;
        let Some(node) = nodes.get_mut(number) else { return false };
        let Some(machine) = node.machine.as_mut() else { return false };
        let mut out = std::mem::take(effects);
        let (local, wall) = (node.clocks.local(*now), node.clocks.wall(*now));
        act(machine, &mut Cx { now: local, wall, age: node.clocks.age(*now), rng, out: &mut out });
        self.perform(number, &mut out);
        self.effects = out;
        true
    }

    fn perform(&mut self, number: usize, out: &mut Vec<Effect>) {
        for effect in out.drain(..) {
            match effect {
                Effect::Send { connection, payload } => self.send(number, connection, payload),
                Effect::Dial { target, addresses } => self.dial(number, target, &addresses),
                Effect::DialTogether { node } => self.dial_together(number, node),
                Effect::Close { connection } => self.close(number, connection),
                Effect::Write { ops, then } => self.write(number, ops, then),
                Effect::Reload => self.reload(number),
                Effect::Happens(what) => self.note(number, what),
                Effect::Wake { at, what } => {
                    let Some(node) = self.nodes.get(number) else { continue };
                    let when = node.clocks.when(self.now, at);
                    if when != Time::NEVER {
                        self.plan(when, number, ForNode::Wake(at, what));
                    }
                }
            }
        }
    }

    fn write(&mut self, number: usize, ops: Vec<disk::Op>, then: Then) {
        let now = self.now;
        let jitter = Duration::from_micros(self.rng.random_range(0..2000));
        let Some(node) = self.nodes.get_mut(number) else { return };
        let takes = node.disk_takes + jitter;
        let (begins, ends) = &mut node.flush;
        // What is asked for during a flush goes with the next one.
        match () {
            () if now >= *ends => (*begins, *ends) = (now, now.plus(takes)),
            () if now >= *begins => (*begins, *ends) = (*ends, ends.plus(takes)),
            () => {}
        }
        let due = *ends;
        let Some(write) = node.disk.write(ops) else {
            return self.plan(due, number, ForNode::Written { then, is_done: false });
        };
        let told = if self.settings.broken == Some(Mutant::SkipSync) { now } else { due };
        let reached = if told == now { now.plus(Duration::from_secs(60)) } else { due };
        self.plan(reached, number, ForNode::Synced(write));
        self.plan(told, number, ForNode::Written { then, is_done: true });
    }

    fn reload(&mut self, number: usize) {
        let Self { nodes, rng, now, .. } = self;
        let Some(node) = nodes.get_mut(number) else { return };
        let Some(machine) = node.machine.as_mut() else { return };
        let mut out = Vec::new();
        let (local, wall) = (node.clocks.local(*now), node.clocks.wall(*now));
        machine.load_records(
            node.disk.kept(),
            &mut Cx { now: local, wall, age: node.clocks.age(*now), rng, out: &mut out },
        );
        self.perform(number, &mut out);
    }

    fn plan(&mut self, at: Time, to: usize, what: ForNode) {
        let life = self.nodes.get(to).map_or(0, |node| node.life);
        self.queue.put(at, Event::Node { to, life, what });
    }

    fn note(&mut self, node: usize, what: Happening) {
        let (at, on) = (micros(self.now), node as u64);
        match &what {
            Happening::CallBegan { call, .. } => self.trace.note_numbers(&[at, on, 1, *call]),
            Happening::Executed { call } => self.trace.note_numbers(&[at, on, 2, *call]),
            Happening::CallEnded { call, outcome: Ok(()) } => {
                self.trace.note_numbers(&[at, on, 3, *call]);
            }
            what => self.trace.note(format_args!("{at} {on} {what}"), &[]),
        }
        self.seen.push(Happened { at: self.now, node, what });
    }

    fn identity(node: &Node) -> Identity {
        Identity {
            id: node.id,
            key: Arc::clone(&node.key),
            labels: Arc::clone(&node.labels),
            cell: node.cell.clone(),
            circle: node.circle.clone(),
        }
    }
}

fn seed_of(number: usize) -> [u8; 32] {
    *Digest::of(&(number as u64).to_le_bytes()).as_bytes()
}
