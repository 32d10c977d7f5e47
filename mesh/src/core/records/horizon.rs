//! When a tombstone may go.
//!
//! A tombstone keeps a record from coming back from the dead through a node that was away and
//! still holds it. So it may go when no node can: when every node has said, in a signed record,
//! that at some moment (the *horizon*) it held exactly the same keys as the others: the
//! *survivors*. What each still holds from before the horizon, the others hold too; whatever else
//! turns up from before it was deleted, or is known to nobody who was asked, and is refused.
//!
//! - Every node has a record of itself ([`Member`]). One that has not been declared gone, by
//!   somebody who deleted that record, is asked, however long it is silent: silence lets nothing
//!   go. (So does causal stability in Wuu and Bernstein, "Efficient solutions to the replicated
//!   log and dictionary problems", 1984; here the vote is on one hash, not on a matrix of clocks.)
//! - Who holds tombstones older than [`Limits::horizon_every`](super::Limits) proposes a horizon,
//!   and whoever sees a proposal states its own survivors for it. After that, a node's own clock
//!   is past the horizon, for good: it writes nothing more from before it.
//! - When all of those that took part by then have stated the same survivors, each lets its
//!   tombstones from before the horizon go, and says that it has closed it.
//! - A node that finds a horizon closed without it (it was declared gone, or nobody knew it) takes
//!   over: what it holds from before the horizon and the others do not, it drops, and keeps in the
//!   history.
//!
//! It is off unless [`Limits::horizon_every`](super::Limits) is set, and nothing that ships sets
//! it: one schedule of the simulator is still to be explained.
//!
//! The rule and what speaks for it are in `docs/decisions/0011-tombstones-stay.md`.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::Rng;
use wattle_contracts::control::ElementId;
use wattle_contracts::id::{Digest, NodeId};
use wattle_contracts::record::{Hlc, Horizon, Member, Record, RecordBody, RecordKey, Version};
use wattle_contracts::trust::UnixMillis;
use wattle_contracts::wire;

use super::ranges::Kind;
use super::{Moment, Output, Records, Refusal, Write};
use crate::core::time::Time;

/// What a node remembers of horizons between two rounds. All that must last is in its own record.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// The survivors of a horizon, and at which count of changes they were worked out.
    survivors: Option<(Horizon, u64)>,
    /// The count of changes when there was last nothing to do.
    quiet_at: Option<u64>,
    /// A horizon closed by a node that held the very same as this one, at which count of changes.
    equal_to: Option<(Horizon, u64)>,
    /// No statement before this, so that not all nodes state at once.
    not_before: Time,
}

impl Records {
    /// What this node says of itself in its record, if it is not declared gone.
    fn own(&self) -> Option<&Member> {
        self.set.get(&RecordKey::Member(self.me)).and_then(|record| member(record))
    }

    /// The horizon that this node has closed.
    pub fn horizon(&self) -> Option<Horizon> {
        self.own().and_then(|own| own.closed)
    }

    pub(super) fn is_below_horizon(&self, version: Version) -> bool {
        self.is_known_gone(version.at)
    }

    /// Whether everybody agreed that there is no record from this moment but those held here.
    pub(super) fn is_known_gone(&self, at: Hlc) -> bool {
        self.horizon().is_some_and(|horizon| at.millis <= horizon.through.0)
    }

    pub(super) fn below_horizon(&self, key: RecordKey) -> Refusal {
        let through = self.horizon().map_or(UnixMillis(0), |horizon| horizon.through);
        Refusal::BelowHorizon { key, through }
    }

    /// After the record of `key` has changed: lets go of what is below this node's own horizon.
    pub(super) fn note_horizon(&mut self, key: &RecordKey, out: &mut Vec<Output>) {
        if *key != RecordKey::Member(self.me) {
            return;
        }
        let Some(horizon) = self.horizon() else { return };
        for key in self.set.tombstones_through(horizon.through) {
            self.set.remove(&key);
            self.changes = self.changes.wrapping_add(1);
            out.push(Output::Persist(Write::Gone(key.clone())));
            out.push(Output::Changed { key, previous: None });
        }
    }

    /// Says what is to be said about horizons.
    pub(super) fn tend_horizon(
        &mut self,
        (now, wall): Moment,
        rng: &mut impl Rng,
        out: &mut Vec<Output>,
    ) {
        let Some(every) = self.limits.horizon_every else { return };
        let about = RecordKey::Member(self.me);
        let says = match self.set.get(&about) {
            None => Some(Member::default()),
            Some(record) => match member(record) {
                None => self.come_back(),
                Some(own) => self.next_word(*own, (now, wall), every, rng),
            },
        };
        if let Some(says) = says {
            out.push(Output::Declare { key: about, body: RecordBody::Member(says) });
        }
    }

    /// What this node says when it was declared gone: that it is there again, once it agrees with
    /// the last horizon that the others closed.
    fn come_back(&mut self) -> Option<Member> {
        let Some(closed) = self.closed_by_others() else { return Some(Member::default()) };
        self.holds_what_is_left(closed).then_some(Member { closed: Some(closed), open: None })
    }

    /// Whether this node, which is late, holds from before a horizon what those hold who closed it.
    /// The survivors tell, as long as none was deleted and declared again since; else, that it holds
    /// the very same as one of them.
    fn holds_what_is_left(&mut self, closed: Horizon) -> bool {
        self.watch.equal_to == Some((closed, self.changes))
            || self.survivors(closed.through) == closed
    }

    /// A peer holds the very same as this node. True if that lets this node close a horizon.
    pub(super) fn note_equal(&mut self, peer: NodeId) -> bool {
        if self.limits.horizon_every.is_none() {
            return false;
        }
        let theirs = self.set.get(&RecordKey::Member(peer)).and_then(|record| member(record));
        let Some(closed) = theirs.and_then(|theirs| theirs.closed) else { return false };
        if self.horizon() >= Some(closed) {
            return false;
        }
        self.watch.equal_to = Some((closed, self.changes));
        self.watch.quiet_at = None;
        true
    }

    fn next_word(
        &mut self,
        own: Member,
        (now, wall): Moment,
        every: Duration,
        rng: &mut impl Rng,
    ) -> Option<Member> {
        if self.watch.quiet_at == Some(self.changes) && !self.is_due(own, wall, every) {
            return None;
        }
        // Others have closed a later one: this node is late, or was not asked.
        if let Some(closed) = self.closed_by_others()
            && own.closed < Some(closed)
        {
            let agrees = self.holds_what_is_left(closed);
            return agrees.then_some(Member { closed: Some(closed), open: None });
        }
        let Some(through) = self.horizon_to_open(own, wall, every) else {
            self.watch.quiet_at = Some(self.changes);
            return None;
        };
        let horizon = self.survivors(through);
        if own.open != Some(horizon) {
            if now < self.watch.not_before {
                return None;
            }
            let spread = every / 100;
            self.watch.not_before = now.plus(spread.mul_f64(rng.random_range(0.1..1.0)));
            return Some(Member { open: Some(horizon), ..own });
        }
        self.all_agree(horizon).then_some(Member { closed: Some(horizon), open: None })
    }

    /// Whether there are tombstones that are old enough.
    fn is_due(&self, own: Member, wall: UnixMillis, every: Duration) -> bool {
        let oldest = self.set.oldest_tombstone();
        let through = own_horizon(wall, every);
        oldest.is_some_and(|oldest| oldest.millis <= through.0)
            && own.closed.is_none_or(|closed| closed.through < through)
    }

    /// The horizon that this node should state: the latest that anybody proposes, itself included,
    /// if its own clock is past it: then it never writes anything from before it again.
    fn horizon_to_open(
        &self,
        own: Member,
        wall: UnixMillis,
        every: Duration,
    ) -> Option<UnixMillis> {
        let proposed = self.members().filter_map(|(_, _, member)| member.open);
        let proposed = proposed.map(|horizon| horizon.through);
        let due = self.is_due(own, wall, every).then(|| own_horizon(wall, every));
        let reached = self.clock.latest().millis;
        let latest = proposed.chain(due).filter(|through| through.0 < reached).max()?;
        own.closed.is_none_or(|closed| closed.through < latest).then_some(latest)
    }

    /// Whether everybody who took part by then says the same.
    fn all_agree(&self, horizon: Horizon) -> bool {
        self.members()
            .filter(|(_, since, _)| since.millis <= horizon.through.0)
            .all(|(_, _, member)| stands_by(member, horizon))
    }

    /// The latest horizon that another node has closed, where all other nodes have voted on it or on
    /// a later one. On it or what is left by it: a node that took something from one that was not
    /// asked, after its vote, has voted again before it heard that the horizon is closed.
    fn closed_by_others(&self) -> Option<Horizon> {
        let others = || self.members().filter(|(node, _, _)| *node != self.me);
        let closed: BTreeSet<Horizon> =
            others().filter_map(|(_, _, member)| member.closed).collect();
        closed.into_iter().rev().find(|horizon| {
            others().filter(|(_, since, _)| since.millis <= horizon.through.0).all(
                |(_, _, member)| {
                    let latest = member.open.max(member.closed);
                    latest.is_some_and(|latest| latest.through >= horizon.through)
                },
            )
        })
    }

    /// Takes a peer's word that everybody agreed to be without these.
    pub(super) fn heard_gone(&mut self, from: NodeId, ids: &[ElementId], out: &mut Vec<Output>) {
        if self.limits.horizon_every.is_none() {
            return;
        }
        let Some(closed) = self.closed_by_others() else { return };
        if self.horizon() >= Some(closed) || self.survivors(closed.through) == closed {
            return;
        }
        for id in ids {
            let Some(element) = self.set.ranges.get(id) else { continue };
            let record = element.record.clone();
            let is_below = record.version.at.millis <= closed.through.0;
            if element.kind == Kind::Current && is_below {
                self.drop_record(from, &record, out);
            }
        }
    }

    fn drop_record(
        &mut self,
        from: NodeId,
        record: &std::sync::Arc<Record>,
        out: &mut Vec<Output>,
    ) {
        let key = record.key.clone();
        if !record.is_tombstone() {
            if let Err(reason) = self.keep_lost(record.clone(), out) {
                out.push(Output::Refused { from: None, reason });
            }
            let reason = Refusal::Dropped { key: key.clone() };
            out.push(Output::Refused { from: Some(from), reason });
        }
        let previous = self.set.remove(&key);
        self.changes = self.changes.wrapping_add(1);
        out.push(Output::Persist(Write::Gone(key.clone())));
        out.push(Output::Changed { key, previous });
    }

    /// Who takes part, since when, and what each says.
    fn members(&self) -> impl Iterator<Item = (NodeId, Hlc, Member)> {
        self.set.members().filter_map(|record| {
            let RecordKey::Member(node) = record.key else { return None };
            Some((node, record.ancestry.since, *member(record)?))
        })
    }

    /// The keys that were declared by then, and not deleted by then.
    fn survivors(&mut self, through: UnixMillis) -> Horizon {
        if let Some((known, at)) = self.watch.survivors
            && known.through == through
            && at == self.changes
        {
            return known;
        }
        let mut bytes = Vec::new();
        for record in self.set.iter() {
            let is_deleted = record.is_tombstone() && record.version.at.millis <= through.0;
            if record.ancestry.since.millis <= through.0 && !is_deleted {
                bytes.extend(wire::encode(&record.key).unwrap_or_default());
            }
        }
        let horizon = Horizon { through, survivors: Digest::of(&bytes) };
        self.watch.survivors = Some((horizon, self.changes));
        horizon
    }
}

fn member(record: &Record) -> Option<&Member> {
    match &record.body {
        RecordBody::Member(member) => Some(member),
        _ => None,
    }
}

/// Whether who says this has agreed to the horizon: still does, or went on to a later one.
fn stands_by(member: Member, horizon: Horizon) -> bool {
    member.open == Some(horizon)
        || member.closed == Some(horizon)
        || member.closed.is_some_and(|closed| closed.through > horizon.through)
}

/// The last moment that is a multiple of `every`, and at least half of it ago: so that nodes that
/// propose one at about the same time propose the same.
fn own_horizon(wall: UnixMillis, every: Duration) -> UnixMillis {
    let every = u64::try_from(every.as_millis()).unwrap_or(u64::MAX).max(2);
    let settled = wall.0.saturating_sub(every / 2);
    UnixMillis(settled - settled % every)
}
