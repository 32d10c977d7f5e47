//! What a node says of itself: the statements inside the signed facts of gossip.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wattle_contracts::id::{ComponentId, Digest};
pub use wattle_contracts::record::Declaration;
use wattle_contracts::record::Labels;

use crate::core::membership::{LEFT, reach};

/// What a node is. Changes rarely.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct About {
    /// Its labels.
    pub labels: Labels,
    /// The version of its software.
    pub version: String,
    /// Where its HTTP gateway listens, if it has one.
    pub http: Option<String>,
}

/// What a node runs and holds. Changes when something is placed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Runs {
    /// The components and providers that it serves now.
    ///
    /// With each, by which declaration: what is served by an older one can be told from what is
    /// served by the current one.
    pub components: BTreeMap<ComponentId, Declaration>,
    /// The artifacts that it holds, and others may fetch.
    pub artifacts: Vec<Digest>,
    /// What it should run and can't.
    pub failing: BTreeMap<ComponentId, Failure>,
}

/// Why something can't be run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Failure {
    /// As it was declared when it was tried.
    pub declaration: Declaration,
    /// Why, for a person.
    pub why: String,
}

/// How busy a node is. Changes all the time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Load {
    /// Calls under way.
    pub busy: u32,
    /// Calls that it takes at once.
    pub capacity: u32,
    /// Resident memory of its process, in bytes.
    pub memory_bytes: u64,
    /// Calls under way per component that it runs.
    pub components: BTreeMap<ComponentId, u32>,
}

/// What is said on the topic `about`: what the node above says, and where it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AboutFact {
    /// What it is.
    pub about: About,
    /// Where it is reached.
    pub addresses: Vec<String>,
}

/// The topics of gossip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Topic {
    About,
    Runs,
    Load,
    /// Whom it reaches.
    Reach,
    /// How far its audit log reaches.
    Audit,
    /// That it leaves. Not gossiped: who leaves tells its peers.
    Left,
}

impl Topic {
    /// Those that are gossiped.
    pub(super) const GOSSIPED: [Topic; 5] =
        [Topic::About, Topic::Runs, Topic::Load, Topic::Reach, Topic::Audit];

    pub(super) fn name(self) -> &'static str {
        match self {
            Topic::About => "about",
            Topic::Runs => "runs",
            Topic::Load => "load",
            Topic::Reach => reach::TOPIC,
            Topic::Audit => "audit",
            Topic::Left => LEFT,
        }
    }
}
