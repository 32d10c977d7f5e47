//! What a node knows of the nodes of its mesh, at one moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use libp2p::Multiaddr;
use wattle_contracts::audit::Head;
use wattle_contracts::id::{CellName, NodeId};

use super::statement::{About, Load, Runs};
pub use crate::core::membership::Standing;
pub use crate::core::membership::reach::{Report, Seen};

/// Every known node, this one included.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The nodes, by id.
    pub nodes: BTreeMap<NodeId, NodeView>,
}

impl NodeView {
    /// Whether calls can be sent to it: directly, or through another node.
    pub fn is_reachable(&self) -> bool {
        self.connected || self.via.is_some()
    }
}

impl View {
    /// What is known of `node`.
    pub fn node(&self, node: NodeId) -> Option<&NodeView> {
        self.nodes.get(&node)
    }

    /// The nodes that are alive, this one included.
    pub fn alive(&self) -> impl Iterator<Item = &NodeView> {
        self.nodes.values().filter(|node| node.standing == Standing::Alive)
    }

    /// How many other nodes this one has a connection to.
    pub fn connected(&self) -> usize {
        self.nodes.values().filter(|node| node.connected).count()
    }
}

/// What is known of one node.
#[derive(Debug, Clone)]
pub struct NodeView {
    /// The node.
    pub id: NodeId,
    /// Whether it is this node itself.
    pub is_self: bool,
    /// The cell that it is in.
    pub cell: CellName,
    /// Whether most of what is known of it was told by the summary of its cell, which is another
    /// one than this node's.
    pub told: bool,
    /// Whether it is an ambassador of its cell.
    pub ambassador: bool,
    /// How it is, as far as this node can tell.
    pub standing: Standing,
    /// Whether this node has a connection to it now.
    pub connected: bool,
    /// The node through which calls to it go, where this one does not reach it by itself and a
    /// common neighbour does.
    pub via: Option<NodeId>,
    /// Whether its packets arrive here while it does not hear the answers.
    pub one_way: bool,
    /// How it says that it sees the others.
    pub sees: Option<Arc<Report>>,
    /// Where it is reached.
    pub addresses: Vec<Multiaddr>,
    /// How this node first heard of it.
    pub found_by: FoundBy,
    /// The measured round trip, where there is a connection.
    pub rtt: Option<Duration>,
    /// What it says it is. Default until it has said something.
    pub about: About,
    /// What it says it runs and holds.
    pub runs: Runs,
    /// How busy it says it is.
    pub load: Load,
    /// How far it says that its audit log reaches.
    pub audit: Option<Head>,
}

/// How a node was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FoundBy {
    /// It is this node.
    Itself,
    /// Its address was given at the start.
    Join,
    /// In the host-local directory.
    HostDirectory,
    /// By multicast DNS.
    Mdns,
    /// It was remembered from an earlier run.
    Remembered,
    /// Another node told of it.
    Peer,
    /// It knocked.
    Knocked,
    /// By the summary of its cell.
    Summary,
}

impl FoundBy {
    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            FoundBy::Itself => "itself",
            FoundBy::Join => "join",
            FoundBy::HostDirectory => "host-directory",
            FoundBy::Mdns => "mdns",
            FoundBy::Remembered => "remembered",
            FoundBy::Peer => "peer",
            FoundBy::Knocked => "knocked",
            FoundBy::Summary => "summary",
        }
    }
}
