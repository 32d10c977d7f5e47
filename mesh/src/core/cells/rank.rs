//! Who comes first, without anybody being asked.

use std::cmp::Reverse;

use wattle_contracts::id::{CellName, Digest, NodeId};

/// The nodes of a cell by rank: each by a hash of the cell's name and its own, so that who comes or
/// goes changes nobody else's place but by one. Part of what nodes must agree on.
pub fn ranked(cell: &CellName, nodes: impl IntoIterator<Item = NodeId>) -> Vec<NodeId> {
    let mut hashed = cell.as_str().as_bytes().to_vec();
    hashed.push(0);
    let mut ranked: Vec<(Reverse<u64>, NodeId)> =
        nodes.into_iter().map(|node| (Reverse(score(&hashed, node)), node)).collect();
    ranked.sort_unstable();
    ranked.dedup();
    ranked.into_iter().map(|(_, node)| node).collect()
}

/// One of `nodes`, for `me` always the same, for different nodes different ones.
pub(super) fn nearest_by_hash(
    me: NodeId,
    nodes: impl IntoIterator<Item = NodeId>,
) -> Option<NodeId> {
    nodes.into_iter().min_by_key(|node| (Reverse(score(me.as_bytes(), *node)), *node))
}

/// The first eight bytes of the SHA-256.
fn score(hashed: &[u8], node: NodeId) -> u64 {
    let bytes = [hashed, node.as_bytes()].concat();
    let [a, b, c, d, e, f, g, h, ..] = *Digest::of(&bytes).as_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}
