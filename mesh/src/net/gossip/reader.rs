//! Reads out of chitchat what has changed since the last time.

use std::collections::{BTreeSet, HashMap};

use chitchat::{Chitchat, ChitchatId, Version};
use wattle_contracts::fact::Fact;
use wattle_contracts::id::NodeId;

use super::check::Gate;
use super::words::{node_of, parse};
use crate::net::statement::Topic;

/// What has changed.
#[derive(Debug, Default)]
pub struct News {
    /// Nodes whose heartbeat moves.
    pub live: BTreeSet<NodeId>,
    /// Nodes whose heartbeat has stopped.
    pub dead: BTreeSet<NodeId>,
    /// What nodes said anew. The signatures are not checked yet.
    pub facts: Vec<Fact>,
    /// Whose values can't be read, or are not its own; with the topic.
    pub refused: Vec<(NodeId, &'static str)>,
}

/// What was read so far.
#[derive(Debug, Default)]
pub struct Reader {
    seen: HashMap<ChitchatId, Seen>,
    live: BTreeSet<NodeId>,
    dead: BTreeSet<NodeId>,
}

/// Of one id.
#[derive(Debug)]
struct Seen {
    /// How far it was read.
    version: Option<Version>,
    /// The node behind it. Kept, as base58 takes longer to decode than to find.
    node: Option<NodeId>,
}

impl Reader {
    /// The node behind an id.
    pub fn node(&self, id: &ChitchatId) -> Option<NodeId> {
        self.seen.get(id).map_or_else(|| node_of(id), |seen| seen.node)
    }

    /// What is new; `None` where nothing is.
    pub fn read(&mut self, chitchat: &Chitchat, gate: &Gate) -> Option<News> {
        let own = chitchat.self_chitchat_id();
        let states = chitchat.node_states();
        let (mut facts, mut refused) = (Vec::new(), Vec::new());
        for (id, state) in states.iter().filter(|(id, _)| *id != own) {
            let version = Some(state.max_version());
            let seen = match self.seen.get_mut(id) {
                Some(seen) => seen,
                None => self
                    .seen
                    .entry(id.clone())
                    .or_insert_with(|| Seen { version: None, node: node_of(id) }),
            };
            if seen.version == version {
                continue;
            }
            seen.version = version;
            let Some(node) = seen.node else { continue };
            for topic in Topic::GOSSIPED {
                let topic = topic.name();
                let Some(text) = state.get(topic) else { continue };
                match parse(node, topic, text) {
                    Some(fact) => facts.push(fact),
                    None => refused.push((node, topic)),
                }
            }
        }
        self.seen.retain(|id, _| states.contains_key(id));
        let version = |id: &ChitchatId| Some((id.clone(), states.get(id)?.max_version()));
        let reached = states.get(own).map(|me| (own, me.heartbeat().into(), me.max_version()));
        gate.refresh(states.keys().cloned(), chitchat.dead_nodes().filter_map(version), reached);
        // A node that came back lives under a new id while its old one is dead.
        let live: BTreeSet<NodeId> =
            chitchat.live_nodes().filter(|id| *id != own).filter_map(|id| self.node(id)).collect();
        let dead = chitchat.dead_nodes().filter_map(|id| self.node(id));
        let dead: BTreeSet<NodeId> = dead.filter(|node| !live.contains(node)).collect();
        if facts.is_empty() && refused.is_empty() && self.live == live && self.dead == dead {
            return None;
        }
        (self.live, self.dead) = (live.clone(), dead.clone());
        Some(News { live, dead, facts, refused })
    }
}
