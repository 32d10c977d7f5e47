//! What follows from who belongs: connections are cut, and who came is written down.

use std::collections::BTreeSet;

use libp2p::swarm::ConnectionId;
use rand::Rng as _;
use tokio::sync::oneshot;
use wattle_contracts::audit::Happening;
use wattle_contracts::id::NodeId;
use wattle_contracts::record::{RecordBody, RecordKey};

use super::Driver;
use crate::net::gossip::Heard;
use crate::net::records::Put;
use crate::net::roster::Gone;
use crate::net::view::View;

/// Who was found not to belong.
#[derive(Debug, Default)]
pub(super) struct Belonging {
    /// Peers that were cut off, and whose connections are about to be closed.
    cut_off: BTreeSet<NodeId>,
}

impl Driver {
    /// Cuts those off who do not belong any more, and writes down who came.
    pub(super) fn tend_roster(&mut self) {
        let wall = self.config.clock.now();
        if self.roster.take_news() {
            self.census.touch();
            if let Some(successor) = self.roster.rights().successor(self.node) {
                tracing::error!(
                    %successor,
                    "this node has another key now, and runs under it elsewhere: the others cut this one \
                     off. If that is not so, an admin revokes the successor: wattle revoke {successor} \
                     --keep-nothing"
                );
            } else if self.roster.is_revoked(self.node) {
                tracing::error!(
                    "this node was revoked, and the others cut it off: to come back it needs another \
                     data folder and another invitation"
                );
            }
        }
        let connected = self.connections.nodes();
        self.belonging.cut_off.retain(|node| connected.contains(node));
        self.roster.forget(|node| connected.contains(&node));
        let mut came = Vec::new();
        // Also those who have left again at once are written down.
        let known: BTreeSet<NodeId> =
            connected.iter().copied().chain(self.roster.shown_here()).collect();
        for node in known {
            match self.roster.check(node, wall) {
                Ok(()) => came.extend(self.roster.unwritten(node)),
                Err(why) if connected.contains(&node) => self.cut_off(node, &why),
                Err(_) => {}
            }
        }
        // Everybody who is connected sees it: not all need write it at the same moment.
        let is_mine = came.is_empty() || self.rng.random_ratio(1, size(connected.len()));
        for admitted in came.into_iter().filter(|_| is_mine) {
            let (answer, _) = oneshot::channel();
            let node = admitted.came.body.node;
            let body = RecordBody::Admitted(Box::new(admitted));
            self.abroad.put(Put::Sign { key: RecordKey::Admitted(node), body, answer });
        }
    }

    fn cut_off(&mut self, node: NodeId, why: &Gone) {
        if self.belonging.cut_off.insert(node) {
            tracing::warn!(%node, %why, "cut off a peer that does not belong any more");
            self.metrics.cut_off.one();
            self.config.audit.note(Happening::CutOff { node, why: why.to_string() });
        }
        self.peers.set(node, None);
        let ids: Vec<ConnectionId> = self.connections.ids_of(node);
        for id in ids {
            self.swarm.close_connection(id);
        }
    }

    /// What was heard, without those who were revoked: nobody listens to them, whoever relays it.
    pub(super) fn without_revoked(&self, mut heard: Heard) -> Heard {
        let stays = |node: &NodeId| !self.roster.is_revoked(*node);
        heard.live.retain(stays);
        heard.dead.retain(stays);
        heard.facts.retain(|fact| stays(&fact.node));
        heard
    }

    /// Takes those out of the view who do not belong, as far as this node knows, and says of the others
    /// what their invitations say, whatever they say themselves. Whom this node has not met is there
    /// once it is written down how it came.
    pub(super) fn bind(&self, view: &mut View) {
        let wall = self.config.clock.now();
        view.nodes.retain(|node, _| self.roster.is_member(*node, wall));
        for (id, node) in &mut view.nodes {
            let labels = match *id == self.node {
                true => self.roster.own_labels(),
                false => self.roster.labels(*id),
            };
            node.about.labels.extend(labels.unwrap_or_default());
        }
    }
}

fn size(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX).max(1)
}
