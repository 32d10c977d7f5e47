//! Who may write which record, and who belongs: by the records themselves.
//!
//! The authority of the mesh stands above all, by the key that it has now; it makes admins. Admins
//! revoke nodes, invitations, publishers and operators, and make operators; operators declare their apps, and viewers, who are
//! operators of none, nothing. Whatever a record says stands only where its writer may say it, on every node that holds it, whoever brought it.
//!
//! **Why all nodes agree.** Rights are computed from the records by rank, the higher one first:
//! admins by the authority's word, what is revoked by the admins', operators by both. What stands
//! on a lower rank never changes a higher one, and no key can be written by two ranks that
//! disagree about it. So the same records give the same rights in whatever order they came, and a
//! record that was taken before its writer's revocation was known is dropped afterwards
//! ([`Records`](super::records::Records) does it).
//!
//! **Why a revocation lists what stays.** A version is what its writer says: a thief writes older
//! ones. Of what a revoked key signed, only what the revocation names counts; nothing can be added
//! to that later.

mod authority;
mod entitled;
mod error;
mod papers;
mod role;
mod succession;
#[cfg(test)]
mod tests;

use authority::HandedOver;
pub use error::{Outcast, Unentitled};
pub use role::Role;
use succession::Followed;
pub use succession::MOST_SUCCESSIONS;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wattle_contracts::id::{AppName, AuthorityKey, InviteKey, MeshId, NodeId, OperatorKey};
use wattle_contracts::record::{Admitted, Print, Record, RecordBody, RecordKey, Revoked, Version};
use wattle_contracts::trust::{Delegation, Handovers, Paper, UnixMillis};

/// The rights in one mesh, as the records that one node holds give them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    mesh: MeshId,
    /// The keys that the authority had, and who has each one's place.
    handed: BTreeMap<AuthorityKey, HandedOver>,
    ground: Handovers,
    /// What nodes had declared before there were operators; `None` while there are none, and every
    /// member may declare.
    charter: Option<Arc<BTreeSet<Print>>>,
    admins: BTreeSet<OperatorKey>,
    operators: BTreeMap<OperatorKey, Granted>,
    revoked: BTreeMap<Revoked, Arc<BTreeSet<Print>>>,
    admitted: BTreeMap<NodeId, Arc<Admitted>>,
    /// The nodes that came by each invitation, in the order in which that was written down.
    came_by: BTreeMap<InviteKey, BTreeSet<(Version, NodeId)>>,
    /// The nodes that may renew papers.
    renewers: BTreeMap<NodeId, Arc<Delegation>>,
    /// The papers that nodes were given in the place of those with which they came.
    renewed: BTreeMap<NodeId, Arc<Paper>>,
    /// The nodes that go on with another key, by their old ones.
    followed: BTreeMap<NodeId, Followed>,
    /// The old key of each that goes on so.
    follows: BTreeMap<NodeId, NodeId>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Granted {
    apps: BTreeSet<AppName>,
    by: Option<InviteKey>,
    version: Version,
}

impl Rights {
    /// The rights in a mesh of which no records are known.
    pub fn new(mesh: MeshId) -> Self {
        Self {
            mesh,
            handed: BTreeMap::new(),
            ground: Handovers::default(),
            charter: None,
            admins: BTreeSet::new(),
            operators: BTreeMap::new(),
            revoked: BTreeMap::new(),
            admitted: BTreeMap::new(),
            came_by: BTreeMap::new(),
            renewers: BTreeMap::new(),
            renewed: BTreeMap::new(),
            followed: BTreeMap::new(),
            follows: BTreeMap::new(),
        }
    }

    /// The rights that these records give. Each was proven when it was taken ([`Rights::prove`]). The
    /// `ground` are proven handovers of the authority's key that are known beside the records: those by
    /// which this node's own paper is good.
    pub fn of<'a>(
        mesh: MeshId,
        ground: Handovers,
        records: impl IntoIterator<Item = &'a Record>,
    ) -> Self {
        let ranked = records.into_iter().filter_map(|record| {
            let rank = Self::rank(&record.key);
            (rank < u8::MAX).then_some((rank, record))
        });
        let mut ranked: Vec<(u8, &Record)> = ranked.collect();
        ranked.sort_by_key(|(rank, record)| (*rank, record.version));
        let mut rights = Self::new(mesh);
        rights.know(&ground);
        rights.ground = ground;
        for (_, record) in ranked {
            if rights.check(record).is_ok() {
                rights.learn(record);
            }
        }
        rights
    }

    /// The mesh.
    pub fn mesh(&self) -> MeshId {
        self.mesh
    }

    /// The handovers that are known beside the records.
    pub fn ground(&self) -> &Handovers {
        &self.ground
    }

    /// How high a revocation stands, by [`Rights::rank`].
    pub const REVOCATION: u8 = 3;

    /// How high a record of this key stands: a lower number decides about a higher one.
    pub fn rank(key: &RecordKey) -> u8 {
        match key {
            RecordKey::Handover(_) => 0,
            RecordKey::Charter | RecordKey::Admin(_) => 1,
            RecordKey::Revocation(Revoked::Admin(_)) => 2,
            RecordKey::Revocation(_) => Self::REVOCATION,
            RecordKey::Succession(_) => 4,
            RecordKey::Operator(_) => 5,
            RecordKey::Admitted(_) | RecordKey::Renewer(_) | RecordKey::Renewed(_) => 6,
            _ => u8::MAX,
        }
    }

    /// Whether a record of this key may change the right of others to theirs.
    pub fn govern(key: &RecordKey) -> bool {
        Self::rank(key) < 6
    }

    /// Takes note of what a record says that was checked.
    pub fn learn(&mut self, record: &Record) {
        match (&record.key, &record.body) {
            (RecordKey::Handover(former), RecordBody::Handover(handed)) => {
                self.hand_over(*former, handed);
            }
            (RecordKey::Charter, RecordBody::Charter(charter)) => {
                self.charter = Some(Arc::new(charter.kept.clone()));
            }
            (RecordKey::Admin(key), RecordBody::Admin(_)) => {
                self.admins.insert(*key);
            }
            (RecordKey::Revocation(revoked), RecordBody::Revocation(revocation)) => {
                self.revoked.insert(*revoked, Arc::new(revocation.kept.clone()));
            }
            (RecordKey::Operator(key), RecordBody::Operator(operator)) => {
                let by = operator.invitation.as_ref().map(|invitation| invitation.body.key);
                let (apps, version) = (operator.apps.clone(), record.version);
                self.operators.insert(*key, Granted { apps, by, version });
            }
            (RecordKey::Admitted(node), RecordBody::Admitted(admitted)) => {
                for came in self.came_by.values_mut() {
                    came.retain(|(_, other)| other != node);
                }
                if let Some(invitation) = &admitted.came.invitation {
                    let came = self.came_by.entry(invitation.body.key).or_default();
                    came.insert((record.version, *node));
                }
                self.admitted.insert(*node, Arc::new((**admitted).clone()));
            }
            (RecordKey::Succession(former), RecordBody::Succession(succeeded)) => {
                self.follow(*former, succeeded, record.version);
            }
            (RecordKey::Renewer(node), RecordBody::Renewer(delegation)) => {
                self.renewers.insert(*node, Arc::new((**delegation).clone()));
            }
            (RecordKey::Renewed(node), RecordBody::Renewed(paper)) => {
                self.renewed.insert(*node, Arc::new((**paper).clone()));
            }
            _ => {}
        }
    }

    /// Whether `node`, which shows this proven paper, belongs to the mesh at `now`. `others` have
    /// shown a paper of the same invitation here, which is not written down yet.
    pub fn belongs(
        &self,
        node: NodeId,
        paper: &Paper,
        now: UnixMillis,
        others: usize,
    ) -> Result<(), Outcast> {
        if let Some(by) = self.followed.get(&node) {
            return Err(Outcast::Followed(by.successor));
        }
        if self.is_revoked(node) {
            return Err(Outcast::Revoked);
        }
        self.check_successions(paper)?;
        // It came under its first name.
        let node = paper.body.node;
        let Some(invitation) = &paper.invitation else { return Ok(()) };
        let body = &invitation.body;
        if let Some(kept) = self.revoked.get(&Revoked::Invitation(body.key))
            && !kept.contains(&Print::of_member(node.as_bytes()))
        {
            return Err(Outcast::InvitationRevoked);
        }
        let came = self.came_by.get(&body.key);
        let place = came.and_then(|came| came.iter().position(|(_, other)| *other == node));
        if place.is_none() && now > body.expires.plus(Paper::CLOCK_TOLERANCE) {
            return Err(Outcast::InvitationOver);
        }
        let before = place.unwrap_or_else(|| came.map_or(0, BTreeSet::len) + others);
        match before < body.uses as usize {
            true => Ok(()),
            false => Err(Outcast::UsedUp { uses: body.uses }),
        }
    }

    /// Whether this node's key is worth nothing any more: it was revoked, or the node has another
    /// one now.
    pub fn is_revoked(&self, node: NodeId) -> bool {
        self.revoked.contains_key(&Revoked::Node(node)) || self.followed.contains_key(&node)
    }

    /// The nodes whose keys are worth nothing any more.
    pub fn revoked_nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        let revoked = self.revoked.keys().filter_map(|revoked| match revoked {
            Revoked::Node(node) => Some(*node),
            _ => None,
        });
        revoked.chain(self.followed.keys().copied())
    }

    /// Whether this was revoked.
    pub fn revoked(&self, what: &Revoked) -> bool {
        self.revoked.contains_key(what)
    }

    /// How a node came, as far as that is written down.
    pub fn admitted(&self, node: NodeId) -> Option<&Arc<Admitted>> {
        self.admitted.get(&node)
    }

    /// Whether only operators declare.
    pub fn has_operators(&self) -> bool {
        self.charter.is_some()
    }
}
