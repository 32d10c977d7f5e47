//! When a cell's summary is written.
//!
//! By one node, the first by rank of those that live; only if there is another cell to read it;
//! only when it changes or gets old; and no faster than [`RATE`] allows, however much changes. Two
//! nodes that each take themselves for the first, because they don't see each other, take turns
//! half a minute long.

use std::time::Duration;

use wattle_contracts::id::{CellName, NodeId};
use wattle_contracts::record::{CellMember, Summary};
use wattle_contracts::trust::UnixMillis;
use wattle_contracts::wire;

use super::ranked;
use crate::core::time::Time;

/// A summary that says the same is written anew after so long, so that it stays believed.
pub const REFRESH: Duration = Duration::from_secs(10 * 60);

/// Between two that differ, at least.
pub const GAP: Duration = Duration::from_secs(2);

/// How many bytes of summaries a cell writes in a second, in the long run.
pub const RATE: usize = 1024;

/// The largest summary that is written, in bytes: half of what others take. Of a cell that has more
/// to say, the nodes that come last by rank are left out.
const MAX_BYTES: usize = Summary::MAX_BYTES / 2;

/// The summary of a cell with these members, by rank, as many as there is room for; and its bytes.
pub fn draft(cell: &CellName, members: Vec<CellMember>) -> (Summary, usize) {
    let order = ranked(cell, members.iter().map(|member| member.node));
    let place = |node| order.iter().position(|other| *other == node);
    let mut mine = Summary { members };
    mine.members.sort_by_cached_key(|member| place(member.node));
    mine.members.truncate(Summary::MAX_MEMBERS);
    loop {
        let bytes = wire::encode(&mine).map_or(usize::MAX, |bytes| bytes.len());
        if bytes <= MAX_BYTES || mine.members.len() <= 1 {
            return (mine, bytes);
        }
        mine.members.truncate(mine.members.len() * 9 / 10);
    }
}

/// A node that has just started does not know yet who is there: how long until it says so, where
/// nobody else has said anything, and where somebody has said more.
const FIRST_WORD: Duration = Duration::from_secs(2);
const SECOND_THOUGHT: Duration = Duration::from_secs(20);

/// Between two where another node writes other ones.
const TURN: Duration = Duration::from_secs(30);

/// How long two that write are remembered to do so.
const CONTEST: Duration = Duration::from_secs(120);

/// The summary of this node's cell, as it was last written.
#[derive(Debug, Clone, Copy)]
pub struct Current<'a> {
    /// By whom.
    pub writer: NodeId,
    /// When.
    pub at: UnixMillis,
    /// What it says.
    pub summary: &'a Summary,
}

/// Decides when this node writes.
#[derive(Debug)]
pub struct Author {
    me: NodeId,
    started: Time,
    wrote: Option<Time>,
}

impl Author {
    /// A node that starts now.
    pub fn new(me: NodeId, now: Time) -> Self {
        Self { me, started: now, wrote: None }
    }

    /// Whether this node, being the first of its cell, is to write `mine`, of so many `bytes`, in
    /// the place of `current`.
    pub fn is_due(
        &self,
        now: Time,
        wall: UnixMillis,
        current: Option<Current<'_>>,
        mine: &Summary,
        bytes: usize,
    ) -> bool {
        let Some(current) = current else {
            return now >= self.started.plus(FIRST_WORD) && self.has_waited(now, GAP);
        };
        if current.summary == mine {
            return wall >= current.at.plus(REFRESH) && self.has_waited(now, GAP);
        }
        let lists = |summary: &Summary, node| summary.members.iter().any(|m| m.node == node);
        let misses = current.summary.members.iter().any(|member| !lists(mine, member.node));
        if misses && now < self.started.plus(SECOND_THOUGHT) {
            return false;
        }
        let contested =
            current.writer != self.me && self.wrote.is_some_and(|then| now.since(then) < CONTEST);
        if contested {
            return self.has_waited(now, TURN);
        }
        let seconds = u64::try_from(bytes / RATE).unwrap_or(u64::MAX);
        self.has_waited(now, GAP.max(Duration::from_secs(seconds)))
    }

    /// It was written.
    pub fn wrote(&mut self, now: Time) {
        self.wrote = Some(now);
    }

    fn has_waited(&self, now: Time, wait: Duration) -> bool {
        self.wrote.is_none_or(|then| now.since(then) >= wait)
    }
}
