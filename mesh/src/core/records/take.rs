//! Whether a record is taken, and what becomes of the one whose place it takes.

use std::sync::Arc;

use rand::Rng;
use wattle_contracts::control::ElementId;
use wattle_contracts::record::{Record, RecordError, RecordKey, Version};
use wattle_contracts::trust::UnixMillis;

use super::rights::Governs;
use super::{MAX_HELD_BACK, Moment, Output, Records, Refusal, Write, set};
use crate::core::clock;
use crate::core::rights::Rights;

/// One part in so many of the limits is kept for what says who belongs and who may; and one in so
/// many for that alone which takes a right away, and is only for admins and the authority to say.
const RESERVE: usize = 16;
const LAST_RESERVE: usize = 64;

/// Of how many cells one node's summaries are kept: it is in one, and was in some others before.
pub(super) const MAX_SUMMARIES: usize = 8;

impl Records {
    /// Takes a record that a peer holds for current. Gives back what is new by it: nothing for
    /// what is known already. Where this node knows better, that goes into `newer_here`.
    pub(super) fn take(
        &mut self,
        moment: Moment,
        record: Record,
        newer_here: &mut Vec<ElementId>,
        out: &mut Vec<Output>,
    ) -> Result<Vec<ElementId>, Refusal> {
        let version = record.version;
        if self.is_held_back(&record.key, version) {
            return Ok(Vec::new());
        }
        match self.set.get(&record.key).cloned() {
            Some(known) if known.version > version => {
                newer_here.push(set::current_id(&record.key).map_err(RecordError::from)?);
                if known.knew(version) || self.set.has_lost(&record.key, version) {
                    return Ok(Vec::new());
                }
                // Its writer did not know the one that is current, nor the other way round: it
                // was made at the same time, and has lost.
                self.take_lost(moment.1, Arc::new(record), out)
            }
            Some(known) if known.version == version => {
                // Most of what comes is known, to the letter.
                if *known == record || known.digest() == record.digest() {
                    return Ok(Vec::new());
                }
                self.settle_ambiguous(moment, &known, record, out)
            }
            _ => {
                let id = set::current_id(&record.key).map_err(RecordError::from)?;
                let news = self.accept(moment, record, out)?;
                // Who sent the winner may not have heard of the one that lost.
                newer_here.extend(news.iter().copied().filter(|new| *new != id));
                Ok(news)
            }
        }
    }

    /// One version, two records: every node keeps the one with the higher digest, and says so.
    fn settle_ambiguous(
        &mut self,
        moment: Moment,
        known: &Record,
        other: Record,
        out: &mut Vec<Output>,
    ) -> Result<Vec<ElementId>, Refusal> {
        let key = other.key.clone();
        let digests = (other.digest(), known.digest());
        if let (Ok(other_digest), Ok(known_digest)) = digests
            && other_digest > known_digest
        {
            self.accept(moment, other, out)?;
        }
        Err(Refusal::Ambiguous { key })
    }

    /// Checks a record and makes it current. The caller has seen that none newer is known. Gives
    /// back the names of what is new: the record, and a change that lost against it.
    pub(super) fn accept(
        &mut self,
        (now, wall): Moment,
        record: Record,
        out: &mut Vec<Output>,
    ) -> Result<Vec<ElementId>, Refusal> {
        self.check_right(&record)?;
        self.check_anchor(&record)?;
        record.verify()?;
        self.check_proof(&record)?;
        if let Err(why) = clock::check(wall, record.version.at) {
            let key = record.key.clone();
            self.hold_back(record);
            return Err(Refusal::TooFarAhead { key, why });
        }
        let size = set::size(&record).map_err(RecordError::from)?;
        let instead_of = self.one_too_many(&record)?;
        if !self.has_room_for(&record, size) {
            let (records, bytes) = self.size();
            return Err(Refusal::Full { key: record.key, records, bytes });
        }
        let id = set::current_id(&record.key).map_err(RecordError::from)?;
        if self.set.ranges.get(&id).is_some_and(|other| other.record.key != record.key) {
            return Err(Refusal::Malformed("a key with the hash of another"));
        }
        if let Some(key) = instead_of {
            let previous = self.set.remove(&key);
            out.push(Output::Persist(Write::CurrentGone(key.clone())));
            out.push(Output::Changed { key, previous });
        }
        let (key, record) = (record.key.clone(), Arc::new(record));
        let mut news = Vec::new();
        // Before the record itself: a crash between the two must not lose the one that lost.
        if let Some(loser) = self.set.get(&key).cloned()
            && !record.knew(loser.version)
        {
            match self.keep_lost(loser, out) {
                Ok(lost) => news.extend(lost),
                Err(reason) => out.push(Output::Refused { from: None, reason }),
            }
        }
        let previous = self.set.insert_as(id, size, record.clone()).map_err(RecordError::from)?;
        let governs = self.learn(&record);
        // It was checked just now to be near enough.
        let _ = self.clock.observe(wall, record.version.at);
        if record.version.writer != self.me {
            self.clock.hear(record.version.at);
        }
        self.wanted.remove(&id);
        out.push(Output::Persist(Write::Current(record)));
        out.push(Output::Changed { key, previous });
        news.push(id);
        match governs {
            Governs::Nothing => {}
            Governs::ByAuthority => self.reconsider(now, out),
            Governs::ByMember => self.doubt(now, out),
        }
        Ok(news)
    }

    /// Takes a change that lost, from a peer.
    pub(super) fn take_lost(
        &mut self,
        wall: UnixMillis,
        record: Arc<Record>,
        out: &mut Vec<Output>,
    ) -> Result<Vec<ElementId>, Refusal> {
        if self.set.has_lost(&record.key, record.version) {
            return Ok(Vec::new());
        }
        self.check_right(&record)?;
        record.verify()?;
        self.check_proof(&record)?;
        if let Err(why) = clock::check(wall, record.version.at) {
            return Err(Refusal::TooFarAhead { key: record.key.clone(), why });
        }
        self.keep_lost(record, out)
    }

    /// Keeps a change that lost, as long as it is among the latest.
    pub(super) fn keep_lost(
        &mut self,
        record: Arc<Record>,
        out: &mut Vec<Output>,
    ) -> Result<Vec<ElementId>, Refusal> {
        let (key, version) = (record.key.clone(), record.version);
        if record.is_hearsay() {
            return Ok(Vec::new());
        }
        let size = set::size(&record).map_err(RecordError::from)?;
        if size > set::MAX_LOST_BYTES {
            return Err(Refusal::LostTooLarge { key, size });
        }
        let is_full = self.set.lost_len() >= self.limits.history;
        if is_full && self.set.oldest_lost().is_some_and(|oldest| version < oldest) {
            return Ok(Vec::new());
        }
        let id = set::lost_id(&key, version).map_err(RecordError::from)?;
        if !self.set.insert_lost(record.clone()).map_err(RecordError::from)? {
            return Ok(Vec::new());
        }
        self.wanted.remove(&id);
        let gone = self.set.trim_lost(&key, self.limits.history_per_key, self.limits.history);
        if gone.contains(&(key.clone(), version)) {
            return Ok(Vec::new());
        }
        out.push(Output::Persist(Write::Lost(record)));
        out.extend(
            gone.into_iter().map(|(key, version)| Output::Persist(Write::LostGone(key, version))),
        );
        out.push(Output::Lost { key, version });
        Ok(vec![id])
    }

    fn has_room_for(&self, record: &Record, size: usize) -> bool {
        let known = self.set.size_of(&record.key);
        if known.is_some() && record.is_tombstone() {
            return true;
        }
        let bytes = self.set.bytes() - known.unwrap_or(0) + size;
        // Whatever else fills all places, by whatever members can write: a revocation must find one.
        let rank = Rights::rank(&record.key);
        let of = |limit: usize| match rank {
            rank if rank <= Rights::REVOCATION => limit,
            u8::MAX => limit - limit / RESERVE,
            _ => limit - limit / LAST_RESERVE,
        };
        let has_place = known.is_some() || self.set.len() < of(self.limits.records);
        bytes <= of(self.limits.bytes) && has_place
    }

    /// The summary of a cell that goes when this one comes, because its writer has written those of
    /// too many cells. The last ones stay, on every node. An error if this one is older than they are.
    fn one_too_many(&self, record: &Record) -> Result<Option<RecordKey>, Refusal> {
        let RecordKey::Cell(_) = record.key else { return Ok(None) };
        let writer = record.version.writer;
        let others = self.set.summaries_by(writer).filter(|(_, key)| *key != record.key);
        let others: Vec<&(Version, RecordKey)> = others.collect();
        match others.first().filter(|_| others.len() >= MAX_SUMMARIES) {
            None => Ok(None),
            Some((oldest, _)) if record.version < *oldest => {
                Err(Refusal::TooManyCells { key: record.key.clone(), writer })
            }
            Some((_, key)) => Ok(Some(key.clone())),
        }
    }

    pub(super) fn is_held_back(&self, key: &RecordKey, version: Version) -> bool {
        self.held_back.get(key).is_some_and(|held| held.version == version)
    }

    /// Of several from the future about one key, the one that is due first is kept.
    fn hold_back(&mut self, record: Record) {
        let is_full = self.held_back.len() >= MAX_HELD_BACK;
        match self.held_back.get_mut(&record.key) {
            Some(held) if held.version <= record.version => {}
            Some(held) => *held = record,
            None if is_full => {}
            None => {
                self.held_back.insert(record.key.clone(), record);
            }
        }
    }

    /// Takes the records that were held back and are due.
    pub(super) fn release(
        &mut self,
        (now, wall): Moment,
        rng: &mut impl Rng,
        out: &mut Vec<Output>,
    ) {
        let is_due = |_: &RecordKey, held: &mut Record| clock::check(wall, held.version.at).is_ok();
        let due: Vec<Record> =
            self.held_back.extract_if(.., is_due).map(|(_, record)| record).collect();
        let mut news = Vec::new();
        for record in due {
            match self.take((now, wall), record, &mut Vec::new(), out) {
                Ok(taken) => news.extend(taken),
                Err(reason) => out.push(Output::Refused { from: None, reason }),
            }
        }
        self.spread(now, &news, None, rng, out);
    }
}
