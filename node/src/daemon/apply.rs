//! Declaring an app: checking that it can work, choosing what must be chosen once, and writing
//! the record.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wattle_contracts::id::{AppName, ComponentId, ContractId, Digest, LocalName, NodeId};
use wattle_contracts::manifest::{Manifest, ManifestComponent, ManifestError};
use wattle_contracts::record::{
    App, ComponentSpec, Hlc, ProviderSpec, Record, RecordBody, RecordKey, Version,
};
use wattle_mesh::core::links::Links;
use wattle_runtime::{Actor, ActorConfig, Component};

use super::drafts::{self, Draft};
use super::fit;
use super::node::Node;
use super::outside::NodeOutside;
use super::scheduler::{limits, load};

/// A manifest, and the artifacts that belong to it; those are at the node already.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ApplyRequest {
    /// The manifest's name in errors.
    pub(crate) file: String,
    /// Its text.
    pub(crate) manifest: String,
    /// The artifact of each component.
    pub(crate) artifacts: BTreeMap<LocalName, Digest>,
}

/// Why an app is not declared. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    /// The manifest is wrong.
    #[error("{0}")]
    Manifest(#[from] ManifestError),
    /// It is right in itself, and can't work.
    #[error("{file}:{line}:{column}: component `{component}`: {why}")]
    Component { file: String, line: usize, column: usize, component: LocalName, why: String },
    /// No node can be the home of a provider.
    #[error(
        "provider `{provider}` needs a home, and no node that is alive carries {labels}; the nodes \
         are: {nodes}"
    )]
    NoHome { provider: LocalName, labels: String, nodes: String },
    /// No app has this name.
    #[error("no app `{0}` is declared in this mesh")]
    NoSuchApp(AppName),
    /// This node failed.
    #[error("{0}")]
    Node(String),
}

impl Node {
    /// Declares an app, or declares it anew.
    pub(crate) async fn apply(self: &Arc<Self>, request: &ApplyRequest) -> Result<App, ApplyError> {
        let manifest = Manifest::parse(&request.file, &request.manifest)?;
        if let Some(mesh) = self.mesh() {
            self.refresh_table(mesh);
        }
        let before = self.table();
        let before = before.app(&manifest.app);

        let mut loaded = BTreeMap::new();
        for (name, declared) in &manifest.components {
            let fail = |why: String| failed(request, name, declared, why);
            let digest = request.artifacts.get(name).copied().ok_or_else(|| {
                fail(format!("its file {} was not sent along", declared.wasm.display()))
            })?;
            let id = ComponentId::new(manifest.app.clone(), name.clone());
            let publishers = self.table().publishers().keys(self.trusted());
            let found = load(self, &id, digest, &publishers).await.map_err(fail)?;
            let found = found.ok_or_else(|| fail(format!("{digest} is not on this node")))?;
            loaded.insert(name.clone(), (digest, found));
        }
        for link in &manifest.links {
            let declared = manifest.components.get(&link.from);
            if let (Some(declared), Some((_, to))) = (declared, loaded.get(&link.to)) {
                let (contract, exports) = (&link.contract, to.component.exports());
                fit::check_granted(contract, &link.to, exports, &link.options)
                    .map_err(|why| failed(request, &link.from, declared, why))?;
            }
        }
        let components = manifest
            .components
            .iter()
            .filter_map(|(name, declared)| {
                let (digest, found) = loaded.get(name)?;
                let spec = ComponentSpec {
                    digest: *digest,
                    publisher: found.publisher,
                    size: found.size,
                    exports: found.component.exports().iter().map(|i| i.contract.clone()).collect(),
                    imports: fit::imports(&found.component),
                    replicas: declared.replicas,
                    on: declared.on.clone(),
                    config: declared.config.clone(),
                    limits: declared.limits.clone(),
                };
                Some((name.clone(), spec))
            })
            .collect();
        let mut providers = BTreeMap::new();
        for (name, declared) in &manifest.providers {
            // A store stays where it is: declared anew, it has the home that it had.
            let kept = before.and_then(|app| app.providers.get(name)).and_then(|old| old.node);
            let id = ComponentId::new(manifest.app.clone(), name.clone());
            let node = match (declared.kind.is_stateful(), kept) {
                (false, _) => None,
                (true, Some(home)) => Some(home),
                (true, None) => Some(
                    self.choose_home(&id, &declared.on)
                        .ok_or_else(|| self.no_home(name.clone(), &declared.on))?,
                ),
            };
            let spec = ProviderSpec { kind: declared.kind.clone(), node, on: declared.on.clone() };
            providers.insert(name.clone(), spec);
        }
        let app = App {
            name: manifest.app.clone(),
            components,
            providers,
            links: manifest.links.clone(),
            http: manifest.http.clone(),
            subscriptions: manifest.subscriptions.clone(),
        };
        for (name, declared) in &manifest.components {
            let Some((_, found)) = loaded.get(name) else { continue };
            self.check_component(&app, name, &found.component)
                .map_err(|why| failed(request, name, declared, why))?;
        }
        self.put(RecordKey::App(app.name.clone()), RecordBody::App(Box::new(app.clone()))).await?;
        Ok(app)
    }

    /// Takes an app back.
    pub(crate) async fn remove(&self, name: &AppName) -> Result<(), ApplyError> {
        if self.table().app(name).is_none() {
            return Err(ApplyError::NoSuchApp(name.clone()));
        }
        self.put(RecordKey::App(name.clone()), RecordBody::Tombstone).await
    }

    /// Writes a record. When this returns it is durable, and this node goes by it.
    pub(super) async fn put(&self, key: RecordKey, body: RecordBody) -> Result<(), ApplyError> {
        let starting = || ApplyError::Node("this node is still starting".into());
        let mesh = self.mesh().ok_or_else(starting)?;
        if drafts::is_drafting() {
            let stamp = mesh.stamp(key.clone()).await;
            let stamp = stamp.map_err(|error| ApplyError::Node(error.to_string()))?;
            drafts::note(Draft { key, stamp, body });
            return Ok(());
        }
        mesh.put_record(key, body).await.map_err(|error| ApplyError::Node(error.to_string()))?;
        // Whoever asks this node next sees what it was just told.
        self.refresh_table(mesh);
        self.wake_scheduler();
        Ok(())
    }

    /// Takes a record that an operator, or the mesh's authority, has signed.
    pub(crate) async fn take(&self, record: Record) -> Result<(), ApplyError> {
        let starting = || ApplyError::Node("this node is still starting".into());
        let mesh = self.mesh().ok_or_else(starting)?;
        mesh.take_record(record).await.map_err(|error| ApplyError::Node(error.to_string()))?;
        self.refresh_table(mesh);
        self.wake_scheduler();
        Ok(())
    }

    /// Whether every import of a component is served: by the node itself, or through a link to
    /// something that has what is imported.
    fn check_component(
        self: &Arc<Self>,
        app: &App,
        name: &LocalName,
        component: &Component,
    ) -> Result<(), String> {
        let id = ComponentId::new(app.name.clone(), name.clone());
        let records = self.mesh().map(|mesh| mesh.records()).unwrap_or_default();
        let by_hand = records.iter().filter_map(|record| match (&record.key, &record.body) {
            (RecordKey::Link(key), RecordBody::Link(link)) if key.from == id => {
                Some((&**key, &**link, record.version))
            }
            _ => None,
        });
        // Which of two links counts does not depend on their versions.
        let unsigned = Version { at: Hlc::default(), writer: self.id() };
        let links = Links::new([(app, unsigned)], by_hand);
        for import in component.imports() {
            let contract = &import.contract;
            // An interface without functions only names types: there is nothing to call.
            if import.functions.is_empty() || is_built_in(contract) {
                continue;
            }
            let Some(import) = links.get(&id, contract) else {
                return Err(format!(
                    "it imports `{contract}`, and no [[link]] says where that goes; the app \
                     declares {}",
                    offers(app)
                ));
            };
            // What is linked by hand was checked then, and may be another app's.
            for target in import.targets().iter().filter(|target| target.to.app == app.name) {
                let Some(found) = app.components.get(&target.to.name) else { continue };
                if !found.exports.iter().any(|export| export.covers(contract)) {
                    return Err(format!(
                        "it imports `{contract}` and is linked to `{}`, which does not export it; \
                         the app declares {}",
                        target.to.name,
                        offers(app)
                    ));
                }
            }
        }
        let spec = app.components.get(name).ok_or_else(|| "it vanished".to_string())?;
        for link in app.links.iter().filter(|link| link.from == *name) {
            let covered = fit::covered(&spec.imports, &link.contract);
            fit::check_functions(&id, &link.contract, &covered, &link.options)?;
        }
        for route in app.http.iter().filter(|route| route.component == *name) {
            let answers = |i: &wattle_runtime::Interface| {
                i.contract.unversioned().to_string() == crate::providers::http_message::INCOMING
            };
            if !component.exports().iter().any(answers) {
                return Err(format!(
                    "it is to answer HTTP at `{}`, and does not export `wasi:http/incoming-handler`",
                    route.path
                ));
            }
        }
        for subscription in app.subscriptions.iter().filter(|spec| spec.component == *name) {
            let handles = |i: &wattle_runtime::Interface| {
                i.contract.unversioned().to_string() == crate::providers::messaging::HANDLER
            };
            if !component.exports().iter().any(handles) {
                let first = subscription.subjects.first().map(ToString::to_string);
                return Err(format!(
                    "it is subscribed to `{}`, and does not export \
                     `wattle:messaging/incoming-handler`",
                    first.unwrap_or_default()
                ));
            }
        }
        // The runtime knows best what else it can't bind.
        let config = ActorConfig { id, config: spec.config.clone(), limits: limits(spec) };
        let outside = Arc::new(NodeOutside { node: Arc::downgrade(self) });
        Actor::new(component, config, outside).map(drop).map_err(|error| error.to_string())
    }

    fn no_home(&self, provider: LocalName, on: &wattle_contracts::record::Labels) -> ApplyError {
        let written = |labels: &wattle_contracts::record::Labels| match labels.is_empty() {
            true => "no labels".to_string(),
            false => labels.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(","),
        };
        let nodes = self.mesh().map(|mesh| {
            let view = mesh.view();
            let one = |id: NodeId, labels| format!("{} ({})", id.short(), written(labels));
            view.alive().map(|node| one(node.id, &node.about.labels)).collect::<Vec<_>>().join(", ")
        });
        ApplyError::NoHome { provider, labels: written(on), nodes: nodes.unwrap_or_default() }
    }
}

/// Whether every component has this without a link: it leads to nothing beyond the component.
pub(super) fn is_built_in(contract: &ContractId) -> bool {
    match contract.namespace() {
        "wasi" => match contract.package() {
            "keyvalue" => false,
            "http" => contract.interface() == Some("types"),
            _ => true,
        },
        // Secrets are put for one component by name.
        "wattle" => contract.package() == "secrets",
        _ => false,
    }
}

/// What an app has, for an error.
pub(super) fn offers(app: &App) -> String {
    let components = app.components.iter().map(|(name, spec)| {
        let exports: Vec<String> = spec.exports.iter().map(|e| format!("`{e}`")).collect();
        format!("component `{name}` with {}", exports.join(", "))
    });
    let providers = app
        .providers
        .iter()
        .map(|(name, spec)| format!("provider `{name}` with `{}`", spec.kind.contract()));
    components.chain(providers).collect::<Vec<_>>().join("; ")
}

fn failed(
    request: &ApplyRequest,
    component: &LocalName,
    declared: &ManifestComponent,
    why: String,
) -> ApplyError {
    let (line, column) = declared.position;
    ApplyError::Component {
        file: Path::new(&request.file).display().to_string(),
        line,
        column,
        component: component.clone(),
        why,
    }
}
