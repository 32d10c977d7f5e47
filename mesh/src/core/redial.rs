//! Whom to dial, where, and when: the loop that brings a mesh together, and back together.
//!
//! Hints come from everywhere and rank by what they are worth ([`Source`]). A node that was ever
//! admitted is never forgotten and never given up, because every mesh that gave up on its dead
//! stayed cut in two. Attempts on one target back off exponentially with jitter (the "equal
//! jitter" of Brooker, "Exponential Backoff and Jitter", 2015) to [`Config::slowest`]; first-hand
//! news that it is there starts them afresh. So does the return of a node that was lost at about the
//! same time: what had taken both is most likely over.
//!
//! The driver asks [`Redial::due`] for what to dial, not later than [`Redial::wake_at`], and
//! reports how each attempt ended with [`Redial::connected`], [`Redial::answered`] or
//! [`Redial::failed`].
//!
//! Bounds: [`MAX_HINTED`] targets that were never admitted, the least worthy and oldest of which
//! go when others come; [`MAX_ADDRESSES`] addresses for each; [`Config::at_once`] attempts at
//! once, and fewer while this node is late ([`Redial::late`]), of which hints have half at the most
//! (`places`). Nodes that were admitted are bounded by the papers that the mesh's authority has signed.

mod accounts;
mod connection;
mod places;
mod target;
#[cfg(test)]
mod tests;

pub use accounts::{Account, Accounts, MAX_HINTS, hints_for};
pub use connection::{Connection, by_preference, superfluous, which_stays};
pub use target::{Source, Target};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use wattle_contracts::id::NodeId;

use super::time::Time;
use places::Places;
use target::Entry;

/// How many targets are kept that were never admitted.
pub const MAX_HINTED: usize = 4096;

/// How many addresses are kept for one target.
pub const MAX_ADDRESSES: usize = 16;

/// The longest address, in bytes.
pub const MAX_ADDRESS: usize = 256;

/// How eagerly to dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// The wait after the first failure. Each further one doubles it.
    pub first: Duration,
    /// The longest wait, for a target that has failed many times.
    pub slowest: Duration,
    /// How often news of one target may start its attempts afresh.
    pub fresh_every: Duration,
    /// How long the higher of two node ids waits before it dials one that it was just told of:
    /// most likely that one dials too, and one connection is enough.
    pub courtesy: Duration,
    /// How long an attempt may take before it counts as failed, if nothing is reported.
    pub timeout: Duration,
    /// How many attempts at once.
    pub at_once: usize,
    /// A node that is later than this is busy.
    pub late: Duration,
    /// Nodes that were lost within so long of each other were most likely taken by the same cut.
    pub same_cut: Duration,
    /// When one of them is back, the others are tried within so long by the lower of the two node
    /// ids, and within as long after that by the higher.
    pub spread: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            slowest: Duration::from_secs(60),
            fresh_every: Duration::from_secs(5),
            courtesy: Duration::from_millis(300),
            timeout: Duration::from_secs(15),
            at_once: 16,
            late: Duration::from_millis(100),
            same_cut: Duration::from_secs(15),
            spread: Duration::from_secs(2),
        }
    }
}

/// An attempt to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dial {
    /// Whom.
    pub target: Target,
    /// Where, the most promising address first.
    pub addresses: Vec<String>,
}

/// Everything that might be dialled.
#[derive(Debug)]
pub struct Redial {
    me: NodeId,
    config: Config,
    targets: BTreeMap<Target, Entry>,
    /// Attempts under way.
    dialling: BTreeSet<Target>,
    linked: BTreeSet<NodeId>,
    /// Nodes that are left alone.
    resting: Arc<BTreeSet<NodeId>>,
    /// When those were lost that were tried in vain and have just come back.
    back: BTreeSet<Time>,
    /// How many attempts at once, as long as this node keeps up.
    at_once: usize,
}

impl Redial {
    /// Nobody known yet. `me` is never dialled.
    pub fn new(me: NodeId, config: Config) -> Self {
        Self {
            me,
            config,
            targets: BTreeMap::new(),
            dialling: BTreeSet::new(),
            linked: BTreeSet::new(),
            resting: Arc::default(),
            back: BTreeSet::new(),
            at_once: config.at_once,
        }
    }

    /// How late this node is with what it does by the clock. Handshakes are the dearest thing that
    /// it does of its own accord: one that can't keep up begins half as many at once each time it
    /// says so, and one more each time it is in time again. Where many nodes share a machine and all
    /// start together, each handshake would else wait for so many others that none ends in time, and
    /// all are begun anew.
    pub fn late(&mut self, by: Duration) {
        self.at_once = match by > self.config.late {
            true => (self.at_once / 2).max(1),
            false => (self.at_once + 1).min(self.config.at_once),
        };
    }

    /// Leaves exactly these nodes alone: they are remembered, and not dialled.
    pub fn rest(&mut self, nodes: Arc<BTreeSet<NodeId>>) {
        self.resting = nodes;
    }

    /// A connection to `node` is needed now: it is dialled at once, unless that has just failed.
    pub fn need(&mut self, now: Time, node: NodeId) {
        if let Some(entry) = self.targets.get_mut(&Target::Node(node)) {
            entry.need(now);
        }
    }

    /// Somebody says that `target` may be reached at `addresses`. Whether one of them was not known.
    pub fn hint(
        &mut self,
        now: Time,
        target: Target,
        addresses: impl IntoIterator<Item = String>,
        source: Source,
    ) -> bool {
        if target == Target::Node(self.me) {
            return false;
        }
        let known = self.targets.get(&target);
        let linked = known.is_some_and(|entry| self.is_linked(&target, entry));
        if known.is_none() && !self.has_room_for(source) {
            return false;
        }
        let first = match &target {
            Target::Node(node) if source.is_mutual() && *node < self.me => {
                now.plus(self.config.courtesy)
            }
            _ => now,
        };
        let own = match &target {
            Target::Address(address) => Some(address.clone()),
            Target::Node(_) => None,
        };
        let entry = self.targets.entry(target).or_insert_with(|| Entry::new(first, source, now));
        entry.hinted(now, source);
        let mut news = false;
        for address in own.into_iter().chain(addresses) {
            news |= entry.add_address(now, address, source);
        }
        if !linked && (news || source.is_first_hand()) {
            entry.start_afresh(now, first, self.config.fresh_every);
        }
        news
    }

    /// There is an admitted connection to `node` now, by whichever side it was dialled, and if it
    /// was this one, at the address given.
    pub fn connected(&mut self, now: Time, node: NodeId, address: Option<String>) {
        self.linked.insert(node);
        self.dialling.remove(&Target::Node(node));
        let fresh = || Entry::new(now, Source::Knocked, now);
        let entry = self.targets.entry(Target::Node(node)).or_insert_with(fresh);
        if let Some(lost) = entry.was_in_vain() {
            self.back.insert(lost);
        }
        entry.admitted(now, address);
    }

    /// An attempt on an address of unknown owner led to `node`, which may be this one.
    pub fn answered(&mut self, now: Time, address: &str, node: NodeId) {
        let target = Target::Address(address.to_string());
        self.dialling.remove(&target);
        if let Some(entry) = self.targets.get_mut(&target) {
            entry.answered_by(node);
        }
        if node != self.me {
            self.hint(now, Target::Node(node), [address.to_string()], Source::Flag);
        }
    }

    /// The last connection to `node` is gone. It is tried again soon.
    pub fn disconnected(&mut self, now: Time, node: NodeId, rng: &mut impl Rng) {
        self.linked.remove(&node);
        let led_here = |entry: &&mut Entry| entry.led_to() == Some(node);
        if let Some(entry) = self.targets.get_mut(&Target::Node(node)) {
            entry.lost(now);
            entry.reset(now.plus(jittered(self.config.first, rng)));
        }
        for entry in self.targets.values_mut().filter(led_here) {
            entry.reset(now.plus(jittered(2 * self.config.first, rng)));
        }
    }

    /// An attempt failed: nobody answered, or somebody else, or it was not let in.
    pub fn failed(&mut self, now: Time, target: &Target, rng: &mut impl Rng) {
        self.dialling.remove(target);
        if let Some(entry) = self.targets.get_mut(target) {
            entry.failed(now, self.config, rng);
        }
    }

    /// Takes the attempts that are to be begun now: of the sure and of the hints as many as there are
    /// places for, those first that have waited longest.
    pub fn due(&mut self, now: Time, rng: &mut impl Rng) -> Vec<Dial> {
        self.expire(now, rng);
        self.try_companions(now, rng);
        let mut due: Vec<(Time, Source, Target, bool)> = self
            .targets
            .iter()
            .filter(|(target, entry)| entry.next() <= now && self.is_wanted(target, entry))
            .map(|(target, entry)| (entry.next(), entry.source(), target.clone(), entry.is_sure()))
            .collect();
        due.sort();
        let sure = due.iter().filter(|(.., is_sure)| *is_sure).count();
        let (mut sure, mut hints) = self.places().share(sure, due.len() - sure);
        due.retain(|(.., is_sure)| {
            let left = if *is_sure { &mut sure } else { &mut hints };
            let has_place = *left > 0;
            *left = left.saturating_sub(1);
            has_place
        });
        let mut dials = Vec::with_capacity(due.len());
        for (_, _, target, _) in due {
            if let Some(entry) = self.targets.get_mut(&target) {
                let addresses = entry.begin(now);
                self.dialling.insert(target.clone());
                dials.push(Dial { target, addresses });
            }
        }
        dials
    }

    /// When [`Redial::due`] may next have something, if nothing is reported before.
    pub fn wake_at(&self) -> Time {
        let timeout = self.config.timeout;
        let expiry = |target| self.targets.get(target).map(|entry| entry.begun().plus(timeout));
        let expiries = self.dialling.iter().filter_map(expiry);
        if self.dialling.len() >= self.at_once {
            return expiries.min().unwrap_or(Time::NEVER);
        }
        if !self.back.is_empty() {
            return Time::ZERO;
        }
        let hints_too = self.places().has_room_for_hints();
        let wanted = self.targets.iter().filter(|(target, entry)| {
            (hints_too || entry.is_sure()) && self.is_wanted(target, entry)
        });
        wanted.map(|(_, entry)| entry.next()).chain(expiries).min().unwrap_or(Time::NEVER)
    }

    /// The nodes that were ever admitted, with their addresses, the most promising first: what
    /// the driver writes down, and hints as [`Source::Remembered`] after a restart.
    pub fn to_remember(&self) -> impl Iterator<Item = (NodeId, Vec<String>)> + '_ {
        self.learned(Time::ZERO)
    }

    /// Those of [`Redial::to_remember`] of which something was learned at `since` or later.
    pub fn learned(&self, since: Time) -> impl Iterator<Item = (NodeId, Vec<String>)> + '_ {
        self.targets.iter().filter_map(move |(target, entry)| match target {
            Target::Node(node) if entry.was_admitted() && entry.learned() >= since => {
                Some((*node, entry.addresses()))
            }
            _ => None,
        })
    }

    /// The node of [`Redial::to_remember`] that is reached at `address`, as far as that is known.
    pub fn node_at(&self, address: &str) -> Option<NodeId> {
        self.targets.iter().find_map(|(target, entry)| match target {
            Target::Node(node) if entry.was_admitted() && entry.knows(address) => Some(*node),
            _ => None,
        })
    }

    /// The addresses known for `node`, the most promising first.
    pub fn addresses(&self, node: NodeId) -> Vec<String> {
        self.targets.get(&Target::Node(node)).map(Entry::addresses).unwrap_or_default()
    }

    /// Whether all of these addresses are known for `node`.
    pub fn knows(&self, node: NodeId, addresses: &[String]) -> bool {
        let entry = self.targets.get(&Target::Node(node));
        addresses.iter().all(|address| entry.is_some_and(|entry| entry.knows(address)))
    }

    /// How `target` was first heard of.
    pub fn found_by(&self, target: &Target) -> Option<Source> {
        self.targets.get(target).map(Entry::found_by)
    }

    /// How many targets are known, and how many attempts are under way.
    pub fn counts(&self) -> (usize, usize) {
        (self.targets.len(), self.dialling.len())
    }

    fn places(&self) -> Places {
        let is_sure =
            |target: &&Target| self.targets.get(*target).is_some_and(|entry| entry.is_sure());
        let sure = self.dialling.iter().filter(is_sure).count();
        Places { all: self.at_once, sure, hints: self.dialling.len() - sure }
    }

    fn is_linked(&self, target: &Target, entry: &Entry) -> bool {
        match target {
            Target::Node(node) => self.linked.contains(node),
            Target::Address(_) => {
                entry.led_to().is_some_and(|node| node == self.me || self.linked.contains(&node))
            }
        }
    }

    fn is_wanted(&self, target: &Target, entry: &Entry) -> bool {
        let leads_to = match target {
            Target::Node(node) => Some(*node),
            Target::Address(_) => entry.led_to(),
        };
        !leads_to.is_some_and(|node| self.resting.contains(&node))
            && !self.is_linked(target, entry)
            && entry.has_addresses()
            && !self.dialling.contains(target)
    }

    /// Some were tried in vain and are back: those that were lost when they were are tried soon.
    fn try_companions(&mut self, now: Time, rng: &mut impl Rng) {
        let Config { same_cut, spread, fresh_every, .. } = self.config;
        let back = std::mem::take(&mut self.back);
        if back.is_empty() {
            return;
        }
        let together = |lost: Time| {
            let near = |other: &Time| lost.since(*other).max(other.since(lost)) <= same_cut;
            back.iter().any(near)
        };
        for (target, entry) in &mut self.targets {
            let Target::Node(node) = target else { continue };
            if self.linked.contains(node) || !entry.was_in_vain().is_some_and(together) {
                continue;
            }
            // Each of the two thinks so: one connection is enough.
            let first = if *node < self.me { now.plus(spread) } else { now };
            let at = first.plus(spread.mul_f64(rng.random_range(0.0..=1.0)));
            entry.start_afresh(now, at, fresh_every);
        }
    }

    /// Counts attempts of which nothing was heard as failed.
    fn expire(&mut self, now: Time, rng: &mut impl Rng) {
        let timeout = self.config.timeout;
        let silent = |target: &&Target| {
            self.targets.get(*target).is_none_or(|entry| entry.begun().plus(timeout) <= now)
        };
        let silent: Vec<Target> = self.dialling.iter().filter(silent).cloned().collect();
        for target in silent {
            self.failed(now, &target, rng);
        }
    }

    /// Whether one more target may be kept that was not admitted. If there are too many, the
    /// eighth that is worth least goes, unless all are worth more than the newcomer.
    fn has_room_for(&mut self, newcomer: Source) -> bool {
        let hinted = |entry: &Entry| !entry.was_admitted();
        if self.targets.len() < MAX_HINTED
            || self.targets.values().filter(|entry| hinted(entry)).count() < MAX_HINTED
        {
            return true;
        }
        let mut may_go: Vec<(Source, Time, Target)> = self
            .targets
            .iter()
            .filter(|(_, entry)| hinted(entry) && entry.source() >= newcomer)
            .filter(|(target, _)| !self.dialling.contains(*target))
            .map(|(target, entry)| (entry.source(), entry.heard(), target.clone()))
            .collect();
        may_go.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| (a.1, &a.2).cmp(&(b.1, &b.2))));
        may_go.truncate(MAX_HINTED / 8);
        for (_, _, target) in &may_go {
            self.targets.remove(target);
        }
        !may_go.is_empty()
    }
}

/// Between half of `wait` and all of it.
pub(super) fn jittered(wait: Duration, rng: &mut impl Rng) -> Duration {
    let half = wait / 2;
    half + half.mul_f64(rng.random_range(0.0..=1.0))
}
