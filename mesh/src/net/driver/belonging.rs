//! What follows from who belongs: connections are cut, and who came is written down.

use std::collections::BTreeSet;
use std::time::Duration;

use libp2p::swarm::ConnectionId;
use rand::Rng as _;
use tokio::sync::oneshot;
use wattle_contracts::audit::Happening;
use wattle_contracts::id::NodeId;
use wattle_contracts::record::{RecordBody, RecordKey};

use super::Driver;
use crate::core::time::Time;
use crate::net::gossip::Heard;
use crate::net::records::Put;
use crate::net::roster::Gone;
use crate::net::view::View;

/// A node whose paper runs out soon says so this often.
const REMIND: Duration = Duration::from_secs(3600);

/// The last part of a paper's time in which it is said that it runs out: one in so many.
const LAST_PART: u64 = 4;

/// What was said and done about papers.
#[derive(Debug, Default)]
pub(super) struct Belonging {
    reminded: Option<Time>,
    /// Peers that were cut off, and whose connections are about to be closed.
    cut_off: BTreeSet<NodeId>,
}

impl Driver {
    /// Cuts those off who do not belong any more, and writes down who came.
    pub(super) fn tend_roster(&mut self, now: Time) {
        let wall = self.config.clock.now();
        if self.roster.take_news() {
            self.census.touch();
            if self.roster.is_revoked(self.node) {
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
        for node in &connected {
            match self.roster.check(*node, wall) {
                Ok(()) => {
                    came.extend(self.roster.unwritten(*node).map(|admitted| (*node, admitted)))
                }
                Err(why) => self.cut_off(*node, &why),
            }
        }
        // Everybody who is connected sees it: not all need write it at the same moment.
        let is_mine = came.is_empty() || self.rng.random_ratio(1, size(connected.len()));
        for (node, admitted) in came.into_iter().filter(|_| is_mine) {
            let (answer, _) = oneshot::channel();
            let body = RecordBody::Admitted(Box::new(admitted));
            self.abroad.put(Put::Sign { key: RecordKey::Admitted(node), body, answer });
        }
        self.remind(now);
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

    /// Says in time that this node's paper runs out.
    fn remind(&mut self, now: Time) {
        let (paper, wall) = (self.roster.own(), self.config.clock.now());
        let Some(expires) = paper.body.expires else { return };
        let left = expires.0.saturating_sub(wall.0);
        let whole = expires.0.saturating_sub(paper.body.issued.0);
        let is_due = self.belonging.reminded.is_none_or(|at| now.since(at) >= REMIND);
        if left > whole / LAST_PART || !is_due {
            return;
        }
        self.belonging.reminded = Some(now);
        let node = self.node;
        match left {
            0 => tracing::error!(
                "this node's paper has run out, by its clock: others cut it off. Whoever keeps the \
                 mesh's key gives a new one: wattle mesh renew {node}"
            ),
            _ => tracing::warn!(
                left = ?Duration::from_millis(left),
                "this node's paper runs out soon. Whoever keeps the mesh's key gives a new one: \
                 wattle mesh renew {node}"
            ),
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

    /// Takes those out of the view who were revoked, and says of the others what their invitations
    /// say, whatever they say themselves.
    pub(super) fn bind(&self, view: &mut View) {
        view.nodes.retain(|node, _| *node == self.node || !self.roster.is_revoked(*node));
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
