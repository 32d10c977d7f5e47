//! The nodes, the queue of what happens next, and time.

mod faults;
mod node;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::Rng;
use rand::seq::index;
use wattle_contracts::control::RecordMessage;
use wattle_contracts::id::{Digest, NodeId};
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::{App, RecordBody, RecordKey, Version};
use wattle_contracts::trust::UnixMillis;
use wattle_contracts::wire;
use wattle_mesh::core::records::{Limits, Output, Records, Refusal};
use wattle_mesh::core::time::Time;

use crate::network::{Links, Network};
use crate::queue::Queue;
use crate::rng::Seeded;
use crate::trace::Trace;
use node::{Node, seed_of};

/// The wall clock when a run begins.
const BEGINNING: UnixMillis = UnixMillis(1_800_000_000_000);

/// How long it takes at most until two nodes notice that they can talk, or no longer can.
const NOTICE: Duration = Duration::from_secs(2);

/// A simulated mesh. Nodes are numbered from zero.
#[derive(Debug)]
pub struct World {
    now: Time,
    rng: Seeded,
    network: Network,
    limits: Limits,
    /// With how many others a node has a connection of its own making.
    degree: usize,
    nodes: Vec<Node>,
    numbers: BTreeMap<NodeId, usize>,
    queue: Queue<Event>,
    trace: Trace,
    messages: u64,
    bytes: u64,
    refused: u64,
    violations: Vec<String>,
}

/// What happens to a node, if it is still the same life of it.
#[derive(Debug)]
struct Event {
    to: usize,
    life: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Tick,
    Message {
        from: usize,
        message: RecordMessage,
    },
    /// Look whether that node can be talked to.
    Notice {
        peer: usize,
    },
}

impl World {
    /// A mesh of `nodes` that are all up and about to notice each other.
    pub fn new(seed: u64, nodes: usize, links: Links) -> Self {
        Self::with(seed, nodes, links, Limits::default(), nodes)
    }

    /// The same with limits, and where each node has connections to only `degree` others of its
    /// choice, and to those that chose it: what a large mesh can hold open.
    pub fn with(seed: u64, nodes: usize, links: Links, limits: Limits, degree: usize) -> Self {
        let keys = (0..nodes).filter_map(|number| SigningKey::from_seed(seed_of(number)).ok());
        let nodes: Vec<Node> = keys.map(Node::new).collect();
        let numbers = nodes.iter().enumerate().map(|(number, node)| (node.id, number)).collect();
        let mut world = Self {
            now: Time::ZERO,
            rng: Seeded::new(seed),
            network: Network::new(links),
            limits,
            degree,
            nodes,
            numbers,
            queue: Queue::default(),
            trace: Trace::default(),
            messages: 0,
            bytes: 0,
            refused: 0,
            violations: Vec::new(),
        };
        world.connect();
        for number in 0..world.nodes.len() {
            world.start(number);
        }
        world
    }

    /// Decides who can have a connection with whom.
    fn connect(&mut self) {
        let all = self.nodes.len();
        for number in 0..all {
            let chosen: Vec<usize> = match self.degree >= all {
                true => (0..all).collect(),
                false => index::sample(&mut self.rng, all, self.degree).into_vec(),
            };
            for other in chosen.into_iter().filter(|other| *other != number) {
                for (one, two) in [(number, other), (other, number)] {
                    if let Some(node) = self.nodes.get_mut(one) {
                        node.others.insert(two);
                    }
                }
            }
        }
    }

    /// How many nodes there are, up or down.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// What a clock that is right shows.
    pub fn right_time(&self) -> UnixMillis {
        BEGINNING.plus(self.now.elapsed())
    }

    /// The source of randomness, for who makes up a schedule.
    pub fn rng(&mut self) -> &mut Seeded {
        &mut self.rng
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now.plus(time);
        while let Some((at, event)) = self.queue.take(end) {
            self.now = at;
            self.happen(event);
        }
        self.now = end;
    }

    /// Lets time pass, step by step, until `done`, but not longer than `limit`. How long it took.
    pub fn run_until(
        &mut self,
        step: Duration,
        limit: Duration,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> Option<Duration> {
        let begin = self.now;
        while !done(self) {
            if self.now.since(begin) >= limit {
                return None;
            }
            self.run_for(step);
        }
        Some(self.now.since(begin))
    }

    /// Declares an app on a node, or its end. `None` if the node is down, or is killed before it
    /// could say that it is done; then the change may still have been made.
    pub fn declare(&mut self, number: usize, app: &str, exists: bool) -> Option<Version> {
        let name: wattle_contracts::id::AppName = app.parse().ok()?;
        let about = RecordKey::App(name.clone());
        let body = match exists {
            true => RecordBody::App(Box::new(App::new(name))),
            false => RecordBody::Tombstone,
        };
        self.put(number, about, body)
    }

    /// Writes a record on a node. `None` as for [`World::declare`].
    pub fn put(&mut self, number: usize, about: RecordKey, body: RecordBody) -> Option<Version> {
        let mut out = Vec::new();
        let version = self.write(number, about, body, &mut out)?;
        self.perform(number, out).then_some(version)
    }

    fn write(
        &mut self,
        number: usize,
        about: RecordKey,
        body: RecordBody,
        out: &mut Vec<Output>,
    ) -> Option<Version> {
        let wall = self.wall(number);
        let node = self.nodes.get_mut(number)?;
        let records = node.records.as_mut()?;
        let record = records.sign(wall, &node.key, about, body).ok()?;
        let version = record.version;
        self.trace.note(format_args!("{:?} {number} writes {}", self.now, record.key), &[]);
        if let Err(reason) = records.put(self.now, wall, record, &mut self.rng, out) {
            self.violations.push(format!("node {number} refuses what it is told: {reason}"));
            return None;
        }
        Some(version)
    }

    /// Whether a node is up.
    pub fn is_up(&self, number: usize) -> bool {
        self.records(number).is_some()
    }

    /// The records of a node, if it is up.
    pub fn records(&self, number: usize) -> Option<&Records> {
        self.nodes.get(number).and_then(|node| node.records.as_ref())
    }

    /// Whether all nodes that are up hold the same.
    pub fn agree(&mut self) -> bool {
        let roots: BTreeSet<[u8; 32]> = self
            .nodes
            .iter_mut()
            .filter_map(|node| node.records.as_mut())
            .map(Records::root)
            .collect();
        roots.len() <= 1
    }

    /// The hash of everything that happened.
    pub fn trace(&self) -> Digest {
        self.trace.hash()
    }

    /// How many messages were sent so far, and their bytes.
    pub fn traffic(&self) -> (u64, u64) {
        (self.messages, self.bytes)
    }

    /// How many records were refused so far.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// What nodes did so far that they never should.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    fn wall(&self, number: usize) -> UnixMillis {
        let skew = self.nodes.get(number).map_or(0, |node| node.skew);
        UnixMillis(BEGINNING.plus(self.now.elapsed()).0.saturating_add_signed(skew))
    }

    fn schedule(&mut self, at: Time, to: usize, what: What) {
        let life = self.nodes.get(to).map_or(0, |node| node.life);
        self.queue.put(at, Event { to, life, what });
    }

    /// Each pair with this node notices, at some time of its own, how things are by then.
    fn notice_all(&mut self, number: usize) {
        let others = self.nodes.get(number).map(|node| node.others.clone()).unwrap_or_default();
        for peer in others {
            for (one, other) in [(number, peer), (peer, number)] {
                let at = self.now.plus(NOTICE.mul_f64(self.rng.random()));
                self.schedule(at, one, What::Notice { peer: other });
            }
        }
    }

    fn happen(&mut self, event: Event) {
        let (now, number, wall) = (self.now, event.to, self.wall(event.to));
        // A message for an earlier life is lost with its connection.
        let Some(node) = self.nodes.get_mut(number).filter(|node| node.life == event.life) else {
            return;
        };
        let Some(records) = node.records.as_mut() else {
            return;
        };
        let mut out = Vec::new();
        match event.what {
            What::Tick => {
                node.tick = Time::NEVER;
                records.tick(now, wall, &mut self.rng, &mut out);
            }
            What::Message { from, message } => {
                let bytes = wire::encode(&message).unwrap_or_default();
                self.trace.note(format_args!("{now:?} {from} to {number}"), &bytes);
                if let Some(from) = self.nodes.get(from).map(|node| node.id)
                    && let Some(records) =
                        self.nodes.get_mut(number).and_then(|n| n.records.as_mut())
                {
                    records.handle(now, wall, from, message, &mut self.rng, &mut out);
                }
            }
            What::Notice { peer } => self.notice(number, peer, &mut out),
        }
        self.perform(number, out);
    }

    fn notice(&mut self, number: usize, peer: usize, out: &mut Vec<Output>) {
        let reachable = self.is_up(peer)
            && self.network.passes(number, peer)
            && self.network.passes(peer, number);
        let Some(peer) = self.nodes.get(peer).map(|node| node.id) else {
            return;
        };
        if let Some(records) = self.nodes.get_mut(number).and_then(|node| node.records.as_mut()) {
            match reachable {
                true => records.peer_up(self.now, peer, out),
                false => records.peer_down(peer),
            }
        }
    }

    /// Does what a node says, in the order that it is owed: first the disk, then the rest. False
    /// if the node is killed before it is done.
    fn perform(&mut self, number: usize, out: Vec<Output>) -> bool {
        let (persist, rest): (Vec<Output>, Vec<Output>) =
            out.into_iter().partition(|output| matches!(output, Output::Persist(_)));
        for output in persist.into_iter().chain(rest) {
            if let Some(node) = self.nodes.get_mut(number)
                && let Some(left) = node.doom.as_mut()
            {
                if *left == 0 {
                    self.trace.note(format_args!("{:?} {number} is killed", self.now), &[]);
                    node.doom = None;
                    self.kill(number, None);
                    return false;
                }
                *left -= 1;
            }
            self.perform_one(number, output);
        }
        let wake_at = self.records(number).map_or(Time::NEVER, Records::wake_at);
        if let Some(node) = self.nodes.get_mut(number).filter(|node| wake_at < node.tick) {
            node.tick = wake_at;
            self.schedule(wake_at.max(self.now), number, What::Tick);
        }
        true
    }

    fn perform_one(&mut self, number: usize, output: Output) {
        match output {
            Output::Persist(write) => {
                if let Some(node) = self.nodes.get_mut(number)
                    && !node.disk.write(&write)
                {
                    self.violations.push(format!("node {number} goes back with {write:?}"));
                }
            }
            Output::Send { to, message } => {
                self.check_durable(number, &message);
                self.messages += 1;
                self.bytes += wire::encode(&message).map_or(0, |bytes| bytes.len() as u64);
                let Some(to) = self.numbers.get(&to).copied() else { return };
                for delay in self.network.arrivals(number, to, &mut self.rng) {
                    let message = message.clone();
                    self.schedule(
                        self.now.plus(delay),
                        to,
                        What::Message { from: number, message },
                    );
                }
            }
            Output::Refused { reason, .. } => {
                self.refused += 1;
                self.trace.note(format_args!("{:?} {number} refuses: {reason}", self.now), &[]);
                if matches!(reason, Refusal::Malformed(_)) {
                    self.violations.push(format!("node {number} was sent nonsense: {reason}"));
                }
            }
            _ => {}
        }
    }

    /// What a node passes on must be on its disk: else a power cut could take it back.
    fn check_durable(&mut self, number: usize, message: &RecordMessage) {
        let Some(node) = self.nodes.get(number) else { return };
        let (RecordMessage::Push { current, lost } | RecordMessage::Differ { current, lost, .. }) =
            message
        else {
            return;
        };
        let current = current.iter().find(|record| !node.disk.held(record));
        let missing = current.or(lost.iter().find(|record| !node.disk.held_lost(record)));
        if let Some(record) = missing {
            let text = format!("node {number} passes {} on before it is on its disk", record.key);
            self.violations.push(text);
        }
    }
}
