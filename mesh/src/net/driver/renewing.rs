//! Papers that run out: those of others, which this node renews if that was delegated to it, and
//! its own, of which it warns.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::oneshot;
use wattle_contracts::id::NodeId;
use wattle_contracts::record::{RecordBody, RecordKey};
use wattle_contracts::trust::Paper;

use super::Driver;
use crate::core::renewal::{Member, Renewals};
use crate::core::time::Time;
use crate::net::records::Put;

/// Between two looks whose paper is to be renewed.
const LOOK: Duration = Duration::from_secs(1);

/// A node whose paper runs out soon says so this often.
const REMIND: Duration = Duration::from_secs(3600);

/// What this node has done about papers that run out.
#[derive(Debug)]
pub(super) struct Renewing {
    renewals: Renewals,
    looked: Time,
    reminded: Option<Time>,
}

impl Renewing {
    pub(super) fn new(me: NodeId) -> Self {
        Self { renewals: Renewals::new(me), looked: Time::ZERO, reminded: None }
    }
}

impl Driver {
    /// Renews the papers whose turn it is, and warns if this node's own was not renewed in time.
    pub(super) fn tend_papers(&mut self, now: Time) {
        if now.since(self.renewing.looked) < LOOK {
            return;
        }
        self.renewing.looked = now;
        self.renew();
        self.remind(now);
    }

    fn renew(&mut self) {
        let (rights, wall) = (self.roster.rights(), self.config.clock.now());
        let Some(delegation) = rights.renewer(self.node).cloned() else { return };
        let view = self.view.borrow().clone();
        let alive: BTreeSet<NodeId> = view.alive().map(|node| node.id).chain([self.node]).collect();
        let renewers = rights.renewers(wall).filter(|node| alive.contains(node)).collect();
        let belongs = |node: NodeId| {
            let paper = self.roster.paper(node)?;
            let member = Member { node, term: paper.term()? };
            rights.belongs(node, &paper, wall, 0).ok().map(|()| member)
        };
        let members: Vec<Member> = alive.into_iter().filter_map(belongs).collect();
        let due = self.renewing.renewals.due(wall, &delegation.body, &renewers, members);
        for node in due {
            let Some(paper) = self.roster.paper(node) else { continue };
            match paper.renew((*delegation).clone(), &self.config.key, wall) {
                Ok(paper) => self.give(node, paper),
                Err(error) => tracing::error!(%node, %error, "can't renew a paper"),
            }
        }
    }

    fn give(&self, node: NodeId, paper: Paper) {
        let (answer, _) = oneshot::channel();
        let (key, body) = (RecordKey::Renewed(node), RecordBody::Renewed(Box::new(paper)));
        // Where it can't be put now, its turn comes again.
        if self.abroad.put(Put::Sign { key, body, answer }) {
            self.metrics.papers_renewed.one();
            tracing::info!(%node, "renewed the paper of a node");
        }
    }

    /// Says in time that this node's paper runs out, and what to do.
    fn remind(&mut self, now: Time) {
        let (paper, wall) = (self.roster.own(), self.config.clock.now());
        let term = self.roster.rights().term(&paper);
        let Some(term) = term.filter(|term| term.is_late(wall)) else { return };
        if self.renewing.reminded.is_some_and(|at| now.since(at) < REMIND) {
            return;
        }
        self.renewing.reminded = Some(now);
        let renewers: Vec<String> =
            self.roster.rights().renewers(wall).map(|node| node.to_string()).collect();
        let (node, renewers) = (self.node, renewers.join(" "));
        let left = term.left(wall);
        if left.is_zero() {
            tracing::error!(
                renewers,
                "this node's paper has run out, by its clock: others cut it off. If the clock is \
                 right, whoever keeps the mesh's key gives a new one: wattle mesh renew {node}"
            );
        } else if renewers.is_empty() {
            tracing::warn!(
                ?left,
                "this node's paper runs out soon, and no node may renew it. Whoever keeps the mesh's \
                 key gives a new one (wattle mesh renew {node}), or lets a node do so from now on \
                 (wattle mesh renewer)"
            );
        } else {
            tracing::warn!(
                ?left,
                renewers,
                "this node's paper runs out soon, and none of those that may renew it has: is one of \
                 them up, and connected? Else whoever keeps the mesh's key gives a new one: wattle \
                 mesh renew {node}"
            );
        }
    }
}
