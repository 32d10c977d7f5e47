//! The replicated set of records: what people declared, equal on every node once they can talk.
//!
//! Each record is signed and versioned by its writer, so any node can check one and any two nodes
//! agree which of two is newer: the last writer wins, per key (a last-writer-wins map in the sense
//! of Shapiro et al., "A comprehensive study of CRDTs", 2011). A delete is a record too, a
//! tombstone, and is kept for ever: so no node that was away can bring back what was deleted.
//!
//! Two changes of which neither writer knew the other are concurrent: by the record's
//! [`Ancestry`](wattle_contracts::record::Ancestry). One of them loses, and is kept in the history
//! of its key: the latest [`Limits::history_per_key`] of each key, [`Limits::history`] in all. The
//! history is replicated like the records.
//!
//! Records spread in two ways (Demers et al., "Epidemic algorithms for replicated database
//! maintenance", 1987):
//!
//! - **Rumours.** What is new to a node is pushed to [`TOLD`] random peers, to the first at once
//!   ([`rumours`]); who finds it new does the same. Fast, and cheap, and on a lossy network not certain.
//! - **Anti-entropy.** Each [`ROUND`], a node sends the hash of everything it holds to one random
//!   peer. One that holds something else compares with it, range by range ([`reconcile`]). What
//!   the first way missed, the second finds.
//!
//! Whether the writer of a record may say what it says, [`Rights`] tell, once [`Records::govern`]
//! named the mesh. They change with the records: one that does not count any more is dropped, and
//! one that does not count yet, because what entitles its writer is still on its way, is refused
//! and comes with a later comparison.
//!
//! A record whose clock is too far ahead ([`super::clock::MAX_AHEAD`]) is reported and held back,
//! outside of the set, until this node's clock is there.
//!
//! A mesh is made of cells; how records go from one to another is in [`envoys`].
//!
//! **What the driver owes.** For each batch of outputs: first make every [`Output::Persist`]
//! durable, all of them or none, then do the rest. So nothing is acknowledged, shown or passed on
//! that a crash could take back. If the disk refuses, do none of the rest, and let go of this
//! state: load anew.
//!
//! Bounds: [`Limits::records`] keys of [`Limits::bytes`] in all, a tombstone of a known key
//! always excepted; [`Limits::history`] changes that lost, of 64 KiB at most; [`MAX_HELD_BACK`]
//! records from the future; [`MAX_WANTED`] requests under way; no message above
//! [`Limits::message_bytes`], no answer above [`Limits::answer_bytes`]; [`MAX_FAULTS`] bad records
//! of one peer before it is not listened to for a minute.

mod cut;
mod envoys;
mod limits;
mod output;
mod ranges;
mod reconcile;
mod rights;
mod rumours;
mod set;
mod spread;
mod take;
#[cfg(test)]
mod tests;

pub use limits::Limits;
pub use output::{Output, Refusal, Stored, Write};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use wattle_contracts::control::{ElementId, RecordMessage};
use wattle_contracts::id::NodeId;
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::{Hlc, Record, RecordBody, RecordError, RecordKey, Stamp, Version};
use wattle_contracts::trust::UnixMillis;

use super::clock::{self, Clock};
use super::rights::Rights;
use super::time::Time;
use rumours::Rumours;
use set::Set;

/// How often a node compares what it holds with a random peer.
pub const ROUND: Duration = Duration::from_secs(1);

/// How long a node that finds a difference waits for its next round at most: there may be more.
pub const HURRY: Duration = Duration::from_millis(400);

/// A node with so many peers or fewer greets at once one that comes up.
const GREETERS: usize = 8;

/// A comparison with a peer under way is given so long before another one with it is begun.
const UNDER_WAY: Duration = Duration::from_millis(200);

/// How many rounds are hurried because a peer holds something else, until something comes of it.
/// A peer that will never agree, because it is full or its clock is wrong, costs no more.
pub const FRUITLESS: u8 = 10;

/// To how many peers a rumour is told.
pub const TOLD: u32 = 7;

/// The same after a cut, when every node compares with the other side and soon knows all there is;
/// and how long such a rumour waits first, for what else comes.
const TOLD_AFTER_A_CUT: u32 = 2;
const GATHER: Duration = Duration::from_millis(100);

/// As long as it tells rumours, a node compares in one of so many rounds.
const RARELY: u32 = 3;

/// How many records from the future are held back.
pub const MAX_HELD_BACK: usize = 256;

/// How many records may be asked for and not have come.
pub const MAX_WANTED: usize = 65_536;

/// How long to wait for a record that was asked for before asking somebody else.
const PATIENCE: Duration = Duration::from_secs(1);

/// Who has sent so much that no honest peer sends is not listened to for [`SILENCED`].
pub const MAX_FAULTS: usize = 100;

/// How long a peer's faults are remembered, and how long one with too many is not listened to.
pub const SILENCED: Duration = Duration::from_secs(60);

/// News in one message up to this size, in bytes, are passed on as rumours, and as many are told
/// again. A node that catches up gets more, and nobody else needs that.
const RUMOUR_BYTES: usize = 64 * 1024;

/// So many bytes of what was heard lately are given to a peer that knows something else.
const FRESH_BYTES: usize = 32 * 1024;

/// More news than this in one message are told to one peer, and not told again.
const FEW: usize = 4;

/// The time by this node's monotonic clock and by its wall clock.
type Moment = (Time, UnixMillis);

/// The records of one node.
#[derive(Debug)]
pub struct Records {
    me: NodeId,
    limits: Limits,
    clock: Clock,
    set: Set,
    /// Who may write what; `None` where nobody asks.
    rights: Option<Rights>,
    /// When the rights were computed from all records, and when they have to be, for what members
    /// have written since.
    reconsidered: Option<Time>,
    doubted: Time,
    held_back: BTreeMap<RecordKey, Record>,
    wanted: BTreeMap<ElementId, (Hlc, Time)>,
    peers: BTreeSet<NodeId>,
    /// Peers of other cells ([`envoys`]).
    envoys: BTreeSet<NodeId>,
    next_envoy: Time,
    /// Those among the peers that came up, and were not compared with since.
    fresh: BTreeSet<NodeId>,
    /// The comparison that may be under way: with whom, and when it last went on. One at a time:
    /// two would mostly find the same.
    comparing: Option<(NodeId, Time)>,
    /// The peer that was last sent the root, and when.
    asked: Option<(NodeId, Time)>,
    next_greeting: Time,
    next_round: Time,
    fruitless: u8,
    rumours: Rumours,
    /// What no honest peer sends: how much of it came from whom, and since when.
    faults: BTreeMap<NodeId, (usize, Time)>,
}

impl Records {
    /// The set as it was stored. What is stored and is not genuine, because a disk failed or
    /// somebody wrote to it, is reported in `out` and left out; peers will bring it again.
    pub fn load(
        me: NodeId,
        limits: Limits,
        stored: impl IntoIterator<Item = Stored>,
        out: &mut Vec<Output>,
    ) -> Self {
        let mut set = Set::default();
        let (mut highest, mut heard) = (None, None);
        for Stored { record, is_lost, is_verified } in stored {
            let (at, writer) = (record.version.at, record.version.writer);
            // What others wrote may be there as that alone which this node's own record replaced.
            let others = match writer == me {
                true => record.ancestry.seen.iter().map(|(_, at)| *at).max(),
                false => Some(at),
            };
            let known = set.version(&record.key);
            let taken = match known {
                _ if !is_verified && record.verify().is_err() => record.verify(),
                _ if is_lost => set.insert_lost(Arc::new(record)).map(drop).map_err(Into::into),
                Some(known) if known >= record.version => Ok(()),
                _ => set.insert(Arc::new(record)).map(drop).map_err(RecordError::from),
            };
            match taken {
                Ok(()) => {
                    highest = highest.max(Some(at));
                    heard = heard.max(others);
                }
                Err(error) => out.push(Output::Refused { from: None, reason: error.into() }),
            }
        }
        let mut clock = Clock::after(highest);
        if let Some(reading) = heard {
            clock.hear(reading);
        }
        Self {
            me,
            limits,
            clock,
            set,
            rights: None,
            reconsidered: None,
            doubted: Time::NEVER,
            held_back: BTreeMap::new(),
            wanted: BTreeMap::new(),
            peers: BTreeSet::new(),
            envoys: BTreeSet::new(),
            next_envoy: Time::ZERO,
            fresh: BTreeSet::new(),
            comparing: None,
            asked: None,
            next_greeting: Time::ZERO,
            next_round: Time::ZERO,
            fruitless: 0,
            rumours: Rumours::default(),
            faults: BTreeMap::new(),
        }
    }

    /// Signs a record that takes the place of the current one of its key, with a version after
    /// everything this node has seen. `signer` is this node's key.
    pub fn sign(
        &mut self,
        wall: UnixMillis,
        signer: &SigningKey,
        key: RecordKey,
        body: RecordBody,
    ) -> Result<Record, RecordError> {
        let at = self.clock.now(wall);
        let previous = self.set.get(&key).map(Arc::as_ref);
        Record::sign_after(signer, key, at, previous, body)
    }

    /// Where the next record of `key` stands, for somebody else to sign it.
    pub fn stamp(&mut self, wall: UnixMillis, key: &RecordKey) -> Stamp {
        let previous = self.set.get(key);
        let previous = previous.map(|record| (record.version, record.ancestry.clone()));
        Stamp { at: self.clock.now(wall), previous }
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
        let wall = self.clock.reached(wall);
        // Whoever asked for it is told that it is not taken: so it must not be held back either, to
        // come true when nobody expects it any more.
        if let Err(why) = clock::check(wall, record.version.at) {
            return Err(Refusal::TooFarAhead { key: record.key, why });
        }
        let news = self.accept((now, wall), record, out)?;
        self.spread(now, &news, None, rng, out);
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
        if self.is_silenced(now, from) {
            out.push(Output::Ignored { from });
            return;
        }
        let (moment, before) = ((now, wall), out.len());
        match message {
            RecordMessage::Push { current, lost } => {
                self.pushed(moment, from, current, lost, rng, out);
            }
            RecordMessage::Root(root) => self.compare_roots(now, from, root, rng, out),
            RecordMessage::Ranges(theirs) => self.compare_ranges(now, from, &theirs, rng, out),
            RecordMessage::Tags { salt, ranges } => {
                self.compare_tags(now, from, salt, ranges, rng, out);
            }
            RecordMessage::Differ { salt, lines, unknown, current, lost } => {
                if !(current.is_empty() && lost.is_empty()) {
                    self.pushed(moment, from, current, lost, rng, out);
                }
                self.compare_lines(moment, from, salt, lines, unknown, out);
            }
            RecordMessage::Want(ids) => self.send(from, ids, out),
            RecordMessage::Have(lines) => self.offered(moment, from, lines, out),
        }
        self.count_faults(now, from, out.get(before..).unwrap_or_default());
    }

    fn is_silenced(&self, now: Time, from: NodeId) -> bool {
        self.faults
            .get(&from)
            .is_some_and(|(faults, since)| *faults >= MAX_FAULTS && now.since(*since) < SILENCED)
    }

    /// Counts what no honest peer sends. Checking a signature takes time, so a peer that sends
    /// many bad ones is not listened to for a while.
    fn count_faults(&mut self, now: Time, from: NodeId, out: &[Output]) {
        let is_fault = |output: &&Output| match output {
            Output::Refused { from: Some(by), reason } => *by == from && reason.is_fault(),
            _ => false,
        };
        let new = out.iter().filter(is_fault).count();
        if new == 0 {
            return;
        }
        self.faults.retain(|_, (_, since)| now.since(*since) < SILENCED);
        let (faults, _) = self.faults.entry(from).or_insert((0, now));
        *faults = faults.saturating_add(new);
        if *faults >= MAX_FAULTS {
            self.faults.insert(from, (MAX_FAULTS, now));
        }
    }

    /// A peer can be talked to.
    pub fn peer_up(&mut self, now: Time, peer: NodeId, out: &mut Vec<Output>) {
        if self.peers.insert(peer) {
            self.greet(now, peer, self.peers.len(), out);
        }
    }

    /// Compares with a peer that came up, one of so many of its kind, at once or soon.
    fn greet(&mut self, now: Time, peer: NodeId, count: usize, out: &mut Vec<Output>) {
        // One of the two begins at once, so that a cut heals in a round trip and not in a round.
        // In a larger mesh somebody's next round is as soon, and many who begin at once would all
        // find the same. Of those that come up together, the others have their turn in the next rounds.
        if count <= GREETERS && self.me < peer && self.next_greeting <= now {
            self.next_greeting = now.plus(ROUND);
            self.ask(now, peer, out);
        } else {
            self.fresh.insert(peer);
        }
    }

    /// A peer can't be talked to.
    pub fn peer_down(&mut self, peer: NodeId) {
        self.peers.remove(&peer);
        self.envoys.remove(&peer);
        self.fresh.remove(&peer);
    }

    /// Does what is due: a round, and records that were held back.
    pub fn tick(&mut self, now: Time, wall: UnixMillis, rng: &mut impl Rng, out: &mut Vec<Output>) {
        if self.rumours.next_at() <= now {
            self.tell(now, None, rng, out);
        }
        if self.doubted <= now {
            self.reconsider(now, out);
        }
        if now < self.next_round {
            return;
        }
        if let Some((_, at)) = self.comparing
            && now.since(at) < UNDER_WAY
        {
            self.next_round = at.plus(UNDER_WAY);
            return;
        }
        // Rounds of different nodes are not to fall together.
        self.next_round = now.plus(ROUND.mul_f64(rng.random_range(0.9..1.1)));
        self.wanted.retain(|_, (_, asked)| now.since(*asked) < PATIENCE);
        self.release((now, wall), rng, out);
        self.rumours.forget(now);
        let is_late = self.asked.is_none_or(|(_, at)| now.since(at) >= RARELY * ROUND);
        if self.rumours.are_told() && !is_late && self.is_settled() {
            return;
        }
        if let Some(to) = self.next_to_compare(now, rng) {
            self.fresh.remove(&to);
            self.ask(now, to, out);
        }
    }

    /// Whether no peers have come up that are still to be compared with. Else much may come in on all
    /// sides at once, as after a cut: then a node says less of its own accord.
    fn is_settled(&self) -> bool {
        self.fresh.is_empty()
    }

    /// Sends the hash of everything to a peer.
    fn ask(&mut self, now: Time, to: NodeId, out: &mut Vec<Output>) {
        self.asked = Some((to, now));
        let message = RecordMessage::Root(self.set.root());
        out.push(Output::Send { to, message });
    }

    /// When [`Records::tick`] has something to do.
    pub fn wake_at(&self) -> Time {
        self.next_round.min(self.rumours.next_at()).min(self.doubted)
    }

    /// The current record of a key; perhaps a tombstone.
    pub fn get(&self, key: &RecordKey) -> Option<&Arc<Record>> {
        self.set.get(key)
    }

    /// The version of the current record of a key.
    pub fn version(&self, key: &RecordKey) -> Option<Version> {
        self.set.version(key)
    }

    /// The current record of every key, tombstones included, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.set.iter()
    }

    /// The changes of a key that lost against others made at the same time, the oldest first.
    pub fn lost_of(&self, key: &RecordKey) -> impl Iterator<Item = &Arc<Record>> + use<'_> {
        let current = self.set.version(key);
        self.set.lost_of(key).filter(move |record| Some(record.version) != current)
    }

    /// Every change that lost and is kept.
    pub fn lost(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.set.lost()
    }

    /// How many records are held, and their bytes.
    pub fn size(&self) -> (usize, usize) {
        (self.set.len(), self.set.bytes())
    }

    /// Records from the future that wait for this node's clock.
    pub fn held_back(&self) -> impl Iterator<Item = &Record> {
        self.held_back.values()
    }

    /// A hash of every record, and of every change that lost: equal on two nodes exactly when they hold the same.
    pub fn root(&mut self) -> [u8; 32] {
        self.set.root()
    }
}
