//! Nodes that go on with another key.
//!
//! Of two successions of one key the first that a node knows stands there: a thief of an old key
//! comes too late for all who know the new one. Where two sides of a cut know another one each,
//! both refuse the other's, and say so, until an admin revokes one of the two
//! ([`Revoked::Node`] of the successor, with nothing kept): then the other one is taken.

use std::collections::BTreeSet;
use std::sync::Arc;

use wattle_contracts::id::NodeId;
use wattle_contracts::record::{Print, Revoked, Succeeded, Version};
use wattle_contracts::trust::{Paper, Succession};

use super::{Outcast, Rights, Unentitled};

/// How many keys may follow one another. A node that changes its key every month comes into the mesh
/// anew after five years; a member that makes up keys has no more places than this.
pub const MOST_SUCCESSIONS: usize = 64;

/// By whom a node is followed, and what stays of what its old key signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Followed {
    pub(super) successor: NodeId,
    pub(super) kept: Arc<BTreeSet<Print>>,
    succession: Arc<Succession>,
    version: Version,
}

impl Rights {
    /// The node as it is called now.
    pub fn present(&self, node: NodeId) -> NodeId {
        self.after(node).last().unwrap_or(node)
    }

    /// The key by which that of `node` is followed.
    pub fn successor(&self, node: NodeId) -> Option<NodeId> {
        self.followed.get(&node).map(|by| by.successor)
    }

    /// The node as it was called first: by that it is remembered what it had, sent and was sent.
    pub fn first(&self, node: NodeId) -> NodeId {
        let before = |node: &NodeId| self.follows.get(node).copied();
        std::iter::successors(Some(node), before).take(MOST_SUCCESSIONS + 1).last().unwrap_or(node)
    }

    /// Whether it is written down how the node came whose key this is, or was.
    pub fn is_written(&self, node: NodeId) -> bool {
        self.admitted(self.first(node)).is_some()
    }

    /// The keys that are followed and of which nobody knows whose they were, the one first that was
    /// followed first.
    pub fn unanchored(&self) -> Vec<(Version, NodeId)> {
        let unknown = self.followed.iter().filter(|(former, _)| !self.is_written(**former));
        let mut unknown: Vec<_> = unknown.map(|(former, by)| (by.version, *former)).collect();
        unknown.sort_unstable();
        unknown
    }

    pub(super) fn follow(&mut self, former: NodeId, succeeded: &Succeeded, version: Version) {
        let successor = succeeded.succession.body.successor;
        let succession = Arc::new(succeeded.succession.clone());
        let kept = Arc::new(succeeded.kept.clone());
        let followed = Followed { successor, kept, succession, version };
        if let Some(old) = self.followed.insert(former, followed) {
            self.follows.remove(&old.successor);
        }
        self.follows.insert(successor, former);
    }

    pub(super) fn check_succession(
        &self,
        former: NodeId,
        succession: &Succession,
        version: Version,
    ) -> Result<(), Unentitled> {
        let successor = succession.body.successor;
        let no = |why| Err(Unentitled::Succession { former, successor, why });
        if self.followed.get(&former).is_some_and(|known| known.successor != successor) {
            return no("another key follows it already, as far as is known here; if that is a \
                       thief's, revoke it with --keep-nothing");
        }
        if self.revokes_successor(former, successor) {
            return no("it was revoked before");
        }
        // Whoever has several keys can have them follow each other in circles, or all by one. Of
        // those, the first by version stands, on every node.
        let other = self.follows.get(&successor).filter(|other| **other != former);
        let other = other.and_then(|other| self.followed.get(other));
        if other.is_some_and(|other| other.version < version) {
            return no("it follows another one");
        }
        let earlier = self.before(former).any(|(node, at)| node == successor && at < version);
        if earlier {
            return no("it came before it");
        }
        // Those that came first here, and not those of the lowest versions: else a member could have
        // the beginning of a chain thrown out by its end, and begin another one, for ever.
        match self.before(former).count() + self.after(successor).count() < MOST_SUCCESSIONS {
            true => Ok(()),
            false => {
                no("so many keys follow one another already that this one is refused: invite \
                         the node anew")
            }
        }
    }

    /// Those that `node` was before, each with when the next followed.
    pub(super) fn before(&self, node: NodeId) -> impl Iterator<Item = (NodeId, Version)> + '_ {
        let step = move |(node, _): &(NodeId, Version)| {
            let former = self.follows.get(node)?;
            Some((*former, self.followed.get(former)?.version))
        };
        std::iter::successors(Some((node, Version::LEAST)), step).skip(1).take(MOST_SUCCESSIONS)
    }

    /// Those that `node` became.
    fn after(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let next = |node: &NodeId| self.successor(*node);
        std::iter::successors(Some(node), next).skip(1).take(MOST_SUCCESSIONS)
    }

    /// Whether `former` was revoked by somebody who did not know of this successor, or meant it too.
    fn revokes_successor(&self, former: NodeId, successor: NodeId) -> bool {
        let kept = self.revoked.get(&Revoked::Node(former));
        kept.is_some_and(|kept| !kept.contains(&Print::of_member(successor.as_bytes())))
    }

    /// Whether the keys by which a paper goes on are those that are known here.
    pub(super) fn check_successions(&self, paper: &Paper) -> Result<(), Outcast> {
        for succession in &paper.successions {
            let (former, successor) = (succession.body.former, succession.body.successor);
            if let Some(known) = self.followed.get(&former).filter(|by| by.successor != successor) {
                return Err(Outcast::Another(known.successor));
            }
            if self.revokes_successor(former, successor) {
                return Err(Outcast::Revoked);
            }
        }
        Ok(())
    }

    /// A paper that was signed for what `node` was once, as one of `node`.
    pub(super) fn for_present(&self, paper: &Paper, node: NodeId) -> Option<Paper> {
        let mut paper = paper.unsucceeded();
        let mut steps = Vec::new();
        let mut at = node;
        while at != paper.body.node {
            let former = *self.follows.get(&at)?;
            steps.push(self.followed.get(&former)?.succession.clone());
            if steps.len() > Paper::MAX_SUCCESSIONS {
                return None;
            }
            at = former;
        }
        for succession in steps.into_iter().rev() {
            paper = paper.succeed((*succession).clone()).ok()?;
        }
        Some(paper)
    }
}
