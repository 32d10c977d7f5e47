//! Two connections where one is enough.

use std::cmp::Reverse;

use wattle_contracts::id::NodeId;

use crate::core::time::Time;

/// One of several connections between the same two nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection<C> {
    /// What the driver calls it.
    pub id: C,
    /// Which of the two nodes dialled it.
    pub dialler: NodeId,
    /// When it came up, by this node's clock.
    pub since: Time,
    /// Whether anything was heard on it since the newest of them came up. A node that was killed
    /// and came back dials anew while its old connection still looks alive.
    pub answers: bool,
}

/// Which of several connections to one peer to keep. To be asked a grace after the newest came
/// up; the others are then closed.
///
/// Both sides decide alike without talking: what answers goes before what does not, then what
/// the lower node id dialled, then the newest.
pub fn which_connection_to_keep<C: Copy + Ord>(connections: &[Connection<C>]) -> Option<C> {
    connections
        .iter()
        .min_by_key(|one| (Reverse(one.answers), one.dialler, Reverse(one.since), one.id))
        .map(|one| one.id)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn connection(id: u8, dialler: u8, second: u64, answers: bool) -> Connection<u8> {
        let since = Time::since_start(Duration::from_secs(second));
        Connection { id, dialler: NodeId::from_bytes([dialler; 32]), since, answers }
    }

    #[test]
    fn the_one_dialled_by_the_lower_id_stays() {
        let both = [connection(1, 9, 1, true), connection(2, 4, 2, true)];
        assert_eq!(which_connection_to_keep(&both), Some(2));
        assert_eq!(which_connection_to_keep::<u8>(&[]), None);
    }

    #[test]
    fn a_connection_to_the_earlier_life_of_a_node_does_not_stay() {
        let both = [connection(1, 4, 1, false), connection(2, 9, 5, true)];
        assert_eq!(which_connection_to_keep(&both), Some(2));
        let same_dialler = [connection(1, 4, 1, true), connection(2, 4, 5, true)];
        assert_eq!(which_connection_to_keep(&same_dialler), Some(2));
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
            let mut theirs: Vec<_> =
                ours.iter().map(|c| Connection { since: c.since.plus(Duration::from_secs(77)), ..*c }).collect();
            let cut = order.index(theirs.len());
            theirs.rotate_left(cut);
            prop_assert_eq!(which_connection_to_keep(&ours), which_connection_to_keep(&theirs));
        }
    }
}
