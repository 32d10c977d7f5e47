//! What the rights of its writers make of the set.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use wattle_contracts::id::{MeshId, NodeId};
use wattle_contracts::record::{Record, RecordBody, RecordKey, Version};
use wattle_contracts::trust::Handovers;

use super::{Output, Records, Refusal, Write};
use crate::core::rights::Rights;
use crate::core::time::Time;

/// What members write has the rights computed anew so often at most: this, and so much for each
/// record that is held, of which it takes about a tenth.
const DOUBT: Duration = Duration::from_millis(100);
const DOUBT_PER_RECORD: Duration = Duration::from_micros(10);

/// Whether a record may change the right of others to theirs, and who writes such.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Governs {
    Nothing,
    ByAuthority,
    ByMember,
}

/// How many successions are kept of keys that belong to nobody known.
pub(super) const MAX_UNANCHORED: usize = 16;

impl Records {
    /// From now on a record counts only if its writer may say what it says in `mesh`, of whose
    /// authority's handovers `ground` are known. What is held and does not count is dropped.
    pub fn govern(&mut self, mesh: MeshId, ground: Handovers, out: &mut Vec<Output>) {
        self.rights = Some(Rights::of(mesh, ground, []));
        self.reconsider(Time::ZERO, out);
        self.reconsidered = None;
    }

    /// Who may write what, and who belongs, by what is held.
    pub fn rights(&self) -> Option<&Rights> {
        self.rights.as_ref()
    }

    pub(super) fn check_right(&self, record: &Record) -> Result<(), Refusal> {
        let Some(rights) = &self.rights else { return Ok(()) };
        let key = record.key.clone();
        rights.check(record).map_err(|why| Refusal::Unentitled { key, why: Box::new(why) })
    }

    /// Whether a succession is that of a node of which it is known how it came. A key that nobody has heard
    /// of is soon made, and another that follows it: a few of those have a place, for a node that has
    /// met nobody yet. What is refused comes again, once the node's paper is written down.
    pub(super) fn check_anchor(&self, record: &Record) -> Result<(), Refusal> {
        let (RecordKey::Succession(former), Some(rights)) = (&record.key, &self.rights) else {
            return Ok(());
        };
        if rights.is_written(*former) || rights.successor(*former).is_some() {
            return Ok(());
        }
        let unanchored = rights.unanchored();
        // An earlier one takes the place of a later one when the rights are computed anew.
        let is_later = |(last, _): &(Version, NodeId)| *last < record.version;
        match unanchored.len() >= 2 * MAX_UNANCHORED
            || unanchored.get(MAX_UNANCHORED - 1).is_some_and(is_later)
        {
            true => Err(Refusal::Unanchored { key: record.key.clone() }),
            false => Ok(()),
        }
    }

    /// The successions that have no place, because too many are held of keys of nobody known. Those
    /// of the lowest versions stay, on every node, and this node's own.
    fn surplus(&self, rights: &Rights) -> BTreeSet<RecordKey> {
        let others = rights.unanchored().into_iter().map(|(_, former)| former);
        let others = others.filter(|former| rights.present(*former) != self.me);
        others.skip(MAX_UNANCHORED).map(RecordKey::Succession).collect()
    }

    pub(super) fn check_proof(&self, record: &Record) -> Result<(), Refusal> {
        let Some(rights) = &self.rights else { return Ok(()) };
        let key = record.key.clone();
        rights.prove(record).map_err(|why| Refusal::Unentitled { key, why: Box::new(why) })
    }

    /// Takes note of a record that has become current. Whether it changes the rights of others, who
    /// must then have them computed anew.
    pub(super) fn learn(&mut self, record: &Record) -> Governs {
        let Some(rights) = &mut self.rights else { return Governs::Nothing };
        let by_member = match &record.body {
            RecordBody::Succession(_) => true,
            // Whoever has the invitation writes it, and can write it again.
            RecordBody::Operator(operator) => operator.invitation.is_some(),
            _ => false,
        };
        if Rights::govern(&record.key) && !by_member {
            return Governs::ByAuthority;
        }
        rights.learn(record);
        match by_member || rights.is_overfull(record) {
            true => Governs::ByMember,
            false => Governs::Nothing,
        }
    }

    /// Computes the rights anew now or soon, because of what any member can write as often as it
    /// likes: that looks at every record, and must not take all of the node's time.
    pub(super) fn doubt(&mut self, now: Time, out: &mut Vec<Output>) {
        let records = u32::try_from(self.set.len()).unwrap_or(u32::MAX);
        let every = DOUBT.saturating_add(DOUBT_PER_RECORD.saturating_mul(records));
        let due = self.reconsidered.map_or(now, |at| at.plus(every));
        match due <= now {
            true => self.reconsider(now, out),
            false => self.doubted = self.doubted.min(due),
        }
    }

    /// Computes the rights anew, and drops what does not count by them: until nothing changes, as
    /// what is dropped may let an older record count that lost against it.
    pub(super) fn reconsider(&mut self, now: Time, out: &mut Vec<Output>) {
        (self.reconsidered, self.doubted) = (Some(now), Time::NEVER);
        let Some(mut rights) = self.rights.take() else { return };
        loop {
            let ground = rights.ground().clone();
            let records = self.set.iter().map(Arc::as_ref);
            rights = Rights::of(rights.mesh(), ground, records);
            let surplus = self.surplus(&rights);
            let void = |record: &&Arc<Record>| {
                rights.check(record).is_err() || surplus.contains(&record.key)
            };
            let lost: Vec<(RecordKey, Version)> = self
                .set
                .lost()
                .filter(void)
                .map(|record| (record.key.clone(), record.version))
                .collect();
            for of in lost {
                self.set.remove_lost(&of);
                out.push(Output::Persist(Write::LostGone(of.0, of.1)));
            }
            let current: Vec<RecordKey> =
                self.set.iter().filter(void).map(|record| record.key.clone()).collect();
            let mut governs = false;
            for key in current {
                governs |= Rights::govern(&key);
                self.drop_current(key, out);
            }
            if !governs {
                break;
            }
        }
        self.rights = Some(rights);
    }

    /// Drops the current record of a key. The latest of those that had lost against it counts again.
    fn drop_current(&mut self, key: RecordKey, out: &mut Vec<Output>) {
        let Some(previous) = self.set.remove(&key) else { return };
        let heir = self.set.lost_of(&key).last().cloned();
        match heir.filter(|heir| self.set.insert(heir.clone()).is_ok()) {
            Some(heir) => out.push(Output::Persist(Write::Current(heir))),
            None => out.push(Output::Persist(Write::CurrentGone(key.clone()))),
        }
        out.push(Output::Changed { key, previous: Some(previous) });
    }
}
