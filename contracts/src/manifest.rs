//! What a person writes to declare an app (TOML), and how it is checked.
//!
//! Everything wrong is an error that points at line and column; nothing of a manifest with an
//! error is used. Reading the components that it names, and choosing homes for its providers, is
//! up to the node: this module does no I/O.

mod grant;
mod messaging;
mod parse;
mod position;
mod raw;
mod write;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use position::{ManifestError, Text};
pub use write::{quoted, quoted_pairs};

use crate::id::{AppName, LocalName};
use crate::record::{HttpRoute, Labels, LimitSpec, LinkSpec, ProviderKind, SubscriptionSpec};

/// A checked manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The app's name.
    pub app: AppName,
    /// Its components.
    pub components: BTreeMap<LocalName, ManifestComponent>,
    /// Its providers.
    pub providers: BTreeMap<LocalName, ManifestProvider>,
    /// Where imports go.
    pub links: Vec<LinkSpec>,
    /// What the gateway serves.
    pub http: Vec<HttpRoute>,
    /// Which messages components handle.
    pub subscriptions: Vec<SubscriptionSpec>,
}

/// A component as declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestComponent {
    /// The signed component, relative to the manifest's folder.
    pub wasm: PathBuf,
    /// Where `wasm` is named, for errors found when the file is read: line and column from 1.
    pub position: (usize, usize),
    /// On how many nodes.
    pub replicas: u32,
    /// The labels that a node must carry.
    pub on: Labels,
    /// What its `wasi:config` says.
    pub config: BTreeMap<String, String>,
    /// What one call may use.
    pub limits: LimitSpec,
}

/// A provider as declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestProvider {
    /// What it provides.
    pub kind: ProviderKind,
    /// The labels that a node must carry.
    pub on: Labels,
}

impl Manifest {
    /// Reads a manifest. `file` is its name in errors.
    pub fn parse(file: &str, text: &str) -> Result<Self, ManifestError> {
        parse::manifest(file, text)
    }
}
