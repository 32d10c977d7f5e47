//! What the rights of its writers make of the set.

use std::sync::Arc;

use wattle_contracts::id::MeshId;
use wattle_contracts::record::{Record, RecordKey, Version};
use wattle_contracts::trust::Handovers;

use super::{Output, Records, Refusal, Write};
use crate::core::rights::Rights;

/// How many successions are kept of keys that belong to nobody known.
pub(super) const MAX_UNANCHORED: usize = 16;

impl Records {
    /// From now on a record counts only if its writer may say what it says in `mesh`, of whose
    /// authority's handovers `ground` are known. What is held and does not count is dropped.
    pub fn govern(&mut self, mesh: MeshId, ground: Handovers, out: &mut Vec<Output>) {
        self.rights = Some(Rights::of(mesh, ground, []));
        self.reconsider(out);
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
        let is_known = rights.is_written(*former) || rights.successor(*former).is_some();
        match is_known || rights.unanchored() < MAX_UNANCHORED {
            true => Ok(()),
            false => Err(Refusal::Unanchored { key: record.key.clone() }),
        }
    }

    pub(super) fn check_proof(&self, record: &Record) -> Result<(), Refusal> {
        let Some(rights) = &self.rights else { return Ok(()) };
        let key = record.key.clone();
        rights.prove(record).map_err(|why| Refusal::Unentitled { key, why: Box::new(why) })
    }

    /// Takes note of a record that has become current. Whether it changes the rights of others.
    pub(super) fn learn(&mut self, record: &Record) -> bool {
        let Some(rights) = &mut self.rights else { return false };
        if Rights::govern(&record.key) {
            return true;
        }
        rights.learn(record);
        rights.is_overfull(record)
    }

    /// Computes the rights anew, and drops what does not count by them: until nothing changes, as
    /// what is dropped may let an older record count that lost against it.
    pub(super) fn reconsider(&mut self, out: &mut Vec<Output>) {
        let Some(mut rights) = self.rights.take() else { return };
        loop {
            let ground = rights.ground().clone();
            let records = self.set.iter().map(Arc::as_ref);
            rights = Rights::of(rights.mesh(), ground, records);
            let void = |record: &&Arc<Record>| rights.check(record).is_err();
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
