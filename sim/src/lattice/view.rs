//! What can be asked of a simulated mesh, from outside of it.

use wattle_contracts::id::{CellName, ComponentId, Digest, NodeId};
use wattle_contracts::message::{Group, MessageId};
use wattle_contracts::record::{Labels, Record, RecordKey};
use wattle_mesh::core::membership::Standing;
use wattle_mesh::core::time::Time;

use super::happening::Happened;
use super::{Lattice, Node, Traffic};
use crate::machine::Machine;
use crate::rng::Seeded;

impl Lattice {
    /// How many nodes there are, up or down.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The right time since the run began.
    pub fn now(&self) -> Time {
        self.now
    }

    /// The source of randomness, for who makes up a workload.
    pub fn rng(&mut self) -> &mut Seeded {
        &mut self.rng
    }

    /// The hash of everything that happened.
    pub fn trace(&self) -> Digest {
        self.trace.hash()
    }

    /// How many things happened.
    pub fn events(&self) -> u64 {
        self.trace.events()
    }

    /// What was sent so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// How much a node has sent so far, in bytes.
    pub fn bytes_of(&self, number: usize) -> u64 {
        self.nodes.get(number).map_or(0, |node| node.bytes)
    }

    /// Takes what happened since this was last asked.
    pub fn take_seen(&mut self) -> Vec<Happened> {
        std::mem::take(&mut self.seen)
    }

    /// The id of a node.
    pub fn id_of(&self, number: usize) -> Option<NodeId> {
        self.nodes.get(number).map(|node| node.id)
    }

    /// The ids of all nodes, by number.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes.iter().map(|node| node.id)
    }

    /// The number of a node.
    pub fn number_of(&self, id: NodeId) -> Option<usize> {
        self.numbers.get(&id).copied()
    }

    /// What people call a node.
    pub fn name_of(&self, number: usize) -> &str {
        self.nodes.get(number).map_or("nobody", |node| &node.name)
    }

    /// The cell that a node is in.
    pub fn cell_of(&self, number: usize) -> Option<CellName> {
        self.nodes.get(number).map(|node| node.cell.clone())
    }

    /// The labels of a node.
    pub fn labels_of(&self, number: usize) -> Option<&Labels> {
        self.nodes.get(number).map(|node| &*node.labels)
    }

    /// Whether a node is up.
    pub fn is_up(&self, number: usize) -> bool {
        self.machine(number).is_some()
    }

    /// Whether a node lies.
    pub fn is_hostile(&self, number: usize) -> bool {
        self.nodes.get(number).is_some_and(|node| node.is_hostile)
    }

    pub(crate) fn machine(&self, number: usize) -> Option<&Machine> {
        self.nodes.get(number).and_then(|node| node.machine.as_deref())
    }

    /// The hash of all records of a node that is up.
    pub fn root_of(&mut self, number: usize) -> Option<[u8; 32]> {
        let machine = |node: &mut Node| node.machine.as_mut().and_then(|m| m.records_root());
        self.nodes.get_mut(number).and_then(machine)
    }

    /// The current record of a key at a node.
    pub fn record(&self, number: usize, key: &RecordKey) -> Option<&Record> {
        self.machine(number)?.records()?.get(key).map(|record| &**record)
    }

    /// The changes of a key that lost against others made at the same time, as a node has kept
    /// them.
    pub fn lost(&self, number: usize, key: &RecordKey) -> Vec<&Record> {
        let records = self.machine(number).and_then(Machine::records);
        records.map(|set| set.lost_of(key).map(|record| &**record).collect()).unwrap_or_default()
    }

    /// Whether a node can tell at all what it holds: it is up, and its disk works.
    pub fn has_records(&self, number: usize) -> bool {
        self.machine(number).is_some_and(|machine| machine.records().is_some())
    }

    /// How many records a node holds, and their bytes.
    pub fn records_size(&self, number: usize) -> (usize, usize) {
        self.machine(number).and_then(Machine::records).map_or((0, 0), |set| set.size())
    }

    /// What runs on a node.
    pub fn running(&self, number: usize) -> Vec<ComponentId> {
        self.machine(number).map(|m| m.running().cloned().collect()).unwrap_or_default()
    }

    /// How many messages wait in the outbox of a node.
    pub fn waiting_messages(&self, number: usize) -> usize {
        self.machine(number).map_or(0, Machine::waiting_messages)
    }

    /// Whether a message is on its publisher's disk, waiting for a group.
    pub fn is_kept(&self, id: MessageId, group: &Group) -> bool {
        let publisher = self.number_of(id.publisher).and_then(|number| self.nodes.get(number));
        publisher.is_some_and(|node| node.disk.kept().holds(id.sequence, group))
    }

    /// How one node thinks of another; nothing if it is down or does not know it.
    pub fn standing(&self, by: usize, of: usize) -> Option<Standing> {
        let (machine, of) = (self.machine(by)?, self.id_of(of)?);
        machine.membership.node(of).map(|node| node.standing())
    }

    /// Whether a node has a connection to another.
    pub fn is_linked(&self, by: usize, to: usize) -> bool {
        let to = self.id_of(to);
        self.machine(by).is_some_and(|machine| to.is_some_and(|to| machine.has_link(to)))
    }

    /// How many nodes a node knows, and how many of them it holds to be alive.
    pub fn census(&self, number: usize) -> (usize, usize) {
        self.machine(number).map_or((0, 0), Machine::census_counts)
    }
}
