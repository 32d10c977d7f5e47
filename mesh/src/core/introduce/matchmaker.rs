//! The neighbour of both.

use std::collections::BTreeMap;
use std::time::Duration;

use wattle_contracts::id::NodeId;

use crate::core::time::Time;

/// How many may have asked without an answer from the other. What comes on top is ignored; who
/// asked comes again.
pub const MAX_ASKS: usize = 1024;

/// For so long it counts that somebody asked.
const LASTS: Duration = Duration::from_secs(5);

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// Tell `node` that `by` has asked for it.
    Tell {
        /// Whom to tell.
        node: NodeId,
        /// Who has asked.
        by: NodeId,
    },
    /// Tell both where the other is seen, now.
    Both(NodeId, NodeId),
}

/// Who has asked for whom.
#[derive(Debug, Default)]
pub struct Matchmaker {
    /// Who asks, for whom, and since when.
    asks: BTreeMap<(NodeId, NodeId), Time>,
}

impl Matchmaker {
    /// `from`, a neighbour, asks for `node`. `reached` says whether that is a neighbour too.
    pub fn asked(&mut self, now: Time, from: NodeId, node: NodeId, reached: bool) -> Option<Match> {
        self.asks.retain(|_, at| now.since(*at) < LASTS);
        if !reached || from == node {
            return None;
        }
        if self.asks.remove(&(node, from)).is_some() {
            self.asks.remove(&(from, node));
            return Some(Match::Both(from, node));
        }
        // Once is enough: who is told need not be told again for the same.
        if self.asks.contains_key(&(from, node)) || self.asks.len() >= MAX_ASKS {
            return None;
        }
        self.asks.insert((from, node), now);
        Some(Match::Tell { node, by: from })
    }
}
