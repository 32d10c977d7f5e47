//! What a person writes (TOML) to have a mesh rehearsed: nodes, links, apps, load, what goes wrong
//! when, and what must hold. Read as a manifest is: everything wrong is an error that points at
//! line and column.

mod app;
mod fault;
mod nodes;
mod parse;
mod quantity;
mod raw;
mod request;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use wattle_contracts::id::{ComponentId, LocalName, Subject};
pub use wattle_contracts::manifest::ManifestError as ScenarioError;
use wattle_contracts::record::App;

pub use self::fault::{Fault, FaultKind};
use crate::lattice::fabric::{Link, Quality};
use crate::lattice::nodes::NodeSet;
use crate::lattice::{CallPlan, Plan, RequestPlan};
use crate::machine::{Behaviour, GossipBy, OutsideHost};

/// Gives the name and the text of a file that a scenario names, or says why it can't be read.
pub type Read<'a> = dyn Fn(&str) -> Result<(String, String), String> + 'a;

/// A checked scenario.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    /// What it is about, for a person.
    pub about: String,
    /// How long it runs, in virtual time.
    pub run: Duration,
    /// The seed, if none is given.
    pub seed: u64,
    /// By how much everything that a node does at intervals is slowed down.
    pub pace: u32,
    /// Whether nodes gossip.
    pub gossip: bool,
    /// By whose code they do.
    pub gossip_by: GossipBy,
    /// The nodes.
    pub nodes: Vec<Plan>,
    /// When each starts.
    pub starts: Vec<Duration>,
    /// The groups that they belong to, by name.
    pub groups: BTreeMap<String, NodeSet>,
    /// Sets of nodes with a translator of addresses in front.
    pub nats: Vec<NodeSet>,
    /// How links are that nothing else is said of.
    pub usual: Quality,
    /// Links that are otherwise.
    pub links: Vec<Link>,
    /// What is declared, when and where.
    pub apps: Vec<Declared>,
    /// How components behave.
    pub behaviours: BTreeMap<ComponentId, Behaviour>,
    /// The hosts outside of the mesh that components may ask, by name.
    pub outside: BTreeMap<String, OutsideHost>,
    /// What is done all the time.
    pub load: Vec<Load>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// What must hold.
    pub expect: Expect,
}

/// An app that is declared.
#[derive(Debug, Clone)]
pub struct Declared {
    /// The app.
    pub app: App,
    /// The files of its components, by name.
    pub files: BTreeMap<LocalName, PathBuf>,
    /// When.
    pub at: Duration,
    /// On which of these nodes: on one.
    pub on: NodeSet,
}

/// Something that is done again and again, each time on one of some nodes.
#[derive(Debug, Clone)]
pub struct Load {
    /// On one of these.
    pub on: NodeSet,
    /// So far apart, on average.
    pub every: Duration,
    /// From when.
    pub start: Duration,
    /// Until when.
    pub until: Duration,
    /// What.
    pub what: LoadKind,
}

/// What is done.
#[derive(Debug, Clone)]
pub enum LoadKind {
    /// A call.
    Call(CallPlan),
    /// A request over HTTP from outside of the mesh.
    Request(RequestPlan),
    /// A durable message.
    Publish {
        /// What about.
        subject: Subject,
        /// How large, in bytes.
        size: usize,
        /// What it says, where a real component reads it.
        text: Option<Arc<str>>,
    },
    /// A change of a record: a configuration value, or where a link goes.
    Edit {
        /// Of one of so many keys.
        keys: u32,
        /// How often it is a delete, in millionths.
        deletes_ppm: u32,
    },
}

/// What must hold. Times count from when the last fault is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expect {
    /// Until all nodes hold every acknowledged record.
    pub converge: Duration,
    /// Until every message is handled.
    pub deliver: Duration,
    /// Until what is declared runs as often as it should.
    pub place: Duration,
    /// As long as not more than this is lost, in millionths, nobody is taken for dead.
    pub loss_ppm: u32,
    /// What a node sends at most, in bytes per second over a minute.
    pub bytes: u64,
    /// How many records a node holds at most.
    pub records: usize,
    /// Oracles that are not asked, by name.
    pub off: Vec<String>,
}

impl Default for Expect {
    fn default() -> Self {
        Self {
            converge: Duration::from_secs(30),
            deliver: Duration::from_secs(60),
            place: Duration::from_secs(60),
            loss_ppm: 100_000,
            bytes: 100_000,
            records: 10_000,
            off: Vec::new(),
        }
    }
}

/// Why a scenario is not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file can't be read.
    #[error("can't read the scenario {file}: {error}")]
    Read {
        /// Which.
        file: String,
        /// Why.
        error: std::io::Error,
    },
    /// Something in it is wrong.
    #[error("{0}")]
    Wrong(#[from] ScenarioError),
}

impl Scenario {
    /// Reads a scenario, and the manifests that it names, relative to its folder.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| LoadError::Read { file: file.clone(), error })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let read = |name: &str| {
            let place = folder.join(name);
            std::fs::read_to_string(&place)
                .map(|text| (place.display().to_string(), text))
                .map_err(|error| format!("can't read {}: {error}", place.display()))
        };
        Ok(Self::parse(&file, &text, &read)?)
    }

    /// Reads a scenario's text. `file` is its name in errors; `read` gives the name and the text of
    /// a manifest that it names.
    pub fn parse(file: &str, text: &str, read: &Read<'_>) -> Result<Self, ScenarioError> {
        parse::scenario(file, text, read)
    }
}
