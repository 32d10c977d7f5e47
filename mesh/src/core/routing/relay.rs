//! What a node passes on for others: bounded, never twice, and never under another's name.
//!
//! A call that goes round is noticed three ways: by its number, which a node that passes it on
//! already knows; by the nodes on its path; and by how many they are.
//!
//! Bound: [`MAX_PASSING`] calls under way.

use std::collections::BTreeSet;

use wattle_contracts::call::{ErrorKind, Relay};
use wattle_contracts::id::NodeId;

/// How many calls of others a node passes on at once.
pub const MAX_PASSING: usize = 4096;

/// Why a call is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It has been here already.
    #[error("the call goes round in circles")]
    GoesRound,
    /// Too many nodes have passed it on.
    #[error("it has come through as many nodes as a call may")]
    TooFar,
    /// Too much is being passed on.
    #[error("it passes on as many calls as it may")]
    Full,
    /// This node does not reach the target either.
    #[error("it does not reach that node either (any more)")]
    NoWay,
}

impl Refusal {
    /// What the caller is told.
    pub fn kind(self) -> ErrorKind {
        match self {
            Refusal::GoesRound | Refusal::TooFar => ErrorKind::NotAllowed,
            Refusal::Full => ErrorKind::Overloaded,
            Refusal::NoWay => ErrorKind::Unreachable,
        }
    }
}

/// The calls that a node is passing on.
#[derive(Debug, Default)]
pub struct Passing {
    under_way: BTreeSet<(NodeId, u64)>,
}

impl Passing {
    /// Takes over a call that `from`, whom this node has authenticated, has handed to it, and
    /// writes that down on its path. [`Passing::end`] is owed what comes back.
    pub fn begin(&mut self, from: NodeId, relay: &mut Relay) -> Result<(NodeId, u64), Refusal> {
        if relay.path.len() >= Relay::MAX {
            return Err(Refusal::TooFar);
        }
        if relay.path.contains(&from) {
            return Err(Refusal::GoesRound);
        }
        // Numbers are each caller's own: two that draw the same one do not meet.
        let id = (relay.path.first().copied().unwrap_or(from), relay.call);
        if self.under_way.contains(&id) {
            return Err(Refusal::GoesRound);
        }
        if self.under_way.len() >= MAX_PASSING {
            return Err(Refusal::Full);
        }
        relay.path.push(from);
        self.under_way.insert(id);
        Ok(id)
    }

    /// A call that began has ended.
    pub fn end(&mut self, id: (NodeId, u64)) {
        self.under_way.remove(&id);
    }

    /// How many calls are under way.
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn node(byte: u8) -> NodeId {
        NodeId::from_bytes([byte; 32])
    }

    fn call(number: u64, path: &[u8]) -> Relay {
        let path = path.iter().map(|byte| node(*byte)).collect();
        Relay { to: node(9), call: number, path, proof: None }
    }

    #[test]
    fn a_relay_writes_down_who_handed_the_call_over() {
        let mut passing = Passing::default();
        let mut relay = call(1, &[]);
        let id = passing.begin(node(3), &mut relay).unwrap();
        assert_eq!(relay.path, [node(3)]);
        assert_eq!(passing.begin(node(3), &mut call(1, &[])), Err(Refusal::GoesRound));
        // It comes back through another node.
        assert_eq!(passing.begin(node(4), &mut call(1, &[3])), Err(Refusal::GoesRound));
        passing.begin(node(4), &mut call(1, &[])).unwrap();
        passing.end(id);
        passing.begin(node(3), &mut call(1, &[])).unwrap();
        assert_eq!(passing.begin(node(5), &mut call(2, &[3, 4])), Err(Refusal::TooFar));
    }

    #[test]
    fn what_is_passed_on_is_bounded() {
        let mut passing = Passing::default();
        for number in 0..MAX_PASSING as u64 {
            passing.begin(node(1), &mut call(number, &[])).unwrap();
        }
        let refused = passing.begin(node(2), &mut call(0, &[]));
        assert_eq!(refused, Err(Refusal::Full));
        assert_eq!(Refusal::Full.kind(), ErrorKind::Overloaded);
    }

    proptest! {
        /// However nodes believe each other to be the way, right or wrong and changing all the
        /// time: a call ends, after few nodes, and no node is asked to pass on the same one twice
        /// at once.
        #[test]
        fn no_call_goes_round(
            ways in prop::collection::vec(prop::collection::vec(0u8..6, 6), 1..6),
            number in any::<u64>(),
        ) {
            let mut nodes: BTreeMap<u8, Passing> = BTreeMap::new();
            let (mut at, mut from, mut relay) = (1u8, 0u8, call(number, &[]));
            let mut passed = Vec::new();
            for step in 0.. {
                let mine = nodes.entry(at).or_default();
                if mine.begin(node(from), &mut relay).is_err() {
                    break;
                }
                prop_assert!(!passed.contains(&at));
                passed.push(at);
                let way = &ways[step % ways.len()];
                (from, at) = (at, way[usize::from(at)]);
            }
            prop_assert!(passed.len() <= Relay::MAX);
            let path: Vec<u8> = relay.path.iter().map(|id| id.as_bytes()[0]).collect();
            prop_assert_eq!(path.first(), Some(&0));
            prop_assert_eq!(path.get(1), passed.first().filter(|_| passed.len() > 1));
        }
    }
}
