//! The replicated set of records: what people declared, equal on every node once they can talk.
//!
//! Each record is signed and versioned by its writer, so any node can check one and any two nodes
//! agree which of two is newer: the last writer wins, per key (a last-writer-wins map in the sense
//! of Shapiro et al., "A comprehensive study of CRDTs", 2011). A delete is a record too, a
//! tombstone. Tombstones are kept for as long as the node lives: that is the whole proof that a
//! node which was away can't raise the dead. A rule for letting them go has to come with a proof
//! of its own.
//!
//! Records spread in two ways (Demers et al., "Epidemic algorithms for replicated database
//! maintenance", 1987):
//!
//! - **Rumours.** A record that is new to a node is pushed to [`Limits::fanout`] random peers at
//!   once, and to one more in each of its next [`REPEATS`] rounds; who finds it new does the same.
//!   Fast, and cheap, and on a lossy network not certain.
//! - **Anti-entropy.** Each [`ROUND`], a node sends the hash of everything it holds to one random
//!   peer. One that holds something else answers with the hashes of its buckets, gets the versions
//!   in those buckets that differ, asks for what is newer there and sends what is newer here. What
//!   the first way missed, the second finds.
//!
//! A record whose clock is too far ahead ([`super::clock::MAX_AHEAD`]) is reported and held back,
//! outside of the set, until this node's clock is there.
//!
//! **What the driver owes.** For each batch of outputs: first make every [`Output::Persist`]
//! durable, then do the rest. So nothing is acknowledged, shown or passed on that a crash could
//! take back. If the disk refuses, do none of the rest, and let go of this state: load anew.
//!
//! Bounds: [`Limits::records`] keys of [`Limits::bytes`] in all, a tombstone of a known key
//! always excepted; [`MAX_HELD_BACK`] records from the future; [`MAX_WANTED`] requests under way;
//! no message above [`Limits::message_bytes`], no answer above [`Limits::answer_bytes`].

mod cut;
mod exchange;
mod output;
mod set;
#[cfg(test)]
mod tests;

pub use output::{Output, Refusal};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use wattle_contracts::control::RecordMessage;
use wattle_contracts::id::NodeId;
use wattle_contracts::record::{Hlc, Record, RecordError, RecordKey, Version};
use wattle_contracts::trust::UnixMillis;

use super::clock::{self, Clock};
use super::time::Time;
use set::Set;

/// How often a node compares what it holds with a random peer.
pub const ROUND: Duration = Duration::from_secs(1);

/// How often it does so in the [`HURRIED`] rounds after it learned something: then there may be
/// more, and others may have missed it.
pub const HURRY: Duration = Duration::from_millis(200);

/// How many rounds are hurried.
pub const HURRIED: u8 = 5;

/// How many rounds are hurried because a peer holds something else, until something comes of it.
/// A peer that will never agree, because it is full or its clock is wrong, costs no more.
pub const FRUITLESS: u8 = 10;

/// In how many rounds a rumour is told again.
pub const REPEATS: u8 = 2;

/// How many records from the future are held back.
pub const MAX_HELD_BACK: usize = 256;

/// How many records may be asked for and not have come.
pub const MAX_WANTED: usize = 65_536;

/// How long to wait for a record that was asked for before asking somebody else.
const PATIENCE: Duration = Duration::from_secs(1);

/// News in one message up to this size, in bytes, are passed on as rumours, and as many are told
/// again. A node that catches up gets more, and nobody else needs that.
const RUMOUR_BYTES: usize = 64 * 1024;

/// What a node keeps, and how much it says at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many records, tombstones included.
    pub records: usize,
    /// How many bytes of records, as they travel.
    pub bytes: usize,
    /// To how many peers a new record is pushed.
    pub fanout: usize,
    /// The longest message, in bytes. A single record may be longer.
    pub message_bytes: usize,
    /// The most that is said in answer to one message, in bytes. What is left comes in the next
    /// round.
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            records: 200_000,
            bytes: 256 * 1024 * 1024,
            fanout: 3,
            message_bytes: 256 * 1024,
            answer_bytes: 1024 * 1024,
        }
    }
}

/// The records of one node.
#[derive(Debug)]
pub struct Records {
    me: NodeId,
    limits: Limits,
    clock: Clock,
    set: Set,
    held_back: BTreeMap<RecordKey, Record>,
    wanted: BTreeMap<RecordKey, (Version, Time)>,
    peers: BTreeSet<NodeId>,
    next_round: Time,
    hurried: u8,
    fruitless: u8,
    /// Rumours to be told again, and how often.
    rumours: BTreeMap<RecordKey, u8>,
}

impl Records {
    /// The set as it was stored. What is stored and is not genuine, because a disk failed or
    /// somebody wrote to it, is reported in `out` and left out; peers will bring it again.
    pub fn load(
        me: NodeId,
        limits: Limits,
        stored: impl IntoIterator<Item = Record>,
        out: &mut Vec<Output>,
    ) -> Self {
        let mut set = Set::default();
        let mut highest = None;
        for record in stored {
            let at = record.version.at;
            let known = set.version(&record.key);
            let taken = match known {
                Some(known) if known >= record.version => Ok(()),
                _ => record.verify().and_then(|()| Ok(set.insert(Arc::new(record)).map(drop)?)),
            };
            match taken {
                Ok(()) => highest = highest.max(Some(at)),
                Err(error) => out.push(Output::Refused { from: None, reason: error.into() }),
            }
        }
        Self {
            me,
            limits,
            clock: Clock::after(highest),
            set,
            held_back: BTreeMap::new(),
            wanted: BTreeMap::new(),
            peers: BTreeSet::new(),
            next_round: Time::ZERO,
            hurried: 0,
            fruitless: 0,
            rumours: BTreeMap::new(),
        }
    }

    /// A version for a record that this node is about to sign: after everything it has seen.
    pub fn stamp(&mut self, wall: UnixMillis) -> Hlc {
        self.clock.now(wall)
    }

    /// How far this node's clock runs ahead of its wall clock ([`Clock::ahead`]).
    pub fn ahead(&self, wall: UnixMillis) -> Duration {
        self.clock.ahead(wall)
    }

    /// Takes a record that was written here.
    pub fn put(
        &mut self,
        now: Time,
        wall: UnixMillis,
        record: Record,
        rng: &mut impl Rng,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        if let Some(known) = self.set.version(&record.key)
            && known >= record.version
        {
            return Err(Refusal::Older { key: record.key, known });
        }
        let record = self.accept(wall, record, out)?;
        self.spread(now, vec![record], None, rng, out);
        Ok(())
    }

    /// Takes in a message from a peer.
    pub fn handle(
        &mut self,
        now: Time,
        wall: UnixMillis,
        from: NodeId,
        message: RecordMessage,
        rng: &mut impl Rng,
        out: &mut Vec<Output>,
    ) {
        match message {
            RecordMessage::Push(records) => self.pushed(now, wall, from, records, rng, out),
            RecordMessage::Root(root) => self.compare_roots(now, from, root, out),
            RecordMessage::Buckets(theirs) => self.compare_buckets(now, from, &theirs, rng, out),
            RecordMessage::Versions(theirs) => self.compare_versions(now, wall, from, theirs, out),
            RecordMessage::Want(keys) => self.answer_want(from, &keys, out),
        }
    }

    /// A peer can be talked to.
    pub fn peer_up(&mut self, peer: NodeId, out: &mut Vec<Output>) {
        // One of the two begins at once, so that a cut heals in a round trip and not in a round.
        if self.peers.insert(peer) && self.me < peer {
            let message = RecordMessage::Root(self.set.root());
            out.push(Output::Send { to: peer, message });
        }
    }

    /// A peer can't be talked to.
    pub fn peer_down(&mut self, peer: NodeId) {
        self.peers.remove(&peer);
    }

    /// Does what is due: a round, and records that were held back.
    pub fn tick(&mut self, now: Time, wall: UnixMillis, rng: &mut impl Rng, out: &mut Vec<Output>) {
        if now < self.next_round {
            return;
        }
        // Rounds of different nodes are not to fall together.
        let round = if self.hurried > 0 { HURRY } else { ROUND };
        self.hurried = self.hurried.saturating_sub(1);
        self.next_round = now.plus(round.mul_f64(rng.random_range(0.9..1.1)));
        self.wanted.retain(|_, (_, asked)| now.since(*asked) < PATIENCE);
        self.release(now, wall, rng, out);
        self.repeat_rumours(rng, out);
        if let Some(to) = exchange::sample(&self.peers, None, 1, rng).pop() {
            let message = RecordMessage::Root(self.set.root());
            out.push(Output::Send { to, message });
        }
    }

    /// When [`Records::tick`] has something to do.
    pub fn wake_at(&self) -> Time {
        self.next_round
    }

    /// The current record of a key; perhaps a tombstone.
    pub fn get(&self, key: &RecordKey) -> Option<&Arc<Record>> {
        self.set.get(key)
    }

    /// The current record of every key, tombstones included, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.set.iter()
    }

    /// How many records are held, and their bytes.
    pub fn size(&self) -> (usize, usize) {
        (self.set.len(), self.set.bytes())
    }

    /// Records from the future that wait for this node's clock.
    pub fn held_back(&self) -> impl Iterator<Item = &Record> {
        self.held_back.values()
    }

    /// A hash of every key and its version: equal on two nodes exactly when they hold the same.
    pub fn root(&mut self) -> [u8; 32] {
        self.set.root()
    }

    /// Checks a record and makes it current. The caller has seen that none newer is known.
    fn accept(
        &mut self,
        wall: UnixMillis,
        record: Record,
        out: &mut Vec<Output>,
    ) -> Result<Arc<Record>, Refusal> {
        record.verify()?;
        if let Err(why) = clock::check(wall, record.version.at) {
            let key = record.key.clone();
            self.hold_back(record);
            return Err(Refusal::TooFarAhead { key, why });
        }
        let size = set::size(&record).map_err(RecordError::from)?;
        if !self.has_room_for(&record, size) {
            let (records, bytes) = self.size();
            return Err(Refusal::Full { key: record.key, records, bytes });
        }
        let (key, record) = (record.key.clone(), Arc::new(record));
        let previous = self.set.insert(record.clone()).map_err(RecordError::from)?;
        // It was checked just now to be near enough.
        let _ = self.clock.observe(wall, record.version.at);
        self.wanted.remove(&key);
        out.push(Output::Persist(record.clone()));
        out.push(Output::Changed { key, previous });
        Ok(record)
    }

    fn has_room_for(&self, record: &Record, size: usize) -> bool {
        let known = self.set.size_of(&record.key);
        if known.is_some() && record.is_tombstone() {
            return true;
        }
        let bytes = self.set.bytes() - known.unwrap_or(0) + size;
        bytes <= self.limits.bytes && (known.is_some() || self.set.len() < self.limits.records)
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
    fn release(&mut self, now: Time, wall: UnixMillis, rng: &mut impl Rng, out: &mut Vec<Output>) {
        let is_due = |_: &RecordKey, held: &mut Record| clock::check(wall, held.version.at).is_ok();
        let due: Vec<Record> =
            self.held_back.extract_if(.., is_due).map(|(_, record)| record).collect();
        let mut news = Vec::new();
        for record in due {
            if self.set.version(&record.key).is_none_or(|known| known < record.version) {
                match self.accept(wall, record, out) {
                    Ok(record) => news.push(record),
                    Err(reason) => out.push(Output::Refused { from: None, reason }),
                }
            }
        }
        self.spread(now, news, None, rng, out);
    }
}
