//! Reads out of chitchat what has changed since the last time.

use std::collections::{BTreeSet, HashMap};

use chitchat::{Chitchat, ChitchatId, Version};
use wattle_contracts::id::NodeId;

use super::check::Gate;
use super::synthetic;
use crate::net::statement::Topic;

/// What has changed.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Nodes whose heartbeat moves.
    pub(super) live: BTreeSet<NodeId>,
    /// Nodes whose heartbeat has stopped.
    pub(super) dead: BTreeSet<NodeId>,
    /// Changed values.
    pub(super) texts: Vec<(NodeId, Topic, String)>,
}

#[derive(Debug, Default)]
pub(super) struct Reader {
    seen: HashMap<ChitchatId, Version>,
    live: BTreeSet<NodeId>,
    dead: BTreeSet<NodeId>,
}

impl Reader {
    /// What is new; `None` where nothing is.
    pub(super) fn read(&mut self, chitchat: &Chitchat, gate: &Gate) -> Option<News> {
        let own = chitchat.self_chitchat_id();
        let states = chitchat.node_states();
        let mut texts = Vec::new();
        for (id, state) in states.iter().filter(|(id, _)| *id != own) {
            let version = state.max_version();
            if self.seen.get(id) == Some(&version) {
                continue;
            }
            self.seen.insert(id.clone(), version);
            let Some(node) = node_of(id) else { continue };
            for topic in Topic::GOSSIPED {
                let text = state.get(topic.name());
                texts.extend(text.map(|text| (node, topic, text.to_owned())));
            }
        }
        self.seen.retain(|id, _| states.contains_key(id));
        gate.refresh(states.keys().cloned());
        // A node that came back lives under a new id while its old one is dead.
        let live: BTreeSet<NodeId> =
            chitchat.live_nodes().filter(|id| *id != own).filter_map(node_of).collect();
        let dead = chitchat.dead_nodes().filter_map(node_of);
        let dead: BTreeSet<NodeId> = dead.filter(|node| !live.contains(node)).collect();
        if texts.is_empty() && self.live == live && self.dead == dead {
            return None;
        }
        (self.live, self.dead) = (live.clone(), dead.clone());
        Some(News { live, dead, texts })
    }
}

/// The node behind chitchat's id of it.
fn node_of(id: &ChitchatId) -> Option<NodeId> {
    let node = id.node_id.parse().ok()?;
    (id.gossip_advertise_addr == synthetic(node)).then_some(node)
}
