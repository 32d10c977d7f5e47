//! Whether the writer of a record may say what it says, by the rights that are known.

use std::collections::BTreeSet;

use wattle_contracts::id::{AppName, NodeId, OperatorKey};
use wattle_contracts::record::{
    Admitted, Operator, Print, Record, RecordBody, RecordKey, Revoked, Version,
};
use wattle_contracts::trust::{Invited, Paper, UnixMillis};

use super::{Rights, Unentitled, papers};

impl Rights {
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
}
