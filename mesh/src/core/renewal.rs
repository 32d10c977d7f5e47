//! Whose paper is renewed, and when: what a node decides to which the authority has delegated that.
//!
//! A paper's turn comes when a third of its time is left, or of that which the renewer gives, where
//! that is less. Of several renewers one begins, and the others follow one after the other as long
//! as nothing has come of it: so a paper is mostly renewed once, and on both sides of a cut by
//! whoever is there. Who begins is another one for each paper, and every renewer computes the same.
//!
//! Only members that are alive have their turn: who has not been seen until its paper ran out does
//! not belong any more, and needs the authority to come back.
//!
//! Bounds: [`MAX_AT_ONCE`] papers at a time, and as many remembered as were given in [`RETRY`].

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wattle_contracts::id::{Digest, NodeId};
use wattle_contracts::trust::{DelegationBody, Paper, Term, UnixMillis};

/// A paper is renewed when one in so many parts of its time is left.
pub const LAST_PART: u32 = 3;

/// So many papers are renewed at a time.
pub const MAX_AT_ONCE: usize = 16;

/// A paper that was renewed and of which nothing is heard is renewed again after so long, at the
/// latest.
pub const RETRY: Duration = Duration::from_secs(30);

/// So many renewers have each a turn of their own; all others share the last.
const TURNS: u32 = 5;

/// A member whose paper runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// The node.
    pub node: NodeId,
    /// From when until when its paper is valid.
    pub term: Term,
}

/// What one renewer has given.
#[derive(Debug)]
pub struct Renewals {
    me: NodeId,
    given: BTreeMap<NodeId, UnixMillis>,
}

impl Renewals {
    /// A renewer that has given nothing yet.
    pub fn new(me: NodeId) -> Self {
        Self { me, given: BTreeMap::new() }
    }

    /// The members, of those that are alive, to whom this node gives a new paper now. `renewers`
    /// are those that are there.
    pub fn due(
        &mut self,
        now: UnixMillis,
        delegation: &DelegationBody,
        renewers: &BTreeSet<NodeId>,
        members: impl IntoIterator<Item = Member>,
    ) -> Vec<NodeId> {
        self.given.retain(|_, at| now.0.abs_diff(at.0) < millis(RETRY));
        if now < delegation.issued || now > delegation.expires {
            return Vec::new();
        }
        let is_due = |member: &Member| {
            let part = last_part(member.term, delegation.papers);
            let turn = turn(self.me, member.node, renewers);
            let from = member.term.until.0.saturating_sub(millis(part - part * turn / (2 * TURNS)));
            let until = member.term.until.plus(Paper::CLOCK_TOLERANCE);
            let pause = millis(part / TURNS);
            let is_given =
                self.given.get(&member.node).is_some_and(|at| now.0.abs_diff(at.0) < pause);
            now.0 >= from && now <= until && !is_given
        };
        let mut due: Vec<Member> = members.into_iter().filter(is_due).collect();
        due.sort_by_key(|member| (member.term.until, member.node));
        due.truncate(MAX_AT_ONCE);
        self.given.extend(due.iter().map(|member| (member.node, now)));
        due.into_iter().map(|member| member.node).collect()
    }
}

/// The last part of a paper's time, in which it is renewed.
fn last_part(term: Term, papers: Duration) -> Duration {
    term.length().min(papers) / LAST_PART
}

/// The how manieth this renewer is to renew the paper of `node`, from nought.
fn turn(me: NodeId, node: NodeId, renewers: &BTreeSet<NodeId>) -> u32 {
    let rank =
        |renewer: NodeId| Digest::of(&[node.as_bytes().as_slice(), renewer.as_bytes()].concat());
    let mine = rank(me);
    let before = renewers.iter().filter(|other| **other != me && rank(**other) < mine).count();
    u32::try_from(before).unwrap_or(TURNS).min(TURNS)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
