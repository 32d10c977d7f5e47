//! How two nodes find out what differs, and how news travels.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::Rng;
use rand::seq::index;
use wattle_contracts::control::{BUCKETS, BucketVersions, RecordMessage};
use wattle_contracts::id::NodeId;
use wattle_contracts::record::{Record, RecordKey, Version};
use wattle_contracts::trust::UnixMillis;

use super::cut::cut;
use super::{
    FRUITLESS, HURRIED, HURRY, MAX_WANTED, Output, REPEATS, RUMOUR_BYTES, Records, Refusal, set,
};
use crate::core::clock;
use crate::core::time::Time;

/// Up to `count` different peers, without `except`, each as likely as the others.
pub(super) fn sample(
    peers: &BTreeSet<NodeId>,
    except: Option<NodeId>,
    count: usize,
    rng: &mut impl Rng,
) -> Vec<NodeId> {
    let others: Vec<NodeId> = peers.iter().copied().filter(|peer| Some(*peer) != except).collect();
    index::sample(rng, others.len(), count.min(others.len()))
        .into_iter()
        .filter_map(|at| others.get(at).copied())
        .collect()
}

impl Records {
    /// Passes news on, to peers that are not known to have it.
    pub(super) fn spread(
        &mut self,
        now: Time,
        news: Vec<Arc<Record>>,
        from: Option<NodeId>,
        rng: &mut impl Rng,
        out: &mut Vec<Output>,
    ) {
        if news.is_empty() {
            return;
        }
        (self.hurried, self.fruitless) = (HURRIED, 0);
        self.next_round = self.next_round.min(now.plus(HURRY));
        let bytes: usize = news.iter().filter_map(|record| self.set.size_of(&record.key)).sum();
        if bytes > RUMOUR_BYTES && news.len() > 1 {
            return;
        }
        for to in sample(&self.peers, from, self.limits.fanout, rng) {
            self.push(to, news.iter().cloned(), out);
        }
        let told_again = self.rumours.keys().filter_map(|key| self.set.size_of(key)).sum::<usize>();
        if told_again + bytes <= RUMOUR_BYTES {
            self.rumours.extend(news.iter().map(|record| (record.key.clone(), REPEATS)));
        }
    }

    /// Tells the rumours of the last rounds to one more peer.
    pub(super) fn repeat_rumours(&mut self, rng: &mut impl Rng, out: &mut Vec<Output>) {
        if self.rumours.is_empty() {
            return;
        }
        let told: Vec<Arc<Record>> =
            self.rumours.keys().filter_map(|key| self.set.get(key)).cloned().collect();
        for to in sample(&self.peers, None, 1, rng) {
            self.push(to, told.iter().cloned(), out);
        }
        self.rumours.retain(|_, left| {
            *left = left.saturating_sub(1);
            *left > 0
        });
    }

    pub(super) fn pushed(
        &mut self,
        now: Time,
        wall: UnixMillis,
        from: NodeId,
        records: Vec<Record>,
        rng: &mut impl Rng,
        out: &mut Vec<Output>,
    ) {
        let mut news = Vec::new();
        let mut newer_here = Vec::new();
        for record in records {
            match self.take_pushed(wall, record, &mut newer_here, out) {
                Ok(record) => news.extend(record),
                Err(reason) => out.push(Output::Refused { from: Some(from), reason }),
            }
        }
        self.push(from, newer_here, out);
        self.spread(now, news, Some(from), rng, out);
    }

    /// `None` for what is known already.
    fn take_pushed(
        &mut self,
        wall: UnixMillis,
        record: Record,
        newer_here: &mut Vec<Arc<Record>>,
        out: &mut Vec<Output>,
    ) -> Result<Option<Arc<Record>>, Refusal> {
        if self.is_held_back(&record.key, record.version) {
            return Ok(None);
        }
        match self.set.get(&record.key) {
            Some(known) if known.version > record.version => {
                newer_here.push(known.clone());
                return Ok(None);
            }
            Some(known) if known.version == record.version => {
                if known.body == record.body {
                    return Ok(None);
                }
                return self.settle_ambiguous(wall, known.clone(), record, out);
            }
            _ => {}
        }
        self.accept(wall, record, out).map(Some)
    }

    /// One version, two records: every node keeps the one with the higher digest, and says so.
    fn settle_ambiguous(
        &mut self,
        wall: UnixMillis,
        known: Arc<Record>,
        other: Record,
        out: &mut Vec<Output>,
    ) -> Result<Option<Arc<Record>>, Refusal> {
        let key = other.key.clone();
        let digests = (other.digest(), known.digest());
        if let (Ok(other_digest), Ok(known_digest)) = digests
            && other_digest > known_digest
        {
            self.accept(wall, other, out)?;
        }
        Err(Refusal::Ambiguous { key })
    }

    /// Somebody holds something else: the next round is soon.
    fn hurry(&mut self, now: Time) {
        if self.fruitless < FRUITLESS {
            self.fruitless += 1;
            self.next_round = self.next_round.min(now.plus(HURRY));
        }
    }

    pub(super) fn compare_roots(
        &mut self,
        now: Time,
        from: NodeId,
        root: [u8; 32],
        out: &mut Vec<Output>,
    ) {
        if root != self.set.root() {
            self.hurry(now);
            let message = RecordMessage::Buckets(self.set.bucket_hashes());
            out.push(Output::Send { to: from, message });
        }
    }

    pub(super) fn compare_buckets(
        &mut self,
        now: Time,
        from: NodeId,
        theirs: &[u64],
        rng: &mut impl Rng,
        out: &mut Vec<Output>,
    ) {
        if theirs.len() != BUCKETS {
            let reason = Refusal::Malformed("a wrong number of buckets");
            out.push(Output::Refused { from: Some(from), reason });
            return;
        }
        let ours = self.set.bucket_hashes();
        let differ = ours.iter().zip(theirs).map(|(ours, theirs)| ours != theirs);
        let mut buckets: Vec<u8> =
            (0..=u8::MAX).zip(differ).filter(|(_, differ)| *differ).map(|(at, _)| at).collect();
        // If not all fit into one answer, it is to be others the next time.
        if !buckets.is_empty() {
            self.hurry(now);
        }
        let turn = rng.random_range(0..=buckets.len());
        buckets.rotate_left(turn);
        let listed = buckets.into_iter().map(|bucket| self.list(bucket));
        for list in self.cut(listed, |(_, bytes)| *bytes) {
            let versions = list.into_iter().map(|(versions, _)| versions).collect();
            out.push(Output::Send { to: from, message: RecordMessage::Versions(versions) });
        }
    }

    /// What is held in one bucket, and its size in bytes. One that is too long for a message is
    /// cut: the peer then sends records of which it can't know that they are here, and what it
    /// lacks comes when it is its turn to list.
    fn list(&self, bucket: u8) -> (BucketVersions, usize) {
        let mut size = 8;
        let mut versions = Vec::new();
        for (key, version, bytes) in self.set.lines(bucket) {
            if size + bytes > self.limits.message_bytes {
                break;
            }
            size += bytes;
            versions.push((key.clone(), version));
        }
        (BucketVersions { bucket, versions }, size)
    }

    pub(super) fn compare_versions(
        &mut self,
        now: Time,
        wall: UnixMillis,
        from: NodeId,
        theirs: Vec<BucketVersions>,
        out: &mut Vec<Output>,
    ) {
        let malformed = |why| Output::Refused { from: Some(from), reason: Refusal::Malformed(why) };
        let mut seen = BTreeSet::new();
        let (mut want, mut push) = (Vec::new(), Vec::new());
        for BucketVersions { bucket, versions } in theirs {
            if !seen.insert(bucket) {
                out.push(malformed("a bucket that is listed twice"));
                return;
            }
            let versions: BTreeMap<RecordKey, Version> = versions.into_iter().collect();
            if !versions.keys().all(|key| set::bucket_of(key) == Ok(bucket)) {
                out.push(malformed("a key in a bucket where it does not belong"));
                return;
            }
            for (key, ours, _) in self.set.lines(bucket) {
                if versions.get(key).is_none_or(|theirs| *theirs < ours) {
                    push.extend(self.set.get(key).cloned());
                }
            }
            want.extend(
                versions.into_iter().filter(|(key, theirs)| {
                    self.set.version(key).is_none_or(|ours| ours < *theirs)
                }),
            );
        }
        self.want(now, wall, from, want, out);
        self.push(from, push, out);
    }

    /// Asks for records, except those that were asked for just now and those that would only be
    /// held back.
    fn want(
        &mut self,
        now: Time,
        wall: UnixMillis,
        from: NodeId,
        mut want: Vec<(RecordKey, Version)>,
        out: &mut Vec<Output>,
    ) {
        want.retain(|(key, version)| {
            let asked = self
                .wanted
                .get(key)
                .is_some_and(|(asked, at)| asked >= version && now.since(*at) < super::PATIENCE);
            !asked
                && !self.is_held_back(key, *version)
                && (clock::check(wall, version.at).is_ok()
                    || self.held_back.len() < super::MAX_HELD_BACK)
        });
        want.truncate(MAX_WANTED.saturating_sub(self.wanted.len()));
        for (key, version) in &want {
            self.wanted.insert(key.clone(), (*version, now));
        }
        let keys = want.into_iter().map(|(key, _)| key);
        for keys in self.cut(keys, |key| key.to_string().len() + 8) {
            out.push(Output::Send { to: from, message: RecordMessage::Want(keys) });
        }
    }

    pub(super) fn answer_want(&mut self, from: NodeId, keys: &[RecordKey], out: &mut Vec<Output>) {
        let held: Vec<Arc<Record>> =
            keys.iter().filter_map(|key| self.set.get(key)).cloned().collect();
        self.push(from, held, out);
    }

    fn push(
        &self,
        to: NodeId,
        records: impl IntoIterator<Item = Arc<Record>>,
        out: &mut Vec<Output>,
    ) {
        let cost = |record: &Arc<Record>| self.set.size_of(&record.key).unwrap_or(0);
        for list in self.cut(records, cost) {
            let list = list.iter().map(|record| Record::clone(record)).collect();
            out.push(Output::Send { to, message: RecordMessage::Push(list) });
        }
    }

    fn is_held_back(&self, key: &RecordKey, version: Version) -> bool {
        self.held_back.get(key).is_some_and(|held| held.version == version)
    }

    fn cut<T>(
        &self,
        items: impl IntoIterator<Item = T>,
        cost: impl Fn(&T) -> usize,
    ) -> Vec<Vec<T>> {
        cut(items, cost, self.limits.message_bytes, self.limits.answer_bytes)
    }
}
