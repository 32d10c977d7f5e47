//! What is declared, as this node sees it now: looked at on each call, replaced as a whole when a
//! record changes.

mod settings;

pub(crate) use settings::Settings;

use std::collections::BTreeMap;

use wattle_contracts::call::{CallError, ErrorKind};
use wattle_contracts::id::{AppName, ComponentId, ContractId, NodeId};
use wattle_contracts::record::{
    App, ComponentSpec, ProviderSpec, Record, RecordBody, RecordKey, Version,
};
use wattle_mesh::core::links::{Import, Links, Target as Link};
use wattle_mesh::core::publishers::Publishers;
use wattle_mesh::core::routes::Routes;
use wattle_mesh::net::Declaration;

/// Everything that is declared.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Each with the version of its record. Its components have the configuration that counts,
    /// that of the records of their own included.
    apps: BTreeMap<AppName, (App, Version)>,
    links: Links,
    settings: Settings,
    publishers: Publishers,
    routes: Routes,
}

/// What a name within an app stands for.
pub(crate) enum Target<'a> {
    Component(&'a ComponentSpec),
    Provider(&'a ProviderSpec),
}

impl Table {
    /// What `records` declare.
    pub(crate) fn new<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let (mut apps, mut links) = (BTreeMap::new(), Vec::new());
        let mut settings = Settings::default();
        let mut publishers = Vec::new();
        let mut followed = BTreeMap::new();
        for record in records {
            let version = record.version;
            match (&record.key, &record.body) {
                (RecordKey::App(name), RecordBody::App(app)) => {
                    apps.insert(name.clone(), (App::clone(app), version));
                }
                (RecordKey::Link(key), RecordBody::Link(link)) => {
                    links.push((&**key, &**link, version))
                }
                (RecordKey::Config(key), RecordBody::Config(config)) => {
                    settings.insert(key, config, version);
                }
                (RecordKey::Publisher(key), RecordBody::Publisher(publisher)) => {
                    publishers.push((*key, &**publisher, version));
                }
                (RecordKey::Succession(former), RecordBody::Succession(by)) => {
                    followed.insert(*former, by.succession.body.successor);
                }
                _ => {}
            }
        }
        move_homes(&mut apps, &followed);
        let links = Links::new(apps.values().map(|(app, version)| (app, *version)), links);
        for (app, _) in apps.values_mut() {
            settings.lay_over(app);
        }
        let routes = Routes::new(apps.values().map(|(app, _)| app));
        let publishers = Publishers::new(publishers);
        Self { apps, links, settings, publishers, routes }
    }

    pub(crate) fn apps(&self) -> impl Iterator<Item = &App> {
        self.apps.values().map(|(app, _)| app)
    }

    pub(crate) fn app(&self, name: &AppName) -> Option<&App> {
        self.apps.get(name).map(|(app, _)| app)
    }

    /// The version of an app's record.
    pub(crate) fn version(&self, name: &AppName) -> Option<Version> {
        self.apps.get(name).map(|(_, version)| *version)
    }

    /// Which declaration of `id` this is: it changes with its app and its configuration.
    pub(crate) fn declaration(&self, id: &ComponentId) -> Option<Declaration> {
        let version = self.version(&id.app)?;
        Some(Declaration { app: version.at, config: self.settings.hash(id) })
    }

    /// Where imports go.
    pub(crate) fn links(&self) -> &Links {
        &self.links
    }

    /// Whose components may run.
    pub(crate) fn publishers(&self) -> &Publishers {
        &self.publishers
    }

    /// The configuration values that are records of their own.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What `id` stands for.
    pub(crate) fn target(&self, id: &ComponentId) -> Result<Target<'_>, CallError> {
        let not_linked = |message: String| CallError::new(ErrorKind::NotLinked, message);
        let app = self
            .app(&id.app)
            .ok_or_else(|| not_linked(format!("no app `{}` is declared in this mesh", id.app)))?;
        let component = app.components.get(&id.name).map(Target::Component);
        component.or_else(|| app.providers.get(&id.name).map(Target::Provider)).ok_or_else(|| {
            not_linked(format!("app `{}` has no component or provider `{}`", id.app, id.name))
        })
    }

    /// Where `source`'s import of `contract` is linked to.
    pub(crate) fn import(
        &self,
        source: &ComponentId,
        contract: &ContractId,
    ) -> Result<&Import, CallError> {
        self.links.get(source, contract).ok_or_else(|| {
            let named = contract.unversioned();
            let message = format!(
                "`{source}` imports `{contract}`, and no link says where that goes; add a [[link]] \
                 with from = \"{}\" and contract = \"{named}\" to the app, or say: wattle link \
                 put {source} {named} TARGET",
                source.name,
            );
            CallError::new(ErrorKind::NotLinked, message)
        })
    }

    /// The links by which `source` may call `contract` of `target`, each with its contract as it is
    /// written.
    pub(super) fn links_between<'t>(
        &'t self,
        source: &ComponentId,
        contract: &ContractId,
        target: &ComponentId,
    ) -> impl Iterator<Item = (&'t ContractId, &'t Link)> {
        let links =
            self.links.get(source, contract).into_iter().flat_map(|import| {
                import.targets().iter().map(move |link| (import.contract(), link))
            });
        let target = target.clone();
        links.filter(move |(_, link)| link.to == target)
    }

    /// Whether an HTTP route leads to `target`.
    pub(super) fn answers_http(&self, target: &ComponentId) -> bool {
        self.routes.lead_to(target)
    }

    /// The component that answers a request for `path` at `host`.
    pub(crate) fn route(&self, host: &str, path: &str) -> Option<&ComponentId> {
        self.routes.find(host, path)
    }
}

/// A store stays on its node, whatever key that has now.
fn move_homes(apps: &mut BTreeMap<AppName, (App, Version)>, followed: &BTreeMap<NodeId, NodeId>) {
    let providers = apps.values_mut().flat_map(|(app, _)| app.providers.values_mut());
    for home in providers.filter_map(|provider| provider.node.as_mut()) {
        let next = |node: &NodeId| followed.get(node).copied();
        // No node changes its key more often than there are successions.
        let names = std::iter::successors(Some(*home), next).take(followed.len() + 1);
        *home = names.last().unwrap_or(*home);
    }
}

#[cfg(test)]
mod tests;
