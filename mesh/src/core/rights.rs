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

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wattle_contracts::id::{AppName, AuthorityKey, InviteKey, MeshId, NodeId, OperatorKey};
use wattle_contracts::record::{
    Admitted, Operator, Print, Record, RecordBody, RecordKey, Revoked, Version,
};
use wattle_contracts::trust::{Delegation, Handovers, Invited, Paper, UnixMillis};

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

    /// How high a record of this key stands: a lower number decides about a higher one.
    pub fn rank(key: &RecordKey) -> u8 {
        match key {
            RecordKey::Handover(_) => 0,
            RecordKey::Charter | RecordKey::Admin(_) => 1,
            RecordKey::Revocation(Revoked::Admin(_)) => 2,
            RecordKey::Revocation(_) => 3,
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

    /// Checks the signatures inside a record, which no other record changes.
    pub fn prove(&self, record: &Record) -> Result<(), Unentitled> {
        match (&record.key, &record.body) {
            (RecordKey::Admitted(node), RecordBody::Admitted(admitted)) => {
                Ok(admitted.came.prove(self.mesh, *node)?)
            }
            (RecordKey::Renewed(node), RecordBody::Renewed(paper)) => {
                paper.prove(self.mesh, *node)?;
                papers::check_date(paper, record.version)
            }
            (RecordKey::Succession(_), RecordBody::Succession(succeeded)) => {
                Ok(succeeded.succession.verify(self.mesh)?)
            }
            (RecordKey::Handover(_), RecordBody::Handover(handed)) => {
                handed.handovers.authority(self.mesh)?;
                Ok(())
            }
            (RecordKey::Renewer(_), RecordBody::Renewer(delegation)) => {
                Ok(delegation.verify(self.mesh)?)
            }
            (RecordKey::Operator(_), RecordBody::Operator(operator)) => {
                let invitation = operator.invitation.as_ref();
                invitation.map_or(Ok(()), |invitation| Ok(invitation.verify(self.mesh)?))
            }
            _ => Ok(()),
        }
    }

    /// Whether the writer of `record` may say what it says.
    pub fn check(&self, record: &Record) -> Result<(), Unentitled> {
        let writer = record.version.writer;
        if let RecordBody::Handover(handed) = &record.body {
            return self.check_handover(handed, record);
        }
        if let Some(stands) = self.by_authority(record) {
            return stands;
        }
        self.check_standing(record)?;
        match (&record.key, &record.body) {
            (RecordKey::Charter | RecordKey::Admin(_) | RecordKey::Renewer(_), _) => {
                Err(Unentitled::OnlyAuthority)
            }
            (RecordKey::Revocation(Revoked::Admin(_)), _) => Err(Unentitled::OnlyAuthority),
            (RecordKey::Revocation(_), _) => self.check_admin(writer),
            (RecordKey::Operator(key), RecordBody::Operator(operator)) => {
                match &operator.invitation {
                    None => self.check_admin(writer),
                    Some(_) => {
                        self.check_inviter(operator, record)?;
                        self.check_invited(*key, operator, record.version)
                    }
                }
            }
            (RecordKey::Admitted(node), RecordBody::Admitted(admitted)) => {
                self.check_came(*node, admitted, record.version)
            }
            (RecordKey::Renewed(node), RecordBody::Renewed(paper)) => {
                self.check_renewed(*node, paper)
            }
            (RecordKey::Succession(former), RecordBody::Succession(succeeded)) => {
                self.check_succession(*former, &succeeded.succession, record.version)
            }
            (RecordKey::Cell(_), _) => self.check_member(writer),
            (RecordKey::App(app), _) => self.check_declares(record, Some(app)),
            (RecordKey::Link(link), body) => {
                self.check_declares(record, Some(&link.from.app))?;
                // What it opens belongs to the target's app, and is that one's to give.
                let RecordBody::Link(opened) = body else { return Ok(()) };
                let app = &opened.to.app;
                self.check_declares(record, Some(app)).map_err(|why| match why {
                    Unentitled::OtherApps { operator, apps } => {
                        Unentitled::LinksElsewhere { operator, apps, to: app.clone() }
                    }
                    why => why,
                })
            }
            (RecordKey::Config(key), _) => self.check_declares(record, Some(&key.component.app)),
            (RecordKey::Secret(key), _) => self.check_declares(record, Some(&key.component.app)),
            // Publishers among them: whose components run is for admins to say.
            _ => self.check_declares(record, None),
        }
    }

    /// Whether the writer was not revoked, or the revocation lets this record stand.
    fn check_standing(&self, record: &Record) -> Result<(), Unentitled> {
        let writer = record.version.writer;
        let operator = OperatorKey::from_bytes(*writer.as_bytes());
        // Nobody below takes an admin's right away, by whatever name.
        let revoked = match (self.admins.contains(&operator), self.operators.get(&operator)) {
            (true, _) => Revoked::Admin(operator),
            (false, Some(_)) => Revoked::Operator(operator),
            (false, None) => Revoked::Node(writer),
        };
        let stays = |kept: &BTreeSet<Print>| {
            Print::of_record(record).is_ok_and(|print| kept.contains(&print))
        };
        // As with revocations: of an admin's or an operator's key nobody says this.
        if let Revoked::Node(_) = revoked
            && let Some(followed) = self.followed.get(&writer)
            && !stays(&followed.kept)
        {
            return Err(Unentitled::Followed(writer));
        }
        match self.revoked.get(&revoked) {
            Some(kept) if !stays(kept) => Err(Unentitled::Revoked(revoked)),
            _ => Ok(()),
        }
    }

    /// Whether it is written down how `writer` came: whoever has no paper has no word in this mesh.
    fn check_member(&self, writer: NodeId) -> Result<(), Unentitled> {
        match self.is_written(writer) {
            true => Ok(()),
            false => Err(Unentitled::NoMember { writer }),
        }
    }

    fn check_admin(&self, writer: NodeId) -> Result<(), Unentitled> {
        match self.admins.contains(&OperatorKey::from_bytes(*writer.as_bytes())) {
            true => Ok(()),
            false => Err(Unentitled::OnlyAdmin { writer }),
        }
    }

    /// Whether the key of an invitation may make `key` an operator.
    fn check_invited(
        &self,
        key: OperatorKey,
        operator: &Operator,
        version: Version,
    ) -> Result<(), Unentitled> {
        let Some(invitation) = &operator.invitation else {
            return self.check_admin(version.writer);
        };
        let body = &invitation.body;
        if version.writer.as_bytes() != body.key.as_bytes() {
            return Err(Unentitled::BeyondInvitation(
                "another key than the invitation's signed it",
            ));
        }
        if body.invited != Invited::Operator(operator.apps.clone()) {
            return Err(Unentitled::BeyondInvitation("it is for something else"));
        }
        if UnixMillis(version.at.millis) > body.expires.plus(Paper::CLOCK_TOLERANCE) {
            return Err(Unentitled::BeyondInvitation("it had run out"));
        }
        if let Some(kept) = self.revoked.get(&Revoked::Invitation(body.key))
            && !kept.contains(&Print::of_member(key.as_bytes()))
        {
            return Err(Unentitled::Revoked(Revoked::Invitation(body.key)));
        }
        let before = self.operators.iter().filter(|(other, granted)| {
            **other != key && granted.by == Some(body.key) && granted.version < version
        });
        match before.count() < body.uses as usize {
            true => Ok(()),
            false => Err(Unentitled::BeyondInvitation("it is used up")),
        }
    }

    /// Whether `node` is among the first that came by its invitation. That it came proves itself,
    /// whoever says it.
    fn check_came(
        &self,
        node: NodeId,
        admitted: &Admitted,
        version: Version,
    ) -> Result<(), Unentitled> {
        let Some(invitation) = &admitted.came.invitation else { return Ok(()) };
        let came = self.came_by.get(&invitation.body.key).into_iter().flatten();
        let before = came.filter(|(written, other)| *other != node && *written < version);
        match before.count() < invitation.body.uses as usize {
            true => Ok(()),
            false => Err(Unentitled::BeyondInvitation("it is used up")),
        }
    }

    /// Whether more nodes are written down for the invitation of this record than may come by it,
    /// so that the last one goes.
    pub fn is_overfull(&self, record: &Record) -> bool {
        let RecordBody::Admitted(admitted) = &record.body else { return false };
        admitted.came.invitation.as_ref().is_some_and(|invitation| {
            let came = self.came_by.get(&invitation.body.key).map_or(0, BTreeSet::len);
            came > invitation.body.uses as usize
        })
    }

    /// Whether the writer may declare something of `app`; of no app in particular, if `None`.
    fn check_declares(&self, record: &Record, app: Option<&AppName>) -> Result<(), Unentitled> {
        let writer = record.version.writer;
        let operator = OperatorKey::from_bytes(*writer.as_bytes());
        if self.admins.contains(&operator) {
            return Ok(());
        }
        if let Some(granted) = self.operators.get(&operator) {
            return match app {
                Some(app) if granted.apps.contains(app) => Ok(()),
                _ if granted.apps.is_empty() => Err(Unentitled::OnlyLooks { viewer: operator }),
                _ => Err(Unentitled::OtherApps { operator, apps: granted.apps.clone() }),
            };
        }
        let Some(kept) = &self.charter else { return Ok(()) };
        let stays = Print::of_record(record).is_ok_and(|print| kept.contains(&print));
        if stays { Ok(()) } else { Err(Unentitled::NoOperator { writer }) }
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
