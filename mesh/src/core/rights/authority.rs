//! Which key the mesh's authority has, and what is worth that its old ones signed.
//!
//! Of two handovers of one key the first that a node knows stands there: whoever has the old key,
//! and comes later with another one, is refused. Who comes first with a stolen one has the mesh: its
//! name is that key, and nothing stands above it.
//!
//! What an old key signed as records counts as far as the handover lists it, on every node alike.
//! Papers, invitations and rights to renew are taken until the time that the handover states, by the
//! clock of whoever is shown them; those who belong are given others at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use wattle_contracts::id::{AuthorityKey, NodeId};
use wattle_contracts::record::{Handed, Operator, Print, Record};
use wattle_contracts::trust::{Handovers, Paper, UnixMillis};

use super::{Outcast, Rights, Unentitled};

/// To whom a key of the authority was handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HandedOver {
    successor: AuthorityKey,
    until: UnixMillis,
    kept: Arc<BTreeSet<Print>>,
}

impl Rights {
    /// The key that the authority has now.
    pub fn authority(&self) -> AuthorityKey {
        self.authorities().last().unwrap_or(AuthorityKey::from_bytes(*self.mesh.as_bytes()))
    }

    /// The keys that it had before, each with the time until which its papers are taken.
    pub fn former_authorities(&self) -> impl Iterator<Item = (AuthorityKey, UnixMillis)> + '_ {
        self.authorities().filter_map(|key| Some((key, self.handed.get(&key)?.until)))
    }

    /// Whether this is a key of the authority, of now or before.
    pub fn is_of_authority(&self, writer: NodeId) -> bool {
        self.authorities().any(|key| key.as_bytes() == writer.as_bytes())
    }

    /// Each of its keys after the one before.
    fn authorities(&self) -> impl Iterator<Item = AuthorityKey> + '_ {
        let first = AuthorityKey::from_bytes(*self.mesh.as_bytes());
        let next = |key: &AuthorityKey| self.handed.get(key).map(|handed| handed.successor);
        std::iter::successors(Some(first), next).take(Handovers::MAX + 1)
    }

    pub(super) fn hand_over(&mut self, former: AuthorityKey, handed: &Handed) {
        if let Some(last) = handed.handovers.last() {
            let (successor, until) = (last.body.successor, last.body.until);
            let kept = Arc::new(handed.kept.clone());
            self.handed.insert(former, HandedOver { successor, until, kept });
        }
    }

    /// Whether this handover is the one that is known, or the first.
    pub(super) fn check_handover(&self, handed: &Handed) -> Result<(), Unentitled> {
        match self.another(&handed.handovers) {
            Some((former, successor)) => Err(Unentitled::HandedOver { former, successor }),
            None => Ok(()),
        }
    }

    /// The key and its successor as they are known here, where this chain says something else.
    fn another(&self, handovers: &Handovers) -> Option<(AuthorityKey, AuthorityKey)> {
        handovers.iter().find_map(|handover| {
            let former = handover.body.former;
            let known = self.handed.get(&former)?.successor;
            (known != handover.body.successor).then_some((former, known))
        })
    }

    /// Whether what this record says stands by the authority's word; `None` if its writer is not the
    /// authority.
    pub(super) fn by_authority(&self, record: &Record) -> Option<Result<(), Unentitled>> {
        let writer = record.version.writer;
        let key = self.authorities().find(|key| key.as_bytes() == writer.as_bytes())?;
        Some(self.stays(key, record))
    }

    /// Whether a record stands by the invitation in it, as far as the authority's key goes.
    pub(super) fn check_inviter(
        &self,
        operator: &Operator,
        record: &Record,
    ) -> Result<(), Unentitled> {
        let Some(invitation) = &operator.invitation else { return Ok(()) };
        if let Some((former, successor)) = self.another(&invitation.handovers) {
            return Err(Unentitled::HandedOver { former, successor });
        }
        self.stays(invitation.handovers.leads_to(self.mesh), record)
    }

    fn stays(&self, key: AuthorityKey, record: &Record) -> Result<(), Unentitled> {
        let Some(handed) = self.handed.get(&key) else { return Ok(()) };
        let stays = Print::of_record(record).is_ok_and(|print| handed.kept.contains(&print));
        if stays { Ok(()) } else { Err(Unentitled::FormerAuthority(key)) }
    }

    /// Whether a proven paper stands on a key of the authority that is good at `now`.
    pub fn recognises(&self, paper: &Paper, now: UnixMillis) -> Result<(), Outcast> {
        // Asked for each peer several times a second, and mostly there is nothing to ask.
        if self.handed.is_empty() {
            return Ok(());
        }
        for chain in paper.chains() {
            if let Some((_, known)) = self.another(chain) {
                return Err(Outcast::OtherAuthority(known));
            }
            let handed = self.handed.get(&chain.leads_to(self.mesh));
            if handed.is_some_and(|handed| now > handed.until) {
                return Err(Outcast::FormerAuthority);
            }
        }
        Ok(())
    }
}
