//! Which cell each node is in, by its own word.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use wattle_contracts::id::{CellName, NodeId};

/// The nodes that this one has met, each with the cell that it named when the door let it in. As
/// many as papers were signed, at most.
#[derive(Debug)]
pub(super) struct Met {
    own: CellName,
    nodes: Mutex<BTreeMap<NodeId, CellName>>,
}

impl Met {
    pub(super) fn new(own: CellName) -> Self {
        Self { own, nodes: Mutex::default() }
    }

    /// This node's own cell.
    pub(super) fn own(&self) -> &CellName {
        &self.own
    }

    pub(super) fn note(&self, node: NodeId, cell: CellName) {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).insert(node, cell);
    }

    /// Whether it is in this node's cell. So is one that was never met: only in a cell are nodes
    /// heard of that were not.
    pub(super) fn is_near(&self, node: NodeId) -> bool {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.get(&node).is_none_or(|cell| *cell == self.own)
    }

    /// Everybody.
    pub(super) fn all(&self) -> BTreeMap<NodeId, CellName> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
