//! What a node has handled of the messages that others delivered to it.

use std::collections::{BTreeMap, BTreeSet};

use wattle_contracts::id::{NodeId, Subject};
use wattle_contracts::message::Group;

/// How much is remembered of one publisher and group. A publisher keeps to less
/// ([`super::Config::window`]); this is for one that does not.
const MAX_AHEAD: usize = 4096;

/// Knows which durable messages this node has handled, so that none is handled twice.
#[derive(Debug, Default)]
pub struct Inbox {
    streams: BTreeMap<(Group, NodeId), Stream>,
}

/// What came from one publisher for one group.
#[derive(Debug, Default)]
struct Stream {
    /// Everything below is settled.
    floor: u64,
    /// Handled, at or above the floor.
    handled: BTreeSet<u64>,
    /// The subjects of which something is being handled now.
    running: BTreeSet<Subject>,
}

/// Why a delivery can't begin now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// An earlier delivery of the same publisher, group and subject is still being handled.
    Running,
    /// The publisher is further ahead of its oldest message than it may be.
    TooFarAhead,
}

impl Inbox {
    /// What was on disk: for each publisher and group the floor, and what is handled above.
    pub fn load(&mut self, group: Group, publisher: NodeId, floor: u64, handled: BTreeSet<u64>) {
        let running = BTreeSet::new();
        self.streams.insert((group, publisher), Stream { floor, handled, running });
    }

    /// Begins a delivery. Until [`Inbox::end`], no other of the same subject can begin.
    pub fn begin(
        &mut self,
        group: &Group,
        publisher: NodeId,
        subject: &Subject,
        floor: u64,
    ) -> Result<(), Refused> {
        let stream = self.streams.entry((group.clone(), publisher)).or_default();
        if floor > stream.floor {
            stream.floor = floor;
            stream.handled = stream.handled.split_off(&floor);
        }
        if stream.handled.len() >= MAX_AHEAD {
            return Err(Refused::TooFarAhead);
        }
        match stream.running.insert(subject.clone()) {
            true => Ok(()),
            false => Err(Refused::Running),
        }
    }

    /// Whether a message is settled already: it is to be acknowledged, not handled.
    pub fn is_settled(&self, group: &Group, publisher: NodeId, sequence: u64) -> bool {
        let stream = self.streams.get(&(group.clone(), publisher));
        stream.is_some_and(|stream| sequence < stream.floor || stream.handled.contains(&sequence))
    }

    /// A message was handled. Returns the floor, to be written to disk together with it.
    pub fn handled(&mut self, group: &Group, publisher: NodeId, sequence: u64) -> u64 {
        let stream = self.streams.entry((group.clone(), publisher)).or_default();
        if sequence >= stream.floor {
            stream.handled.insert(sequence);
        }
        stream.floor
    }

    /// A delivery has come to an end, wherever it stopped.
    pub fn end(&mut self, group: &Group, publisher: NodeId, subject: &Subject) {
        if let Some(stream) = self.streams.get_mut(&(group.clone(), publisher)) {
            stream.running.remove(subject);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_the_floor_or_was_handled_is_settled() {
        let (mut inbox, group) = (Inbox::default(), "shop".parse::<Group>().unwrap());
        let (node, subject) = (NodeId::from_bytes([1; 32]), "a".parse::<Subject>().unwrap());
        inbox.begin(&group, node, &subject, 5).unwrap();
        assert_eq!(inbox.begin(&group, node, &subject, 5), Err(Refused::Running));
        inbox.begin(&group, node, &"b".parse().unwrap(), 5).unwrap();
        assert!(inbox.is_settled(&group, node, 4) && !inbox.is_settled(&group, node, 5));
        assert_eq!(inbox.handled(&group, node, 6), 5);
        inbox.end(&group, node, &subject);
        assert!(inbox.is_settled(&group, node, 6) && !inbox.is_settled(&group, node, 5));
        // An older floor, from a delivery that was late, takes nothing back.
        inbox.begin(&group, node, &subject, 2).unwrap();
        assert!(inbox.is_settled(&group, node, 4));
    }

    #[test]
    fn a_publisher_that_runs_ahead_without_end_is_stopped() {
        let (mut inbox, group) = (Inbox::default(), "shop".parse::<Group>().unwrap());
        let (node, subject) = (NodeId::from_bytes([1; 32]), "a".parse::<Subject>().unwrap());
        for sequence in 1..=MAX_AHEAD as u64 {
            inbox.handled(&group, node, sequence);
        }
        assert_eq!(inbox.begin(&group, node, &subject, 0), Err(Refused::TooFarAhead));
        inbox.begin(&group, node, &subject, 10).unwrap();
    }
}
