//! Two connections where one is enough.

use std::cmp::Reverse;
use std::time::Duration;

use wattle_contracts::id::NodeId;

use crate::core::time::Time;

/// A superfluous connection on which calls are still under way is closed after so long at last.
const FINISH: Duration = Duration::from_secs(30);

/// Between the decision which connection stays and the closing of the others: the peer decides
/// the same, but a moment later.
const SETTLED: Duration = Duration::from_secs(1);

/// One of several connections between the same two nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection<C> {
    /// What the driver calls it.
    pub id: C,
    /// Which of the two nodes dialled it.
    pub dialler: NodeId,
    /// When it came up, by this node's clock.
    pub since: Time,
    /// When anything was last heard on it.
    pub heard: Time,
}

/// Which of several connections to one peer stays, and since when that is settled: a `grace` after
/// the newest came up, to know whether they answer.
///
/// Both sides decide alike without talking: what answers goes before what does not, then what
/// the lower node id dialled, then the newest. A node that was killed and came back dials anew while
/// its old connection still looks alive: what answers is that on which anything was heard since the
/// newest came up.
pub fn which_stays<C: Copy + Ord>(
    connections: &[Connection<C>],
    now: Time,
    grace: Duration,
) -> Option<(C, Time)> {
    let newest = connections.iter().map(|one| one.since).max()?;
    let since = newest.plus(grace);
    let rank = |one: &&Connection<C>| {
        let answers = one.heard >= newest;
        (Reverse(answers), one.dialler, Reverse(one.since), one.id)
    };
    let stays = connections.iter().min_by_key(rank)?;
    (now >= since).then_some((stays.id, since))
}

/// The connections in the order in which they are to be used for what is new: the one that stays;
/// and until that is settled, or should it not be usable, the newest, because that one has just
/// proven that it works.
pub fn by_preference<C: Copy + Ord>(
    connections: &[Connection<C>],
    now: Time,
    grace: Duration,
) -> Vec<C> {
    let stays = which_stays(connections, now, grace).map(|(stays, _)| stays);
    let mut all: Vec<&Connection<C>> = connections.iter().collect();
    all.sort_by_key(|one| (Some(one.id) != stays, Reverse(one.since), Reverse(one.id)));
    all.into_iter().map(|one| one.id).collect()
}

/// The connections that are to be closed now: all but the one that stays, once nothing is under way
/// on them, or after some time at last.
pub fn superfluous<C: Copy + Ord>(
    connections: &[Connection<C>],
    now: Time,
    grace: Duration,
    is_idle: impl Fn(C) -> bool,
) -> Vec<C> {
    let Some((stays, since)) = which_stays(connections, now, grace) else { return Vec::new() };
    let is_over = |id: C| now >= since.plus(FINISH) || (now >= since.plus(SETTLED) && is_idle(id));
    let others = connections.iter().map(|one| one.id).filter(|id| *id != stays);
    others.filter(|id| is_over(*id)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const GRACE: Duration = Duration::from_secs(5);

    fn at(second: u64) -> Time {
        Time::since_start(Duration::from_secs(second))
    }

    fn connection(id: u8, dialler: u8, second: u64, answers: bool) -> Connection<u8> {
        let since = at(second);
        let heard = if answers { since.plus(GRACE * 100) } else { since };
        Connection { id, dialler: NodeId::from_bytes([dialler; 32]), since, heard }
    }

    fn stays(connections: &[Connection<u8>]) -> Option<u8> {
        which_stays(connections, at(1000), GRACE).map(|(stays, _)| stays)
    }

    #[test]
    fn the_one_dialled_by_the_lower_id_stays() {
        let both = [connection(1, 9, 1, true), connection(2, 4, 2, true)];
        assert_eq!(stays(&both), Some(2));
        assert_eq!(stays(&[]), None);
        assert_eq!(which_stays(&both, at(6), GRACE), None);
        assert_eq!(which_stays(&both, at(7), GRACE), Some((2, at(7))));
    }

    #[test]
    fn a_connection_to_the_earlier_life_of_a_node_does_not_stay() {
        let both = [connection(1, 4, 1, false), connection(2, 9, 5, true)];
        assert_eq!(stays(&both), Some(2));
        let same_dialler = [connection(1, 4, 1, true), connection(2, 4, 5, true)];
        assert_eq!(stays(&same_dialler), Some(2));
    }

    #[test]
    fn the_newest_is_used_until_it_is_settled_and_what_is_left_over_is_closed_when_idle() {
        let all = [connection(1, 4, 1, true), connection(2, 9, 3, true), connection(3, 9, 2, true)];
        assert_eq!(by_preference(&all, at(7), GRACE), [2, 3, 1]);
        assert_eq!(by_preference(&all, at(8), GRACE), [1, 2, 3]);
        let close = |second| superfluous(&all, at(second), GRACE, |id| id == 3);
        assert_eq!((close(8), close(9), close(38)), (vec![], vec![3], vec![2, 3]));
    }

    proptest! {
        #[test]
        fn both_sides_keep_the_same(
            mut list in prop::collection::vec((0u8..2, 0u64..9), 1..6),
            order in any::<prop::sample::Index>(),
        ) {
            // Each side names the connections in its own order and measures by its own clock,
            // which runs alike but started earlier.
            list.dedup_by_key(|(_, second)| *second);
            let ours: Vec<_> =
                list.iter().zip(0..).map(|((d, s), id)| connection(id, *d, *s, true)).collect();
            let later = Duration::from_secs(77);
            let shifted = |c: &Connection<u8>| {
                Connection { since: c.since.plus(later), heard: c.heard.plus(later), ..*c }
            };
            let mut theirs: Vec<_> = ours.iter().map(shifted).collect();
            let cut = order.index(theirs.len());
            theirs.rotate_left(cut);
            prop_assert_eq!(stays(&ours), stays(&theirs));
        }
    }
}
