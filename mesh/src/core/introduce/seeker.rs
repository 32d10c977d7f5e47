//! Whoever wants to be reached directly.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::Rng;
use wattle_contracts::id::NodeId;

use crate::core::redial::{MAX_ADDRESS, jittered};
use crate::core::time::Time;

/// Addresses at which a node is dialled at once. A neighbour sees one or two.
pub const MAX_MEETING_ADDRESSES: usize = 4;

/// How eagerly to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// A node that is away for so long is asked for: most are dialled without help sooner. After
    /// each attempt the wait is twice as long.
    pub first: Duration,
    /// So many attempts are made.
    pub attempts: u32,
    /// After them, there is one after each such rest: a NAT may be another one by then.
    pub rest: Duration,
    /// A neighbour brings two together within so long after it was asked, or not at all.
    pub patience: Duration,
    /// So many nodes are asked for at once.
    pub at_once: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(2),
            attempts: 5,
            rest: Duration::from_secs(15 * 60),
            patience: Duration::from_secs(10),
            at_once: 16,
        }
    }
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask `neighbour` to bring this node together with `node`.
    Ask {
        /// Whom to ask.
        neighbour: NodeId,
        /// For whom.
        node: NodeId,
    },
    /// Dial `node` at these addresses, now.
    Dial {
        /// Whom.
        node: NodeId,
        /// Where, as multiaddresses in text.
        addresses: Vec<String>,
    },
}

impl Config {
    /// The longest wait after so many attempts.
    fn wait(&self, attempts: u32) -> Duration {
        self.first.saturating_mul(1 << attempts.min(20))
    }
}

#[derive(Debug)]
struct Sought {
    attempts: u32,
    next: Time,
    /// Who was asked last, and when; until it has answered.
    asked: Option<NodeId>,
    asked_at: Option<Time>,
}

/// The nodes that are away, and what was tried to reach them.
///
/// Bounds: as many nodes as the caller says are away, and one address for each neighbour.
#[derive(Debug)]
pub struct Seeker {
    config: Config,
    sought: BTreeMap<NodeId, Sought>,
    /// Where this node is seen, by whom.
    seen_at: BTreeMap<NodeId, String>,
}

impl Seeker {
    /// Nobody is away yet.
    pub fn new(config: Config) -> Self {
        Self { config, sought: BTreeMap::new(), seen_at: BTreeMap::new() }
    }

    /// Lets time pass. `away` are the nodes to which there is no connection; `ways` gives the
    /// neighbours of one of them that are neighbours of this node too, the nearest first.
    pub fn tick(
        &mut self,
        now: Time,
        away: impl IntoIterator<Item = NodeId>,
        ways: impl Fn(NodeId) -> Vec<NodeId>,
        rng: &mut impl Rng,
        out: &mut Vec<Action>,
    ) {
        let away: BTreeSet<NodeId> = away.into_iter().collect();
        self.sought.retain(|node, _| away.contains(node));
        for node in away {
            let next = now.plus(self.config.first);
            let fresh = || Sought { attempts: 0, next, asked: None, asked_at: None };
            self.sought.entry(node).or_insert_with(fresh);
        }
        let mut due: Vec<(Time, NodeId)> =
            self.sought.iter().map(|(node, sought)| (sought.next, *node)).collect();
        due.retain(|(next, _)| *next <= now);
        due.sort_unstable();
        for (_, node) in due.into_iter().take(self.config.at_once) {
            let Some(sought) = self.sought.get_mut(&node) else { continue };
            let ways = ways(node);
            // Each in its turn: one that is on this side of the NAT sees an address that is of no
            // use to the other.
            let turn = (sought.attempts as usize).checked_rem(ways.len());
            match turn.and_then(|turn| ways.get(turn)) {
                Some(neighbour) => sought.ask(now, self.config, node, *neighbour, rng, out),
                // Nothing was tried; one may come up.
                None => sought.next = now.plus(self.config.first),
            }
        }
    }

    /// When [`Seeker::tick`] has something to do, as long as the same nodes are away and nothing is
    /// said.
    pub fn wake_at(&self) -> Time {
        self.sought.values().map(|sought| sought.next).min().unwrap_or(Time::NEVER)
    }

    /// `neighbour` says that `node` has asked for this one.
    pub fn wanted(
        &mut self,
        now: Time,
        neighbour: NodeId,
        node: NodeId,
        rng: &mut impl Rng,
        out: &mut Vec<Action>,
    ) {
        // Of a node that is not away, or not heard of yet, nothing is wanted.
        let Some(sought) = self.sought.get_mut(&node) else { return };
        // Half of what this node itself waits at least, so that the other's attempts find it
        // willing; and never so often that two who miss each other keep each other awake.
        let gap = self.config.wait(sought.attempts.min(self.config.attempts)) / 4;
        if sought.asked_at.is_none_or(|at| now.since(at) >= gap) {
            sought.ask(now, self.config, node, neighbour, rng, out);
        }
    }

    /// `neighbour` sees `node` at these addresses, and says that it dials now.
    pub fn meet(
        &mut self,
        now: Time,
        neighbour: NodeId,
        node: NodeId,
        addresses: Vec<String>,
        out: &mut Vec<Action>,
    ) {
        let Some(sought) = self.sought.get_mut(&node) else { return };
        let lately = sought.asked_at.is_some_and(|at| now.since(at) < self.config.patience);
        if sought.asked != Some(neighbour) || !lately {
            return;
        }
        sought.asked = None;
        let mut addresses = addresses;
        addresses.retain(|address| !address.is_empty() && address.len() <= MAX_ADDRESS);
        addresses.truncate(MAX_MEETING_ADDRESSES);
        if !addresses.is_empty() {
            out.push(Action::Dial { node, addresses });
        }
    }

    /// `neighbour` sees this node at `address`. Where it was another one before, this node is
    /// behind another NAT, or behind none: everything is worth an attempt again.
    pub fn seen_at(&mut self, now: Time, neighbour: NodeId, address: String) {
        if address.len() > MAX_ADDRESS {
            return;
        }
        let known = self.seen_at.insert(neighbour, address.clone());
        if known.is_some_and(|known| known != address) {
            self.start_afresh(now);
        }
    }

    /// This node is somewhere else: everything is worth an attempt again.
    pub fn start_afresh(&mut self, now: Time) {
        let soon = now.plus(self.config.first);
        for sought in self.sought.values_mut() {
            sought.attempts = 0;
            sought.next = sought.next.min(soon);
        }
    }
}

impl Sought {
    fn ask(
        &mut self,
        now: Time,
        config: Config,
        node: NodeId,
        neighbour: NodeId,
        rng: &mut impl Rng,
        out: &mut Vec<Action>,
    ) {
        self.attempts = self.attempts.saturating_add(1);
        let wait = match self.attempts < config.attempts {
            true => config.wait(self.attempts),
            false => config.rest,
        };
        self.next = now.plus(jittered(wait, rng));
        (self.asked, self.asked_at) = (Some(neighbour), Some(now));
        out.push(Action::Ask { neighbour, node });
    }
}
