//! A neighbour that was let in, and sends what no honest node sends.

use std::time::Duration;

use rand::Rng as _;
use wattle_contracts::control::{Control, Probe, RecordMessage};
use wattle_contracts::fact::Fact;
use wattle_contracts::id::NodeId;
use wattle_contracts::record::Record;
use wattle_mesh::core::membership::LEFT;

use super::{ForNode, Lattice};
use crate::machine::Payload;

/// How often it does.
const EVERY: Duration = Duration::from_secs(1);

impl Lattice {
    /// Sends to each peer: a record with another's name on it, a goodbye in the name of another,
    /// and answers to questions that nobody asked.
    pub(super) fn be_hostile(&mut self, number: usize) {
        let Some(node) = self.nodes.get(number).filter(|node| node.is_hostile) else { return };
        let Some(machine) = node.machine.as_ref() else { return };
        let (key, own) = (node.key.clone(), node.id);
        let records: Vec<Record> = machine
            .records()
            .into_iter()
            .flat_map(|records| records.iter())
            .map(|record| Record::clone(record))
            .collect();
        let others: Vec<NodeId> = self.ids().filter(|id| *id != own).collect();
        let mut forged = Vec::new();
        if !records.is_empty()
            && let Some(mut record) = records.get(self.rng.random_range(0..records.len())).cloned()
        {
            record.version.at.millis += self.rng.random_range(1..1000);
            forged.push(RecordMessage::Push { current: vec![record], lost: Vec::new() });
        }
        forged.push(RecordMessage::Push { current: Vec::new(), lost: records });
        let victim = others.get(self.rng.random_range(0..others.len().max(1))).copied();
        let sequence = u64::MAX - self.rng.random_range(0..1000);
        let goodbye = victim.and_then(|victim| {
            let mut fact = Fact::sign(&key, LEFT, sequence, &()).ok()?;
            fact.node = victim;
            Some(Control::Goodbye(Box::new(fact)))
        });
        let nonce = self.rng.random();
        let lies = forged.into_iter().map(Control::Records);
        let lies = lies.chain(goodbye).chain([Control::Probe(Probe::Ack { nonce })]);
        let lies: Vec<Control> = lies.collect();
        for pipe in self.pipes_of(number) {
            for lie in &lies {
                self.send(number, pipe, Payload::Control(lie.clone()));
            }
        }
        self.plan(self.now.plus(EVERY), number, ForNode::Hostile);
    }
}
