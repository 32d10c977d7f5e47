//! The plane of records, as `mesh::net::records` drives it: what is to be kept is on the disk
//! before anything else of it is done.

use std::collections::{BTreeSet, VecDeque};

use wattle_contracts::control::{Control, RecordMessage};
use wattle_contracts::id::NodeId;
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::{Record, RecordBody, RecordKey, Version};
use wattle_mesh::core::records::{Output, Records, Write};
use wattle_mesh::core::time::Time;

use super::{Cx, Effect, Machine, Then, Wake};
use crate::lattice::disk::{Kept, Op};
use crate::lattice::happening::Happening;
use crate::mutant::Mutant;

/// Messages that wait for the disk, as in `mesh::net::driver`.
const QUEUE: usize = 128;
/// Messages and changes that do. In a real node, who makes a change waits.
const ALL: usize = 1024;
/// So many of them share one write, as in `mesh::net::records`.
const BATCH: usize = 64;
/// So many changes wait for a disk that has failed, until it is asked again. As there.
const PUT_OFF: usize = 64;
/// After a failure of the disk, it is asked again after so long.
const RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// The records of a node, and what waits for its disk.
#[derive(Debug, Default)]
pub(super) struct Plane {
    /// None after the disk has failed, until it was read again.
    set: Option<Records>,
    /// Whether a write is under way.
    is_busy: bool,
    waiting: VecDeque<Input>,
    /// The peers that the set knows of, and as of when.
    up: BTreeSet<(NodeId, bool)>,
    as_of: Option<u64>,
    /// When it is woken next.
    wakes: Time,
    /// Counts the loads, so that a write of an earlier set is not taken for one of this.
    loads: u64,
}

#[derive(Debug)]
enum Input {
    Message(NodeId, RecordMessage),
    Put(RecordKey, RecordBody),
}

/// A change that is taken, once it is on the disk: of what, which, and whether it is a delete.
type Taken = (RecordKey, Version, bool);

/// What is left to be done once a write has ended.
#[derive(Debug)]
pub(crate) struct Rest {
    load: u64,
    out: Vec<Output>,
    taken: Vec<Taken>,
}

impl Plane {
    pub(super) fn records(&self) -> Option<&Records> {
        self.set.as_ref()
    }
}

impl Machine {
    /// The records, unless the disk has failed.
    pub(crate) fn records(&self) -> Option<&Records> {
        self.plane.set.as_ref()
    }

    /// The hash of everything it holds.
    pub(crate) fn records_root(&mut self) -> Option<[u8; 32]> {
        self.plane.set.as_mut().map(Records::root)
    }

    /// Reads the records from the disk.
    pub(crate) fn load_records(&mut self, kept: &Kept, cx: &mut Cx<'_>) {
        let mut stored = kept.records();
        if self.is_broken(Mutant::ForgetTombstones) {
            stored.retain(|stored| !stored.record.is_tombstone());
        }
        let mut out = Vec::new();
        let set = Records::load(self.me, self.settings.records, stored, &mut out);
        self.plane.loads += 1;
        (self.plane.set, self.plane.is_busy) = (Some(set), false);
        self.plane.up.clear();
        self.plane.as_of = None;
        self.plane.wakes = Time::NEVER;
        self.refresh_table();
        self.abroad.summaries_changed();
        self.changed = true;
        self.perform(out, Vec::new(), cx);
        self.peers_changed(cx);
    }

    /// Somebody came or went.
    pub(super) fn peers_changed(&mut self, cx: &mut Cx<'_>) {
        self.take_batches(cx);
    }

    pub(super) fn plane_due(&mut self, cx: &mut Cx<'_>) {
        if self.plane.wakes <= cx.now {
            self.plane.wakes = Time::NEVER;
        }
        self.take_batches(cx);
    }

    pub(super) fn records_from(&mut self, from: NodeId, message: RecordMessage, cx: &mut Cx<'_>) {
        let is_comparison = !matches!(message, RecordMessage::Push { .. });
        if is_comparison && self.is_broken(Mutant::NoReconciliation) {
            return;
        }
        self.take_input(Input::Message(from, message), cx);
    }

    pub(super) fn put_record(&mut self, key: RecordKey, body: RecordBody, cx: &mut Cx<'_>) {
        if self.is_broken(Mutant::NeedMajority) {
            let (known, alive) = self.census_counts();
            if alive * 2 <= known {
                let why = "there is no majority".into();
                return cx.happens(Happening::EditRefused { why, by_disk: false });
            }
        }
        self.take_input(Input::Put(key, body), cx);
    }

    fn take_input(&mut self, input: Input, cx: &mut Cx<'_>) {
        let has_failed = self.plane.set.is_none();
        let waiting = &mut self.plane.waiting;
        match input {
            // A comparison brings what is dropped.
            Input::Message(..) if has_failed || waiting.len() >= QUEUE => {}
            Input::Put(..) if has_failed && waiting.len() >= PUT_OFF => {
                refuse_edit("the disk has failed, and too many changes wait for it", true, cx);
            }
            Input::Put(..) if waiting.len() >= ALL => {
                refuse_edit("too many changes wait", false, cx);
            }
            input => waiting.push_back(input),
        }
        self.take_batches(cx);
    }

    /// Takes what has come since the last write, as long as none is under way. What comes meanwhile
    /// goes with the next.
    fn take_batches(&mut self, cx: &mut Cx<'_>) {
        loop {
            if self.plane.is_busy || self.plane.set.is_none() {
                return;
            }
            let count = self.plane.waiting.len().min(BATCH);
            let batch: Vec<Input> = self.plane.waiting.drain(..count).collect();
            self.process(batch, cx);
            if self.plane.waiting.is_empty() {
                break;
            }
        }
        self.plan_wake(cx);
    }

    fn plan_wake(&mut self, cx: &mut Cx<'_>) {
        let Some(set) = &self.plane.set else { return };
        let due = set.wake_at().max(cx.now);
        if due < self.plane.wakes {
            self.plane.wakes = due;
            cx.wake(due, Wake::Plane);
        }
    }

    fn process(&mut self, batch: Vec<Input>, cx: &mut Cx<'_>) {
        let Self { plane, links, key: signer, settings, .. } = self;
        let Plane { set, up, as_of, .. } = plane;
        let Some(set) = set.as_mut() else { return };
        let (now, wall) = (cx.now, cx.wall);
        let mut out = Vec::new();
        if as_of.replace(links.turns()) != Some(links.turns()) {
            let connected: BTreeSet<(NodeId, bool)> = links.for_records().collect();
            for (gone, _) in up.difference(&connected) {
                set.peer_down(*gone);
            }
            for (come, near) in connected.difference(up) {
                match near {
                    true => set.peer_up(now, *come, &mut out),
                    false => set.envoy_up(now, *come, &mut out),
                }
            }
            *up = connected;
        }
        let mut taken = Vec::new();
        for input in batch {
            match input {
                Input::Message(from, message) => {
                    // Now and then: who always writes the older one again never comes to an end.
                    if settings.broken == Some(Mutant::OlderWins) && wall.0.is_multiple_of(8) {
                        write_older(set, signer, &message, &mut out, cx);
                    }
                    set.handle(now, wall, from, message, cx.rng, &mut out);
                }
                Input::Put(key, body) => {
                    let is_tombstone = matches!(body, RecordBody::Tombstone);
                    let put = set.sign(wall, signer, key.clone(), body).map_err(|e| e.to_string());
                    let put = put.and_then(|record: Record| {
                        let version = record.version;
                        cx.happens(Happening::Wrote { key: key.clone(), version });
                        let put = set.put(now, wall, record, cx.rng, &mut out);
                        put.map(|()| version).map_err(|refusal| refusal.to_string())
                    });
                    match put {
                        Ok(version) => taken.push((key, version, is_tombstone)),
                        Err(why) => refuse_edit(&why, false, cx),
                    }
                }
            }
        }
        set.tick(now, wall, cx.rng, &mut out);
        self.perform(out, taken, cx);
    }

    fn perform(&mut self, out: Vec<Output>, taken: Vec<Taken>, cx: &mut Cx<'_>) {
        let writes = out.iter().filter_map(|output| match output {
            Output::Persist(write) => Some(Op::Record(Write::clone(write))),
            _ => None,
        });
        let ops: Vec<Op> = writes.collect();
        let rest = Rest { load: self.plane.loads, out, taken };
        if ops.is_empty() {
            self.finish(rest, cx);
        } else {
            self.plane.is_busy = true;
            cx.out.push(Effect::Write { ops, then: Then::Records(Box::new(rest)) });
        }
    }

    pub(super) fn records_written(&mut self, rest: Rest, is_done: bool, cx: &mut Cx<'_>) {
        if rest.load != self.plane.loads || self.plane.set.is_none() {
            return;
        }
        self.plane.is_busy = false;
        if !is_done {
            // What is in memory is ahead of the disk now, and must not be believed.
            self.plane.set = None;
            self.plane.up.clear();
            rest.taken.iter().for_each(|_| refuse_edit("the disk is full", true, cx));
            for input in std::mem::take(&mut self.plane.waiting) {
                self.take_input(input, cx);
            }
            return cx.wake(cx.now.plus(RETRY), Wake::Reload);
        }
        self.finish(rest, cx);
        self.take_batches(cx);
    }

    fn finish(&mut self, rest: Rest, cx: &mut Cx<'_>) {
        let mut declares = false;
        for output in rest.out {
            match output {
                Output::Changed { key, .. } => {
                    let current = self.records().and_then(|set| set.get(&key));
                    let version = current.map(|record| record.version);
                    let is_tombstone = current.is_some_and(|record| record.is_tombstone());
                    declares |= matches!(key, RecordKey::App(_) | RecordKey::Link(_));
                    if matches!(key, RecordKey::Cell(_)) {
                        self.abroad.summaries_changed();
                    }
                    cx.happens(Happening::Current { key, version, is_tombstone });
                }
                Output::Send { to, message } => {
                    // What is lost is found by the next comparison.
                    self.tell(to, Control::Records(message), cx);
                }
                Output::Refused { reason, .. } if reason.is_fault() => {
                    cx.happens(Happening::Fault(format!("a record: {reason}")));
                }
                _ => {}
            }
        }
        if declares {
            self.refresh_table();
            self.changed = true;
        }
        for (key, version, is_tombstone) in rest.taken {
            cx.happens(Happening::Acknowledged { key, version, is_tombstone });
        }
    }
}

/// What a broken rule does: writes again what is older than what is held.
fn write_older(
    set: &mut Records,
    signer: &SigningKey,
    message: &RecordMessage,
    out: &mut Vec<Output>,
    cx: &mut Cx<'_>,
) {
    let RecordMessage::Push { current, .. } = message else { return };
    for old in current {
        let newer = set.get(&old.key).is_some_and(|new| new.version > old.version);
        let again = newer.then(|| set.sign(cx.wall, signer, old.key.clone(), old.body.clone()));
        if let Some(Ok(record)) = again {
            let _ = set.put(cx.now, cx.wall, record, cx.rng, out);
        }
    }
}

fn refuse_edit(why: &str, by_disk: bool, cx: &mut Cx<'_>) {
    cx.happens(Happening::EditRefused { why: why.into(), by_disk });
}
