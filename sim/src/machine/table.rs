//! What is declared, as a node sees it: apps, links, routes, subscriptions.

use std::collections::BTreeMap;

use wattle_contracts::id::{AppName, ComponentId};
use wattle_contracts::record::{App, Hlc, ProviderSpec, Record, RecordBody, RecordKey, Version};
use wattle_mesh::core::links::Links;
use wattle_mesh::core::outbox::Subscriptions;
use wattle_mesh::core::routes::Routes;

use super::Machine;

/// Everything that is declared. Replaced as a whole when a record changes.
#[derive(Debug, Default)]
pub(super) struct Table {
    apps: BTreeMap<AppName, (App, Version)>,
    pub(super) links: Links,
    /// Which component answers which requests over HTTP.
    pub(super) routes: Routes,
    pub(super) subscriptions: Subscriptions,
    /// What is put by hand in the place of an app's own configuration, by component and name.
    pub(super) values: BTreeMap<ComponentId, BTreeMap<String, String>>,
}

/// What a name within an app stands for.
pub(super) enum Target<'a> {
    Component,
    Provider(&'a ProviderSpec),
}

impl Table {
    fn new<'a>(records: impl Iterator<Item = &'a Record>) -> Self {
        let (mut apps, mut links) = (BTreeMap::new(), Vec::new());
        let mut values: BTreeMap<ComponentId, BTreeMap<String, String>> = BTreeMap::new();
        for record in records {
            match (&record.key, &record.body) {
                (RecordKey::App(name), RecordBody::App(app)) => {
                    apps.insert(name.clone(), (App::clone(app), record.version));
                }
                (RecordKey::Link(key), RecordBody::Link(link)) => {
                    links.push((&**key, &**link, record.version));
                }
                (RecordKey::Config(key), RecordBody::Config(config)) => {
                    let own = values.entry(key.component.clone()).or_default();
                    own.insert(key.name.to_string(), config.value.clone());
                }
                _ => {}
            }
        }
        let links = Links::new(apps.values().map(|(app, version)| (app, *version)), links);
        let subscriptions = Subscriptions::new(apps.values().map(|(app, _)| app));
        let routes = Routes::new(apps.values().map(|(app, _)| app));
        Self { apps, links, routes, subscriptions, values }
    }

    pub(super) fn apps(&self) -> impl Iterator<Item = &App> {
        self.apps.values().map(|(app, _)| app)
    }

    pub(super) fn target(&self, id: &ComponentId) -> Option<Target<'_>> {
        let (app, _) = self.apps.get(&id.app)?;
        let component = app.components.get(&id.name).map(|_| Target::Component);
        component.or_else(|| app.providers.get(&id.name).map(Target::Provider))
    }

    /// Which declaration of `id` this is.
    pub(super) fn declared(&self, id: &ComponentId) -> Option<Hlc> {
        self.apps.get(&id.app).map(|(_, version)| version.at)
    }
}

impl Machine {
    pub(super) fn refresh_table(&mut self) {
        let records = self.plane.records().into_iter().flat_map(|set| set.iter());
        self.table = Table::new(records.map(|record| &**record));
    }
}
