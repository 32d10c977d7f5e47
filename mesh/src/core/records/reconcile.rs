//! How two nodes find out what differs.
//!
//! `Root` is answered, where it differs, with the hashes of the sixteen parts of everything; each
//! part that differs with those of its own parts, and so on down, until a part holds little
//! enough ([`LIST`]) for a tag of each element. The other side then knows what each lacks: it
//! names its own ([`RecordMessage::Differ`]), and asks for the rest. Only records that somebody
//! lacks travel whole. One difference in n elements costs about log16(n/64) lists of sixteen
//! hashes, one of tags, and the record.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng;
use wattle_contracts::control::{
    ElementId, ElementRange, NOTHING, RangeHashes, RangeTags, RecordMessage,
};
use wattle_contracts::id::{Digest, NodeId};
use wattle_contracts::record::Hlc;
use wattle_contracts::trust::UnixMillis;

use super::ranges::{self, Element};
use super::{
    FRESH_BYTES, FRUITLESS, HURRY, MAX_WANTED, Output, PATIENCE, Records, Refusal, UNDER_WAY,
};
use crate::core::clock;
use crate::core::time::Time;

/// A range with so many elements or fewer is compared element by element.
const LIST: usize = 64;

/// A range of which a peer sends tags, and that has more elements than this here, is cut instead.
const MAX_LIST: usize = 4 * LIST;

/// The bytes of a tag, and of what goes with each range, in a message.
const TAG_BYTES: usize = 8;
const RANGE_BYTES: usize = 16;
const RANGE_HASHES_BYTES: usize = 16 * 16 + RANGE_BYTES;
const LINE_BYTES: usize = 16 + 14;

fn tag(salt: u64, element: &Element) -> [u8; TAG_BYTES] {
    let salted = [salt.to_le_bytes().as_slice(), &element.hash].concat();
    Digest::of(&salted).as_bytes().first_chunk().copied().unwrap_or_default()
}

fn differ(salt: u64, lines: Vec<(ElementId, Hlc)>, unknown: Vec<RangeTags>) -> RecordMessage {
    RecordMessage::Differ { salt, lines, unknown, current: Vec::new(), lost: Vec::new() }
}

fn tags_bytes(lists: &[RangeTags]) -> usize {
    lists.iter().map(|list| RANGE_BYTES + TAG_BYTES * list.tags.len()).sum()
}

impl Records {
    /// Somebody holds something else: the next round is soon. After a cut, others ask this node anyway.
    fn hurry(&mut self, now: Time) {
        if self.fruitless < FRUITLESS && self.is_settled() {
            self.fruitless += 1;
            self.next_round = self.next_round.min(now.plus(HURRY));
        }
    }

    pub(super) fn compare_roots(
        &mut self,
        now: Time,
        from: NodeId,
        root: [u8; 32],
        rng: &mut impl Rng,
        out: &mut Vec<Output>,
    ) {
        if root == self.set.root() {
            // What was apart is one again: its other side needs no asking before all others.
            if self.fresh.contains(&from) {
                self.fresh.clear();
            }
            return;
        }
        let is_recent = |at: Time| now.since(at) < UNDER_WAY;
        let is_busy = self.comparing.is_some_and(|(_, at)| is_recent(at));
        // Both have asked each other: one of them answers.
        let crossed = self.asked.is_some_and(|(peer, at)| peer == from && is_recent(at));
        let is_theirs = crossed && self.me > from;
        if is_busy || self.is_settled() {
            self.send_fresh(now, from, out);
        }
        if !is_busy && !is_theirs {
            self.comparing = Some((from, now));
            self.hurry(now);
            self.ask_about(from, vec![ranges::ALL], rng, out);
        }
    }

    /// Says what is here in ranges that differ: tags where it is little, else hashes of the parts.
    fn ask_about(
        &mut self,
        from: NodeId,
        differ: Vec<ElementRange>,
        rng: &mut impl Rng,
        out: &mut Vec<Output>,
    ) {
        let (mut short, mut long) = (Vec::new(), Vec::new());
        for range in differ {
            let can_be_cut = ranges::parts(range).next().is_some();
            match self.set.ranges.count(range) {
                count if count > LIST && can_be_cut => long.push(range),
                _ => short.push(range),
            }
        }
        // If not all fit into one answer, it is to be others the next time.
        for list in [&mut short, &mut long] {
            let turn = rng.random_range(0..=list.len());
            list.rotate_left(turn);
        }
        let hashes: Vec<RangeHashes> =
            long.into_iter().map(|range| self.set.ranges.hashes(range)).collect();
        for list in self.cut(hashes, |_| RANGE_HASHES_BYTES) {
            out.push(Output::Send { to: from, message: RecordMessage::Ranges(list) });
        }
        let salt = rng.random();
        let tags = short.into_iter().map(|range| {
            let held = self.set.ranges.elements(range);
            RangeTags { range, tags: held.into_iter().map(|(_, e)| tag(salt, e)).collect() }
        });
        for ranges in self.cut(tags, |list| RANGE_BYTES + TAG_BYTES * list.tags.len()) {
            let message = RecordMessage::Tags { salt, ranges };
            out.push(Output::Send { to: from, message });
        }
    }

    pub(super) fn compare_ranges(
        &mut self,
        now: Time,
        from: NodeId,
        theirs: &[RangeHashes],
        rng: &mut impl Rng,
        out: &mut Vec<Output>,
    ) {
        if !self.are_sound(from, theirs.iter().map(|hashes| hashes.range), out) {
            return;
        }
        let (mut differ, mut lines) = (Vec::new(), Vec::new());
        for theirs in theirs {
            let ours = self.set.ranges.hashes(theirs.range);
            let parts = ranges::parts(theirs.range).zip(ours.parts.iter().zip(&theirs.parts));
            for (part, (ours, theirs)) in parts.filter(|(_, (ours, theirs))| ours != theirs) {
                match *theirs {
                    // They have nothing there: no need for tags.
                    NOTHING if *ours != NOTHING => lines.extend(self.lines(part)),
                    _ => differ.push(part),
                }
            }
        }
        self.comparing = Some((from, now));
        if !differ.is_empty() || !lines.is_empty() {
            self.hurry(now);
        }
        self.ask_about(from, differ, rng, out);
        self.tell_lines(from, 0, lines, Vec::new(), out);
    }

    fn lines(&self, range: ElementRange) -> Vec<(ElementId, Hlc)> {
        let held = self.set.ranges.elements(range);
        held.into_iter().map(|(id, element)| (id, element.record.version.at)).collect()
    }

    fn tell_lines(
        &self,
        to: NodeId,
        salt: u64,
        lines: Vec<(ElementId, Hlc)>,
        unknown: Vec<RangeTags>,
        out: &mut Vec<Output>,
    ) {
        for lines in self.cut(lines, |_| LINE_BYTES) {
            let message = differ(salt, lines, Vec::new());
            out.push(Output::Send { to, message });
        }
        for unknown in self.cut(unknown, |list| RANGE_BYTES + TAG_BYTES * list.tags.len()) {
            match out.last_mut() {
                // Both in one message, where both are short.
                Some(Output::Send {
                    to: last,
                    message: RecordMessage::Differ { salt: of, lines, unknown: also, .. },
                }) if *last == to
                    && *of == salt
                    && also.is_empty()
                    && lines.len() * LINE_BYTES < self.limits.message_bytes / 2 =>
                {
                    *also = unknown;
                }
                _ => {
                    let message = differ(salt, Vec::new(), unknown);
                    out.push(Output::Send { to, message });
                }
            }
        }
    }

    pub(super) fn compare_tags(
        &mut self,
        now: Time,
        from: NodeId,
        salt: u64,
        theirs: Vec<RangeTags>,
        rng: &mut impl Rng,
        out: &mut Vec<Output>,
    ) {
        if !self.are_sound(from, theirs.iter().map(|list| list.range), out) {
            return;
        }
        let (mut too_long, mut lines, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
        let (mut missing_there, mut room) = (Vec::new(), FRESH_BYTES);
        for theirs in theirs {
            if self.set.ranges.count(theirs.range) > MAX_LIST.max(2 * theirs.tags.len()) {
                too_long.push(theirs.range);
                continue;
            }
            let mut tags: BTreeSet<[u8; TAG_BYTES]> = theirs.tags.into_iter().collect();
            let held = self.set.ranges.elements(theirs.range);
            let ours: Vec<_> =
                held.into_iter().filter(|(_, element)| !tags.remove(&tag(salt, element))).collect();
            let bytes: usize = ours.iter().map(|(_, element)| self.cost(element)).sum();
            // They hold nothing in the place of these, so these are not older; or these are so few
            // that to ask which are older costs more.
            if tags.is_empty() || bytes <= room {
                room = room.saturating_sub(bytes);
                missing_there.extend(ours.into_iter().map(|(id, _)| id));
            } else {
                lines.extend(ours.into_iter().map(|(id, e)| (id, e.record.version.at)));
            }
            if !tags.is_empty() {
                unknown.push(RangeTags { range: theirs.range, tags: tags.into_iter().collect() });
            }
        }
        self.comparing = Some((from, now));
        if !(too_long.is_empty() && missing_there.is_empty() && unknown.is_empty()) {
            self.hurry(now);
        }
        self.ask_about(from, too_long, rng, out);
        let bytes = missing_there.iter().filter_map(|id| self.set.ranges.get(id));
        let bytes: usize = bytes.map(|element| self.cost(element)).sum();
        let mut answer = Vec::new();
        self.tell_lines(from, salt, lines, unknown, &mut answer);
        let mut pushes = Vec::new();
        self.send(from, missing_there, &mut pushes);
        // What is little goes in one message with what is asked.
        match (pushes.as_mut_slice(), answer.first_mut()) {
            (
                [Output::Send { message: RecordMessage::Push { current, lost }, .. }],
                Some(Output::Send {
                    message:
                        RecordMessage::Differ {
                            lines, unknown, current: there, lost: lost_there, ..
                        },
                    ..
                }),
            ) if bytes + lines.len() * LINE_BYTES + tags_bytes(unknown)
                <= self.limits.message_bytes =>
            {
                (*there, *lost_there) = (std::mem::take(current), std::mem::take(lost));
            }
            _ => out.append(&mut pushes),
        }
        out.append(&mut answer);
    }

    pub(super) fn compare_lines(
        &mut self,
        (now, wall): super::Moment,
        from: NodeId,
        salt: u64,
        lines: Vec<(ElementId, Hlc)>,
        unknown: Vec<RangeTags>,
        out: &mut Vec<Output>,
    ) {
        if !self.are_sound(from, unknown.iter().map(|list| list.range), out) {
            return;
        }
        let mut want = Vec::new();
        let mut send = BTreeMap::new();
        let mut older_here = BTreeSet::new();
        for (id, at) in lines {
            match self.set.ranges.get(&id).map(|ours| ours.record.version.at) {
                None => want.push((id, at)),
                Some(ours) if ours < at => {
                    older_here.insert(id);
                    want.push((id, at));
                }
                Some(ours) if ours > at => drop(send.insert(id, ())),
                // The same reading, and another tag: by two writers, or two records of one.
                Some(_) => {
                    send.insert(id, ());
                    want.push((id, at));
                }
            }
        }
        for asked in unknown {
            if self.set.ranges.count(asked.range) > MAX_LIST.max(2 * asked.tags.len()) {
                continue;
            }
            let tags: BTreeSet<[u8; TAG_BYTES]> = asked.tags.into_iter().collect();
            let held = self.set.ranges.elements(asked.range);
            let asked = held.into_iter().filter(|(_, element)| tags.contains(&tag(salt, element)));
            send.extend(asked.map(|(id, _)| (id, ())).filter(|(id, ())| !older_here.contains(id)));
        }
        self.want(now, wall, from, want, out);
        self.send(from, send.into_keys(), out);
    }

    /// Asks for records, except those that were asked for just now and those that would only be
    /// held back.
    pub(super) fn want(
        &mut self,
        now: Time,
        wall: UnixMillis,
        from: NodeId,
        mut want: Vec<(ElementId, Hlc)>,
        out: &mut Vec<Output>,
    ) {
        let held_back: BTreeSet<Hlc> =
            self.held_back.values().map(|held| held.version.at).collect();
        let room_ahead = self.held_back.len() < super::MAX_HELD_BACK;
        want.retain(|(id, at)| {
            let asked = self.wanted.get(id);
            let asked =
                asked.is_some_and(|(asked, when)| asked >= at && now.since(*when) < PATIENCE);
            let is_near = clock::check(wall, *at).is_ok();
            !asked && (is_near || (room_ahead && !held_back.contains(at)))
        });
        want.truncate(MAX_WANTED.saturating_sub(self.wanted.len()));
        for (id, at) in &want {
            self.wanted.insert(*id, (*at, now));
        }
        let ids = want.into_iter().map(|(id, _)| id);
        for ids in self.cut(ids, |_| 16) {
            out.push(Output::Send { to: from, message: RecordMessage::Want(ids) });
        }
    }

    /// Whether ranges that a peer named are ranges, each named once, none within another: what is
    /// asked of this node in one message is then no more than all it holds.
    fn are_sound(
        &self,
        from: NodeId,
        named: impl Iterator<Item = ElementRange>,
        out: &mut Vec<Output>,
    ) -> bool {
        let mut named: Vec<ElementRange> = named.collect();
        named.sort_by_key(|range| (range.path, range.digits));
        let apart = named
            .iter()
            .zip(named.iter().skip(1))
            .all(|(one, next)| !ranges::contains(*one, *next));
        if apart && named.iter().all(|range| ranges::is_sound(*range)) {
            return true;
        }
        let reason = Refusal::Malformed("ranges that are none, or overlap");
        out.push(Output::Refused { from: Some(from), reason });
        false
    }
}
