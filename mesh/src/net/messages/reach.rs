//! Who can be reached, for the outbox.

use std::sync::Arc;
use std::time::Duration;

use wattle_contracts::id::NodeId;
use wattle_contracts::message::Group;

use super::{MessageHandler, Messenger};
use crate::core::outbox::{Reach, Subscriptions};
use crate::net::view::View;
use crate::net::{Mesh, NodeView};

/// Who can be reached, at one moment. Nodes are called as they were first: one that has another key
/// now is the same for the outbox.
pub(super) struct ReachNow {
    me: NodeId,
    mesh: Mesh,
    view: Arc<View>,
    pub(super) subscriptions: Arc<Subscriptions>,
    handler: Arc<dyn MessageHandler>,
}

impl Messenger {
    pub(super) fn reach(&self) -> ReachNow {
        ReachNow {
            me: self.me(),
            mesh: self.inner.mesh.clone(),
            view: self.inner.mesh.view(),
            subscriptions: self.subscriptions(),
            handler: Arc::clone(&self.inner.handler),
        }
    }
}

impl Reach for ReachNow {
    fn connected(&self, node: NodeId) -> bool {
        let node = self.mesh.present(node);
        node == self.me || self.view.node(node).is_some_and(|node| node.is_reachable())
    }

    fn serving(&self, group: &Group) -> Vec<NodeId> {
        let Some(component) = self.subscriptions.component(group) else { return Vec::new() };
        let serves =
            |node: &&NodeView| node.is_reachable() && node.runs.components.contains_key(component);
        let others = self.view.nodes.values().filter(|node| !node.is_self).filter(serves);
        let mut others: Vec<_> =
            others.map(|node| (node.rtt.unwrap_or(Duration::MAX), node.id)).collect();
        others.sort_unstable();
        let me = self.handler.runs(component).then_some(self.me);
        let all = me.into_iter().chain(others.into_iter().map(|(_, node)| node));
        all.map(|node| self.mesh.first(node)).collect()
    }
}
