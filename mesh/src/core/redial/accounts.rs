//! When peers are told of the nodes that this one knows, and how much.

use std::time::Duration;

use wattle_contracts::control::PeerHint;
use wattle_contracts::id::NodeId;

use crate::core::time::Time;

/// How many nodes a peer is told of at once, and how many are listened to.
pub const MAX_HINTS: usize = 128;

/// Keeps peers told: all of them of what was learned lately, and one after another of everything,
/// should a message have been lost. Of everything to everybody would grow with the square of the
/// number of nodes, for what most of them know from gossip.
///
/// A peer that is new is told of everything at once, by whoever sees it come.
#[derive(Debug)]
pub struct Accounts {
    every: Duration,
    told: Time,
    last: Option<NodeId>,
}

/// What is to be told now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// All peers: of the nodes of which something was learned then or later.
    pub since: Time,
    /// This one: of all nodes.
    pub whole: Option<NodeId>,
}

impl Accounts {
    /// Accounts that are given every so often.
    pub fn new(every: Duration) -> Self {
        Self { every, told: Time::ZERO, last: None }
    }

    /// When the next account is due.
    pub fn wake_at(&self) -> Time {
        self.told.plus(self.every)
    }

    /// The account to give now, if it is time for one.
    pub fn due(&mut self, now: Time, peers: impl Iterator<Item = NodeId>) -> Option<Account> {
        if now < self.wake_at() {
            return None;
        }
        let since = std::mem::replace(&mut self.told, now);
        let (mut next, mut first) = (None::<NodeId>, None::<NodeId>);
        for peer in peers {
            first = Some(first.map_or(peer, |other| other.min(peer)));
            if Some(peer) > self.last {
                next = Some(next.map_or(peer, |other| other.min(peer)));
            }
        }
        self.last = next.or(first);
        Some(Account { since, whole: self.last })
    }
}

/// What `peer` is told of these nodes: not of itself, and of none that nobody knows where to reach.
pub fn hints_for(peer: NodeId, known: impl IntoIterator<Item = PeerHint>) -> Vec<PeerHint> {
    let others = known.into_iter().filter(|hint| hint.node != peer && !hint.addresses.is_empty());
    others.take(MAX_HINTS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(byte: u8) -> NodeId {
        NodeId::from_bytes([byte; 32])
    }

    fn at(seconds: u64) -> Time {
        Time::since_start(Duration::from_secs(seconds))
    }

    #[test]
    fn each_peer_in_turn_is_told_of_everything_and_all_of_what_is_new() {
        let mut accounts = Accounts::new(Duration::from_secs(30));
        let peers = [node(3), node(1), node(2)];
        let mut whole = Vec::new();
        for round in 1..=4 {
            assert_eq!(accounts.due(at(30 * round - 1), peers.into_iter()), None);
            let account = accounts.due(at(30 * round), peers.into_iter()).unwrap();
            assert_eq!(account.since, at(30 * (round - 1)), "nothing falls between two accounts");
            whole.extend(account.whole);
        }
        assert_eq!(whole, [node(1), node(2), node(3), node(1)]);
    }

    #[test]
    fn a_peer_that_is_gone_takes_nobody_out_of_turn() {
        let mut accounts = Accounts::new(Duration::from_secs(30));
        let mut told = |round: u64, peers: &[u8]| {
            let peers: Vec<NodeId> = peers.iter().map(|peer| node(*peer)).collect();
            accounts.due(at(30 * round), peers.into_iter()).unwrap().whole
        };
        assert_eq!(told(1, &[1, 2, 3]), Some(node(1)));
        assert_eq!(told(2, &[1, 3]), Some(node(3)));
        assert_eq!(told(3, &[]), None);
        assert_eq!(told(4, &[5]), Some(node(5)));
    }

    #[test]
    fn a_peer_is_told_of_so_many_others_and_not_of_itself() {
        let known = (0..=MAX_HINTS as u64 + 10).map(|number| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            let addresses = if number == 1 { vec![] } else { vec![String::from("there")] };
            PeerHint { node: NodeId::from_bytes(bytes), addresses }
        });
        let peer = node(0);
        let told = hints_for(peer, known);
        assert_eq!(told.len(), MAX_HINTS);
        assert!(told.iter().all(|hint| hint.node != peer && !hint.addresses.is_empty()));
    }
}
