//! From a manifest to the app that is declared: what a real node does with the components' files
//! and the choice of homes, without files.

use std::collections::BTreeMap;

use wattle_contracts::id::{ComponentId, Digest, PublisherKey};
use wattle_contracts::manifest::Manifest;
use wattle_contracts::record::{App, ComponentSpec, ProviderSpec};
use wattle_mesh::core::placement::{Candidate, choose_home};

use crate::lattice::{Lattice, Plan};

/// The app, with the homes of its stores among these nodes.
pub(super) fn declared(manifest: Manifest, nodes: &[Plan]) -> Result<App, String> {
    let ids = Lattice::ids_of(nodes.len());
    let candidates: Vec<Candidate<'_>> = nodes
        .iter()
        .zip(ids)
        .map(|(plan, node)| Candidate { node, labels: &plan.labels })
        .collect();
    let mut components = BTreeMap::new();
    for (name, component) in manifest.components {
        let path = component.wasm.display().to_string();
        let spec = ComponentSpec {
            digest: Digest::of(path.as_bytes()),
            publisher: PublisherKey::from_bytes([0; 32]),
            size: 0,
            exports: Vec::new(),
            imports: Vec::new(),
            replicas: component.replicas,
            on: component.on,
            config: component.config,
            limits: component.limits,
        };
        components.insert(name, spec);
    }
    let mut providers = BTreeMap::new();
    for (name, provider) in manifest.providers {
        let id = ComponentId::new(manifest.app.clone(), name.clone());
        let node = match provider.kind.is_stateful() {
            false => None,
            true => Some(choose_home(&id, &provider.on, &candidates).ok_or_else(|| {
                format!("no node of this scenario carries the labels that `{id}` must be on")
            })?),
        };
        providers.insert(name, ProviderSpec { kind: provider.kind, node, on: provider.on });
    }
    Ok(App {
        name: manifest.app,
        components,
        providers,
        links: manifest.links,
        http: manifest.http,
        subscriptions: manifest.subscriptions,
    })
}
