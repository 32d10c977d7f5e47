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
use wattle_contracts::trust::{Handovers, Paper, Term, UnixMillis};

use super::{Outcast, Rights, Unentitled};

/// To whom a key of the authority was handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HandedOver {
    successor: AuthorityKey,
    until: UnixMillis,
    /// `None` where the handover is known by what stands on it, and its list is not here yet.
    kept: Option<Arc<BTreeSet<Print>>>,
}

impl Rights {
    /// The key that the authority has now.
    pub fn authority(&self) -> AuthorityKey {
        self.authorities().last().unwrap_or(Handovers::NONE.leads_to(self.mesh))
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
        let first = Handovers::NONE.leads_to(self.mesh);
        let next = |key: &AuthorityKey| self.handed.get(key).map(|handed| handed.successor);
        std::iter::successors(Some(first), next).take(Handovers::MAX + 1)
    }

    pub(super) fn hand_over(&mut self, former: AuthorityKey, handed: &Handed) {
        self.know(&handed.handovers);
        if let Some(known) = self.handed.get_mut(&former) {
            if let Some(last) = handed.handovers.last() {
                known.until = last.body.until;
            }
            known.kept = Some(Arc::new(handed.kept.clone()));
        }
    }

    /// Takes note of proven handovers.
    pub(super) fn know(&mut self, handovers: &Handovers) {
        for handover in handovers.iter() {
            let (successor, until) = (handover.body.successor, handover.body.until);
            let handed = HandedOver { successor, until, kept: None };
            self.handed.entry(handover.body.former).or_insert(handed);
        }
    }

    /// Whether this record's handover is the one that is known, or the first. Of one that is known,
    /// nobody says anything else who has been followed himself: with two old keys, the list of what
    /// stays could be written anew.
    pub(super) fn check_handover(
        &self,
        handed: &Handed,
        record: &Record,
    ) -> Result<(), Unentitled> {
        self.check_chain(&handed.handovers)?;
        self.stays(handed.handovers.leads_to(self.mesh), record)
    }

    fn check_chain(&self, handovers: &Handovers) -> Result<(), Unentitled> {
        match self.another(handovers) {
            Some((former, successor)) => Err(Unentitled::HandedOver { former, successor }),
            None => Ok(()),
        }
    }

    /// Whether a paper that is to take the place of another is by the key that the authority has now.
    /// By no clock, so that all nodes hold the same one; within the time that is given for it, the
    /// node goes on with the one that it has.
    pub(super) fn check_given(&self, paper: &Paper) -> Result<(), Unentitled> {
        for chain in paper.chains() {
            self.check_chain(chain)?;
            let key = chain.leads_to(self.mesh);
            if self.handed.contains_key(&key) {
                return Err(Unentitled::FormerAuthority(key));
            }
        }
        Ok(())
    }

    /// Whether a paper stands on the handovers that are known here.
    pub(super) fn is_on_chain(&self, paper: &Paper) -> bool {
        self.handed.is_empty() || paper.chains().all(|chain| self.another(chain).is_none())
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
        self.check_chain(&invitation.handovers)?;
        self.stays(invitation.handovers.leads_to(self.mesh), record)
    }

    fn stays(&self, key: AuthorityKey, record: &Record) -> Result<(), Unentitled> {
        let Some(kept) = self.handed.get(&key).and_then(|handed| handed.kept.as_ref()) else {
            return Ok(());
        };
        let stays = Print::of_record(record).is_ok_and(|print| kept.contains(&print));
        if stays { Ok(()) } else { Err(Unentitled::FormerAuthority(key)) }
    }

    /// Until when what stands on the key to which this chain leads is taken; `None` for the present one.
    fn until(&self, chain: &Handovers) -> Option<UnixMillis> {
        self.handed.get(&chain.leads_to(self.mesh)).map(|handed| handed.until)
    }

    /// From when until when a proven paper is good: by itself, and by the key on which it stands.
    pub fn term(&self, paper: &Paper) -> Option<Term> {
        let until = paper.chains().filter_map(|chain| self.until(chain)).min();
        match (paper.term(), until) {
            (Some(own), Some(until)) => Some(Term { until: own.until.min(until), ..own }),
            (None, Some(until)) => Some(Term { from: paper.body.issued, until }),
            (own, None) => own,
        }
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
            if self.until(chain).is_some_and(|until| now > until) {
                return Err(Outcast::FormerAuthority);
            }
        }
        Ok(())
    }
}
